"""Files of a container, read and written from outside: a program in the container may be hostile, and may run.

Each file system of the container that the library reaches is held by a descriptor of its root. A path is resolved by
openat2(2) from there: nothing leads out of that file system, neither a link nor ``..`` nor a mount. What is found is
held by a descriptor (O_PATH) before anything is asked of it; only regular files are opened, and never so that the open
could wait. A file is written under a new name and then renamed, so that what is at its place is never opened.
"""

from __future__ import annotations

import ctypes
import os
import posixpath
import stat
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EAGAIN, ELOOP, EXDEV

from ..errors import reason
from ..failures import FileError
from .arguments import Size, size, wrong
from .arguments import content as checked_content
from .remove import remove_beneath

SYS_OPENAT2 = 437
RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT = 0x01, 0x02, 0x08, 0x10
OPEN_HOW = struct.Struct("=QQQ")
"""struct open_how of linux/openat2.h: flags, mode, resolve."""
RETRIES = 100
"""How often to repeat a lookup that the kernel gives up because of renames meanwhile (EAGAIN)."""
SIZE_MAX = 64 << 20
NAMES_MAX = 100_000
MODE_MAX = 0o7777

_libc = ctypes.CDLL(None, use_errno=True)


def openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    """Open a path beneath a directory.

    :raises OSError: the kernel refuses.
    """
    how = OPEN_HOW.pack(flags | os.O_CLOEXEC, 0, resolve)
    for _ in range(RETRIES):
        fd = int(_libc.syscall(SYS_OPENAT2, directory, os.fsencode(path), how, OPEN_HOW.size))
        error = ctypes.get_errno()
        if fd >= 0 or error != EAGAIN:
            break
    if fd < 0:
        raise OSError(error, os.strerror(error))
    return fd


def absolute(path: str) -> str:
    """``path`` as a path of the container without ``.``, ``..`` and double slashes.

    :raises FileError: it is no absolute path.
    """
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise FileError(f"{path!r}: expected an absolute path in the container, like '/tmp/data'", str(path))
    return "/" + posixpath.normpath(path).lstrip("/")


@contextmanager
def told(path: str, doing: str) -> Iterator[None]:
    """Turn an OSError into a FileError."""
    try:
        yield
    except OSError as error:
        why = {
            EXDEV: "the path leads out of its file system, by a link or a mount, which is refused",
            ELOOP: "the path has a loop of links, or a link into /proc, which is refused",
        }.get(error.errno or 0, reason(error))
        failure = FileError(f"{doing} {path} in the sandbox: {why}", path)
        failure.errno = error.errno
        raise failure from None


class Files:
    """The files of a sandbox. The paths are absolute, and those of the container: ``"/tmp/data"``.

    A link in a path leads to where it leads in the container, but not out of its file system: the root is one, each
    :class:`ocirt.Copy` is one. ``files["/path"]`` reads a file.

    It is safe to use while hostile programs run in the container, and after they have ended.

    :param roots: descriptors of the roots of the file systems, by their paths in the container. This object owns them.
    :param owner: uid and gid of what is written.
    :param disk: what must last as long as the files.
    """

    def __init__(self, roots: Mapping[str, int], owner: tuple[int, int], disk: object = None) -> None:
        self._roots, self._owner, self._disk = dict(roots), owner, disk

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_finalizing():
            self.close()

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ocirt.Files of {', '.join(sorted(self._roots)) or 'nothing'}>"

    def close(self) -> None:
        """Let the files go: what is in memory is freed as soon as no container has it."""
        while self._roots:
            os.close(self._roots.popitem()[1])
        self._disk = None

    def __getitem__(self, path: str) -> bytes:
        return self.read(path)

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, str):
            return False
        try:
            os.close(self._open(absolute(path), os.O_PATH))
        except (OSError, FileError):
            return False
        return True

    def _place(self, path: str) -> tuple[int, str, int]:
        """The root that has ``path``, the rest of the path, and how it is resolved there."""
        fitting = [each for each in self._roots if path == each or path.startswith(each.rstrip("/") + "/")]
        if not fitting:
            raise FileError(f"{path}: the sandbox has no file system any more that has this path", path)
        at = max(fitting, key=len)
        way = RESOLVE_IN_ROOT if at == "/" else RESOLVE_BENEATH
        return self._roots[at], path[len(at) :].lstrip("/") or ".", way | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS

    def _open(self, path: str, flags: int) -> int:
        root, rest, resolve = self._place(path)
        return openat2(root, rest, flags, resolve)

    def read(self, path: str, *, max_size: Size = SIZE_MAX) -> bytes:
        """The content of a regular file.

        :param max_size: the most bytes that the file may have, a number or text like ``"1m"``.
        :raises FileError: there is no such file, it is no regular file, or it is larger.
        """
        path, limit = absolute(path), size("max_size", max_size)
        with told(path, "read"):
            held = self._open(path, os.O_PATH)
            try:
                self._check(held, path, limit)
                # A program may hold a lease on the file (fcntl(2)), for which an open would wait without O_NONBLOCK.
                fd = os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            finally:
                os.close(held)
            with open(fd, "rb", buffering=0) as file:
                return _content(file.fileno(), path, limit)

    @staticmethod
    def _check(fd: int, path: str, limit: int) -> None:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise FileError(f"read {path} in the sandbox: found {_kind(status.st_mode)}, expected a regular file", path)
        if status.st_size > limit:
            raise _too_large(path, status.st_size, limit)

    def list(self, path: str, *, max_names: int = NAMES_MAX) -> list[str]:
        """The names in a directory, sorted.

        :param max_names: how many names there may be.
        :raises FileError: there is no such directory, or it has more names.
        """
        path = absolute(path)
        found: list[str] = []
        with told(path, "list"):
            fd = self._open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                with os.scandir(fd) as entries:
                    for entry in entries:
                        found.append(entry.name)
                        if len(found) > max_names:
                            raise FileError(f"list {path} in the sandbox: found more than {max_names} names", path)
            finally:
                os.close(fd)
        return sorted(found)

    def write(self, path: str, data: bytes | str, *, mode: int = 0o644) -> None:
        """Write a file, and make the directories that lead to it. A file that exists is replaced, whatever it is.

        :param data: the content; text is written as UTF-8.
        :param mode: the file's permissions.
        :raises FileError: it cannot be written: the disk is full, for example.
        """
        given, path = path, absolute(path)
        folder, name = posixpath.split(path)
        content = checked_content("data", data)
        if not isinstance(mode, int) or not 0 <= mode <= MODE_MAX:
            raise wrong("mode", mode, "permissions, like 0o644")
        if not name or given.endswith("/"):
            raise FileError(
                f"write {given} in the sandbox: found the path of a directory, expected that of a file", given
            )
        with told(path, "write"):
            directory = self._make(folder)
            try:
                self._write(directory, name, content, mode)
            finally:
                os.close(directory)

    def _write(self, directory: int, name: str, content: bytes, mode: int) -> None:
        hidden = f".ocirt-{os.urandom(8).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(hidden, flags, 0o600, dir_fd=directory)
        try:
            with open(fd, "wb", buffering=0) as file:
                rest = memoryview(content)
                while rest:
                    rest = rest[file.write(rest) :]
                self._give(file.fileno())
                os.fchmod(file.fileno(), mode)
            os.rename(hidden, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with suppress(OSError):
                os.unlink(hidden, dir_fd=directory)
            raise

    def _give(self, fd: int) -> None:
        """Give a file to the program's user, if the caller may do so."""
        if os.geteuid() == 0:
            os.fchown(fd, *self._owner)

    def directory(self, path: str) -> int:
        """A descriptor (O_PATH) of the directory ``path``, which is made if it is missing."""
        with told(path, "make"):
            return self._make(absolute(path))

    def _make(self, folder: str) -> int:
        """The directory ``folder``, which is made if it is missing."""
        try:
            return self._open(folder, os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            if folder == "/":
                raise
        above, name = posixpath.split(folder)
        parent = self._make(above)
        try:
            with suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=parent)
                made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
                try:
                    self._give(made)
                    os.fchmod(made, 0o755)
                finally:
                    os.close(made)
        finally:
            os.close(parent)
        return self._open(folder, os.O_PATH | os.O_DIRECTORY)

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with everything in it. A link is removed, not what it leads to.

        :raises FileError: it does not exist, or a mount of the sandbox is in it.
        """
        path = absolute(path)
        folder, name = posixpath.split(path)
        with told(path, "remove"):
            if not name:
                raise FileError("remove / in the sandbox: the root stays", path)
            directory = self._open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                remove_beneath(directory, name)
            finally:
                os.close(directory)


def _content(fd: int, path: str, limit: int) -> bytes:
    """What is in the file, which may grow meanwhile."""
    data = bytearray()
    while part := os.read(fd, min(1 << 20, limit + 1 - len(data))):
        data += part
        if len(data) > limit:
            raise _too_large(path, len(data), limit)
    return bytes(data)


def _too_large(path: str, found: int, limit: int) -> FileError:
    return FileError(
        f"read {path} in the sandbox: found {found} bytes, expected at most {limit}; max_size= allows more", path
    )


def _kind(mode: int) -> str:
    names = {stat.S_IFDIR: "a directory", stat.S_IFLNK: "a link", stat.S_IFIFO: "a fifo", stat.S_IFSOCK: "a socket"}
    return names.get(stat.S_IFMT(mode), "a device")
