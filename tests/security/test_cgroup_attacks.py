"""Cgroups and what else of the kernel's files a container could change for the host."""

import os
from pathlib import Path

import pytest

from tests.integration.harness import CGROUPS, V2

HOSTS = {"kernel.core_pattern": "/proc/sys/kernel/core_pattern", "modprobe": "/proc/sys/kernel/modprobe"}


def test_release_agent(ocirt, bundle):
    """CVE-2022-0492: root of a container with CAP_SYS_ADMIN writes to release_agent and notify_on_release through the
    cgroup mount, which is read-only, and through hierarchies that it mounts itself."""
    before = {path: path.read_text() for path in CGROUPS.glob("*/release_agent")}
    bundle.config["mounts"].append(
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": ["ro", "nosuid", "noexec", "nodev"],
        }
    )
    bundle.config["mounts"] = [
        each
        for i, each in enumerate(bundle.config["mounts"])
        if each["type"] != "cgroup" or i == len(bundle.config["mounts"]) - 1
    ]
    bundle.shell(
        "n=0; for f in $(find /sys/fs/cgroup -name release_agent -o -name notify_on_release -o -name cgroup.procs -o -name devices.allow); do "
        "n=$((n+1)); (echo /evil > $f) 2>/dev/null && echo wrote $f; done; [ $n -gt 0 ] && echo looked; "
        "mkdir /tmp/c 2>/dev/null; mount -t cgroup -o memory cgroup /tmp 2>/dev/null && echo mounted; true"
    ).save()
    out = ocirt.ok("run", "--bundle", bundle, "c1").out
    assert out == "looked\n", out
    assert {path: path.read_text() for path in before} == before


def test_sysfs_and_procfs_are_read_only(ocirt, bundle):
    """The files by which root of a container would change the host: of sysfs and of /proc/sys; none can be written."""
    before = {name: Path(path).read_text() for name, path in HOSTS.items() if Path(path).exists()}
    bundle.shell(
        "for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/panic_on_oom /proc/sysrq-trigger /proc/irq/default_smp_affinity "
        "/sys/kernel/uevent_helper /sys/power/state /sys/kernel/mm/transparent_hugepage/enabled; do [ -e $f ] && (echo x > $f) 2>/dev/null && echo wrote $f; done; "
        "mount -o remount,rw /sys 2>/dev/null && echo remounted; mount -o remount,bind,rw /proc/sys 2>/dev/null && echo remounted; umount /proc/sys 2>/dev/null && echo unmounted; true"
    ).save()
    assert ocirt.ok("run", "--bundle", bundle, "c1").out == ""
    assert {name: Path(HOSTS[name]).read_text() for name in before} == before


def test_cgroups_of_a_rootless_container(user, own_bundle):
    """CVE-2023-25809: what a rootless container without a cgroup namespace sees at /sys/fs/cgroup cannot be written, and is
    not the user's own tree."""
    own_bundle.config["linux"]["namespaces"] = [
        each for each in own_bundle.config["linux"]["namespaces"] if each["type"] != "cgroup"
    ]
    own_bundle.config["mounts"] = [
        each for each in own_bundle.config["mounts"] if not each["destination"].startswith("/sys")
    ] + [
        {
            "destination": "/sys",
            "source": "/sys",
            "options": ["rbind", "nosuid", "noexec", "nodev", "rro" if V2 else "ro"],
        },
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": ["ro", "nosuid", "noexec", "nodev", "relatime"],
        },
    ]
    own_bundle.shell(
        "for f in $(find /sys/fs/cgroup -name cgroup.procs -o -name tasks -o -name release_agent); do (echo $$ > $f) 2>/dev/null && echo wrote $f; done; "
        "(mkdir /sys/fs/cgroup/evil) 2>/dev/null && echo made; mount -o remount,bind,rw /sys/fs/cgroup 2>/dev/null && echo remounted; true"
    ).save()
    assert user.ok("run", "--bundle", own_bundle, "c1").out == ""


def test_a_cgroup_outside_of_the_containers(ocirt, bundle):
    """linux.cgroupsPath and `exec --cgroup` that lead up, or to a cgroup that is not the container's."""
    for path in ("/../x", f"{bundle.config['linux']['cgroupsPath']}/../../../x", "a/../../../../x"):
        bundle.config["linux"]["cgroupsPath"] = path
        bundle.save()
        assert "linux.cgroupsPath" in ocirt.fails("create", "--bundle", bundle, "c1")
    assert not any((top / "x").exists() for top in CGROUPS.iterdir())


@pytest.mark.v1
def test_devices_that_were_not_given(ocirt, bundle, attacker):
    """Root with CAP_MKNOD makes nodes of the host's memory and disks: they cannot be opened."""
    bundle.config["process"]["capabilities"]["bounding"].append("CAP_MKNOD")
    for name in ("effective", "permitted"):
        bundle.config["process"]["capabilities"][name].append("CAP_MKNOD")
    bundle.config["root"]["readonly"] = False
    bundle.shell(
        "cd /dev; mknod mem c 1 1; mknod disk b 254 0; mknod kmsg c 1 11; mknod void c 1 3; for f in mem disk kmsg void; do "
        "(: < $f) 2>/dev/null && echo opened $f; done; true"
    ).save()
    assert ocirt.ok("run", "--bundle", bundle, "c1").out == "opened void\n"


def test_processes_outlive_nothing(ocirt, bundle):
    """Processes that have left their session, parent and process group, and fork while they are killed, end with delete."""
    bundle.without_namespace("pid").shell(
        "(while :; do (setsid sleep 1000 &) ; usleep 20000; done) & sleep 1000"
    ).save()
    ocirt.ok("run", "-d", "--bundle", bundle, "c1")
    pid = ocirt.state("c1")["pid"]
    folder = next(
        (CGROUPS / line.split(":")[1].removeprefix("name=") / line.strip().split(":", 2)[2].lstrip("/"))
        if not V2
        else CGROUPS / line.strip().split(":", 2)[2].lstrip("/")
        for line in open(f"/proc/{pid}/cgroup")
        if V2 or ":pids:" in line
    )
    pids = [int(each) for each in (folder / "cgroup.procs").read_text().split()]
    ocirt.ok("delete", "--force", "c1")
    assert not folder.exists()
    for each in pids:
        assert not os.path.exists(f"/proc/{each}") or "State:\tZ" in Path(f"/proc/{each}/status").read_text()
