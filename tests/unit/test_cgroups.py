"""config-linux.md, "Control groups", on cgroup v1 and the hybrid layout."""

import pytest

from ocirt.cgroups.devices import ALLOWED
from ocirt.errors import ConfigError, HostError
from ocirt.model.host import Cgroups, Hierarchy
from tests.unit.plans import ROOT, V1, config, host, names, plan, shown, steps, v1, values

EVERYTHING = (*V1, "name=systemd", "hugetlb", "net_cls", "net_prio", "rdma")


def made(path=None, on=None, resources=None, members=(), **words):
    on = on or host()
    if not on.cgroups.hierarchy("devices") and "devices" not in (resources or {}):
        # Without the controller, devices cannot be denied: one that may not have all of them is not made.
        resources = {**(resources or {}), "devices": [{"allow": True, "access": "rwm"}]}
    return plan(config(linux__cgroupsPath=path, linux__resources=resources, **dict(members)), on, **words)


def paths(plan, section="host", kind="MakeCgroup"):
    return {fields["hierarchy"].removeprefix(ROOT): fields["path"] for _, fields in shown(plan, section, kind)}


def written(resources, on=None, **members):
    """The limits' writes but for the default device rules: (hierarchy, file, value) and where they come from."""
    on = on or host(cgroups=Cgroups(v1(*EVERYTHING)), files={f"{ROOT}/hugetlb/hugetlb.2MB.limit_in_bytes"})
    rows = [
        step
        for step in steps(made("/c", on, resources, members), "host", "WriteCgroup")
        if step.at != "default devices"
    ]
    return [
        (values(step)["hierarchy"].removeprefix(f"{ROOT}/"), values(step)["file"], values(step)["value"])
        for step in rows
    ], [step.at for step in rows]


def error(resources=None, path="/c", on=None, kind=ConfigError, **words):
    with pytest.raises(kind) as caught:
        made(path, on or host(cgroups=Cgroups(v1(*EVERYTHING))), resources, **words)
    return str(caught.value).removeprefix("config.json: ")


# ---- paths ----


def test_an_absolute_path_lies_beneath_each_mount():
    own = host(cgroups=Cgroups(v1("memory", own="/mine"), Hierarchy((), f"{ROOT}/unified", "/u")))
    assert paths(made("/a/b", own)) == {"/memory": "/a/b", "/unified": "/a/b"}


@pytest.mark.parametrize(
    "path, expected", [("a/b", "a/b"), ("slice:prefix:name", "slice:prefix:name"), (None, "c1"), ("", "c1")]
)
def test_other_paths_lie_beneath_the_callers_own(path, expected):
    own = host(cgroups=Cgroups([*v1("memory", own="/mine/x"), *v1("pids")], Hierarchy((), f"{ROOT}/unified", "/u")))
    assert paths(made(path, own)) == {
        "/memory": f"/mine/x/{expected}",
        "/pids": f"/{expected}",
        "/unified": f"/u/{expected}",
    }


@pytest.mark.parametrize("path", ["/a/../b", "..", "a/..", "/.."])
def test_no_path_leads_up(path):
    assert error(path=path) == f'linux.cgroupsPath: found "{path}", expected a path without ..'


@pytest.mark.parametrize("path", ["/", "//", ".", "/./", "./."])
def test_a_container_gets_a_cgroup_of_its_own(path):
    """Its delete kills what is in it: it must not be the caller's, let alone the machine's."""
    assert error(path=path) == f'linux.cgroupsPath: found "{path}", expected a cgroup of the container\'s own'


def test_what_the_path_depends_on_is_recorded():
    trace = made("a/b").trace
    assert "linux.cgroupsPath" not in trace.guards
    assert {
        (name, argument): answer
        for (path, name, argument), answer in trace.tests.items()
        if path == "linux.cgroupsPath"
    } == {("is_empty", None): False, ("goes_up", None): False, ("is_path", "/"): False, ("is_absolute", None): False}


# ---- joining and leaving ----


def test_every_hierarchy_is_joined_the_freezer_last():
    unified = Hierarchy((), f"{ROOT}/unified", "/")
    plan = made("/c", host(cgroups=Cgroups(v1("freezer", "cpu", "name=systemd"), unified)))
    opened = {
        fields["fd"]: (fields["hierarchy"].removeprefix(ROOT), fields.get("file", ""))
        for _, fields in shown(plan, "host", "MakeCgroup")
    }
    assert opened == {0: ("/cpu", "tasks"), 1: ("/systemd", "tasks"), 2: ("/freezer", "tasks"), 3: ("/unified", "")}
    assert shown(plan, "init", "JoinCgroup") == [("JoinCgroup", {"fd": fd}) for fd in (0, 1, 2)]
    assert shown(plan, "host", "Spawn")[0][1]["cgroup"] == 3


def test_without_a_unified_hierarchy_nothing_is_cloned_into():
    assert "cgroup" not in shown(made("/c", host(cgroups=Cgroups(v1("cpu")))), "host", "Spawn")[0][1]


def test_with_a_stage_the_stage_is_cloned_into_the_unified_one():
    joining = plan(config(linux__namespaces=[{"type": "mount"}, {"type": "network", "path": "/n"}]), host())
    directory = [step.fd for step in steps(joining, "host", "MakeCgroup") if step.file == ""]
    assert shown(joining, "host", "Spawn")[0][1] == {"section": "stage", "flags": 0, "cgroup": directory[0]}
    assert "cgroup" not in shown(joining, "stage", "Spawn")[0][1]


def test_a_cpuset_inherits():
    together = Hierarchy(("cpuset", "cpu"), f"{ROOT}/cpuset,cpu", "/")
    rows = shown(made("/c", host(cgroups=Cgroups([together, *v1("pids")]))), "host", "MakeCgroup")
    assert [fields.get("inherit") for _, fields in rows] == [["cpuset.cpus", "cpuset.mems"], None]


@pytest.mark.parametrize("controllers, chosen", [(V1, "freezer"), (("cpu", "pids"), "pids"), (("cpu", "blkio"), "cpu")])
def test_kill_and_delete_begin_where_processes_can_be_thawed(controllers, chosen):
    plan = made("/c", host(cgroups=Cgroups(v1(*controllers))))
    assert paths(plan, "signal", "SignalCgroup") == {f"/{chosen}": "/c"}
    removed = list(paths(plan, "delete", "RemoveCgroup"))
    assert removed[0] == f"/{chosen}" and sorted(removed) == sorted(f"/{each}" for each in controllers)
    assert ("ThawCgroup" in names(plan, "delete")) == ("freezer" in controllers)


def test_a_host_without_cgroups():
    plan = made(None, host(cgroups=Cgroups()))
    assert plan.signal == [] and not {"MakeCgroup", "WriteCgroup", "OpenCgroup"} & set(names(plan, "host"))
    assert names(plan, "delete") == ["KillInit"]


# ---- drivers ----


def test_disabled():
    plan = made("/c", None, {"memory": {"limit": 5}}, cgroup_manager="disabled")
    assert not {"MakeCgroup", "WriteCgroup", "OpenCgroup"} & set(names(plan, "host"))
    assert plan.signal == [] and names(plan, "delete") == ["KillInit"] and "JoinCgroup" not in names(plan, "init")


def test_disabled_warns_of_limits():
    """Nothing is left out in silence; what engines write for "no limit" is none."""

    def warned(resources, version="1.3.0", on=None):
        plan = made("/c", on, resources, members={"ociVersion": version}, cgroup_manager="disabled")
        return [
            fields["message"].partition(": this limit is not applied: with --cgroup-manager disabled")[0]
            for _, fields in shown(plan, "host", "Warn")
        ]

    assert warned(
        {
            "memory": {"limit": 5, "swap": -1},
            "cpu": {"quota": 0, "period": 7, "cpus": "0", "mems": ""},
            "pids": {"limit": 0},
            "unified": {"memory.high": "5"},
            "hugepageLimits": [],
        }
    ) == [f"linux.resources.{name}" for name in ("memory.limit", "pids.limit", "cpu.cpus", "unified")]
    assert warned({"pids": {"limit": 0}}, "1.2.0") == [] and warned({"pids": {"limit": -1}}) == []
    assert warned({}) == [] and warned({"devices": [{"allow": True, "access": "rwm"}]}) == []
    deny = {"devices": [{"allow": False, "access": "rwm"}]}
    assert warned(deny) == ["linux.resources.devices"]
    assert warned(deny, on=host(in_user_namespace=True)) == []  # no node of a device works there


@pytest.mark.parametrize(
    "words, flag",
    [({"systemd_cgroup": "1"}, "--systemd-cgroup"), ({"cgroup_manager": "systemd"}, "--cgroup-manager systemd")],
)
@pytest.mark.parametrize(
    "runs, reason",
    [
        (False, "systemd does not run on this host (/run/systemd/system is missing)"),
        (True, "this host has no cgroup hierarchy name=systemd"),
    ],
)
def test_systemd(words, flag, runs, reason):
    assert error(on=host(has_systemd=runs, cgroups=Cgroups(v1(*V1))), kind=HostError, **words) == f"{flag}: {reason}"


@pytest.mark.parametrize(
    "facts, rootless, skip_unwritable",
    [
        ({}, "auto", 0),
        ({"in_user_namespace": True}, "auto", 1),
        ({"in_user_namespace": True}, "false", 0),
        ({}, "true", 1),
    ],
)
def test_hierarchies_are_passed_over_without_roots_rights(facts, rootless, skip_unwritable):
    plan = made("/c", host(**facts), {"pids": {"limit": 5}}, rootless=rootless)
    assert {step.skip_unwritable for step in steps(plan, "host", "MakeCgroup", "OpenCgroup")} == {skip_unwritable}


@pytest.mark.parametrize("rootless, skip_unwritable", [("auto", 0), ("false", 0), ("true", 2)])
def test_a_limit_is_never_passed_over_without_a_word(rootless, skip_unwritable):
    """An error, or a warning where the caller has said that it goes without (core/cgroup/hierarchy.c, SKIP_WITH_WARNING)."""
    ids = [{"containerID": 0, "hostID": 1000, "size": 1}]
    members = config(
        linux__namespaces=[{"type": "mount"}, {"type": "user"}],
        linux__uidMappings=ids,
        linux__gidMappings=ids,
        linux__resources={"pids": {"limit": 5}, "memory": {"limit": 1 << 20}},
    )
    on = host(euid=1000)
    limits = [
        step
        for step in steps(plan(members, on, rootless=rootless), "host", "WriteCgroup")
        if "devices" not in step.file
    ]
    assert [step.skip_unwritable for step in limits] == [skip_unwritable] * 2


@pytest.mark.parametrize(
    "resources",
    [{"pids": {"limit": 0}}, {"pids": {"limit": -1}}, {"memory": {"limit": -1, "swap": -1}}, {"cpu": {"quota": -1}}],
)
def test_what_is_no_limit_is_not_missed(resources):
    """Engines write what they do not limit, too."""
    ids = [{"containerID": 0, "hostID": 1000, "size": 1}]
    members = config(
        linux__namespaces=[{"type": "mount"}, {"type": "user"}],
        linux__uidMappings=ids,
        linux__gidMappings=ids,
        linux__resources=resources,
    )
    for rootless in ("auto", "true"):
        limits = [
            step
            for step in steps(plan(members, host(euid=1000), rootless=rootless), "host", "WriteCgroup")
            if "devices" not in step.file
        ]
        assert {step.skip_unwritable for step in limits} == {1}


def test_a_user_without_privileges_is_rootless():
    ids = [{"containerID": 0, "hostID": 1, "size": 1}]
    members = config(
        linux__namespaces=[{"type": "mount"}, {"type": "user"}], linux__uidMappings=ids, linux__gidMappings=ids
    )
    assert {step.skip_unwritable for step in steps(plan(members, host(euid=1)), "host", "MakeCgroup")} == {1}


# ---- limits ----


@pytest.mark.parametrize(
    "memory, rows",
    [
        ({"limit": 1 << 20}, [("limit_in_bytes", str(1 << 20))]),
        ({"limit": 5, "swap": 7}, [("limit_in_bytes", "5"), ("memsw.limit_in_bytes", "7")]),
        ({"limit": 5, "swap": -1}, [("memsw.limit_in_bytes", "-1"), ("limit_in_bytes", "5")]),
        ({"limit": -1}, [("limit_in_bytes", "-1")]),
        ({"limit": 0, "swap": 0, "reservation": 0}, []),
        (
            {"kernel": 6, "kernelTCP": 7, "reservation": 8},
            [("kmem.limit_in_bytes", "6"), ("kmem.tcp.limit_in_bytes", "7"), ("soft_limit_in_bytes", "8")],
        ),
        ({"swappiness": 0}, [("swappiness", "0")]),
        ({"swappiness": (1 << 64) - 1}, []),
        ({"disableOOMKiller": True}, [("oom_control", "1")]),
        ({"disableOOMKiller": False}, []),
        ({"useHierarchy": True, "checkBeforeUpdate": True}, []),
    ],
)
def test_memory(memory, rows):
    assert written({"memory": memory})[0] == [("memory", f"memory.{file}", value) for file, value in rows]


@pytest.mark.parametrize(
    "cpu, rows",
    [
        (
            {"shares": 512, "period": 100000, "quota": 50000, "burst": 1000},
            [("shares", "512"), ("cfs_period_us", "100000"), ("cfs_quota_us", "50000"), ("cfs_burst_us", "1000")],
        ),
        ({"quota": -1}, [("cfs_quota_us", "-1")]),
        ({"realtimeRuntime": 95, "realtimePeriod": 100}, [("rt_period_us", "100"), ("rt_runtime_us", "95")]),
        ({"idle": 0}, [("idle", "0")]),
        ({"shares": 2, "idle": 1}, [("shares", "2"), ("idle", "1")]),
        ({"shares": 0, "quota": 0, "period": 0}, []),
    ],
)
def test_cpu(cpu, rows):
    assert written({"cpu": cpu})[0] == [("cpu", f"cpu.{file}", value) for file, value in rows]


def test_cpusets():
    assert written({"cpu": {"cpus": "0-1,3", "mems": "0"}}) == (
        [("cpuset", "cpuset.cpus", "0-1,3"), ("cpuset", "cpuset.mems", "0")],
        ["linux.resources.cpu.cpus", "linux.resources.cpu.mems"],
    )
    assert written({"cpu": {"cpus": "", "mems": ""}}) == ([], [])


@pytest.mark.parametrize(
    "version, limit, value",
    [
        ("1.3.0", 5, "5"),
        ("1.3.0", 0, "0"),
        ("1.3.0", -1, "max"),
        ("1.0.2-dev", 0, "max"),
        ("1.2.1", 0, "max"),
        ("1.2.1", 5, "5"),
        ("1.2.1", -1, "max"),
        ("1.3.0-rc.1", 0, "max"),
        ("1.3.1-rc.1", 0, "0"),
        ("1.10.0", 0, "0"),
        ("1.3.0+build", 0, "0"),
    ],
)
def test_pids(version, limit, value):
    """config-linux.md of 1.3.0, PIDs: "0 is a valid limit value": before, it was what engines wrote for none."""
    assert written({"pids": {"limit": limit}}, ociVersion=version) == (
        [("pids", "pids.max", value)],
        ["linux.resources.pids.limit"],
    )


def test_the_range_of_pids_is_the_binders_too():
    assert made("/c", None, {"pids": {"limit": 5}}).trace.slots["linux.resources.pids.limit"] == {
        "low": 0,
        "high": (1 << 63) - 1,
    }


BLOCK_IO = {
    "weight": 200,
    "leafWeight": 10,
    "weightDevice": [{"major": 8, "minor": 0, "weight": 5, "leafWeight": 6}],
    "throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 100}],
    "throttleWriteBpsDevice": [{"major": 8, "minor": 2, "rate": 200}],
    "throttleReadIOPSDevice": [{"major": 8, "minor": 3, "rate": 300}],
    "throttleWriteIOPSDevice": [{"major": 8, "minor": 4, "rate": 400}],
}
THROTTLED = [
    ("blkio", f"blkio.throttle.{name}_device", value)
    for name, value in (
        ("read_bps", "8:1 100"),
        ("write_bps", "8:2 200"),
        ("read_iops", "8:3 300"),
        ("write_iops", "8:4 400"),
    )
]


def test_block_io():
    assert written({"blockIO": BLOCK_IO})[0] == [
        ("blkio", "blkio.bfq.weight", "200"),
        ("blkio", "blkio.leaf_weight", "10"),
        ("blkio", "blkio.bfq.weight_device", "8:0 5"),
        ("blkio", "blkio.leaf_weight_device", "8:0 6"),
        *THROTTLED,
    ]


def test_block_io_with_the_weights_of_cfq():
    on = host(files={f"{ROOT}/blkio/blkio.weight", f"{ROOT}/blkio/blkio.weight_device"})
    rows, at = written({"blockIO": BLOCK_IO}, on)
    assert rows[0][1] == "blkio.weight" and rows[2][1] == "blkio.weight_device"
    assert at[2] == "linux.resources.blockIO.weightDevice[0].weight"


def test_no_block_io():
    assert written({"blockIO": {"weight": 0, "leafWeight": 0}}) == ([], [])


def test_huge_pages():
    files = {
        f"{ROOT}/hugetlb/hugetlb.2MB.rsvd.limit_in_bytes",
        f"{ROOT}/hugetlb/hugetlb.2MB.limit_in_bytes",
        f"{ROOT}/hugetlb/hugetlb.1GB.limit_in_bytes",
    }
    on = host(cgroups=Cgroups(v1("hugetlb")), files=files)
    assert written({"hugepageLimits": [{"pageSize": "2MB", "limit": 5}, {"pageSize": "1GB", "limit": 0}]}, on)[0] == [
        ("hugetlb", "hugetlb.2MB.limit_in_bytes", "5"),
        ("hugetlb", "hugetlb.2MB.rsvd.limit_in_bytes", "5"),
        ("hugetlb", "hugetlb.1GB.limit_in_bytes", "0"),
    ]
    assert error({"hugepageLimits": [{"pageSize": "64KB", "limit": 5}]}, on=on, kind=HostError) == (
        "linux.resources.hugepageLimits[0].pageSize: this kernel has no huge pages of 64KB"
    )


def test_network():
    assert written({"network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 5}]}}) == (
        [("net_cls", "net_cls.classid", "1048577"), ("net_prio", "net_prio.ifpriomap", "eth0 5")],
        ["linux.resources.network.classID", "linux.resources.network.priorities[0]"],
    )


def test_rdma():
    assert written({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10}, "rxe3": {"hcaObjects": 1}}})[0] == [
        ("rdma", "rdma.max", "mlx5_1 hca_handle=3 hca_object=10"),
        ("rdma", "rdma.max", "rxe3 hca_object=1"),
    ]


@pytest.mark.parametrize(
    "resources, controller, at",
    [
        ({"memory": {"limit": 5}}, "memory", "memory.limit"),
        ({"cpu": {"idle": 1}}, "cpu", "cpu.idle"),
        ({"cpu": {"cpus": "0"}}, "cpuset", "cpu.cpus"),
        ({"pids": {"limit": 5}}, "pids", "pids.limit"),
        ({"blockIO": {"weight": 10}}, "blkio", "blockIO.weight"),
        ({"network": {"classID": 1}}, "net_cls", "network.classID"),
        ({"network": {"priorities": [{"name": "a", "priority": 1}]}}, "net_prio", "network.priorities[0]"),
        ({"rdma": {"a": {"hcaHandles": 1}}}, "rdma", "rdma.a"),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}, "hugetlb", "hugepageLimits[0]"),
        ({"devices": [{"allow": False, "access": "rwm"}]}, "devices", "devices"),
    ],
)
def test_a_limit_without_its_controller(resources, controller, at):
    others = [each for each in EVERYTHING if each != controller]
    assert error(resources, on=host(cgroups=Cgroups(v1(*others))), kind=HostError) == (
        f"linux.resources.{at}: this host has no cgroup hierarchy with the controller {controller}"
    )


def test_a_setting_of_cgroup_v2():
    assert error({"unified": {"memory.max": "5"}}, kind=HostError) == (
        'linux.resources.unified["memory.max"]: a setting of cgroup v2, and this host\'s controllers are v1'
    )


@pytest.mark.parametrize(
    "resources, message",
    [
        ({"memory": {"limit": "5m"}}, 'memory.limit: found "5m", expected a whole number'),
        (
            {"memory": {"limit": 1 << 63}},
            f"memory.limit: found {1 << 63}, expected a number from {-(1 << 63)} to {(1 << 63) - 1}",
        ),
        ({"memory": {"swappiness": 101}}, "memory.swappiness: found 101, expected a number from 0 to 100"),
        ({"memory": {"useHierarchy": "yes"}}, 'memory.useHierarchy: found "yes", expected true or false'),
        ({"cpu": {"shares": 1}}, "cpu.shares: found 1, expected a number from 2 to 262144"),
        ({"cpu": {"idle": 2}}, "cpu.idle: found 2, expected a number from 0 to 1"),
        ({"pids": {"limit": -2}}, "pids.limit: found -2, expected -1 (no limit) or more"),
        (
            {"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}},
            "blockIO.weightDevice[0]: found neither weight nor leafWeight, expected one of them",
        ),
        (
            {"hugepageLimits": [{"pageSize": "2 MB", "limit": 1}]},
            'hugepageLimits[0].pageSize: found "2 MB", expected a page size like "2MB"',
        ),
        (
            {"hugepageLimits": [{"pageSize": "../2MB", "limit": 1}]},
            'hugepageLimits[0].pageSize: found "../2MB", expected a page size like "2MB"',
        ),
        ({"rdma": {"a": {}}}, "rdma.a: found neither hcaHandles nor hcaObjects, expected one of them"),
        ({"devices": [{"access": "rwm"}]}, "devices[0].allow: found nothing, expected true or false"),
        ({"devices": [{"allow": True}]}, 'devices[0].access: found "", expected some of "r", "w" and "m"'),
        (
            {"devices": [{"allow": True, "access": "rx"}]},
            'devices[0].access: found "rx", expected some of "r", "w" and "m"',
        ),
        (
            {"devices": [{"allow": True, "type": "x", "access": "r"}]},
            'devices[0].type: found "x", expected "a", "b" or "c"',
        ),
        (
            {"devices": [{"allow": True, "type": "c", "major": -2, "access": "r"}]},
            "devices[0].major: found -2, expected a number from -1 to 2147483647",
        ),
    ],
)
def test_limits_that_cannot_be(resources, message):
    assert error(resources) == f"linux.resources.{message}"


def test_empty_resources_ask_for_nothing():
    empty = {"unified": {}, "rdma": {}, "memory": {}, "hugepageLimits": [], "network": {}, "devices": []}
    assert written(empty) == ([], [])


# ---- device rules ----


def rules(*entries):
    plan = made("/c", None, {"devices": list(entries)})
    return [
        f"{values(step)['file'].removeprefix('devices.')} {rule}"
        for step in steps(plan, "host", "WriteCgroup")
        for rule in values(step)["value"].split("\n")
    ]


DEFAULTS = [f"allow {rule}" for rule in ALLOWED]


def test_everything_is_denied_first_and_the_defaults_allowed_last():
    assert rules() == ["deny a", *DEFAULTS]
    assert rules({"allow": False, "access": "rwm"}) == ["deny a", *DEFAULTS]
    assert "allow c 1:3 rwm" in DEFAULTS and "allow c *:* m" in DEFAULTS


@pytest.mark.parametrize(
    "rule, expected",
    [
        ({"allow": True, "access": "rwm"}, ["allow a"]),
        ({"allow": True, "type": "a", "access": "mwr", "major": -1, "minor": -1}, ["allow a"]),
        ({"allow": True, "access": "rw"}, ["allow b *:* rw", "allow c *:* rw"]),
        ({"allow": True, "type": "a", "major": 8, "access": "rwm"}, ["allow b 8:* rwm", "allow c 8:* rwm"]),
        ({"allow": False, "type": "a", "access": "w"}, ["deny b *:* w", "deny c *:* w"]),
        ({"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}, ["allow c 10:229 rw"]),
        ({"allow": True, "type": "b", "major": 8, "access": "r"}, ["allow b 8:* r"]),
        ({"allow": True, "type": "c", "minor": 3, "major": -1, "access": "m"}, ["allow c *:3 m"]),
        ({"allow": True, "type": "", "access": "rwm"}, ["allow a"]),
    ],
)
def test_rules(rule, expected):
    assert rules(rule) == ["deny a", *expected, *DEFAULTS]


def test_rules_in_their_order():
    first = {"allow": False, "access": "rwm"}
    second = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}
    assert rules(second, first) == ["deny a", "allow c 1:3 r", "deny a", *DEFAULTS]


def test_a_letter_that_means_nothing_is_passed_over():
    """As with runc: some tools write a for all."""
    assert rules({"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwa"}) == [
        "deny a",
        "allow c 1:3 rw",
        *DEFAULTS,
    ]
    assert "linux.resources.devices[0].access" in error({"devices": [{"allow": True, "type": "c", "access": "a"}]})


def test_without_the_controller_root_makes_no_container():
    """Also without a rule: all devices but the default ones are denied."""
    on = host(cgroups=Cgroups(v1("pids")))
    for given in ({"devices": []}, {"devices": [{"allow": False, "access": "rwm"}]}):
        assert error(given, on=on, kind=HostError) == (
            "linux.resources.devices: this host has no cgroup hierarchy with the controller devices"
        )
    assert "WriteCgroup" not in names(made("/c", on, {"devices": [{"allow": True, "access": "rwm"}]}), "host")


def test_device_rules_cannot_be_had_rootless_without_the_controller():
    on = host(cgroups=Cgroups(v1("pids")), in_user_namespace=True)
    assert "WriteCgroup" not in names(made("/c", on, {"devices": [{"allow": False, "access": "rwm"}]}), "host")
