"""hack/bench-pool: what a caller in Python waits for until a program has run and ended, from :func:`ocirt.run`, from a
pool, and from a warm pool, beside other tools that run one program in a container; with --net the same with a network of
its own, and --docs writes that into docs/sandbox.md.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import TREE, BenchError
from .library import runtime_at, when_and_where, write_block
from .place import PARENT, Place, described, for_crun, open_place

if TYPE_CHECKING:
    import ocirt

TRUE = ["/bin/busybox", "true"]
PYTHON = "/usr/bin/python3"
TARGET = 0.35
"""The most that a run from a pool may take of a cold one."""
COLD, POOL = "ocirt.run", "Pool.run"
NETWORKS = ("pasta", "slirp4netns")
"""What podman may connect a container by; old versions know no pasta."""
PAGE = TREE / "docs/sandbox.md"


@contextmanager
def with_usr(place: Path) -> Iterator[Path]:
    """A root file system with the host's /usr in it, read-only, for the host's Python and what Debian has put there."""
    root = place / "with-usr"
    for name in ("proc", "dev", "tmp", "etc", "usr"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    # Debian's numpy finds its libblas.so.3 through a link there.
    shutil.copytree("/etc/alternatives", root / "etc/alternatives", symlinks=True)
    subprocess.run(["mount", "--bind", "-o", "ro", "/usr", root / "usr"], check=True)
    try:
        yield root
    finally:
        subprocess.run(["umount", root / "usr"], check=True)


def command(place: Place, *words: object) -> Callable[[], None]:
    """What runs this command once."""
    environment = {**os.environ, "CONTAINERS_CONF": str(place.path / "containers.conf")}

    def run() -> None:
        done = subprocess.run(
            list(map(str, words)), stdin=-3, stdout=-3, stderr=subprocess.PIPE, env=environment, text=True
        )
        if done.returncode:
            raise BenchError(f"{words[0]}: exit status {done.returncode}: {done.stderr.strip()[-300:]}")

    return run


def podman(place: Place, program: Sequence[str], rootfs: Path, network: str) -> Callable[[], None]:
    """What runs the program once by podman."""
    # A root without CAP_SYS_RESOURCE may not raise limits to podman's own.
    (place.path / "containers.conf").write_text("[containers]\ndefault_ulimits = []\n")
    own = ("--root", place.path / "podman", "--runroot", place.path / "podman-run", "--cgroup-manager", "cgroupfs")
    usr = ("--volume", "/usr:/usr:ro") if (rootfs / "usr").is_mount() else ()  # an overlay shows no mounts below it
    run = ("run", "--rm", "--network", network, "--cgroup-parent", PARENT, *usr, "--rootfs", f"{rootfs}:O")
    return command(place, "podman", *own, *run, *program)


def peers(place: Place, program: Sequence[str], rootfs: Path) -> dict[str, Callable[[], object]]:
    """Other tools that are installed: their name -> what runs the program once."""
    found: dict[str, Callable[[], object]] = {}
    if shutil.which("bwrap"):
        found["bwrap"] = command(place, "bwrap", "--unshare-all", "--ro-bind", rootfs, "/", "--proc", "/proc", *program)
    if shutil.which("podman"):
        found["podman run"] = podman(place, program, rootfs, "none")
    if shutil.which("crun"):
        config = {**place.spec, "process": {**place.spec["process"], "args": list(program)}}
        name = f"crun-{rootfs.name}"
        bundle = place.bundle(name, config).save(name, root={"path": str(rootfs), "readonly": True})
        found["crun run"] = command(place, "crun", "--root", place.path / "crun", "run", "--bundle", bundle.path, name)
    return found


def medians(works: dict[str, Callable[[], object]], rounds: int, pause: float) -> dict[str, float]:
    """Milliseconds of each work. The works take turns, in random order, because one leaves work to the kernel for which the
    next one pays.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for each in works.values():
        each()
    for _ in range(rounds):
        for name, work in random.sample(list(works.items()), len(works)):
            time.sleep(pause)
            begin = time.perf_counter()
            work()
            times[name].append((time.perf_counter() - begin) * 1000)
    return {name: statistics.median(found) for name, found in times.items()}


def table(title: str, found: dict[str, float]) -> str:
    lines = [f"| {title} | median | of {COLD} |", "|---|---|---|"]
    lines += [f"| {name} | {each:.2f} ms | {each / found[COLD]:.2f} |" for name, each in found.items()]
    return "\n".join(lines) + "\n"


def measure(place: Place, runtime: ocirt.Runtime, imports: str, rounds: int, pause: float) -> str:
    """The two tables: of a program that does nothing, and of one that imports."""
    import ocirt

    code = f"import {imports}"
    with ExitStack() as stack:
        root = stack.enter_context(with_usr(place.path))

        def box(name: str) -> dict[str, object]:
            return ocirt.sandbox(TRUE, cgroup=f"{PARENT}/{name}")

        def pool(name: str, rootfs: Path, warm: list[str] | None = None) -> ocirt.Pool[ocirt.Result]:
            return stack.enter_context(ocirt.Pool(box(name), rootfs=rootfs, size=8, warm=warm, runtime=runtime))

        def cold(program: list[str], rootfs: Path) -> Callable[[], object]:
            config = ocirt.sandbox(program, cgroup=f"{PARENT}/cold")
            return lambda: ocirt.run(config=config, rootfs=rootfs, runtime=runtime, check=True)

        ready, python = pool("pool", place.rootfs), [PYTHON, "-c", code]
        late, warm = pool("late", root), pool("warm", root, python)
        first = {COLD: cold(TRUE, place.rootfs), POOL: lambda: ready.run(TRUE, check=True)}
        second = {
            COLD: cold(python, root),
            POOL: lambda: late.run(python, check=True),
            f"{POOL}, warm": lambda: warm.run(python, check=True),
            "python3, without a container": lambda: subprocess.run(python, stdin=-3, check=True),
        }
        return (
            table("true", medians({**first, **peers(place, TRUE, place.rootfs)}, rounds, pause))
            + "\n"
            + table(code, medians({**second, **peers(place, python, root)}, rounds, pause))
        )


def measure_net(place: Place, runtime: ocirt.Runtime, rounds: int, pause: float) -> str:
    """The table of a program that does nothing, and may connect to one address."""
    import ocirt

    net = ocirt.Net(allow=["10.9.0.2:8000/tcp"])
    config = ocirt.sandbox(TRUE, cgroup=f"{PARENT}/cold")
    run = partial(ocirt.run, config=config, rootfs=place.rootfs, runtime=runtime, check=True)
    pooled = ocirt.sandbox(TRUE, cgroup=f"{PARENT}/pool")
    with ocirt.Pool(pooled, rootfs=place.rootfs, size=4, net=net, runtime=runtime) as pool:
        works: dict[str, Callable[[], object]] = {
            COLD: run,
            f"{COLD} with a Net": partial(run, net=net),
            f"{POOL} with a Net": lambda: pool.run(TRUE, check=True),
        }
        if shutil.which("podman"):
            works["podman run --network none"] = podman(place, TRUE, place.rootfs, "none")
            works |= _connected_podman(place)
        return table("true", medians(works, rounds, pause))


def _connected_podman(place: Place) -> dict[str, Callable[[], object]]:
    for network in NETWORKS:
        work = podman(place, TRUE, place.rootfs, network)
        try:
            work()
        except BenchError:
            continue
        return {f"podman run --network {network}": work}
    return {}


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="hack/bench-pool")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two runs, in which pools fill up")
    parser.add_argument("--import", dest="imports", default="numpy", help="the module that the second program imports")
    parser.add_argument("--net", action="store_true", help="measure programs with a network of their own instead")
    parser.add_argument("--docs", action="store_true", help="write that into docs/sandbox.md")
    options = parser.parse_args(words)
    sys.path.insert(0, str(TREE))
    import ocirt

    try:
        with open_place() as place, for_crun() if shutil.which("crun") else nullcontext():
            runtime = runtime_at(place)
            if options.net:
                found = measure_net(place, runtime, options.rounds, options.pause)
                print(found, end="")
                if options.docs:
                    write_block(
                        PAGE, "hack/bench-pool --net", f"{when_and_where()}:\n`hack/bench-pool --net`\n\n{found}"
                    )
                return 0
            print(f"programs kept {described(place.cache)}; the target of {POOL} is {TARGET} of {COLD}\n")
            print(measure(place, runtime, options.imports, options.rounds, options.pause), end="")
    except (BenchError, ocirt.OcirtError, subprocess.CalledProcessError) as error:
        print(f"hack/bench-pool: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
