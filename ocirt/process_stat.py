"""What the kernel says of a process, and of one that has ended and that nobody has collected yet: /proc/PID/stat."""

from __future__ import annotations

import os

from .descriptor import Descriptor


class ProcessStat:
    """A process at one moment (proc_pid_stat(5)).

    :ivar state: a letter, ``Z`` for one that has ended.
    :ivar start_time: when it began, in clock ticks since boot. Beside its pid, that names a process.
    :raises OSError: there is no such process.
    """

    __slots__ = ("state", "start_time", "_exit_code")

    def __init__(self, pid: int) -> None:
        file = Descriptor(os.open, f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)  # a file object takes seven calls
        # The second field, a name in parentheses, may contain anything; the last parenthesis ends it.
        fields = os.read(file.fileno(), 1 << 12).rpartition(b")")[2].split()
        self.state, self.start_time, self._exit_code = fields[0].decode(), int(fields[19]), int(fields[49])

    @property
    def wait_status(self) -> int | None:
        """The wait status of a process that has ended; ``None`` if it has not, or if the caller may not read it."""
        # If the caller may not inspect the process, the kernel says 0.
        return self._exit_code if self.state == "Z" and (self._exit_code or os.geteuid() == 0) else None


def start_time_of(pid: int) -> int:
    """When the process ``pid`` began, in clock ticks since boot; 0 if it does not exist."""
    try:
        return ProcessStat(pid).start_time
    except OSError:
        return 0
