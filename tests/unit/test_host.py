"""What is looked at of the machine: ocirt.model.host."""

import os
import posix

import pytest

from ocirt.errors import HostError
from ocirt.model.host import Cgroups, Hierarchy, Host, layout

ROOT = "/sys/fs/cgroup"


def seen(memberships, **devices):
    """The layout where the paths named (relative to /sys/fs/cgroup, _ is /) are on file systems with these numbers."""
    numbers = {ROOT: 1, **{f"{ROOT}/{path}".rstrip("/"): number for path, number in devices.items()}}
    found = layout(memberships, numbers.get)
    return [(each.controllers, each.mount.removeprefix(ROOT), each.own) for each in found.hierarchies], (
        found.unified and (found.unified.mount.removeprefix(ROOT), found.unified.own)
    )


@pytest.mark.parametrize(
    "release, numbers, is_old",
    [
        ("5.10.0-39-amd64", (5, 10, 0), True),
        ("5.13.19", (5, 13, 19), True),
        ("5.14.0-503.el9.x86_64", (5, 14, 0), False),
        ("7.2-rc1", (7, 2), False),
        ("10.1", (10, 1), False),
    ],
)
def test_the_oldest_kernel(monkeypatch, release, numbers, is_old):
    monkeypatch.setattr(posix, "uname", lambda: posix.uname_result(("Linux", "host", release, "", "x86_64")))
    assert Host().kernel == numbers
    if not is_old:
        return Host().check_kernel()
    with pytest.raises(HostError) as caught:
        Host().check_kernel()
    found = ".".join(map(str, numbers))
    assert str(caught.value) == f"ocirt needs Linux 5.14 or newer; this is {found}"


def test_hybrid():
    assert seen(
        "2:memory:/a\n1:name=systemd:/\n0::/u\n",
        **{"memory": 2, "memory/a": 2, "systemd": 3, "systemd/": 3, "unified": 4, "unified/u": 4},
    ) == ([(("memory",), "/memory", "/a"), (("name=systemd",), "/systemd", "/")], ("/unified", "/u"))


def test_v1_alone():
    assert seen("2:cpu:/\n0::/\n", cpu=2) == ([(("cpu",), "/cpu", "/")], None)


def test_v2_alone():
    found = layout("0::/user.slice/x\n", {ROOT: 1, f"{ROOT}/cgroup.controllers": 1, f"{ROOT}/user.slice/x": 1}.get)
    assert found.is_v2 and (found.unified.mount, found.unified.own, found.hierarchies) == (ROOT, "/user.slice/x", ())


def test_controllers_mounted_together():
    assert seen("3:cpu,cpuacct:/\n", **{"cpu,cpuacct": 2})[0] == [(("cpu", "cpuacct"), "/cpu,cpuacct", "/")]
    # Mounted as cpuacct,cpu, with links of the single names.
    assert seen("3:cpu,cpuacct:/\n", cpu=2, cpuacct=2)[0] == [(("cpu", "cpuacct"), "/cpu", "/")]


def test_what_is_not_mounted_is_not_there():
    assert seen("3:cpu:/\n2:memory:/\n1:name=x:/\n0::/\n", memory=1, unified=1) == ([], None)
    assert seen("") == ([], None) and layout("0::/\n", lambda path: None).unified is None


@pytest.mark.parametrize("own", ["/docker/0123", "/../../other", "/.."])
def test_a_container_sees_its_own_cgroup_as_the_root(own):
    assert seen(f"4:memory:{own}\n0::{own}\n", memory=2, unified=3) == (
        [(("memory",), "/memory", "/")],
        ("/unified", "/"),
    )


def test_colons_in_the_path():
    path = "/a:b:c"
    assert seen(f"4:memory:{path}\n", **{"memory": 2, f"memory{path}": 2})[0] == [(("memory",), "/memory", path)]


def test_finding_a_controller():
    cgroups = Cgroups([Hierarchy(("cpu", "cpuacct"), "/c", "/"), Hierarchy(("memory",), "/m", "/")])
    assert cgroups.hierarchy("cpuacct").mount == "/c" and cgroups.hierarchy("pids") is None and not cgroups.is_v2


def test_this_machine():
    host = Host()
    assert (host.euid, host.egid) == (os.geteuid(), os.getegid())
    status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
    assert (host.permitted, host.bounding) == (int(status["CapPrm"], 16), int(status["CapBnd"], 16))
    assert host.last_capability >= 39 and host.bounding < 2 << host.last_capability
    assert host.in_user_namespace == (open("/proc/self/uid_map").read().split() != ["0", "0", "4294967295"])
    assert host.denies_setgroups == (open("/proc/self/setgroups").read() == "deny\n")
    assert host.has_systemd == os.path.isdir("/run/systemd/system")
    assert host.has_file("/proc/self/status") and not host.has_file("/proc/nothing")
    for each in host.cgroups.hierarchies:
        assert os.path.exists(f"{each.mount}{each.own}/tasks")


def test_apparmor_without_securityfs(monkeypatch, tmp_path):
    """podman unmounts what lies below /sys/kernel for a container with ids of its own; sysfs still has the answer."""
    enabled = tmp_path / "enabled"
    monkeypatch.setattr("ocirt.model.host.APPARMOR", str(enabled))
    assert not Host().has_apparmor
    for text, found in (("Y\n", True), ("N\n", False), ("", False)):
        enabled.write_text(text)
        assert Host().has_apparmor == found


def test_selinux_without_selinuxfs(monkeypatch, tmp_path):
    monkeypatch.setattr("ocirt.model.host.SELINUX", str(tmp_path / "selinux"))
    assert not Host().has_selinux
    (tmp_path / "selinux").mkdir()
    assert Host().has_selinux


def test_given_facts_are_not_read():
    host = Host(euid=7, cgroups=Cgroups(), files={"/x"}, in_user_namespace=True)
    assert host.euid == 7 and host.cgroups.hierarchies == () and host.in_user_namespace
    assert host.has_file("/x") and not host.has_file("/proc/self/status")


def test_there_are_no_other_facts():
    with pytest.raises(AttributeError, match="weather"):
        Host().weather
