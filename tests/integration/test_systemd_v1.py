"""Containers whose scopes systemd makes where its controllers are of cgroup v1 (hack/vm --v1, in hack/test --vm)."""

import json
import subprocess

import pytest

from tests.integration.harness import CGROUPS, LIMIT, hierarchies
from tests.integration.test_faults import fault, steps_of

pytestmark = pytest.mark.systemd_v1
SLICE, PATH = "ocirttest.slice", "/ocirttest.slice/test-c1.scope"
MANAGER = ("--cgroup-manager=systemd",)


@pytest.fixture(autouse=True)
def emptied(ocirt):
    """Nothing of a test's is left, with systemd or in any hierarchy."""
    yield
    for name in ocirt.ids():
        ocirt.ok("delete", "--force", name)
    left = systemctl("list-units", "--all", "--plain", "--no-legend", "test-*.scope")
    cgroups = [str(top) for top in hierarchies() if (top / PATH[1:]).exists()]
    systemctl("stop", SLICE)
    assert (left, cgroups) == ("", [])
    assert [str(top) for top in hierarchies() if (top / SLICE).exists()] == []


@pytest.fixture
def scope(bundle):
    bundle.config["linux"]["cgroupsPath"] = f"{SLICE}:test:c1"
    return bundle.args("sleep", "600").save()


def systemctl(*words):
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=LIMIT, check=True).stdout


def show(*names, unit="test-c1.scope"):
    return dict(
        line.split("=", 1) for line in systemctl("show", unit, *(f"--property={name}" for name in names)).splitlines()
    )


def running(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1", options=MANAGER)
    ocirt.ok("start", "c1")


def read(controller, file):
    return (CGROUPS / controller / PATH[1:] / file).read_text().strip()


def paths_of(pid):
    return {line.split(":", 2)[2] for line in open(f"/proc/{pid}/cgroup").read().splitlines()}


def test_life(ocirt, scope):
    """In every hierarchy at the same path; exec too; nothing is left."""
    running(ocirt, scope)
    assert show("Slice", "ControlGroup", "ActiveState", "Delegate") == {
        "Slice": SLICE,
        "ControlGroup": PATH,
        "ActiveState": "active",
        "Delegate": "yes",
    }
    pid = ocirt.state("c1")["pid"]
    assert paths_of(pid) == {PATH} and len(hierarchies()) > 8
    file = ocirt.root.parent / "pid"
    ocirt.ok("exec", "--detach", "--pid-file", file, "c1", "sleep", "100")
    assert paths_of(file.read_text()) == {PATH}
    assert sorted(json.loads(ocirt.ok("ps", "-f", "json", "c1").out)) == sorted([pid, int(file.read_text())])
    ocirt.ok("pause", "c1")
    assert ocirt.status("c1") == "paused" and read("freezer", "freezer.state") == "FROZEN"
    ocirt.ok("resume", "c1")
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    assert ocirt.ok("delete", "c1").err == ""
    assert "container does not exist" in ocirt.fails("delete", "c1")


def test_limits_and_an_update(ocirt, scope):
    """Read back from systemd and from the kernel; systemd, set to work anew, leaves them as they are."""
    scope.config["linux"]["resources"] |= {
        "memory": {"limit": 256 << 20, "reservation": 64 << 20, "swap": 384 << 20},
        "pids": {"limit": 33},
        "cpu": {"shares": 2048, "quota": 12345, "period": 100000, "cpus": "0", "mems": "0"},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}],
    }
    running(ocirt, scope.save())
    files = {
        ("memory", "memory.limit_in_bytes"): str(256 << 20),
        ("memory", "memory.memsw.limit_in_bytes"): str(384 << 20),
        ("memory", "memory.soft_limit_in_bytes"): str(64 << 20),
        ("pids", "pids.max"): "33",
        ("cpu", "cpu.shares"): "2048",
        ("cpu", "cpu.cfs_quota_us"): "12345",
        ("cpuset", "cpuset.cpus"): "0",
    }
    assert {key: read(*key) for key in files} == files
    told = {"MemoryLimit": str(256 << 20), "TasksMax": "33", "CPUShares": "2048", "CPUQuotaPerSecUSec": "130ms"}
    assert show(*told) == told
    ocirt.ok("update", "--memory", "128M", "--memory-swap", "200M", "--pids-limit", "22", "c1")
    files |= {
        ("memory", "memory.limit_in_bytes"): str(128 << 20),
        ("memory", "memory.memsw.limit_in_bytes"): str(200 << 20),
        ("pids", "pids.max"): "22",
    }
    told |= {"MemoryLimit": str(128 << 20), "TasksMax": "22"}
    assert {key: read(*key) for key in files} == files and show(*told) == told
    systemctl("daemon-reload")
    # Systemd's own memory is of whole percents, rounded up so that no container has less than it asked for.
    assert {key: read(*key) for key in files} == files | {("cpu", "cpu.cfs_quota_us"): "13000"}
    files["cpu", "cpu.cfs_quota_us"] = "13000"
    # All or nothing, with systemd too.
    assert "--cpuset-mems" in ocirt.fails("update", "--pids-limit", "9", "--memory", "64M", "--cpuset-mems", "63", "c1")
    assert {key: read(*key) for key in files} == files and show(*told) == told


def test_devices(ocirt, scope):
    scope.config["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    scope.config["linux"]["devices"] = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666}]
    scope.shell("(: <>/dev/kmsg) || echo refused; : </dev/null && echo open").save()
    assert ocirt.ok("run", "--bundle", scope, "c1", options=MANAGER).out.split() == ["refused", "open"]


@pytest.mark.parametrize("kind", ["time", "user"])
def test_with_other_processes_on_the_way(ocirt, scope, kind):
    if kind == "user":
        scope.namespace("user")
        for name in ("uidMappings", "gidMappings"):
            scope.config["linux"][name] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        for each in (scope.path, *scope.path.parents):
            each.chmod(each.stat().st_mode | 0o11)
    else:
        scope.namespace("time").config["linux"]["timeOffsets"] = {"boottime": {"secs": 100}}
    running(ocirt, scope.save())
    assert paths_of(ocirt.state("c1")["pid"]) == {PATH}


@pytest.mark.parametrize(
    "slice, reason",
    [
        (SLICE, "it was there before, and has processes in it"),
        ("ocirttest-a.slice", "start the systemd unit test-c1.scope: Unit test-c1.scope was already loaded"),
    ],
)
def test_a_name_that_is_taken(ocirt, scope, slice, reason):
    """Another's scope is neither joined nor stopped. The runtime finds its processes, or, in another slice, systemd knows its name."""
    process = subprocess.Popen(
        ["systemd-run", "--quiet", "--scope", "--unit=test-c1.scope", f"--slice={slice}", "sleep", "300"]
    )
    try:
        subprocess.run(
            ["timeout", str(LIMIT), "sh", "-c", "until systemctl -q is-active test-c1.scope; do sleep 0.1; done"],
            check=True,
        )
        message = ocirt.fails("create", "--bundle", scope, "c1", options=MANAGER)
        assert reason in message and ocirt.ids() == []
        assert process.poll() is None and show("ActiveState") == {"ActiveState": "active"}
    finally:
        process.kill()
        process.wait(LIMIT)


def test_killed_on_the_way(ocirt, faulty, scope, tmp_path):
    """`delete --force` clears what is left, and the name is free."""
    count = steps_of(faulty, tmp_path, "--cgroup-manager=systemd", "create", "--bundle", scope, "c1")
    ocirt.ok("delete", "--force", "c1")
    for step in [*range(1, 24, 3), count - 1]:
        fault(faulty, "create", step, "kill", "--cgroup-manager=systemd", "create", "--bundle", scope, "c1")
        ocirt.ok("delete", "--force", "c1")
        assert ocirt.ids() == [] and not [top for top in hierarchies() if (top / PATH[1:]).exists()], step
        ocirt.ok("create", "--bundle", scope, "c1", options=MANAGER)
        ocirt.ok("delete", "--force", "c1")


def test_no_interpreter_the_second_time(ocirt, scope, tmp_path):
    scope.args("true").save()
    for turn in range(2):
        command = [
            "strace",
            "-f",
            "-e",
            "trace=execve,execveat",
            "-e",
            "signal=none",
            "-o",
            tmp_path / "trace",
            *ocirt.command("run", "--bundle", scope, "c1", options=MANAGER),
        ]
        assert subprocess.run(command, stdin=subprocess.DEVNULL, timeout=LIMIT, capture_output=True).returncode == 0
        assert ("python" in (tmp_path / "trace").read_text()) == (turn == 0)
