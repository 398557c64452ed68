"""hack/throughput: sandboxes a second through the library, and the CPU time for each; --docs writes it into
docs/library.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, TypeAlias

from . import TREE, BenchError
from .library import runtime_at, when_and_where, write_block
from .place import PARENT, described, open_place

if TYPE_CHECKING:
    import ocirt

Row: TypeAlias = tuple[str, tuple[float, float, float]]
"""Threads, and what :func:`measure` returns for so many."""

PAGE = TREE / "docs/library.md"
THREADS = (1, 2, 4, 8)
TRUE = ["/bin/busybox", "true"]


FROM_A_POOL = ", from a pool"


def of_children() -> float:
    """Seconds of CPU time of the children of this process, and of their children that have ended. A pool keeps its
    supervisors, whose time os.times() has only once they have ended.
    """
    found, ticks = os.times(), 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread or a child has just ended
            for pid in (task / "children").read_text().split():
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
                ticks += sum(map(int, fields[11:15]))
    return found.children_user + found.children_system + ticks / os.sysconf("SC_CLK_TCK")


def measure(
    runtime: ocirt.Runtime, rootfs: Path, threads: int, seconds: float, pool: ocirt.Pool[ocirt.Result] | None = None
) -> tuple[float, float, float]:
    """:param pool: runs the programs, instead of :func:`ocirt.run`.
    :returns: sandboxes a second, and milliseconds of CPU time for each: of the executable and the container, and of
    this process.
    """
    import ocirt

    def work(number: int) -> int:
        config, count = ocirt.sandbox(TRUE, cgroup=f"{PARENT}/t{number}"), 0

        def once() -> None:
            if pool is None:
                ocirt.run(config=config, rootfs=rootfs, runtime=runtime, check=True)
            else:
                pool.run(TRUE, check=True)

        once()  # compiled once
        start.wait()
        while time.monotonic() < end[0]:
            once()
            count += 1
        return count

    end = [0.0]
    start = Barrier(threads + 1)
    with ThreadPoolExecutor(threads) as workers:
        counts = [workers.submit(work, number) for number in range(threads)]
        while start.n_waiting < threads:
            if any(each.done() for each in counts):
                start.abort()
                break
            time.sleep(0.01)
        before, spent, begin = os.times(), of_children(), time.monotonic()
        end[0] = begin + seconds
        start.wait()
        total = sum(each.result() for each in counts)
    after, theirs, took = os.times(), of_children() - spent, time.monotonic() - begin
    ours = after.user + after.system - before.user - before.system
    return total / took, theirs / total * 1000, ours / total * 1000


def table(rows: Sequence[Row], seconds: float, cache: str) -> str:
    """The block of the page."""
    processors = os.cpu_count() or 1
    lines = [
        f"{when_and_where()},",
        f"{seconds:g} s a row, programs kept {cache}: `hack/throughput`",
        "",
        "| threads | sandboxes a second | CPU time of each, executable and program | in the service | the processors' bound |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {threads} | {rate:.0f} | {theirs:.1f} ms | {ours:.1f} ms | {processors * 1000 / (theirs + ours):.0f} |"
        for threads, (rate, theirs, ours) in rows
    ]
    return "\n".join(lines) + "\n"


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="hack/throughput")
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args(words)
    sys.path.insert(0, str(TREE))
    import ocirt

    try:
        with open_place() as place:
            runtime = runtime_at(place)
            cache = described(place.cache)
            rows = [(str(threads), measure(runtime, place.rootfs, threads, options.seconds)) for threads in THREADS]
            config = ocirt.sandbox(TRUE, cgroup=f"{PARENT}/pool")
            with ocirt.Pool(config, rootfs=place.rootfs, size=2 * max(THREADS), runtime=runtime) as pool:
                rows += [
                    (f"{threads}{FROM_A_POOL}", measure(runtime, place.rootfs, threads, options.seconds, pool))
                    for threads in THREADS
                ]
        text = table(rows, options.seconds, cache)
        print(text, end="")
        if options.docs:
            write_block(PAGE, parser.prog, text)
    except (BenchError, ocirt.OcirtError) as error:
        print(f"hack/throughput: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
