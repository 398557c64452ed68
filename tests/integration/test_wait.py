"""`ocirt wait`: the exit status of a container that runs detached, for scripts."""

import platform
import subprocess
import time

import pytest

from ocirt.cli import wait
from tests.integration.harness import LIMIT

TELLS = tuple(map(int, platform.release().split(".")[:2])) >= (6, 15)
"""Whether the kernel tells the status of a process that others have reaped."""


def waiting(ocirt, name):
    """A wait that is at work: it polls."""
    child = subprocess.Popen(
        ocirt.command("wait", name), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + LIMIT
    while "poll" not in open(f"/proc/{child.pid}/wchan").read():
        assert time.monotonic() < end and child.poll() is None, child.communicate()
        time.sleep(0.01)
    return child


@pytest.mark.parametrize(
    "script, expected",
    [("exit 7", 7), ("exit 0", 0), ("kill -TERM $$; sleep 60", 128 + 15), ("kill -KILL $$", 128 + 9)],
)
def test_the_status_of_a_detached_container(ocirt, bundle, script, expected):
    bundle.without_namespace("pid").shell(
        f"read line; {script}"
    ).save()  # pid 1 of a namespace hears no signal of its own
    ocirt.ok("create", "--bundle", bundle, "c1", stdin=subprocess.DEVNULL)
    child = waiting(ocirt, "c1")
    ocirt.ok("start", "c1")
    out, err = child.communicate(timeout=LIMIT)
    assert (out, err) == ("", "") and child.returncode == expected


def test_a_container_that_was_killed(ocirt, bundle):
    bundle.args("sleep", "60").save()
    ocirt.ok("run", "--detach", "--bundle", bundle, "c1")
    child = waiting(ocirt, "c1")
    ocirt.ok("kill", "c1", "KILL")
    assert child.wait(LIMIT) == 137


def test_what_cannot_be_waited_for(ocirt, bundle):
    assert "container does not exist: c1" in ocirt.fails("wait", "c1")
    bundle.args("true").save()
    ocirt.ok("run", "--detach", "--bundle", bundle, "c1")
    ocirt.wait_status("c1", "stopped")
    assert "container not running: c1 is stopped" in ocirt.fails("wait", "c1")


def test_both_ways_to_know(tmp_path):
    """A process that has ended and is not reaped stands in /proc; one that is reaped its pidfd knows."""
    import os

    child = subprocess.Popen(["sh", "-c", "exit 9"], stdin=subprocess.DEVNULL)
    pidfd = os.pidfd_open(child.pid)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    assert wait._of_a_zombie(child.pid, pidfd) == 9 << 8 and wait._of_a_pidfd(pidfd) is None
    child.wait(LIMIT)
    assert wait._of_a_zombie(child.pid, pidfd) is None
    assert wait._of_a_pidfd(pidfd) == (9 << 8 if TELLS else None)
    os.close(pidfd)
