"""Cells: each program runs in cgroups, a cgroup namespace and a mount namespace of its own.

The programs choose their cgroups themselves (``/cgrouptest`` and others, below what they see as the root). So cell.sh
makes ``/ocirt-test-conformance/NAME`` look like the root, and the programs never use a root cgroup of the machine. Two
kinds of hosts work: ``v1``, with a hierarchy for each controller and perhaps a unified one without controllers, and
``v2``, with only the unified one. There a cell enables the controllers that the root cgroup enables.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

TOP = Path("/sys/fs/cgroup")


def beneath(name: str) -> str:
    """The parent cgroup of the runs of a script. Runs with different OCIRT_TEST_PARENT work side by side, and each of
    them removes all that is in its own parent.
    """
    return os.environ.get("OCIRT_TEST_PARENT", "/ocirt-test") + f"-{name}"


PARENT = beneath("conformance")
SCRIPT = Path(__file__).with_name("cell.sh")
INHERITED = ("cpuset.cpus", "cpuset.mems")
HUGETLB, UNIFIED = TOP / "hugetlb", TOP / "unified"
SLOWNESS = int(os.environ.get("OCIRT_TEST_SLOWNESS", "1"))
"""A factor for all time limits, because an emulated machine is slow."""
LIMIT = 10 * SLOWNESS
"""The most seconds to wait for the kernel to release something, or for mount(8)."""


class CellError(Exception):
    """This machine lacks something that a cell needs; one line."""


def kind() -> str:
    """``"v2"`` on a host with only cgroup v2, otherwise ``"v1"``."""
    return "v2" if (TOP / "cgroup.controllers").exists() else "v1"


def hierarchies() -> list[Path]:
    """The mount points of cgroup hierarchies: v1, and the unified one of a hybrid layout; or v2 alone."""
    if kind() == "v2":
        return [TOP]
    return sorted(path for path in TOP.iterdir() if is_mounted(path) and (path / "cgroup.procs").exists())


def is_mounted(path: Path) -> bool:
    """Is a file system mounted at ``path`` below TOP? A plain directory, which some program may have left, is no
    hierarchy, whatever files it has.
    """
    return not path.is_symlink() and path.stat().st_dev != TOP.stat().st_dev


def controllers() -> list[str]:
    """The controllers of a cell; on v1 the names of the hierarchies."""
    if kind() == "v2":
        return (TOP / "cgroup.subtree_control").read_text().split()
    return [path.name for path in hierarchies() if (path / "tasks").exists()]


def check() -> None:
    """:raises CellError: cells cannot be made, or the programs would see no cgroup at all."""
    if os.geteuid() != 0:
        raise CellError("needs root: it runs containers")
    if kind() == "v1" and not any((path / "tasks").exists() for path in hierarchies()):
        raise CellError(f"needs at {TOP} cgroup v2, or beneath it hierarchies of cgroup v1 with controllers")


def make(name: str, parent: str = PARENT) -> str:
    """Make the cgroup of the cell ``name`` in each hierarchy.

    :param parent: the parent cgroup, which is made if it is missing.
    :returns: the path below each hierarchy's root.
    """
    path = f"{parent}/{name}"
    if kind() == "v2":
        above = TOP / parent.strip("/")
        above.mkdir(exist_ok=True)
        (above / "cgroup.subtree_control").write_text(_all_of(above))
        (above / name).mkdir(exist_ok=True)
        return path
    for top in hierarchies():
        for folder in (Path(f"{top}{parent}"), Path(f"{top}{path}")):
            folder.mkdir(exist_ok=True)
            for file in INHERITED:
                if (folder / file).exists():
                    (folder / file).write_text((folder.parent / file).read_text())
    return path


def _all_of(folder: Path) -> str:
    """The text that makes the v2 cgroup ``folder`` enable every controller that it has."""
    return " ".join(f"+{name}" for name in (folder / "cgroup.controllers").read_text().split())


def remove(path: str = PARENT) -> None:
    """Kill, by pidfd, all processes in the cgroup ``path`` and below it in any hierarchy, and remove those cgroups.

    :raises CellError: a process does not die, or a cgroup cannot be removed.
    """
    # A frozen process does not die, so thaw first.
    for file in (TOP / "freezer" / path.strip("/")).rglob("freezer.state"):
        file.write_text("THAWED")
    for top in hierarchies():
        for folder, _, _ in os.walk(f"{top}{path}", topdown=False):
            _remove(Path(folder))


def _remove(folder: Path) -> None:
    end = time.monotonic() + LIMIT
    while True:
        for pid in (folder / "cgroup.procs").read_text().split():
            _kill(int(pid), folder)
        try:
            return folder.rmdir()
        except OSError as error:
            # Processes are still dying. cgroup v1 does not notify when a cgroup is empty.
            if time.monotonic() > end:
                raise CellError(f"cannot remove {folder}: {error.strerror}") from None
        time.sleep(0.005)


def _kill(pid: int, folder: Path) -> None:
    """SIGKILL ``pid`` if the process, held by a pidfd, is still in the cgroup ``folder``."""
    try:
        pidfd = os.pidfd_open(pid)
    except (ProcessLookupError, OSError):
        return
    try:
        if str(pid) in (folder / "cgroup.procs").read_text().split():
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


@contextlib.contextmanager
def hugetlb() -> Iterator[None]:
    """The hugetlb controller as a v1 hierarchy, in this process's mount namespace. Meanwhile it is active for the whole
    machine, so the block should last only as long as the programs that need it. Does nothing if the machine has that
    hierarchy.
    """
    if (HUGETLB / "tasks").exists():
        yield
        return
    if "hugetlb" in _enabled_in_v2():
        raise CellError(f"hugetlb cannot be mounted as a v1 hierarchy: {UNIFIED}/cgroup.subtree_control has it")
    HUGETLB.mkdir(exist_ok=True)
    try:
        _mount()
        yield
    finally:
        release_hugetlb()


def _enabled_in_v2() -> list[str]:
    """The controllers that are enabled in the unified hierarchy."""
    file = UNIFIED / "cgroup.subtree_control"
    return file.read_text().split() if file.exists() else []


def _mount() -> None:
    _call("mount", "-t", "cgroup", "-o", "hugetlb", "hugetlb", str(HUGETLB))


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LIMIT)
    if done.returncode != 0:
        raise CellError(f"{' '.join(command)}: {done.stderr.strip()}")


def _is_active() -> bool:
    return ":hugetlb:" in Path("/proc/self/cgroup").read_text()


def release_hugetlb() -> None:
    """Unmount the hierarchy that this run or a killed one has left, until the kernel has removed it: the kernel keeps a
    hierarchy whose last cgroup was still being removed during the unmount.
    """
    if kind() == "v2" or not HUGETLB.is_dir():
        return
    end = time.monotonic() + 3 * LIMIT
    while True:
        if (HUGETLB / "tasks").exists():
            remove()
            _call("umount", str(HUGETLB))
        if not _is_active():
            break
        if time.monotonic() > end:
            raise CellError("the kernel keeps the hugetlb hierarchy: another mount namespace has it mounted")
        time.sleep(0.3)  # the kernel removes it asynchronously
        if not _is_active():
            break
        _mount()
    HUGETLB.rmdir()
