"""The mounts and namespaces of a container that criu does not save, because they belong to the host.

Each such mount has a name in the images, and restore says what to mount under that name. The names are those of runc: the
mount point of a bind mount, and ``/dev/null`` for each masked file.
"""

import os

from ..compile import devices
from ..compile.namespaces import KINDS, MOUNT, NETWORK, PID
from ..errors import ConfigError
from ..links import inside
from ..model.text import bound
from ..plan.steps import Bind, MakeNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..compile.mounts import Mounts
    from ..compile.namespaces import Namespaces
    from ..model.config import Config

NULL = "/dev/null"

FILES = {name: {"network": "net", "mount": "mnt"}.get(name, name) for name in KINDS}
"""Type of a namespace -> its file in /proc/PID/ns, which is criu's name for it."""
KEYS = {NETWORK: "extRootNetNS", PID: "extRootPidNS"}
"""Kinds of namespaces that criu gets as a descriptor, with runc's names for them."""


def binds(mounts: "Mounts", config: "Config", namespaces: "Namespaces") -> list[tuple[str, str]]:
    """The binds of host paths: pairs of mount point and source, in order.

    :param mounts: :class:`ocirt.compile.mounts.Mounts`.
    """
    found = [(bound(step.target), bound(step.source)) for step in mounts.make() if isinstance(step, Bind)]
    if namespaces.has_user and not mounts.has_own_dev:
        found += [
            (bound(step.path), bound(step.path))
            for step in devices.make(config.linux.devices, bind=True)
            if isinstance(step, MakeNode) and step.bind
        ]
    return found


def to_save(root: str, mounts: "Mounts", config: "Config", namespaces: "Namespaces") -> list[dict[str, str]]:
    """``ext_mnt`` for checkpoint.

    :param root: the container's present root, /proc/PID/root.
    """
    points = [_key(root, target) for target, _ in binds(mounts, config, namespaces)]
    masked = [_key(root, path.read()) for path in config.linux.masked_paths]
    return [
        *[{"key": point, "val": point} for point in points],
        *[
            {"key": point, "val": NULL}
            for point in masked
            if os.path.lexists(root + point) and not os.path.isdir(root + point)
        ],
    ]


def to_restore(root: str, mounts: "Mounts", config: "Config", namespaces: "Namespaces") -> list[dict[str, str]]:
    """``ext_mnt`` for restore. ``root`` is the rootfs."""
    found = [{"key": _key(root, target), "val": source} for target, source in binds(mounts, config, namespaces)]
    return [*found, {"key": NULL, "val": NULL}] if config.linux.masked_paths else found


def _key(root: str, path: str) -> str:
    """The name of the mount at ``path``, which is the place that it leads to. criu uses it only as a name, so a container
    that changes its links meanwhile does no harm.
    """
    return inside(root, path) or path


def namespaces_to_save(namespaces: "Namespaces") -> list[str]:
    """``external`` for checkpoint: the joined namespaces of the container, which criu does not save.

    :param namespaces: :class:`ocirt.compile.namespaces.Namespaces`.
    :raises OSError: one of these namespaces no longer exists.
    """
    return [
        f"{FILES['network' if kind == NETWORK else 'pid']}[{os.stat(path.read()).st_ino}]:{KEYS[kind]}"
        for kind, path in namespaces.joined.items()
        if kind in KEYS
    ]


def namespaces_to_restore(namespaces: "Namespaces") -> tuple[list[dict[str, str]], dict[str, str]]:
    """``join_ns`` for restore, and the paths of the namespaces that criu gets as descriptors: name -> path.

    :raises ConfigError: criu cannot join one of them.
    """
    joined = []
    for name, kind in KINDS.items():
        path = namespaces.joined.get(kind)
        if path is None or kind in KEYS:
            continue
        if name in ("cgroup", "time"):
            raise ConfigError(
                path.path, f"a {name} namespace to join", "none: criu cannot restore a container into one"
            )
        joined.append({"ns": FILES[name], "ns_file": path.read()})
    return joined, {KEYS[kind]: path.read() for kind, path in namespaces.joined.items() if kind in KEYS}


def check(namespaces: "Namespaces") -> None:
    """Refuse a container that criu cannot restore: one without a mount namespace of its own, whose mounts are made away
    from the runtime's.

    :raises ConfigError: the container is such a one.
    """
    if not namespaces.new & MOUNT:
        raise ConfigError(
            "linux.namespaces",
            "no mount namespace of the container's own",
            "one, because criu restores the mounts in the container's own",
        )
