"""The mounts of a config.json: their sources and targets, and what the kernel has for them."""

import os
import stat

from .asked import existing, place_in, read
from .finding import Finding, fault, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .asked import Asked

IDMAP = {
    "ext4": (5, 12),
    "vfat": (5, 12),
    "xfs": (5, 12),
    "btrfs": (5, 15),
    "ntfs3": (5, 15),
    "f2fs": (5, 18),
    "erofs": (5, 19),
    "overlay": (5, 19),
    "squashfs": (6, 2),
    "tmpfs": (6, 3),
    "ceph": (6, 7),
    "fuse": (6, 12),
}
"""File systems -> the first Linux that mounts them with mapped ids, mount_setattr(2)."""
NEVER = ("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue")
"""File systems that no Linux mounts with mapped ids."""
EROFS_OF_FILES = (6, 12)
"""The first Linux that mounts an erofs from a plain file."""
IDMAP_OPTIONS = {"idmap", "ridmap"}


def _sources(asked: "Asked") -> "Iterator[Finding]":
    """The sources of bind mounts, the devices of file systems that need one, and the directories of overlays."""
    with_device = {line.strip() for line in (read("/proc/filesystems") or "").splitlines() if line.startswith("\t")}
    for index, mount in enumerate(asked.document.get("mounts", [])):
        source = os.path.join(asked.folder, mount.get("source", ""))
        if (is_bind(mount) or mount.get("type") in with_device) and not os.path.exists(source):
            mend = f"mkdir -p {source}, or remove the mount" if is_bind(mount) else "name a block device of this host"
            yield fault(f"mounts[{index}].source: {source} does not exist", mend)
        elif not is_bind(mount) and _needs_disk(asked, mount.get("type"), with_device) and not is_disk(source):
            yield fault(
                f"mounts[{index}].source: {source} is not a block device, and {mount['type']} needs one",
                f"as root: losetup --find --show {source}, and name what it prints"
                if os.path.isfile(source)
                else "name a block device of this host",
            )
        for option in mount.get("options", []) if mount.get("type") == "overlay" else ():
            name, _, value = option.partition("=")
            for layer in value.split(":") if name in ("lowerdir", "upperdir", "workdir") and "\\" not in value else ():
                if layer and not os.path.isdir(layer):
                    yield fault(f"mounts[{index}]: {name}: {layer} is not a directory", f"mkdir -p {layer}")


def _needs_disk(asked: "Asked", kind: str | None, with_device: set[str]) -> bool:
    return kind in with_device and not (kind == "erofs" and asked.host.kernel >= EROFS_OF_FILES)


def is_disk(path: str) -> bool:
    return stat.S_ISBLK(os.stat(path).st_mode)


def is_bind(mount: "dict[str, Any]") -> bool:
    return bool({"bind", "rbind"} & {*mount.get("options", [])}) or mount.get("type") == "bind"


def _targets(asked: "Asked") -> "Iterator[Finding]":
    """A directory covers a directory alone, and a file a file. What earlier mounts bring is not looked at."""
    root = os.path.realpath(asked.root)
    if not os.path.isdir(root):
        return  # this is a finding of its own
    covered: list[str] = []
    for index, mount in enumerate(asked.document.get("mounts", [])):
        at, destination = f"mounts[{index}].destination", os.path.normpath(mount.get("destination", "/"))
        place = place_in(root, destination)
        source = os.path.join(asked.folder, mount.get("source", ""))
        brings_directory = os.path.isdir(source) if is_bind(mount) else True
        is_plain = not any([destination.startswith(f"{above}/".replace("//", "/")) for above in covered])
        covered.append(destination)
        if is_plain and place is None:
            yield fault(f"{at}: links of the rootfs lead from {destination} in a circle", "name another directory")
        if not place or not is_plain or is_bind(mount) and not os.path.exists(source):
            continue
        above = existing(place)
        if above != place and not os.path.isdir(above):
            yield fault(f"{at}: {above} is a file, so that nothing can be mounted beneath it")
        elif os.path.exists(place) and os.path.isdir(place) != brings_directory:
            kinds = ("directory", "file") if brings_directory else ("file", "directory")
            yield fault(f"{at}: {destination} is a {kinds[1]} in the rootfs, and the mount is a {kinds[0]}")


def _masks(asked: "Asked") -> "Iterator[Finding]":
    """Masks are paths: another mount of the same file system shows what they hide."""
    hidden = [*asked.linux.get("maskedPaths", []), *asked.linux.get("readonlyPaths", [])]
    for index, mount in enumerate(asked.document.get("mounts", [])):
        kind, destination = mount.get("type"), os.path.normpath(mount.get("destination", "/"))
        for top, its_type in (("/proc", "proc"), ("/sys", "sysfs")):
            undone = [path for path in hidden if path.startswith(f"{top}/")]
            if kind == its_type and destination != top and undone:
                yield note(
                    f"mounts[{index}]: a second {its_type} at {destination} shows what linux.maskedPaths and "
                    f"readonlyPaths protect beneath {top} ({len(undone)} paths)",
                    f"name the same paths beneath {destination}, or remove the mount",
                )


def _types(asked: "Asked") -> "Iterator[Finding]":
    """The file systems of mounts: those that the kernel knows, and modules that it can load."""
    known = (read("/proc/filesystems") or "").split()
    modules = f"/lib/modules/{os.uname().release}"
    names = read(f"{modules}/modules.alias")
    for index, each in enumerate(asked.document.get("mounts", [])):
        kind = each.get("type", "").partition(".")[0]  # fuse.sshfs is a fuse
        if not kind or kind in (*known, "bind", "cgroup") or is_bind(each) or "remount" in each.get("options", []):
            continue
        at = f"mounts[{index}].type: "
        if not known:
            yield note(f"{at}/proc/filesystems is hidden here, so it is unknown whether this kernel has {kind}")
        elif names is None:
            yield note(f"{at}this kernel has not loaded {kind}, and whether a module has it is unknown ({modules})")
        elif f"alias fs-{kind} " in names:
            yield note(f"{at}{kind} is a module that is not loaded", f"as root: modprobe fs-{kind}")
        else:
            yield fault(f"{at}this kernel has no file system {kind}, and no module of {modules} has one")


def _mapped_mounts(asked: "Asked") -> "Iterator[Finding]":
    for index, each in enumerate(asked.document.get("mounts", [])):
        options = {option.partition("=")[0] for option in each.get("options", [])}
        if not options & IDMAP_OPTIONS and "uidMappings" not in each:
            continue
        kind = file_system_of(os.path.join(asked.folder, each.get("source", "")))
        if kind in NEVER:
            yield fault(f"mounts[{index}]: the source is on {kind}, on which no Linux maps ids", "remove the mapping")
        elif kind not in IDMAP:
            yield note(f"mounts[{index}]: the source is on {kind}, on which no Linux that ocirt knows maps ids")
        elif asked.host.kernel < IDMAP[kind]:
            first = ".".join(map(str, IDMAP[kind]))
            yield fault(f"mounts[{index}]: the source is on {kind}, on which Linux maps ids from {first} on")


def file_system_of(path: str) -> str:
    """The type of the file system on which ``path`` is, by the mount point with the longest name above it."""
    path, found, kind = os.path.realpath(path), "", "an unknown file system"
    for line in (read("/proc/self/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4]
        if len(point) >= len(found) and (path + "/").startswith(point.rstrip("/") + "/"):
            found, kind = point, after.split(" ")[0].partition(".")[0]
    return kind


CHECKS = (_sources, _targets, _masks, _types, _mapped_mounts)
