"""Errors of a config.json that create leaves to the kernel, which only says EINVAL. ``ocirt validate`` and ``ocirt doctor``
name them.
"""

from ..errors import ConfigError
from .json import value_at
from .text import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .json import Json, Members


def _no_soft_above_hard(members: "Members") -> "Iterator[ConfigError]":
    for index, limit in enumerate(_get(members, list, "process", "rlimits")):
        soft, hard = _get(limit, int, "soft"), _get(limit, int, "hard")
        if soft is not None and hard is not None and soft > hard:
            yield ConfigError(f"process.rlimits[{index}].soft", quote(soft), f"at most the hard limit {quote(hard)}")


def _no_burst_above_quota(members: "Members") -> "Iterator[ConfigError]":
    """config-linux.md, "CPU"."""
    cpu = _get(members, dict, "linux", "resources", "cpu")
    burst, quota = _get(cpu, int, "burst"), _get(cpu, int, "quota")
    if burst is not None and quota is not None and 0 < quota < burst:
        yield ConfigError("linux.resources.cpu.burst", quote(burst), f"at most the quota {quote(quota)}")


def _no_swap_below_limit(members: "Members") -> "Iterator[ConfigError]":
    """config-linux.md, "Memory": swap is memory and swap together."""
    memory = _get(members, dict, "linux", "resources", "memory")
    swap, limit = _get(memory, int, "swap"), _get(memory, int, "limit")
    if swap is not None and limit is not None and 0 < swap < limit:
        yield ConfigError(
            "linux.resources.memory.swap", quote(swap), f"memory and swap together: at least the limit {quote(limit)}"
        )


RULES = (_no_soft_above_hard, _no_burst_above_quota, _no_swap_below_limit)


def _get(value: "Json", kind: type, *names: str) -> "Any":
    """The value that ``names`` lead to in ``value`` if it is of ``kind``; otherwise an empty value, ``None`` for a
    string or number.
    """
    found = value_at(value, *names)
    return found if type(found) is kind else None if kind in (str, int) else kind()
