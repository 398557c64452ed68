"""config-linux.md, Control groups, on v1 and hybrid hosts: limits written and read back, joined, removed."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.harness import OWN, PARENT, cgroup_file, hierarchies, left_cgroups, remove_cgroups
from tests.integration.unified import exec_into_the_second_container

pytestmark = pytest.mark.v1


def test_joined_in_every_hierarchy(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1")
    pid = ocirt.state("c1")["pid"]
    memberships = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert {
        line.split(":", 2)[2]
        for line in memberships
        if not line.startswith("0::") or (Path("/sys/fs/cgroup/unified").exists())
    } == {f"{PARENT}/bundle"}


@pytest.mark.parametrize(
    "resources, file, expected",
    [
        ({"memory": {"limit": 50 << 20}}, "memory/memory.limit_in_bytes", str(50 << 20)),
        ({"memory": {"limit": 50 << 20, "reservation": 40 << 20}}, "memory/memory.soft_limit_in_bytes", str(40 << 20)),
        ({"memory": {"swappiness": 10}}, "memory/memory.swappiness", "10"),
        ({"memory": {"disableOOMKiller": True}}, "memory/memory.oom_control", "oom_kill_disable 1"),
        ({"cpu": {"shares": 512}}, "cpu/cpu.shares", "512"),
        ({"cpu": {"quota": 20000, "period": 50000}}, "cpu/cpu.cfs_quota_us", "20000"),
        ({"cpu": {"quota": 20000, "period": 50000}}, "cpu/cpu.cfs_period_us", "50000"),
        ({"cpu": {"quota": 20000, "burst": 5000}}, "cpu/cpu.cfs_burst_us", "5000"),
        ({"cpu": {"idle": 1}}, "cpu/cpu.idle", "1"),
        ({"cpu": {"cpus": "0", "mems": "0"}}, "cpuset/cpuset.cpus", "0"),
        ({"pids": {"limit": 20}}, "pids/pids.max", "20"),
        ({"pids": {"limit": -1}}, "pids/pids.max", "max"),
        (
            {"blockIO": {"throttleReadBpsDevice": [{"major": 254, "minor": 0, "rate": 1048576}]}},
            "blkio/blkio.throttle.read_bps_device",
            "254:0 1048576",
        ),
        (
            {"blockIO": {"throttleWriteIOPSDevice": [{"major": 254, "minor": 0, "rate": 300}]}},
            "blkio/blkio.throttle.write_iops_device",
            "254:0 300",
        ),
    ],
)
def test_limits(ocirt, bundle, resources, file, expected):
    bundle.config["linux"]["resources"] = resources
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    controller, name = file.split("/", 1)
    assert expected in cgroup_file(bundle, controller, name).splitlines()


def test_a_unified_cgroup_that_has_been_killed_before(ocirt, bundle):
    """The kernel kills the first child at its birth in it (test_cgroups_v2.py), and it is made again: the cgroups that were
    made beside the first one are the container's own still, and go with it."""
    folder = Path(f"/sys/fs/cgroup/unified{PARENT}/bundle")
    if not folder.parents[1].exists():
        pytest.skip("there is no unified hierarchy beside those of v1")
    folder.mkdir(parents=True)
    (folder / "cgroup.kill").write_text("1")
    test_joined_in_every_hierarchy(ocirt, bundle)
    ocirt.ok("delete", "--force", "c1")
    assert left_cgroups() == [str(folder.parent)]
    folder.rmdir()
    folder.parent.rmdir()


def test_an_exec_into_a_unified_cgroup_that_has_been_killed_before(ocirt, bundle):
    """The same of exec's first child, which is not the container (test_cgroups_v2.py)."""
    folder = Path(f"/sys/fs/cgroup/unified{PARENT}/bundle")
    if not folder.parents[1].exists():
        pytest.skip("there is no unified hierarchy beside those of v1")
    folder.mkdir(parents=True)
    (folder / "cgroup.kill").write_text("1")
    exec_into_the_second_container(ocirt, bundle)
    ocirt.ok("delete", "--force", "c2")
    folder.rmdir()
    folder.parent.rmdir()


def test_device_rules_in_order(ocirt, bundle):
    bundle.config["linux"]["resources"] = {
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
            {"allow": True, "type": "b", "major": 8, "access": "r"},
            {"allow": True, "type": "c", "major": 11, "minor": 1, "access": "rw"},
            {"allow": False, "type": "c", "major": 11, "minor": 1, "access": "w"},
        ]
    }
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    listed = cgroup_file(bundle, "devices", "devices.list").splitlines()
    assert {"c 10:229 rw", "b 8:* r", "c 11:1 r", "c *:* m", "c 1:3 rwm"} <= set(listed) and "a *:* rwm" not in listed


def test_devices_are_refused(ocirt, bundle):
    bundle.shell("mknod /dev/d c 10 229 && cat /dev/d; cat /dev/null && echo null").config["root"]["readonly"] = False
    for name in ("bounding", "effective", "permitted"):
        bundle.config["process"]["capabilities"][name].append("CAP_MKNOD")
    bundle.save()
    result = ocirt("run", "--bundle", bundle, "c1")
    assert "Operation not permitted" in result.err and result.out == "null\n"


def test_tun_may_be_made_and_opened(ocirt, bundle):
    """As with runc, without a rule in the config: what a container with CAP_NET_ADMIN makes for itself."""
    bundle.config["root"]["readonly"] = False
    for kind in ("bounding", "effective", "permitted"):
        bundle.config["process"]["capabilities"][kind] += ["CAP_MKNOD"]
    bundle.config["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    bundle.shell("mknod /dev/tun c 10 200 && echo made && exec 3<>/dev/tun").save()
    result = ocirt("run", "--bundle", bundle, "c1")
    # A kernel without the driver says: no such device.
    assert result.out == "made\n" and "not permitted" not in result.err, result


def test_all_devices_allowed(ocirt, bundle):
    bundle.config["linux"]["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert cgroup_file(bundle, "devices", "devices.list") == "a *:* rwm"


def test_relative_path_is_beneath_the_callers_cgroup(ocirt, bundle):
    """config-linux.md, Cgroups Path: consistently the same place for the same value."""
    own = {line.split(":")[1]: line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines()}
    bundle.config["linux"]["cgroupsPath"] = f"{PARENT[1:]}-relative/x"
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    inside = {
        line.split(":")[1]: line.split(":", 2)[2]
        for line in Path(f"/proc/{ocirt.state('c1')['pid']}/cgroup").read_text().splitlines()
    }
    assert inside == {name: path.rstrip("/") + f"{PARENT}-relative/x" for name, path in own.items()}
    ocirt.ok("delete", "--force", "c1")


def test_absent_path_is_the_id(ocirt, bundle):
    del bundle.config["linux"]["cgroupsPath"]
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, f"{PARENT[1:]}-absent")
    pid = ocirt.state(f"{PARENT[1:]}-absent")["pid"]
    assert all(line.endswith(f"{PARENT}-absent") for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    ocirt.ok("delete", "--force", f"{PARENT[1:]}-absent")


def test_odd_slashes(ocirt, bundle):
    bundle.config["linux"]["cgroupsPath"] = f"{PARENT}//deep///x/"
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert (hierarchies()[0] / PARENT[1:] / "deep/x").exists()
    ocirt.ok("delete", "--force", "c1")
    assert left_cgroups() == []


def test_path_that_leads_up(ocirt, bundle):
    bundle.config["linux"]["cgroupsPath"] = f"{PARENT}/../../x"
    bundle.save()
    assert "linux.cgroupsPath" in ocirt.fails("create", "--bundle", bundle, "c1")


def test_removed_with_what_is_left_inside(ocirt, bundle):
    """delete kills what stayed behind in the cgroup, and removes cgroups that were made inside."""
    bundle.without_namespace("pid").without_namespace("cgroup").shell("sleep 63 & exit 0").save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    for top in hierarchies():
        if top.name in ("pids", "memory", "freezer"):
            (top / OWN[1:] / "inner").mkdir()
    ocirt.ok("start", "c1")
    ocirt.wait_status("c1", "stopped")
    (left,) = cgroup_file(bundle, "pids", "cgroup.procs").split()
    ocirt.ok("delete", "c1")
    assert left_cgroups() == []
    stat = Path(f"/proc/{left}/stat")
    assert not stat.exists() or ") Z " in stat.read_text()  # its new parent may not have reaped it yet


def test_frozen_container_is_deleted(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    Path(f"/sys/fs/cgroup/freezer{OWN}/freezer.state").write_text("FROZEN")
    ocirt.ok("delete", "--force", "c1")
    assert left_cgroups() == []


def test_a_limit_the_host_forbids(ocirt, bundle):
    """One line with the JSON path, exit 1, nothing left."""
    for resources, path in (
        ({"cpu": {"realtimeRuntime": 950000}}, "linux.resources.cpu.realtimeRuntime"),
        ({"cpu": {"cpus": "4096"}}, "linux.resources.cpu.cpus"),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}, "linux.resources.hugepageLimits"),
        ({"network": {"classID": 1}}, "linux.resources.network.classID"),
        ({"memory": {"limit": "1"}}, "linux.resources.memory.limit"),
        ({"unified": {"memory.max": "1"}}, "linux.resources.unified"),
    ):
        bundle.config["linux"]["resources"] = resources
        bundle.save()
        assert path in ocirt.fails("create", "--bundle", bundle, "c1")
        assert ocirt.ids() == [] and left_cgroups() == []


@pytest.mark.parametrize(
    "resources, path, says",
    [
        ({"cpu": {"cpus": "0-999"}}, "linux.resources.cpu.cpus", "in the cgroup above cpuset.cpus is 0"),
        ({"cpu": {"mems": "7"}}, "linux.resources.cpu.mems", "in the cgroup above cpuset.mems is 0"),
        ({"cpu": {"quota": 500}}, "linux.resources.cpu.quota", "found 500, expected 1000 microseconds or more"),
        (
            {"cpu": {"quota": 50000, "period": 2000000}},
            "linux.resources.cpu.period",
            "found 2000000, expected 1000 to 1000000",
        ),
        (
            {"memory": {"limit": 64 << 20, "swap": 32 << 20}},
            "linux.resources.memory.swap",
            f"memory.limit_in_bytes is {64 << 20}",
        ),
    ],
)
def test_what_the_kernel_allows_is_said(ocirt, bundle, resources, path, says):
    """The property, what was found, and what can be had."""
    if "memory" in resources and not Path("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists():
        pytest.skip("this kernel does not count memory and swap together")
    bundle.config["linux"]["resources"] = resources
    bundle.save()
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert path in message and says in message


def test_no_limit_as_engines_wrote_it(ocirt, bundle):
    """podman 4.3 writes pids.limit 0 for --pids-limit -1: its containers can fork."""
    bundle.shell("sleep 0 & wait; echo forked").config["linux"]["resources"]["pids"] = {"limit": 0}
    bundle.config["ociVersion"] = "1.0.2-dev"
    assert ocirt.ok("run", "--bundle", bundle.save(), "c1").out == "forked\n"


def test_true_under_one_mebibyte(ocirt, bundle):
    """busybox `true` runs under a 1 MiB memory limit."""
    bundle.args("true").config["linux"]["resources"]["memory"] = {"limit": 1 << 20}
    bundle.save()
    ocirt.ok("run", "--bundle", bundle, "c1")


def test_too_small_a_memory_limit_says_so(ocirt, bundle):
    bundle.config["linux"]["resources"]["memory"] = {"limit": 4096}
    bundle.save()
    assert "memory" in ocirt("run", "--bundle", bundle, "c1").err
    assert left_cgroups() == []


def test_cgroups_disabled(ocirt, bundle):
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] != "cgroup"]
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1", options=("--cgroup-manager", "disabled"))
    assert left_cgroups() == []
    ocirt.ok("kill", "--all", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")


def test_systemd_is_refused_where_it_is_not(ocirt, bundle):
    assert "--systemd-cgroup" in ocirt.fails("create", "--bundle", bundle, "c1", options=("--systemd-cgroup",))
    assert "--cgroup-manager" in ocirt.fails("create", "--bundle", bundle, "c1", options=("--cgroup-manager=systemd",))


def test_cgroup_mount_shows_the_containers_own(ocirt, bundle):
    bundle.shell(
        "cat /sys/fs/cgroup/pids/pids.max; touch /sys/fs/cgroup/pids/x 2>&1; touch /sys/fs/cgroup/x 2>&1; ls /sys/fs/cgroup"
    )
    bundle.config["linux"]["resources"]["pids"] = {"limit": 33}
    bundle.save()
    lines = ocirt.ok("run", "--bundle", bundle, "c1").out.splitlines()
    assert lines[0] == "33" and "Read-only" in lines[1] and "Read-only" in lines[2]
    assert {"memory", "pids", "cpu"} <= set(lines[3:])


@pytest.fixture
def hugetlb():
    """The hugetlb controller as a v1 hierarchy, mounted in the tests' mount namespace for as long as the test takes."""
    mount = Path("/sys/fs/cgroup/hugetlb")
    if mount.exists() and (mount / "tasks").exists():
        yield mount
        return
    command = ["mount", "-t", "cgroup", "-o", "hugetlb", "hugetlb", mount]
    mount.mkdir(exist_ok=True)
    try:
        subprocess.run(command, check=True, timeout=10)
        yield mount
    finally:
        remove_cgroups()
        subprocess.run(["umount", mount], timeout=10, stderr=subprocess.DEVNULL)
        # The kernel keeps a hierarchy whose last cgroup was still going away when it was unmounted.
        for _ in range(20):
            time.sleep(0.3)  # it goes away behind our back
            if ":hugetlb:" not in Path("/proc/self/cgroup").read_text():
                break
            subprocess.run(command, timeout=10)
            time.sleep(0.1)
            subprocess.run(["umount", mount], timeout=10)
        mount.rmdir()
    assert ":hugetlb:" not in Path("/proc/self/cgroup").read_text()


@pytest.mark.root_cgroup
def test_hugetlb_limit(hugetlb, ocirt, bundle):
    """config-linux.md, Huge page limits: reservations where the kernel counts them, and usage."""
    bundle.config["linux"]["resources"] = {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert cgroup_file(bundle, "hugetlb", "hugetlb.2MB.rsvd.limit_in_bytes") == str(4 << 20)
    assert cgroup_file(bundle, "hugetlb", "hugetlb.2MB.limit_in_bytes") == str(4 << 20)
    bundle.config["linux"]["resources"]["hugepageLimits"][0]["pageSize"] = "3MB"
    bundle.save()
    assert "linux.resources.hugepageLimits[0].pageSize" in ocirt.fails("create", "--bundle", bundle, "c2")
    ocirt.ok("delete", "--force", "c1")
    assert not (hugetlb / PARENT[1:]).exists()
