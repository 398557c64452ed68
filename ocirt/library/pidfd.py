"""Processes that are not our children: held by a pidfd, and asked how they have ended where the kernel tells."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct

from ..state_dir import start_time_of
from .report import End
from .waiting import Operation, Wait, deadline_in

INFO = struct.Struct("<QQ11Ii")
"""The kernel's ``struct pidfd_info``, version 0: mask, cgroup, eleven ids, exit code (since 6.15; unused before)."""
GET_INFO = 0xC0000000 | INFO.size << 16 | 0xFF << 8 | 11
"""``PIDFD_GET_INFO``, since Linux 6.13: _IOWR(0xFF, 11, struct pidfd_info)."""
EXIT = 1 << 3
"""``PIDFD_INFO_EXIT``, since Linux 6.15: asked for in the mask, and in the answer once the process has been reaped."""
REAP_SECONDS = 1.0
"""How long we wait for its parent to reap a process that has ended."""


def hold(pid: int, start_time: int) -> int | None:
    """A pidfd of the process ``pid`` that began at ``start_time``; ``None`` where it has ended, and been reaped."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    # The number cannot change hands any more: if the time is right now, this is the process.
    if start_time_of(pid) == start_time:
        return pidfd
    os.close(pidfd)
    return None


def exit_status(pidfd: int) -> int | None:
    """The wait status of a process that has ended and been reaped; ``None`` where it has not, or this kernel does not
    tell."""
    data = bytearray(INFO.pack(EXIT, *[0] * 13))
    try:
        fcntl.ioctl(pidfd, GET_INFO, data)
    except OSError:
        return None
    mask, *_, status = INFO.unpack(data)
    return status if mask & EXIT else None


def end(pidfd: int, deadline: float | None) -> Operation[End | None | bool]:
    """Until the process ends: how; ``None`` where nobody can know; ``False`` if the deadline comes first."""
    ready = yield Wait({pidfd: select.POLLIN}, deadline)
    if not ready:
        return False
    status = exit_status(pidfd)
    if status is None and can_tell():
        # A process that has been reaped hangs up, since Linux 6.9.
        yield Wait({pidfd: 0}, deadline_in(REAP_SECONDS))
        status = exit_status(pidfd)
    if status is None:
        return None
    number = status & 0x7F
    return End(128 + number, number) if number else End(status >> 8)


def can_tell() -> bool:
    """Does this kernel answer PIDFD_GET_INFO? Asked of this very process. (That it knows EXIT, too, it does not
    say.)"""
    pidfd = os.pidfd_open(os.getpid())
    try:
        fcntl.ioctl(pidfd, GET_INFO, bytearray(INFO.size))
        return True
    except OSError:
        return False
    finally:
        os.close(pidfd)


def takes_signal(pid: int, number: int) -> bool:
    """Does the process do anything about this signal? Not if it is the first of its pid namespace and neither catches nor
    blocks it; SIGKILL and SIGSTOP from outside always count. True of a process that is not there."""
    if number not in signal.valid_signals() or number in (signal.SIGKILL, signal.SIGSTOP):
        return True
    try:
        with open(f"/proc/{pid}/status") as file:
            rows = dict([line.split(":", 1) for line in file.read().splitlines()])
    except OSError:
        return True
    is_first = rows.get("NSpid", "").split()[1:][-1:] == ["1"]
    return not is_first or bool((int(rows["SigCgt"], 16) | int(rows["SigBlk"], 16)) >> (number - 1) & 1)
