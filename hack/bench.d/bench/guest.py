"""In the guest of hack/bench-guest, as root: ocirt beside crun and runc with both cgroup drivers, beside the floor of
cgroup v2, and beside systemd, which makes a scope and no container.

Writes /share/guest.json after each round, so that a run that is cut off keeps what it has measured, and records of
create into /share. Only ratios count: the guest is emulated.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from conformance import cells

from . import ALONE, BEFORE, BUSCTL, CGROUPFS, ITS_START, OUR_FLOOR, OURS, SYSTEMD, SYSTEMD_RUN, TREE, BenchError
from .__main__ import PEERS, facts, version
from .containers import Container
from .floor import run_floor
from .measure import LIMIT, Used, wait
from .place import SCOPE, SLICE, Place, Runtime, described, open_place
from .results import Results
from .works import FLOORS, TRUE, Run

SHARE = Path("/share")
MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
RECORDS = 3
"""Creates with a record, for each driver."""
POLL, PAUSE, PATIENCE = 0.02, 0.1, 20
"""Seconds between two looks for scopes that have not gone yet; between the last one's end and the next work; and until
systemd, which has not removed a scope, is asked to.
"""


def path(name: str) -> str:
    return shutil.which(name) or name


class Client:
    """Programs that ask systemd for a scope and make no container."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.all = {BUSCTL: self.busctl, SYSTEMD_RUN: self.systemd_run, ITS_START: self.version}

    def scope(self) -> str:
        return f"{SCOPE}-{self.place.name()}.scope"

    def busctl(self) -> Used:
        """The call that a runtime makes, for a process that waits. busctl does not wait until systemd has placed it."""
        sleeper = self.place.spawn.start(["/bin/busybox", "sleep", "600"])
        values = ["PIDs", "au", "1", str(sleeper), "Slice", "s", SLICE, "Delegate", "b", "true"]
        scope = self.scope()
        body = ["ssa(sv)a(sa(sv))", scope, "fail", "3", *values, "0"]
        try:
            used = self.place.spawn(path("busctl"), "call", *MANAGER, "StartTransientUnit", *body)
            end, placed = time.monotonic() + PATIENCE, cells.TOP / SLICE / scope / "cgroup.procs"
            while not (placed.exists() and placed.read_text()) and time.monotonic() < end:
                time.sleep(POLL)
            return used
        finally:
            os.kill(sleeper, 9)
            wait(sleeper)

    def systemd_run(self) -> Used:
        """A client that waits until systemd has placed it, as a runtime must, and then executes true."""
        flags = ["--scope", "--quiet", "--slice", SLICE, "--property", "Delegate=yes", "--unit", self.scope()]
        return self.place.spawn(path("systemd-run"), *flags, *TRUE)

    def version(self) -> Used:
        return self.place.spawn(path("systemd-run"), "--version")


class Guest:
    """The runtimes of each driver, and a container of each that stands for exec."""

    def __init__(self, run: Run, drivers: dict[str, list[Runtime]]) -> None:
        self.run, self.place, self.drivers, self.client = run, run.place, drivers, Client(run.place)
        self.standing: dict[Runtime, Container[Used]] = {}
        self.kept: set[str] = set()

    def begin(self) -> None:
        for runtime in sum(self.drivers.values(), []):
            container = self.standing[runtime] = self.run.container(runtime, kind="-exec")
            container.create()
            container.start()
        self.kept = self.scopes()

    def end(self) -> None:
        for container in self.standing.values():
            container.delete("--force")

    def settle(self) -> None:
        """Wait until systemd has removed the last scope, so that the next work does not pay for it."""
        end = time.monotonic() + PATIENCE
        while left := self.scopes() - self.kept:
            if time.monotonic() > end:
                print(f"systemd keeps {', '.join(left)}: asks it to stop", flush=True)
                subprocess.run(["systemctl", "stop", *left], check=True, timeout=LIMIT)
            time.sleep(POLL)
        time.sleep(PAUSE)

    @staticmethod
    def scopes() -> set[str]:
        return {each.name for each in (cells.TOP / SLICE).glob(f"{SCOPE}-*.scope")}

    def life(self, results: Results, driver: str, runtime: Runtime) -> None:
        with self.run.container(runtime) as container:
            used = container.cycle()
        for verb, each in used.items():
            results.add(verb, driver, runtime.name, each.time)
        results.add("life cycle", driver, runtime.name, sum(each.time for each in used.values()))
        if runtime.name == OURS and driver == SYSTEMD:
            results.add("create", ALONE, OURS, used["create"].time)
        elif runtime.name == OURS:
            results.add("floor: ready", CGROUPFS, OURS, used["create"].time)

    def run_true(self, results: Results, driver: str, runtime: Runtime) -> None:
        used = self.run.run_true(runtime)
        results.add("run true", driver, runtime.name, used.time)
        if runtime.name == OURS and driver == CGROUPFS:
            results.add("floor: run", CGROUPFS, OURS, used.time)

    def exec_true(self, results: Results, driver: str, runtime: Runtime) -> None:
        command = runtime.command("exec", self.standing[runtime].name, *TRUE)
        results.add("exec true", driver, runtime.name, self.place.spawn(*command).time)

    def round(self, results: Results) -> None:
        """Everything once. In random order, because one runtime leaves work to the kernel for which the next one pays."""
        for driver, runtimes in self.drivers.items():
            for work in (self.life, self.run_true, self.exec_true):
                for runtime in random.sample(runtimes, len(runtimes)):
                    work(results, driver, runtime)
                    self.settle()
        for mode in ("ready", "run"):
            for _ in range(FLOORS):
                taken = run_floor(self.place, self.run.floors[OUR_FLOOR], mode)
                results.add(f"floor: {mode}", CGROUPFS, OUR_FLOOR, taken)
                self.settle()
        for name in random.sample(list(self.client.all), len(self.client.all)):
            results.add("create", ALONE, name, self.client.all[name]().time)
            self.settle()

    def record(self) -> None:
        """Let ocirt tell what each process of a create did, and when."""
        for driver, (ours, *_) in self.drivers.items():
            for number in range(RECORDS):
                file = self.place.path / f"record-{driver.split()[0]}-{number}"
                with self.run.container(ours) as container:
                    words = ("--trace", file, "create", "--bundle", container.bundle.path, container.name)
                    self.place.spawn(*ours.command(*words))
                    container.delete("--force")
                shutil.copy(file, SHARE)  # a record is mapped into memory, which the file system of /share cannot do
                self.settle()


def circumstances(tree_commit: str) -> dict[str, Any]:
    """Facts of a run in the guest, which has no git to ask for the commit, before its first round."""
    found = facts(argparse.Namespace(floor=""))
    return found | {"commit": tree_commit, "systemd": systemd_version(), "rounds": 0, "many": 0, "existing": 0}


def systemd_version() -> str:
    shown = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True, timeout=LIMIT).stdout
    return shown.split()[1]


def runtimes(place: Place, before: Path | None, systemd: bool) -> list[Runtime]:
    ours = place.runtime(OURS, own_build(place), systemd)
    earlier = [place.runtime(BEFORE, before, systemd)] if before else []
    return [ours, *(place.runtime(name, path(name), systemd) for name in PEERS), *earlier]


def own_build(place: Place) -> Path:
    """This tree's executable in memory, like that of an installed ocirt. From /tree, which the machine shares with the
    guest, each start would take longer.
    """
    return shutil.copytree(TREE / "build/bin", place.path / OURS, dirs_exist_ok=True) / "ocirt"


def earlier_build(place: Place) -> Path | None:
    """The executable of the tree of --before, which then uses the guest's Python, as hack/vm.d/guest has this tree's do."""
    if not (SHARE / BEFORE).exists():
        return None
    tree = shutil.copytree(SHARE / BEFORE, place.path / BEFORE)
    packages = f"/usr/local/lib/python{sys.version_info.major}.{sys.version_info.minor}/dist-packages"
    text = (tree / "ocirt/core/ocirt-python.in").read_text().replace("@INTERPRETER@", sys.executable)
    text = text.replace("@TREE@", f'"{tree}", "{packages}", "{tree}/build/meson/ocirt"')
    (tree / "build/bin/ocirt-python").write_text(text)
    return tree / "build/bin/ocirt"


def measure(results: Results, place: Place, rounds: int, end: float) -> None:
    """Add rounds until there are so many, or until the time is over."""
    before = earlier_build(place)
    drivers = {driver: runtimes(place, before, driver == SYSTEMD) for driver in (SYSTEMD, CGROUPFS)}
    results.facts["kept programs"] = described(place.cache)
    results.facts["runtimes"] = {each.name: version(each.path) for each in drivers[CGROUPFS]}
    if before:
        results.facts["runtimes"][BEFORE] += f", of commit {(SHARE / BEFORE / 'commit').read_text().strip()}"
    # Not from /share, whose file system would bring the executable anew each time.
    floors = {OUR_FLOOR: str(shutil.copy(SHARE / "floor", place.path))}
    run = Run(place, results, [], floors, "", rounds=0, many=0, existing=0, host_mounts=0, say=lambda *_: None)
    guest = Guest(run, drivers)
    try:
        guest.begin()
        guest.round(Results())  # the first one reads files into memory, and keeps programs
        while results.facts["rounds"] < rounds and time.monotonic() < end:
            guest.round(results)
            results.facts["rounds"] += 1
            (SHARE / "guest.json").write_text(results.to_json())
            print(f"round {results.facts['rounds']}, {end - time.monotonic():.0f} s are left", flush=True)
        guest.record()
    finally:
        guest.end()


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/bench-guest")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=800, help="begin no round after so many")
    parser.add_argument("--commit", default="unknown", help="of the tree, because the guest has no git")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    try:
        with open_place() as place:
            measure(Results(circumstances(options.commit)), place, options.rounds, end)
    except (BenchError, OSError) as error:
        print(f"hack/bench-guest: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
