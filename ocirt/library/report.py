"""What the executable reports, one JSON object a line: log lines, and those of ``--status-fd`` (core/base/log.c,
core/state/status_fd.c).
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .. import errors, failures
from ..errors import OcirtError, made_anew
from ..wordings import words_of

Line = dict[str, Any]

KINDS: dict[str, type[OcirtError]] = {
    kind.__name__: kind
    for kind in (errors.ConfigError, errors.HostError, errors.RequestError, errors.StateError, errors.NoContainer)
}
"""Errors of the Python side, by their ``kind``."""

TEXTS: tuple[tuple[str, type[OcirtError]], ...] = (
    # Texts of the executable, which engines match as well, and the errors that they mean.
    ("config.json: open", errors.ConfigError),
    ("container does not exist", errors.NoContainer),
    ("container already exists", failures.ContainerExists),
    ("container not running", failures.WrongState),
    ("container not paused", failures.WrongState),
    ("cannot start a", failures.WrongState),
    ("cannot exec in a", failures.WrongState),
    ("cannot delete container", failures.WrongState),
    ("cannot pause", failures.WrongState),
    ("invalid container id", errors.RequestError),
    ("unknown signal", errors.RequestError),
)
PREFIX = "exec failed: "
ROOT = "--root "
_read_json = json.JSONDecoder().raw_decode  # json.loads takes twice as long, and a run from a pool reads three lines
MISSING = (errno.ENOENT, errno.ENOTDIR)


def parse(data: bytes) -> list[Line]:
    """The objects in ``data``. A line that is no JSON object becomes a log line with its text."""
    lines: list[Line] = []
    for raw in data.splitlines():
        text = raw.decode("utf-8", "replace").strip()
        try:
            found, end = _read_json(text)
        except (ValueError, RecursionError):
            found, end = None, 0
        if isinstance(found, dict) and end == len(text):
            lines.append(found)
        elif text:
            lines.append({"level": "error", "msg": text})
    return lines


def error_in(lines: Iterable[Line], id: str = "") -> OcirtError | None:
    """The error that the lines report: as containerd does, take the last line with the level error.

    :param id: of the container that the lines are about.
    """
    last = None
    for line in lines:
        if line.get("level") == "error" and isinstance(line.get("msg"), str):
            last = line
    return None if last is None else error_of(last, id)


def error_of(line: Line, id: str = "") -> OcirtError:
    """The error that a log line reports."""
    message = str(line["msg"])
    text = message.removeprefix(PREFIX)
    path = line.get("path")
    known: Line = {name: line[name] for name in ("phase", "path", "errno") if name in line}
    kind = KINDS.get(str(line.get("kind")))
    if kind is None:
        kind = next((each for begin, each in TEXTS if text.startswith(begin)), None)
    if kind is None and text.startswith(ROOT):
        return _root(text, known)
    if kind is None and path == "root.path" and known.get("errno") in MISSING:
        return missing("root.path", message, known, "an existing directory")
    if kind is None and "phase" in line:
        kind = failures.ProgramError if str(path).startswith("process.args") else failures.StepError
    if kind is None:
        return made_anew(OcirtError, message, **known)
    if kind is errors.ConfigError and "kind" not in line:
        return missing("config.json", message, known, "a bundle's directory, with a config.json")
    if issubclass(kind, errors.StateError):
        known["id"] = id
    if kind is errors.ConfigError:
        before, _, known["expected"] = text.rpartition(", expected ")
        known["found"] = before.partition("found ")[2]
    if kind in (errors.ConfigError, errors.HostError):
        known.setdefault("path", "")
    if kind is errors.HostError:
        known["message"] = text.removeprefix(f"{known['path']}: ")
    return made_anew(kind, message, **known)


def _root(text: str, known: Line) -> OcirtError:
    """The error about the directory of the containers' states. The executable calls it ``--root`` and gives advice for
    the command line; the library calls it ``Runtime(root=)``.
    """
    directory, _, trouble = text.removeprefix(ROOT).partition(": ")
    trouble = trouble.partition("; set XDG_RUNTIME_DIR")[0]
    message = f"{trouble}; pass Runtime(root=...) a directory of this user, which nobody else may write to"
    return made_anew(
        errors.HostError,
        f"Runtime(root={directory!r}): {message}",
        **{"phase": "request", **known, "path": "root", "message": message},
    )


def missing(path: str, message: str, known: Line, expected: str) -> OcirtError:
    """The error about a file or directory that does not exist."""
    return made_anew(
        errors.ConfigError,
        message,
        **{
            "phase": "compile",
            **known,
            "path": path,
            "expected": expected,
            "found": words_of(known.get("errno", errno.ENOENT)),
        },
    )


@dataclass(frozen=True, slots=True)
class Begin:
    """The process exists.

    :ivar pid: its pid.
    :ivar start_time: when it began, in clock ticks since boot. With the pid this identifies the process.
    :ivar clock: when its program had been executed, in nanoseconds of the monotonic clock.
    :ivar renews: will the supervisor make another container in the place of this one?
    """

    pid: int
    start_time: int
    clock: int = 0
    renews: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """How a process has ended.

    :ivar returncode: its exit status. If a signal has ended it, 128 and the signal's number, as on the command line.
    :ivar signal: that signal, or 0.
    :ivar oom_kills: how many processes of the container the kernel has killed because memory ran out.
    :ivar cpu_seconds: CPU time of the process and of all processes that it has reaped.
    :ivar memory_peak: bytes; the peak of the container's memory cgroup if it has one, otherwise of the largest process.
    :ivar pids_refused: how often the limit of processes has refused a new one, if the process has not succeeded.
    :ivar sender: ``"ocirt kill"`` if that has sent the signal; empty if nobody knows.
    :ivar clock: when the supervisor saw that the process had ended, in nanoseconds of the monotonic clock.
    """

    returncode: int
    signal: int = 0
    oom_kills: int = 0
    cpu_seconds: float = 0.0
    memory_peak: int = 0
    clock: int = 0
    pids_refused: int = 0
    sender: str = ""


def begin_of(line: Line) -> Begin | None:
    if "pid" not in line:
        return None
    return Begin(line["pid"], line.get("startTime", 0), line.get("clock", 0), "renews" in line)


def end_of(line: Line) -> End | None:
    if "signal" not in line and "exitCode" not in line:
        return None
    number = line.get("signal", 0)
    return End(
        128 + number if number else line["exitCode"],
        number,
        line.get("oomKills", 0),
        line.get("cpuMicroseconds", 0) / 1e6,
        line.get("memoryPeak", 0),
        line.get("clock", 0),
        line.get("pidsRefused", 0),
        line.get("sender", ""),
    )
