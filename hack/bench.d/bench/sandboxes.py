"""hack/many-sandboxes: open sandboxes in one event loop, each with a command that waits for a line; --docs writes the
figures into docs/sandbox.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import TREE, BenchError
from .library import runtime_at, when_and_where, write_block
from .place import PARENT, open_place

if TYPE_CHECKING:
    import ocirt

PAGE = TREE / "docs/sandbox.md"
COMMAND = ["/bin/busybox", "sh", "-c", "echo begun; read line; echo $line"]


class Used:
    """What this process and the host use at a moment.

    :ivar descriptors: open ones of this process.
    :ivar own: bytes of memory of this process.
    :ivar host: bytes of memory that the host no longer has for others.
    :ivar threads: of this process.
    """

    def __init__(self) -> None:
        self.descriptors = len(os.listdir("/proc/self/fd")) - 1
        self.own = _kibibytes("/proc/self/status", "VmRSS")
        self.host = _kibibytes("/proc/meminfo", "MemTotal") - _kibibytes("/proc/meminfo", "MemAvailable")
        self.threads = threading.active_count()


def _kibibytes(path: str, name: str) -> int:
    line = next(each for each in Path(path).read_text().splitlines() if each.startswith(f"{name}:"))
    return int(line.split()[1]) << 10


async def measure(runtime: ocirt.Runtime, rootfs: Path, count: int) -> list[tuple[str, str]]:
    """:returns: rows of the table: what, and how much."""
    from ocirt import PIPE, aio

    box = aio.Sandbox(rootfs, memory=None, disk="1m", cgroup=f"{PARENT}/many", runtime=runtime)
    begun: list[aio.Process] = []
    all_run, go_on = asyncio.Event(), asyncio.Event()

    async def one() -> None:
        async with box.open() as live, live.exec(COMMAND, stdin=PIPE) as process:
            if await process.stdout.readline() != b"begun\n":
                raise BenchError("a program has not begun")
            begun.append(process)
            if len(begun) == count:
                all_run.set()
            await go_on.wait()
            process.stdin.write(b"line\n")
            if await process.stdout.read() != b"line\n":
                raise BenchError("a program has not answered")

    async with box.open():  # compiled once
        pass
    before, begin = Used(), time.monotonic()
    tasks = [asyncio.ensure_future(one()) for _ in range(count)]
    reached = asyncio.ensure_future(all_run.wait())
    await asyncio.wait([*tasks, reached], return_when=asyncio.FIRST_COMPLETED)
    opened, during = time.monotonic() - begin, Used()
    go_on.set()
    await asyncio.gather(*tasks)
    took = time.monotonic() - begin
    return [
        ("sandboxes at once, with a command each", str(count)),
        ("until all of them run", f"{opened:.1f} s"),
        ("until all of them have answered and are removed", f"{took:.1f} s"),
        ("descriptors of the service for each", f"{(during.descriptors - before.descriptors) / count:.1f}"),
        ("memory of the service for each", f"{(during.own - before.own) / count / 1024:.0f} KiB"),
        (
            "memory of the host for each, the service's included",
            f"{(during.host - before.host) / count / 2**20:.1f} MiB",
        ),
        ("threads of the service", str(during.threads)),
    ]


def table(rows: Sequence[tuple[str, str]]) -> str:
    """The block of the page."""
    lines = [
        f"{when_and_where()}:",
        "`hack/many-sandboxes`",
        "",
        "| what | how much |",
        "|---|---|",
        *[f"| {name} | {value} |" for name, value in rows],
    ]
    return "\n".join(lines) + "\n"


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="hack/many-sandboxes")
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args(words)
    sys.path.insert(0, str(TREE))
    import ocirt

    try:
        with open_place() as place:
            runtime = runtime_at(place)
            rows = asyncio.run(measure(runtime, place.rootfs, options.count))
        text = table(rows)
        print(text, end="")
        if options.docs:
            write_block(PAGE, parser.prog, text)
    except (BenchError, ocirt.OcirtError) as error:
        print(f"hack/many-sandboxes: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
