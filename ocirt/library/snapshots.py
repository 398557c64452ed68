"""Snapshots: the upper directories of a sandbox, copied to become lower layers of others. Everything is read and
written through descriptors; the sandbox is paused meanwhile.
"""

from __future__ import annotations

import copy
import os
import stat
from contextlib import suppress
from errno import ENODATA, ENOTSUP, ENXIO
from typing import TypeVar

from ..errors import OcirtError, reason
from .description import Description
from .held_directory import HeldDirectory
from .remove import LEVELS_MAX
from .session import EXECUTABLE, Session

CHUNK = 1 << 20
PREFIX = "ocirt-snapshot-"
Kind = TypeVar("Kind", bound=Description)


class Snapshot(HeldDirectory):
    """The layers of a snapshot: a directory of the host with one directory for each overlay.

    :param place: where the directory is made.
    :raises OSError: it cannot be made.
    """

    def __init__(self, place: str) -> None:
        super().__init__(place, PREFIX)

    def layer(self, number: int) -> str:
        return os.path.join(self.path, str(number))


def take(session: Session, directory: str | os.PathLike[str]) -> Snapshot:
    """Copy the upper directories of a session.

    :param directory: where the snapshot gets a directory of its own.
    :raises OcirtError: this fails. Nothing of it remains.
    """
    try:
        found = Snapshot(os.fspath(directory))
    except OSError as error:
        raise OcirtError(f"snapshot in {directory}: {reason(error)}") from None
    try:
        for number, _ in enumerate(session.overlays):
            os.mkdir(found.layer(number), 0o755)
            _copy_tree(session.upper(number), found.layer(number))
        with suppress(FileNotFoundError):
            os.unlink(found.layer(0) + EXECUTABLE)
    except BaseException as error:
        found.close()
        if isinstance(error, OSError):
            raise OcirtError(f"snapshot in {directory}: {reason(error)}") from None
        raise
    return found


def forks(sandbox: Kind, snapshot: Snapshot, count: int) -> list[Kind]:
    """Sandboxes like ``sandbox`` that begin with a snapshot.

    :raises OcirtError: the snapshot has been closed.
    """
    if snapshot.is_closed:
        raise OcirtError("fork: the snapshot has been closed, and its layers are removed")
    made = []
    for _ in range(count):
        fork = copy.copy(sandbox)
        fork.base = snapshot
        fork.content = {}
        fork.layers = (snapshot.layer(0), *sandbox.layers)
        fork.copies = {
            path: (snapshot.layer(number), *lower) for number, (path, lower) in enumerate(sandbox.copies.items(), 1)
        }
        made.append(fork)
    return made


def _copy_tree(source: str, target: str) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    levels = [(os.open(source, flags), os.open(target, flags))]
    names = [os.listdir(levels[0][0])]
    try:
        _copy_attributes(*levels[0])
        while levels:
            if not names[-1]:
                _leave(*levels.pop())
                names.pop()
                continue
            name, (above, below) = names[-1].pop(), levels[-1]
            held = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
            try:
                if not stat.S_ISDIR(os.fstat(held).st_mode):
                    _copy_file(held, below, name)
                    continue
                if len(levels) == LEVELS_MAX:
                    raise OcirtError(f"snapshot: found more than {LEVELS_MAX} directories in each other")
                os.mkdir(name, 0o700, dir_fd=below)
                inner = os.open(f"/proc/self/fd/{held}", flags)
                levels.append((inner, os.open(name, flags | os.O_NOFOLLOW, dir_fd=below)))
                names.append(os.listdir(inner))
                _copy_attributes(*levels[-1])
            finally:
                os.close(held)
    finally:
        for pair in levels:
            os.close(pair[0])
            os.close(pair[1])


def _leave(source: int, target: int) -> None:
    """Finish a directory: its times are those of the last change in it."""
    try:
        status = os.fstat(source)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(source)
        os.close(target)


def _copy_file(held: int, below: int, name: str) -> None:
    status = os.fstat(held)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFLNK:
        os.symlink(os.readlink("", dir_fd=held), name, dir_fd=below)
        if os.geteuid() == 0:
            os.chown(name, status.st_uid, status.st_gid, dir_fd=below, follow_symlinks=False)
    elif kind == stat.S_IFREG:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        source, target = os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_CLOEXEC), -1
        try:
            target = os.open(name, flags, 0o600, dir_fd=below)
            _copy_content(source, target, status.st_size)
            _copy_attributes(source, target)
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(source)
            if target >= 0:
                os.close(target)
    elif kind == stat.S_IFIFO or (kind == stat.S_IFCHR and status.st_rdev == 0):  # the second is a whiteout
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=below)
        if kind == stat.S_IFIFO and os.geteuid() == 0:
            os.chown(name, status.st_uid, status.st_gid, dir_fd=below, follow_symlinks=False)
    # A socket has no meaning without the process that has bound it.


def _copy_content(source: int, target: int, size: int) -> None:
    """Copy the parts of a file that are no holes: a file of any size may occupy nothing."""
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == ENXIO:  # only a hole is left
                break
            raise
        end = min(os.lseek(source, at, os.SEEK_HOLE), size)
        while at < end:
            data = os.pread(source, min(CHUNK, end - at), at)
            if not data:
                break
            at += os.pwrite(target, data, at)
        if at < end:
            break
    os.ftruncate(target, size)


def _copy_attributes(source: int, target: int) -> None:
    """Copy owner, mode, and extended attributes, overlayfs' own marks included."""
    status = os.fstat(source)
    if os.geteuid() == 0:
        os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    try:
        names = os.listxattr(source)
    except OSError as error:
        if error.errno != ENOTSUP:
            raise
        return
    for name in names:
        if name.startswith(("trusted.overlay.", "user.")):
            _copy_attribute(source, target, name)


def _copy_attribute(source: int, target: int, name: str) -> None:
    try:
        os.setxattr(target, name, os.getxattr(source, name))
    except OSError as error:
        # A program's own attribute may be lost where the file system has none of users; a mark of overlayfs may not.
        if error.errno not in (ENODATA, ENOTSUP) or (error.errno == ENOTSUP and ".overlay." in name):
            raise
