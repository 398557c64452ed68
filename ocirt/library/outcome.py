"""The input of a process as bytes, and its :class:`~ocirt.result.Result`."""

from __future__ import annotations

from collections.abc import Sequence

from ..result import Result
from ..why import explain
from .report import Begin, End
from .streams import Output

MAX_OUTPUT = 64 << 20
"""The default for the most bytes of output that the library keeps."""


def result_of(
    args: Sequence[str], begin: Begin | None, end: End, output: Output, denied: tuple[str, ...] = ()
) -> Result:
    """The result of a process.

    :param begin: how the process began; ``None`` if the supervisor did not report this.
    :param denied: what the network of its container has refused.
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
            memory_peak=end.memory_peak,
            truncated=output.truncated,
        ),
        denied,
    )


def encoded(input: bytes | str) -> bytes:
    return input.encode() if isinstance(input, str) else input
