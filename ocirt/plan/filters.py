"""Kept seccomp filters: compiling a config with a known profile needs neither libseccomp nor ctypes, even if the rest
of the config is new. The filters are in the directory of the kept programs (:mod:`.cache`). That may be on a disk, so
an entry names its boot: the features of a kernel may differ after the next one.

An entry is, little-endian and without gaps (a *span* is a length of 4 bytes and as many bytes):

    magic 8 bytes, build id, boot id
    span      linux.seccomp, its values in marshal's format
    span      the libseccomp that compiled it: path, device, inode, size and time of its file
    flags     the SECCOMP_FILTER_FLAG_* bits that the kernel knows, 4 bytes
    span      the filter: struct sock_filter, 8 bytes each
    hash      of all that, 8 bytes, to detect damage

A reader compares the whole entry; the hash in its name only finds it. This module is imported only for a config with a
profile.
"""

import posix
from _imp import source_hash
from marshal import dumps

from .cache import FILTER_MAGIC, KIND, REGULAR, write
from .encode import BUILD_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.json import Members

SIZE_MAX = 1 << 20
HASH_KEY = 0
WRITABLE_BY_OTHERS = 0o022
BOOT_SIZE = 36


class Filters:
    """The filters in a directory that only the caller may write, which the launcher has checked.

    :param build: the build id of this installation.
    """

    __slots__ = ("directory", "build", "_made")

    def __init__(self, directory: str, build: str) -> None:
        self.directory, self.build = directory, build
        self._made: tuple[Members, int, bytes] | None = None

    def find(self, profile: "Members") -> tuple[int, bytes] | None:
        """The flags that the kernel knows, and the filter; ``None`` if the directory has none for exactly this
        ``profile``.
        """
        wanted = self._head(profile)
        data = _read(self._path(wanted))
        if data is None or not data.startswith(wanted) or data[-8:] != source_hash(HASH_KEY, data[:-8]):
            return None
        library, rest = _span(data[len(wanted) : -8])
        if library != _identity(library.partition(b"\0")[0]):
            return None
        return int.from_bytes(rest[:4], "little"), _span(rest[4:])[0]

    def made(self, profile: "Members", flags: int, filter: bytes) -> None:
        """Remember a compiled filter, for :meth:`keep`."""
        self._made = profile, flags, filter

    def keep(self) -> None:
        """Write an entry for the remembered filter, if there is one. A failed write is no error."""
        if self._made is None:
            return
        profile, flags, filter = self._made
        head, library = self._head(profile), _identity(_loaded())
        if library:
            data = head + _sized(library) + flags.to_bytes(4, "little") + _sized(filter)
            write(self._path(head), data + source_hash(HASH_KEY, data))

    def _head(self, profile: "Members") -> bytes:
        # In this version of marshal's format, equal values have equal bytes.
        return FILTER_MAGIC + self.build.encode().ljust(BUILD_SIZE, b"\0") + _boot() + _sized(dumps(profile, 2))

    def _path(self, head: bytes) -> str:
        return f"{self.directory}/filter.{source_hash(HASH_KEY, head).hex()}"


def _boot() -> bytes:
    """The id of this boot, 36 letters."""
    fd = posix.open("/proc/sys/kernel/random/boot_id", posix.O_RDONLY | posix.O_CLOEXEC)
    boot = posix.read(fd, BOOT_SIZE)
    posix.close(fd)
    return boot


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def _span(data: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(data[:4], "little")
    return data[4 : 4 + size], data[4 + size :]


def _read(path: str) -> bytes | None:
    """The content of the file; ``None`` if it does not exist, or if another user may have written it."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK)
    except OSError:
        return None
    found = posix.fstat(fd)
    good = (
        found.st_mode & KIND == REGULAR
        and found.st_uid == posix.geteuid()
        and not found.st_mode & WRITABLE_BY_OTHERS
        and found.st_nlink == 1
        and found.st_size <= SIZE_MAX
    )
    data = posix.read(fd, found.st_size) if good else None
    posix.close(fd)
    return data


def _identity(path: bytes) -> bytes:
    """Path, device, inode, size and time of a file; empty if it cannot be reached."""
    try:
        found = posix.stat(path)
    except (OSError, ValueError):
        return b""
    return path + f"\0{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}".encode()


def _loaded() -> bytes:
    """The path of the libseccomp that this process has loaded."""
    with open("/proc/self/maps", "rb") as file:
        return next((line.split(None, 5)[5].rstrip(b"\n") for line in file if b"/libseccomp.so" in line), b"")
