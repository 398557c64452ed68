"""Tar archives of a container's files: layers, in the form of the OCI image specification, and whole roots.

The same files give the same bytes: entries are in the order of their paths, numbers have one form, and nothing of this
process, this host or this moment is in an archive. The form is POSIX.1-2001's (pax) where ustar's is too small, as
other tools write it. Times are whole seconds, which all tools can read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator

from ..errors import OcirtError
from .ids import CAPABILITY, Owners
from .node import Node, failed, is_overlays, shown
from .overlay import Entry

BLOCK = 512
RECORD = 20 * BLOCK
"""An archive ends at a multiple of this."""
CHUNK = 1 << 20
WHITEOUT = ".wh."
"""In a layer, a file whose name begins so says that the file with the rest of the name is removed."""
REGULAR, LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO, PAX = b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"x"
"""Types of an entry."""
KEPT = ("user.",)
"""Extended attributes that belong to an image, beside CAPABILITY. The others (labels, access control lists, trusted.*)
mean something on their host alone, and no tool that makes images keeps them."""

Warn = Callable[[str], object]


class Archive:
    """An archive, as an iterator of its bytes. It is made while it is read, so that no part of it is kept.

    :param owners: maps the owners of the files.
    :param newest: the time of an entry is this one if it is later; in seconds since the epoch.
    :param warn: gets a line about each file that an archive cannot have.
    :param limit: the most bytes of the archive: a container can make a file of any size that occupies nothing.
    """

    def __init__(
        self,
        owners: Owners | None = None,
        *,
        newest: int | None = None,
        warn: Warn | None = None,
        limit: int | None = None,
    ) -> None:
        self._owners, self._newest, self._limit = owners or Owners(), newest, limit
        self._warn: Warn = warn or (lambda line: None)
        self._links: dict[tuple[int, int], str] = {}
        self._size = 0

    def layer(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        """The entries of an upper directory as a layer.

        :raises OcirtError: a file cannot be read, or a layer cannot have it.
        """
        for entry in entries:
            folder, slash, name = entry.path.rpartition("/")
            if name.startswith(WHITEOUT):
                raise OcirtError(
                    f'/{shown(entry.path)}: found a name that begins with "{WHITEOUT}", which in a layer means a removed '
                    "file; rename or remove it"
                )
            if entry.node is None:
                yield self._header(folder + slash + WHITEOUT + name, REGULAR, 0)
            else:
                yield from self._add(entry.path, entry.node)
        yield self._end()

    def tree(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        """The entries of a whole tree.

        :raises OcirtError: a file cannot be read.
        """
        for entry in entries:
            if entry.node is not None:
                yield from self._add(entry.path, entry.node)
        yield self._end()

    def _end(self) -> bytes:
        end = 2 * BLOCK
        return bytes(end + -(self._size + end) % RECORD)

    def _add(self, path: str, node: Node) -> Iterator[bytes]:
        try:
            head = self._head(path, node)
            yield head
            if head and stat.S_ISREG(node.status.st_mode) and not self._is_link(path, node):
                yield from self._content(path, node)
        except OSError as error:
            raise failed(f"/{path}", error) from None

    def _is_link(self, path: str, node: Node) -> bool:
        """Has the archive this file already, under another name?"""
        status = node.status
        if status.st_nlink == 1 or node.is_directory:
            return False
        return self._links.setdefault((status.st_dev, status.st_ino), path) != path

    def _head(self, path: str, node: Node) -> bytes:
        """The header of a file; empty if an archive cannot have the file."""
        status, mode = node.status, node.status.st_mode
        if stat.S_ISSOCK(mode):
            self._warn(f"/{shown(path)}: left out, because an archive cannot have a socket")
            return b""
        if self._is_link(path, node):
            return self._header(path, LINK, 0, node, self._links[status.st_dev, status.st_ino])
        if stat.S_ISREG(mode):
            return self._header(path, REGULAR, status.st_size, node)
        if stat.S_ISDIR(mode):
            return self._header(f"{path or '.'}/", DIRECTORY, 0, node)
        if stat.S_ISLNK(mode):
            return self._header(path, SYMLINK, 0, node, node.target())
        if stat.S_ISFIFO(mode):
            return self._header(path, FIFO, 0, node)
        return self._header(path, CHARACTER if stat.S_ISCHR(mode) else BLOCK_DEVICE, 0, node)

    def _content(self, path: str, node: Node) -> Iterator[bytes]:
        """The content of a file, as long as its header says."""
        size = node.status.st_size
        if self._limit is not None and self._size + size > self._limit:
            raise OcirtError(
                f"/{shown(path)}: found a file of {size} bytes, with which the archive would have more than the "
                f"{self._limit} bytes that it may have"
            )
        fd, left = node.open_file(), size
        try:
            while left:
                data = os.read(fd, min(left, CHUNK))
                if not data:
                    raise OcirtError(f"/{shown(path)}: became shorter while it was read; pause the container")
                yield data
                left -= len(data)
        finally:
            os.close(fd)
        yield bytes(-size % BLOCK)
        self._size += size + -size % BLOCK

    def _header(self, path: str, kind: bytes, size: int, node: Node | None = None, link: str = "") -> bytes:
        """The header of an entry, and before it what ustar's form has no room for.

        :param node: the file; ``None`` for a whiteout.
        """
        name, target = os.fsencode(path), os.fsencode(link)
        mode, user, group, seconds, device = 0, 0, 0, 0, 0
        records: dict[bytes, bytes] = {}
        if node is not None:
            status = node.status
            mode = stat.S_IMODE(status.st_mode)
            device = status.st_rdev if kind in (CHARACTER, BLOCK_DEVICE) else 0
            user, group = self._owners.user(status.st_uid), self._owners.group(status.st_gid)
            seconds = status.st_mtime_ns // 1_000_000_000
            records = self._attributes(node) if kind != LINK else {}
        if self._newest is not None:
            seconds = min(seconds, self._newest)
        room, prefix = _divided(name)
        if room is None:
            records[b"path"] = name
            room = name[:100]
        if len(target) > 100 or not target.isascii():
            records[b"linkpath"] = target
        numbers = [mode, user, group, size, seconds]
        for place, (key, digits) in enumerate(((b"", 7), (b"uid", 7), (b"gid", 7), (b"size", 11), (b"mtime", 11))):
            if not 0 <= numbers[place] < 8**digits:
                records[key] = b"%d" % numbers[place]
                numbers[place] = 0
        data = b"".join([_record(key, value) for key, value in sorted(records.items())])
        extended = b""
        if data:
            extended = _ustar(b"./PaxHeaders/entry", b"", PAX, [0o644, 0, 0, len(data), 0], b"", 0)
            extended += data + bytes(-len(data) % BLOCK)
        header = extended + _ustar(room, prefix, kind, numbers, target[:100], device)
        self._size += len(header)
        return header

    def _attributes(self, node: Node) -> dict[bytes, bytes]:
        found = {}
        for name, value in node.attributes().items():
            if name == CAPABILITY:
                value = self._owners.capability(value)
            elif is_overlays(name) or not name.startswith(KEPT):
                continue
            found[b"SCHILY.xattr." + os.fsencode(name)] = value
        return found


def _divided(name: bytes) -> tuple[bytes | None, bytes]:
    """A path in ustar's two fields: the name, ``None`` if the fields have no room for it, and the directory before
    it.
    """
    # Only ASCII is the same in every reader's encoding; a pax record is UTF-8.
    if not name.isascii():
        return None, b""
    if len(name) <= 100:
        return name, b""
    cut = name.find(b"/", len(name) - 101)
    return (name[cut + 1 :], name[:cut]) if 0 < cut <= 155 and cut + 1 < len(name) else (None, b"")


def _record(key: bytes, value: bytes) -> bytes:
    """A pax record, which begins with its own length."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d%b" % (length, rest)


def _ustar(name: bytes, prefix: bytes, kind: bytes, numbers: list[int], link: bytes, device: int) -> bytes:
    """A header of 512 bytes, as POSIX defines it."""
    mode, user, group, size, seconds = numbers
    head = b"".join(
        [
            name.ljust(100, b"\0"),
            b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, user, group, size, seconds),
        ]
    )
    tail = b"".join(
        [
            kind,
            link.ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),  # names of the user and the group, which are those of a host
            b"%07o\0%07o\0" % (os.major(device), os.minor(device)),
            prefix.ljust(155, b"\0"),
            bytes(12),
        ]
    )
    checksum = sum(head) + 8 * ord(" ") + sum(tail)
    return head + b"%06o\0 " % checksum + tail
