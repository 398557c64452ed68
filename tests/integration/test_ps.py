"""ps: pids of the container's cgroups, and what ps(1) says of them."""

import json
import os
import subprocess

import pytest

from tests.integration.harness import cgroup_file, enough_output

pytestmark = pytest.mark.v1


@pytest.fixture
def three(ocirt, bundle):
    bundle.shell("sleep 61 & sleep 62 & echo ready > /tmp/ready; wait").config["root"]["readonly"] = False
    ocirt.ok("create", "--bundle", bundle.save(), "c1")
    ocirt.ok("start", "c1")
    enough_output(bundle.rootfs / "tmp/ready")
    return sorted(map(int, cgroup_file(bundle, "pids", "cgroup.procs").split()))


@pytest.mark.parametrize("words", [("--format", "json", "c1"), ("-f", "json", "c1"), ("-format=json", "c1")])
def test_json(ocirt, three, words):
    out = ocirt.ok("ps", *words).out
    assert sorted(json.loads(out)) == three and len(three) == 3 and out.endswith("]\n") and " " not in out


def test_table(ocirt, three):
    header, *lines = ocirt.ok("ps", "c1").out.splitlines()
    assert header.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert sorted(int(line.split()[1]) for line in lines) == three


def test_options_of_ps(ocirt, three):
    """All after the id is ps(1)'s, flags that are ours too."""
    header, *lines = ocirt.ok("ps", "c1", "-e", "-o", "comm,pid").out.splitlines()
    assert header.split() == ["COMMAND", "PID"] and sorted(int(line.split()[1]) for line in lines) == three
    assert "column PID" in ocirt.fails("ps", "c1", "-e", "-o", "comm")
    assert "exit status 1" in ocirt.fails("ps", "c1", "--nonsense")
    assert "exit status 1" in ocirt.fails("ps", "c1", "--format", "json")


def test_processes_of_child_cgroups(ocirt, bundle, three):
    """Who has moved into a cgroup of its own is of the container still."""
    inner = f"/sys/fs/cgroup/pids{bundle.config['linux']['cgroupsPath']}/inner"
    os.mkdir(inner)
    with open(f"{inner}/cgroup.procs", "w") as file:
        file.write(str(three[-1]))
    assert sorted(json.loads(ocirt.ok("ps", "-f", "json", "c1").out)) == three


def test_as_runc_when_it_has_stopped(ocirt, three):
    """null, as Go writes a list that was never made, and a header alone."""
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    assert ocirt.ok("ps", "-f", "json", "c1").out == "null\n"
    assert len(ocirt.ok("ps", "c1").out.splitlines()) == 1


def test_errors(ocirt, bundle):
    assert "container does not exist" in ocirt.fails("ps", "c1")
    assert ocirt("ps").status == 1 and "minimum of 1 argument" in ocirt("ps").err
    assert "--format" in ocirt("ps", "--format", "xml", "c1").err
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] != "cgroup"]
    ocirt.ok("create", "--bundle", bundle.save(), "c1", options=("--cgroup-manager", "disabled"))
    assert "no cgroups of its own" in ocirt.fails("ps", "c1")


def test_ps_is_missing(ocirt, three):
    result = ocirt("ps", "c1", env={"PATH": "/nonexistent"})
    assert result.status == 1 and "ps: no such file or directory" in result.err
    assert subprocess.run(["ps"], capture_output=True, timeout=10).returncode == 0
