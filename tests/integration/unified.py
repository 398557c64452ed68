"""What the tests on cgroup v2 share.

If the host has cgroup v2 in addition to v1, the tests see only v2, mounted over the v1 hierarchies in their mount
namespace. It then has no controllers except hugetlb, and tests of other controllers are skipped.
"""

import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.harness import CGROUPS, LIMIT, OWN, V2

ON_V2 = V2
HUGE = {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]}


@pytest.fixture(scope="module", autouse=True)
def unified():
    """Cgroup v2 at /sys/fs/cgroup."""
    beside = CGROUPS / "unified"
    if ON_V2:
        yield
        return
    if not (beside / "cgroup.controllers").exists():
        pytest.skip("this host has no cgroup v2")
    before = (beside / "cgroup.subtree_control").read_text().split()
    subprocess.run(["mount", "--bind", beside, CGROUPS], check=True, timeout=10)
    yield
    subprocess.run(["umount", CGROUPS], check=True, timeout=10)
    # A controller that stays enabled could not be mounted as v1 as long as any cgroup exists here.
    for controller in (beside / "cgroup.subtree_control").read_text().split():
        if controller not in before:
            (beside / "cgroup.subtree_control").write_text(f"-{controller}")


def folder(path=OWN):
    return CGROUPS / path.lstrip("/")


def read(file, path=OWN):
    return (folder(path) / file).read_text().strip()


def wait_for(condition, seconds=20):
    """Poll, because the kernel does not notify other processes of most of these conditions."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def membership(pid="self"):
    return next(
        line.split("::")[1] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line.startswith("0::")
    )


@pytest.fixture(autouse=True)
def emptied(ocirt):
    """After the test, remove the cgroups that it has made itself, once the containers are deleted."""
    MADE.clear()
    yield
    for name in ocirt.ids():
        ocirt("delete", "--force", name)
    for path in sorted(MADE, reverse=True):
        if path.exists():
            path.rmdir()


MADE = set()


def make(path):
    """Make the cgroup ``path`` and its parents."""
    for each in [folder(path), *folder(path).parents]:
        if each != CGROUPS and CGROUPS in each.parents and not each.exists():
            MADE.add(each)
    folder(path).mkdir(parents=True, exist_ok=True)
    return folder(path)


@contextmanager
def inside(path):
    """As long as the block lasts, this process is in the cgroup ``path``, which is made if necessary."""
    before = membership()
    make(path)
    (folder(path) / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (CGROUPS / before.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))


@contextmanager
def sleeper(path):
    """A process in the cgroup ``path``, which is made if necessary."""
    make(path)
    process = subprocess.Popen(["sleep", "300"])
    try:
        (folder(path) / "cgroup.procs").write_text(str(process.pid))
        yield process
    finally:
        process.kill()
        process.wait(10)


def left_running(path=OWN):
    """Does the cgroup still have processes? Systemd itself removes an empty scope."""
    try:
        events = read("cgroup.events", path)
    except FileNotFoundError:
        return False
    return events.splitlines()[0] == "populated 1"


def exec_into_the_second_container(ocirt, bundle):
    """Run two containers one after the other in an existing cgroup, and two processes at the same time in the
    second.
    """
    for name in ("c1", "c2"):
        ocirt.ok("create", "--bundle", bundle, name)
        ocirt.ok("start", name)
        if name == "c1":
            ocirt.ok("delete", "--force", name)
    journal = Path(ocirt.root, "c2", "journal")
    before = journal.read_bytes()
    both = [
        subprocess.Popen(
            ocirt.command("exec", "c2", "true"), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert [(each.communicate(timeout=LIMIT)[1], each.returncode) for each in both] == [("", 0), ("", 0)]
    assert ocirt.status("c2") == "running"
    assert journal.read_bytes() == before
    assert "not stopped: running" in ocirt.fails("delete", "c2")
