"""config-linux.md, "Namespaces", "User namespace mappings", "Offset for Time Namespace"; config.md, "Hostname"."""

import pytest

from ocirt.errors import ConfigError, HostError
from ocirt.plan.steps import EVENTS
from tests.unit import plans
from tests.unit.plans import config, host, names, no_cgroups, plan, shown, steps, v2, values

MAP = [{"containerID": 0, "hostID": 100000, "size": 65536}]
SPAWNED, MAPPED = EVENTS.index("spawned"), EVENTS.index("mapped")
FLAGS = {
    "pid": 0x20000000,
    "network": 0x40000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "cgroup": 0x02000000,
    "time": 0x80,
    "user": 0x10000000,
    "mount": 0x20000,
}


def spaces(*kinds, **changes):
    """A config with namespaces, see :func:`plans.spaces`."""
    return config(**plans.spaces(*kinds), **changes)


def user(*kinds, uid=MAP, gid=MAP, **changes):
    return spaces(*kinds, linux__uidMappings=uid, linux__gidMappings=gid, **changes)


def error(members, on=None, kind=ConfigError):
    with pytest.raises(kind) as caught:
        plan(members, on)
    return str(caught.value).removeprefix("config.json: ")


def test_init_is_born_in_the_pid_namespace_and_makes_the_others():
    made = plan(spaces("mount", "pid", "ipc", "uts"))
    assert shown(made, "host", "Spawn") == [("Spawn", {"section": "init", "flags": 0x20000000})]
    assert shown(made, "init", "Unshare") == [("Unshare", {"flags": 0xC020000})]
    assert made.sections["stage"] == []


@pytest.mark.parametrize("on", [v2(), host()])
def test_a_thread_of_the_runtime_makes_the_network_namespace(on):
    """The thread begins before the cgroup and init exist, and the runtime waits for it only once init is at work, on cgroup v1 after
    it has made the cgroups. Not where the namespace has to belong to the container's user namespace."""
    made = plan(spaces("mount", "network"), on)
    order = names(made, "host")
    assert order[:2] == ["BeginNetwork", "StoreContainer"]
    before, *after = order[order.index("TakeNetwork") - 1 :][:3]
    assert [before, *after] == ["Spawn" if on.cgroups.is_v2 else "Send", "TakeNetwork", "Send"]
    ((_, network),) = shown(made, "host", "TakeNetwork")
    ((_, join),) = shown(made, "init", "JoinNamespace")
    assert join == {"fd": network["fd"], "kind": FLAGS["network"]}
    assert shown(made, "init", "Unshare") == [("Unshare", {"flags": FLAGS["mount"]})]
    other = plan(user("user", "mount", "network"), on)
    assert not {"BeginNetwork", "TakeNetwork"} & set(names(other, "host"))
    assert shown(other, "init", "Unshare") == [("Unshare", {"flags": FLAGS["mount"] | FLAGS["network"]})]
    assert "LoopbackUp" in names(other, "init")


@pytest.mark.parametrize("kind, enters", [("sysfs", True), ("nfs", True), ("proc", False), ("tmpfs", False)])
def test_the_network_namespace_is_entered_before_a_file_system_that_shows_it(kind, enters):
    entry = {"destination": "/x", "type": kind, "source": "x"}
    order = names(plan(spaces("mount", "network", mounts=[entry]), v2()), "init")
    assert (order.index("JoinNamespace") < order.index("Mount")) is enters


def test_an_empty_path_is_a_new_one():
    assert shown(plan(spaces("mount", "pid=")), "host", "Spawn")[0][1]["flags"] == 0x20000000


def test_the_cgroup_namespace_is_made_after_joining():
    made = plan(spaces("mount", "cgroup"))
    assert shown(made, "host", "Spawn")[0][1]["flags"] == 0
    assert shown(made, "init", "Unshare") == [
        ("Unshare", {"flags": FLAGS["mount"]}),
        ("Unshare", {"flags": FLAGS["cgroup"]}),
    ]


def test_joined_ones_are_entered_by_the_stage():
    made = plan(spaces("mount=/ns/m", "pid", "network=/ns/n", "ipc=/ns/i"))
    assert shown(made, "host", "OpenNamespace") == [
        ("OpenNamespace", {"fd": 0, "path": "/ns/m", "kind": FLAGS["mount"]}),
        ("OpenNamespace", {"fd": 1, "path": "/ns/n", "kind": FLAGS["network"]}),
        ("OpenNamespace", {"fd": 2, "path": "/ns/i", "kind": FLAGS["ipc"]}),
    ]
    assert shown(made, "host", "Spawn", "Receive")[:2] == [
        ("Spawn", {"section": "stage", "flags": 0}),
        ("Receive", {"event": SPAWNED}),
    ]
    assert shown(made, "stage") == [
        ("ResetAffinity", {}),
        ("SetDumpable", {"value": 0}),
        ("JoinNamespace", {"fd": 1, "kind": FLAGS["network"]}),
        ("JoinNamespace", {"fd": 2, "kind": FLAGS["ipc"]}),
        ("JoinNamespace", {"fd": 0, "kind": FLAGS["mount"]}),
        ("Spawn", {"section": "init", "flags": FLAGS["pid"]}),
    ]
    assert steps(made, "host", "OpenNamespace")[0].at == "linux.namespaces[0].path"
    assert "LoopbackUp" not in names(made, "init")


def test_with_a_joined_user_namespace_the_others_are_tried_before_and_after():
    made = plan(spaces("user=/ns/u", "network=/ns/n", "mount"))
    assert shown(made, "stage") == [
        ("ResetAffinity", {}),
        ("SetDumpable", {"value": 0}),
        ("JoinNamespace", {"fd": 1, "kind": FLAGS["network"], "retry_later": 1}),
        ("JoinNamespace", {"fd": 0, "kind": FLAGS["user"]}),
        ("JoinNamespace", {"fd": 1, "kind": FLAGS["network"]}),
        ("Spawn", {"section": "init", "flags": FLAGS["mount"]}),
    ]
    assert shown(made, "init")[:3] == [("SetDumpable", {"value": 0}), ("BecomeRoot", {}), ("SetDumpable", {"value": 0})]
    assert "WriteIdMap" not in names(made, "host")


def test_a_joined_user_namespace_may_come_with_its_mappings():
    # containerd gives both; the namespace has its own.
    assert "WriteIdMap" not in names(plan(user("user=/ns/u", "mount")), "host")


# ---- id maps ----


def test_root_writes_the_maps_itself():
    made = plan(user("user", "mount", gid=[*MAP, {"containerID": 65536, "hostID": 7, "size": 1}]))
    assert shown(made, "host")[2:6] == [
        ("Spawn", {"section": "init", "flags": 0x10000000}),
        ("WriteIdMap", {"file": "uid_map", "map": "0 100000 65536\n"}),
        ("WriteIdMap", {"file": "gid_map", "map": "0 100000 65536\n65536 7 1\n"}),
        ("Send", {"event": MAPPED}),
    ]
    assert shown(made, "init")[1:6] == [
        ("SetDumpable", {"value": 0}),
        ("Unshare", {"flags": FLAGS["mount"]}),
        ("Receive", {"event": MAPPED}),
        ("BecomeRoot", {}),
        ("SetDumpable", {"value": 0}),
    ]
    assert [step.at for step in steps(made, "host", "WriteIdMap")] == ["linux.uidMappings", "linux.gidMappings"]


def test_with_a_stage_init_is_the_one_that_is_mapped():
    made = plan(user("user", "mount", "network=/ns/n"))
    assert shown(made, "host")[3:8] == [
        ("Spawn", {"section": "stage", "flags": 0}),
        ("Receive", {"event": SPAWNED}),
        ("WriteIdMap", {"file": "uid_map", "map": "0 100000 65536\n"}),
        ("WriteIdMap", {"file": "gid_map", "map": "0 100000 65536\n"}),
        ("Send", {"event": MAPPED}),
    ]
    assert shown(made, "stage")[-1] == ("Spawn", {"section": "init", "flags": 0x10020000})


def test_without_privileges_helpers_write_the_maps():
    made = plan(user("user", "mount"), no_cgroups(euid=1000, egid=1000))
    helpers = [fields for _, fields in shown(made, "host", "RunMapHelper")]
    assert [(fields["helper"], fields["ranges"]) for fields in helpers] == [
        ("newuidmap", ["0", "100000", "65536"]),
        ("newgidmap", ["0", "100000", "65536"]),
    ]
    assert "WriteIdMap" not in names(made, "host")
    assert "DenySetgroups" not in names(made, "host")
    # Whoever may map the ids of a process may not, once that is not dumpable.
    assert names(made, "init")[1:5] == ["Unshare", "Receive", "BecomeRoot", "SetDumpable"]
    assert shown(made, "init", "SetUser") == [("SetUser", {"uid": 0, "gid": 0, "groups": []})]


def test_without_privileges_the_own_id_needs_no_helper():
    own = [{"containerID": 0, "hostID": 1000, "size": 1}]
    group = [{"containerID": 0, "hostID": 1001, "size": 1}]
    made = plan(user("user", "mount", uid=own, gid=group), no_cgroups(euid=1000, egid=1001))
    assert shown(made, "host")[2:5] == [
        ("WriteIdMap", {"file": "uid_map", "map": "0 1000 1\n"}),
        ("DenySetgroups", {}),
        ("WriteIdMap", {"file": "gid_map", "map": "0 1001 1\n"}),
    ]
    assert shown(made, "init", "SetUser") == [("SetUser", {"uid": 0, "gid": 0, "groups": [], "setgroups": 0})]
    assert made.trace.tests["linux.uidMappings[0].hostID", "equals", 1000] is True


def test_groups_where_setgroups_is_denied():
    own = [{"containerID": 0, "hostID": 1000, "size": 1}]
    members = user("user", "mount", uid=own, gid=own, process__user={"uid": 0, "gid": 0, "additionalGids": [5]})
    assert error(members, no_cgroups(euid=1000, egid=1000), HostError) == (
        "process.user.additionalGids: the user namespace denies setgroups"
    )
    assert error(
        config(process__user={"uid": 0, "gid": 0, "additionalGids": [5]}),
        no_cgroups(in_user_namespace=True, denies_setgroups=True),
        HostError,
    ) == ("process.user.additionalGids: the user namespace denies setgroups")


@pytest.mark.parametrize(
    "members, message",
    [
        (
            spaces("mount", "user", linux__uidMappings=MAP),
            "linux.gidMappings: found nothing, expected at least one mapping for the new user namespace",
        ),
        (
            user("mount", "user", uid=[{"containerID": 0, "size": 1}]),
            "linux.uidMappings[0].hostID: found nothing, expected a whole number",
        ),
    ],
)
def test_maps_that_cannot_be(members, message):
    assert error(members) == message


def test_an_empty_list_of_maps_asks_for_nothing():
    plan(spaces("mount", linux__uidMappings=[], linux__gidMappings=[]))


def test_only_root_can_do_without_a_user_namespace():
    assert error(config(), no_cgroups(euid=1000), HostError) == (
        "linux.namespaces: found no user namespace, which every user but root needs; "
        "ocirt spec --rootless writes a config.json that has one"
    )


# ---- time ----

OFFSETS = {"monotonic": {"secs": -5, "nanosecs": 7}, "boottime": {"secs": 100}}


def test_time_offsets_are_set_by_the_stage():
    made = plan(spaces("mount", "time", linux__timeOffsets=OFFSETS))
    assert shown(made, "stage") == [
        ("ResetAffinity", {}),
        ("SetDumpable", {"value": 0}),
        ("Unshare", {"flags": FLAGS["time"]}),
        ("WriteTimeOffsets", {"offsets": "monotonic -5 7\nboottime 100 0\n"}),
        ("Spawn", {"section": "init", "flags": FLAGS["mount"]}),
    ]


def test_a_time_namespace_without_offsets():
    assert names(plan(spaces("mount", "time")), "stage") == ["ResetAffinity", "SetDumpable", "Unshare", "Spawn"]


def test_without_privileges_the_stage_is_in_the_user_namespace():
    made = plan(user("mount", "user", "time", linux__timeOffsets=OFFSETS), no_cgroups(euid=1000, egid=1000))
    assert shown(made, "host")[1] == ("Spawn", {"section": "stage", "flags": FLAGS["user"]})
    assert names(made, "host")[2:6] == ["RunMapHelper", "RunMapHelper", "Send", "Receive"]
    assert names(made, "stage") == [
        "ResetAffinity",
        "Receive",
        "BecomeRoot",
        "Unshare",
        "SetDumpable",
        "WriteTimeOffsets",
        "SetDumpable",
        "Spawn",
    ]
    assert shown(made, "stage")[-1] == ("Spawn", {"section": "init", "flags": FLAGS["mount"]})
    assert names(made, "init")[:2] == ["SetDumpable", "NewKeyring"]


@pytest.mark.parametrize(
    "members, message",
    [
        (
            spaces("mount", linux__timeOffsets=OFFSETS),
            "linux.timeOffsets: found an object, expected nothing without a new time namespace in linux.namespaces",
        ),
        (
            spaces("mount", "time=/ns/t", linux__timeOffsets=OFFSETS),
            "linux.timeOffsets: found an object, expected nothing without a new time namespace in linux.namespaces",
        ),
        (
            spaces("mount", "time", linux__timeOffsets={"realtime": {"secs": 1}}),
            'linux.timeOffsets: found the clock "realtime", expected only monotonic and boottime',
        ),
        (
            spaces("mount", "time", linux__timeOffsets={"monotonic": {"nanosecs": 10**9}}),
            "linux.timeOffsets.monotonic.nanosecs: found 1000000000, expected a number from 0 to 999999999",
        ),
    ],
)
def test_offsets_that_cannot_be(members, message):
    assert error(members) == message


# ---- entries ----


@pytest.mark.parametrize(
    "members, message",
    [
        (
            spaces("mount", "pid", "pid=/x"),
            'linux.namespaces[2].type: found "pid" a second time, expected each type once',
        ),
        (
            spaces("mount", "net"),
            'linux.namespaces[1].type: found "net", expected one of pid, network, mount, ipc, uts, user, cgroup, time',
        ),
        (spaces("mount", "pid=ns/pid"), 'linux.namespaces[1].path: found "ns/pid", expected an absolute path'),
        (
            spaces("pid", "user"),
            "linux.namespaces: found a user namespace alone, expected a mount namespace as well, to mount in",
        ),
    ],
)
def test_entries_that_cannot_be(members, message):
    assert error(members) == message


@pytest.mark.parametrize("members", [spaces("pid"), config(linux=...)])
def test_without_a_mount_namespace_nothing_of_the_runtimes_is_touched(members):
    """config-linux.md, Namespaces: a type that is not listed is inherited."""
    made = plan(members)
    order = names(made, "init")
    assert "ChangeRoot" in order and not {"SetPropagation", "PivotRoot", "MoveRoot"} & set(order)
    assert shown(made, "init", "OpenRootfs") == [("OpenRootfs", {"path": "/bundle/rootfs", "private_mntns": 1})]
    assert "MoveRoot" not in names(plan(members, no_pivot="1"), "init")


# ---- names ----


def test_names():
    made = plan(spaces("mount", "uts", hostname="box", domainname="example.org"))
    assert shown(made, "init", "SetHostname", "SetDomainname") == [
        ("SetHostname", {"name": "box"}),
        ("SetDomainname", {"name": "example.org"}),
    ]
    assert made.trace.slots["hostname"] == {"max_length": 64}
    assert names(made, "init").index("PivotRoot") < names(made, "init").index("SetHostname")


def test_a_joined_uts_namespace_may_be_named():
    assert "SetHostname" in names(plan(spaces("mount", "uts=/ns/u", hostname="x" * 64)), "init")


def test_empty_names_ask_for_nothing():
    assert "SetHostname" not in names(plan(spaces("mount", hostname="", domainname="")), "init")


@pytest.mark.parametrize(
    "members, message",
    [
        (
            spaces("mount", hostname="box"),
            'hostname: found "box", expected nothing without a uts namespace in linux.namespaces',
        ),
        (
            spaces("mount", domainname="box"),
            'domainname: found "box", expected nothing without a uts namespace in linux.namespaces',
        ),
        (spaces("mount", "uts", hostname="é" * 33), "hostname: found one of 66 bytes, expected at most 64 bytes"),
    ],
)
def test_names_that_cannot_be(members, message):
    assert error(members) == message


# ---- keyring ----


def test_the_session_keyring():
    assert shown(plan(config()), "init", "NewKeyring") == [("NewKeyring", {"name": "_ses.c1"})]
    assert "NewKeyring" not in names(plan(config(), no_new_keyring="1"), "init")


RECEIVER, LATER = "org.ocirt.network.receiver", "org.ocirt.network.later"


def lent(members, **notes):
    return plan({**members, "annotations": {RECEIVER: "/socket", **notes}}, no_cgroups(), rootfs_annotations="1")


def test_the_runtime_lends_the_network_namespace_that_it_makes():
    made = lent(spaces("network", "mount", "pid"))
    order = names(made, "host")
    assert order.index("OpenSocket") < order.index("TakeNetwork") < order.index("Lend") < order.index("Commit")
    assert "Lend" not in names(made, "init") and [values(each)["waits"] for each in steps(made, "host", "Lend")] == [
        0,
        1,
    ]


def test_init_lends_the_network_namespace_of_its_user_namespace():
    """Before the mounts: whoever gets it may work beside init."""
    made = lent(user("user", "network", "mount", "pid"))
    order = names(made, "init")
    assert order.index("Unshare") < order.index("Lend") < order.index("OpenRootfs")
    assert shown(made, "init", "OpenNamespace")[0][1]["path"] == "/proc/self/ns/net"
    host = names(made, "host")
    assert host.index("OpenSocket") < host.index("Spawn") and [
        values(each)["waits"] for each in steps(made, "host", "Lend")
    ] == [1]


def test_a_network_namespace_that_is_connected_later():
    made = lent(spaces("network", "mount", "pid"), **{LATER: "1"})
    assert [values(each)["waits"] for each in steps(made, "host", "Lend")] == [0]


def test_a_network_namespace_that_nobody_may_get():
    members = {**spaces("network", "mount"), "annotations": {RECEIVER: "/socket"}}
    found = plan(members, no_cgroups())
    message = f'annotations["{RECEIVER}"] has no effect: it works only with --rootfs-annotations'
    assert "Lend" not in names(found, "host") and shown(found, "host", "Warn") == [("Warn", {"message": message})]
    with pytest.raises(ConfigError, match="found a socket, expected a new network namespace, which it gets"):
        lent(spaces("mount", "pid"))
