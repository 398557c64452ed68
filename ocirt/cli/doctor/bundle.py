"""What would fail for a bundle on this host, without running it: what compiling says, and the files that config.json
names. The modules bundle_*.py have the checks of ids, limits, mounts and the kernel.
"""

import os
import shutil

from ...compile import compile
from ...errors import OcirtError
from ...model.config import parse
from ...model.request import Request
from ...model.text import bound
from ...plan.steps import Warn
from ..plan import CONSOLE_SOCKET, words
from . import bundle_ids, bundle_kernel, bundle_limits, bundle_mounts
from .asked import Asked, place_in
from .finding import Finding, fault, good, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from typing import Any

    from ...model.host import Host


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
    asked = Asked(host, bundle, document, plan)
    for check in (*CHECKS, *bundle_ids.CHECKS, *bundle_limits.CHECKS, *bundle_mounts.CHECKS, *bundle_kernel.CHECKS):
        yield from check(asked)


def _without_null(pairs: "list[tuple[str, Any]]") -> "dict[str, Any]":
    """An object of config.json. A property that is null counts as missing, as it does for create."""
    return {name: value for name, value in pairs if value is not None}


def _root(asked: "Asked") -> "Iterator[Finding]":
    root = asked.root
    if not os.path.isdir(root):
        yield fault(f"root.path: {root} is not a directory", "unpack a root file system there")


def _program(asked: "Asked") -> "Iterator[Finding]":
    """Is process.args[0] an executable file of the rootfs? A mount may bring it, so a missing one is no fault."""
    process = asked.process
    args = process.get("args") or []
    if not args:
        return
    variables = dict(each.partition("=")[::2] for each in process.get("env", []))
    folders = [""] if "/" in args[0] else variables.get("PATH", "").split(":")
    root = os.path.realpath(asked.root)
    places = [place_in(root, os.path.join("/", folder or process.get("cwd", "/"), args[0])) for folder in folders]
    found = [place for place in places if place and os.path.lexists(place)]
    if found and not any([os.path.isfile(place) and os.stat(place).st_mode & 0o111 for place in found]):
        yield note(f"process.args[0]: {found[0]} is not an executable file", f"chmod +x {found[0]}")
    elif not found:
        where = "" if "/" in args[0] else f" in any folder of process.env's PATH ({variables.get('PATH', '')})"
        yield note(f"process.args[0]: the rootfs has no {args[0]}{where}", "unless a mount brings it")


def _directory(asked: "Asked") -> "Iterator[Finding]":
    cwd = asked.process.get("cwd", "/")
    place = place_in(os.path.realpath(asked.root), cwd)
    if place and os.path.exists(place) and not os.path.isdir(place):
        yield fault(f"process.cwd: {cwd} is a file in the rootfs", "name a directory, which may be missing")


def _hooks(asked: "Asked") -> "Iterator[Finding]":
    for point, hooks in asked.document.get("hooks", {}).items():
        for index, hook in enumerate(hooks if point != "startContainer" else ()):
            path = hook.get("path", "")
            if shutil.which(path) is None:
                yield fault(f"hooks.{point}[{index}].path: {path} is not an executable file")


CHECKS = (_root, _program, _directory, _hooks)
"""What the files of the bundle and of the host must have."""
