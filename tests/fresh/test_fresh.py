"""The first hour of somebody who has just cloned the tree, on a bare Debian: hack/fresh, and how it ends when it is ended."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conformance import cells

TREE = Path(__file__).parents[2]
OURS = os.environ.get("OCIRT_TEST_PARENT", "/ocirt-test")
LIMIT = 3000 * cells.SLOWNESS


def left(parent=OURS):
    """Cgroups of runs with this OCIRT_TEST_PARENT, and the folders of their roots."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "ocirt-fresh")
    folders = [
        *(Path(f"{top}{parent}-fresh") for top in cells.hierarchies()),
        cache / f"run{parent.replace('/', '.')}-fresh",
    ]
    return [str(path) for path in folders if path.exists()]


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_the_first_hour(suite):
    done = subprocess.run(
        [TREE / "hack/fresh", suite], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0 and re.fullmatch(r"[1-9]\d* passed, 0 failed", done.stdout.splitlines()[-1]), (
        done.stdout + done.stderr
    )
    assert left() == []


def test_a_command_and_its_status():
    """The clone is at the last commit, in a folder closed to others; nothing of the environment comes along but how to reach registries."""
    script = "grep SigIgn /proc/self/status; git --version 2>/dev/null; stat -c %a /root; stat -f -c %T /tmp; pwd; echo $MARK; ls -d build 2>/dev/null; exit 41"
    done = subprocess.run(
        [TREE / "hack/fresh", "--", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=os.environ | {"MARK": "x"},
    )
    assert (done.returncode, done.stdout) == (41, "SigIgn:\t0000000000000000\n700\ntmpfs\n/root/ocirt\n\n"), done
    assert left() == []


def begun(parent=OURS):
    """A run that has started a process, and waits."""
    child = subprocess.Popen(
        [TREE / "hack/fresh", "--", "sh", "-c", "sleep 2987 & echo ready; wait"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OCIRT_TEST_PARENT": parent},
    )
    assert child.stdout.readline() == "ready\n"
    assert processes(parent)
    return child


def end(child, number, parent=OURS):
    """Send this signal to the run. Then the script ends, and its processes."""
    child.send_signal(number)
    assert child.wait(60 * cells.SLOWNESS) == (-number if number == signal.SIGKILL else 128 + number)
    child.stdout.close()
    until = time.monotonic() + 30
    while processes(parent):
        assert time.monotonic() < until
        time.sleep(0.05)


def run_true():
    subprocess.run([TREE / "hack/fresh", "--", "true"], stdin=subprocess.DEVNULL, timeout=LIMIT, check=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_it(number):
    """Its processes end with it. Only SIGKILL leaves folders and cgroups, until the next run."""
    end(begun(), number)
    if number == signal.SIGKILL:
        run_true()
    assert left() == []


def test_a_run_removes_what_killed_runs_left():
    """With whatever parent cgroup they ran. It leaves a run alone that has not ended."""
    killed, living = f"{OURS}-killed", f"{OURS}-living"
    other = begun(living)
    try:
        end(begun(killed), signal.SIGKILL, killed)
        before = left(living), processes(living)
        assert left(killed)
        run_true()
        assert left(killed) == [] and (left(living), processes(living)) == before
    finally:
        end(other, signal.SIGTERM, living)
    assert left() == left(living) == []


def processes(parent):
    """Pids of processes in the cgroups of runs."""
    return [
        pid
        for top in cells.hierarchies()
        for path in Path(f"{top}{parent}-fresh").rglob("cgroup.procs")
        for pid in path.read_text().split()
    ]
