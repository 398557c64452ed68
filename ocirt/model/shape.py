"""The shape of a config: what remains of it without its values. The executable's scanner (core/program/scan.c) makes
the same bytes from the same file. Both number the values in their order.

``{`` and ``}``, ``[`` and ``]`` nest; ``:`` and NUL enclose a key; a value is one letter: ``s`` a string, ``i`` a
whole number, ``f`` another number, ``t``, ``b``, ``n`` for true, false and null, ``L`` a list slot, ``R``
the raw slot.
"""

from .config import Hooks
from .json import AT_PROCESS, member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from .json import Json, Members

    Slots: TypeAlias = "str | dict[str, Slots] | list[Slots]"

LIST, RAW = "L", "R"
_HOOK: "Slots" = [{"args": LIST, "env": LIST}]
_PROCESS: "Slots" = {"args": LIST, "env": LIST}
SLOTS: "Slots" = {
    "process": _PROCESS,
    "hooks": {point.name: _HOOK for point in vars(Hooks).values() if hasattr(point, "name")},
    "annotations": RAW,
}
"""The places of the lists and objects that are a single value; ``[...]`` stands for every item of an array."""
REQUEST: "Slots" = {"command": LIST, "env": LIST}
"""The same for the request."""
AT_REQUEST = "$"
"""The paths of the request's values begin with it: ``$id``, ``$user.uid``."""


class Shape:
    """The shape of what a program is compiled from: the request, config.json, and exec's process file, one after the
    other.

    :param members: the members of config.json.
    :param process: the members of the process file, which has list slots like config.json; ``None`` without a process
        file.
    :param request: the objects of the request that a program depends on: its members ``key`` and ``bound``.

    :ivar structure: the bytes; a newline follows the request.
    :ivar leaves: JSON path of a value -> its number.
    :ivar letters: of the values, by number.
    :ivar values: the values themselves, by number.
    :ivar annotations: JSON path of an annotation -> its key.
    """

    __slots__ = ("structure", "leaves", "letters", "values", "annotations", "_parts")

    def __init__(self, members: "Members", process: "Members | None" = None, request: "Iterable[Members]" = ()) -> None:
        self.leaves: dict[str, int] = {}
        self.letters: list[str] = []
        self.values: list[Json] = []
        self.annotations: dict[str, str] = {}
        self._parts: list[str] = []
        for each in request:
            self._walk(each, AT_REQUEST, REQUEST)
        if request:
            self._parts.append("\n")
        self._walk(members, "", SLOTS)
        if process is not None:
            self._walk(process, AT_PROCESS, _PROCESS)
        self.structure = "".join(self._parts).encode()
        del self._parts

    def _walk(self, value: "Json", path: str, slots: "Slots | None") -> None:
        kind = type(value)
        if kind is dict and slots is RAW:
            self.annotations = {member(path, key): key for key in value}
            self._leaf(path, value, "R")
        elif kind is list and slots is LIST:
            self._leaf(path, value, "L")
        elif kind is dict:
            inner = slots if isinstance(slots, dict) else {}
            self._parts.append("{")
            for key, item in value.items():
                self._parts.append(f":{key}\0")
                inner_path = f"${key}" if path == AT_REQUEST else member(path, key)
                self._walk(item, inner_path, inner.get(key))
            self._parts.append("}")
        elif kind is list:
            each = slots[0] if isinstance(slots, list) else None
            self._parts.append("[")
            for index, item in enumerate(value):
                self._walk(item, f"{path}[{index}]", each)
            self._parts.append("]")
        else:
            self._leaf(
                path,
                value,
                "s"
                if kind is str
                else "i"
                if kind is int
                else "f"
                if kind is float
                else "n"
                if value is None
                else "t"
                if value
                else "b",
            )

    def _leaf(self, path: str, value: "Json", letter: str) -> None:
        self.leaves[path] = len(self.letters)
        self.letters.append(letter)
        self.values.append(value)
        self._parts.append(letter)
