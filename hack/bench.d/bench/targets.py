"""The targets: ratios of medians in one run, and whether they are met."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from . import (
    ALONE,
    BACK,
    BUSCTL,
    CGROUPFS,
    FEW,
    FLOOR,
    INTERPRETER,
    MANY,
    ON_DISK,
    ON_TMPFS,
    OUR_FLOOR,
    OURS,
    PAUSES,
    RECORDED,
    SAME_FLOOR,
    SYSTEMD,
    SYSTEMD_RUN,
    UNRECORDED,
)
from .containers import VERBS
from .results import Results, percentile

RUNC, CRUN = "runc", "crun"


class Verdict:
    """A target and what was measured.

    :ivar measured: the ratio (or the figure), ``None`` if a side of it was not measured.
    :ivar quarter: the same ratio of 25th percentiles, which depends less on other processes of the machine.
    :ivar least: the same ratio of the kernel's own work (:func:`least`), ``None`` if nobody has measured that.
    :ivar limit: the highest value that meets the target; ``None`` if the row has no target.
    """

    __slots__ = ("work", "pattern", "against", "limit", "measured", "unit", "quarter", "least")

    def __init__(
        self,
        work: str,
        pattern: str,
        against: str,
        limit: float | None,
        measured: float | None,
        unit: str = "",
        quarter: float | None = None,
        least: float | None = None,
    ) -> None:
        self.work, self.pattern, self.against, self.limit = work, pattern, against, limit
        self.measured, self.unit, self.quarter, self.least = measured, unit, quarter, least

    @property
    def word(self) -> str:
        if self.measured is None:
            return "not measured"
        if self.limit is None:
            return ""
        return "met" if self.measured <= self.limit else "**missed**"


RATIOS: tuple[tuple[str, str, Mapping[str, float | None]], ...] = (
    # work, pattern, {against: at most; None: no target}
    ("life cycle", BACK, {CRUN: 0.30, RUNC: 0.15}),
    ("life cycle", PAUSES, {CRUN: 0.22, RUNC: 0.13}),
    ("create", BACK, {CRUN: 0.40, RUNC: 0.14}),
    ("create", PAUSES, {CRUN: 0.22, RUNC: 0.14}),
    ("floor: create", BACK, {FLOOR: 1.4}),
    ("floor: create", PAUSES, {FLOOR: 1.4}),
    # The target is for a config with a profile whose filter is kept. Without a profile the peers have nothing to
    # compile either.
    ("create, new shape", BACK, {CRUN: None, RUNC: None, INTERPRETER: None}),
    ("create, new shape", PAUSES, {CRUN: None, RUNC: None, INTERPRETER: None}),
    ("create, new shape, known filter", BACK, {CRUN: 2.0, RUNC: 0.6}),
    ("create, new shape, known filter", PAUSES, {CRUN: 1.0, RUNC: 0.6}),
    *[
        (verb, pattern, {CRUN: 0.30, RUNC: 0.20})
        for verb in ("start", "state", "kill", "delete")
        for pattern in (BACK, PAUSES)
    ],
    ("run true", "", {CRUN: 0.60, RUNC: 0.20}),
    ("floor: run", BACK, {FLOOR: 1.6}),
    ("exec true", "", {CRUN: 0.60, RUNC: 0.20}),
    ("many containers", "", {CRUN: 0.35, RUNC: 0.20}),
    ("list", MANY, {CRUN: 1.0, RUNC: 0.5}),
    ("create: peak memory", "", {CRUN: 0.3, RUNC: 0.1}),
    ("waiting run: memory", "", {CRUN: 0.3, RUNC: 0.1}),
    ("smallest memory limit", "", {CRUN: 1.0}),
)
CGROUP2: tuple[tuple[str, str, Mapping[str, float | None]], ...] = (
    ("life cycle", BACK, {CRUN: 0.15, RUNC: None}),
    ("life cycle", PAUSES, {CRUN: None, RUNC: None}),
    ("create", BACK, {CRUN: 0.25, RUNC: None}),
    ("create", PAUSES, {CRUN: None, RUNC: None}),
    ("floor: create", BACK, {OUR_FLOOR: 1.25}),
    ("floor: create", PAUSES, {OUR_FLOOR: 1.25}),
    ("floor: ready", BACK, {OUR_FLOOR: None}),
    ("floor: ready", PAUSES, {OUR_FLOOR: None}),
    ("run true", "", {CRUN: 0.35, RUNC: None}),
    ("floor: run", BACK, {OUR_FLOOR: None}),
    ("exec true", "", {CRUN: 0.35, RUNC: None}),
    ("create, new shape", BACK, {CRUN: 0.80, RUNC: 0.60, INTERPRETER: None}),
    ("create, new shape", PAUSES, {CRUN: 0.80, RUNC: 0.60, INTERPRETER: None}),
    ("many containers", "", {CRUN: 0.30, RUNC: None}),
)
"""The same on cgroup v2 alone, against the runtimes of today's Debian."""
GUEST: tuple[tuple[str, str, Mapping[str, float | None]], ...] = (
    ("life cycle", SYSTEMD, {CRUN: 0.20, RUNC: None}),
    ("create", SYSTEMD, {CRUN: 0.30, RUNC: None}),
    ("run true", SYSTEMD, {CRUN: 0.45, RUNC: None}),
    ("exec true", SYSTEMD, {CRUN: 0.35, RUNC: None}),
    ("create", ALONE, {BUSCTL: 1.30, SYSTEMD_RUN: 1.30}),
    ("life cycle", CGROUPFS, {CRUN: None, RUNC: None}),
    ("create", CGROUPFS, {CRUN: 0.25, RUNC: None}),
    ("run true", CGROUPFS, {CRUN: 0.35, RUNC: None}),
    ("exec true", CGROUPFS, {CRUN: None, RUNC: None}),
    ("floor: ready", CGROUPFS, {OUR_FLOOR: 1.25}),
    ("floor: run", CGROUPFS, {OUR_FLOOR: None}),
)
"""The same in a guest with systemd, under both cgroup drivers."""
FLAT, TRACED, DISK, SLOPE, NEAR, ON_TOP = 1.25, 1.05, 1.1, 1.1, 0.05, 700
"""state with ten times as many containers; what a record costs; what a cache on a disk costs; ocirt's slope over the floor's; how far the project's
floor may be from the fixed one; microseconds that a seccomp profile may cost."""


def ratios(results: Results, of: Iterable[tuple[str, str, Mapping[str, float | None]]]) -> list[Verdict]:
    found = []
    for work, pattern, limits in of:
        for against, limit in limits.items():
            measured = results.ratio(work, OURS, against, pattern)
            quarter = results.ratio(work, OURS, against, pattern, of=lambda samples: percentile(samples, 25))
            own, theirs = least(results, work, pattern), results.median(work, against, pattern)
            floor = own / theirs if own and theirs and against in (CRUN, RUNC) else None
            found.append(Verdict(work, pattern, against, limit, measured, quarter=quarter, least=floor))
    return found


def least(results: Results, work: str, pattern: str) -> float | None:
    """Microseconds of what no runtime that is a process for each verb can do without, as the project's floor does it:
    medians. A new shape needs Python beside it.

    :returns: ``None`` for what the floor does not do, or has not done in this run.
    """
    when = pattern or BACK
    ready, whole, run, nothing = (
        results.median(f"floor: {each}", OUR_FLOOR, when) for each in ("ready", "create", "run", "nothing")
    )
    create = ready or whole
    if work == "life cycle":
        return None if whole is None or nothing is None else whole + (len(VERBS) - 1) * nothing
    if work == "create, new shape":
        python = results.median(work, INTERPRETER, pattern)
        return None if create is None or python is None else create + python
    if work in ("exec true", "many containers"):
        return results.median(work, OUR_FLOOR, pattern)
    return {"create": create, "run true": run}.get(work)


def verdicts(results: Results) -> list[Verdict]:
    """A list of :class:`Verdict` for a run's :class:`~bench.results.Results`."""
    found = ratios(results, RATIOS)
    found.append(Verdict("state", MANY, FEW, FLAT, _over(results, "state", OURS, MANY, FEW)))
    per_container = _over(results, "list", OURS, MANY, FEW)
    found.append(
        Verdict("list", MANY, f"{FEW}, ten times", FLAT, None if per_container is None else per_container / 10)
    )
    for work in ("create", "life cycle"):
        measured = _over(results, work, OURS, RECORDED, UNRECORDED)
        found.append(Verdict(work, RECORDED, UNRECORDED, TRACED, measured))
    found.append(Verdict("create", ON_DISK, ON_TMPFS, DISK, _over(results, "create", OURS, ON_DISK, ON_TMPFS)))
    found.append(Verdict("slope of create with mounts on the host", "", FLOOR, SLOPE, slope(results)))
    found.append(Verdict("a seccomp profile on top, ms", "", "", ON_TOP / 1000, on_top(results), "ms"))
    found.append(
        Verdict(
            "the same, of a bare load, ms",
            "",
            "",
            None,
            _difference(results, "a process that loads the filter", "a process that reads the filter", "bare"),
            "ms",
        )
    )
    for pattern in (BACK, PAUSES):
        found.append(_distance(results, OUR_FLOOR, pattern, NEAR))
        if results.samples("floor: create", SAME_FLOOR, pattern):
            found.append(_distance(results, SAME_FLOOR, pattern, None))
    return found


def _distance(results: Results, name: str, pattern: str, limit: float | None) -> Verdict:
    ratio = results.ratio("floor: create", name, FLOOR, pattern)
    return Verdict(f"distance of {name}, create", pattern, FLOOR, limit, None if ratio is None else abs(ratio - 1))


def _over(results: Results, work: str, runtime: str, pattern: str, base: str) -> float | None:
    high, low = results.median(work, runtime, pattern), results.median(work, runtime, base)
    return None if high is None or not low else high / low


def _difference(results: Results, longer: str, shorter: str, runtime: str) -> float | None:
    """Milliseconds by which one work takes longer than another."""
    high, low = results.median(longer, runtime), results.median(shorter, runtime)
    return None if high is None or low is None else (high - low) / 1000


def slope(results: Results, runtime: str = OURS) -> float | None:
    """What the mounts on the host add to a create, divided by what they add to the floor's."""
    ours, floor = [
        _difference(results, "floor: create, host with mounts", "floor: create, host as it is", name)
        for name in (runtime, FLOOR)
    ]
    return None if ours is None or not floor else ours / floor


def on_top(results: Results, runtime: str = OURS) -> float | None:
    return _difference(results, "run true with podman's profile", "run true without a profile", runtime)
