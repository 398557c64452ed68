"""The volumes of an image (``config.Volumes``): directories whose content is no part of the container's layer, so that
a commit leaves it out. Each is an overlay of its own over what the image has there.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence
from typing import Any

from ..failures import ImageError
from .lookup import find


def mounts_of(layers: Sequence[str], volumes: Iterable[str], directory: str) -> list[dict[str, Any]]:
    """Make the directories of the volumes, and return the mounts of a config.json.

    :param layers: the image's directories, the topmost first.
    :param volumes: paths in the image.
    :param directory: of the container; ``volumes`` in it is made.
    :raises ImageError: a volume is no directory in the image.
    """
    mounts = list[dict[str, Any]]()
    for number, path in enumerate(sorted(volumes)):
        path = posixpath.normpath("/" + path.lstrip("/"))
        with find(layers, path) as place:
            pass
        if place is not None and (place.node or not place.path):
            raise ImageError(f"image config: config.Volumes: found {path!r}, which is no directory below the root")
        own = os.path.join(directory, "volumes", str(number))
        for name in ("upper", "work"):
            os.makedirs(os.path.join(own, name), 0o755)
        if place is None:
            options, kind, source = ["rbind", "rw"], "bind", os.path.join(own, "upper")
        else:
            path, kind, source = f"/{place.path}", "overlay", "overlay"
            _take_attributes(place.directories[0], os.path.join(own, "upper"))
            options = [
                "lowerdir=" + ":".join(_escaped(each) for each in place.directories),
                f"upperdir={own}/upper",
                f"workdir={own}/work",
                *(["userxattr"] if os.geteuid() != 0 else []),
            ]
        mounts.append({"destination": path, "type": kind, "source": source, "options": options})
    return mounts


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:")


def _take_attributes(source: str, target: str) -> None:
    """Give the volume's directory the owner and the mode that it has in the image."""
    status = os.lstat(source)
    if os.geteuid() == 0:
        os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, status.st_mode & 0o7777)
