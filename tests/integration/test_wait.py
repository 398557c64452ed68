"""`ocirt wait`: the exit status of a container that runs detached, for scripts."""

import ctypes
import errno
import os
import platform
import signal
import subprocess
import time

import pytest

from ocirt.cli import wait
from ocirt.pidfd import PIDFD_GET_INFO, exit_status
from tests.integration.filters import WHOLE, refusal
from tests.integration.harness import LIMIT

TELLS = tuple(map(int, platform.release().split(".")[:2])) >= (6, 15)
"""Whether the kernel tells the status of a process that others have reaped."""


PR_SET_CHILD_SUBREAPER = 36


def as_on_an_older_kernel():
    """Something to be called in a child: from then on ioctl(2) does not know PIDFD_GET_INFO, as before Linux 6.13."""
    code = refusal("ioctl", errno.ENOTTY, (1, WHOLE, PIDFD_GET_INFO))
    return lambda: exec(code, {})


@pytest.fixture
def subreaper():
    """This process gets the containers' first processes as children, so that it decides when one is reaped."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0)


def waiting(ocirt, name, before=None):
    """A wait that is at work: it polls."""
    child = subprocess.Popen(
        ocirt.command("wait", name),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
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
    """255, as of exec: 1 may be the status of the program."""
    assert "container does not exist: c1" in ocirt.fails("wait", "c1", status=255)
    bundle.args("true").save()
    ocirt.ok("run", "--detach", "--bundle", bundle, "c1")
    ocirt.wait_status("c1", "stopped")
    assert "container not running: c1 is stopped" in ocirt.fails("wait", "c1", status=255)


def test_both_ways_to_know(tmp_path):
    """A process that has ended and is not reaped stands in /proc; one that is reaped its pidfd knows."""
    child = subprocess.Popen(["sh", "-c", "exit 9"], stdin=subprocess.DEVNULL)
    pidfd = os.pidfd_open(child.pid)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    assert wait._of_a_zombie(child.pid, pidfd) == 9 << 8 and exit_status(pidfd) is None
    child.wait(LIMIT)
    assert wait._of_a_zombie(child.pid, pidfd) is None
    assert exit_status(pidfd) == (9 << 8 if TELLS else None)
    os.close(pidfd)


@pytest.mark.parametrize("reaped", [False, True])
def test_a_kernel_that_does_not_tell(ocirt, bundle, subreaper, reaped):
    """Before Linux 6.15: of a process that its parent has not reaped yet the status is known all the same, of another one a line says
    that it is not, and why, with the status 255."""
    bundle.shell("exit 7").save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    pid = ocirt.state("c1")["pid"]
    child = waiting(ocirt, "c1", as_on_an_older_kernel())
    if reaped:  # before it can look
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    ocirt.ok("start", "c1")
    os.waitid(os.P_PID, pid, os.WEXITED | (0 if reaped else os.WNOWAIT))
    child.send_signal(signal.SIGCONT)
    out, err = child.communicate(timeout=LIMIT)
    if reaped:
        assert child.returncode == 255 and len(err.splitlines()) == 1
        assert "c1 has stopped, but its exit status is not known: its parent has collected it" in err and "6.15" in err
    else:
        assert (child.returncode, out, err) == (7, "", "")
        os.waitid(os.P_PID, pid, os.WEXITED)
