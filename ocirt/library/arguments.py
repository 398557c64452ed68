"""Checks of a call's arguments, before the call does anything. An error is one sentence that names the argument."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import RequestError
from ..model.size import EXPECTED, parse_size

Size = int | str
"""Bytes: a number, or text with a unit, like ``"64m"`` or ``"1.5g"`` (powers of 1024)."""


def wrong(name: str, value: object, expected: str) -> RequestError:
    return RequestError(f"{name}: found {value!r}, expected {expected}", name)


def words(name: str, value: Sequence[str]) -> list[str]:
    """A command line as a list.

    :param name: the argument's name, for the error.
    :raises RequestError: the value is one text, is empty, or has an item that is no text.
    """
    if isinstance(value, (str, bytes, bytearray)):
        raise wrong(name, value, f"a list of the program and its arguments: {_split(value)}")
    try:
        found = list(value)
    except TypeError:
        raise wrong(name, value, "a list of the program and its arguments") from None
    if not found:
        raise wrong(name, value, "a list of the program and its arguments")
    for index, word in enumerate(found):
        if not isinstance(word, str) or "\0" in word:
            raise wrong(
                f"{name}[{index}]", word, "text, like '1'" if not isinstance(word, str) else "text without a NUL"
            )
    return found


def _split(value: str | bytes | bytearray) -> list[str]:
    text = value if isinstance(value, str) else value.decode(errors="replace")
    try:
        return shlex.split(text) or ["sh"]
    except ValueError:  # a quote that does not end
        return ["sh", "-c", text]


def size(name: str, value: Size) -> int:
    """A number of bytes.

    :raises RequestError: the value is no size.
    """
    found = parse_size(value) if isinstance(value, str) else value
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise wrong(name, value, EXPECTED)
    return found


def optional_size(name: str, value: Size | None) -> int | None:
    """A number of bytes, or ``None``, which means no limit.

    :raises RequestError: the value is neither.
    """
    return None if value is None else size(name, value)


def count(name: str, value: int) -> int:
    """A whole number, 0 or more.

    :raises RequestError: the value is no such number.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise wrong(name, value, "a whole number")
    return value


def seconds(name: str, value: float) -> float:
    """A number of seconds above 0.

    :raises RequestError: the value is no such number.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise wrong(name, value, "a number above 0")
    return value


def mapping(name: str, value: Mapping[str, str] | None) -> dict[str, str]:
    """A dict of names and texts; empty for ``None``.

    :raises RequestError: the value is no such mapping.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise wrong(name, value, "a dict, like {'NAME': 'value'}")
    for key, each in value.items():
        if not isinstance(key, str) or not isinstance(each, str):
            raise wrong(f"{name}[{key!r}]", each, "names and values that are text")
    return dict(value)


def variables(name: str, value: Mapping[str, str] | None) -> dict[str, str]:
    """Environment variables; none for ``None``.

    :raises RequestError: the value is no such mapping, or has a name or a value that no environment can hold.
    """
    found = mapping(name, value)
    for key, each in found.items():
        if not key or "=" in key or "\0" in key:
            raise wrong(name, key, "names of variables without '=' and NUL")
        if "\0" in each:
            raise wrong(f"{name}[{key!r}]", each, "text without a NUL")
    return found


def directory(name: str, value: str) -> str:
    """An absolute path in a container.

    :raises RequestError: the value is none.
    """
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise wrong(name, value, "an absolute path")
    return value


SIZES = ("limit", "swap", "reservation")
"""The members of ``linux.resources.memory`` that are sizes."""


def resources(value: Mapping[str, Any]) -> dict[str, Any]:
    """``linux.resources``, with numbers instead of sizes that are text.

    :raises RequestError: the value is no mapping, or a size in it is wrong.
    """
    if not isinstance(value, Mapping):
        raise wrong("resources", value, "a dict like linux.resources, as {'memory': {'limit': '64m'}}")
    found = dict(value)
    memory = found.get("memory")
    if isinstance(memory, Mapping):
        found["memory"] = {
            name: size(f"resources.memory.{name}", each) if name in SIZES and isinstance(each, str) else each
            for name, each in memory.items()
        }
    return found
