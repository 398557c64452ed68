"""In the guest of hack/bench-mounts, as root: how long a create takes on a host with many mounts, with the mount namespace
that Linux 7 makes of the rootfs and with a copy of the host's, beside crun and runc.

Two mount namespaces stand beside each other, of which one has many mounts more. In each round each runtime makes one
container in either, all in random order. Both ways of ocirt run under a seccomp filter of one length, which refuses
OPEN_TREE_NAMESPACE to one of them. Only ratios count: the guest is emulated.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from . import AS_IT_IS, COPIED, CROWDED, OURS, BenchError
from .__main__ import PEERS, version
from .containers import Container
from .guest import SHARE, circumstances, own_build, path
from .measure import Used, Word, wait
from .place import (
    Place,
    Runtime,
    described,
    enter_namespace,
    enter_new_namespace,
    make_mounts,
    open_place,
    own_namespace,
)
from .results import Results

MANY = 1000
OPEN_TREE, OPEN_TREE_NAMESPACE, NO_FLAG = 428, 2, 1 << 30
EINVAL = 22
SET_SECCOMP, MODE_FILTER = 22, 2
SETTLE = 0.3
"""Seconds in which a process gets ready, and the kernel ends the container before."""


def refuse(flag: int) -> None:
    """Refuse open_tree(2) with ``flag`` to this process and its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    steps = [
        (0x20, 0, 0, 0),
        (0x15, 0, 3, OPEN_TREE),
        (0x20, 0, 0, 32),
        (0x45, 0, 1, flag),
        (0x06, 0, 0, 0x00050000 | EINVAL),
        (0x06, 0, 0, 0x7FFF0000),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in steps))
    if libc.prctl(SET_SECCOMP, MODE_FILTER, struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)), 0, 0):
        raise OSError(ctypes.get_errno(), "cannot set a seccomp filter")


FILTERS: dict[str, Callable[[], None]] = {
    OURS: partial(refuse, NO_FLAG),
    COPIED: partial(refuse, OPEN_TREE_NAMESPACE),
}


def spawn(place: Place, prepare: Callable[[], None], *command: Word) -> Used:
    """Time a command in a process that has been prepared before the time begins: it waits for a line."""
    words = [str(place.rootfs / "bin/busybox"), "sh", "-c", 'read -r _; exec "$0" "$@"', *map(str, command)]
    begin, end = os.pipe()
    with open(place.spawn.errors, "w") as errors:
        program = subprocess.Popen(
            words, stdin=begin, stdout=-3, stderr=errors, env=place.spawn.environment, preexec_fn=prepare
        )
    os.close(begin)
    time.sleep(SETTLE)
    start = time.perf_counter_ns()
    os.write(end, b"\n")
    _, status, used = wait(program.pid)
    taken = (time.perf_counter_ns() - start) / 1000
    program.returncode = status  # nobody waits for it again
    os.close(end)
    place.spawn.check([str(word) for word in command], status)
    return Used(taken, (used.ru_utime + used.ru_stime) * 1e6)


class Mounts:
    """The runtimes, and the mount namespaces in which they run."""

    def __init__(self, place: Place, namespaces: dict[str, int]) -> None:
        self.place, self.namespaces = place, namespaces
        ours = own_build(place)
        self.runtimes = [place.runtime(name, ours) for name in FILTERS]
        self.runtimes += [place.runtime(name, path(name)) for name in PEERS]

    def create(self, results: Results, pattern: str, runtime: Runtime) -> None:
        def prepare() -> None:
            enter_namespace(self.namespaces[pattern])
            FILTERS.get(runtime.name, lambda: None)()

        name = self.place.name()
        bundle = self.place.bundle(runtime.name).save(runtime.cgroup(name))
        with Container(self.place, runtime, bundle, name, partial(spawn, self.place, prepare)) as container:
            results.add("create", pattern, runtime.name, container.create().time)
        if not self.place.spawn.succeeds(*runtime.command("delete", "--force", name)):
            raise BenchError(f"{runtime.name}: delete --force {name} failed")

    def round(self, results: Results) -> None:
        """Everything once. In random order, because what one container leaves to the kernel to end, the next create pays
        for.
        """
        works = [(pattern, runtime) for pattern in self.namespaces for runtime in self.runtimes]
        for pattern, runtime in random.sample(works, len(works)):
            self.create(results, pattern, runtime)


def measure(results: Results, place: Place, rounds: int, end: float) -> None:
    """Add rounds until there are so many, or until the time is over."""
    here = own_namespace()
    enter_new_namespace()
    make_mounts(place.path / "many", MANY)
    work = Mounts(place, {AS_IT_IS: here, CROWDED: own_namespace()})
    enter_namespace(here)
    results.facts |= {
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "more": MANY,
        "kept programs": described(place.cache),
        "runtimes": {each.name: version(each.path) for each in work.runtimes if each.name != COPIED},
    }
    work.round(Results())  # the first one reads files into memory, and keeps programs
    while results.facts["rounds"] < rounds and time.monotonic() < end:
        work.round(results)
        results.facts["rounds"] += 1
        (SHARE / "mounts.json").write_text(results.to_json())
        print(f"round {results.facts['rounds']}, {end - time.monotonic():.0f} s are left", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/bench-mounts")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seconds", type=int, default=600, help="begin no round after so many")
    parser.add_argument("--commit", default="unknown", help="of the tree, because the guest has no git")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    try:
        with open_place() as place:
            measure(Results(circumstances(options.commit)), place, options.rounds, end)
    except (BenchError, OSError) as error:
        print(f"hack/bench-mounts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
