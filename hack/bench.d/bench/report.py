"""docs/benchmark.md and its plot, made from a run's results: nobody types a figure in them by hand."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from conformance.commit import in_words

from . import (
    ALONE,
    AS_IT_IS,
    BACK,
    BEFORE,
    BUSCTL,
    CGROUPFS,
    CROWDED,
    FEW,
    FLOOR,
    ITS_START,
    MANY,
    OUR_FLOOR,
    OURS,
    PAUSES,
    SYSTEMD,
    SYSTEMD_RUN,
)
from .containers import VERBS
from .plot import bars
from .results import Results, interval, median, percentile
from .targets import CGROUP2, GUEST, Verdict, on_top, ratios, slope, verdicts

PLOT = "benchmark.svg"
PEERS = ("crun", "runc")
NEW_SHAPES = ("create, new shape", "create, new shape, known filter")
WIDTH = 100
"""Columns of a line of the page, except for tables."""
HEAD = """# Benchmark

`hack/bench --docs` writes this page from [benchmark.json](benchmark.json), which holds the samples
of one run. No figure is typed by hand: `tests/unit/test_bench.py` writes the page again from that
file and compares. `hack/bench` runs without touching this page, `hack/bench --quick` runs for a
short time, and `--runtime NAME=PATH` adds a runtime. The end of the page says how the figures are
measured.
"""
TARGETS = """The figures are ratios of medians, unless a row names a unit. The last but one column is the ratio of 25th
percentiles, which depends less on other work of the machine. The last one is the ratio of the kernel's own work, as the
calls of `hack/floor` do it one after the other in the same run: to meet a target beneath it, a runtime would have to do
parts of that at the same time. For a create the floor ends when the container is ready; in a run without rows
"floor: ready" it also kills and removes it. For a life cycle the floor does that, too, and four processes end at once;
for a new shape, and for many containers, a start of Python, or a process that ends at once, is added to the create."""
LINUX_7 = """The same on Linux 7, in the guest of `hack/vm --suite forky` (`hack/bench-mounts`), with {more} mounts more and
without. There ocirt makes the mount namespace of the rootfs alone; under a filter that refuses that call it makes a copy
of the host's mounts, as on older kernels and as crun and runc do. Milliseconds of the emulated guest: the median and the
quartiles. A ratio is the median of the ratios of all rounds, with the interval in which the true one lies with a
probability of 95 %. Where 1.00 is in it, the run shows no difference, and the table says so: within the spread."""
MOUNTS = (AS_IT_IS, CROWDED)
METHOD = """
## How it is measured
- A time is that of a whole process, from posix_spawn to the return of wait4. Its standard streams
  are files, and nothing polls.
- The runtimes take turns (A B C A B C), each with a `--root` of its own on a tmpfs. The kernel and
  the machine are the same for all, so other work on the machine affects all of them. ocirt keeps
  its programs on the file system that an installed ocirt uses by default ("kept programs" above; a
  run without that line had them on a tmpfs). Compare the medians and their ratios; p95 is the 95th
  percentile.
- The container is that of `runc spec` with busybox `sleep`. Its cgroup lies in one that exists
  already; each container has another id and another cgroup. The time of a life cycle is the sum of
  the times of its five verbs. Between kill and delete the harness waits for the container's end
  (pidfd), which is not part of the time.
- *With pauses*: the harness sleeps for 50 ms before each create. If a lock of the kernel's cgroups
  has been idle, the process that takes the lock waits for an RCU grace period; back to back, the
  lock may still be in the state in which the previous container left it.
- *Beside the floor*: a part of the run of its own, before the harness mounts the hugetlb hierarchy
  for crun. `floor` is a fixed C program that does the kernel's work for such a container and
  nothing else, and also kills and removes it; `hack/floor` is this project's own version of it
  (hack/bench.d/floor.c). Neither mounts /sys/fs/cgroup, which `runc spec` asks for, so the table
  also has ocirt without that mount. The floors run three times a round, in random order, and
  `floor` runs once more as a copy: a distance smaller than that of the copy means nothing. In the
  rows "floor: ready" `hack/floor` ends when its container is ready, as a create does, and on Linux
  7 makes its mount namespace of the rootfs alone.
- *Kept on a disk*: creates of ocirt in turns, with its programs on the file system of a disk and on
  a tmpfs.
- *On cgroup v2 alone*: a run of its own in a root of Debian forky (hack/engines-root) on this
  kernel, with only cgroup v2 at /sys/fs/cgroup, beside that Debian's crun and runc. `hack/floor`
  there clones its child into its cgroup, which has a device filter, and mounts the cgroup, too.
- *In a guest*: `hack/bench-guest`, in `hack/vm --suite forky`. Before each work the harness waits
  until systemd has removed the last scope, and 0.1 s more. Systemd alone makes a scope for a
  process that waits (`busctl call ... StartTransientUnit`, which returns before the process is in
  the scope), and for a client that waits until it is there, as a runtime must (`systemd-run --scope
  true`).
- `state` and `list` with few and many containers: the same containers each time, 10 ms between two
  looks.
- *New shape*: each config has another property without meaning, so that no program was compiled for
  it before. The target is for configs with podman's seccomp profile, whose filter is known; the
  table also shows configs without a profile.
- *By 2 at a time*: a C program (starter.c) starts the containers, because a starter that needs much
  processor time takes it from what is measured if as many containers run as there are processors.
- Peaks: `ru_maxrss` of wait4. A small static program starts the runtime, because the kernel also
  counts the memory of the process that called execve. The kernel counts in lots of up to 128 KiB a
  processor, so the figure is no more exact than that, and a small process may show 0. A waiting
  run: Rss of smaps_rollup, for the process that waits for the container.
- Smallest memory limit: the smallest `memory.limit` with which `run` of busybox true succeeds five
  times in a row, to 4 KiB.
- System calls: `strace -f` until the end of the runtime's process, including those of the
  container's init until then.
- Debian's crun 1.8.1 refuses a host with both cgroup layouts while hugetlb is on cgroup2. The
  harness therefore mounts hugetlb as a v1 hierarchy in the private mount namespace of the run, and
  unmounts it afterwards. All runtimes of that part have this additional cgroup.
"""


def markdown(results: Results) -> str:
    """The page for a run's :class:`~bench.results.Results`."""
    runtimes = _runtimes(results)
    parts = [
        HEAD,
        _facts(results),
        _targets(results),
        f"\n![Medians of the verbs]({PLOT})\n",
        "\n## Milliseconds: median, 95th percentile, ours over theirs\n",
        _times(results, runtimes),
        *(_cgroup2(results.cgroup2) if results.cgroup2 else []),
        *(_guest(results.guest) if results.guest else []),
        _floors(results),
        _mounts(results, runtimes),
        _seccomp(results, runtimes),
        _memory(results, runtimes),
        _calls(results, runtimes),
        METHOD,
    ]
    return "".join(parts)


def svg(results: Results) -> str:
    """The plot: create to delete, back to back and with pauses."""
    runtimes = _runtimes(results)
    groups = [
        (
            f"{work}, pauses" if pattern == PAUSES else work,
            [(name, [each / 1000 for each in results.samples(work, name, pattern)]) for name in runtimes],
        )
        for pattern in (BACK, PAUSES)
        for work in ("life cycle", *VERBS)
    ]
    return bars("Median and 95th percentile of whole processes, ms", groups)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *["| " + " | ".join(row) + " |" for row in rows]]) + "\n"


def _facts(results: Results) -> str:
    facts = results.facts
    names = (
        "date",
        "commit",
        "host",
        "systemd",
        "processors",
        "rcu_expedited",
        "load",
        "load at the end",
        "load of the machine",
        "mounts",
        "rounds",
        "kept programs",
        "left out",
    )
    shown = {**facts, "commit": in_words(facts["commit"])} if "commit" in facts else facts
    rows = [(name, str(shown[name])) for name in names if shown.get(name) not in (None, "")]
    rows += [(name, version) for name, version in facts.get("runtimes", {}).items()]
    return "\n" + _table(("run", ""), rows)


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _runtimes(results: Results) -> list[str]:
    """The columns that are runtimes: they had containers, unlike the floors and the interpreter."""
    return [name for name in results.runtimes() if results.samples("create", name, BACK)]


def _cgroup2(results: Results) -> list[str]:
    """The part of the run on cgroup v2 alone."""
    runtimes = _runtimes(results)
    return [
        "\n## On cgroup v2 alone, with the runtimes of today's Debian\n",
        _facts(results),
        "\n",
        _rows(results, ratios(results, CGROUP2)),
        "\nMilliseconds, as above:\n\n",
        _times(results, [OUR_FLOOR, *runtimes]),
    ]


def _guest(results: Results) -> list[str]:
    """What hack/bench-guest has measured. The columns of its tables are those of the peers and of systemd's clients."""
    works = [
        (work, driver)
        for driver in (SYSTEMD, CGROUPFS)
        for work in ("life cycle", *VERBS, "run true", "exec true", "floor: ready", "floor: run")
    ]
    clients = [OURS, SYSTEMD_RUN, BUSCTL, ITS_START]
    earlier = [BEFORE] if BEFORE in results.runtimes() else []
    return [
        "\n## In a guest with systemd, on today's kernel\n",
        _facts(results),
        "\n",
        _rows(results, ratios(results, GUEST)),
        "\nMilliseconds of the emulated guest, which only their ratios make useful:\n\n",
        _times(results, [OURS, *PEERS, *earlier, OUR_FLOOR], works),
        "\nSystemd alone, which makes a scope and no container:\n\n",
        _times(results, clients, [("create", ALONE)]),
    ]


def _targets(results: Results) -> str:
    return f"\n## Targets\n{textwrap.fill(TARGETS, WIDTH)}\n\n" + _rows(results, verdicts(results))


def _rows(results: Results, found: Sequence[Verdict]) -> str:
    rows = []
    for each in found:
        measured = "" if each.measured is None else _figure(each.measured) + (f" {each.unit}" if each.unit else "")
        limit = "" if each.limit is None else f"{each.limit:.2f}" + (f" {each.unit}" if each.unit else "")
        label = _counted(results, f"{each.work}, {each.pattern}" if each.pattern else each.work)
        rows.append(
            (
                label,
                _counted(results, each.against),
                limit,
                measured,
                each.word,
                "" if each.quarter is None else _figure(each.quarter),
                "" if each.least is None else _figure(each.least),
            )
        )
    return _table(("work", "against", "at most", "measured", "", "25th percentile", "the floor's"), rows)


def _ms(samples: Sequence[float]) -> str:
    return f"{median(samples) / 1000:.2f} ({percentile(samples, 95) / 1000:.1f})" if samples else "-"


WORKS = (
    *((work, pattern) for pattern in (BACK, PAUSES) for work in ("life cycle", *VERBS)),
    *((work, pattern) for work in NEW_SHAPES for pattern in (BACK, PAUSES)),
    *((work, "") for work in ("run true", "exec true", "many containers")),
    *((work, pattern) for work in ("state", "list") for pattern in (FEW, MANY)),
    *((f"{verb}: processor time", BACK) for verb in VERBS),
)
"""The rows of the tables of times: work and pattern."""


def _times(results: Results, runtimes: Sequence[str], works: Iterable[tuple[str, str]] = WORKS) -> str:
    rows = []
    for work, pattern in works:
        samples = [results.samples(work, name, pattern) for name in runtimes]
        if not any(samples):
            continue
        ratios = [results.ratio(work, OURS, name, pattern) for name in runtimes if name != OURS]
        label = _counted(results, f"{work}, {pattern}" if pattern else work)
        rows.append((label, *map(_ms, samples), *["-" if ratio is None else f"{ratio:.2f}" for ratio in ratios]))
    return _table(("work", *runtimes, *[f"/ {name}" for name in runtimes if name != OURS]), rows)


def _counted(results: Results, label: str) -> str:
    """A label with the number of containers that the run had."""
    label = label.replace("many containers", f"{results.facts['many']} containers by 2 at a time")
    existing = results.facts["existing"]
    return label.replace(MANY, f"{existing} exist").replace(FEW, f"{max(1, existing // 10)} exist")


def _floors(results: Results) -> str:
    rows = []
    for mode in ("create", "run"):
        for pattern in (BACK, PAUSES):
            work, plain = f"floor: {mode}", f"floor: {mode} without the cgroup mount"
            ours = results.samples(work, OURS, pattern)
            if not ours:
                continue
            floor, bare = results.median(work, FLOOR, pattern), results.median(plain, OURS, pattern)
            rows.append(
                (
                    f"{mode}, {pattern}",
                    _ms(results.samples(work, FLOOR, pattern)),
                    _ms(results.samples(work, OUR_FLOOR, pattern)),
                    _ms(ours),
                    _figure(results.ratio(work, OURS, FLOOR, pattern)),
                    _ms(results.samples(plain, OURS, pattern)),
                    _figure(bare / floor if bare and floor else None),
                )
            )
    return "\n## Beside the floor, ms\n\n" + _table(
        ("", FLOOR, OUR_FLOOR, OURS, f"/ {FLOOR}", f"{OURS} without the cgroup mount", f"/ {FLOOR}"), rows
    )


def _mounts(results: Results, runtimes: Sequence[str]) -> str:
    low, high = "floor: create, host as it is", "floor: create, host with mounts"
    rows = [
        (name, _ms(results.samples(low, name)), _ms(results.samples(high, name)), _figure(slope(results, name)))
        for name in (FLOOR, OUR_FLOOR, *runtimes)
        if results.samples(low, name)
    ]
    return (
        f"\n## create with {results.facts['host mounts']} mounts more on the host, ms\n\n"
        + _table(("", "without", "with", "what they add, over floor's"), rows)
        + _linux_7(results.mounts)
    )


def _quartiles(samples: Sequence[float]) -> str:
    middle, low, high = median(samples), percentile(samples, 25), percentile(samples, 75)
    return f"{middle / 1000:.1f} ({low / 1000:.1f} to {high / 1000:.1f})"


def _paired(ratios: Sequence[float]) -> str:
    """The median of the ratios of each round, with its interval."""
    low, high = interval(ratios)
    word = ": within the spread" if low <= 1 <= high else ""
    return f"{median(ratios):.2f} ({low:.2f} to {high:.2f}){word}"


def _linux_7(results: Results | None) -> str:
    """What hack/bench-mounts has measured in a guest: only ratios count there."""
    if not results:
        return ""
    rows = []
    for name in results.runtimes():
        over = ["" if name == OURS else _paired(results.pairs("create", (each, OURS), (each, name))) for each in MOUNTS]
        added = _paired(results.pairs("create", (CROWDED, name), (AS_IT_IS, name)))
        rows.append((name, *[_quartiles(results.samples("create", name, each)) for each in MOUNTS], added, *over))
    head = ("", "without", "with", "with / without", "ocirt / it, without", "ocirt / it, with")
    return (
        f"\n{textwrap.fill(LINUX_7.format(more=results.facts['more']), WIDTH)}\n"
        + _facts(results)
        + "\n"
        + _table(head, rows)
    )


def _seccomp(results: Results, runtimes: Sequence[str]) -> str:
    without, profiled = "run true without a profile", "run true with podman's profile"
    rows = [
        (
            name,
            _ms(results.samples(without, name)),
            _ms(results.samples(profiled, name)),
            f"{on_top(results, name):.2f}",
        )
        for name in runtimes
        if results.samples(profiled, name)
    ]
    read, load = [results.samples(f"a process that {mode}s the filter", "bare") for mode in ("read", "load")]
    bare = f"{(median(load) - median(read)) / 1000:.2f}"
    rows.append(("a process that reads, and loads, the filter", _ms(read), _ms(load), bare))
    title = "\n## podman's default seccomp profile on top of `run true`, ms\n\n"
    return title + _table(("", "without", "with", "on top"), rows)


def _whole(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.0f}"


def _memory(results: Results, runtimes: Sequence[str]) -> str:
    works = [f"{verb}: peak memory" for verb in VERBS]
    works += ["waiting run: memory", "waiting run: share of memory", "smallest memory limit"]
    rows = [(work, *[_whole(results.median(work, name)) for name in runtimes]) for work in works]
    return "\n## Memory, KiB\n\n" + _table(("", *runtimes), rows)


def _calls(results: Results, runtimes: Sequence[str]) -> str:
    rows = [(verb, *[_whole(results.median(f"{verb}: system calls", name)) for name in runtimes]) for verb in VERBS]
    text = "\n## System calls\n\n" + _table(("", *runtimes), rows)
    calls = results.facts.get("calls", {}).get(OURS, {})
    for verb, by_name in calls.items():
        line = f"{OURS} {verb}: " + ", ".join([f"{name} {number}" for name, number in by_name.items()])
        text += "\n" + textwrap.fill(line, WIDTH) + "\n"
    return text
