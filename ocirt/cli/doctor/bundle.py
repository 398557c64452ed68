"""What would fail for a bundle on this host, without running it."""

import os
import resource
import shutil

from ...compile import compile
from ...compile.capabilities import BITS
from ...errors import OcirtError
from ...model.config import parse
from ...model.request import Request
from ...model.text import bound
from ...plan.steps import Warn
from ..plan import CONSOLE_SOCKET, words
from .finding import Finding, fault, good, note
from .users import mappable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from typing import Any

    from ...model.host import Host


MOST_FILES = "/proc/sys/fs/nr_open"
"""The most that RLIMIT_NOFILE may be, getrlimit(2)."""


def examine(host: "Host", options: "Namespace", bundle: str, data: bytes) -> "Iterator[Finding]":
    """Findings about the bundle ``bundle`` whose config.json is ``data``.

    :param options: the command line's, for the cgroup driver and the like.
    """
    import json

    try:
        config = parse(data)
        given = words(options, bundle) | ({"console-socket": CONSOLE_SOCKET} if config.process.terminal else {})
        plan = compile(config, Request(given), host)
    except OcirtError as error:
        yield fault(f"create would refuse it: {error}")
        return
    steps = [step for section in plan.sections.values() for step in section]
    yield good(f"config.json compiles to {len(steps)} steps")
    for step in steps:
        if isinstance(step, Warn):
            yield note(f"create warns: {bound(step.message)}")
    document = json.loads(data, object_pairs_hook=_without_null)
    linux, process = document.get("linux", {}), document.get("process", {})
    yield from _root(bundle, document)
    yield from _program(bundle, document)
    yield from _limits(host, process)
    yield from _ids(linux, process)
    yield from _mapped(host, linux)
    yield from _joined(linux)
    yield from _sources(bundle, document)
    yield from _masks(document)
    yield from _hooks(document)


def _without_null(pairs: "list[tuple[str, Any]]") -> "dict[str, Any]":
    """An object of config.json. A property that is null counts as missing, as it does for create."""
    return {name: value for name, value in pairs if value is not None}


def _root_of(bundle: str, document: "dict[str, Any]") -> str:
    return os.path.join(bundle, document.get("root", {}).get("path", "rootfs"))


def _root(bundle: str, document: "dict[str, Any]") -> "Iterator[Finding]":
    root = _root_of(bundle, document)
    if not os.path.isdir(root):
        yield fault(f"root.path: {root} is not a directory", "unpack a root file system there")


def _program(bundle: str, document: "dict[str, Any]") -> "Iterator[Finding]":
    """Is process.args[0] an executable file of the rootfs? A mount may bring it, so a missing one is no fault."""
    process = document.get("process", {})
    args = process.get("args") or []
    if not args:
        return
    variables = dict(each.partition("=")[::2] for each in process.get("env", []))
    folders = [""] if "/" in args[0] else variables.get("PATH", "").split(":")
    root = os.path.realpath(_root_of(bundle, document))
    places = [_place(root, os.path.join("/", folder or process.get("cwd", "/"), args[0])) for folder in folders]
    found = [place for place in places if place and os.path.lexists(place)]
    if found and not any([os.path.isfile(place) and os.stat(place).st_mode & 0o111 for place in found]):
        yield note(f"process.args[0]: {found[0]} is not an executable file", f"chmod +x {found[0]}")
    elif not found:
        where = "" if "/" in args[0] else f" in any folder of process.env's PATH ({variables.get('PATH', '')})"
        yield note(f"process.args[0]: the rootfs has no {args[0]}{where}", "unless a mount brings it")


def _place(root: str, path: str, links: int = 40) -> str | None:
    """Where ``path`` of the container is on the host: beneath ``root``, where links lead as they do in the container;
    ``None`` if links lead in a circle.
    """
    walked = "/"
    parts = [part for part in path.split("/") if part not in ("", ".")]
    while parts:
        part = parts.pop(0)
        walked = os.path.dirname(walked) if part == ".." else os.path.join(walked, part)
        outside = root + walked
        if os.path.islink(outside):
            links -= 1
            if links < 0:
                return None
            target = os.readlink(outside)
            walked = "/" if target.startswith("/") else os.path.dirname(walked)
            parts = [each for each in target.split("/") if each not in ("", ".")] + parts
    return root + walked


def _limits(host: "Host", process: "dict[str, Any]") -> "Iterator[Finding]":
    may_raise = host.permitted & BITS["CAP_SYS_RESOURCE"] and not host.in_user_namespace
    for index, limit in enumerate(process.get("rlimits", [])):
        number = getattr(resource, limit.get("type", ""), None)
        if limit.get("type") == "RLIMIT_NOFILE" and limit.get("hard", 0) > int(host.text(MOST_FILES)):
            yield fault(
                f"process.rlimits[{index}]: RLIMIT_NOFILE of {limit['hard']} is above the kernel's fs.nr_open of "
                f"{host.text(MOST_FILES).strip()}, which binds root, too",
                f"ask for less, or as root: sysctl fs.nr_open={limit['hard']}",
            )
            continue
        if number is None or may_raise:
            continue
        hard = resource.getrlimit(number)[1]
        if hard != resource.RLIM_INFINITY and limit.get("hard", 0) > hard:
            yield fault(
                f"process.rlimits[{index}]: {limit['type']} of {limit['hard']} is above this process's hard limit of "
                f"{hard}, and the caller lacks CAP_SYS_RESOURCE",
                f"ask for at most {hard}, or raise the hard limit of the caller (limits.conf, LimitNOFILE=)",
            )


def _ids(linux: "dict[str, Any]", process: "dict[str, Any]") -> "Iterator[Finding]":
    if not any([each.get("type") == "user" and not each.get("path") for each in linux.get("namespaces", [])]):
        return
    user = process.get("user", {})
    wanted = [("uid", "process.user.uid", user.get("uid", 0)), ("gid", "process.user.gid", user.get("gid", 0))]
    wanted += [
        ("gid", f"process.user.additionalGids[{index}]", gid)
        for index, gid in enumerate(user.get("additionalGids", []))
    ]
    for kind, path, number in wanted:
        maps = linux.get(f"{kind}Mappings", [])
        if maps and not any([each["containerID"] <= number < each["containerID"] + each["size"] for each in maps]):
            yield fault(f"{path}: {number} is in no entry of linux.{kind}Mappings", "map it, or take another")


def _mapped(host: "Host", linux: "dict[str, Any]") -> "Iterator[Finding]":
    """May the caller map the ids of the host that the user namespace is to have?"""
    if not any([each.get("type") == "user" and not each.get("path") for each in linux.get("namespaces", [])]):
        return
    for kind in ("uid", "gid"):
        ranges = mappable(host, kind)
        where = f"/etc/sub{kind}" if host.euid else f"/proc/self/{kind}_map"
        for index, each in enumerate(linux.get(f"{kind}Mappings", [])):
            first, size = each["hostID"], each["size"]
            if not any([start <= first and first + size <= start + count for start, count in ranges]):
                yield fault(
                    f"linux.{kind}Mappings[{index}]: the caller may not map the {kind}s {first} to {first + size - 1} of "
                    f"the host ({where})",
                    f"as root: usermod --add-sub{kind}s {first}-{first + size - 1} USER"
                    if host.euid
                    else "take others",
                )


def _joined(linux: "dict[str, Any]") -> "Iterator[Finding]":
    """The namespaces that the container is to join."""
    for index, each in enumerate(linux.get("namespaces", [])):
        path = each.get("path")
        if path and not os.path.exists(path):
            yield fault(
                f"linux.namespaces[{index}].path: {path} does not exist",
                "make it, or remove the path to have a new one",
            )


def _sources(bundle: str, document: "dict[str, Any]") -> "Iterator[Finding]":
    """The sources of bind mounts. Those of others are no files of the host."""
    for index, mount in enumerate(document.get("mounts", [])):
        options = mount.get("options", [])
        if not {"bind", "rbind"} & set(options) and mount.get("type") != "bind":
            continue
        source = os.path.join(bundle, mount.get("source", ""))
        if not os.path.exists(source):
            yield fault(f"mounts[{index}].source: {source} does not exist", f"mkdir -p {source}, or remove the mount")


def _masks(document: "dict[str, Any]") -> "Iterator[Finding]":
    """Masks are paths: another mount of the same file system shows what they hide."""
    hidden = [*document.get("linux", {}).get("maskedPaths", []), *document.get("linux", {}).get("readonlyPaths", [])]
    for index, mount in enumerate(document.get("mounts", [])):
        kind, destination = mount.get("type"), os.path.normpath(mount.get("destination", "/"))
        for top, its_type in (("/proc", "proc"), ("/sys", "sysfs")):
            undone = [path for path in hidden if path.startswith(f"{top}/")]
            if kind == its_type and destination != top and undone:
                yield note(
                    f"mounts[{index}]: a second {its_type} at {destination} shows what linux.maskedPaths and "
                    f"readonlyPaths protect beneath {top} ({len(undone)} paths)",
                    f"name the same paths beneath {destination}, or remove the mount",
                )


def _hooks(document: "dict[str, Any]") -> "Iterator[Finding]":
    for point, hooks in document.get("hooks", {}).items():
        for index, hook in enumerate(hooks if point != "startContainer" else ()):
            path = hook.get("path", "")
            if shutil.which(path) is None:
                yield fault(f"hooks.{point}[{index}].path: {path} is not an executable file")
