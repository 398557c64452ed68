"""The input of a process as bytes, and its :class:`~ocirt.result.Result`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from signal import SIGSYS
from types import MappingProxyType
from typing import Any

from ..result import Result
from ..why import explain
from .arguments import content
from .kernel_log import forbidden_call
from .report import Begin, End
from .streams import Output

NOTHING: Mapping[str, Any] = MappingProxyType({})
MAX_OUTPUT = 64 << 20
"""The default for the most bytes of output that the library keeps."""


def result_of(
    args: Sequence[str],
    begin: Begin | None,
    end: End,
    output: Output,
    denied: tuple[str, ...] = (),
    resources: Mapping[str, Any] = NOTHING,
    disk_limit: int = 0,
) -> Result:
    """The result of a process.

    :param begin: how the process began; ``None`` if the supervisor did not report this.
    :param denied: what the network of its container has refused.
    :param resources: ``linux.resources`` of its container, for the limits that it has reached.
    :param disk_limit: the bytes that it could write, if it has written so many.
    """
    seconds = 0.0 if begin is None else (end.clock - begin.clock) / 1e9
    return Result(
        tuple(args),
        end.returncode,
        output.of(1),
        output.of(2),
        end.signal,
        end.oom_kills > 0,
        output.truncated,
        seconds,
        end.cpu_seconds,
        end.memory_peak,
        explain(
            None if end.signal else end.returncode,
            end.signal,
            oom_kills=end.oom_kills,
            memory_limit=_limit(resources, "memory") if end.oom_kills else 0,
            memory_peak=end.memory_peak,
            pids_refused=end.pids_refused,
            pids_limit=_limit(resources, "pids") if end.pids_refused else 0,
            disk_limit=disk_limit,
            system_call=forbidden_call(begin.pid) if end.signal == SIGSYS and begin is not None else "",
            truncated=output.truncated,
            sender=end.sender,
        ),
        denied,
    )


def _limit(resources: Mapping[str, Any], name: str) -> int:
    found = resources.get(name)
    limit = found.get("limit") if isinstance(found, Mapping) else None
    return limit if isinstance(limit, int) and limit > 0 else 0


def encoded(input: bytes | str) -> bytes:
    """:raises RequestError: it is neither bytes nor text."""
    return content("input", input)
