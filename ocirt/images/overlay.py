"""An overlay as its directories have it, without a mount: its merged tree, and what its upper directory changes.

The kernel's Documentation/filesystems/overlayfs.rst has the format. A character device 0/0 is a *whiteout*: the name is
removed. So is an empty file with the attribute ``overlay.whiteout``, in a directory whose ``overlay.opaque`` is ``x``.
Where ``overlay.opaque`` is ``y``, nothing of the directories below shows through. An overlay that was mounted in a user
namespace (with ``userxattr``) has these attributes as ``user.overlay.*``, any other one as ``trusted.overlay.*``.

So a reader needs no rights in the container's namespaces, sees none of its mounts, and gets the same answers whether
the container runs, is paused or has stopped.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import OcirtError
from .node import Node, failed, is_overlays, join, shown

Kind = Literal["added", "changed", "removed"]
TRUSTED, USER, NONE = "trusted.overlay.", "user.overlay.", ""
"""How the names of overlayfs' attributes begin. NONE: the tree is no overlay but one directory, in which no file is a
mark.
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between a container's root and the layers below it.

    :ivar path: the path in the container, absolute.
    :ivar kind: ``added``, ``changed`` or ``removed``. What was in a directory that has been removed is not named.
    """

    path: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a tree, while the tree is being read.

    :ivar path: the path from the root of the tree on, relative; empty for the root itself.
    :ivar node: the file, open until the next entry is asked for; ``None`` if it has been removed.
    :ivar kind: how it differs from the layers below, ``None`` if it does not.
    """

    path: str
    node: Node | None
    kind: Kind | None = None


class Part:
    """A directory of one layer, open for reading.

    :ivar layer: the path of the layer.
    """

    __slots__ = ("fd", "layer", "marks", "has_marked_files", "is_opaque")

    def __init__(self, fd: int, layer: str, marks: str) -> None:
        self.fd, self.layer, self.marks = fd, layer, marks
        try:
            value = os.getxattr(fd, f"{marks}opaque") if marks else b""
        except OSError:
            value = b""
        self.is_opaque = value == b"y"
        self.has_marked_files = value == b"x"

    def find(self, name: str) -> Node | None:
        return Node.find(self.fd, name)

    def hides(self, node: Node) -> bool:
        """Is the file of this directory a whiteout?"""
        if not self.marks:
            return False
        if node.is_whiteout:
            return True
        empty = self.has_marked_files and stat.S_ISREG(node.status.st_mode) and node.status.st_size == 0
        return empty and node.attribute(f"{self.marks}whiteout") is not None


class Merged:
    """A directory of an overlay: the directories of its layers, the topmost first.

    :param parts: belong to this object, which closes them.
    """

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts

    def close(self) -> None:
        for part in self.parts:
            os.close(part.fd)
        self.parts = []

    def names(self) -> dict[str, int]:
        """The names in all layers, those of whiteouts included: name -> the place of the topmost part that has it."""
        found: dict[str, int] = {}
        for place, part in enumerate(self.parts):
            for name in os.listdir(part.fd):
                found.setdefault(name, place)
        return found

    def find(self, name: str, start: int = 0) -> Node | None:
        """The file ``name``; ``None`` if no layer has it, or a layer above has removed it.

        :param start: the place of the first part that may have it.
        """
        for part in self.parts[start:]:
            node = part.find(name)
            if node is not None:
                if part.hides(node):
                    os.close(node.fd)
                    return None
                return node
        return None

    def descend(self, name: str, path: str) -> Merged:
        """The directory ``name`` of this one. It has no parts if there is no such directory.

        :param path: its path, for errors.
        """
        merged = Merged([])
        try:
            for part in self.parts:
                node = part.find(name)
                if node is None:
                    continue
                with node:
                    if part.hides(node) or not node.is_directory:
                        break
                    check_marks(node, path, part.marks)
                    merged.parts.append(Part(node.open_directory(), part.layer, part.marks))
                if merged.parts[-1].is_opaque:
                    break
        except BaseException:
            merged.close()
            raise
        return merged


def open_layers(paths: Sequence[str], marks: str) -> Merged:
    """The root of an overlay.

    :param paths: the directories of the layers, the topmost first. Their owner is trusted, what they contain is not.
    :param marks: how the names of overlayfs' attributes begin: TRUSTED, USER or NONE.
    :raises OcirtError: a layer cannot be opened.
    """
    merged = Merged([])
    try:
        for path in paths:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            merged.parts.append(Part(fd, path, marks))
    except OSError as error:
        merged.close()
        raise failed(path, error) from None
    return merged


def check_marks(node: Node, path: str, marks: str) -> None:
    """Refuse what only an overlay of others has: a directory or a file whose content is elsewhere in the layers below.

    :raises OcirtError: the file has such an attribute.
    """
    if not marks:
        return
    name, option = ("redirect", "redirect_dir") if node.is_directory else ("metacopy", "metacopy")
    regular = stat.S_ISREG(node.status.st_mode)
    if (node.is_directory or regular) and node.attribute(marks + name) is not None:
        raise OcirtError(
            f"/{shown(path)}: found the attribute {marks}{name}, expected an overlay that was mounted with "
            f"{option}=off, as ocirt mounts it"
        )


class _Level:
    """A directory on the way to the file that is being read.

    :ivar upper: the directory of the tree that is read.
    :ivar below: what its files are compared with.
    :ivar hides: does nothing of ``below`` show through?
    """

    __slots__ = ("path", "upper", "below", "hides", "names")

    def __init__(self, path: str, upper: Merged, below: Merged, hides: bool) -> None:
        self.path, self.upper, self.below, self.hides = path, upper, below, hides
        names = upper.names()
        if hides:
            names = below.names() | names
        self.names = sorted(names.items(), key=lambda each: os.fsencode(each[0]), reverse=True)

    def close(self) -> None:
        self.upper.close()
        self.below.close()

    def entry(self, name: str, place: int, path: str) -> Entry | None:
        """The entry of ``name`` in a merged tree, ``None`` if it is removed there."""
        node = self.upper.find(name, place)
        return None if node is None else Entry(path, node)

    def compared(self, name: str, path: str, with_times: bool) -> Entry | None:
        """The entry of ``name`` in an upper directory, ``None`` if neither that nor the layers below have it."""
        (part,) = self.upper.parts
        node = part.find(name)
        if node is not None and not part.hides(node):
            return Entry(path, node, _difference(node, self.below, name, with_times))
        if node is not None:
            os.close(node.fd)
        elif not self.hides:
            return None  # it has just been renamed
        return Entry(path, None, "removed") if _is_there(self.below, name) else None

    def descend(self, name: str, path: str, node: Node) -> _Level:
        """The directory ``node`` of this one, which has been found by ``name``."""
        below = self.below.descend(name, path)
        try:
            if len(self.upper.parts) == 1:  # this very directory, whatever has the name by now
                (part,) = self.upper.parts
                upper = Merged([Part(node.open_directory(), part.layer, part.marks)])
            else:
                upper = self.upper.descend(name, path)
        except BaseException:
            below.close()
            raise
        try:
            return _Level(path, upper, below, self.hides or any(part.is_opaque for part in upper.parts))
        except BaseException:
            upper.close()
            below.close()
            raise


def walk(upper: Merged, below: Merged | None = None, *, with_times: bool = True) -> Iterator[Entry]:
    """The files of a tree, each directory before what is in it, in the order of the bytes of their names.

    :param upper: the root of the tree. ``upper`` and ``below`` belong to this function, which closes them.
    :param below: the root of the layers below, with which the tree is compared. Then ``upper`` is the upper directory
        alone, and the removed files are among the entries.
    :param with_times: has a directory changed if its time alone has, because something in it was added or removed?
    :raises OcirtError: a directory cannot be read.
    """
    levels: list[_Level] = []
    path, upper_marks = "", upper.parts[0].marks
    try:
        levels.append(_Level("", upper, below or Merged([]), any(part.is_opaque for part in upper.parts)))
        yield from _root(levels[0])
        while levels:
            level = levels[-1]
            if not level.names:
                levels.pop().close()
                continue
            name, place = level.names.pop()
            path = join(level.path, name)
            entry = level.entry(name, place, path) if below is None else level.compared(name, path, with_times)
            if entry is None:
                continue
            if entry.node is None:
                yield entry
                continue
            with entry.node:
                check_marks(entry.node, path, upper_marks)
                yield entry
                if entry.node.is_directory:
                    levels.append(level.descend(name, path, entry.node))
    except OSError as error:
        raise failed(f"/{path}", error) from None
    finally:
        for level in levels:
            level.close()
        upper.close()
        if below is not None:
            below.close()


def _root(level: _Level) -> Iterator[Entry]:
    """The root itself. It has changed if its mode, owner or attributes are others; its times are those of changes in
    it.
    """
    upper, below = level.upper.parts, level.below.parts
    if upper:
        with Node(os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=upper[0].fd)) as node:
            if below:
                with Node(os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=below[0].fd)) as old:
                    changed = _rights(node) != _rights(old)
                if changed:
                    yield Entry("", node, "changed")
            else:
                yield Entry("", node)


def _is_there(below: Merged, name: str) -> bool:
    node = below.find(name)
    if node is None:
        return False
    os.close(node.fd)
    return True


def _difference(node: Node, below: Merged, name: str, with_times: bool) -> Kind | None:
    """How a file of the upper directory differs from that of the layers below. The kernel copies a directory up if
    something in it changes, so a directory counts only if it is another one than below.
    """
    old = below.find(name)
    if old is None:
        return "added"
    with old:
        if not (node.is_directory and old.is_directory):
            return "changed"
        is_later = with_times and node.status.st_mtime_ns != old.status.st_mtime_ns
        return "changed" if is_later or _rights(node) != _rights(old) else None


def _rights(node: Node) -> tuple[object, ...]:
    attributes = {name: value for name, value in node.attributes().items() if not is_overlays(name)}
    return node.status.st_mode, node.status.st_uid, node.status.st_gid, attributes


def changes(upper: str, lower: Sequence[str], marks: str) -> Iterator[Change]:
    """What the upper directory of an overlay changes.

    :param upper: the path of the upper directory.
    :param lower: the paths of the layers below, the topmost first.
    :param marks: TRUSTED or USER, see :func:`open_layers`.
    :raises OcirtError: a directory cannot be read.
    """
    top = open_layers([upper], marks)
    try:
        below = open_layers(lower, marks)
    except OcirtError:
        top.close()
        raise
    for entry in walk(top, below):
        if entry.kind is not None:
            yield Change(f"/{entry.path}", entry.kind)
