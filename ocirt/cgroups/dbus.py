"""D-Bus messages to systemd, as lists of strings. The executable makes the bytes (core/cgroup/dbus.c), so that ids,
slices and limits can stay slots.

An item is a type, followed by its value if it has one: ``m`` begins a call with the flags that its number has, and
``h`` ends its header; the executable numbers the calls from 1 on. ``s`` and ``g`` are a text and a signature; ``y``, ``b``, ``u``
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
    """Messages, or part of one."""
    Property: TypeAlias = Items
    """A property of a unit: a structure of its name (plain text) and a variant."""


SYSTEMD = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
MANAGER = (*SYSTEMD, "org.freedesktop.systemd1.Manager")
PEER = (*SYSTEMD, "org.freedesktop.DBus.Peer")
DAEMON = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
"""Whom a call is for: destination, path and interface."""
NO_REPLY = 1
"""A flag: no reply is expected."""
MATCH = (
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'"
)


def greeting(uid: int) -> str:
    """What authenticates this process, which the manager sees with this ``uid``. A NUL byte precedes it."""
    return f"AUTH EXTERNAL {str(uid).encode().hex()}\r\nBEGIN\r\n"


def message(
    to: tuple[str, str, str], member: str, signature: str = "", body: "Items | None" = None, flags: int = 0
) -> "Items":
    """The call of the method ``member``."""
    destination, path, interface = to
    fields = [("1", "o", path), ("2", "s", interface), ("3", "s", member), ("6", "s", destination)]
    header: Items = ["m", str(flags), "a8"]
    for code, kind, value in [*fields, *([("8", "g", signature)] if signature else [])]:
        header += ["(", "y", code, "g", kind, "g" if kind == "g" else "s", value]
    return [*header, "]", "h", *(body or [])]


def hello(bus: int) -> "Items":
    """What a conversation over a message bus begins with."""
    return message(DAEMON, "Hello") if bus else []


def prepare(bus: int, unit: "AnyText") -> "Items":
    """The calls before one that starts a job for ``unit``. The manager sends its signals to its own connections anyway,
    and to a bus if somebody has subscribed. A failed unit of this name would be in the way of a new one.
    """
    subscribe = message(DAEMON, "AddMatch", "s", ["s", MATCH], NO_REPLY) + message(MANAGER, "Subscribe", flags=NO_REPLY)
    return [*(subscribe if bus else []), *message(MANAGER, "ResetFailedUnit", "s", ["s", unit], NO_REPLY)]


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
    """The call of StartTransientUnit: the unit's name, how it treats other jobs, its properties, and no
    further units.
    """
    body = ["s", unit, "s", "replace", "a8", *[item for each in properties for item in each], "]", "a8", "]"]
    return message(MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", body)


def stop(unit: "AnyText") -> "Items":
    return message(MANAGER, "StopUnit", "ss", ["s", unit, "s", "replace"])


def change(unit: "AnyText", properties: "Iterable[Property]") -> "Items":
    """The call of SetUnitProperties, and one that systemd answers after it has written the properties. It keeps them as
    long as the unit exists, and not in a file.
    """
    body = ["s", unit, "b", "1", "a8", *[item for each in properties for item in each], "]"]
    return [*message(MANAGER, "SetUnitProperties", "sba(sv)", body), *message(PEER, "Ping")]
