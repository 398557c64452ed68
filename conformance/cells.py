"""Cells: each program runs in cgroups, a cgroup namespace and a mount namespace of its own.

The programs name their cgroups themselves (``/cgrouptest`` and others, under what they take for the root), so the root
they see is ``/ocirt-test-conformance/NAME``; cell.sh makes it so. Nothing ever stands in a root cgroup of the machine.
Two kinds of hosts will do: ``v1``, with a hierarchy for each controller and perhaps a unified one without, and ``v2``, with
the unified one alone. There a cell hands on the controllers that the root cgroup hands on.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

TOP = Path("/sys/fs/cgroup")
PARENT = "/ocirt-test-conformance"
SCRIPT = Path(__file__).with_name("cell.sh")
INHERITED = ("cpuset.cpus", "cpuset.mems")
HUGETLB, UNIFIED = TOP / "hugetlb", TOP / "unified"
SLOWNESS = int(os.environ.get("OCIRT_TEST_SLOWNESS", "1"))
"""A factor for all time limits: an emulated machine is slow."""
LIMIT = 10 * SLOWNESS
"""Seconds to wait for the kernel to let go of something, or for mount(8)."""


class CellError(Exception):
    """This machine has not what a cell needs; one line."""


def kind() -> str:
    """``"v2"`` on a host with cgroup v2 alone, else ``"v1"``."""
    return "v2" if (TOP / "cgroup.controllers").exists() else "v1"


def hierarchies() -> list[Path]:
    """Where cgroup hierarchies are mounted: v1, and the unified one of a hybrid layout; or v2 alone."""
    if kind() == "v2":
        return [TOP]
    return sorted(path for path in TOP.iterdir() if is_mounted(path) and (path / "cgroup.procs").exists())


def is_mounted(path: Path) -> bool:
    """Is a file system mounted at ``path`` beneath TOP? A plain directory, which some program may have left there, is no
    hierarchy, whatever files are in it."""
    return not path.is_symlink() and path.stat().st_dev != TOP.stat().st_dev


def controllers() -> list[str]:
    """Names of the controllers that a cell has; of v1 those of the hierarchies."""
    if kind() == "v2":
        return (TOP / "cgroup.subtree_control").read_text().split()
    return [path.name for path in hierarchies() if (path / "tasks").exists()]


def check() -> None:
    """:raises CellError: where cells cannot be made, or where the programs would look at no cgroup at all."""
    if os.geteuid() != 0:
        raise CellError("needs root: it runs containers")
    if kind() == "v1" and not any((path / "tasks").exists() for path in hierarchies()):
        raise CellError(f"needs at {TOP} cgroup v2, or beneath it hierarchies of cgroup v1 with controllers")


def make(name: str, parent: str = PARENT) -> str:
    """Make the cgroup of the cell ``name`` in each hierarchy. Returns its path beneath each hierarchy's root.

    :param parent: the cgroup above, made where it is missing.
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
    """What makes the v2 cgroup ``folder`` hand on every controller that it has."""
    return " ".join(f"+{name}" for name in (folder / "cgroup.controllers").read_text().split())


def remove(path: str = PARENT) -> None:
    """Kill, by pidfd, what is in the cgroup ``path`` of any hierarchy or below, and remove those cgroups.

    :raises CellError: a process does not die, or a cgroup stays.
    """
    # What is frozen does not die, wherever it is killed.
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
            # Its processes are still dying; of a v1 cgroup nobody can be told when it is empty.
            if time.monotonic() > end:
                raise CellError(f"cannot remove {folder}: {error.strerror}") from None
        time.sleep(0.005)


def _kill(pid: int, folder: Path) -> None:
    """SIGKILL ``pid`` if, held by a pidfd, it is still in the cgroup ``folder``."""
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
    """The hugetlb controller as a v1 hierarchy, in this process's mount namespace. While it lasts it is active for the
    whole machine, so it lasts no longer than the programs that need it. Nothing is done where the machine has it."""
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
    """Controllers that somebody has enabled in the unified hierarchy."""
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
    """Take down the hierarchy that this or a killed run has left, until the kernel has forgotten it: it keeps one whose
    last cgroup was still going away when it was unmounted."""
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
            raise CellError("the hugetlb hierarchy does not go away: somebody else has it mounted")
        time.sleep(0.3)  # it goes away behind our back
        if not _is_active():
            break
        _mount()
    HUGETLB.rmdir()
