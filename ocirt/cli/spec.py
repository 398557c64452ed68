"""``ocirt spec``: write a config.json to start from."""

import json
import os

from ..errors import OcirtError, RequestError, reason
from .flags import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .parser import CommandLine

_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
]
_READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def run(line: "CommandLine") -> None:
    """Write config.json into the bundle of ``--bundle``, or into the current directory.

    :raises OcirtError: the file exists already or cannot be written. An incomplete file is removed.
    """
    bundle = line.options.bundle or "."
    if not os.path.isdir(bundle):
        raise RequestError(f"--bundle {bundle}: no such directory")
    path = os.path.join(bundle, "config.json")
    config = rootless(os.geteuid(), os.getegid()) if line.options.rootless else default()
    if os.geteuid() != 0 and not line.options.rootless:
        line.log.warning(
            "only root can run this config.json, which has no user namespace; for this user: ocirt spec --rootless"
        )
    try:
        file = open(path, "x", encoding="utf-8")
    except FileExistsError:
        raise OcirtError("File config.json exists. Remove it first") from None
    except OSError as error:
        raise OcirtError(f"{path}: {reason(error)}") from None
    try:
        with file:
            file.write(json.dumps(config, indent="\t"))
    except OSError as error:
        os.unlink(path)
        raise OcirtError(f"{path}: {reason(error)}") from None


def default() -> "dict[str, Any]":
    """The config that runs ``sh`` in the directory rootfs: that of runc 1.5's ``runc spec``, except for the hostname.

    crun since 1.21 (the oldest tried) and runc take any ``ociVersion``; crun 1.8 of Debian 12 refuses this one.
    """
    return {
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {kind: _CAPABILITIES for kind in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "ocirt",
        "mounts": [
            _mount("/proc", "proc", "proc"),
            _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            _mount(
                "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
            ),
            _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
            _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
            _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
            _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", *_cgroup_namespace())],
            "maskedPaths": _MASKED,
            "readonlyPaths": _READONLY,
        },
    }


def rootless(uid: int, gid: int) -> "dict[str, Any]":
    """The config for a user without privileges: root in the container is ``uid`` and ``gid`` on the host.

    Such a user may set no limits, owns no network and cannot mount a sysfs of the host's network: so the container
    keeps the host's network namespace, and binds /sys. Group 5 does not exist in its user namespace.
    """
    config = default()
    mounts = [
        _mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro")
        if mount["destination"] == "/sys"
        else mount
        for mount in config["mounts"]
    ]
    for mount in mounts:
        if "options" in mount:
            mount["options"] = [option for option in mount["options"] if not option.startswith(("gid=", "uid="))]
    linux = {
        "uidMappings": [{"containerID": 0, "hostID": uid, "size": 1}],
        "gidMappings": [{"containerID": 0, "hostID": gid, "size": 1}],
        **config["linux"],
        "namespaces": [namespace for namespace in config["linux"]["namespaces"] if namespace["type"] != "network"]
        + [{"type": "user"}],
    }
    del linux["resources"]
    return config | {"mounts": mounts, "linux": linux}


def _mount(destination: str, kind: str, source: str, *options: str) -> "dict[str, Any]":
    mount = {"destination": destination, "type": kind, "source": source}
    return mount | ({"options": list(options)} if options else {})


def _cgroup_namespace() -> tuple[str, ...]:
    """A cgroup namespace, if the host has only cgroup v2, so that the container sees only its own part of the tree; as
    in runc.
    """
    return ("cgroup",) if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else ()
