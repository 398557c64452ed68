"""Checks of a call's arguments, before the call does anything. An error is one sentence that names the argument."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import RequestError
from ..model.size import EXPECTED, parse_size

Size = int | str
"""Bytes: a number, or text with a unit, like ``"64m"`` or ``"1.5g"`` (powers of 1024)."""
BYTES_MAX = 1 << 62
CPUS_MAX = 1 << 20
"""The kernel refuses quotas that are far above these numbers, and with another error for each version of cgroups."""


def wrong(name: str, value: object, expected: str) -> RequestError:
    return RequestError(f"{name}: found {value!r}, expected {expected}", name)


COMMAND = "a list of the program and its arguments"


def words(name: str, value: Sequence[str], expected: str = COMMAND) -> list[str]:
    """Texts as a list: a command line, unless ``expected`` names something else.

    :param name: the argument's name, for the error.
    :raises RequestError: the value is one text, is empty, or has an item that is no text.
    """
    if isinstance(value, (str, bytes, bytearray)):
        raise wrong(name, value, f"{expected}: {_split(value)}")
    try:
        found = list(value)
    except TypeError:
        raise wrong(name, value, expected) from None
    if not found:
        raise wrong(name, value, expected)
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


def size(name: str, value: Size, least: int = 0) -> int:
    """A number of bytes.

    :param least: the smallest one. A limit begins at 1, because the kernel takes some limits of 0 for none.
    :raises RequestError: the value is no size, or out of bounds.
    """
    found = parse_size(value) if isinstance(value, str) else value
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise wrong(name, value, EXPECTED)
    if found < least:
        raise wrong(name, value, f"{least} byte or more")
    if found > BYTES_MAX:
        raise wrong(name, value, f"at most {BYTES_MAX} bytes")
    return found


def optional_size(name: str, value: Size | None, least: int = 0) -> int | None:
    """A number of bytes, or ``None``, which means no limit.

    :raises RequestError: the value is neither.
    """
    return None if value is None else size(name, value, least)


def count(name: str, value: int, least: int = 0) -> int:
    """A whole number.

    :param least: the smallest one.
    :raises RequestError: the value is no such number.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise wrong(name, value, "a whole number")
    if value < least:
        raise wrong(name, value, f"{least} or more")
    return value


def seconds(name: str, value: float) -> float:
    """A number of seconds above 0.

    :raises RequestError: the value is no such number.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise wrong(name, value, "a number above 0")
    return value


def processors(name: str, value: float) -> float:
    """Seconds of CPU time in each second.

    :raises RequestError: the value is no such number, or more than any machine has.
    """
    if seconds(name, value) > CPUS_MAX:
        raise wrong(name, value, f"at most {CPUS_MAX}; None sets no limit")
    return value


def content(name: str, value: bytes | str) -> bytes:
    """The content of a file, or the input of a program; text becomes UTF-8.

    :raises RequestError: the value is neither bytes nor text, or is text that UTF-8 does not have.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if not isinstance(value, str):
        raise wrong(name, value, "bytes or text")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise wrong(name, value, "text of whole Unicode characters, or bytes") from None


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


def cgroup(name: str, value: str) -> str:
    """The path of a cgroup.

    :raises RequestError: the value is no text, or empty.
    """
    if not isinstance(value, str) or not value or "\0" in value:
        raise wrong(name, value, "the path of a cgroup, like '/sandboxes/one'")
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
