"""A directory of a disk for what one run of a sandbox writes, whose size is limited by a project quota: a quota of all
files that have the same project id, which files inherit from their directory. ext4 and XFS have them, if they are mounted
with the option prjquota.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

from ..errors import HostError, reason
from .held_directory import HeldDirectory

FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR = 0x801C581F, 0x401C5820
FSXATTR = struct.Struct("=5I8x")
"""struct fsxattr of linux/fs.h: flags, extent size, extents, project id, extent size of copies."""
FS_XFLAG_PROJINHERIT = 0x200
SYS_QUOTACTL_FD = 443
Q_GETQUOTA, Q_SETQUOTA, PRJQUOTA = 0x800007, 0x800008, 2
DQBLK = struct.Struct("=8QI4x")
"""struct if_dqblk of linux/quota.h: of blocks hard limit, soft limit and bytes used; of files hard limit, soft limit and
number; two times; which of these are valid."""
QIF_BLIMITS, QIF_ILIMITS = 1, 4
UNIT = 1024
"""Bytes of a block, and for one file: a quota limits both, as the tmpfs of other sandboxes does."""
FILES_MIN = 1024
PROJECTS = 1 << 24, 1 << 31
"""Project ids from the first on, and below the second, are chosen at random: administrators choose small ones."""
PREFIX = ".ocirt-disk-"

_libc = ctypes.CDLL(None, use_errno=True)


class Disk(HeldDirectory):
    """A directory with a quota, which is removed with it.

    :param place: a directory of a file system with project quotas.
    :param size: the most bytes.
    :raises HostError: the file system has no project quotas, or this user may not set one.
    """

    def __init__(self, place: str, size: int) -> None:
        try:
            super().__init__(place, PREFIX, _lift)
        except OSError as error:
            raise _failed(place, error) from None
        try:
            _limit(self.fileno(), size)
        except OSError as error:
            self.close()
            raise _failed(place, error) from None


def _failed(place: str, error: OSError) -> HostError:
    has_none = error.errno in (errno.ENOTTY, errno.EOPNOTSUPP, errno.ESRCH, errno.ENOSYS, errno.EINVAL)
    why = "its file system has no project quotas (ext4 and XFS have them with the mount option prjquota)"
    failure = HostError("disk_in", f"{place}: {why if has_none else reason(error)}")
    failure.errno = error.errno
    return failure


def _limit(fd: int, size: int) -> None:
    """Give the empty directory a project of its own with a quota.

    :raises OSError: the kernel refuses.
    """
    project = _new_project(fd)
    attributes = bytearray(FSXATTR.size)
    fcntl.ioctl(fd, FS_IOC_FSGETXATTR, attributes)
    flags, extent, extents, _, copies = FSXATTR.unpack(attributes)
    flags |= FS_XFLAG_PROJINHERIT
    fcntl.ioctl(fd, FS_IOC_FSSETXATTR, FSXATTR.pack(flags, extent, extents, project, copies))
    blocks, files = max(1, size // UNIT), max(FILES_MIN, size // UNIT)
    _set_quota(fd, project, blocks, files)


def _new_project(fd: int) -> int:
    """A project id that has no quota and no files."""
    while True:
        first, end = PROJECTS
        project = first + int.from_bytes(os.urandom(8), "little") % (end - first)
        found = ctypes.create_string_buffer(DQBLK.size)
        try:
            _quotactl(fd, Q_GETQUOTA, project, found)
        except FileNotFoundError:  # XFS has no record of it
            return project
        if not any(DQBLK.unpack(found.raw)[:6]):
            return project


def _set_quota(fd: int, project: int, blocks: int, files: int) -> None:
    values = DQBLK.pack(blocks, blocks, 0, files, files, 0, 0, 0, QIF_BLIMITS | QIF_ILIMITS)
    _quotactl(fd, Q_SETQUOTA, project, ctypes.create_string_buffer(values, DQBLK.size))


def _quotactl(fd: int, command: int, project: int, buffer: ctypes.Array[ctypes.c_char]) -> None:
    if _libc.syscall(SYS_QUOTACTL_FD, fd, command << 8 | PRJQUOTA, project, buffer) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _lift(fd: int) -> None:
    """Lift the quota of a directory that has been removed."""
    project = _project(fd)
    if project >= PROJECTS[0]:
        _set_quota(fd, project, 0, 0)


def _project(fd: int) -> int:
    """The project id of a directory; 0 on a file system that has none, where no quota was ever set."""
    attributes = bytearray(FSXATTR.size)
    try:
        fcntl.ioctl(fd, FS_IOC_FSGETXATTR, attributes)
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EOPNOTSUPP):
            raise
        return 0
    project: int = FSXATTR.unpack(attributes)[3]
    return project
