"""``ocirt run --explain`` and ``--record``: what the container's seccomp profile refuses, and what the program needs.

The container gets a filter that asks an agent: about each call that the profile refuses, or about every call if they
are recorded. This process is the agent, and a child of it runs the container. The filter is that of the profile, in
which other instructions return, so an answer is never another than the profile's (crun's annotations
``run.oci.seccomp_bpf_data`` and ``run.oci.seccomp.receiver`` bring it).
"""

import json
import os
import signal
import socket
import stat
import subprocess
import tempfile
from binascii import b2a_base64

from ...compile.seccomp import compiled
from ...errors import ConfigError, OcirtError, RequestError, reason
from ...model import crun
from ...model.config import parse
from ...wordings import words_of
from ..plan import bundle_of
from . import filter
from .agent import serve
from .calls import call_name, described
from .record import Recorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from ...model.json import Members
    from ..parser import CommandLine
    from .agent import Call, Seen

AT = "linux.seccomp"
SHOWN = 50
"""Refused system calls of one name that are shown: a program may try for ever."""
OTHERS = ("explain", "record", "config")
FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that this process gives to the child. Those of a terminal's keys reach the child by themselves."""


def run(line: "CommandLine") -> int:
    """Run the container.

    :returns: the exit status of ``ocirt run``.
    :raises OcirtError: the config is wrong, the flags contradict each other, or FILE cannot be written.
    """
    options = line.options
    flag = "--record" if options.record else "--explain"
    for other in ("detach", "init"):
        if getattr(options, other):
            raise RequestError(
                f"{flag}: found --{other} too, expected a run in the foreground whose first process is the program"
            )
    _, data = bundle_of(options.bundle or ".", options.config)
    parse(data)  # finds what is not JSON or no config, and says where
    config: Members = json.loads(data)
    program = _program(config, flag)
    file = _opened(options.record) if options.record else None
    recorder = Recorder(config.get("linux", {}).get("seccomp") or {}) if file else None
    seen = _Explainer(line, config).take if options.explain else _nothing
    with tempfile.TemporaryDirectory(prefix="ocirt-") as folder:
        status = _run(
            line, folder, config, program, filter.ASKING if recorder else filter.asking(program), seen, recorder
        )
    if recorder and file:
        _write(file, recorder)
    return status


def _program(config: "Members", flag: str) -> bytes:
    """The filter of the config's profile.

    :raises ConfigError: the profile is missing, wrong, or has an agent of its own.
    """
    data = crun.seccomp_data(parse(json.dumps(config).encode()))
    profile = (config.get("linux") or {}).get("seccomp")
    if data is None and not profile:
        if flag == "--record":
            return filter.EVERYTHING
        raise ConfigError(AT, "nothing", "a profile, because --explain says what it refuses")
    program = compiled(profile or {}) if data is None else data
    if filter.notifies(program):
        raise ConfigError(
            AT, '"SCMP_ACT_NOTIFY"', f"a profile without an agent of its own, because {flag} is its agent"
        )
    return program


def _run(
    line: "CommandLine",
    folder: str,
    config: "Members",
    program: bytes,
    asking: bytes,
    explain: "Seen",
    recorder: "Recorder | None",
) -> int:
    """Run the container with the filter ``asking``, and be its agent.

    :param folder: an empty directory that only this user can enter.
    :param program: the profile's filter, which decides.
    """
    path = os.path.join(folder, "agent")
    changed = os.path.join(folder, "config.json")
    with open(changed, "w") as file:
        json.dump(_asking(config, asking, path), file)

    def seen(call: "Call") -> None:
        explain(call)
        if recorder:
            recorder.take(call)

    flags = [word for word in _flags(line) if word.removeprefix("--").partition("=")[0] not in OTHERS]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        os.set_inheritable(line.executable, False)
        executable = f"/proc/{os.getpid()}/fd/{line.executable}"
        child = subprocess.Popen(
            [*line.start, "run", *flags, f"--config={changed}", "--", *line.arguments],
            executable=executable,
            close_fds=False,  # --preserve-fds and --status-fd
        )
        for number in FORWARDED:
            signal.signal(number, lambda number, _: child.send_signal(number))
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        try:
            serve(listener, child.pid, program, seen)
        except BaseException:
            child.kill()
            child.wait()
            subprocess.run([*line.start, "delete", "--force", "--", *line.arguments], executable=executable)
            raise
        return child.wait()


def _flags(line: "CommandLine") -> list[str]:
    words = line.words[len(line.start) + 1 :]
    return words[: len(words) - len(line.arguments) - 1] if line.arguments else words


def _asking(config: "Members", asking: bytes, path: str) -> "Members":
    """The config with the filter ``asking``, whose agent listens at ``path``."""
    annotations = {
        **(config.get("annotations") or {}),
        crun.SECCOMP_DATA: b2a_base64(asking, newline=False).decode(),
        crun.SECCOMP_RECEIVER: path,
    }
    return {**config, "annotations": annotations}


def _nothing(_: "Call") -> None:
    """Without --explain nothing is said of a call."""


class _Explainer:
    """Warns of each call that is refused, once for each caller's arguments, and SHOWN times for each name."""

    def __init__(self, line: "CommandLine", config: "Members") -> None:
        self._log, self._said = line.log, dict[str, set[str]]()
        self._profile: Members = (config.get("linux") or {}).get("seccomp") or {}

    def take(self, call: "Call") -> None:
        if not call.is_refused:
            return
        shown = described(call.arch, call.number, call.arguments, call.pid)
        end = f"fails: {words_of(call.errno)}" if call.errno else "ends the program (SIGKILL)"
        text = f"{self._place(call)}: {shown} {end}"
        name = call_name(call.arch, call.number)
        said = self._said.setdefault(name, set())
        if text in said or len(said) > SHOWN:
            return
        said.add(text)
        self._log.warning(text if len(said) <= SHOWN else f"{AT}: {name} was refused more often, which is not shown")

    def _place(self, call: "Call") -> str:
        """The JSON path that refuses a call: of the first rule for it that does not allow it, or the default action."""
        name = call_name(call.arch, call.number)
        for index, rule in enumerate(self._profile.get("syscalls") or []):
            if name in rule["names"] and rule["action"] not in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG"):
                return f"{AT}.syscalls[{index}]"
        return f"{AT}.defaultAction"


def _opened(path: str) -> "TextIO":
    """FILE, with what it holds. It is opened before the run, because nobody wants to run the program again for a name that
    was wrong.

    :raises OcirtError: nobody can write it.
    """
    try:
        return open(path, "a")
    except OSError as error:
        raise OcirtError(f"--record {path}: {reason(error)}") from None


def _write(file: "TextIO", recorder: "Recorder") -> None:
    """Write the profile instead of what FILE held, which stays if the program did not run.

    :raises OcirtError: FILE cannot be written.
    """
    if not recorder.has_seen:
        return
    try:
        with file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                file.truncate(0)
            json.dump(recorder.profile(), file, indent=2)
            file.write("\n")
    except OSError as error:
        raise OcirtError(f"--record {file.name}: {reason(error)}") from None
