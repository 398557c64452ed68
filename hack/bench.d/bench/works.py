"""The works that are measured. Each function takes a :class:`Run` and adds series to its results; runtimes take turns
(A B C A B C).
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, overload

from conformance.cells import kind
from ocirt.cli.cache import file_system

from . import (
    BACK,
    FEW,
    FURTHER,
    INTERPRETER,
    MANY,
    ON_DISK,
    ON_TMPFS,
    OUR_FLOOR,
    PAUSES,
    RECORDED,
    SAME_FLOOR,
    TREE,
    UNRECORDED,
    BenchError,
    CommandFailed,
)
from .containers import (
    VERBS,
    Container,
    Progress,
    bundles,
    by_turns,
    children,
    delete_many,
    pid_of,
    resident,
    start_many,
)
from .floor import run_floor
from .measure import Alarm, Spawner, Used, Word, count_calls, metered, traced, wait
from .place import Bundle, Place, Runtime, make_parents, mounts, remove_cgroups
from .results import Results

PAUSE = 0.05
SPREAD = 0.01
"""Seconds between measurements of a millisecond, so that one disturbance does not hit all of them."""
MEDIAN = 40
"""Rounds of slow works: as many as a median needs."""
FLOORS = 3
"""Rounds of the floors in one of ocirt: they must show a difference of a twentieth."""
TRUE = ["/bin/busybox", "true"]
LARGEST_LIMIT, STEP = 32 << 20, 4096
"""Bytes: where the search for the smallest memory limit begins, and its precision."""
T = TypeVar("T")


class Run:
    """What the works share.

    :ivar runtimes: the :class:`~bench.place.Runtime` s, this tree's first.
    :ivar floors: name -> executable of the fixed floor.c and of the project's own.
    :ivar rounds: how often each thing is done; ``many`` and ``existing``: how many containers exist at a time.
    :ivar say: shows progress.
    """

    def __init__(
        self,
        place: Place,
        results: Results,
        runtimes: list[Runtime],
        floors: Mapping[str, str],
        meter: str,
        *,
        rounds: int,
        many: int,
        existing: int,
        host_mounts: int,
        say: Callable[[str, int, int], None],
    ) -> None:
        self.place, self.results, self.runtimes, self.floors, self.meter = place, results, runtimes, floors, meter
        self.rounds, self.many, self.existing, self.host_mounts, self.say = rounds, many, existing, host_mounts, say

    def do(self, work: Callable[..., None], *more: object) -> None:
        """Do one of the works. Where one of FURTHER fails, the work is done again without it, and so are all later ones."""
        before = deepcopy(self.results.series)
        try:
            work(self, *more)
        except CommandFailed as error:
            failed = [each for each in self.runtimes if each.name in FURTHER and each.path == error.path]
            if not failed:
                raise
            remove_cgroups()  # with the processes of containers that it could not end
            make_parents()
            self.results.series = before
            reasons = [
                self.results.facts.get("left out"),
                f"{failed[0].name}, from `{work.__name__}` on: {error.reason}",
            ]
            self.results.facts["left out"] = "; ".join(filter(None, reasons))
            self.runtimes = [each for each in self.runtimes if each not in failed]
            self.do(work, *more)

    def turns(self, work: str, rounds: int | None = None) -> Iterator[Runtime]:
        """For each round and each runtime: the runtime."""
        for number in range(rounds or self.rounds):
            self.say(work, number + 1, rounds or self.rounds)
            yield from self.runtimes

    @overload
    def container(
        self,
        runtime: Runtime,
        config: dict[str, Any] | None = None,
        run: None = None,
        kind: str = "",
        more: Mapping[str, object] | None = None,
    ) -> Container[Used]: ...

    @overload
    def container(
        self,
        runtime: Runtime,
        config: dict[str, Any] | None = None,
        *,
        run: Callable[..., T],
        kind: str = "",
        more: Mapping[str, object] | None = None,
    ) -> Container[T]: ...

    def container(
        self,
        runtime: Runtime,
        config: dict[str, Any] | None = None,
        run: Callable[..., Any] | None = None,
        kind: str = "",
        more: Mapping[str, object] | None = None,
    ) -> Container[Any]:
        """A new container that does not exist yet.

        :param run: runs its commands; by default ``place.spawn``.
        :param more: further properties of its config.
        """
        name = self.place.name()
        bundle = self.place.bundle(f"{runtime.name}{kind}", config).save(runtime.cgroup(name), **(more or {}))
        return Container(self.place, runtime, bundle, name, run or self.place.spawn)

    def run_true(self, runtime: Runtime, config: dict[str, Any] | None = None, kind: str = "-true") -> Used:
        """One `run` of true."""
        config = deepcopy(config or self.place.spec)
        config["process"]["args"] = TRUE
        with self.container(runtime, config, kind=kind) as container:
            return self.place.spawn(*runtime.command("run", "--bundle", container.bundle.path, container.name))


def warm(run: Run) -> None:
    """Run each runtime once, so that no series includes a first time: files read into memory, and programs of these
    shapes kept.
    """
    for runtime in run.turns("first containers", 2):
        with run.container(runtime) as container:
            container.cycle()
        run.run_true(runtime)


def floors(run: Run) -> None:
    """create and run beside the floors. The kernel does the same work for all: the hugetlb hierarchy does not exist
    yet, and one row is for a container without the mount of the cgroups, which floor.c does not make.
    """
    place, results = run.place, run.results
    ours = run.runtimes[0]
    plain = deepcopy(place.spec)
    plain["mounts"] = [mount for mount in plain["mounts"] if mount["type"] != "cgroup"]

    def floor_of(mode: str) -> None:
        for _ in range(FLOORS):
            # In random order, because the previous one leaves work to the kernel.
            for name in random.sample(list(run.floors), len(run.floors)):
                time.sleep(PAUSE * (pattern == PAUSES))
                results.add(
                    f"floor: {mode}",
                    pattern,
                    name,
                    run_floor(place, run.floors[name], mode),
                )
            if mode == "create":
                time.sleep(PAUSE * (pattern == PAUSES))
                results.add("floor: ready", pattern, OUR_FLOOR, run_floor(place, run.floors[OUR_FLOOR], "ready"))

    for pattern in (BACK, PAUSES):
        for number in range(run.rounds):
            run.say(f"beside the floor, {pattern}", number + 1, run.rounds)
            floor_of("create")
            for config, work in ((None, "floor: create"), (plain, "floor: create without the cgroup mount")):
                time.sleep(PAUSE * (pattern == PAUSES))
                with run.container(ours, config, kind=work.replace(" ", "-")) as container:
                    used = container.create().time
                    results.add(work, pattern, ours.name, used)
                    if config is None:
                        results.add("floor: ready", pattern, ours.name, used)
                    container.delete("--force")
            if pattern == BACK:
                if OUR_FLOOR in run.floors:
                    results.add(
                        "floor: nothing", pattern, OUR_FLOOR, place.spawn(run.floors[OUR_FLOOR], "nothing").time
                    )
                floor_of("run")
                for config, work in ((None, "floor: run"), (plain, "floor: run without the cgroup mount")):
                    results.add(work, pattern, ours.name, run.run_true(ours, config, kind=work.replace(" ", "-")).time)


def host_with_mounts(run: Run) -> None:
    """create with many mounts on the host, and without: the kernel copies all mounts."""
    place, results = run.place, run.results
    for number in range(max(1, run.rounds // 10)):
        for work, count in (("floor: create, host as it is", 0), ("floor: create, host with mounts", run.host_mounts)):
            run.say(f"{count} mounts more on the host", number + 1, max(1, run.rounds // 10))
            with mounts(place.path / "mounts", count):
                for _ in range(min(10, run.rounds)):
                    for name, path in [each for each in run.floors.items() if each[0] != SAME_FLOOR]:
                        results.add(work, "", name, place.spawn(path, place.rootfs, place.name(), "create").time)
                    for runtime in run.runtimes:
                        with run.container(runtime) as container:
                            results.add(work, "", runtime.name, container.create().time)
                            container.delete("--force")


def kept(run: Run) -> None:
    """create of ocirt with its program on the file system of a disk, and on a tmpfs; left out if this machine has none."""
    ours, place = run.runtimes[0], run.place
    on_disk = [each for each in (place.cache.parent, TREE / "build") if file_system(str(each)) != "tmpfs"]
    if not on_disk:
        return
    with TemporaryDirectory(prefix="ocirt-bench-cache-", dir=on_disk[0]) as disk:
        caches = {ON_DISK: disk, ON_TMPFS: str(place.path / "cache")}
        os.mkdir(caches[ON_TMPFS], 0o700)
        spawns = {
            pattern: Spawner(place.path / "errors", {**place.spawn.environment, "OCIRT_CACHE": cache})
            for pattern, cache in caches.items()
        }
        for number in range(FLOORS * run.rounds + 1):
            run.say("a program on a disk", number, FLOORS * run.rounds)
            for pattern in random.sample(list(spawns), len(spawns)):
                with run.container(ours, run=spawns[pattern], kind="-kept") as container:
                    used = container.create()
                    container.delete("--force")
                if number:  # the first one keeps the program
                    run.results.add("create", pattern, ours.name, used.time)


def recorded(run: Run) -> None:
    """A life cycle of ocirt with records of what it does, and without."""
    ours, file = run.runtimes[0], run.place.path / "record"
    for number in range(run.rounds):
        run.say("with a record", number + 1, run.rounds)
        for pattern in random.sample([RECORDED, UNRECORDED], 2):
            options: list[Word] = ["--trace", file] if pattern == RECORDED else []
            file.unlink(missing_ok=True)
            with run.container(ours, kind="-recorded") as container:
                bundle, name = container.bundle, container.name
                verbs: dict[str, Sequence[Word]] = {
                    "create": ["--bundle", bundle.path],
                    "start": [],
                    "delete": ["--force"],
                }
                used = [run.place.spawn(*ours.command(*options, verb, *verbs[verb], name)).time for verb in verbs]
            run.results.add("create", pattern, ours.name, used[0])
            run.results.add("life cycle", pattern, ours.name, sum(used))


def life(run: Run) -> None:
    for pattern in (BACK, PAUSES):
        for runtime in run.turns(f"life cycle, {pattern}"):
            time.sleep(PAUSE * (pattern == PAUSES))
            with run.container(runtime) as container:
                used = container.cycle()
            for verb, each in used.items():
                run.results.add(verb, pattern, runtime.name, each.time)
                run.results.add(f"{verb}: processor time", pattern, runtime.name, each.cpu)
            run.results.add("life cycle", pattern, runtime.name, sum(each.time for each in used.values()))


def run_true(run: Run) -> None:
    for runtime in run.turns("run true"):
        run.results.add("run true", "", runtime.name, run.run_true(runtime).time)


def exec_true(run: Run) -> None:
    """exec in a running container; left out for a runtime that has no such verb. On cgroup v2 beside it what the kernel
    needs for it, in the container of ocirt.
    """
    standing: dict[str, Container[Used]] = {}
    try:
        for runtime in run.runtimes:
            standing[runtime.name] = run.container(runtime, kind="-exec")
            standing[runtime.name].create()
            standing[runtime.name].start()
        able = [
            runtime
            for runtime in run.runtimes
            if run.place.spawn.succeeds(*runtime.command("exec", standing[runtime.name].name, *TRUE))
        ]
        ours = run.runtimes[0]
        pid = pid_of(run.place, standing[ours.name])
        for runtime in run.turns("exec true"):
            if runtime in able:
                command = runtime.command("exec", standing[runtime.name].name, *TRUE)
                run.results.add("exec true", "", runtime.name, run.place.spawn(*command).time)
            if runtime is ours and kind() == "v2":
                used = run.place.spawn(run.floors[OUR_FLOOR], "exec", str(pid))
                run.results.add("exec true", "", OUR_FLOOR, used.time)
    finally:
        for container in standing.values():
            container.delete("--force")


def never_seen(run: Run, seccomp: dict[str, Any]) -> None:
    """create with a new shape: a property without meaning makes each config different. Then the same with a seccomp
    profile whose filter is kept. Beside it the interpreter that ocirt starts for it, with an empty program.
    """
    ours = run.runtimes[0]
    interpreter = Path(ours.path).with_name("ocirt-python").read_text().splitlines()[0].removeprefix("#!")
    profiled = with_seccomp(run.place.spec, seccomp)
    for config, work in ((None, "create, new shape"), (profiled, "create, new shape, known filter")):
        for pattern in (BACK, PAUSES):
            for runtime in run.turns(f"{work}, {pattern}"):
                time.sleep(PAUSE * (pattern == PAUSES))
                key = f"org.ocirt.bench.{run.place.name()}"
                with run.container(runtime, config, kind="-new", more={key: 1}) as container:
                    run.results.add(work, pattern, runtime.name, container.create().time)
                    container.delete("--force")
                if runtime is ours:
                    bare = run.place.spawn(interpreter, "-I", "-S", "-c", "pass")
                    run.results.add(work, pattern, INTERPRETER, bare.time)


def with_seccomp(config: dict[str, Any], seccomp: dict[str, Any]) -> dict[str, Any]:
    config = deepcopy(config)
    config["linux"]["seccomp"] = seccomp
    return config


def profile_on_top(run: Run, seccomp: dict[str, Any]) -> None:
    """`run true` with podman's default profile and without, and what loading that filter costs a process of its own."""
    profiled, place = with_seccomp(run.place.spec, seccomp), run.place
    filter_of(profiled, place.path / "filter")
    for runtime in run.runtimes:
        run.run_true(runtime, profiled, "-seccomp")  # the filter is kept from here on
    for runtime in run.turns("a seccomp profile on top"):
        run.results.add("run true without a profile", "", runtime.name, run.run_true(runtime).time)
        used = run.run_true(runtime, profiled, "-seccomp")
        run.results.add("run true with podman's profile", "", runtime.name, used.time)
        if runtime is run.runtimes[0]:
            for mode in ("read", "load"):
                used = place.spawn(run.meter, "--filter", place.path / "filter", mode)
                run.results.add(f"a process that {mode}s the filter", "", "bare", used.time)


def filter_of(config: dict[str, Any], path: Path) -> None:
    """Write the BPF program that ocirt makes from a config's seccomp profile."""
    import json

    from ocirt.compile import compile
    from ocirt.model.config import parse
    from ocirt.model.host import Host
    from ocirt.model.request import Request
    from ocirt.plan.steps import LoadSeccomp

    request = Request({"verb": "create", "id": "c", "bundle": "/b", "root": "/r"})
    plan = compile(parse(json.dumps(config).encode()), request, Host())
    steps = [step for section in plan.sections.values() for step in section if isinstance(step, LoadSeccomp)]
    path.write_bytes(steps[0].filter)


def many(run: Run) -> None:
    floor = run.floors[OUR_FLOOR]
    for runtime in run.turns(f"{run.many} containers by 2 at a time", min(MEDIAN, run.rounds)):
        if runtime is run.runtimes[0]:
            alone = [
                [[floor, str(run.place.rootfs), run.place.name(), "ready"], [floor, "nothing"]] for _ in range(run.many)
            ]
            run.results.add("many containers", "", OUR_FLOOR, by_turns(run.place, alone, 2, None))
            remove_cgroups()  # with the containers
            make_parents()
        several = bundles(run.place, runtime, run.many)
        try:
            run.results.add("many containers", "", runtime.name, start_many(run.place, runtime, several))
        finally:
            delete_many(run.place, runtime, several)
            shutil.rmtree(run.place.path / "bundles")


def existing(run: Run) -> None:
    """state and list while many containers run, and while a tenth of them runs."""
    for runtime in run.runtimes:
        several = bundles(run.place, runtime, run.existing)
        started: list[tuple[str, Bundle]] = []
        try:
            for count, pattern in ((max(1, run.existing // 10), FEW), (run.existing, MANY)):
                new = several[len(started) : count]
                started += new
                start_many(run.place, runtime, new, progress=_saying(run, f"{count} containers of {runtime.name}"))
                _look(run, runtime, started[: max(1, run.existing // 10)], pattern)
        finally:
            delete_many(run.place, runtime, started, progress=_saying(run, f"and their end, {runtime.name}"))
            shutil.rmtree(run.place.path / "bundles")


def _saying(run: Run, work: str) -> Progress:
    return lambda done, of: run.say(work, done, of)


def _look(run: Run, runtime: Runtime, several: Sequence[tuple[str, Bundle]], pattern: str) -> None:
    """Measure with the same containers ``several``, however many exist: others would be further from the processor's
    caches.
    """
    for number in range(max(4, run.rounds)):
        time.sleep(SPREAD)
        name, _ = random.choice(several)
        run.results.add("state", pattern, runtime.name, run.place.spawn(*runtime.command("state", name)).time)
        if number < MEDIAN:
            run.results.add("list", pattern, runtime.name, run.place.spawn(*runtime.command("list")).time)


def memory(run: Run) -> None:
    """Peaks of resident memory, by verb; and what a waiting foreground `run` keeps."""

    def measure(*command: Word) -> Used:
        return metered(run.place.spawn, run.meter, run.place.path / "metered", *command)

    for runtime in run.turns("peak memory", min(MEDIAN, run.rounds)):
        with run.container(runtime, run=measure) as each:
            for verb, used in each.cycle().items():
                assert used.peak is not None  # metered sets it
                run.results.add(f"{verb}: peak memory", "", runtime.name, used.peak)
    for runtime in run.turns("a waiting run", min(MEDIAN, run.rounds)):
        _waiting(run, runtime)


def _waiting(run: Run, runtime: Runtime) -> None:
    with run.container(runtime, kind="-waiting") as container:
        bundle = ("--bundle", container.bundle.path, "--pid-file", container.bundle.pid_file)
        command = runtime.command("run", *bundle, container.name)
        container.bundle.pid_file.unlink(missing_ok=True)
        pid = run.place.spawn.start(command)
        try:
            with Alarm(command):
                while not (container.bundle.pid_file.exists() and container.bundle.pid_file.read_text()):
                    time.sleep(0.01)  # nothing is timed
                time.sleep(0.2)  # it starts the program, and then waits
                init = pid_of(run.place, container)
                own = [pid, *(child for child in children(pid) if child != init)]
                rss, pss = map(sum, zip(*map(resident, own)))
            run.results.add("waiting run: memory", "", runtime.name, rss)
            run.results.add("waiting run: share of memory", "", runtime.name, pss)
        finally:
            run.place.spawn.succeeds(*runtime.command("kill", container.name, "KILL"))
            with Alarm(command):
                wait(pid)


def smallest_limit(run: Run) -> None:
    """The smallest memory limit with which busybox true runs, five times in a row."""
    for runtime in run.runtimes:
        run.say("smallest memory limit", run.runtimes.index(runtime) + 1, len(run.runtimes))
        low, high = 0, LARGEST_LIMIT
        if not _runs_within(run, runtime, high):
            raise BenchError(f"{runtime.name}: busybox true does not run within {high} bytes of memory")
        while high - low > STEP:
            middle = (low + high) // 2 // STEP * STEP
            low, high = (low, middle) if _runs_within(run, runtime, middle) else (middle, high)
        while not all(_runs_within(run, runtime, high) for _ in range(5)):
            high += STEP
        run.results.add("smallest memory limit", "", runtime.name, high // 1024)


def _runs_within(run: Run, runtime: Runtime, limit: int) -> bool:
    config = deepcopy(run.place.spec)
    config["process"]["args"] = TRUE
    config["linux"]["resources"]["memory"] = {"limit": limit}
    container = run.container(runtime, config, kind="-limit")
    done = run.place.spawn.succeeds(*runtime.command("run", "--bundle", container.bundle.path, container.name))
    if not done:
        run.place.spawn.succeeds(*runtime.command("delete", "--force", container.name))
    return done


def system_calls(run: Run) -> None:
    """System calls by verb, of the runtime and all that it starts, until its process ends."""
    strace, log = shutil.which("strace") or "strace", run.place.path / "strace"
    for runtime in run.turns("system calls", 1):
        ends: list[int] = []

        def tracing(*command: Word) -> None:
            ends.append(traced(run.place.spawn, strace, f"{log}-{len(ends)}", *command))

        with run.container(runtime, run=tracing) as container:
            container.cycle()
        for end in ends:
            os.read(end, 1)
            os.close(end)
        for number, verb in enumerate(VERBS):
            with open(f"{log}-{number}", encoding="utf-8", errors="replace") as file:
                calls = count_calls(file.read())
            run.results.add(f"{verb}: system calls", "", runtime.name, sum(calls.values()))
            run.results.facts.setdefault("calls", {}).setdefault(runtime.name, {})[verb] = dict(
                sorted(calls.items(), key=lambda pair: -pair[1])
            )
