"""Mounts below a root file system. ``root.readonly`` makes only the mount of the root read-only, as in runc. If the
host has mounts below the root, a program that must not change anything could write there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from .sandbox import BIND_OPTIONS


def readonly_binds(rootfs: str, destinations: Iterable[str]) -> list[dict[str, Any]]:
    """Entries for the beginning of ``mounts`` that make all mounts below ``rootfs`` read-only.

    :param rootfs: an absolute path.
    :param destinations: the mount points of the config itself; what is below them cannot be reached.
    """
    top = os.path.realpath(rootfs).rstrip("/")
    covered = [*map(os.path.normpath, destinations)]
    inside: list[str] = []
    for point in sorted(mount_points()):
        if point.startswith(top + "/") and point != "/" and not _is_beneath(point[len(top) :], [*covered, *inside]):
            inside.append(point[len(top) :])
    return [{"destination": path, "type": "bind", "source": top + path, "options": BIND_OPTIONS} for path in inside]


def _is_beneath(path: str, places: Iterable[str]) -> bool:
    return any([path == place or path.startswith(place + "/") for place in places])


def mount_points() -> set[str]:
    """The mount points of this process's mount namespace, proc_pid_mountinfo(5)."""
    with open("/proc/self/mountinfo", "rb") as file:
        return {
            os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), line.split(b" ", 5)[4]))
            for line in file
        }
