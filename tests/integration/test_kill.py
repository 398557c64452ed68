"""kill and delete --force end all processes of a container, or say within ten seconds which are left."""

import fcntl
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT, OWN, PARENT, V2, cgroup_file, enough_output, hierarchies

SECONDS = 10
"""What the runtime gives processes to end."""


def running(ocirt, bundle, script="sleep 600 & sleep 600 & echo ready > /tmp/ready; wait"):
    bundle.shell(script).config["root"]["readonly"] = False
    ocirt.ok("create", "--bundle", bundle.save(), "c1")
    ocirt.ok("start", "c1")
    enough_output(bundle.rootfs / "tmp/ready")


def frozen_parent(value):
    freezer = Path("/sys/fs/cgroup", *(() if V2 else ("freezer",)), PARENT[1:])
    (freezer / ("cgroup.freeze" if V2 else "freezer.state")).write_text(value)


def processes(bundle):
    return cgroup_file(bundle, "pids", "cgroup.procs").split()


@pytest.mark.cgroupfs
@pytest.mark.parametrize("own_pids", [True, False])
def test_pauses_at_the_same_time(ocirt, bundle, own_pids):
    if not own_pids:
        bundle.without_namespace("pid")
    for _ in range(8):
        running(ocirt, bundle)
        pausing = [
            subprocess.Popen(ocirt.command("pause", "c1"), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in range(2)
        ]
        ocirt.ok("kill", "--all", "c1", "KILL", timeout=SECONDS + LIMIT)
        assert processes(bundle) == []
        for process in pausing:
            process.wait(LIMIT)
        ocirt.ok("delete", "--force", "c1")
        (bundle.rootfs / "tmp/ready").unlink()


@pytest.mark.v1
@pytest.mark.parametrize("words", [("kill", "--all", "c1", "KILL"), ("delete", "--force", "c1")])
def test_a_child_cgroup_that_is_frozen(ocirt, bundle, words):
    """On cgroup v1 thawing the one above does not thaw it."""
    running(ocirt, bundle.without_namespace("pid"))
    for name in ("one", "one/two"):
        child = Path(f"/sys/fs/cgroup/freezer{OWN}/{name}")
        child.mkdir()
        (child / "cgroup.procs").write_text(processes(bundle)[len(name) // 4])
        (child / "freezer.state").write_text("FROZEN")
    ocirt.ok(*words, timeout=SECONDS)
    if words[0] == "kill":
        assert processes(bundle) == []


@pytest.mark.v1
@pytest.mark.cgroupfs
@pytest.mark.parametrize("words", [("kill", "--all", "c1", "KILL"), ("delete", "--force", "c1")])
def test_what_cannot_end_is_told(ocirt, bundle, words):
    """As in uninterruptible sleep, here by a frozen cgroup above, which is not the container's to thaw. The state is not locked
    while the runtime waits."""
    running(ocirt, bundle.without_namespace("pid"))
    pids = processes(bundle)
    frozen_parent("FROZEN")
    try:
        begin = time.monotonic()
        process = subprocess.Popen(ocirt.command(*words), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(SECONDS / 2)
        assert process.poll() is None
        folder = os.open(f"{ocirt.root}/c1", os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(folder)
        _, message = process.communicate(timeout=LIMIT)
        assert process.returncode == 1 and SECONDS <= time.monotonic() - begin < SECONDS + LIMIT / 6, message
        assert f"{SECONDS} s since SIGKILL" in message and "uninterruptible sleep" in message
        told = set(re.findall(r"(\d+) \(in uninterruptible", message))
        assert told <= set(pids) and (told == set(pids) or words[0] == "delete"), message
    finally:
        frozen_parent("THAWED")
    ocirt.ok("delete", "--force", "c1")


@pytest.mark.cgroups
def test_many_processes(ocirt, bundle):
    """More than the runtime holds at once."""
    bundle.config["linux"]["resources"]["pids"] = {"limit": 1000}
    running(
        ocirt,
        bundle.without_namespace("pid"),
        "i=0; while [ $i -lt 300 ]; do sleep 600 & i=$((i+1)); done; echo ready > /tmp/ready; wait",
    )
    assert len(processes(bundle)) == 301
    ocirt.ok("kill", "--all", "c1", "KILL")
    assert processes(bundle) == []


@pytest.mark.cgroups
def test_kill_reaches_all_that_share_a_pid_namespace(ocirt, bundle):
    """With SIGKILL alone, as with runc: nothing else would end them."""
    running(ocirt, bundle.without_namespace("pid"))
    ocirt.ok("kill", "c1", "URG")
    assert len(processes(bundle)) == 3
    ocirt.ok("kill", "c1", "KILL")
    assert processes(bundle) == [] and ocirt.status("c1") == "stopped"
    assert "container not running" in ocirt.fails("kill", "c1", "KILL")


@pytest.mark.cgroups
def test_kill_reaches_those_whose_first_process_has_gone(ocirt, bundle):
    running(ocirt, bundle.without_namespace("pid"))
    end_first(ocirt)
    assert len(processes(bundle)) == 2
    assert "container not running" in ocirt.fails("kill", "c1", "TERM")
    ocirt.ok("kill", "c1", "KILL")
    assert processes(bundle) == []


def end_first(ocirt):
    pidfd = os.pidfd_open(ocirt.state("c1")["pid"])
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    ocirt.wait_status("c1", "stopped")


def test_signal_0_asks_whether_it_lives(ocirt, bundle):
    running(ocirt, bundle)
    ocirt.ok("kill", "c1", "0")
    ocirt.ok("kill", "--all", "c1", "0")
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    assert "container not running" in ocirt.fails("kill", "c1", "0")
    assert "container not running" in ocirt.fails("kill", "--all", "c1", "0")
    assert "container does not exist" in ocirt.fails("kill", "c2", "0")
    for name in ("NOSUCH", "65", "SIG", ""):
        assert "unknown signal" in ocirt.fails("kill", "c1", name)


@pytest.mark.v1
def test_cgroups_nested_deeper_than_a_walk_goes(ocirt, bundle):
    """kill says that it has not been everywhere; delete goes down any depth."""
    running(ocirt, bundle.without_namespace("pid"))
    (victim, *_) = processes(bundle)[1:]
    at = os.open(f"/sys/fs/cgroup/freezer{OWN}", os.O_RDONLY)
    for _ in range(200):
        os.mkdir("x", dir_fd=at)
        below = os.open("x", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    procs = os.open("cgroup.procs", os.O_WRONLY, dir_fd=at)
    os.write(procs, victim.encode())
    os.close(procs), os.close(at)
    assert "nested more than 128 deep" in ocirt.fails("kill", "--all", "c1", "KILL")
    ocirt.ok("delete", "--force", "c1")
    assert not any((top / OWN[1:]).exists() for top in hierarchies())


@pytest.mark.parametrize("error", ["ESRCH", "EINVAL", "ENOENT"])
def test_a_pid_whose_process_is_being_reaped(ocirt, bundle, tmp_path, error):
    """pidfd_open(2) says EINVAL for it, and ENOENT since Linux 6.15: the container is stopped, and delete removes it."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    injected = ["strace", "-f", "-o", tmp_path / "trace", "-e", f"inject=pidfd_open:error={error}"]

    def ended(*words):
        return subprocess.run(
            [*injected, *ocirt.command(*words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT
        )

    state, listed, deleted = ended("state", "c1"), ended("list"), ended("delete", "c1")
    assert '"stopped"' in state.stdout and "stopped" in listed.stdout, (state, listed)
    assert deleted.returncode == 0 and ocirt.ids() == [], deleted
    assert f"{error} (" in (tmp_path / "trace").read_text()
