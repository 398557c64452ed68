"""config-linux.md, Control groups, on cgroup v2 alone: limits written and read back, entered, signalled, removed."""

import ctypes
import os
import struct
import subprocess
from pathlib import Path

import pytest

from tests.integration.harness import CGROUPS, LIMIT, OWN, PARENT, left_cgroups
from tests.integration.unified import (
    HUGE,
    ON_V2,
    emptied,
    exec_into_the_second_container,
    folder,
    inside,
    left_running,
    make,
    membership,
    read,
    sleeper,
    unified,
    wait_for,
)
from tests.processor import syscall_number

__all__ = ["emptied", "unified"]  # fixtures of every test here
needs_controllers = pytest.mark.skipif(not ON_V2, reason="the controllers of this host are v1")


# ---- entering ----


@pytest.mark.cgroupfs
def test_init_is_in_it_at_once(ocirt, bundle, tmp_path):
    """Made in its cgroup, by clone3: nobody writes to cgroup.procs, and no grace period is waited for."""
    trace = tmp_path / "trace"
    bundle.shell("grep ^0 /proc/self/cgroup").without_namespace("cgroup").save()
    command = [
        "strace",
        "-f",
        "-o",
        trace,
        "-e",
        "trace=clone3,openat,openat2",
        "-e",
        "signal=none",
        *ocirt.command("run", "--bundle", bundle, "c1"),
    ]
    done = subprocess.run(command, check=True, timeout=LIMIT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.stdout == f"0::{PARENT}/bundle\n"
    calls = trace.read_text()
    assert "CLONE_INTO_CGROUP" in calls
    assert not [line for line in calls.splitlines() if "cgroup.procs" in line and "O_WRONLY" in line]


@pytest.mark.cgroupfs
@pytest.mark.parametrize("killed", ["the container's", "the caller's"])
def test_a_cgroup_that_has_been_killed_before(ocirt, bundle, killed):
    """Kernels since 6.13 kill a child at its birth in such a cgroup: it is made outside, and moves itself."""
    make(f"{PARENT}/bundle")
    bundle.config["linux"]["cgroupsPath"] = f"{PARENT}/bundle"
    bundle.namespace("time").save()
    with inside(f"{PARENT}/session"):
        if killed == "the container's":
            (folder() / "cgroup.kill").write_text("1")
        else:
            with inside(f"{PARENT}/other"):
                (folder(f"{PARENT}/session") / "cgroup.kill").write_text("1")
        for _ in ("with a stage", "without"):
            ocirt.ok("create", "--bundle", bundle, "c1")
            assert membership(ocirt.state("c1")["pid"]) == f"{PARENT}/bundle"
            ocirt.ok("start", "c1")
            ocirt.ok("delete", "--force", "c1")
            bundle.without_namespace("time").save()


@pytest.mark.cgroupfs
def test_an_exec_into_a_cgroup_that_has_been_killed_before(ocirt, bundle):
    """The kernel kills exec's first child at its birth (above), and exec makes another. That child is not the container: the
    journal stays as it was, so the container still runs, for `state` and for a `delete` without --force."""
    make(f"{PARENT}/bundle")
    bundle.config["linux"]["cgroupsPath"] = f"{PARENT}/bundle"
    bundle.save()
    with inside(f"{PARENT}/session"):
        exec_into_the_second_container(ocirt, bundle)


def test_with_joined_namespaces(ocirt, bundle):
    """The stage is made in the cgroup, and init by it."""
    bundle.namespace("ipc", f"/proc/{os.getpid()}/ns/ipc").save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert membership(ocirt.state("c1")["pid"]) == OWN


def test_hooks_stay_outside(ocirt, bundle, tmp_path):
    out = tmp_path / "out"
    bundle.config["hooks"] = {
        "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat /proc/self/cgroup > {out}"]}]
    }
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert OWN not in out.read_text()


def test_in_a_cgroup_namespace(ocirt, bundle):
    """It shows the container's cgroup as the root, in /proc and in the mount."""
    bundle.shell(
        "cat /proc/self/cgroup | grep ^0; cat /sys/fs/cgroup/cgroup.procs | head -1; cat /sys/fs/cgroup/cgroup.type;"
        " touch /sys/fs/cgroup/x 2>&1; grep cgroup2 /proc/self/mountinfo"
    ).save()
    lines = ocirt.ok("run", "--bundle", bundle, "c1").out.splitlines()
    assert lines[:3] == ["0::/", "1", "domain"] and "Read-only" in lines[3]
    assert lines[4].split()[3:5] == ["/", "/sys/fs/cgroup"] and len(lines) == 5


def test_without_a_cgroup_namespace(ocirt, bundle):
    bundle.without_namespace("cgroup").shell("grep ^0 /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.type").save()
    assert ocirt.ok("run", "--bundle", bundle, "c1").out.splitlines() == [f"0::{OWN}", "domain"]


@pytest.mark.skipif(not ON_V2, reason="the host's mount has no options to lose here")
def test_the_hosts_mount_keeps_its_options(ocirt, bundle):
    """A new mount outside a cgroup namespace would take them away."""

    def options():
        return [
            line.split(" - ")[1]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if " cgroup2 " in line
        ]

    before = options()
    for spaced in (True, False):
        (bundle if spaced else bundle.without_namespace("cgroup")).args("true").save()
        ocirt.ok("run", "--bundle", bundle, "c1")
    assert options() == before


# ---- paths ----


@pytest.mark.cgroupfs
def test_a_relative_path_lies_beside_the_callers_own(ocirt, bundle):
    bundle.config["linux"]["cgroupsPath"] = "deep/x"
    bundle.save()
    with inside(f"{PARENT}/session/me"):
        ocirt.ok("create", "--bundle", bundle, "c1")
        assert membership(ocirt.state("c1")["pid"]) == f"{PARENT}/session/deep/x"
    # The place is the one of create, whoever deletes.
    ocirt.ok("delete", "--force", "c1")
    assert not folder(f"{PARENT}/session/deep").exists()


@pytest.mark.cgroupfs
def test_without_a_path_it_is_the_id(ocirt, bundle):
    del bundle.config["linux"]["cgroupsPath"]
    bundle.save()
    with inside(f"{PARENT}/session/me"):
        ocirt.ok("create", "--bundle", bundle, "c1")
        assert membership(ocirt.state("c1")["pid"]) == f"{PARENT}/session/c1"
        ocirt.ok("delete", "--force", "c1")


@pytest.mark.cgroupfs
def test_two_containers_share_parents(ocirt, bundles):
    """Whoever leaves last takes away the parents that one of them made."""
    for name in ("one", "two"):
        bundle = bundles(name)
        bundle.config["linux"]["cgroupsPath"] = f"{PARENT}/shared/{name}"
        bundle.save()
        ocirt.ok("create", "--bundle", bundle, name)
    ocirt.ok("delete", "--force", "one")
    assert folder(f"{PARENT}/shared/two").exists()
    ocirt.ok("delete", "--force", "two")
    assert left_cgroups() == []


# ---- what is there already ----


@pytest.mark.cgroupfs
def test_an_empty_one_is_used_and_stays(ocirt, bundle):
    make(f"{PARENT}/bundle")
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("delete", "--force", "c1")
    assert folder().exists()


@pytest.mark.cgroupfs
@pytest.mark.parametrize("place", ["", "/inner/deep"])
def test_one_with_processes_is_refused(ocirt, bundle, place):
    with sleeper(f"{PARENT}/bundle{place}") as process:
        message = ocirt.fails("create", "--bundle", bundle, "c1")
        assert "linux.cgroupsPath" in message and "it has processes in it already" in message
        assert process.poll() is None


@pytest.mark.cgroupfs
def test_a_frozen_one_is_refused(ocirt, bundle):
    make(f"{PARENT}/bundle")
    (folder() / "cgroup.freeze").write_text("1")
    assert "it is frozen" in ocirt.fails("create", "--bundle", bundle, "c1")
    (folder() / "cgroup.freeze").write_text("0")


@pytest.mark.cgroupfs
def test_a_threaded_one_is_refused(ocirt, bundle):
    """The kernel's cgroup-v2.rst, Threads: below a threaded domain there is no place for processes of another."""
    make(f"{PARENT}/thread")
    (folder(f"{PARENT}/thread") / "cgroup.type").write_text("threaded")
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert "a cgroup above it is threaded" in message
    bundle.config["linux"]["cgroupsPath"] = f"{PARENT}/thread"
    bundle.save()
    assert "it is part of a threaded cgroup" in ocirt.fails(
        "create", "--bundle", bundle, "c1"
    ) or "a cgroup above it is threaded" in ocirt.fails("create", "--bundle", bundle, "c1")


@pytest.mark.cgroupfs
@pytest.mark.root_cgroup
def test_one_with_controllers_for_its_children_is_refused(ocirt, bundle):
    make(f"{PARENT}/bundle/child")
    for parent in (CGROUPS, folder(PARENT), folder()):
        (parent / "cgroup.subtree_control").write_text("+hugetlb")
    assert "takes no process" in ocirt.fails("create", "--bundle", bundle, "c1")


# ---- controllers ----


@pytest.mark.cgroupfs
@pytest.mark.root_cgroup
def test_controllers_are_enabled_all_the_way_down(ocirt, bundle):
    bundle.config["linux"]["cgroupsPath"] = f"{PARENT}/a/b/c"
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert read("cgroup.controllers", f"{PARENT}/a/b/c").split() == read("cgroup.subtree_control", "/").split() != []
    assert read("cgroup.subtree_control", f"{PARENT}/a/b/c") == ""


@pytest.mark.cgroupfs
@pytest.mark.root_cgroup
def test_a_controller_that_the_kernel_refuses(ocirt, bundle, tmp_path):
    """Before Linux 6.6 cpuset answers EPERM above processes of another user: then each controller is enabled by itself."""
    bundle.config["linux"]["cgroupsPath"] = f"{PARENT}/deep/x"
    bundle.args("true").save()
    trace, file = tmp_path / "trace", folder(f"{PARENT}/deep") / "cgroup.subtree_control"
    once = [
        "strace",
        "-f",
        "-s",
        "200",
        "-o",
        trace,
        "-P",
        file,
        "-e",
        "trace=write",
        "-e",
        "inject=write:error=EPERM:when=1",
    ]
    make(f"{PARENT}/deep")
    command = [*once, *ocirt.command("run", "--keep", "--bundle", bundle, "c1")]
    subprocess.run(command, check=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    refused, *alone = [line.split('"')[1].split() for line in trace.read_text().splitlines() if "write(" in line]
    if len(refused) < 2:
        pytest.skip("this host's cgroup v2 has only one controller")
    assert alone == [[each] for each in refused]
    assert read("cgroup.subtree_control", f"{PARENT}/deep").split() == [each[1:] for each in refused]


@pytest.mark.cgroupfs
@pytest.mark.root_cgroup
def test_a_parent_with_processes(ocirt, bundle):
    """The kernel's cgroup-v2.rst, No Internal Process Constraint: a limit says why it cannot be, nothing else minds."""
    bundle.config["linux"]["cgroupsPath"] = f"{PARENT}/busy/x"
    bundle.config["linux"]["resources"] = {**bundle.config["linux"]["resources"], **HUGE}
    bundle.save()
    with sleeper(f"{PARENT}/busy"):
        message = ocirt.fails("create", "--bundle", bundle, "c1")
        assert message.strip('"').startswith("linux.resources.hugepageLimits[0]: write 4194304 to ")
        assert (
            f"the controller hugetlb is not enabled in this cgroup: enable controllers in {PARENT}/busy: "
            "device or resource busy (it has processes itself)"
        ) in message
        assert not folder(f"{PARENT}/busy/x").exists() and ocirt.ids() == []
        del bundle.config["linux"]["resources"]["hugepageLimits"]
        bundle.save()
        ocirt.ok("create", "--bundle", bundle, "c1")
        # No controller was enabled by itself either: that would make the children invalid.
        assert (
            read("cgroup.subtree_control", f"{PARENT}/busy") == ""
            and read("cgroup.type", f"{PARENT}/busy/x") == "domain"
        )


@pytest.mark.parametrize(
    "resources, message",
    [
        ({"unified": {"foo.bar": "1"}}, "the controller foo is not there on this host"),
        pytest.param(
            {"unified": {"hugetlb.nothing": "1"}}, "this kernel has no such file", marks=pytest.mark.root_cgroup
        ),
        ({"unified": {"cgroup.nothing": "1"}}, "this kernel has no such file"),
        pytest.param(
            {"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]},
            "this kernel has no such file",
            marks=pytest.mark.root_cgroup,
        ),
    ],
)
def test_what_the_host_has_not(ocirt, bundle, resources, message):
    bundle.config["linux"]["resources"] = resources
    bundle.save()
    assert message in ocirt.fails("create", "--bundle", bundle, "c1")
    assert ocirt.ids() == [] and left_cgroups() == []


# ---- limits ----


@pytest.mark.root_cgroup
def test_huge_pages(ocirt, bundle):
    """config-linux.md, Huge page limits."""
    bundle.config["linux"]["resources"] = HUGE
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert read("hugetlb.2MB.max") == str(4 << 20) == read("hugetlb.2MB.rsvd.max")


@pytest.mark.root_cgroup
def test_unified_has_the_last_word(ocirt, bundle):
    """config-linux.md, Unified."""
    bundle.config["linux"]["resources"] = {
        **HUGE,
        "unified": {"hugetlb.2MB.max": str(6 << 20), "cgroup.max.depth": "3"},
    }
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert (read("hugetlb.2MB.max"), read("hugetlb.2MB.rsvd.max"), read("cgroup.max.depth")) == (
        str(6 << 20),
        str(4 << 20),
        "3",
    )


def a_disk():
    """Major and minor of a whole disk."""
    for disk in sorted(Path("/sys/block").glob("vd*")):
        return tuple(map(int, (disk / "dev").read_text().split(":")))


@needs_controllers
@pytest.mark.parametrize(
    "resources, file, expected",
    [
        ({"memory": {"limit": 50 << 20}}, "memory.max", str(50 << 20)),
        ({"memory": {"limit": 50 << 20, "swap": 80 << 20}}, "memory.swap.max", str(30 << 20)),
        ({"memory": {"limit": 50 << 20, "swap": 50 << 20}}, "memory.swap.max", "0"),
        ({"memory": {"limit": 50 << 20, "swap": -1}}, "memory.swap.max", "max"),
        ({"memory": {"limit": -1}}, "memory.max", "max"),
        ({"memory": {"limit": 50 << 20, "checkBeforeUpdate": True}}, "memory.max", str(50 << 20)),
        ({"memory": {"reservation": 40 << 20}}, "memory.low", str(40 << 20)),
        ({"cpu": {"shares": 512}}, "cpu.weight", "59"),
        ({"cpu": {"quota": 20000, "period": 50000}}, "cpu.max", "20000 50000"),
        ({"cpu": {"quota": 20000}}, "cpu.max", "20000 100000"),
        ({"cpu": {"period": 50000}}, "cpu.max", "max 50000"),
        ({"cpu": {"quota": 20000, "burst": 5000}}, "cpu.max.burst", "5000"),
        ({"cpu": {"idle": 1, "shares": 512}}, "cpu.idle", "1"),
        ({"cpu": {"idle": 0, "shares": 512}}, "cpu.weight", "59"),
        ({"cpu": {"cpus": "0", "mems": "0"}}, "cpuset.cpus", "0"),
        ({"cpu": {"cpus": "0", "mems": "0"}}, "cpuset.mems", "0"),
        ({"pids": {"limit": 20}}, "pids.max", "20"),
        ({"pids": {"limit": -1}}, "pids.max", "max"),
        ({"pids": {"limit": 0}}, "pids.max", "1"),
        ({"unified": {"memory.high": "41943040"}}, "memory.high", "41943040"),
    ],
)
def test_limits(ocirt, bundle, resources, file, expected):
    bundle.config["linux"]["resources"] = resources
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert read(file) == expected


@needs_controllers
def test_limits_of_block_devices(ocirt, bundle):
    major, minor = a_disk()
    device = {"major": major, "minor": minor}
    bundle.config["linux"]["resources"] = {
        "blockIO": {
            "throttleReadBpsDevice": [{**device, "rate": 1 << 20}],
            "throttleWriteIOPSDevice": [{**device, "rate": 300}],
        },
        "unified": {"io.max": f"{major}:{minor} wbps=2097152\n{major}:{minor} riops=400"},
    }
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert read("io.max") == f"{major}:{minor} rbps=1048576 wbps=2097152 riops=400 wiops=300"


@needs_controllers
def test_a_weight_of_block_devices(ocirt, bundle):
    """The file that there is: BFQ's, or the kernel's own; without both the limit says so."""
    bundle.config["linux"]["resources"] = {"blockIO": {"weight": 500}}
    bundle.save()
    result = ocirt("create", "--bundle", bundle, "c1")
    present = [file for file in ("io.bfq.weight", "io.weight") if (CGROUPS / "system.slice" / file).exists()]
    if present:
        assert (
            result.status == 0
            and read(present[0]) == {"io.bfq.weight": "default 500", "io.weight": "default 4950"}[present[0]]
        )
    else:
        assert "linux.resources.blockIO.weight" in result.err and "this kernel has no such file" in result.err


@needs_controllers
@pytest.mark.parametrize(
    "resources, path",
    [
        ({"memory": {"limit": 50 << 20, "swap": 40 << 20}}, "linux.resources.memory.swap"),
        ({"cpu": {"cpus": "4096"}}, "linux.resources.cpu.cpus"),
        ({"rdma": {"nothing": {"hcaHandles": 1}}}, "linux.resources.rdma.nothing"),
    ],
)
def test_limits_that_the_kernel_refuses(ocirt, bundle, resources, path):
    bundle.config["linux"]["resources"] = resources
    bundle.save()
    assert path in ocirt.fails("create", "--bundle", bundle, "c1")
    assert ocirt.ids() == [] and left_cgroups() == []


@needs_controllers
def test_a_limit_holds(ocirt, bundle):
    bundle.shell("for i in 1 2 3 4 5 6 7 8; do sleep 3 & done; echo made").config["linux"]["resources"] = {
        "pids": {"limit": 4}
    }
    bundle.save()
    result = ocirt("run", "--bundle", bundle, "c1")
    assert "fork" in result.err and result.out == ""


@needs_controllers
def test_true_under_a_small_limit(ocirt, bundle):
    bundle.args("true").config["linux"]["resources"] = {"memory": {"limit": 4 << 20}}
    bundle.save()
    ocirt.ok("run", "--bundle", bundle, "c1")


def test_what_is_not_applied_is_a_warning(ocirt, bundle):
    bundle.args("true").config["linux"]["resources"] = {"memory": {"swappiness": 10}}
    bundle.save()
    assert (
        "linux.resources.memory.swappiness: cgroup v2 has no swappiness"
        in ocirt.ok("run", "--bundle", bundle, "c1").err
    )


# ---- devices ----

FUSE = {"type": "c", "major": 10, "minor": 229}


def run_with_devices(ocirt, bundle, rules, script):
    bundle.shell(script).config["root"]["readonly"] = False
    bundle.config["linux"]["resources"] = {"devices": rules}
    for name in ("bounding", "effective", "permitted"):
        bundle.config["process"]["capabilities"][name].append("CAP_MKNOD")
    bundle.save()
    return ocirt("run", "--bundle", bundle, "c1")


def test_devices_are_refused(ocirt, bundle):
    """config-linux.md, Allowed Device list."""
    result = run_with_devices(
        ocirt,
        bundle,
        [{"allow": False, "access": "rwm"}],
        "mknod /dev/d c 10 229 && cat /dev/d; echo x > /dev/null && head -c 1 /dev/zero | wc -c",
    )
    assert "Operation not permitted" in result.err and result.out == "1\n"


OPENS = "; ".join(
    f"(exec 3{how}/dev/d) 2>&1 | grep -q 'not permitted' && echo {name}"
    for how, name in (("<", "read"), (">", "write"), ("<>", "both"))
)


@pytest.mark.parametrize(
    "rules, refused",
    [
        ([{"allow": False, "access": "rwm"}], ["read", "write", "both"]),
        ([{"allow": True, "access": "rwm"}], []),
        ([{"allow": True, **FUSE, "access": "rw"}], []),
        ([{"allow": True, **FUSE, "access": "r"}], ["write", "both"]),
        ([{"allow": True, **FUSE, "access": "rw"}, {"allow": False, **FUSE, "access": "w"}], ["write", "both"]),
        ([{"allow": False, **FUSE, "access": "rw"}, {"allow": True, "type": "c", "major": 10, "access": "rw"}], []),
        ([{"allow": True, "type": "b", "major": 10, "minor": 229, "access": "rw"}], ["read", "write", "both"]),
        ([{"allow": True, **FUSE, "minor": 230, "access": "rw"}], ["read", "write", "both"]),
    ],
)
def test_the_last_rule_that_matches(ocirt, bundle, rules, refused):
    result = run_with_devices(ocirt, bundle, rules, f"mknod /dev/d c 10 229 || exit 9; {OPENS}; true")
    assert result.status == 0 and result.out.split() == refused


def attached(path):
    """Ids of the device programs of a cgroup: BPF_PROG_QUERY, bpf(2)."""
    ids, fd = (ctypes.c_uint32 * 64)(), os.open(folder(path), os.O_RDONLY)
    attr = ctypes.create_string_buffer(
        struct.pack("=IIIIQI", fd, 6, 0, 0, ctypes.addressof(ids), 64).ljust(128, b"\0"), 128
    )
    status = ctypes.CDLL(None, use_errno=True).syscall(syscall_number("bpf"), 16, attr, 128)
    os.close(fd)
    assert status == 0, os.strerror(ctypes.get_errno())
    return list(ids[: struct.unpack_from("=I", attr, 24)[0]])


@pytest.mark.cgroupfs
def test_a_filter_takes_the_place_of_ours_alone(ocirt, bundle):
    make(f"{PARENT}/bundle")
    before = []
    for _ in range(2):
        ocirt.ok("create", "--bundle", bundle, "c1")
        (program,) = attached(f"{PARENT}/bundle")
        assert program not in before
        before.append(program)
        ocirt.ok("delete", "--force", "c1")


def test_a_signal_while_the_kernel_verifies_the_filter(ocirt, bundle, tmp_path):
    """BPF_PROG_LOAD fails with EAGAIN then, and is to be called again."""
    trace = tmp_path / "trace"
    interrupted = ["strace", "-o", trace, "-e", "trace=bpf", "-e", "inject=bpf:error=EAGAIN:when=1..2"]
    command = [*interrupted, *ocirt.command("create", "--bundle", bundle, "c1")]
    subprocess.run(command, check=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    assert trace.read_text().count("(INJECTED)") == 2 and ocirt.status("c1") == "created"


# ---- signals and the end ----


def test_kill_all(ocirt, bundle):
    bundle.without_namespace("pid").shell("for i in 1 2 3 4 5; do (sleep 70 & sleep 71) & done; sleep 72").save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    ocirt.ok("kill", "--all", "c1", "KILL")
    # As kill(2), the kernel's cgroup.kill does not wait until the processes have ended.
    wait_for(lambda: not left_running())
    ocirt.wait_status("c1", "stopped")


def test_kill_all_with_another_signal(ocirt, bundle):
    bundle.without_namespace("pid").shell("sleep 70 & sleep 71 & wait").save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    wait_for(lambda: len(read("cgroup.procs").split()) == 3)
    ocirt.ok("kill", "--all", "c1", "TERM")
    ocirt.wait_status("c1", "stopped")


def test_a_frozen_container_is_deleted(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    (folder() / "cgroup.freeze").write_text("1")
    ocirt.ok("delete", "--force", "c1")
    assert left_cgroups() == []


def test_removed_with_what_is_left_inside(ocirt, bundle):
    """Processes that outlive init, and cgroups that were made inside."""
    bundle.without_namespace("pid").shell("sleep 63 & exit 0").save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    ocirt.wait_status("c1", "stopped")
    (left,) = read("cgroup.procs").split()
    (folder() / "inner/deep").mkdir(parents=True)
    (folder() / "inner/other").mkdir()
    (folder() / "inner/deep/cgroup.procs").write_text(left)
    ocirt.ok("delete", "c1")
    assert left_cgroups() == []
    stat = Path(f"/proc/{left}/stat")
    assert not stat.exists() or ") Z " in stat.read_text()  # its new parent may not have reaped it yet


def test_removed_however_deep(ocirt, bundle):
    """A container that may make cgroups must not make itself impossible to delete."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    here = os.getcwd()
    os.chdir(folder())
    for _ in range(2000):
        os.mkdir("deeper")
        os.chdir("deeper")
    os.chdir(here)
    ocirt.ok("delete", "--force", "c1")
    assert left_cgroups() == []
