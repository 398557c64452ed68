"""What would fail for a bundle on this host, without running it: what compiling says, and the files that config.json
names. The modules bundle_*.py have the checks of the program, ids, limits, mounts and the kernel.
"""

import os

from ...compile import compile
from ...errors import OcirtError
from ...model.config import parse
from ...model.request import Request
from ...model.rules import RULES
from ...model.text import bound
from ...plan.steps import Warn
from ..packages import need
from ..plan import CONSOLE_SOCKET, words
from . import bundle_filesystems, bundle_ids, bundle_kernel, bundle_limits, bundle_mounts, bundle_program
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
        yield from [fault(f"create would refuse it: {each}") for each in _further(data, str(error))]
        return
    steps = [step for section in plan.sections.values() for step in section]
    yield good(f"config.json compiles to {len(steps)} steps")
    for step in steps:
        if isinstance(step, Warn):
            yield note(f"create warns: {bound(step.message)}")
    document = json.loads(data, object_pairs_hook=_without_null)
    asked = Asked(host, bundle, document, plan)
    refused = [str(error) for rule in RULES for error in rule(document)]
    yield from [fault(each.removeprefix("config.json: ")) for each in refused]
    yield from [note(f"ocirt validate would refuse it: {each}") for each in _further(data, "\n".join(refused))]
    for check in (
        *CHECKS,
        *bundle_program.CHECKS,
        *bundle_ids.CHECKS,
        *bundle_limits.CHECKS,
        *bundle_mounts.CHECKS,
        *bundle_filesystems.CHECKS,
        *bundle_kernel.CHECKS,
    ):
        yield from check(asked)


def _further(data: bytes, known: str) -> "list[str]":
    """What ``ocirt validate`` says, unless ``known`` has it already. Create stops at its first error, and does not look at
    what it does not need.
    """
    try:
        need("doctor", "jsonschema")
    except OcirtError:
        return []  # doctor does without this package
    from ...validate import validate

    return [str(error) for error in validate(data) if str(error) not in known]


def _without_null(pairs: "list[tuple[str, Any]]") -> "dict[str, Any]":
    """An object of config.json. A property that is null counts as missing, as it does for create."""
    return {name: value for name, value in pairs if value is not None}


def _root(asked: "Asked") -> "Iterator[Finding]":
    root = asked.root
    if not os.path.isdir(root):
        yield fault(f"root.path: {root} is not a directory", "unpack a root file system there")


def _directory(asked: "Asked") -> "Iterator[Finding]":
    cwd = asked.process.get("cwd", "/")
    place = place_in(os.path.realpath(asked.root), cwd)
    if place and os.path.exists(place) and not os.path.isdir(place):
        yield fault(f"process.cwd: {cwd} is a file in the rootfs", "name a directory, which may be missing")


CHECKS = (_root, _directory)
"""What the files of the bundle and of the host must have."""
