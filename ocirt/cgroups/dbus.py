"""D-Bus messages to systemd, as lists of strings from which the executable makes the bytes (core/cgroup/dbus.c): so that ids,
slices and limits stay slots.

An item is a type, and its value where it has one: ``s`` and ``g`` text and signature, ``y``, ``b``, ``u`` and ``t``
numbers in decimal, of 1, 4, 4 and 8 bytes (a bool is 0 or 1, -1 is all ones), ``d`` two numbers of which the first less
the second is sent as ``t``, ``p`` the pid of the child. ``(`` begins a structure, ``a1``, ``a4`` and ``a8`` an array whose items
are aligned to as many bytes, ``]`` ends it. A variant is a signature, and a value of it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from ..model.text import AnyText, Template

    Items: TypeAlias = list[AnyText]
    """A message, or part of one."""
    Property: TypeAlias = Items
    """A property of a unit: a structure of its name, which is plain text, and a variant."""


def _property(name: str, signature: str, *items: "AnyText") -> "Property":
    return ["(", "s", name, "g", signature, *items]


def text(name: str, value: "AnyText") -> "Property":
    return _property(name, "s", "s", value)


def flag(name: str, value: bool) -> "Property":
    return _property(name, "b", "b", str(int(value)))


def number(name: str, value: "str | Template") -> "Property":
    """:param value: a number without sign, or -1."""
    return _property(name, "t", "t", value)


def difference(name: str, value: "str | Template", less: "str | Template") -> "Property":
    return _property(name, "t", "d", value, less)


def octets(name: str, data: bytes) -> "Property":
    return _property(name, "ay", "a1", *[item for byte in data for item in ("y", str(byte))], "]")


def child(name: str) -> "Property":
    """A property that names the child's pid alone."""
    return _property(name, "au", "a4", "p", "]")


def start(unit: "AnyText", properties: "Iterable[Property]") -> "Items":
    """The body of StartTransientUnit: a unit's name, how it deals with other jobs, its properties, and no further units."""
    return ["s", unit, "s", "replace", "a8", *[item for each in properties for item in each], "]", "a8", "]"]


def change(unit: "AnyText", properties: "Iterable[Property]") -> "Items":
    """The body of SetUnitProperties: for as long as the unit lives, not in a file of its own."""
    return ["s", unit, "b", "1", "a8", *[item for each in properties for item in each], "]"]
