"""``ocirt update``: other limits for an existing container.

The verb compiles the change to a program of its own. The executable runs its section ``update``, and ``restore`` if a
step of ``update`` fails. The verb locks the state directory before it reads anything, and the executable inherits the
lock with the directory's descriptor and holds it until the program has ended.
"""

import json
import os
from copy import deepcopy

from ..cgroups.update import change, restore
from ..errors import ConfigError, HostError, OcirtError, RequestError, reason
from ..model.config import Resources
from ..model.json import parse as parse_json
from ..model.size import EXPECTED, parse_size
from ..model.text import quote
from ..plan import Plan
from ..plan.encode import encode
from ..plan.steps import KeepResources
from . import containers
from .create import execute, hand_over
from .root import root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from typing import Any

    from ..model.config import Config
    from ..model.host import Host
    from ..model.json import Json, Members
    from ..model.request import Request
    from .parser import CommandLine

AT = "linux.resources"
KEPT = "resources.json"
"""A file of the state directory: ``linux.resources`` after the last update."""

PAIRS = (("cpu", "quota", "period"), ("memory", "limit", "swap"))
"""Values that together make one setting: if only one is given, the other does not change."""

OBSOLETE = ("kernel", "kernelTCP")


def run(line: "CommandLine") -> None:
    """Change the limits. If the flags can be compiled, this process becomes the executable, so there is no return.

    :raises OcirtError: a flag cannot be used, the container does not run, or it cannot be locked.
    """
    from .._build import BUILD_ID

    id, root = line.arguments[0], root_of(line.options)
    given, origin = _asked_for(line.options)
    lock = containers.lock(line)
    state = containers.state_of(line)
    if not state.is_alive:
        raise OcirtError(f"container not running: {id} is {state.status}")
    config, request, host = containers.read(line)
    plan = Plan(config.trace)
    for name in OBSOLETE:
        if _part(given, "memory").pop(name, None):
            line.log.warning(
                f"{origin(f'{AT}.memory.{name}')}: the kernel no longer has this limit: the value is ignored"
            )
    try:
        _compile(plan, config, request, host, line, given, os.path.join(root, id, KEPT))
        for step in plan.update + plan.restore:
            step.at = origin(step.at)
        program = encode(plan, BUILD_ID)
    except ConfigError as error:
        raise RequestError(f"{origin(error.path)}: found {error.found}, expected {error.expected}") from None
    except HostError as error:
        raise HostError(origin(error.path), error.message) from None
    execute(
        line.executable, [*line.start[:1], f"@program={hand_over(program)},{lock}", *line.start[1:], "update", "--", id]
    )


# ---- the requested limits ----


def _asked_for(options: "Namespace") -> "tuple[Members, Callable[[str], str]]":
    """The limits that the command line asks for, in the form of ``linux.resources``, and a function that names the
    source of a JSON path below that: a flag, or a place in the file.
    """
    if options.resources:
        name = f"--resources {options.resources}"
        return _from_file(
            options.resources
        ), lambda path: f"{name}: {path[len(AT) + 1 :]}" if path.startswith(AT) else path
    given: Members = {}
    for flag, (part, name, parse) in FLAGS.items():
        text = getattr(options, flag.replace("-", "_"))
        if text:
            given.setdefault(part, {})[name] = parse(flag, text)
    names = {
        f"{AT}.{part}.{name}": f"--{flag}" for flag, (part, name, _) in FLAGS.items() if name in given.get(part, {})
    }
    return given, lambda path: names.get(path, path)


def _from_file(name: str) -> "Members":
    try:
        with open(0 if name == "-" else name, "rb", closefd=name != "-") as file:
            return parse_json(file.read())[0]
    except OSError as error:
        raise RequestError(f"--resources {name}: {reason(error)}") from None
    except ConfigError as error:
        at = f"{error.path}: " if error.path else ""
        raise RequestError(f"--resources {name}: {at}found {error.found}, expected {error.expected}") from None


def size(flag: str, text: str) -> int:
    """A number of bytes with or without a unit; -1 is no limit.

    :raises RequestError: the text is no size.
    """
    found = -1 if text == "-1" else parse_size(text)
    if found is None:
        raise RequestError(f"--{flag}: found {quote(text)}, expected {EXPECTED}, or -1 for no limit")
    return found


def number(flag: str, text: str) -> int:
    """A decimal number.

    :raises RequestError: the text is no number.
    """
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise RequestError(f"--{flag}: found {quote(text)}, expected a whole number")
    return int(text)


def _text(flag: str, text: str) -> str:
    return text


FLAGS = {
    # Flag: its place in linux.resources, and the function that reads its value.
    "memory": ("memory", "limit", size),
    "memory-swap": ("memory", "swap", size),
    "memory-reservation": ("memory", "reservation", size),
    "kernel-memory": ("memory", "kernel", size),
    "kernel-memory-tcp": ("memory", "kernelTCP", size),
    "cpu-share": ("cpu", "shares", number),
    "cpu-period": ("cpu", "period", number),
    "cpu-quota": ("cpu", "quota", number),
    "cpu-burst": ("cpu", "burst", number),
    "cpu-rt-period": ("cpu", "realtimePeriod", number),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime", number),
    "cpu-idle": ("cpu", "idle", number),
    "cpuset-cpus": ("cpu", "cpus", _text),
    "cpuset-mems": ("cpu", "mems", _text),
    "blkio-weight": ("blockIO", "weight", number),
    "pids-limit": ("pids", "limit", number),
}


# ---- the container ----


def _compile(
    plan: Plan, config: "Config", request: "Request", host: "Host", line: "CommandLine", given: "Members", kept: str
) -> None:
    """Fill the sections ``update`` and ``restore``.

    :param kept: path of the file that an earlier update has written, if one has.
    """
    stored = _stored(kept, config)
    wanted = completed(given, stored)
    driver = containers.driver_of(config, request, host)
    after = Resources(wanted, AT, config.trace)
    plan.sections["update"] = change(driver, after)
    plan.sections["restore"] = restore(driver, plan.update, after, Resources(stored, AT, config.trace))
    schemas = {
        f"--{name}": getattr(line.options, name.replace("-", "_")) for name in ("l3-cache-schema", "mem-bw-schema")
    }
    if any(schemas.values()):
        from ..compile import rdt

        steps, back = rdt.change(config, request, host, plan, {flag: text for flag, text in schemas.items() if text})
        plan.sections["update"] += steps
        plan.sections["restore"] = back + plan.restore
    if given:
        plan.update.append(KeepResources("update", "", data=json.dumps(merged(stored, given))))


def _stored(kept: str, config: "Config") -> "Members":
    """``linux.resources`` before this update."""
    try:
        with open(kept, "rb") as file:
            kept_resources: Members = json.load(file)
            return kept_resources
    except FileNotFoundError:
        return deepcopy(config.linux.resources.value)
    except (OSError, ValueError) as error:
        raise OcirtError(
            f"{kept}: {reason(error) if isinstance(error, OSError) else 'not what update writes'}"
        ) from None


def _part(resources: "Members", name: str) -> "Members":
    part = resources.get(name)
    return part if isinstance(part, dict) else {}


def completed(given: "Members", stored: "Members") -> "Members":
    """The limits to write for ``given``: without device rules, which runc leaves alone too, because other programs may
    have changed them; with both values of a pair of which one is given; and with the old checkBeforeUpdate if it is not
    given.
    """
    wanted = {name: value for name, value in deepcopy(given).items() if name != "devices"}
    for name, *pair in PAIRS:
        part, before = _part(wanted, name), _part(stored, name)
        here = [each for each in pair if part.get(each)]
        for other in pair:
            if here and part.get(other) is None and before.get(other) and not is_without_limit(part):
                part[other] = before[other]
    memory, before = _part(wanted, "memory"), _part(stored, "memory")
    if "checkBeforeUpdate" in before and memory:
        memory.setdefault("checkBeforeUpdate", before["checkBeforeUpdate"])
    return wanted


def is_without_limit(memory: "Members") -> bool:
    """Does it remove the limit on memory without a value for swap? Then swap has no limit either."""
    return memory.get("limit") == -1 and memory.get("swap") is None


def merged(stored: "Members", given: "Members") -> "Members":
    """``linux.resources`` after the update."""
    found: Members = _merged(stored, {name: value for name, value in given.items() if name != "devices"})
    if is_without_limit(_part(given, "memory")):
        _part(found, "memory").pop("swap", None)
    return found


def _merged(old: "Json", new: "Json") -> "Json":
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {name: _merged(old.get(name), value) for name, value in new.items() if value is not None}
    if isinstance(old, list) and isinstance(new, list):
        rows = {_key(row): row for row in old}
        for row in new:
            rows[_key(row)] = _merged(rows.get(_key(row)), row)
        return list(rows.values())
    return new


def _key(row: "Members") -> "tuple[Any, ...]":
    """What identifies a row of a list: a device, a page size or an interface."""
    return tuple(
        [(name, row[name]) for name in ("major", "minor", "type", "access", "pageSize", "name") if name in row]
    )
