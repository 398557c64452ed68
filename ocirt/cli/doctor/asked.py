"""A bundle and the host that is to run it, as the checks of ``ocirt doctor BUNDLE`` see both."""

import os

from ...links import inside
from ...model.json import value_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...model.host import Host
    from ...plan import Plan


class Asked:
    """What a bundle asks for.

    :ivar folder: the bundle's directory.
    :ivar document: its config.json, without properties that are null.
    :ivar plan: what create would do.
    """

    def __init__(self, host: "Host", folder: str, document: "dict[str, Any]", plan: "Plan") -> None:
        self.host, self.folder, self.document, self.plan = host, folder, document, plan
        self.linux: dict[str, Any] = document.get("linux", {})
        self.process: dict[str, Any] = document.get("process", {})
        self.resources: dict[str, Any] = self.linux.get("resources", {})

    @property
    def root(self) -> str:
        """The directory that becomes the root."""
        return os.path.join(self.folder, self.document.get("root", {}).get("path", "rootfs"))

    def makes(self, namespace: str) -> bool:
        """Does the container get a new namespace of this type?"""
        return any(
            [each.get("type") == namespace and not each.get("path") for each in self.linux.get("namespaces", [])]
        )

    def get(self, path: str) -> "Any":
        """The property at the path ``path`` of config.json, such as ``linux.resources.cpu.cpus``; None if it is not
        there.
        """
        return value_at(self.document, *path.split("."))


def read(path: str) -> str | None:
    """The text of a small file of /proc or /sys; None if this process cannot read it."""
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


def existing(path: str) -> str:
    """The absolute ``path``, or the nearest one above it that exists: what is missing would be made there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def place_in(root: str, path: str) -> str | None:
    """Where ``path`` of the container is on the host: beneath ``root``, where links lead as they do in the container;
    ``None`` if links lead in a circle.
    """
    found = inside(root, path)
    return None if found is None else root + found
