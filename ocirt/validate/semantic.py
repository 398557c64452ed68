"""Errors that no schema can describe, in exactly create's sentences, because the compiler itself finds them.

The compiler stops at its first error. So this module mends that error in a copy of the document, and compiles again,
until no error is left. It compiles for a host that can do everything, because what a host lacks is no fault of a
config.
"""

from copy import deepcopy

from ..compile import compile
from ..errors import ConfigError, HostError
from ..model.config import Config, check_version
from ..model.host import Cgroups, Hierarchy, Host
from ..model.request import Request
from ..model.rules import RULES
from ..model.text import Trace
from ..plan.encode import BUILD_SIZE, encode
from . import schema
from .place import join, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..model.json import Json, Members
    from .place import Part

REQUEST = {
    "verb": "create",
    "id": "ID",
    "bundle": "/bundle",
    "root": "/run/ocirt",
    "rootfs-annotations": "1",
    "hardening-annotations": "1",
}
CONTROLLERS = (
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "rdma",
    "misc",
)


class _Everything:
    """A collection that contains everything."""

    def __contains__(self, _: object) -> bool:
        return True


def able_host() -> Host:
    """A host that can do whatever a config asks for."""
    everything = (1 << 64) - 1
    hierarchies = [Hierarchy((name,), f"/sys/fs/cgroup/{name}", "/") for name in CONTROLLERS]
    return Host(
        kernel=(6, 18),
        euid=0,
        egid=0,
        permitted=everything,
        bounding=everything,
        last_capability=63,
        in_user_namespace=False,
        denies_setgroups=False,
        has_systemd=True,
        has_apparmor=True,
        has_selinux=True,
        files=_Everything(),
        cgroups=Cgroups(hierarchies, Hierarchy((), "/sys/fs/cgroup/unified", "/")),
    )


def errors(members: "Members", copy: "Members") -> list[ConfigError]:
    """The errors that compiling the config ``members`` finds, and those of :data:`~ocirt.model.rules.RULES`: list of ConfigError.

    :param copy: another copy of the config, which this function changes.
    """
    return _look(copy)[0] + [error for rule in RULES for error in rule(members)]


def doubts(copy: "Members") -> list[ConfigError]:
    """What create warns of, because the specification forbids it and every peer accepts it: list of ConfigError.

    :param copy: the config, which this function changes.
    """
    return _look(copy)[1]


def _look(copy: "Members") -> tuple[list[ConfigError], list[ConfigError]]:
    """The errors that compiling finds in ``copy``, and its warnings once the errors are mended."""
    found: list[ConfigError] = []
    mender = _Mender(copy)
    while True:
        trace, error = _compile(mender.copy)
        if error is None:
            break
        place = mender.original(error.path)
        if isinstance(error, ConfigError) and place is not None and place not in [each.path for each in found]:
            found.append(ConfigError(place, error.found, error.expected))
        if not mender.mend(error.path):
            break
    places = {path: mender.original(path) for path in trace.doubts}
    return found, [
        ConfigError(place, value, expected)
        for path, (value, expected, _) in trace.doubts.items()
        if (place := places[path]) is not None
    ]


def _compile(members: "Members") -> tuple[Trace, ConfigError | HostError | None]:
    """What compiling ``members`` has looked at, and the first error, or ``None``."""
    config = Config(members, _Sources())
    try:
        check_version(config.oci_version)
        words = {"console-socket": "/socket"} if config.process.terminal else {}
        encode(compile(config, Request(REQUEST | words), able_host()), "0" * BUILD_SIZE)
    except (ConfigError, HostError) as error:
        return config.trace, error
    return config.trace, None


class _Sources(dict[str, str]):
    """The source text of a property, for :meth:`Config.raw`. Its content does not matter here."""

    def __missing__(self, name: str) -> str:
        return "{}"


class _Mender:
    """A copy of a document in which one wrong place after the other is mended."""

    def __init__(self, copy: "Members") -> None:
        self.copy = copy
        self._indices: dict[int, tuple[list[Json], list[int | None]]] = {}
        self._ways: dict[tuple[Part | None, ...], list[Any]] = {}

    def original(self, path: str) -> str | None:
        """The document's path for the ``path`` in the copy; ``None`` if it is no path, or leads to something that was
        added to the copy.
        """
        given = split(path)
        parts = [] if given is None else self._original(given)
        known = [part for part in parts if part is not None]
        return None if given is None or len(known) < len(parts) else join(known)

    def mend(self, path: str) -> bool:
        """Change the value at ``path`` in the copy, in another way each time, and finally the value that contains it.

        :returns: whether anything was left to change.
        """
        parts = split(path)
        while parts:
            ways = self._ways.setdefault(tuple(self._original(parts)), self._ways_for(parts))
            while ways:
                if ways.pop(0)(parts):
                    return True
            parts = parts[:-1]
        return False

    def _ways_for(self, parts: "list[Part]") -> "list[Any]":
        if isinstance(parts[-1], int) and not isinstance(self._value(parts), dict):
            return [self._put, self._remove]  # the schema may forbid an empty list
        return [self._extend, self._remove, self._put, self._remove]

    def _extend(self, parts: "list[Part]") -> bool:
        """Add the example to a list that lacks something."""
        place, value = schema.at("config", parts), self._value(parts)
        if place is None or not isinstance(value, list) or "examples" not in place[0]:
            return False
        self._index(value).extend([None] * len(place[0]["examples"][0]))
        value.extend(deepcopy(place[0]["examples"][0]))
        return True

    def _remove(self, parts: "list[Part]") -> bool:
        """Remove the value."""
        holder, name = self._value(parts[:-1]), parts[-1]
        if self._value(parts) is None and not (
            isinstance(holder, list) and isinstance(name, int) and name < len(holder)
        ):
            return False
        if isinstance(holder, list):
            del self._index(holder)[int(name)]
        del holder[name]
        return True

    def _put(self, parts: "list[Part]") -> bool:
        """Replace the value by one that the schema accepts, and make its missing parents."""
        place = schema.at("config", parts)
        if place is None or "enum" in place[0] and "examples" not in place[0]:
            return False  # another entry may already have the first value of an enum
        holder: Json = self.copy
        for part in parts[:-1]:
            if isinstance(holder, dict) and holder.get(part) is None:
                holder[part] = {}
            holder = holder[part]
        holder[parts[-1]] = stand_in(*place)
        return True

    def _value(self, parts: "list[Part]") -> "Json":
        value: Json = self.copy
        for part in parts:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def _index(self, array: "list[Json]") -> list[int | None]:
        """The index that each element of ``array`` had in the document; ``None`` for elements that were added."""
        # Keep the array itself, so that no later array gets its id.
        return self._indices.setdefault(id(array), (array, list(range(len(array)))))[1]

    def _original(self, parts: "list[Part]") -> "list[Part | None]":
        original: list[Part | None] = []
        for depth, part in enumerate(parts):
            holder = self._value(parts[:depth])
            known = isinstance(holder, list) and isinstance(part, int) and part < len(holder)
            original.append(self._index(holder)[int(part)] if known else part)
        return original


def stand_in(value: "schema.Schema", root: "schema.Schema") -> "Json":
    """The simplest value that a schema accepts: its example, or the first of its kind.

    :param value, root: a schema as :func:`.schema.resolve` returns it.
    """
    if "examples" in value:
        return deepcopy(value["examples"][0])
    if "enum" in value:
        return value["enum"][0]
    if value["type"] == "object":
        return {name: stand_in(*schema.resolve(value["properties"][name], root)) for name in value.get("required", ())}
    return {"string": "", "boolean": False, "array": [], "integer": max(0, value.get("minimum", 0))}[value["type"]]
