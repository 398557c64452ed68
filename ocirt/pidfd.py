"""How a process has ended that is no child of this process: a pidfd that was opened before tells it, if the kernel can."""

import fcntl
import struct

INFO = struct.Struct("<QQ11Ii")
"""The kernel's ``struct pidfd_info``, version 0: mask, cgroup, eleven ids, exit code (since Linux 6.15; unused
before)."""
PIDFD_GET_INFO = 0xC0000000 | INFO.size << 16 | 0xFF << 8 | 11
"""Since Linux 6.13: _IOWR(0xFF, 11, struct pidfd_info)."""
PIDFD_INFO_EXIT = 1 << 3
"""Since Linux 6.15: the caller asks for it in the mask, and the kernel answers with it once the process has been
reaped."""


def exit_status(pidfd: int) -> int | None:
    """The wait status of a process that has ended and been reaped; ``None`` if it has not, or if the kernel does not
    tell.
    """
    info = bytearray(INFO.pack(PIDFD_INFO_EXIT, *[0] * 13))
    try:
        fcntl.ioctl(pidfd, PIDFD_GET_INFO, info)
    except OSError:
        return None
    mask, *_, status = INFO.unpack(info)
    return status if mask & PIDFD_INFO_EXIT else None
