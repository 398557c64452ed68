"""Properties of a systemd unit: those for limits, for ``linux.resources.unified`` and for annotations."""

from ..errors import ConfigError
from ..model.text import Template, quote
from . import dbus
from .v2 import cpu_weight

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeGuard

    from ..model.config import Cpu, Memory
    from ..model.text import Number, Text
    from .dbus import Property

UNLIMITED = str((1 << 64) - 1)
SIZES = {
    "memory.min": "MemoryMin",
    "memory.low": "MemoryLow",
    "memory.high": "MemoryHigh",
    "memory.max": "MemoryMax",
    "memory.swap.max": "MemorySwapMax",
    "memory.zswap.max": "MemoryZSwapMax",
    "pids.max": "TasksMax",
}
WEIGHTS = {"cpu.weight": "CPUWeight", "io.weight": "IOWeight"}
SETS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}
MAX_BIT = 8191
"""The highest CPU that fits in systemd's sets."""


# ---- limits ----


def is_set(number: "Number | None") -> "TypeGuard[Number]":
    return number is not None and not number.equals(0)


def or_unlimited(number: "Number") -> str | Template:
    return UNLIMITED if number.equals(-1) else Template(number)


def memory_limits(memory: "Memory") -> "list[Property]":
    limit, swap = memory.limit, memory.swap
    given = [
        dbus.number(name, or_unlimited(number))
        for name, number in (("MemoryMax", limit), ("MemoryLow", memory.reservation))
        if is_set(number)
    ]
    if is_set(swap):
        if swap.equals(-1) or not is_set(limit) or limit.equals(-1):
            given.append(dbus.number("MemorySwapMax", or_unlimited(swap)))
        else:
            given.append(dbus.difference("MemorySwapMax", Template(swap), Template(limit)))
    elif is_set(limit) and limit.equals(-1):
        given.append(dbus.number("MemorySwapMax", UNLIMITED))
    return given


def cpu_limits(cpu: "Cpu") -> "list[Property]":
    shares, idle = cpu.shares, cpu.idle
    given: list[Property] = []
    # Since systemd 252 a weight of 0 would mean idle as well, but the compiler does not know which version runs.
    if is_set(shares) and (idle is None or not idle.equals(1)):
        given.append(dbus.number("CPUWeight", str(cpu_weight(shares.checked(2, 1 << 18).read()))))
    given += quotas(cpu)
    for name, value in (("AllowedCPUs", cpu.cpus), ("AllowedMemoryNodes", cpu.mems)):
        if value is not None and not value.is_empty():
            given.append(dbus.octets(name, bits(value)))
    return given


def quotas(cpu: "Cpu") -> "list[Property]":
    if not (is_set(cpu.quota) or is_set(cpu.period)):
        return []
    return quota(cpu.quota.read() if is_set(cpu.quota) else 0, cpu.period.read() if is_set(cpu.period) else 0)


def unset(name: str) -> "Property":
    """The property with the value that a scope has by default."""
    if name.startswith("Allowed"):
        return dbus.octets(name, b"")
    return dbus.number(name, "0" if name in ("MemoryLow", "MemoryMin") else UNLIMITED)


def quota(quota: int, period: int) -> "list[Property]":
    """Properties for ``quota`` microseconds in each ``period``. A quota of 0 means no limit, a period of 0 the default.

    As in runc, the quota is rounded up to whole percents, because systemd would round it down.
    """
    given = [dbus.number("CPUQuotaPeriodUSec", str(period))] if period else []
    if quota <= 0:
        return [*given, dbus.number("CPUQuotaPerSecUSec", UNLIMITED)]
    return [
        *given,
        dbus.number("CPUQuotaPerSecUSec", str(-(-(quota * 1000000 // (period or 100000)) // 10000) * 10000)),
    ]


def unified(settings: "dict[str, Text]") -> "list[Property]":
    """Properties for the files of cgroup v2 for which systemd has a property.

    If a value is not one that systemd accepts, the kernel refuses it when the executor writes the file.
    """
    given: list[Property] = []
    for file, text in settings.items():
        if file in SIZES or file in WEIGHTS:
            value = text.read().strip()
            if file in SIZES and value == "max":
                value = UNLIMITED
            if _is_number(value) and int(value) < 1 << 64:
                given.append(dbus.number(SIZES.get(file) or WEIGHTS[file], value))
        elif file in SETS:
            given.append(dbus.octets(SETS[file], bits(text)))
        elif file == "cpu.max":
            words = text.read().split()
            if len(words) in (1, 2) and (words[0] == "max" or _is_number(words[0])) and all(map(_is_number, words[1:])):
                given += quota(0 if words[0] == "max" else int(words[0]), int(words[1]) if words[1:] else 0)
    return given


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def bits(text: "Text") -> bytes:
    """The set that a list like ``0-3,7`` names, as bytes; the first byte has the lowest numbers.

    :raises ConfigError: the text is no such list.
    """
    found = 0
    for part in text.read().split(","):
        first, dash, last = part.strip().partition("-")
        if not (_is_number(first) and (not dash or _is_number(last)) and int(first) <= int(last or first) <= MAX_BIT):
            raise ConfigError(text.path, quote(text.bound()), 'a list like "0-3,7"')
        found |= (1 << int(last or first) + 1) - (1 << int(first))
    return found.to_bytes((found.bit_length() + 7) // 8, "little")


# ---- annotations ----

INTEGERS = {
    "byte": ("y", 0, 1 << 8),
    "int32": ("i", -(1 << 31), 1 << 31),
    "uint32": ("u", 0, 1 << 32),
    "int64": ("x", -(1 << 63), 1 << 63),
    "uint64": ("t", 0, 1 << 64),
}
SENT_AS = {"i": "u", "x": "t"}
"""The type of item in core/cgroup/dbus.c for a number of that type."""


def annotated(annotations: "dict[str, Text]") -> "list[Property]":
    """Properties for annotations, read as runc and crun read them.

    :param annotations: the property's name -> its value in GVariant's text format.
    :raises ConfigError: no property can have the name, or the value is none of: true, false, a number (also with its
        type, ``uint64 5``), a string in quotes, a list of strings.
    """
    return [_annotated(name, text) for name, text in annotations.items()]


def _annotated(name: str, text: "Text") -> "Property":
    if not (name.isascii() and name.isalpha() and len(name) > 3):
        raise ConfigError(text.path, f"the property {quote(name)}", "a name of more than three letters")
    signature, items = _variant(text)
    # Properties of systemd are in microseconds, settings in unit files in seconds.
    if name.endswith("Sec") and not name.endswith("USec"):
        if signature not in ("i", "u", "x", "t"):
            raise ConfigError(text.path, quote(text.bound()), "a number of seconds")
        name, signature, items = name[:-3] + "USec", "t", ["t", str(int(items[1]) * 1000000)]
    return ["(", "s", name, "g", signature, *items]


def _variant(text: "Text") -> tuple[str, list[str]]:
    """The signature of the value that ``text`` describes, and its items (:mod:`.dbus`)."""
    value = text.read().strip()
    if value in ("true", "false"):
        return "b", ["b", str(int(value == "true"))]
    if value[:1] in ("'", '"'):
        (word,) = _strings(text, value)
        return "s", ["s", word]
    if value[:1] == "[" and value[-1:] == "]":
        words = _strings(text, value[1:-1].strip()) if value[1:-1].strip() else []
        return "as", ["a4", *[item for word in words for item in ("s", word)], "]"]
    kind, _, digits = value.rpartition(" ")
    if (kind or "int32") in INTEGERS and _is_number(digits.removeprefix("-")):
        signature, low, high = INTEGERS[kind or "int32"]
        if low <= int(digits) < high:
            return signature, [SENT_AS.get(signature, signature), str(int(digits))]
    raise ConfigError(
        text.path, quote(text.bound()), "a value in GVariant's text format, like true, uint64 5 or 'text'"
    )


def _strings(text: "Text", value: str) -> list[str]:
    """The strings of a list: each in quotes, separated by commas."""
    found: list[str] = []
    at = 0
    while True:
        end = at + 1
        while end < len(value) and value[end] != value[at]:
            end += 2 if value[end] == "\\" else 1
        if at >= len(value) or value[at] not in "'\"" or end >= len(value):
            raise ConfigError(text.path, quote(text.bound()), "strings in quotes")
        found.append(value[at + 1 : end].replace("\\" + value[at], value[at]).replace("\\\\", "\\"))
        rest = value[end + 1 :].lstrip()
        if not rest:
            return found
        if rest[0] != ",":
            raise ConfigError(text.path, quote(text.bound()), "strings separated by commas")
        at = len(value) - len(rest[1:].lstrip())
