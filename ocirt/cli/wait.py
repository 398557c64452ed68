"""``ocirt wait``: the exit status of a container that no command waits for in the foreground.

The container's first process is a child of another process (a subreaper or pid 1), so only that can use waitid(2). If
the process has been reaped, the kernel tells its status to a process that already held a pidfd (PIDFD_INFO_EXIT, Linux
6.15). If it has not been reaped, /proc/PID/stat has the status.
"""

import select
from signal import pidfd_send_signal

from ..errors import OcirtError
from ..pidfd import exit_status
from ..process_stat import ProcessStat
from .containers import hold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .parser import CommandLine

UNKNOWN = 255
REAPED_WITHIN = 1000
"""Milliseconds that the verb waits for the parent to reap the process."""


def run(line: "CommandLine") -> int:
    """Wait for the end of the container.

    :returns: the exit status of the container's program, 128 + N if signal N ended it; UNKNOWN, after an error in the log, if
        nobody knows it, the container had already stopped, or does not exist.
    """
    try:
        pid, held = hold(line)
    except OcirtError as error:
        line.log.error(str(error), error)
        return UNKNOWN
    poll = select.poll()
    pidfd = held.fileno()
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    status = _of_a_zombie(pid, pidfd)
    if status is None:
        poll.modify(pidfd, 0)
        poll.poll(REAPED_WITHIN)
        status = exit_status(pidfd)
    if status is None:
        line.log.error(
            f"container {line.arguments[0]} has stopped, but its exit status is not known: its parent has "
            "collected it, and this kernel does not tell others (Linux 6.15 does)"
        )
        return UNKNOWN
    signal = status & 0x7F
    return 128 + signal if signal else status >> 8


def _of_a_zombie(pid: int, pidfd: int) -> int | None:
    """The wait status of a process that has ended, from /proc; ``None`` if it has been reaped, or if the caller may not
    read it.
    """
    try:
        found = ProcessStat(pid)
        pidfd_send_signal(pidfd, 0)  # fails if the process was reaped before the file was read
    except OSError:
        return None
    return found.wait_status
