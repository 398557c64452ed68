"""exec in containers of other kinds: namespaces, roots and cgroups, and a container that is paused."""

import os
import signal
import subprocess
import time

import pytest

from tests.integration.execs import FAILED, box, in_cgroup, processes, refused, shell, start
from tests.integration.harness import CGROUPS, LIMIT, OWN, hierarchies

__all__ = ["box"]  # a fixture of the tests here


# ---- containers of other kinds ----


def own_user(bundle):
    linux = bundle.namespace("user").config["linux"]
    linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": 200000, "size": 65536}]
    for folder, folders, files in os.walk(bundle.rootfs):
        for name in (".", *folders, *files):
            os.chown(os.path.join(folder, name), 200000, 200000, follow_symlinks=False)
    for folder in (bundle.path, *bundle.path.parents):
        if folder.stat().st_mode & 0o11 != 0o11:  # pytest's own folders, wherever they are
            folder.chmod(folder.stat().st_mode | 0o11)
    bundle.config["process"]["oomScoreAdj"] = 100
    return bundle


def test_a_user_namespace(ocirt, bundle):
    start(ocirt, own_user(bundle))
    with open(f"/proc/{ocirt.state('c1')['pid']}/oom_score_adj") as file:
        assert file.read() == "100\n"
    out = shell(
        ocirt,
        "id -u; cat /proc/self/uid_map; cat /proc/self/oom_score_adj; ls -ld /proc/self | cut -c 1-10; id -G; readlink /proc/self/ns/user",
    )
    lines = out.splitlines()
    assert lines[0] == "0" and lines[1].split() == ["0", "200000", "65536"] and lines[2] == "100" and lines[4] == "0"
    assert lines[5] == os.readlink(f"/proc/{ocirt.state('c1')['pid']}/ns/user")
    assert shell(ocirt, "id -u; id -G", "--user", "7:8", "-g", "9").split() == ["7", "8", "9"]
    assert "setresuid: invalid argument" in refused(ocirt, "--user", "70000:0", "c1", "true")
    ocirt.ok("exec", "-d", "--pid-file", bundle.path / "pid", "c1", "sleep", "60")
    pid = int((bundle.path / "pid").read_text())
    assert os.stat(f"/proc/{pid}").st_uid == 200000 and all(in_cgroup(bundle, pid).values())


def test_the_hosts_pid_namespace(ocirt, bundle):
    """A container without a pid namespace: the process is in its cgroups, so that `delete --force` finds it."""
    start(ocirt, bundle.without_namespace("pid"))
    ocirt.ok("exec", "-d", "--pid-file", bundle.path / "pid", "c1", "sleep", "60")
    pid = int((bundle.path / "pid").read_text())
    assert os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    assert all(in_cgroup(bundle, pid).values())
    ocirt.ok("delete", "--force", "c1")
    assert not os.path.exists(f"/proc/{pid}") or "State:\tZ" in open(f"/proc/{pid}/status").read()


def test_namespaces_joined_by_path(ocirt, bundles):
    """A pod: the second container is in the first one's network, ipc, uts and pid namespaces."""
    ocirt.ok("run", "-d", "--bundle", bundles("pause"), "pause")
    pid = ocirt.state("pause")["pid"]
    bundle = bundles("bundle")
    del bundle.config["hostname"]
    for kind, file in (("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")):
        bundle.namespace(kind, f"/proc/{pid}/ns/{file}")
    start(ocirt, bundle)
    out = shell(ocirt, "for n in net ipc uts pid mnt; do readlink /proc/self/ns/$n; done").split()
    assert out[:4] == [os.readlink(f"/proc/{pid}/ns/{name}") for name in ("net", "ipc", "uts", "pid")]
    assert out[4] == os.readlink(f"/proc/{ocirt.state('c1')['pid']}/ns/mnt") != os.readlink(f"/proc/{pid}/ns/mnt")


def test_time_and_cgroup_namespaces(ocirt, bundle):
    bundle.namespace("time").namespace("cgroup").config["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}
    start(ocirt, bundle)
    out = shell(
        ocirt, "cut -d. -f1 /proc/uptime; cut -d: -f3 /proc/self/cgroup | sort -u; readlink /proc/self/ns/time"
    ).split()
    assert (
        int(out[0]) > 1000000 and out[1] == "/" and out[2] == os.readlink(f"/proc/{ocirt.state('c1')['pid']}/ns/time")
    )


def test_a_root_that_was_moved(ocirt, bundle):
    start(ocirt, bundle, "--no-pivot")
    assert shell(ocirt, "ls -d /bin /usr 2>/dev/null; cat /etc/passwd | head -1", status=0).splitlines()[:2] == [
        "/bin",
        "root:x:0:0:root:/root:/bin/sh",
    ]


def test_without_a_mount_namespace(ocirt, bundle):
    """The root is that of the container's first process, not the host's."""
    bundle.without_namespace("mount").config["mounts"] = []
    bundle.config["linux"].update(maskedPaths=[], readonlyPaths=[])
    bundle.config["root"]["readonly"] = False
    start(ocirt, bundle)
    assert shell(ocirt, "ls /; pwd").splitlines() == sorted(["bin", "dev", "etc", "proc", "root", "sys", "tmp"]) + ["/"]


def test_a_container_of_another_build(ocirt, box):
    """What create stored of config.json and flags is enough."""
    program = ocirt.root / "c1/program"
    data = bytearray(program.read_bytes())
    data[16:48] = b"0" * 32  # the build id
    program.write_bytes(data)
    assert ocirt.ok("exec", "c1", "echo", "x").out == "x\n"


def test_the_bundle_is_not_looked_at_again(ocirt, box):
    (box.path / "config.json").unlink()
    assert ocirt.ok("exec", "c1", "echo", "x").out == "x\n"


# ---- cgroups ----


@pytest.mark.cgroups
def test_it_is_in_all_cgroups_at_once(ocirt, bundle):
    """What the program sees first is its membership."""
    start(ocirt, bundle.without_namespace("cgroup"))
    lines = ocirt.ok("exec", "c1", "cat", "/proc/self/cgroup").out.splitlines()
    assert len(lines) == len(hierarchies()) and {line.split(":", 2)[2] for line in lines} == {OWN}


@pytest.mark.v1
@pytest.mark.cgroups
def test_a_cgroup_beneath_the_containers(ocirt, box):
    for top in hierarchies():
        folder = top / OWN[1:] / "sub"
        folder.mkdir()
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (folder / name).exists():
                (folder / name).write_text((folder.parent / name).read_text())

    def paths(*flags):
        out = ocirt.ok(
            "exec", *[word for flag in flags for word in ("--cgroup", flag)], "c1", "cat", "/proc/self/cgroup"
        ).out
        return {
            name: path
            for _, names, path in (line.split(":", 2) for line in out.splitlines())
            for name in names.split(",")
        }

    assert {path for name, path in paths("sub").items() if name} == {f"{OWN}/sub"}
    found = paths("pids,memory:sub")
    assert found["pids"] == found["memory"] == f"{OWN}/sub" and found["cpu"] == OWN


@pytest.mark.v1
@pytest.mark.cgroups
def test_a_full_pids_cgroup_takes_it(ocirt, bundle):
    """As with runc: the limit is on forks, and what joins does not fork."""
    bundle.config["linux"].setdefault("resources", {})["pids"] = {"limit": 1}
    start(ocirt, bundle)
    assert ocirt.ok("exec", "c1", "echo", "x").out == "x\n"


def freeze(bundle, frozen=True):
    file = CGROUPS / "freezer" / bundle.config["linux"]["cgroupsPath"].lstrip("/") / "freezer.state"
    file.write_text("FROZEN" if frozen else "THAWED")
    end = time.monotonic() + LIMIT
    while file.read_text().strip() != ("FROZEN" if frozen else "THAWED"):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.v1
@pytest.mark.cgroups
def test_a_paused_container(ocirt, box):
    freeze(box)
    assert "exec failed: cannot exec in a paused container (use --ignore-paused to override)" in refused(
        ocirt, "c1", "true"
    )
    child = subprocess.Popen(
        ocirt.command("exec", "--ignore-paused", "c1", "echo", "awake"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.5)
    freeze(box, False)
    assert child.communicate(timeout=LIMIT)[0] == b"awake\n" and child.returncode == 0


@pytest.mark.v1
@pytest.mark.cgroups
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_exec_that_waits_for_a_paused_container_can_be_ended(ocirt, box, number):
    """Its process does not come to be when the container is resumed."""
    freeze(box)
    child = subprocess.Popen(
        ocirt.command("exec", "--ignore-paused", "c1", "touch", "/tmp/late"), stdin=subprocess.DEVNULL
    )
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.3)
    child.send_signal(number)
    assert child.wait(LIMIT) == -number
    freeze(box, False)
    time.sleep(0.2)
    assert not (box.rootfs / "tmp/late").exists()
    assert len(processes(ocirt)) == 2


@pytest.mark.v1
@pytest.mark.cgroups
def test_delete_of_a_paused_container_ends_an_exec(ocirt, box):
    freeze(box)
    with open(box.path / "err", "w") as err:
        child = subprocess.Popen(
            ocirt.command("exec", "--ignore-paused", "c1", "sleep", "60"), stdin=subprocess.DEVNULL, stderr=err
        )
    time.sleep(0.3)
    ocirt.ok("delete", "--force", "c1")
    # Thawed, it may get as far as its program before the end of init reaches it.
    status = child.wait(LIMIT)
    assert ("the process died before it executed its program" in (box.path / "err").read_text()) == (status == FAILED)
    assert status in (FAILED, 128 + signal.SIGKILL)
