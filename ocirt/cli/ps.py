"""``ocirt ps``: the processes in the cgroups of a container, as runc prints them."""

import json
import os
import subprocess

from ..errors import HostError, OcirtError, reason
from .containers import driver_of, read
from .output import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .parser import CommandLine

OPTIONS = ["-ef"]
"""Options of ps(1), if the caller gives none."""


def run(line: "CommandLine") -> None:
    """Print pids, or what ps(1) says of these processes.

    :raises OcirtError: the container does not exist or has no cgroups, or ps(1) fails.
    """
    found = pids(driver_of(*read(line)).directory())
    if line.options.format == "json":
        write(json.dumps(found or None, separators=(",", ":")) + "\n")
    else:
        write(table(found, line.arguments[1:] or OPTIONS))


def pids(directory: str) -> list[int]:
    """The pids in the cgroup ``directory`` and the cgroups below it; empty if the cgroup does not exist any more.

    :raises HostError: the cgroup cannot be read.
    """
    found: list[int] = []

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise HostError(directory, reason(error)) from None

    for folder, _, _ in os.walk(directory, onerror=fail):
        try:
            with open(os.path.join(folder, "cgroup.procs")) as file:
                found += map(int, file.read().split())
        except FileNotFoundError:
            pass  # the cgroup has just been removed
        except OSError as error:
            fail(error)
    return found


def table(pids: "Iterable[int]", options: list[str]) -> str:
    """The header of ``ps OPTIONS``, and its lines about ``pids``.

    :raises OcirtError: ps(1) is missing, fails, or prints no column PID.
    """
    try:
        done = subprocess.run(
            ["ps", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except OSError as error:
        raise OcirtError(f"ps: {reason(error)}") from None
    if done.returncode:
        raise OcirtError(f"ps {' '.join(options)}: exit status {done.returncode}: {' '.join(done.stdout.split())}")
    header, *lines = done.stdout.split("\n")
    titles = header.split()
    if "PID" not in titles:
        raise OcirtError(f"ps {' '.join(options)}: found no column PID, expected one")
    column, wanted = titles.index("PID"), set(map(str, pids))
    return "".join(
        [
            each + "\n"
            for each in [
                header,
                *[text for text in lines if text.split()[column : column + 1] and text.split()[column] in wanted],
            ]
        ]
    )
