"""The results of a run: series of numbers, and facts about the run; to and from JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import comb
from typing import Any

PARTS = ("cgroup2", "guest", "mounts")
"""Attributes of a run's results that are the results of another run, or ``None``."""


def percentile(samples: Sequence[float], percent: int) -> float:
    """The smallest sample that is not smaller than ``percent`` of all."""
    ordered = sorted(samples)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def median(samples: Sequence[float]) -> float:
    ordered = sorted(samples)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def interval(samples: Sequence[float]) -> tuple[float, float]:
    """Where the median of all that could have been measured lies, with 95 %: between two of the samples, whatever their
    distribution. With fewer than six samples no interval is that sure, and it is all of them.
    """
    ordered, skipped, outside = sorted(samples), 0, 0
    while (outside := outside + comb(len(ordered), skipped)) <= 0.025 * 2 ** len(ordered):
        skipped += 1
    return ordered[max(0, skipped - 1)], ordered[-max(1, skipped)]


class Results:
    """Series, each identified by work, pattern (or "") and runtime.

    :ivar facts: about the machine and the run.
    :ivar series: (work, pattern, runtime) -> samples, whole numbers: microseconds, KiB, or a count, as the work's name
        says.
    :ivar cgroup2: the results of the part of the run on cgroup v2 alone, ``None`` if it was left out.
    :ivar guest: the results of hack/bench-guest, ``None`` if nobody has run it.
    :ivar mounts: the results of hack/bench-mounts, likewise.
    """

    facts: dict[str, Any]
    series: dict[tuple[str, str, str], list[int]]
    cgroup2: Results | None
    guest: Results | None
    mounts: Results | None

    def __init__(self, facts: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        self.facts, self.series = dict(facts), {}
        self.cgroup2 = self.guest = self.mounts = None

    def add(self, work: str, pattern: str, runtime: str, *samples: float) -> None:
        self.series.setdefault((work, pattern, runtime), []).extend(round(sample) for sample in samples)

    def samples(self, work: str, runtime: str, pattern: str = "") -> list[int]:
        """The samples of a series; empty if nothing was measured."""
        return self.series.get((work, pattern, runtime), [])

    def median(self, work: str, runtime: str, pattern: str = "") -> float | None:
        """The median of a series, or ``None``."""
        found = self.samples(work, runtime, pattern)
        return median(found) if found else None

    def ratio(
        self,
        work: str,
        runtime: str,
        other: str,
        pattern: str = "",
        of: Callable[[Sequence[float]], float] | None = None,
    ) -> float | None:
        """The median of one runtime divided by that of another, or ``of`` another figure of the samples; ``None`` if
        one is missing.
        """
        of, ours, theirs = of or median, self.samples(work, runtime, pattern), self.samples(work, other, pattern)
        return of(ours) / of(theirs) if ours and theirs and of(theirs) else None

    def pairs(self, work: str, one: tuple[str, str], other: tuple[str, str]) -> list[float]:
        """The ratios of two series in each round; ``one`` and ``other``: pattern and runtime."""
        ours, theirs = (self.samples(work, runtime, pattern) for pattern, runtime in (one, other))
        return [high / low for high, low in zip(ours, theirs, strict=True)]

    def runtimes(self) -> list[str]:
        """Names of the columns, in the order in which they were first measured."""
        return list(dict.fromkeys(runtime for _, _, runtime in self.series))

    def to_json(self) -> str:
        rows = [
            {"work": work, "pattern": pattern, "runtime": runtime, "samples": samples}
            for (work, pattern, runtime), samples in self.series.items()
        ]
        body = ",\n  ".join(json.dumps(row) for row in rows)
        parts = {name: getattr(self, name) for name in PARTS}
        more = "".join(f',\n "{name}": {part.to_json().rstrip()}' for name, part in parts.items() if part)
        return f'{{"facts": {json.dumps(self.facts, indent=1)},\n "series": [\n  {body}\n]{more}}}\n'

    @classmethod
    def from_json(cls, text: str) -> Results:
        return cls._from(json.loads(text))

    @classmethod
    def _from(cls, document: dict[str, Any]) -> Results:
        self = cls(document["facts"])
        for name in PARTS:
            setattr(self, name, cls._from(document[name]) if name in document else None)
        for row in document["series"]:
            self.add(row["work"], row["pattern"], row["runtime"], *row["samples"])
        return self
