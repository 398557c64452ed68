"""The command line: hack/conformance runs it, as root, in a mount namespace of its own."""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import math
import platform
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import build, cells, known, report, run
from .commit import commit

TREE = Path(__file__).resolve().parents[1]
OURS = str(TREE / "build/bin/ocirt")
DOCS = TREE / "docs/conformance.md"
MACHINE = TREE / "build/vm/conformance.json"
"""The results of tests/vm/test_conformance.py in its virtual machine."""
AARCH64 = TREE / "build/vm/conformance-aarch64.json"
"""The results of tests/aarch64 in its virtual machine."""
DRIVER = TREE / "build/vm/driver.json"
"""The measurements of tests/vm/test_driver.py in its virtual machine."""
PEERS = ("runc", "crun")
FURTHER = ("youki",)
"""The runtimes of the page, by their names on PATH, and those that it has if they are there. hack/conformance takes those
of another Debian for it.
"""
FILES = TREE / "build/conformance"


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="hack/conformance",
        description="Run the validation programs of OCI "
        "runtime-tools against runtimes. Exit status 1: with ocirt something is not as "
        "conformance/known.toml says.",
    )
    flag = parser.add_argument
    flag("--runtime", action="append", metavar="NAME-OR-PATH", help="a column; repeatable; default: this tree's ocirt")
    flag("--program", action="append", metavar="NAME", help="only this program; repeatable")
    flag("--jobs", type=int, default=run.JOBS, metavar="N", help="programs at a time (default: %(default)s)")
    flag("--limit", type=float, default=run.LIMIT, metavar="SECONDS", help="for one program (default: %(default)s)")
    flag(
        "--within",
        type=float,
        default=math.inf,
        metavar="SECONDS",
        help="start no program later; the report names those",
    )
    flag("--json", type=Path, default=FILES / "report.json", metavar="FILE", help="default: %(default)s")
    flag("--junit", type=Path, default=FILES / "junit.xml", metavar="FILE", help="default: %(default)s")
    flag("--markdown", type=Path, metavar="FILE", help="write a page for people")
    flag(
        "--docs",
        action="store_true",
        help=f"ocirt, {' and '.join(PEERS)}, and the last run of "
        "tests/vm/test_conformance.py, into docs/conformance.md",
    )
    flag(
        "--docs-aarch64",
        action="store_true",
        help="run nothing: write only the section on the last run of tests/aarch64 into docs/conformance.md",
    )
    flag("--youki", action="store_true", help="build youki first, if it is missing (by hack/conformance)")
    flag("--list", action="store_true", help="print the names of the programs")
    options = parser.parse_args(words)
    if options.docs:
        if options.runtime or options.program:
            parser.error("--docs is a whole run of its own runtimes: without --runtime and --program")
        further = [name for name in FURTHER if shutil.which(name)]
        options.runtime, options.markdown = [OURS, *PEERS, *further], DOCS
    options.runtime = options.runtime or [OURS]
    if options.jobs < 1 or options.limit <= 0 or options.within <= 0:
        parser.error("--jobs, --limit and --within: expected more than 0")
    return options


def is_strict(runtime: run.Runtime) -> bool:
    """Is known.toml written for this runtime?"""
    return runtime.version[:1] != () and runtime.version[0].startswith("ocirt ")


def column(
    suite: build.Suite,
    runtime: run.Runtime,
    programs: Sequence[str],
    file: known.File,
    *,
    jobs: int = run.JOBS,
    limit: float = run.LIMIT,
    within: float = math.inf,
    done: Callable[[run.Result], None] | None = None,
) -> report.Column:
    """Run ``programs``, except those that are left out, and the necessary proofs.

    :param file: the part of known.toml that applies to this host.
    :param within: programs that have not started after so many seconds do not run.
    """
    strict = is_strict(runtime)
    left_out = {each: entry for each in programs if (entry := file.reason(each))}
    ran = run.run(
        suite,
        runtime,
        [each for each in programs if each not in left_out],
        jobs=jobs,
        limit=limit,
        within=within,
        done=done,
    )
    names: dict[known.Known | known.LeftOut, str] = {
        entry: program
        for program, result in ran.items()
        for entry in file.of(program)
        if strict or set(entry.failures) & set(result.failures())
    }
    names |= {entry: program for program, entry in left_out.items()}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        held = dict(zip(names, pool.map(lambda entry: known.prove(suite, runtime, names[entry], entry), names)))
    verdicts = {
        **dict.fromkeys(programs, known.Verdict("not run")),
        **{program: known.judge(result, file, held, strict) for program, result in ran.items()},
        **{program: known.judge_left_out(entry, held[entry]) for program, entry in left_out.items()},
    }
    return report.Column(runtime, {program: ran.get(program) or run.Result(program) for program in programs}, verdicts)


def debian() -> str:
    """The system whose programs run, as it calls itself."""
    return platform.freedesktop_os_release()["PRETTY_NAME"]


def facts(suite: build.Suite) -> dict[str, str]:
    """When and where: name -> words."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit of ocirt": commit(),
        "runtime-tools": suite.version,
        "host": f"{platform.system()} {platform.release()} {platform.machine()}, "
        f"cgroup {cells.kind()}: {' '.join(cells.controllers())}; {debian()}",
    }


def main(words: Sequence[str] | None = None) -> int:
    options = arguments(words)
    if options.docs_aarch64:
        if not AARCH64.exists():
            print(
                f"hack/conformance: --docs-aarch64: found no {AARCH64}; run hack/test --arch=aarch64 first",
                file=sys.stderr,
            )
            return 1
        DOCS.write_text(report.replaced(DOCS.read_text(), _aarch64(known.load().at("v1"))))
        return 0
    try:
        suite, file = build.suite(), known.load().at(cells.kind())
        if options.list:
            print(*suite.programs, sep="\n")
            return 0
        programs = options.program or suite.programs
        for program in programs:
            if program not in suite.programs:
                raise cells.CellError(f"--program: runtime-tools has no {program}; see --list")
        runtimes = [run.runtime(name) for name in options.runtime]
        cells.check()
        run.clean()
        columns: list[report.Column] = []
        try:
            for runtime in runtimes:
                columns.append(
                    column(
                        suite,
                        runtime,
                        programs,
                        file,
                        jobs=options.jobs,
                        limit=options.limit,
                        within=options.within,
                        done=_progress(runtime),
                    )
                )
                report.show(columns[-1])
        finally:
            run.clean()
    except (build.BuildError, cells.CellError, ValueError) as error:
        print(f"hack/conformance: {error}", file=sys.stderr)
        return 1
    whole = report.Report(tuple(columns), facts(suite))
    for path, text in (
        (options.json, report.to_json(whole)),
        (options.junit, report.to_junit(whole)),
        (options.markdown, options.markdown and report.to_markdown(whole, file, _machine(options, file))),
    ):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return int(any(each.count()[bad] for each in columns if is_strict(each.runtime) for bad in ("not ok", "not run")))


def _machine(options: argparse.Namespace, here: known.File) -> Sequence[str]:
    """The lines about the virtual machines, for docs/conformance.md only. Without results of a run there, the page keeps
    the lines that it has: they say themselves from when they are.
    """
    if not options.docs:
        return ()
    if not MACHINE.exists():
        return _kept(report.MACHINE)
    lines = report.machine_section(json.loads(MACHINE.read_text()), known.load().at("v2"), here)
    return [
        *lines,
        *(report.driver_section(json.loads(DRIVER.read_text())) if DRIVER.exists() else ()),
        *(_aarch64(here) if AARCH64.exists() else _kept(report.AARCH64)),
    ]


def _kept(title: str) -> list[str]:
    """The lines of the page as it is, from the heading of this section to the end."""
    _, head, rest = DOCS.read_text().partition(f"\n## {title}\n")
    return f"{head}{rest}".splitlines()


def _aarch64(here: known.File) -> list[str]:
    """The lines about the virtual machine of tests/aarch64."""
    run = json.loads(AARCH64.read_text())
    return report.machine_section(run, known.load().at("v2"), here, report.AARCH64, "hack/test --arch=aarch64")


def _progress(runtime: run.Runtime) -> Callable[[run.Result], None] | None:
    """A function that shows progress on a terminal."""
    if not sys.stderr.isatty():
        return None
    return lambda result: print(f"\r\033[K{runtime.name}: {result.program}", end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
