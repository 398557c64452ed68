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
import tempfile
from contextlib import suppress
from weakref import finalize

from ..errors import HostError, reason
from .remove import remove_beneath

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


class Disk:
    """A directory with a quota. It is removed when nothing refers to this object any more, or with :meth:`close`.

    If this process is killed, the directory stays; the next one in the same place removes it.

    :param place: a directory of a file system with project quotas.
    :param size: the most bytes.
    :ivar path: of the directory. Only this user can reach it.
    :raises HostError: the file system has no project quotas, or this user may not set one.
    """

    def __init__(self, place: str, size: int) -> None:
        try:
            above = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _failed(place, error) from None
        try:
            fcntl.flock(above, fcntl.LOCK_EX)  # until the new directory has a lock of its own
            _remove_left(above)
            self.path = tempfile.mkdtemp(prefix=PREFIX, dir=place)
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._removed = finalize(self, _remove, self.path, fd)
            fcntl.flock(fd, fcntl.LOCK_EX)
            try:
                _limit(fd, size)
            except OSError as error:
                self.close()
                raise _failed(place, error) from None
        finally:
            os.close(above)

    def close(self) -> None:
        """Remove the directory, and its quota."""
        self._removed()


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


def _remove(path: str, fd: int) -> None:
    """Remove a directory whose descriptor is the last use of it."""
    above = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _remove_with_quota(above, os.path.basename(path), fd)
    finally:
        os.close(above)


def _remove_with_quota(above: int, name: str, fd: int) -> None:
    try:
        project = _project(fd)
        with suppress(FileNotFoundError):
            remove_beneath(above, name)
        if project >= PROJECTS[0]:
            _set_quota(fd, project, 0, 0)
    finally:
        os.close(fd)


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


def _remove_left(above: int) -> None:
    """Remove what processes that were killed have left: nobody has a lock on it. The caller has one on ``above``."""
    for name in os.listdir(above):
        if not name.startswith(PREFIX):
            continue
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                continue
            _remove_with_quota(above, name, fd)
