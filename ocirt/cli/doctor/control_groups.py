"""Control groups: the layout, which controllers limit a container of this user, and systemd."""

import os

from ...model.host import ROOT
from .finding import Finding, fault, good, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...model.host import Hierarchy, Host

V1 = {
    "memory": "linux.resources.memory",
    "cpu": "linux.resources.cpu",
    "cpuset": "linux.resources.cpu.cpus and mems",
    "pids": "linux.resources.pids",
    "devices": "linux.resources.devices",
    "freezer": "pause",
    "blkio": "linux.resources.blockIO",
}
"""Controllers of cgroup v1 that containers usually have -> what needs them."""
V2 = {
    "memory": "linux.resources.memory",
    "cpu": "linux.resources.cpu",
    "cpuset": "linux.resources.cpu.cpus and mems",
    "pids": "linux.resources.pids",
    "io": "linux.resources.blockIO",
}
"""The same for cgroup v2."""
DELEGATE = (
    "mkdir -p /etc/systemd/system/user@.service.d && "
    "printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' > /etc/systemd/system/user@.service.d/delegate.conf && "
    "systemctl daemon-reload; then log in again"
)


def examine(host: "Host") -> "Iterator[Finding]":
    """Findings about cgroups and about systemd, which makes them with ``--systemd-cgroup``."""
    cgroups = host.cgroups
    if cgroups.unified is not None and cgroups.is_v2:
        yield from _v2(host, cgroups.unified)
    elif cgroups.hierarchies:
        yield from _v1(host)
    else:
        yield fault(f"no cgroups are mounted at {ROOT}", "use --cgroup-manager disabled, which warns of each limit")
    yield from _systemd(host)


def _v1(host: "Host") -> "Iterator[Finding]":
    names = [name for each in host.cgroups.hierarchies for name in each.controllers]
    yield good("cgroup v1: " + " ".join([name for name in names if not name.startswith("name=")]))
    for name, needs in V1.items():
        if name not in names:
            yield note(f"the controller {name} is not mounted: {needs} is refused", f"mount it at {ROOT}/{name}")
    if host.euid != 0:
        yield note(
            "cgroup v1 cannot be handed to a user: limits of rootless containers are refused",
            "boot with systemd.unified_cgroup_hierarchy=1",
        )
    else:
        yield from _writable(host, host.cgroups.hierarchies[0])


def _v2(host: "Host", unified: "Hierarchy") -> "Iterator[Finding]":
    own = unified.mount + ("" if unified.own == "/" else unified.own)
    user = f"/user.slice/user-{host.euid}.slice/user@{host.euid}.service"
    if host.euid != 0 and os.path.isdir(unified.mount + user):
        own = unified.mount + user
    try:
        with open(f"{own}/cgroup.controllers") as file:
            names = file.read().split()
    except OSError:
        names = []
    yield good(f"cgroup v2: {' '.join(names) or 'no controller'}" + ("" if host.euid == 0 else " for this user"))
    for name, needs in V2.items():
        if name not in names:
            mend = DELEGATE if host.euid != 0 and host.has_systemd else ""
            other = "the kernel lacks it, or a hierarchy of cgroup v1 or the cgroup above has it"
            yield note(f"the controller {name} is not there: {needs} is refused", f"as root: {mend}" if mend else other)
    if host.euid == 0:
        yield from _writable(host, unified)
    elif not host.may_write(own):
        yield note(
            f"this user may not write {own}: limits of rootless containers are refused",
            f"as root: mkdir {own}/{host.euid} && chown -R {host.euid} {own}/{host.euid}, and start the engine in that cgroup",
        )


def _writable(host: "Host", hierarchy: "Hierarchy") -> "Iterator[Finding]":
    if not host.may_write(hierarchy.mount + hierarchy.own):
        # Root of a user namespace does without a cgroup (cgroups.is_rootless).
        skips = host.in_user_namespace
        yield (note if skips else fault)(
            f"{hierarchy.mount} is read-only: no container gets a cgroup{', and limits are refused' if skips else ''}",
            "run the outer container with --privileged or --cgroupns=private and a writable /sys/fs/cgroup, "
            "or use --cgroup-manager disabled",
        )


def _systemd(host: "Host") -> "Iterator[Finding]":
    if not host.has_systemd:
        yield note("systemd does not run this host: --systemd-cgroup is refused", "use cgroupfs, the default")
        return
    if host.euid == 0:
        if os.path.exists("/run/systemd/private") or os.path.exists("/run/dbus/system_bus_socket"):
            yield good("systemd runs this host and has a bus")
        else:
            yield fault("systemd runs this host, but its bus is not here", "mount /run/dbus/system_bus_socket")
        return
    session = os.environ.get("XDG_RUNTIME_DIR")
    if session and (os.path.exists(f"{session}/systemd/private") or os.path.exists(f"{session}/bus")):
        yield good("this user's systemd has a bus")
    else:
        yield fault(
            "this user's systemd has no bus (XDG_RUNTIME_DIR): rootless containers get no limits",
            "log in through ssh or a console, not with su; for services: loginctl enable-linger",
        )
