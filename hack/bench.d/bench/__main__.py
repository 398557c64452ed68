"""The command line: hack/bench runs it, as root, in a mount namespace of its own."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from conformance.commit import commit

from . import BENCH, FLOOR, FURTHER, OUR_FLOOR, OURS, SAME_FLOOR, TREE, BenchError, report, targets, works
from .place import Runtime, described, for_crun, open_place
from .results import Results

DOCS, OUTPUT = TREE / "docs", TREE / "build/bench"
FIXED_FLOOR = Path("/work/shared/bench/floor.c")
PEERS = ("crun", "runc")
"""Runtimes that are measured if they are on PATH: no Debian has a package of them."""
SECCOMP = BENCH / "seccomp-podman.json"


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="hack/bench",
        description="Measure this tree's ocirt beside runc, crun and the "
        "kernel's own work. Writes benchmark.json, benchmark.md and benchmark.svg.",
    )
    parser.add_argument(
        "--runtime", action="append", default=[], metavar="NAME=PATH", help="a further runtime; repeatable"
    )
    parser.add_argument(
        "--ocirt",
        type=Path,
        default=TREE / "build/bin/ocirt",
        metavar="PATH",
        help="the executable to measure (hack/bench: an installed one; default: %(default)s)",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        choices=(*PEERS, *FURTHER, "cgroup2"),
        help="leave out crun, runc, youki, or the part on cgroup v2",
    )
    parser.add_argument("--youki", action="store_true", help="build youki first, if it is missing (by hack/bench)")
    parser.add_argument(
        "--rounds", type=int, default=60, metavar="N", help="of everything that is short (default: %(default)s)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="does it work? Few rounds, few containers: no figures to quote"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="default: build/bench")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmark.* instead")
    parser.add_argument(
        "--floor",
        type=Path,
        default=FIXED_FLOOR,
        metavar="FILE",
        help="the fixed floor.c (default: %(default)s; where it is missing, nothing is compared with it)",
    )
    parser.add_argument(
        "--cgroup2", action="store_true", help="only the part of a run on cgroup v2 alone, on a host with nothing else"
    )
    parser.add_argument(
        "--beside", type=Path, metavar="JSON", help="show the results of a run with --cgroup2 on the page, too"
    )
    parser.add_argument(
        "--guest", type=Path, metavar="JSON", help="show the results of hack/bench-guest on the page, too"
    )
    parser.add_argument(
        "--mounts", type=Path, metavar="JSON", help="show the results of hack/bench-mounts on the page, too"
    )
    parser.add_argument(
        "--load", metavar="WORDS", help="of this machine before and after that run, which a guest cannot tell"
    )
    parser.add_argument(
        "--render", type=Path, metavar="JSON", help="measure nothing: write the page and the plot of this file"
    )
    options = parser.parse_args(words)
    for each in options.runtime:
        if "=" not in each or not os.access(each.partition("=")[2], os.X_OK):
            parser.error(f"--runtime {each}: expected NAME=PATH, PATH being an executable")
    if options.rounds < 2:
        parser.error("--rounds: expected at least 2")
    if options.docs:
        options.output = DOCS
    return options


def main(words: Sequence[str] | None = None) -> int:
    options = arguments(words)
    try:
        results = Results.from_json(options.render.read_text()) if options.render else measure(options)
        for name, file in (("cgroup2", options.beside), ("guest", options.guest), ("mounts", options.mounts)):
            if file:
                part = Results.from_json(file.read_text())
                part.facts |= {"load of the machine": options.load} if options.load else {}
                setattr(results, name, part)
    except (BenchError, OSError, KeyboardInterrupt) as error:
        print(f"hack/bench: {str(error) or 'interrupted'}", file=sys.stderr)
        return 1
    options.output.mkdir(parents=True, exist_ok=True)
    if options.docs:
        keep_guests(results)
    (options.output / "benchmark.json").write_text(results.to_json())
    if options.cgroup2:
        print(f"{options.output}/benchmark.json: for hack/bench --beside")
        return 0
    (options.output / "benchmark.md").write_text(report.markdown(results))
    (options.output / report.PLOT).write_text(report.svg(results))
    parts = ((results.cgroup2, targets.CGROUP2), (results.guest, targets.GUEST))
    beside = [verdict for part, limits in parts if part for verdict in targets.ratios(part, limits)]
    found = [each.word for each in [*targets.verdicts(results), *beside]]
    print(
        f"{options.output}/benchmark.md: of {len(found)} targets {found.count('met')} met, "
        f"{found.count('**missed**')} missed, {found.count('not measured')} not measured"
    )
    return 0


def keep_guests(results: Results) -> None:
    """Take what hack/bench-mounts and hack/bench-guest have measured from the page before, where it is not in a run."""
    earlier = Results.from_json((DOCS / "benchmark.json").read_text())
    results.guest = results.guest or earlier.guest
    results.mounts = results.mounts or earlier.mounts


def measure(options: argparse.Namespace) -> Results:
    results = Results(facts(options))
    scale = (
        {"rounds": 2, "many": 4, "existing": 4, "host_mounts": 20}
        if options.quick
        else {"rounds": options.rounds, "many": 200, "existing": 1000, "host_mounts": 1000}
    )
    results.facts |= {
        "many": scale["many"],
        "existing": scale["existing"],
        "host mounts": scale["host_mounts"],
        "rounds": scale["rounds"],
        "quick": options.quick,
    }
    seccomp = json.loads(SECCOMP.read_text())
    progress = Progress()
    with open_place() as place:
        ours = place.runtime(OURS, options.ocirt)
        floors = {OUR_FLOOR: place.compile(BENCH / "floor.c")}
        if options.floor.exists() and not options.cgroup2:
            floors[FLOOR] = place.compile(options.floor)
            floors[SAME_FLOOR] = shutil.copy(floors[FLOOR], f"{floors[FLOOR]}-copy")
        peers = [place.runtime(name, shutil.which(name) or name) for name in PEERS if name not in options.without]
        further = [(name, shutil.which(name)) for name in FURTHER if name not in options.without]
        peers += [place.runtime(name, path) for name, path in further if path]
        peers += [place.runtime(*each.split("=", 1)) for each in options.runtime]
        results.facts["kept programs"] = described(place.cache)
        results.facts["runtimes"] = {each.name: version(each.path) for each in (ours, *peers)}
        run = works.Run(place, results, [ours], floors, place.compile(BENCH / "meter.c"), say=progress, **scale)
        works.warm(run)
        works.floors(run)
        if options.cgroup2:
            run.runtimes = [ours, *peers]
            for work in (works.warm, works.life, works.run_true, works.exec_true):
                run.do(work)
            run.do(works.never_seen, seccomp)
            run.do(works.many)
            results.facts["load at the end"] = load()
            return results
        works.recorded(run)
        works.kept(run)
        works.host_with_mounts(run)
        with with_crun(run, [ours, *peers]):
            for work in (works.warm, works.life, works.run_true, works.exec_true):
                run.do(work)
            run.do(works.never_seen, seccomp)
            run.do(works.profile_on_top, seccomp)
            for work in (works.memory, works.smallest_limit, works.system_calls, works.many, works.existing):
                run.do(work)
        progress.end()
    results.facts["load at the end"] = load()
    return results


class with_crun:
    """Give the run all runtimes. If crun does not work on this machine, print one line and continue without it."""

    held: AbstractContextManager[None] | None

    def __init__(self, run: works.Run, runtimes: list[Runtime]) -> None:
        self.run, self.runtimes, self.held = run, runtimes, None

    def __enter__(self) -> None:
        if any(each.name == "crun" for each in self.runtimes):
            self.held = for_crun()
            try:
                self.held.__enter__()
            except BenchError as error:
                self.held = None
                self.runtimes = [each for each in self.runtimes if each.name != "crun"]
                self.run.results.facts["left out"] = f"crun: {error}"
                print(f"\nhack/bench: goes on without crun: {error}", file=sys.stderr)
        self.run.runtimes = self.runtimes

    def __exit__(self, *error: Any) -> None:
        if self.held:
            self.held.__exit__(*error)


class Progress:
    """One line on a terminal, otherwise one line for each work."""

    def __init__(self) -> None:
        self.last = ""

    def __call__(self, work: str, done: int, of: int) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{work}: {done}/{of}", end="", file=sys.stderr, flush=True)
        elif work != self.last:
            print(f"{time.strftime('%H:%M:%S')} {work}", file=sys.stderr, flush=True)
        self.last = work

    def end(self) -> None:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr)


def version(path: str) -> str:
    """The first line of `--version`, and the commit."""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    commit = re.search(r"^commit: (\S+)", done.stdout, re.M)
    return (done.stdout.splitlines() or ["no version"])[0] + (f", {commit[1][:12]}" if commit else "")


def load() -> str:
    return " ".join(f"{each:.1f}" for each in os.getloadavg())


def facts(options: argparse.Namespace) -> dict[str, Any]:
    expedited = Path("/sys/kernel/rcu_expedited")
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": commit(),
        "host": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "rcu_expedited": expedited.read_text().strip() if expedited.exists() else "unknown",
        "load": load(),
        "floor": str(options.floor),
    }


if __name__ == "__main__":
    sys.exit(main())
