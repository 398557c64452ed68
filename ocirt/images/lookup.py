"""Where a path leads in the merged tree of some layers, links followed: each component is looked up by itself
(:mod:`.overlay`), and a link leads to another place in the image, whatever its text is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from errno import ELOOP

from ..failures import ImageError
from ..wordings import words_of
from .node import Node, join
from .overlay import TRUSTED, USER, Merged, open_layers

LINKS_MAX = 40
"""As many links as the kernel follows in one path."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads.

    :ivar path: the path in the image without links, empty for the root.
    :ivar directories: if it is a directory, its directories on the host, the topmost first.
    :ivar node: if it is anything else.
    """

    path: str
    directories: tuple[str, ...] = ()
    node: Node | None = None


@contextmanager
def find(layers: Sequence[str], path: str) -> Iterator[Place | None]:
    """Where ``path`` leads; ``None`` if it does not exist.

    :param layers: directories, the topmost first.
    :raises ImageError: it has too many links.
    """
    with ExitStack() as stack:
        root = open_layers(layers, TRUSTED if os.geteuid() == 0 else USER)
        stack.callback(root.close)
        levels, rest, links = [("", root)], _reversed(path), 0
        node: Node | None = None
        while rest and node is None:
            name, (at, directory) = rest.pop(), levels[-1]
            if name == "..":
                levels = levels[: max(1, len(levels) - 1)]
            if name in (".", ".."):
                continue
            node, below = directory.find(name), join(at, name)
            if node is None:
                yield None
                return
            stack.enter_context(node)
            if stat.S_ISLNK(node.status.st_mode):
                links += 1
                if links > LINKS_MAX:
                    raise ImageError(f"image: {path}: {words_of(ELOOP)}")
                levels = levels[:1] if node.target().startswith("/") else levels
                rest, node = rest + _reversed(node.target()), None
            elif node.is_directory:
                inner, node = directory.descend(name, below), None
                stack.callback(inner.close)
                levels.append((below, inner))
        if rest:  # a file is no directory
            yield None
        elif node is None:
            at, directory = levels[-1]
            yield Place(at, tuple(_paths(at, directory)))
        else:
            yield Place(below, node=node)


def _reversed(path: str) -> list[str]:
    return [each for each in reversed(path.split("/")) if each]


def _paths(path: str, merged: Merged) -> list[str]:
    return [os.path.join(part.layer, path) if path else part.layer for part in merged.parts]


def read(layers: Sequence[str], path: str, limit: int) -> bytes | None:
    """The content of a regular file, ``None`` if there is no such file.

    :raises ImageError: it has more than ``limit`` bytes.
    """
    with find(layers, path) as place:
        if place is None or place.node is None or not stat.S_ISREG(place.node.status.st_mode):
            return None
        with open(place.node.open_file(), "rb") as file:
            data = file.read(limit + 1)
    if len(data) > limit:
        raise ImageError(f"image: {path}: found more than {limit} bytes")
    return data
