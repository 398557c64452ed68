"""Files of a tree that a container's programs have written, and may still be writing: each is held by a descriptor.

The container may be hostile: it may replace a directory by a link that leads out, at any moment. So nothing here follows
a path. A name is looked up in an open directory, without following a link, and gives a descriptor that only names the
file (O_PATH). What is said of the file and what is read from it comes from this descriptor. A fifo or a device is never
opened, because opening one can have effects.
"""

from __future__ import annotations

import errno
import os
import stat
from errno import EBADF, ENODATA, ENOENT, ENOTSUP
from types import TracebackType

from ..errors import OcirtError, reason

PATH_LIMIT = 4096
"""The kernel's PATH_MAX: no program reaches a longer path, except by steps."""
PREFIXES = ("trusted.overlay.", "user.overlay.")
"""The names of overlayfs' own attributes begin with one of these: with the second one if it was mounted in a user
namespace."""


class Node:
    """A file, directory, link or anything else in a directory, held by a descriptor.

    :ivar fd: the descriptor (O_PATH).
    :ivar status: what fstat(2) says of it.
    """

    __slots__ = ("fd", "status")

    def __init__(self, fd: int) -> None:
        self.fd, self.status = fd, os.fstat(fd)

    @classmethod
    def find(cls, directory: int, name: str) -> Node | None:
        """The file ``name`` in the open ``directory``; ``None`` if it does not exist, or not any more."""
        try:
            return cls(os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory))
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # no file has this name
                return None
            raise

    def __enter__(self) -> Node:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)

    @property
    def _path(self) -> str:
        """A path that leads to this file and nowhere else, even if it is a link."""
        return f"/proc/self/fd/{self.fd}"

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_whiteout(self) -> bool:
        """Is it overlayfs' mark for a removed file: a character device with the number 0/0?"""
        return stat.S_ISCHR(self.status.st_mode) and self.status.st_rdev == 0

    def open_directory(self) -> int:
        """A descriptor to list this directory."""
        return os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def open_file(self) -> int:
        """A descriptor to read this regular file. Its access time does not change, if the caller may ask for that."""
        flags = os.O_RDONLY | os.O_CLOEXEC
        try:
            return os.open(self._path, flags | os.O_NOATIME)
        except PermissionError:  # another user's file
            return os.open(self._path, flags)

    def target(self) -> str:
        """Where this link leads."""
        return os.readlink("", dir_fd=self.fd)

    def attributes(self) -> dict[str, bytes]:
        """The extended attributes that the caller may see, by name, sorted."""
        try:
            names = sorted(os.listxattr(self._path))
        except OSError as error:
            if error.errno in (ENOTSUP, EBADF, ENOENT):
                return {}
            raise
        values = [(name, self.attribute(name)) for name in names]
        return {name: value for name, value in values if value is not None}

    def attribute(self, name: str) -> bytes | None:
        """An extended attribute; ``None`` if the file does not have it."""
        try:
            return os.getxattr(self._path, name)
        except OSError as error:
            if error.errno in (ENODATA, ENOTSUP):
                return None
            raise


def is_overlays(name: str) -> bool:
    """Does the extended attribute ``name`` belong to overlayfs?"""
    return name.startswith(PREFIXES)


def join(folder: str, name: str) -> str:
    """The path of ``name`` in the directory ``folder``, both paths from the root of the tree on.

    :raises OcirtError: no program could reach the path.
    """
    path = f"{folder}/{name}" if folder else name
    if len(os.fsencode(path)) >= PATH_LIMIT:
        raise OcirtError(
            f"{shown(path[:60])}...: found a path of more than {PATH_LIMIT - 1} bytes, expected a shorter one"
        )
    return path


def shown(path: str) -> str:
    """``path`` as one line for a person: control characters, line ends and bytes that are not UTF-8 as escapes."""
    return "".join(each if each.isprintable() else _escape(each) for each in path)


def _escape(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))


def failed(path: str, error: OSError) -> OcirtError:
    """The error of a file at ``path`` in the tree that cannot be read."""
    return OcirtError(f"{shown(path)}: {reason(error)}")
