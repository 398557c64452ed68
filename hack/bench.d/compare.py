"""Compare two builds of ocirt in turns, on cgroup v1 or on cgroup v2 alone: what a change does to create and run.

    build/venv/bin/python hack/bench.d/compare.py [--docs] [--rounds N] [--unified] BEFORE AFTER [MORE...]

Each argument is the path of an executable of a tree. --docs writes the table into docs/performance.md. In each round every build, in random order, creates and deletes a container
of `runc spec`'s config, and runs `true` in one, when no other process uses the processors. Everything happens in a
mount namespace of its own. With --unified that namespace has cgroup v2 mounted over /sys/fs/cgroup. The ratio is the
median, over all rounds, of a build's time divided by that of the first build in the same round.

On a machine that is never quiet, put `chrt -f 10` before the command, and use --patience 0, to keep other processes
away. This does not work on cgroup v1, because its `cpu` hierarchy accepts no real-time process. Do not change the trees
meanwhile: a build keeps programs only for its own code.
"""

import argparse
import contextlib
import ctypes
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
PARENT = os.environ.get("OCIRT_TEST_PARENT", "/ocirt-test") + "-compare"
CLONE_NEWNS = 0x20000
LIMIT = 30
"""The most seconds for one command."""


def enter(place: Path, unified: bool) -> None:
    """Make a mount namespace for the measurement, with a tmpfs at ``place``."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        sys.exit(f"compare: unshare: {os.strerror(ctypes.get_errno())}")
    commands = [["mount", "--make-rprivate", "/"], ["mount", "-t", "tmpfs", "compare", str(place)]]
    if unified:
        commands.append(["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"])
    for command in commands:
        subprocess.run(command, check=True, timeout=LIMIT)


def tops() -> list[Path]:
    """The mount points of the cgroup hierarchies."""
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    covered = any(line[1] == "/sys/fs/cgroup" and line[2] == "cgroup2" for line in lines)
    return [
        Path(line[1])
        for line in lines
        if line[2] in ("cgroup", "cgroup2") and (line[1] == "/sys/fs/cgroup" or not covered)
    ]


def remove_parents(unified: bool) -> None:
    """Remove the cgroups, and disable the controllers of cgroup v2 that the runtime has enabled: while they are
    enabled, none of them can be mounted as a hierarchy of cgroup v1.
    """
    for top in tops():
        for folder in sorted(top.glob(f"{PARENT[1:]}/*/")) + [top / PARENT[1:]]:
            if folder.is_dir():
                folder.rmdir()
    control = Path("/sys/fs/cgroup/cgroup.subtree_control")
    for controller in control.read_text().split() if unified else ():
        with contextlib.suppress(OSError):  # another process has cgroups with this controller
            control.write_text(f"-{controller}")


class Build:
    """One of the compared builds, with a state directory and a directory of kept programs of its own."""

    def __init__(self, number: int, executable: str, place: Path) -> None:
        self.executable, self.name = executable, f"b{number}"
        self.root, self.bundle = place / f"root{number}", place / f"bundle{number}"
        self.cache = place / f"cache{number}"
        self.cache.mkdir(mode=0o700)
        self.bundle.mkdir()
        self.times: dict[str, list[float]] = {"create": [], "run": []}
        config = json.loads((TREE / "tests/unit/data/runc-spec.json").read_text())
        config["root"]["path"] = str(place / "rootfs")
        config["process"].update(terminal=False, args=["/bin/busybox", "true"])
        config["linux"]["cgroupsPath"] = f"{PARENT}/{self.name}"
        (self.bundle / "config.json").write_text(json.dumps(config))

    def __call__(self, *words: str) -> float:
        """Run a verb.

        :returns: the microseconds from posix_spawn to the return of wait4.
        """
        command = [self.executable, "--root", str(self.root), *words]
        environment = {"PATH": os.environ["PATH"], "OCIRT_CACHE": str(self.cache)}
        streams = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        begin = time.perf_counter_ns()
        pid = os.posix_spawn(command[0], command, environment, file_actions=streams)
        status = os.wait4(pid, 0)[1]
        end = time.perf_counter_ns()
        if status:
            sys.exit(f"compare: {' '.join(command)}: status {status}")
        return (end - begin) / 1000

    def round(self, until: float) -> None:
        bundle = ("--bundle", str(self.bundle), self.name)
        wait_until_quiet(until)
        self.times["create"].append(self("create", *bundle))
        self("delete", "--force", self.name)
        wait_until_quiet(until)
        self.times["run"].append(self("run", *bundle))


def wait_until_quiet(until: float) -> None:
    """Wait until no other process has used a processor for two milliseconds, or until this time.monotonic(), for
    machines that are always busy.
    """
    seen = 0
    with open("/proc/stat", "rb", buffering=0) as file:
        while seen < 4 and time.monotonic() < until:
            seen = seen + 1 if b"procs_running 1\n" in os.pread(file.fileno(), 1 << 16, 0) else 0
            time.sleep(0.0005)


def commit_of(executable: str) -> str:
    """The commit of the tree in which this executable was built, or its path."""
    command = ["git", "-C", os.path.dirname(executable), "rev-parse", "--short=12", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LIMIT)
    return done.stdout.strip() or executable


def table(builds: list[Build]) -> str:
    first = builds[0]
    lines = ["| microseconds | of commit | least | 10 % | median | ratio |", "|---|---|---|---|---|---|"]
    for verb in first.times:
        for build in builds:
            times = build.times[verb]
            least, tenth, median = min(times), statistics.quantiles(times, n=10)[0], statistics.median(times)
            ratio = statistics.median([one / other for one, other in zip(times, first.times[verb])])
            name = commit_of(build.executable)
            lines.append(f"| {verb} | {name} | {least:.0f} | {tenth:.0f} | {median:.0f} | {ratio:.3f} |")
    return "\n".join(lines) + "\n"


def write(text: str, rounds: int, unified: bool) -> None:
    """Put the table into the page."""
    from bench.library import when_and_where, write_block

    kind = "cgroup v2 alone" if unified else "cgroup v1"
    words = f"{when_and_where()}, {kind}, {rounds} rounds:\n\n{text}"
    write_block(TREE / "docs/performance.md", "hack/bench.d/compare.py", words)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("compare: ended by SIGTERM"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=200, help="after which no further round begins")
    parser.add_argument(
        "--patience", type=float, default=10, help="seconds to wait for the processors before each round"
    )
    parser.add_argument("--docs", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--unified", action="store_true", help="on cgroup v2 alone")
    parser.add_argument("executables", nargs="+")
    arguments = parser.parse_args()
    if (
        arguments.docs
        and subprocess.run([sys.executable, "-m", "conformance.commit"], cwd=TREE, timeout=LIMIT).returncode
    ):
        sys.exit("compare: --docs needs a commit")
    place = Path("/tmp/ocirt-compare")
    place.mkdir(exist_ok=True)
    enter(place, arguments.unified)
    (place / "rootfs/bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", place / "rootfs/bin/busybox")
    for top in tops():
        (top / PARENT[1:]).mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (top / file).exists() and (top / "tasks").exists():
                (top / PARENT[1:] / file).write_text((top / file).read_text())
    builds = [Build(number, os.path.abspath(each), place) for number, each in enumerate(arguments.executables)]
    try:
        end = time.monotonic() + arguments.seconds
        for number in range(arguments.rounds + 3):
            if number > 10 and time.monotonic() > end:
                break
            for build in random.sample(builds, len(builds)):
                build.round(min(end, time.monotonic() + arguments.patience))
            if number == 2:  # by now the programs are kept, and all files are in memory
                for build in builds:
                    build.times = {verb: [] for verb in build.times}
        rounds, text = len(builds[0].times["create"]), table(builds)
        print(f"{rounds} rounds\n{text}", end="")
        if arguments.docs:
            write(text, rounds, arguments.unified)
    finally:
        for build in builds:
            subprocess.run(
                [build.executable, "--root", build.root, "delete", "--force", build.name],
                timeout=LIMIT,
                stderr=subprocess.DEVNULL,
            )
        remove_parents(arguments.unified)


if __name__ == "__main__":
    main()
