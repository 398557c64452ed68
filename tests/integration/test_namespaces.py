"""config-linux.md, Namespaces, User namespace mappings, Offset for Time Namespace."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.test_mounts import in_user_namespace

KINDS = {"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "time": "time"}


def spaces(pid):
    return {kind: os.readlink(f"/proc/{pid}/ns/{file}") for kind, file in {**KINDS, "user": "user"}.items()}


def run(ocirt, bundle, script, **more):
    bundle.shell(script).save()
    result = ocirt("run", "--bundle", bundle, "c1", **more)
    assert result.status == 0, result
    return result.out.strip()


def test_new_and_inherited(ocirt, bundle):
    """A type without path is new; one that is not listed is the runtime's own."""
    bundle.namespace("cgroup").namespace("time").without_namespace("ipc").save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    inside, ours = spaces(ocirt.state("c1")["pid"]), spaces("self")
    assert {kind for kind in inside if inside[kind] == ours[kind]} == {"ipc", "user"}


@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "pid", "cgroup", "time"])
def test_joined_by_path(ocirt, bundle, bundles, kind):
    """The container process is placed in the namespace at `path`."""
    bundle.namespace(kind).save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    pid = ocirt.state("c1")["pid"]
    other = bundles("other").namespace(kind, f"/proc/{pid}/ns/{KINDS[kind]}")
    if kind == "uts":
        del other.config["hostname"]
    other.save()
    ocirt.ok("create", "--bundle", other, "c2")
    joined = ocirt.state("c2")["pid"]
    assert spaces(joined)[kind] == spaces(pid)[kind]
    ocirt.ok("start", "c2")
    assert ocirt.status("c2") == "running"
    ocirt.ok("delete", "--force", "c2")


def test_mount_namespace_joined(ocirt, bundle, bundles):
    holder = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sleep", "30"], stdin=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 5
        while (
            os.readlink(f"/proc/{holder.pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
            and time.monotonic() < deadline
        ):
            time.sleep(0.01)
        bundle.namespace("mount", f"/proc/{holder.pid}/ns/mnt")
        assert run(ocirt, bundle, "echo inside") == "inside"
    finally:
        holder.kill()
        holder.wait(5)


def test_no_mount_namespace(ocirt, bundle):
    """config-linux.md, Namespaces: the runtime's is inherited. No mount of the container's stands in it, yet all hold."""
    mounts = Path("/proc/self/mountinfo").read_text()
    bundle.without_namespace("mount")
    out = run(
        ocirt,
        bundle,
        "readlink /proc/self/ns/mnt; ls /sys/firmware | wc -l; cat /proc/keys | wc -l; touch /x 2>&1;"
        "(echo x >/proc/sys/kernel/hostname) 2>&1; touch /dev/shm/x; ls /dev/shm /dev/mqueue",
    )
    space, firmware, keys, root, sysctl, *shm = out.splitlines()
    assert space == os.readlink("/proc/self/ns/mnt")
    assert (firmware, keys, shm) == ("0", "0", ["/dev/mqueue:", "", "/dev/shm:", "x"])
    assert "Read-only" in root and "Read-only" in sysctl
    assert Path("/proc/self/mountinfo").read_text() == mounts and not list((bundle.rootfs / "dev").iterdir())


def test_init_faster_than_the_stage(ocirt, bundle, tmp_path):
    """Init may have done all its work before the stage, which spawned it, has told the runtime that it exists."""
    bundle.namespace("time").args("true").save()
    late = ["strace", "-f", "-o", tmp_path / "trace", "-e", "trace=clone3", "-e", "inject=clone3:delay_exit=300000"]
    done = subprocess.run(
        [*late, *ocirt.command("run", "--bundle", bundle, "c1")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "kind, path, word",
    [
        ("network", "/proc/self/ns/uts", "another type"),
        ("network", "/nonexistent", "no such file"),
        ("uts", "/etc/passwd", "no namespace"),
    ],
)
def test_wrong_path_is_an_error(ocirt, bundle, kind, path, word):
    """A path that is not associated with a namespace of type `type` is an error."""
    bundle.namespace(kind, path).save()
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert word in message and "linux.namespaces" in message
    assert ocirt.ids() == []


def test_path_must_be_absolute_and_types_single(ocirt, bundle):
    bundle.namespace("network", "relative").save()
    assert "linux.namespaces" in ocirt.fails("create", "--bundle", bundle, "c1")
    bundle.namespace("network").config["linux"]["namespaces"].append({"type": "uts"})
    bundle.save()
    assert "linux.namespaces" in ocirt.fails("create", "--bundle", bundle, "c1")
    bundle.config["linux"]["namespaces"][-1]["type"] = "nonsense"
    bundle.save()
    assert "nonsense" in ocirt.fails("create", "--bundle", bundle, "c1")


def test_nothing_is_set_in_the_hosts_namespaces(ocirt, bundle):
    """A namespace joined by path may be the runtime's own: then neither names nor parameters are set in it."""
    before = os.uname().nodename
    bundle.namespace("uts", f"/proc/{os.getpid()}/ns/uts").save()
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert "hostname" in message and "the host's" in message and os.uname().nodename == before
    bundle.namespace("uts").namespace("network", f"/proc/{os.getpid()}/ns/net")
    bundle.config["linux"]["sysctl"] = {"net.ipv4.ip_default_ttl": "33"}
    bundle.save()
    assert "linux.sysctl" in ocirt.fails("create", "--bundle", bundle, "c1")
    with open("/proc/sys/net/ipv4/ip_default_ttl") as file:
        assert file.read() != "33\n"


def test_sysctl_of_the_user_namespace(ocirt, bundle):
    """config-linux.md, Sysctl: limits of a user namespace of the container's own, user_namespaces(7)."""
    in_user_namespace(bundle)
    bundle.config["linux"]["sysctl"] = {"user.max_pid_namespaces": "7"}
    bundle.args("cat", "/proc/sys/user/max_pid_namespaces").save()
    assert ocirt.ok("run", "--bundle", bundle, "c1").out == "7\n"
    bundle.without_namespace("user")
    for name in ("uidMappings", "gidMappings"):
        del bundle.config["linux"][name]
    bundle.save()
    assert "nothing without a namespace of type user" in ocirt.fails("create", "--bundle", bundle, "c1")


def test_sysctl(ocirt, bundle):
    """config-linux.md, Sysctl."""
    bundle.config["linux"]["sysctl"] = {"net.ipv4.ip_default_ttl": "33", "kernel.msgmax": "9000"}
    assert run(ocirt, bundle, "cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax").split() == ["33", "9000"]


def test_loopback_is_up(ocirt, bundle):
    assert "LOOPBACK,UP" in run(ocirt, bundle, "ip link show lo")


def test_names(ocirt, bundle):
    """config.md, Hostname and Domainname."""
    bundle.config["hostname"], bundle.config["domainname"] = "a-host", "a.domain"
    assert run(ocirt, bundle, "hostname; cat /proc/sys/kernel/domainname; echo $$").split() == [
        "a-host",
        "a.domain",
        "1",
    ]


def test_user_namespace(ocirt, bundle):
    """config-linux.md, User namespace mappings: written by the parent, from the container's ids to the host's."""
    bundle.namespace("user")
    bundle.config["linux"]["uidMappings"] = [
        {"containerID": 0, "hostID": 100000, "size": 1000},
        {"containerID": 1000, "hostID": 200000, "size": 1},
    ]
    bundle.config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    bundle.path.chmod(0o755)
    for folder in bundle.path.parents:
        folder.chmod(folder.stat().st_mode | 0o11)
    bundle.config["root"]["readonly"] = False
    out = run(ocirt, bundle, "cat /proc/self/uid_map /proc/self/gid_map; id -u; ls -ln /dev/null | cut -c1")
    lines = out.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["0", "100000", "1000"],
        ["1000", "200000", "1"],
        ["0", "100000", "1000"],
    ]
    assert lines[3:] == ["0", "c"]


def test_user_namespace_needs_mappings(ocirt, bundle):
    bundle.namespace("user").save()
    assert "linux.uidMappings" in ocirt.fails("create", "--bundle", bundle, "c1")
    bundle.without_namespace("user").config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 0, "size": 1}]
    bundle.save()
    # Mappings without a user namespace mean nothing, and every peer accepts them.
    assert "linux.uidMappings" in ocirt.ok("create", "--bundle", bundle, "c1").err


def test_time_offsets(ocirt, bundle):
    """config-linux.md, Offset for Time Namespace."""
    bundle.namespace("time").config["linux"]["timeOffsets"] = {
        "boottime": {"secs": 10_000_000, "nanosecs": 5},
        "monotonic": {"secs": 77},
    }
    out = run(ocirt, bundle, "cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime").splitlines()
    assert [line.split() for line in out[:2]] == [["monotonic", "77", "0"], ["boottime", "10000000", "5"]]
    assert int(out[2]) > 10_000_000


def test_cgroup_namespace(ocirt, bundle):
    bundle.namespace("cgroup")
    assert {line.split(":", 2)[2] for line in run(ocirt, bundle, "cat /proc/self/cgroup").splitlines()} == {"/"}
