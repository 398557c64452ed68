"""D-Bus messages to systemd, as lists of strings. The executable makes the bytes (core/cgroup/dbus.c), so that ids,
slices and limits can stay slots.

An item is a type, followed by its value if it has one: ``s`` and ``g`` are a text and a signature; ``y``, ``b``, ``u``
and ``t`` are decimal numbers of 1, 4, 4 and 8 bytes (a bool is 0 or 1, -1 is all ones); ``d`` is two numbers, whose
difference is sent as ``t``; ``p`` is the pid of the child. ``(`` begins a structure; ``a1``, ``a4`` and ``a8`` begin an
array with items aligned to 1, 4 or 8 bytes, and ``]`` ends it. A variant is a signature followed by a value of that
type.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from ..model.text import AnyText, Template

    Items: TypeAlias = list[AnyText]
    """A message, or part of one."""
    Property: TypeAlias = Items
    """A property of a unit: a structure of its name (plain text) and a variant."""


def _property(name: str, signature: str, *items: "AnyText") -> "Property":
    return ["(", "s", name, "g", signature, *items]


def text(name: str, value: "AnyText") -> "Property":
    return _property(name, "s", "s", value)


def flag(name: str, value: bool) -> "Property":
    return _property(name, "b", "b", str(int(value)))


def number(name: str, value: "str | Template") -> "Property":
    """:param value: an unsigned number, or -1."""
    return _property(name, "t", "t", value)


def difference(name: str, value: "str | Template", less: "str | Template") -> "Property":
    return _property(name, "t", "d", value, less)


def octets(name: str, data: bytes) -> "Property":
    return _property(name, "ay", "a1", *[item for byte in data for item in ("y", str(byte))], "]")


def child(name: str) -> "Property":
    """A property with the child's pid as its only item."""
    return _property(name, "au", "a4", "p", "]")


def start(unit: "AnyText", properties: "Iterable[Property]") -> "Items":
    """The body of StartTransientUnit: the unit's name, how it treats other jobs, its properties, and no
    further units.
    """
    return ["s", unit, "s", "replace", "a8", *[item for each in properties for item in each], "]", "a8", "]"]


def change(unit: "AnyText", properties: "Iterable[Property]") -> "Items":
    """The body of SetUnitProperties. Systemd keeps the properties as long as the unit exists, and not in a file."""
    return ["s", unit, "b", "1", "a8", *[item for each in properties for item in each], "]"]
