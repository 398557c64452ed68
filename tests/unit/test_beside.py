"""What the runtime does while init is at work: compile/beside.py."""

import pytest

from ocirt.compile import compile
from ocirt.model.config import parse
from ocirt.model.host import Cgroups, Hierarchy
from ocirt.plan.steps import EVENTS
from tests.unit import plans
from tests.unit.plans import config, host, names, plan, shown, v1, v2

OPENED, FILLED, KNOWN, UNSHARED = [EVENTS.index(name) for name in ("opened", "filled", "known", "unshared")]
SPACES = [{"type": "mount"}, {"type": "network"}]
PROC, TMP, SYS = [
    {"destination": path, "type": kind, "source": kind}
    for path, kind in (("/proc", "proc"), ("/tmp", "tmpfs"), ("/sys", "sysfs"))
]
CGROUP = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}
DATA = {"destination": "/data", "source": "/x", "options": ["bind"]}


@pytest.fixture
def spec_plan():
    return compile(parse((plans.DATA / "runc-spec.json").read_bytes()), plans.request(console_socket="/socket"), host())


def of(mounts, on=None, spaces=SPACES, **more):
    return plan(config(mounts=mounts, linux__namespaces=spaces, **more), on or host())


def made(compiled):
    """The targets of the mounts that the runtime makes, in order."""
    return [fields["target"] for _, fields in shown(compiled, "host", "Mount")]


def test_mounts_of_the_spec(spec_plan):
    """config.md, Mounts: in the listed order, in which all of these are made by one process; the rootfs before them."""
    kinds = names(spec_plan, "host")
    assert made(spec_plan) == ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"]
    assert kinds.index("OpenMount") < kinds.index("Mount") and shown(spec_plan, "host", "OpenMount") == [
        ("OpenMount", {"fd": 10, "source": "/bundle/rootfs", "recursive": 1, "propagation": 1 << 19})
    ]
    assert kinds[kinds.index("MountHierarchies") :][:4] == ["MountHierarchies", "Send", "LoopbackUp", "RememberInit"]
    assert [fields["fstype"] for _, fields in shown(spec_plan, "host", "OpenFilesystem")] == [
        "tmpfs",
        "devpts",
        "tmpfs",
    ]
    assert [fields["fstype"] for _, fields in shown(spec_plan, "init", "OpenFilesystem")] == ["proc", "mqueue", "sysfs"]
    ((_, filled),) = shown(spec_plan, "host", "MountHierarchies")
    hierarchies = [each.mount.rpartition("/")[2] for each in host().cgroups.hierarchies]
    assert filled == {
        "fstype": "tmpfs",
        "source": "tmpfs",
        "options": ["mode=755"],
        "target": "/sys/fs/cgroup",
        "top": 0xE,
        "names": hierarchies,
        "sources": [f"/sys/fs/cgroup/{name}/c1" for name in hierarchies],
        "set": 0xF,
        "clear": 0x70,
        "propagation": 1 << 19,
        "detached": 1,
        "mount": 17,
    }


@pytest.mark.parametrize(
    "mounts, first",
    [
        ([PROC, DATA, TMP], ["/proc"]),
        ([DATA, PROC], []),
        ([PROC, {**TMP, "type": "ramfs"}, SYS], ["/proc"]),
        ([PROC, {"destination": "/proc", "options": ["remount", "ro"]}, TMP], ["/proc"]),
        ([], []),
        ([PROC, CGROUP, TMP, DATA], ["/proc", "/sys/fs/cgroup", "/tmp"]),
    ],
)
def test_up_to_the_first_that_init_has_to_make(mounts, first):
    compiled = of(mounts)
    assert made(compiled) == first
    # All of them are attached by init, in the order of the config, and each message comes before it is needed.
    rows = shown(compiled, "init", "Mount", "Bind", "Receive")
    attached = [fields["target"] for name, fields in rows if name == "Mount" and "mount" in fields]
    assert attached == first
    events = [fields["event"] for name, fields in rows if name == "Receive"]
    assert events[1:] == [OPENED, *([FILLED] if CGROUP in mounts else [])]


def test_one_message_for_all_cgroup_mounts():
    again = {**CGROUP, "destination": "/again"}
    compiled = of([CGROUP, PROC, again])
    assert made(compiled) == ["/sys/fs/cgroup", "/proc", "/again"]
    ((_, sent),) = [row for row in shown(compiled, "host", "Send") if row[1]["event"] == FILLED]
    kept = {fields["target"]: fields["mount"] for _, fields in shown(compiled, "host", "Mount")}
    assert (sent["first"], sent["count"]) == (kept["/sys/fs/cgroup"], 2) and kept["/again"] == sent["first"] + 1


def test_before_linux_6_15_init_fills_the_cgroup_mount():
    compiled = of([PROC, CGROUP, TMP], host(kernel=(6, 14)))
    assert made(compiled) == ["/proc"] and not shown(compiled, "host", "MountHierarchies")
    ((_, fields),) = shown(compiled, "init", "MountHierarchies")
    assert "detached" not in fields and "mount" not in fields


def test_an_entrys_propagation_is_that_of_all_its_mounts():
    compiled = of([{**CGROUP, "options": ["shared"]}])
    assert shown(compiled, "init", "Mount")[0][1]["propagation"] == 1 << 20
    assert shown(compiled, "init", "Mount")[0][1]["propagation_recursive"] == 1


@pytest.mark.parametrize(
    "more",
    [
        {"annotations": {"org.ocirt.rootfs.lower": "/a:/b"}},
        {"linux__namespaces": [{"type": "network"}]},
    ],
)
def test_a_rootfs_that_only_init_can_open(more):
    """An overlay is init's, and so is a rootfs without a mount namespace: then all mounts are, to come after it."""
    compiled = plan(
        config(**{"mounts": [PROC, CGROUP], "linux__namespaces": SPACES, **more}), host(), rootfs_annotations="1"
    )
    assert not shown(compiled, "host", "OpenMount") and not made(compiled)
    assert "LoopbackUp" in names(compiled, "host") and "MountHierarchies" in names(compiled, "init")


@pytest.mark.parametrize(
    "on, spaces",
    [
        (v2(), SPACES),
        (host(), SPACES[:1]),
        (host(), [*SPACES, {"type": "ipc", "path": "/i"}]),
        (host(), [*SPACES, {"type": "user"}]),
    ],
)
def test_nothing_where_the_cgroups_come_first(on, spaces):
    more = (
        {
            "linux__uidMappings": [{"containerID": 0, "hostID": 1, "size": 9}],
            "linux__gidMappings": [{"containerID": 0, "hostID": 1, "size": 9}],
        }
        if {"type": "user"} in spaces
        else {}
    )
    compiled = of([PROC, TMP], on, spaces, **more)
    assert not made(compiled) and not {"OpenNetwork", "RememberInit", "OpenFilesystem"} & {
        *names(compiled, "host"),
        *names(compiled, "init"),
    }
    assert len([1 for _, fields in shown(compiled, "init", "Mount") if "mount" not in fields]) == 2


def test_the_pid_is_known_before_who_needs_it():
    """resctrl writes it, and the agent of a seccomp profile is told."""
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "listenerPath": "/agent",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    }
    order = names(of([PROC], linux__seccomp=profile), "host")
    told = [
        index
        for index, row in enumerate(shown(of([PROC], linux__seccomp=profile), "host"))
        if row == ("Send", {"event": KNOWN})
    ]
    assert order.index("RememberInit") < told[0] < order.index("LoopbackUp")
    order = names(
        of(
            [PROC], host(resctrl="/sys/fs/resctrl", files={"/sys/fs/resctrl/schemata"}), linux__intelRdt={"closID": "x"}
        ),
        "host",
    )
    assert order.index("RememberInit") < order.index("JoinResctrlGroup")


def test_hierarchies_of_several_controllers_have_links():
    both = host(
        cgroups=Cgroups([*v1("memory"), Hierarchy(("cpu", "devices"), "/sys/fs/cgroup/cpu,devices", "/")], None)
    )
    ((_, fields),) = shown(of([CGROUP], both), "host", "MountHierarchies")
    assert (fields["links"], fields["to"]) == (["cpu", "devices"], ["cpu,devices"] * 2)
