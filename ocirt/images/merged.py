"""What an overlay of layers shows, without mounting it: which directories and which file a path leads to.

Every component of a path is looked up by itself, beneath a descriptor, and no link is followed by the kernel. A link in
an image leads to another place in the image, whatever its text is.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ..failures import ImageError

LINKS_MAX = 40
"""As many links as the kernel follows in one path."""
OPAQUE = ("user.overlay.opaque", "trusted.overlay.opaque")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads.

    :ivar path: the path in the image without links, empty for the root.
    :ivar directories: if it is a directory, its directories on the host, the topmost first.
    :ivar file: if it is anything else, its path on the host.
    """

    path: str
    directories: tuple[str, ...] = ()
    file: str = ""


class Merged:
    """The tree of some layers.

    :param layers: their directories, the topmost first.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        self.layers = tuple(layers)

    def find(self, path: str) -> Place | None:
        """Where ``path`` leads, links followed; ``None`` if it does not exist.

        :raises ImageError: it has too many links.
        """
        rest, place, links = [each for each in reversed(path.split("/")) if each], Place("", self.layers), 0
        while rest:
            name = rest.pop()
            if name == ".":
                continue
            if name == "..":
                above = self.find(os.path.dirname(place.path)) if place.path else place
                if above is None:
                    return None
                place = above
                continue
            if not place.directories:
                return None
            found, target = self._child(place, name)
            if target is None:
                if found is None:
                    return None
                place = found
                continue
            links += 1
            if links > LINKS_MAX:
                raise ImageError(f"image: {path}: {os.strerror(errno.ELOOP).lower()}")
            rest += [each for each in reversed(target.split("/")) if each]
            if target.startswith("/"):
                place = Place("", self.layers)
        return place

    @contextmanager
    def opened(self, path: str) -> Iterator[int | None]:
        """A descriptor of the regular file ``path``, ``None`` if there is no such file."""
        place = self.find(path)
        if place is None or not place.file:
            yield None
            return
        with ExitStack() as stack:
            layer = next(each for each in self.layers if place.file.startswith(each + "/"))
            parent = self._open(stack, layer, os.path.dirname(place.path))
            fd = None
            if parent is not None:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                fd = os.open(os.path.basename(place.path), flags, dir_fd=parent)
                stack.callback(os.close, fd)
            yield fd if fd is not None and stat.S_ISREG(os.fstat(fd).st_mode) else None

    def read(self, path: str, limit: int) -> bytes | None:
        """The content of a regular file, ``None`` if it does not exist.

        :raises ImageError: it has more than ``limit`` bytes.
        """
        with self.opened(path) as fd:
            if fd is None:
                return None
            with open(fd, "rb", closefd=False) as file:
                data = file.read(limit + 1)
        if len(data) > limit:
            raise ImageError(f"image: {path}: found more than {limit} bytes")
        return data

    def _child(self, place: Place, name: str) -> tuple[Place | None, str | None]:
        """What the directory ``place`` shows by this name; or the target, if it is a link."""
        path, directories = f"{place.path}/{name}".lstrip("/"), list[str]()
        for above in place.directories:
            with ExitStack() as stack:
                layer = next(each for each in self.layers if above == each or above.startswith(each + "/"))
                parent = self._open(stack, layer, place.path)
                if parent is None:
                    continue
                try:
                    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    directories.append(f"{above}/{name}")
                    directory = os.open(name, _DIRECTORY, dir_fd=parent)
                    stack.callback(os.close, directory)
                    if _is_opaque(directory):
                        break
                    continue
                if directories:  # the directory above hides it, and what is below
                    break
                if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                    return None, None
                if stat.S_ISLNK(status.st_mode):
                    return None, os.readlink(name, dir_fd=parent)
                return Place(path, file=f"{above}/{name}"), None
        return (Place(path, tuple(directories)), None) if directories else (None, None)

    def _open(self, stack: ExitStack, layer: str, path: str) -> int | None:
        """Open a directory of a layer. No component of ``path`` may be a link."""
        fd = os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, fd)
        for part in [each for each in path.split("/") if each]:
            try:
                fd = os.open(part, _DIRECTORY, dir_fd=fd)
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                if error.errno == errno.ELOOP:
                    return None
                raise
            stack.callback(os.close, fd)
        return fd


def _is_opaque(fd: int) -> bool:
    for name in OPAQUE:
        try:
            if os.getxattr(fd, name) in (b"y", b"x"):
                return True
        except OSError:
            pass
    return False
