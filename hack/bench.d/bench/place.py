"""The surroundings of a run: a tmpfs of its own with rootfs, bundles and state directories; a directory for ocirt's
cache, next to the default one of an installed ocirt; cgroups below /ocirt-test-bench (or what OCIRT_TEST_PARENT says).
All of it is removed after the run.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

from conformance import cells
from ocirt.cli.cache import directory_of, file_system
from ocirt.errors import OcirtError

from . import TREE, BenchError
from .measure import Spawner, Word

STARTER = Path(__file__).resolve().parents[1] / "starter.c"
PARENT = cells.beneath("bench")
SLICE, SCOPE = "system.slice", "ocirt-bench"
"""The slice of the scopes that systemd makes, which is always there, and how their names begin."""
FIXED_FLOOR_PARENT = "/ocirt-test"
"""The cgroup in which the fixed floor.c makes its cgroups."""
MS_BIND, MNT_DETACH, CLONE_NEWNS = 4096, 2, 0x20000


class Runtime:
    """A runtime, and its command line.

    :ivar path: its executable.
    :ivar root: its state directory, passed as --root.
    :ivar systemd: does systemd make the cgroups of its containers?
    """

    def __init__(self, name: str, path: Word, root: Path, systemd: bool = False) -> None:
        self.name, self.path, self.root, self.systemd = name, str(path), str(root), systemd

    def command(self, *words: Word) -> list[str]:
        driver = ["--systemd-cgroup"] * self.systemd
        return [self.path, "--root", self.root, *driver, *map(str, words)]

    def cgroup(self, name: str) -> str:
        """The cgroupsPath of the container ``name``."""
        return f"{SLICE}:{SCOPE}:{self.name}-{name}" if self.systemd else f"{PARENT}/{self.name}-{name}"


class Bundle:
    """A directory with a config.json; every container of a run has the same rootfs."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path, self.config = path, config
        self.pid_file = path / "pid"
        path.mkdir(parents=True, exist_ok=True)

    def save(self, cgroup: str, **more: object) -> Bundle:
        """Write config.json for a container with this cgroupsPath, with the further properties ``more``."""
        config = {**self.config, **more}
        config["linux"] = {**config["linux"], "cgroupsPath": cgroup}
        (self.path / "config.json").write_text(json.dumps(config))
        return self


class Place:
    """:func:`open_place` makes it.

    :ivar cache: the directory of ocirt's kept programs.
    :ivar spawn: runs commands, see :class:`~bench.measure.Spawner`.
    :ivar spec: `runc spec`'s config with busybox `sleep` as its command, and without a terminal.
    """

    def __init__(self, path: Path, cache: Path) -> None:
        self.path, self.rootfs, self.cache = path, path / "rootfs", cache
        (self.rootfs / "bin").mkdir(parents=True)
        shutil.copy("/bin/busybox", self.rootfs / "bin/busybox")
        environment = {"PATH": os.environ["PATH"], "OCIRT_CACHE": str(self.cache)}
        self.spawn = Spawner(path / "errors", environment)
        self.spec = self._spec()
        self._number = 0

    @cached_property
    def starter(self) -> str:
        """The program that runs many commands, of starter.c."""
        return self.compile(STARTER)

    def _spec(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads((TREE / "tests/unit/data/runc-spec.json").read_text())
        config["root"]["path"] = str(self.rootfs)
        config["process"].update(terminal=False, args=["/bin/busybox", "sleep", "600"])
        return config

    def runtime(self, name: str, path: Word, systemd: bool = False) -> Runtime:
        return Runtime(name, path, self.path / "state" / name, systemd)

    def bundle(self, name: str, config: dict[str, Any] | None = None) -> Bundle:
        return Bundle(self.path / "bundles" / name, deepcopy(config or self.spec))

    def name(self) -> str:
        """A name that no container of the run has had."""
        self._number += 1
        return f"b{self._number}"

    def compile(self, source: Path) -> str:
        """The executable of a C program."""
        compiler = shutil.which("musl-gcc")
        headers = (
            ["-idirafter", "/usr/include", "-idirafter", f"/usr/include/{platform.machine()}-linux-gnu"]
            if compiler
            else []
        )
        output = self.path / f"{source.parent.name}-{source.stem}"
        done = subprocess.run(
            [
                compiler or "gcc",
                "-O2",
                "-w",
                "-static",
                f'-DPARENT="{PARENT[1:]}"',
                *headers,
                str(source),
                "-o",
                str(output),
            ],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise BenchError(f"{source} does not compile: {(done.stderr.splitlines() or ['no reason given'])[0]}")
        return str(output)


@contextlib.contextmanager
def open_place() -> Iterator[Place]:
    """A :class:`Place`. After the block it is removed, with all cgroups and processes of the run; also if SIGTERM ends
    the run, which is how a caller's time limit and a caller's end arrive.
    """
    if os.geteuid():
        raise BenchError("needs root: it runs containers")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    path = Path(tempfile.mkdtemp(prefix="ocirt-bench-"))
    remove_cgroups()
    enabled = _enabled()
    make_parents()
    _mount(b"bench", path, b"tmpfs", 0, b"mode=755")
    cache = make_cache()
    try:
        yield Place(path, cache)
    finally:
        shutil.rmtree(cache)
        remove_cgroups()
        _disable(_enabled() - enabled)
        _unmount(path)
        path.rmdir()


CONTROL = cells.TOP / "cgroup.subtree_control"


def _enabled() -> set[str]:
    """The controllers that the root cgroup enables, if cgroup v2 is at /sys/fs/cgroup."""
    return set(CONTROL.read_text().split()) if CONTROL.exists() else set()


def _disable(controllers: set[str]) -> None:
    """Disable what the run has enabled: an enabled controller cannot be mounted as a hierarchy of cgroup v1."""
    for each in controllers:
        with contextlib.suppress(OSError):  # another process has cgroups with this controller
            CONTROL.write_text(f"-{each}")


def make_cache() -> Path:
    """An empty directory for kept programs, next to the one in which an installed ocirt keeps them on this machine."""
    try:
        default = directory_of(os.environ | {"OCIRT_CACHE": ""}, os.geteuid())
    except OcirtError as error:
        raise BenchError(f"ocirt would keep no program on this machine: {error}") from None
    return Path(tempfile.mkdtemp(prefix="ocirt-bench-cache-", dir=os.path.dirname(default)))


def described(cache: Path) -> str:
    """Where the cache is, for the page."""
    return f"in {cache.parent} ({file_system(str(cache))})"


def make_parents() -> None:
    """Make the parent cgroups of the containers' before the first container, as on a host with other containers."""
    for top in cells.hierarchies():
        for parent in (PARENT, FIXED_FLOOR_PARENT):
            folder = Path(f"{top}{parent}")
            folder.mkdir(exist_ok=True)
            for file in cells.INHERITED:
                # The root cgroup of v2 has none to inherit.
                if (folder / file).exists() and (folder.parent / file).exists():
                    (folder / file).write_text((folder.parent / file).read_text())


def remove_cgroups() -> None:
    """Kill what remains of a run and remove its cgroups; those of the fixed floor only if they are empty."""
    try:
        cells.remove(PARENT)
    except cells.CellError as error:
        raise BenchError(str(error)) from None
    for top in cells.hierarchies():
        with contextlib.suppress(OSError):
            os.rmdir(f"{top}{FIXED_FLOOR_PARENT}")


@contextlib.contextmanager
def for_crun() -> Iterator[None]:
    """What Debian's crun needs on a host with both cgroup layouts: hugetlb as a v1 hierarchy, for the whole machine as
    long as the block lasts.

    :raises BenchError: the hierarchy cannot be mounted now.
    """
    held = contextlib.ExitStack()
    try:
        held.enter_context(cells.hugetlb())
    except cells.CellError as error:
        raise BenchError(str(error)) from None
    make_parents()
    try:
        yield
    finally:
        remove_cgroups()  # before the hierarchy goes
        held.close()


def make_mounts(path: Path, count: int) -> None:
    """Make ``count`` further mounts in this mount namespace, below ``path``, which takes them away again."""
    path.mkdir()
    _mount(b"mounts", path, b"tmpfs", 0, b"mode=755")
    for number in range(count):
        (path / str(number)).mkdir()
        _mount(str(path).encode(), path / str(number), b"", MS_BIND, b"")


@contextlib.contextmanager
def mounts(path: Path, count: int) -> Iterator[None]:
    """``count`` further mounts in this mount namespace, below ``path``."""
    make_mounts(path, count)
    try:
        yield
    finally:
        _unmount(path)
        path.rmdir()


def own_namespace() -> int:
    """A descriptor of this process's mount namespace, which stays as long as that is open."""
    return os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


def enter_new_namespace() -> None:
    if _LIBC.unshare(CLONE_NEWNS):
        raise BenchError(f"unshare: {os.strerror(ctypes.get_errno())}")


def enter_namespace(descriptor: int) -> None:
    if _LIBC.setns(descriptor, CLONE_NEWNS):
        raise BenchError(f"setns: {os.strerror(ctypes.get_errno())}")


_LIBC = ctypes.CDLL(None, use_errno=True)


def _mount(source: bytes, target: Path, kind: bytes, flags: int, data: bytes) -> None:
    if _LIBC.mount(source, os.fsencode(target), kind, ctypes.c_ulong(flags), data):
        raise BenchError(f"mount {target}: {os.strerror(ctypes.get_errno())}")


def _unmount(path: Path) -> None:
    if _LIBC.umount2(os.fsencode(path), MNT_DETACH):
        raise BenchError(f"unmount {path}: {os.strerror(ctypes.get_errno())}")
