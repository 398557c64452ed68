"""hack/bench: ocirt beside other runtimes, and beside the kernel's own work.

``__main__`` is the command line; ``works`` defines what ``measure`` measures at the ``place``; ``targets`` has the
targets; ``report`` and ``plot`` make docs/benchmark.md from a run's JSON (``results``). ``shapes`` counts the programs
that the recorded configs of engines need.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

TREE, BENCH = Path(__file__).resolve().parents[3], Path(__file__).resolve().parents[1]
if str(TREE) not in sys.path:
    sys.path.append(str(TREE))

OURS, FLOOR, OUR_FLOOR, SAME_FLOOR = "ocirt", "floor", "hack/floor", "floor, a copy"
"""Names of columns: this tree's build, the fixed floor.c, the project's own, and the fixed one a second time, to show
how much two series of the same program differ."""
BEFORE = "before"
"""The column of an earlier build of ocirt."""
BACK, PAUSES = "back to back", "with pauses"
"""Patterns: how containers follow on each other."""
FEW, MANY = "a tenth exists", "many exist"
"""Patterns: how many containers exist."""
RECORDED, UNRECORDED = "recorded", "not recorded"
"""Patterns: with --trace, and without."""
INTERPRETER = "the bare interpreter"
"""The column of what a new shape cannot do without: Python as the launcher starts it, with nothing to do."""

SYSTEMD, CGROUPFS, ALONE = "systemd driver", "cgroupfs", "beside systemd alone"
"""Patterns: who makes the cgroups; and systemd's part of it."""
BUSCTL, SYSTEMD_RUN, ITS_START = "busctl", "systemd-run --scope", "systemd-run --version"
"""Names of columns: systemd makes a scope and no container, for a client that does not wait until the process is in it,
and for one that waits; and what the start of that client takes alone."""

ON_DISK, ON_TMPFS = "kept on a disk", "kept on a tmpfs"
"""Patterns: where ocirt's programs are."""
AS_IT_IS, CROWDED = "host as it is", "host with mounts"
"""Patterns: how many mounts the host has."""
COPIED = "ocirt, with a copy of the mounts"
"""The column of ocirt on Linux 7 where OPEN_TREE_NAMESPACE is refused."""

FURTHER = ("youki",)
"""Runtimes that are measured where they are installed. Nothing depends on their figures."""


class BenchError(Exception):
    """Something cannot be measured on this machine, or does not work; one line."""


class CommandFailed(BenchError):
    """A command that is measured has failed.

    :ivar path: of its program.
    :ivar reason: how it has ended, and the last thing that it said.
    """

    def __init__(self, command: Sequence[str], reason: str) -> None:
        super().__init__(f"{' '.join(command)}: {reason}")
        self.path, self.reason = command[0], reason
