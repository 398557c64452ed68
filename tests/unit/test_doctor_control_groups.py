"""``ocirt doctor``: the host's cgroups."""

import pytest

from ocirt.cli.doctor import control_groups
from ocirt.cli.doctor.finding import FAULT, GOOD, NOTE
from ocirt.model.host import Cgroups, Hierarchy
from tests.unit.doctoring import host, texts


@pytest.mark.parametrize(
    "facts, level, words",
    [
        ({"cgroups": Cgroups()}, FAULT, "no cgroups are mounted at /sys/fs/cgroup"),
        ({"writable": ()}, FAULT, "is read-only: no container gets a cgroup; "),
        (
            {"writable": (), "in_user_namespace": True},
            NOTE,
            "is read-only: no container gets a cgroup, and limits are refused; ",
        ),
        ({"cgroups": Cgroups([Hierarchy(["cpu"], "/sys/fs/cgroup/cpu", "/")])}, NOTE, "the controller memory is not"),
        ({"euid": 1000}, NOTE, "cgroup v1 cannot be handed to a user"),
        ({}, GOOD, "cgroup v1: memory cpu cpuset pids devices freezer blkio"),
        ({}, NOTE, "systemd does not run this host"),
    ],
)
def test_control_groups(facts, level, words):
    said = texts(control_groups.examine(host(**({"writable": ["/sys/fs/cgroup/memory/"]} | facts))), level)
    assert [each for each in said if words in each], said


def test_a_controller_of_v2_that_is_not_delegated(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("memory pids\n")
    cgroups = Cgroups((), Hierarchy((), str(tmp_path), "/"))
    caller = host(euid=1000, cgroups=cgroups, has_systemd=True, writable=[str(tmp_path)])
    said = texts(control_groups.examine(caller), NOTE)
    assert [each.partition(":")[0] for each in said] == [
        f"the controller {name} is not there" for name in ("cpu", "cpuset", "io")
    ]
    assert "Delegate=cpu cpuset io memory pids" in said[0]


def test_a_cgroup_that_is_not_the_users(tmp_path):
    """As on a host with cgroup v2 and without systemd."""
    (tmp_path / "cgroup.controllers").write_text("memory pids cpu cpuset io\n")
    cgroups = Cgroups((), Hierarchy((), str(tmp_path), "/"))
    said = {
        writable: texts(control_groups._v2(host(euid=1000, writable=[str(tmp_path)] * writable), cgroups.unified), NOTE)
        for writable in (False, True)
    }
    assert said[True] == []
    assert said[False] == [
        f"this user may not write {tmp_path}: limits of rootless containers are refused; "
        f"as root: mkdir {tmp_path}/1000 && chown -R 1000 {tmp_path}/1000, and start the engine in that cgroup"
    ]
