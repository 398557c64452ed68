"""An upgrade while containers live: what another build has created or started, this one starts, enters, pauses, updates, kills
and deletes, and the other way round."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.fault.older import older
from tests.integration.harness import LIMIT, Runtime, cgroup_file, enough_output, left_cgroups


@pytest.fixture(scope="session")
def other_build():
    return older()


@pytest.fixture(params=["upgrade", "downgrade"])
def builds(request, ocirt, other_build):
    """The build that makes containers, and the one that has them then."""
    other = Runtime(other_build, ocirt.root)
    assert other.ok("--version").out != ocirt.ok("--version").out
    return (other, ocirt) if request.param == "upgrade" else (ocirt, other)


def writable(bundle, script):
    bundle.config["root"]["readonly"] = False
    return bundle.shell(script).save()


def test_a_whole_life(builds, bundle, tmp_path):
    """Created by one, all else by the other; poststop hooks too."""
    was, now = builds
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"cat >{tmp_path}/poststop"]}
    bundle.config["hooks"] = {"poststart": [{"path": "/bin/true"}], "poststop": [hook]}
    writable(bundle, "trap 'echo term >/tmp/got' TERM; echo ready >/tmp/ready; while :; do sleep 0.01; done")
    was.ok("create", "--bundle", bundle, "c1")
    pid = now.state("c1")["pid"]
    assert now.status("c1") == "created" and [
        each["id"] for each in json.loads(now.ok("list", "--format", "json").out)
    ] == ["c1"]
    assert "not stopped" in now.fails("delete", "c1")
    assert now.ok("exec", "c1", "echo", "early").out == "early\n"
    now.ok("start", "c1")
    enough_output(bundle.rootfs / "tmp/ready")
    assert now.state("c1")["pid"] == pid and now.status("c1") == was.status("c1") == "running"
    assert "already running" in now.fails("start", "c1")
    assert now.ok("exec", "c1", "cat", "/tmp/ready").out == "ready\n"
    assert str(pid) in now.ok("ps", "c1").out
    now.ok("kill", "c1", "TERM")
    assert enough_output(bundle.rootfs / "tmp/got") == "term\n"
    now.ok("pause", "c1")
    assert now.status("c1") == was.status("c1") == "paused" and "paused container" in now("exec", "c1", "true").err
    now.ok("resume", "c1")
    now.ok("update", "--pids-limit", "77", "c1")
    assert (
        cgroup_file(bundle, "pids", "pids.max") == "77"
        and json.loads(now.ok("events", "--stats", "c1").out)["data"]["pids"]["limit"] == 77
    )
    now.ok("kill", "c1", "KILL")
    now.wait_status("c1", "stopped")
    now.ok("delete", "c1")
    assert json.loads((tmp_path / "poststop").read_text())["status"] == "stopped"
    assert now.ids() == [] and left_cgroups() == []


def test_started_by_one(builds, bundle):
    was, now = builds
    was.ok("run", "--detach", "--bundle", writable(bundle, "sleep 60 & sleep 60"), "c1")
    assert now.ok("exec", "c1", "echo", "x").out == "x\n"
    was.ok("update", "--pids-limit", "50", "c1")
    now.ok("update", "--memory", "64m", "c1")
    assert cgroup_file(bundle, "pids", "pids.max") == "50"
    was.ok("pause", "c1")
    now.ok("resume", "c1")
    now.ok("kill", "--all", "c1", "KILL")
    now.wait_status("c1", "stopped")
    now.ok("delete", "c1")
    assert now.ids() == [] and left_cgroups() == []


@pytest.mark.parametrize("state", ["created", "running", "paused", "stopped"])
def test_deleted_by_force(builds, bundle, state):
    was, now = builds
    was.ok("create", "--bundle", bundle, "c1")
    if state != "created":
        was.ok("start", "c1")
    if state == "paused":
        was.ok("pause", "c1")
    if state == "stopped":
        was.ok("kill", "c1", "KILL")
        was.wait_status("c1", "stopped")
    assert now.status("c1") == state
    now.ok("delete", "--force", "c1")
    assert now.ids() == [] and left_cgroups() == []
    now.ok("create", "--bundle", bundle, "c1")


def test_a_foreground_run(builds, bundle):
    """The older build is there still, and takes its container away when the other has killed it."""
    was, now = builds
    run = subprocess.Popen(
        was.command("run", "--bundle", writable(bundle, "echo ready >/tmp/ready; sleep 60"), "c1"),
        stdin=subprocess.DEVNULL,
    )
    try:
        enough_output(bundle.rootfs / "tmp/ready")
        now.ok("kill", "c1", "KILL")
        assert run.wait(LIMIT) == 137
    finally:
        run.kill()
        run.wait()
    assert now.ids() == [] and left_cgroups() == []


def test_a_start_that_fails(builds, bundle):
    """What the waiting init says is in the numbers of its own build: one clear line all the same."""
    was, now = builds
    writable(bundle, "true").config["process"]["args"] = ["/bin/program"]
    (bundle.rootfs / "bin/program").write_text("#!/nonexistent\n")
    (bundle.rootfs / "bin/program").chmod(0o755)
    was.ok("create", "--bundle", bundle.save(), "c1")
    message = now.fails("start", "c1")
    assert "exec /bin/program: no such file or directory" in message
    now.ok("delete", "c1")
    assert now.ids() == [] and left_cgroups() == []


def test_a_hook_inside_that_fails(builds, bundle, tmp_path):
    """runtime.md, Lifecycle 7: the container is stopped, and goes on to its poststop hooks, whoever's the numbers are."""
    was, now = builds
    bundle.config["hooks"] = {
        "prestart": [{"path": "/bin/true"}],
        "createContainer": [{"path": "/bin/true"}],
        "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo why; exit 3"]}],
        "poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat >{tmp_path}/poststop"]}],
    }
    was.ok("create", "--bundle", bundle.save(), "c1")
    message = now.fails("start", "c1")
    assert "hooks.startContainer[0]: run hook /bin/sh: exit status 3: why" in message, message
    assert now.ids() == [] and left_cgroups() == []
    assert json.loads((tmp_path / "poststop").read_text())["status"] == "stopped"


def test_a_create_that_was_cut_off(builds, bundle, tmp_path):
    """Killed at work; what its journal says the other build undoes."""
    was, now = builds
    writable(bundle, "true").config["hooks"] = {"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", "sleep 60"]}]}
    run = subprocess.Popen(was.command("create", "--bundle", bundle.save(), "c1"), stdin=subprocess.DEVNULL)
    end = time.monotonic() + LIMIT
    while not (Path(now.root) / "c1/journal").exists() or not left_cgroups():
        assert time.monotonic() < end
        time.sleep(0.005)
    time.sleep(0.05)
    run.kill()
    run.wait(LIMIT)
    now.ok("delete", "--force", "c1")
    assert now.ids() == [] and left_cgroups() == []
