"""What the programs of a sandbox have changed: the entries of its overlays' upper directories."""

from __future__ import annotations

import difflib
import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import suppress

from ..errors import OcirtError, reason
from ..failures import FileError
from ..images.layer_tar import Archive
from ..images.node import shown
from ..images.overlay import TRUSTED, USER, Change, Entry, open_layers, walk
from .arguments import Size, size
from .inside import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, SIZE_MAX, openat2, told
from .remove import remove_beneath
from .session import Session

DIFF_MAX = 1 << 20
"""A file larger than this is not compared line by line."""


class Changes:
    """What programs have added, changed and removed, as an iterator of :class:`Change` in the order of the paths of each
    file system: first the root, then each ``Copy``. What ``files`` has put there counts only if a program has changed it,
    and a directory only if its owner, mode or attributes are others.

    Programs may have chosen every name and every content.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __iter__(self) -> Iterator[Change]:
        for number, (top, _) in enumerate(self._session.overlays):
            for entry in self._entries(number):
                if entry.kind is not None:
                    yield Change(posixpath.join(top, entry.path), entry.kind)

    def __repr__(self) -> str:
        return f"<ocirt.Changes of {self._session.files!r}>"

    def _entries(self, number: int) -> Iterator[Entry]:
        """The entries of an overlay, without what was there before any program ran."""
        session = self._session
        if session.scratch is None:
            raise OcirtError("the files of this sandbox have been closed")
        marks = USER if session.sandbox.is_in_user_namespace else TRUSTED
        upper = open_layers([session.upper(number)], marks)
        try:
            below = open_layers(session.overlays[number][1], marks)
        except OcirtError:
            upper.close()
            raise
        for entry in walk(upper, below, with_times=False):
            if entry.path and (entry.node is None or session.is_new(number, entry.path, entry.node.status)):
                yield entry

    def diff(self) -> str:
        """The changes of text files as a unified diff, as ``diff -u`` writes it; of other files one line each."""
        lines: list[str] = []
        for number, (top, lower) in enumerate(self._session.overlays):
            for entry in self._entries(number):
                if entry.kind is None or (entry.node is not None and entry.node.is_directory):
                    continue
                path = posixpath.join(top, entry.path)
                old = _text_below(lower, entry.path)
                new = self._text(path, entry)
                if old is None or new is None:
                    lines.append(f"{entry.kind}: {shown(path)}\n")
                    continue
                begin, end = f"a{shown(path)}", f"b{shown(path)}"
                for line in difflib.unified_diff(old.splitlines(True), new.splitlines(True), begin, end):
                    lines.append(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n")
        return "".join(lines)

    def _text(self, path: str, entry: Entry) -> str | None:
        """The content of a file now: empty if it has been removed, ``None`` if it is no small text."""
        if entry.node is None:
            return ""
        if not stat.S_ISREG(entry.node.status.st_mode) or entry.node.status.st_size > DIFF_MAX:
            return None
        with open(entry.node.open_file(), "rb") as file:
            return _decoded(file.read(DIFF_MAX + 1))

    def save(self, path: str | os.PathLike[str], *, max_size: Size = 1 << 32) -> None:
        """Write the changes as a tar archive, in the form of an image's layer: a file ``.wh.NAME`` says that NAME has been
        removed. Paths begin at the sandbox's root, so a ``Copy`` is in a directory of its own.

        :param path: of the archive on the host.
        :param max_size: the most bytes of the archive.
        :raises OcirtError: the archive would be larger, cannot be written, or cannot have a file.
        """
        archive = Archive(limit=size("max_size", max_size))
        temporary = f"{os.fspath(path)}.{os.urandom(4).hex()}"
        try:
            with open(temporary, "xb") as file:
                for part in archive.layer(self._all()):
                    file.write(part)
            os.replace(temporary, path)
        except BaseException as error:
            with suppress(OSError):
                os.unlink(temporary)
            if isinstance(error, OSError):
                raise OcirtError(f"save {os.fspath(path)}: {reason(error)}") from None
            raise

    def _all(self) -> Iterator[Entry]:
        for number, (top, _) in enumerate(self._session.overlays):
            for entry in self._entries(number):
                yield Entry(posixpath.join(top, entry.path).lstrip("/"), entry.node, entry.kind)

    def apply(self, *, max_size: Size = SIZE_MAX) -> list[Change]:
        """Make the changes of each ``Copy`` in the directory of the host that it shows. Regular files, directories and
        links are applied; a link that leads out of the directory and a special file are refused before anything is
        changed. Files belong to the caller and never have a set-uid or set-gid bit.

        :param max_size: the most bytes of a file.
        :returns: what has been applied.
        :raises FileError: a change cannot be applied.
        """
        limit = size("max_size", max_size)
        for number, (top, _) in enumerate(self._session.overlays):
            for entry in self._entries(number) if number else ():
                _check(posixpath.join(top, entry.path), entry, limit)
        done = []
        for number, (top, lower) in enumerate(self._session.overlays):
            if number == 0:
                continue
            target = os.open(lower[-1], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for entry in self._entries(number):
                    path = posixpath.join(top, entry.path)
                    if entry.kind is None:
                        continue
                    with told(path, "apply"):
                        _apply(target, path, entry, limit)
                    done.append(Change(path, entry.kind))
            finally:
                os.close(target)
        return done


def _check(path: str, entry: Entry, limit: int) -> None:
    node = entry.node
    if node is None or node.is_directory:
        return
    if stat.S_ISLNK(node.status.st_mode):
        target = node.target()
        inside = posixpath.normpath(posixpath.join("/", posixpath.dirname(entry.path), target))
        climbs = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), target)).startswith("..")
        if target.startswith("/") or climbs or not inside.startswith("/"):
            raise FileError(f"apply {shown(path)}: found a link to {shown(target)}, which leads out of the copy", path)
    elif not stat.S_ISREG(node.status.st_mode):
        raise FileError(f"apply {shown(path)}: found a special file, expected a file, a directory or a link", path)
    elif node.status.st_size > limit:
        raise FileError(
            f"apply {shown(path)}: found {node.status.st_size} bytes, expected at most {limit}; max_size= allows more",
            path,
        )


def _apply(target: int, path: str, entry: Entry, limit: int) -> None:
    """Make a change beneath the directory ``target``. The parent directory exists, because it comes first."""
    _check(path, entry, limit)  # a program that still runs may have changed the file
    folder, name = posixpath.split(entry.path)
    parent = openat2(target, folder or ".", os.O_RDONLY | os.O_DIRECTORY, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    try:
        node = entry.node
        if node is None:
            remove_beneath(parent, name)
        elif node.is_directory:
            _make_directory(parent, name)
        elif stat.S_ISLNK(node.status.st_mode):
            hidden = f".ocirt-{os.urandom(8).hex()}"
            os.symlink(node.target(), hidden, dir_fd=parent)
            _put(parent, hidden, name)
        else:
            hidden = f".ocirt-{os.urandom(8).hex()}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with (
                open(node.open_file(), "rb") as source,
                open(os.open(hidden, flags, 0o600, dir_fd=parent), "wb") as file,
            ):
                left = limit
                while left > 0 and (data := source.read(min(1 << 20, left))):
                    file.write(data)
                    left -= len(data)
                os.fchmod(file.fileno(), node.status.st_mode & 0o777)
            _put(parent, hidden, name)
    finally:
        os.close(parent)


def _make_directory(parent: int, name: str) -> None:
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            return
        os.unlink(name, dir_fd=parent)
    os.mkdir(name, 0o755, dir_fd=parent)


def _put(parent: int, hidden: str, name: str) -> None:
    """Rename a file over ``name``, which may be a directory that the sandbox has replaced."""
    try:
        os.rename(hidden, name, src_dir_fd=parent, dst_dir_fd=parent)
    except IsADirectoryError:
        remove_beneath(parent, name)
        os.rename(hidden, name, src_dir_fd=parent, dst_dir_fd=parent)


def _text_below(lower: tuple[str, ...], path: str) -> str | None:
    """The content of a file in the lower layers: empty if it does not exist, ``None`` if it is no small text."""
    for layer in lower:
        top = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            held = openat2(top, path, os.O_PATH | os.O_NOFOLLOW, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
        except OSError:
            continue
        finally:
            os.close(top)
        try:
            status = os.fstat(held)
            if not stat.S_ISREG(status.st_mode) or status.st_size > DIFF_MAX:
                return None
            with open(f"/proc/self/fd/{held}", "rb") as file:
                return _decoded(file.read())
        finally:
            os.close(held)
    return ""


def _decoded(data: bytes) -> str | None:
    if b"\0" in data or len(data) > DIFF_MAX:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
