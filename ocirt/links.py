"""Where a path of a container leads in a directory of the host that is the container's root, or will be: links lead to where
they lead in the container. :mod:`.images.lookup` answers that for the layers of an image.
"""

from __future__ import annotations

import os

LINKS_MAX = 40
"""As many links as the kernel follows in one path."""


def inside(root: str, path: str) -> str | None:
    """The absolute path, within the directory ``root``, that ``path`` leads to; ``None`` if it has too many links, as a circle
    has. No link leads out of that directory. What is missing is taken for no link.

    The answer is a name alone: programs that change links meanwhile can make it another one.
    """
    found: list[str] = []
    rest, links = path.split("/")[::-1], 0
    while rest:
        name = rest.pop()
        if name == "..":
            found = found[:-1]
        elif name not in ("", "."):
            try:
                link = os.readlink("/".join([root, *found, name]))
            except OSError:
                found.append(name)
                continue
            links += 1
            if links > LINKS_MAX:
                return None
            if link.startswith("/"):
                found = []
            rest += link.split("/")[::-1]
    return "/" + "/".join(found)
