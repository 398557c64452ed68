"""What init does while the runtime, or systemd, makes its cgroup: docs/architecture.md, "The process, in order"."""

import pytest

from ocirt.model.host import Cgroups
from ocirt.plan.check import fault_of
from ocirt.plan.steps import EVENTS
from tests.unit.plans import config, host, names, plan, shown, v1, v2

PLACED = EVENTS.index("placed")
CGROUP_SPACE = 0x02000000
SPACES = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network", "cgroup")]
USER = {
    "linux__namespaces": [*SPACES, {"type": "user"}],
    "linux__uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
    "linux__gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
}
NEW = [
    {"destination": path, "type": kind, "source": kind}
    for path, kind in (
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/mq", "mqueue"),
        ("/sys", "sysfs"),
    )
]
CGROUP = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}
BIND = {"destination": "/data", "source": "/x", "options": ["bind"]}
COPY = {"destination": "/run", "type": "tmpfs", "options": ["tmpcopyup"]}
DISK = {"destination": "/disk", "type": "ext4", "source": "/dev/vdb"}
DRIVERS = [
    pytest.param(host(), {}, id="v1"),
    pytest.param(v2(), {}, id="v2"),
    pytest.param(v2(has_systemd=True, files={"/run/systemd/private"}), {"systemd_cgroup": "1"}, id="systemd"),
    pytest.param(host(has_systemd=True, files={"/run/systemd/private"}), {"systemd_cgroup": "1"}, id="systemd on v1"),
]


def compiled(on, words, mounts=(*NEW, CGROUP), **more):
    made = plan(config(**{"mounts": list(mounts), "linux__namespaces": SPACES, **more}), on, **words)
    assert fault_of(made) == ""
    return made


def index_of_placed(made, section):
    return [index for index, row in enumerate(shown(made, section)) if row[1].get("event") == PLACED][0]


@pytest.mark.parametrize("more", [{}, USER], ids=["", "user namespace"])
@pytest.mark.parametrize("on, words", DRIVERS)
def test_every_driver_overlaps(on, words, more):
    """Before init waits for its cgroup it has its namespaces, and the mounts that are the same in any cgroup; the cgroup namespace,
    and all that may act in the cgroup, come after."""
    made = compiled(on, words, **more)
    at = index_of_placed(made, "init")
    before, after = names(made, "init")[:at], names(made, "init")[at:]
    assert {"Unshare", "OpenRootfs"} < set(before)
    # On cgroup v1 the runtime places init first, and then waits for its thread: sysfs shows the network namespace.
    is_first = not (on.cgroups.is_v2 or words or more)
    assert before.count("Mount") == len(NEW) - is_first
    assert not {"JoinCgroup", "Bind", "MakeNode"} & set(before)
    # In a user namespace the network namespace is init's to make.
    unshared = [fields["flags"] for _, fields in shown(made, "init", "Unshare")]
    assert unshared == [0x4C020000 if more else 0xC020000, CGROUP_SPACE] and after.count("Unshare") == 1
    assert "LoopbackUp" in before if more else "JoinNamespace" in (after if is_first else before)
    # Clone3 keeps the runtime waiting for none but those in which init has to be born.
    ((_, spawn),) = shown(made, "host", "Spawn")
    assert spawn["flags"] == 0x20000000 | (0x10000000 if more else 0)


@pytest.mark.parametrize("on, words", DRIVERS)
def test_the_agent_of_a_filter_comes_last(on, words):
    """The runtime tells init its pid once it has placed init and sent the network namespace: compiled() checks the order."""
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/agent",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    }
    made = compiled(on, words, linux__seccomp=profile)
    events = [EVENTS[fields["event"]] for _, fields in shown(made, "init", "Receive")]
    assert events[-1] == "known" and {"network", "placed"} >= set(events[:-1])


@pytest.mark.parametrize("first", [BIND, COPY, DISK, {**BIND, "options": ["remount", "ro"]}])
@pytest.mark.parametrize("on, words", DRIVERS)
def test_what_may_need_the_cgroup_waits_for_it(on, words, first):
    """Binds may be of the cgroup itself, what tmpcopyup copies is charged, and device rules are about block devices."""
    made = compiled(on, words, [NEW[0], first, *NEW[1:]])
    assert names(made, "init")[: index_of_placed(made, "init")].count("Mount") == 1


@pytest.mark.parametrize("on, words", DRIVERS)
def test_without_such_a_mount_it_waits_after_all_of_them(on, words):
    made = compiled(on, words, NEW)
    at = index_of_placed(made, "init")
    assert names(made, "init")[:at].count("Mount") == len(NEW) - (not (on.cgroups.is_v2 or words))
    assert names(made, "init").index("MakeNode") > at


@pytest.mark.parametrize("on, words", DRIVERS)
def test_limits_come_first_and_the_device_filter_beside_init(on, words):
    """Limits are written before the container is in its cgroup, or goes on there. The filter of cgroup v2 takes the kernel long to
    check: it is there before the runtime waits for init, and so before hooks and the program."""
    made = compiled(on, words, linux__resources={"pids": {"limit": 5}})
    order = names(made, "host")
    at = index_of_placed(made, "host")
    limit = shown(made, "host").index([row for row in shown(made, "host") if row[1].get("file") == "pids.max"][0])
    assert limit < at
    if "LoadDeviceFilter" in order:
        assert order.index("Spawn") < at < order.index("LoadDeviceFilter") < order.index("Receive")
    else:
        assert max(index for index, row in enumerate(shown(made, "host")) if row[1].get("file") == "devices.allow") < at


@pytest.mark.parametrize("on", [v2(), v2(has_systemd=True, files={"/run/systemd/private"})])
def test_a_block_device_is_mounted_under_the_device_filter(on):
    made = compiled(on, {"systemd_cgroup": "1"} if on.has_systemd else {}, [*NEW, DISK])
    assert names(made, "host").index("LoadDeviceFilter") < index_of_placed(made, "host")


@pytest.mark.parametrize("on, words", DRIVERS)
def test_a_stage_is_placed_before_it_makes_init(on, words):
    """Init is born in its cgroup, or finds what it joins by. The namespaces are joined before that."""
    made = compiled(on, words, linux__namespaces=[*SPACES[:4], {"type": "network", "path": "/n"}, SPACES[5]])
    order = names(made, "stage")
    assert order.index("JoinNamespace") < index_of_placed(made, "stage") < order.index("Spawn")
    assert not [row for row in shown(made, "init", "Receive") if row[1]["event"] == PLACED]


def test_what_the_caller_may_not_write_is_not_passed():
    """Then the cgroups come first, as far as they can be had, and nobody waits."""
    made = compiled(host(cgroups=Cgroups(v1("memory", "pids"))), {"rootless": "true"})
    order = names(made, "host")
    assert order.index("MakeCgroup") < order.index("Spawn")
    assert PLACED not in [fields["event"] for _, fields in shown(made, "host", "Send")]
