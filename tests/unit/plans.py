"""What the tests of the compiler share: hosts that differ from this one, and plans of configs given as dicts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocirt.compile import compile
from ocirt.model.config import parse
from ocirt.model.host import Cgroups, Hierarchy, Host
from ocirt.model.request import Request
from ocirt.model.text import bound

if TYPE_CHECKING:
    from ocirt.plan import Plan
    from ocirt.plan.filters import Filters
    from ocirt.plan.steps import Record, Step

DATA = Path(__file__).parent / "data"
ROOT = "/sys/fs/cgroup"
V1 = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")
ALL_CAPABILITIES = (1 << 41) - 1

BASE: dict[str, Any] = {
    "ociVersion": "1.0.2",
    "root": {"path": "rootfs"},
    "process": {"cwd": "/", "args": ["sh"], "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
    "linux": {"namespaces": [{"type": "mount"}]},
}
"""The smallest config that runs something."""


def v1(*names: str, own: str = "/") -> list[Hierarchy]:
    """Separate hierarchies for the controllers ``names``."""
    return [Hierarchy((name,), f"{ROOT}/{name.removeprefix('name=')}", own) for name in names]


def host(**facts: Any) -> Host:
    """A host as root, with the hybrid layout and the usual controllers; nothing in it is read from this machine."""
    return Host(
        **{
            "kernel": (6, 18),
            "euid": 0,
            "egid": 0,
            "permitted": ALL_CAPABILITIES,
            "bounding": ALL_CAPABILITIES,
            "last_capability": 40,
            "in_user_namespace": False,
            "denies_setgroups": False,
            "has_systemd": False,
            "has_apparmor": False,
            "has_selinux": False,
            "files": (),
            "writable": (),
            "seccomp_flags": 0b111111,
            "resctrl": None,
            "cgroups": Cgroups(v1(*V1, "name=systemd"), Hierarchy((), f"{ROOT}/unified", "/")),
            **facts,
        }
    )


def v2(own: str = "/", **facts: Any) -> Host:
    """A host with only cgroup v2; ``own`` is the caller's cgroup."""
    return host(cgroups=Cgroups((), Hierarchy((), ROOT, own)), **facts)


def no_cgroups(**facts: Any) -> Host:
    """A host without any cgroup hierarchy, for plans of the rest."""
    return host(cgroups=Cgroups(), **facts)


def request(**words: str) -> Request:
    """A request to create the container ``c1`` of the bundle ``/bundle``; ``_`` in names stands for ``-``."""
    return Request(
        {
            "verb": "create",
            "id": "c1",
            "bundle": "/bundle",
            "root": "/run/ocirt",
            **{name.replace("_", "-"): value for name, value in words.items()},
        }
    )


def with_changes(base: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy of ``base`` with properties changed by path, ``__`` between the parts: ``linux__namespaces=[...]``;
    ``...`` removes a property.
    """
    members = deepcopy(dict(base))
    for path, value in changes.items():
        *holders, name = path.split("__")
        place = members
        for holder in holders:
            place = place.setdefault(holder, {})
        if value is ...:
            del place[name]
        else:
            place[name] = deepcopy(value)
    return members


def config(**changes: Any) -> dict[str, Any]:
    """BASE with properties changed by path, see :func:`with_changes`."""
    return with_changes(BASE, **changes)


IDS = [{"containerID": 0, "hostID": 100000, "size": 1000}]
MAPPED: dict[str, Any] = {"linux__uidMappings": IDS, "linux__gidMappings": IDS}
"""A change of a config: the mappings of a new user namespace."""


def spaces(*kinds: str) -> dict[str, Any]:
    """A change of a config: its namespaces. ``"pid"`` makes one, ``"pid=/path"`` joins one."""
    return {"linux__namespaces": [dict(zip(("type", "path"), kind.split("=", 1))) for kind in kinds]}


def plan(members: Mapping[str, Any], on: Host | None = None, kept: Filters | None = None, **words: str) -> Plan:
    """The plan for a config given as a dict, by default on a host without cgroups."""
    return compile(parse(json.dumps(members).encode()), request(**words), on or no_cgroups(), kept)


def steps(plan: Plan, section: str, *kinds: str) -> list[Step]:
    """The steps of a section; if ``kinds`` are given, only steps of these kinds."""
    return [step for step in plan.sections[section] if not kinds or type(step).__name__ in kinds]


def values(step: Record) -> dict[str, Any]:
    """A step's fields for this config, without defaults."""
    return {
        name: value
        for name, value in ((name, bound(getattr(step, name))) for name in step.fields)
        if name not in step.defaults or value != _listed(step.defaults[name])
    }


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def facts(plan: Plan) -> dict[str, Any]:
    """What the program knows about the container, for this config, without unknown facts."""
    return values(plan.facts)


def shown(plan: Plan, section: str, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
    """The steps of a section as pairs of name and fields."""
    return [(type(step).__name__, values(step)) for step in steps(plan, section, *kinds)]


def names(plan: Plan, section: str) -> list[str]:
    return [type(step).__name__ for step in plan.sections[section]]
