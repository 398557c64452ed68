"""Engines for real, as root, each in a cell (cell.py) below the cgroup /ocirt-test-engines, with the ocirt that hack/install makes."""

import os
import subprocess
from pathlib import Path

import pytest

from conformance import cells
from tests.engines import images
from tests.engines.cell import PARENT, Cell, until

TREE = Path(__file__).resolve().parents[2]
KEPT = TREE / "build/engines"
"""What is made once for many runs: the installed ocirt, and crictl (hack/test builds it)."""


def build_id(executable):
    """The build id that an executable tells, None if there is none."""
    if not executable.exists():
        return None
    done = subprocess.run([executable, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, env={})
    return next((line for line in done.stdout.splitlines() if line.startswith("commit: ")), None)


@pytest.fixture(scope="session", autouse=True)
def installed():
    """/opt/ocirt and /usr/local/bin/ocirt as hack/install makes them, in the tests' mount namespace; made anew only if the tree's
    build is another one."""
    if os.geteuid() != 0:
        pytest.exit("tests/engines runs containers: it needs root", 1)
    if os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{os.getppid()}/ns/mnt"):
        pytest.exit("tests/engines mounts things: run it by hack/test, in a mount namespace of its own", 1)
    cells.remove(PARENT)
    for place in ("/opt", "/usr/local/bin"):
        (KEPT / place.strip("/")).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", KEPT / place.strip("/"), place], check=True, timeout=20)
    if build_id(Path("/opt/ocirt/bin/ocirt")) != build_id(TREE / "build/bin/ocirt"):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        done = subprocess.run([TREE / "hack/install"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done
    yield
    for place in ("/opt", "/usr/local/bin"):
        subprocess.run(["umount", place], check=True, timeout=20)
    cells.remove(PARENT)


@pytest.fixture(scope="session")
def runtime():
    """The runtime that engines are set up with: ocirt. OCIRT_TEST_ENGINES_RUNTIME=runc shows what of the tests runc passes."""
    return os.environ.get("OCIRT_TEST_ENGINES_RUNTIME", "ocirt")


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """A folder with the archives of the images."""
    folder = tmp_path_factory.mktemp("images")
    images.make(folder)
    return folder


@pytest.fixture(scope="module")
def cell(request, installed):
    """The cell of a test module."""
    with Cell(request.module.__name__.rpartition(".")[2].removeprefix("test_")) as cell:
        yield cell


@pytest.fixture
def nothing_left():
    """``nothing_left(cell, before)``: wait until the cell holds nothing that it did not hold ``before``, or fail."""
    def check(cell, before):
        def rest():
            after = cell.left()
            return {key: extra for key in after if (extra := [each for each in after[key] if each not in before[key]])}
        try:
            until(lambda: not rest(), "nothing left behind", 10)
        except AssertionError:
            assert rest() == {}
    return check
