"""``ocirt doctor BUNDLE``: limits of resources, and the cgroups that set them."""

import os
import resource
from pathlib import Path

import pytest

from ocirt.cli.doctor import bundle_limits
from ocirt.cli.doctor.finding import FAULT, NOTE
from ocirt.cli.spec import default, rootless
from ocirt.compile.capabilities import BITS
from ocirt.model.host import Cgroups, Hierarchy
from tests.unit import plans
from tests.unit.doctoring import Everywhere, box, texts, told
from tests.unit.plans import ALL_CAPABILITIES

__all__ = ["box", "told"]  # fixtures of the tests here


def test_processors_that_are_possible_are_enough_on_cgroup_v2(box, told):
    config, v2 = default(), {"cgroups": Cgroups((), Hierarchy((), plans.ROOT, "/"))}
    for cpus, expected in (("0-3", 0), ("4", 1)):
        config["linux"]["resources"]["cpu"] = {"cpus": cpus}
        said = [each for each in texts(box(config, **v2), FAULT) if "cpu.cpus" in each]
        assert len(said) == expected, said


@pytest.mark.parametrize("given, level", [("auto", FAULT), ("true", NOTE)])
def test_limits_in_cgroups_that_a_user_may_not_write(box, told, given, level):
    """As on every host with cgroup v1."""
    uid = os.geteuid() or 1000
    config = rootless(uid, uid)
    config["linux"] |= {"cgroupsPath": "/x", "resources": {"memory": {"limit": 1 << 26}, "pids": {"limit": 9}}}
    facts = {"euid": uid, "egid": uid, "writable": ()}
    found = box(config, ["--rootless", given], **facts)
    said = [each for each in texts(found, level) if "may not write" in each]
    assert [each.partition(":")[0] for each in said] == ["linux.resources.memory.limit", "linux.resources.pids.limit"]
    # An installed ocirt has no docs/, and the finding says by itself what to do.
    assert all("--rootless true" in each and "docs/" not in each for each in said)
    allowed = box(config, ["--rootless", given], **(facts | {"writable": Everywhere()}))
    assert not [each for each in texts(allowed, level) if "may not write" in each]


def test_a_file_that_cgroups_of_this_kernel_lack(tmp_path):
    """The root of a hierarchy lacks files that others have, so a neighbour answers; without one nobody knows."""
    assert bundle_limits._has(str(tmp_path), "memory.limit_in_bytes")
    (tmp_path / "system").mkdir()
    (tmp_path / "system/memory.limit_in_bytes").touch()
    assert bundle_limits._has(str(tmp_path), "memory.limit_in_bytes")
    assert not bundle_limits._has(str(tmp_path), "memory.memsw.limit_in_bytes")
    assert bundle_limits._has(str(tmp_path), "cpu.shares")


def test_real_time_in_a_cgroup_that_has_none(tmp_path, box, told):
    """With RT_GROUP_SCHED a new cgroup has no runtime, and may get no more than the one above has."""
    (tmp_path / "above").mkdir()
    for place in (tmp_path, tmp_path / "above"):
        for file in ("runtime", "period"):
            (place / f"cpu.rt_{file}_us").touch()
    told(files={f"{tmp_path}/above/cpu.rt_runtime_us": "900"})
    v1 = {"cgroups": Cgroups([Hierarchy(("cpu",), str(tmp_path), "/")])}
    config = default()
    config["process"]["scheduler"] = {"policy": "SCHED_FIFO", "priority": 5}
    config["linux"]["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
    for path, runtime, words in (
        ("/above/x", 0, "a new cgroup has no real-time runtime on this host"),
        ("/above/x", 901, "found 901, and the cgroup above allows 900"),
        ("/new/x", 1, "found 1, and the cgroup above allows 0"),
        ("/above/x", 900, None),
    ):
        config["linux"] |= {"cgroupsPath": path}
        config["linux"]["resources"]["cpu"] = {"realtimeRuntime": runtime, "realtimePeriod": 100000}
        said = texts(box(config, **v1), FAULT)
        assert [each for each in said if words in each] if words else not said, said


def test_a_limit_above_the_callers(box):
    config, hard = default(), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": hard + 1}]
    said = texts(box(config, permitted=ALL_CAPABILITIES & ~BITS["CAP_SYS_RESOURCE"]), FAULT)
    assert len(said) == 1 and said[0].startswith(f"process.rlimits[0]: RLIMIT_NOFILE of {hard + 1} is above")
    assert texts(box(config), FAULT) == []


def test_a_limit_above_the_kernels(box):
    """Not even root may have more open files."""
    config, most = default(), int(Path("/proc/sys/fs/nr_open").read_text())
    for hard, expected in ((most, 0), (most + 1, 1)):
        config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": hard}]
        assert len(said := texts(box(config), FAULT)) == expected, said
    assert said[0].endswith(f"which binds root, too; ask for less, or as root: sysctl fs.nr_open={most + 1}")


@pytest.mark.parametrize("path", ["/tasks", "/new/tasks"])
def test_a_cgroup_that_is_a_file(box, tmp_path, path):
    (tmp_path / "tasks").touch()
    config = default()
    config["linux"] |= {"cgroupsPath": path, "resources": {"devices": [{"allow": False, "access": "rwm"}]}}
    said = texts(box(config, cgroups=Cgroups([Hierarchy(("devices",), str(tmp_path), "/")])), FAULT)
    assert said == [f"linux.cgroupsPath: {tmp_path}{path} is a file, expected a cgroup; name another path"]


def test_a_controller_that_is_missing(box):
    config = default()
    config["linux"]["resources"] = {"hugepageLimits": [{"pageSize": "2MB", "limit": 5}]}
    (said,) = texts(box(config), FAULT)
    assert said.startswith("create would refuse it: linux.resources.hugepageLimits")
