"""The ids that a config.json maps into its user namespace, and those that it needs there."""

import os

from .finding import Finding, fault
from .users import mappable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .asked import Asked

WITH_OWNER = ("devpts", "tmpfs")
"""File systems whose options ``uid`` and ``gid`` name an owner that the container has mapped."""
ENTRIES_MAX = 340
"""The entries that a map of ids takes (user_namespaces(7)). All of its text must be shorter than a page."""


def _ids(asked: "Asked") -> "Iterator[Finding]":
    if not asked.makes("user"):
        return
    user = asked.process.get("user", {})
    wanted = [("uid", "process.user.uid", user.get("uid", 0)), ("gid", "process.user.gid", user.get("gid", 0))]
    wanted += [
        ("gid", f"process.user.additionalGids[{index}]", gid)
        for index, gid in enumerate(user.get("additionalGids", []))
    ]
    wanted += _of_mounts(asked)
    for kind, path, number in wanted:
        maps = asked.linux.get(f"{kind}Mappings", [])
        if maps and not any([each["containerID"] <= number < each["containerID"] + each["size"] for each in maps]):
            yield fault(f"{path}: {number} is in no entry of linux.{kind}Mappings", "map it, or take another")


def _of_mounts(asked: "Asked") -> "list[tuple[str, str, int]]":
    """The ids that options of mounts name. The kernel takes them as ids of the container."""
    return [
        (name, f"mounts[{index}].options[{at}]", int(value))
        for index, mount in enumerate(asked.document.get("mounts", []))
        for at, option in enumerate(mount.get("options", []) if mount.get("type") in WITH_OWNER else ())
        for name, _, value in [option.partition("=")]
        if name in ("uid", "gid") and value.isdecimal()
    ]


def _mapped(asked: "Asked") -> "Iterator[Finding]":
    """May the caller map the ids of the host that the user namespace is to have?"""
    if not asked.makes("user"):
        return
    for kind in ("uid", "gid"):
        ranges = mappable(asked.host, kind)
        where = f"/etc/sub{kind}" if asked.host.euid else f"/proc/self/{kind}_map"
        for index, each in enumerate(asked.linux.get(f"{kind}Mappings", [])):
            first, size = each["hostID"], each["size"]
            if not any([start <= first and first + size <= start + count for start, count in ranges]):
                yield fault(
                    f"linux.{kind}Mappings[{index}]: the caller may not map the {kind}s {first} to {first + size - 1} of "
                    f"the host ({where})",
                    f"as root: usermod --add-sub{kind}s {first}-{first + size - 1} USER"
                    if asked.host.euid
                    else "take others",
                )


def _overlaps(asked: "Asked") -> "Iterator[Finding]":
    """The kernel takes no id twice, neither of the container nor of the host."""
    for name in ("uidMappings", "gidMappings") if asked.makes("user") else ():
        entries = asked.linux.get(name, [])
        for side in ("containerID", "hostID"):
            ranges = sorted([(each[side], index, each["size"]) for index, each in enumerate(entries)])
            for (first, before, size), (following, index, _) in zip(ranges, ranges[1:], strict=False):
                if first + size > following:
                    yield fault(f"linux.{name}[{index}]: {side} {following} is in linux.{name}[{before}], too")


def _lengths(asked: "Asked") -> "Iterator[Finding]":
    for name in ("uidMappings", "gidMappings") if asked.makes("user") else ():
        entries, page = asked.linux.get(name, []), os.sysconf("SC_PAGE_SIZE")
        size = sum([len(f"{each['containerID']} {each['hostID']} {each['size']}\n") for each in entries])
        if len(entries) > ENTRIES_MAX:
            yield fault(
                f"linux.{name}: {len(entries)} entries, and the kernel takes {ENTRIES_MAX}", "join some of them"
            )
        elif size >= page:
            yield fault(f"linux.{name}: a map of {size} bytes, and the kernel takes {page - 1}", "join some entries")


CHECKS = (_ids, _mapped, _overlaps, _lengths)
