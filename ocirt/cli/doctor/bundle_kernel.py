"""What a config.json needs of the kernel and its devices, as far as files of /proc and /sys tell it."""

import os
import socket

from ...compile.namespaces import KINDS
from ...compile.sysctl import parts_of
from .asked import read
from .finding import Finding, fault, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .asked import Asked

FILES = {name: {"mount": "mnt", "network": "net"}.get(name, name) for name in KINDS}
"""Types of namespaces -> their names in /proc/self/ns and in /proc/sys/user/max_NAME_namespaces."""
PROFILES = "/sys/kernel/security/apparmor/profiles"
PAGES = "/sys/kernel/mm/hugepages"
NS_GET_NSTYPE = 0xB703
"""An ioctl that answers with the flag of clone(2), ioctl_ns(2)."""
UNITS = {"KB": 1, "MB": 1 << 10, "GB": 1 << 20}


def _namespaces(asked: "Asked") -> "Iterator[Finding]":
    for index, each in enumerate(asked.linux.get("namespaces", [])):
        at, name = f"linux.namespaces[{index}]", FILES.get(each.get("type", ""), "")
        if name and not os.path.exists(f"/proc/self/ns/{name}"):
            yield fault(f"{at}: this kernel has no namespaces of the type {each['type']}", "remove it")
        elif name and not each.get("path") and read(switch := f"/proc/sys/user/max_{name}_namespaces") == "0":
            yield fault(
                f"{at}: {switch} is 0, so nobody can make one", f"as root: sysctl user.max_{name}_namespaces=15000"
            )


def _joined(asked: "Asked") -> "Iterator[Finding]":
    """The namespaces that the container is to join."""
    for index, each in enumerate(asked.linux.get("namespaces", [])):
        path = each.get("path")
        if not path:
            continue
        at, kind = f"linux.namespaces[{index}].path: {path}", each.get("type", "")
        if not os.path.exists(path):
            yield fault(f"{at} does not exist", "make it, or remove the path to have a new one")
        elif (found := _type_of(path)) != kind:
            yield fault(f"{at} is {found or 'no namespace'}, expected a namespace of the type {kind}")


def _type_of(path: str) -> str:
    """The type of the namespace that a file stands for, or what is wrong with the file."""
    import fcntl

    try:
        with open(path, "rb") as file:
            flag = fcntl.ioctl(file, NS_GET_NSTYPE)
    except PermissionError:
        return "closed to the caller"
    except OSError:
        return ""
    return next((name for name, its_flag in KINDS.items() if its_flag == flag), "")


def _parameters(asked: "Asked") -> "Iterator[Finding]":
    """Kernel parameters that do not exist. A device of the container's brings its own: a hook may make one."""
    hooked = bool(asked.document.get("hooks")) or not asked.makes("network")
    moved = {each.get("name", name) for name, each in asked.linux.get("netDevices", {}).items()}
    for key in asked.linux.get("sysctl", {}):
        parts = parts_of(key)
        of_device = parts[0] == "net" and {"conf", "neigh"} & {*parts} and not {"all", "default", "lo"} & {*parts}
        file = "/proc/sys/" + "/".join(parts)
        if of_device and not hooked and not moved & {*parts}:
            yield fault(f"linux.sysctl.{key}: the new network namespace has no such device", "let a hook set it")
        if of_device or os.path.exists(file):
            continue
        if os.path.isdir(f"/proc/sys/{parts[0]}"):
            yield fault(f"linux.sysctl.{key}: this kernel has no such parameter ({file})", "remove it")
        else:
            yield note(f"linux.sysctl.{key}: /proc/sys is hidden here, so it is unknown whether the kernel has it")


def _drivers(asked: "Asked") -> "Iterator[Finding]":
    """Device nodes can be made for any numbers, but only those of a driver can be opened."""
    sections = (read("/proc/devices") or "").partition("Block devices:")
    majors = {
        kind: {line.split()[0] for line in lines.splitlines() if line.split()}
        for kind, lines in (("c", sections[0]), ("b", sections[2]))
    }
    for index, each in enumerate(asked.linux.get("devices", [])):
        kind = {"u": "c"}.get(each.get("type", ""), each.get("type", ""))
        if majors.get(kind) and str(each.get("major")) not in majors[kind]:
            what = {"c": "character", "b": "block"}[kind]
            yield note(
                f"linux.devices[{index}]: no driver has the {what} devices {each.get('major')} (/proc/devices), so the "
                "container cannot open it",
                "load the driver",
            )


def _disks(asked: "Asked") -> "Iterator[Finding]":
    for name, limits in asked.resources.get("blockIO", {}).items():
        for index, each in enumerate(limits if isinstance(limits, list) else ()):
            if not os.path.exists(f"/sys/dev/block/{each.get('major')}:{each.get('minor')}"):
                yield fault(
                    f"linux.resources.blockIO.{name}[{index}]: this host has no block device "
                    f"{each.get('major')}:{each.get('minor')}",
                    "lsblk shows those that it has",
                )


def _interfaces(asked: "Asked") -> "Iterator[Finding]":
    names = [name for _, name in socket.if_nameindex()]
    wanted = {f"linux.netDevices.{name}": name for name in asked.linux.get("netDevices", {})}
    priorities = asked.resources.get("network", {}).get("priorities", [])
    wanted |= {f"linux.resources.network.priorities[{at}]": each.get("name") for at, each in enumerate(priorities)}
    for path, name in wanted.items():
        if name == "lo" and path.startswith("linux.netDevices"):
            yield fault(f"{path}: the loopback device does not leave its network namespace", "remove the entry")
        elif name not in names:
            yield fault(f"{path}: this host has no network device {name}", "make it, or remove the entry")


def _rdma(asked: "Asked") -> "Iterator[Finding]":
    for name in asked.resources.get("rdma", {}):
        if not os.path.exists(f"/sys/class/infiniband/{name}"):
            yield fault(f"linux.resources.rdma.{name}: this host has no such RDMA device (/sys/class/infiniband)")


def _huge_pages(asked: "Asked") -> "Iterator[Finding]":
    for index, each in enumerate(asked.resources.get("hugepageLimits", [])):
        number, unit = each["pageSize"][:-2], each["pageSize"][-2:]
        kib = int(number) * UNITS[unit] if number.isdecimal() and unit in UNITS else 0
        if os.path.isdir(PAGES) and not os.path.isdir(f"{PAGES}/hugepages-{kib}kB"):
            yield fault(f"linux.resources.hugepageLimits[{index}]: this kernel has no huge pages of {each['pageSize']}")


def _profile(asked: "Asked") -> "Iterator[Finding]":
    """Is the AppArmor profile loaded? Without AppArmor create refuses any."""
    name = asked.process.get("apparmorProfile")
    if not name or name == "unconfined" or not asked.host.has_apparmor:
        return
    loaded = read(PROFILES)
    if loaded is None:
        yield note(f"process.apparmorProfile: {PROFILES} is hidden here, so it is unknown whether {name} is loaded")
    elif name not in [line.rpartition(" (")[0] for line in loaded.splitlines()]:
        yield fault(f"process.apparmorProfile: {name} is not loaded", "as root: apparmor_parser -r FILE")


def _listener(asked: "Asked") -> "Iterator[Finding]":
    path = asked.linux.get("seccomp", {}).get("listenerPath")
    if path and not os.path.exists(path):
        yield fault(f"linux.seccomp.listenerPath: {path} does not exist", "start the program that listens there")


CHECKS = (
    *(_namespaces, _joined, _parameters, _drivers, _disks, _interfaces),
    *(_rdma, _huge_pages, _profile, _listener),
)
