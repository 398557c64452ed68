"""Processes that are no children of this process: a pidfd holds them, and tells how they have ended, if the
kernel can.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal

from ..descriptor import Descriptor
from ..pidfd import INFO, PIDFD_GET_INFO, exit_status
from ..process_stat import start_time_of
from .report import End
from .waiting import Operation, Wait, deadline_in

REAP_SECONDS = 1.0
"""How long the library waits for the parent to reap a process that has ended."""


def hold(pid: int, start_time: int) -> Descriptor | None:
    """A pidfd of the process ``pid`` that began at ``start_time``, in clock ticks since boot.

    :returns: ``None`` if the process has ended and has been reaped.
    """
    try:
        pidfd = Descriptor.of_process(pid)
    except ProcessLookupError:
        return None
    # The pidfd holds one process. If the time matches now, it is the right one.
    return pidfd if start_time_of(pid) == start_time else None


def end(pidfd: int, deadline: float | None) -> Operation[End | None | bool]:
    """Wait until the process ends.

    :returns: how it has ended; ``None`` if the kernel does not tell; ``False`` if the deadline comes first.
    """
    ready = yield Wait({pidfd: select.POLLIN}, deadline)
    if not ready:
        return False
    status = exit_status(pidfd)
    if status is None and can_tell():
        # Since Linux 6.9, the pidfd of a process that has been reaped reports a hang-up.
        yield Wait({pidfd: 0}, deadline_in(REAP_SECONDS))
        status = exit_status(pidfd)
    if status is None:
        return None
    number = status & 0x7F
    return End(128 + number, number) if number else End(status >> 8)


def can_tell() -> bool:
    """Does this kernel answer PIDFD_GET_INFO? It is asked about this process. (This does not tell whether the kernel
    knows PIDFD_INFO_EXIT.)
    """
    pidfd = Descriptor.of_process(os.getpid())
    try:
        fcntl.ioctl(pidfd, PIDFD_GET_INFO, bytearray(INFO.size))
        return True
    except OSError:
        return False


def takes_signal(pid: int, number: int) -> bool:
    """Does the signal have any effect on the process? The first process of a pid namespace drops a signal that it
    neither catches nor blocks, except SIGKILL and SIGSTOP from outside. True if the process does not exist.
    """
    if number not in signal.valid_signals() or number in (signal.SIGKILL, signal.SIGSTOP):
        return True
    try:
        with open(f"/proc/{pid}/status") as file:
            rows = dict([line.split(":", 1) for line in file.read().splitlines()])
    except OSError:
        return True
    is_first = rows.get("NSpid", "").split()[1:][-1:] == ["1"]
    return not is_first or bool((int(rows["SigCgt"], 16) | int(rows["SigBlk"], 16)) >> (number - 1) & 1)
