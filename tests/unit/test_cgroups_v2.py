"""config-linux.md, "Control groups", on a host with cgroup v2 alone."""

import json

import pytest

from ocirt.cgroups.v2 import cpu_weight, io_weight
from ocirt.errors import ConfigError
from ocirt.model.text import bound
from tests.unit.plans import ROOT, config, names, plan, shown, steps, v2, values

LIMITS = ("WriteCgroup", "WriteEitherCgroup", "WriteCgroupDifference")


def made(path="/c", on=None, resources=None, members=(), **words):
    changes = {"linux__cgroupsPath": path, "linux__resources": resources, **dict(members)}
    return plan(config(**changes), on or v2(), **words)


def rootless(resources=None, path=None, words=(), **facts):
    ids = [{"containerID": 0, "hostID": 1000, "size": 1}]
    return plan(
        config(
            linux__cgroupsPath=path,
            linux__resources=resources,
            linux__uidMappings=ids,
            linux__gidMappings=ids,
            linux__namespaces=[{"type": "mount"}, {"type": "user"}],
        ),
        v2("/user.slice/mine", **{"euid": 1000, "egid": 1000, **facts}),
        **dict(words),
    )


def written(resources, plan=None, **members):
    """The limits' writes without hierarchy and path."""
    rows = []
    for step in steps(plan or made(resources=resources, members=members), "host", *LIMITS):
        fields = values(step)
        assert (fields.pop("hierarchy"), fields.pop("path")) == (ROOT, "/c")
        rows.append(tuple(fields.values()))
    return rows


def error(resources=None, path="/c", **words):
    with pytest.raises(ConfigError) as caught:
        made(path, None, resources, **words)
    return str(caught.value).removeprefix("config.json: ")


# ---- paths ----


@pytest.mark.parametrize(
    "path, own, expected",
    [
        ("/a/b", "/user.slice/mine", "/a/b"),
        ("a/b", "/", "/a/b"),
        ("a/b", "/mine", "/a/b"),
        ("a/b", "/user.slice/mine", "/user.slice/a/b"),
        ("slice:prefix:name", "/user.slice/mine", "/user.slice/slice:prefix:name"),
        (None, "/user.slice/mine", "/user.slice/c1"),
        ("", "/", "/c1"),
    ],
)
def test_paths(path, own, expected):
    """config-linux.md, Cgroups Path: absolute beneath the mount; relative, as runc has it, beside the caller's own."""
    plan = made(path, v2(own))
    assert values(steps(plan, "host", "MakeCgroup")[0]) == {"hierarchy": ROOT, "path": expected, "unified": 1}
    assert {values(step)["path"] for step in [*steps(plan, "delete", "RemoveCgroup"), *steps(plan, "signal")]} == {
        expected
    }


@pytest.mark.parametrize("path", ["/a/../b", ".."])
def test_no_path_leads_up(path):
    assert error(path=path) == f'linux.cgroupsPath: found "{path}", expected a path without ..'


def test_what_a_later_build_needs_of_the_caller():
    """A container outlives its creator: the cgroup of that one is part of the state."""

    def request(path):
        return bound(made(path, v2("/x/mine")).facts.request)

    assert f'"own-cgroups":{{"{ROOT}":"/x/mine"}}' in request("a")
    assert '"own-cgroups":{}' in request("/a")


# ---- entering and leaving ----


def test_init_is_cloned_into_it():
    plan = made()
    assert shown(plan, "host", "OpenCgroup", "Spawn") == [
        ("OpenCgroup", {"fd": 0, "hierarchy": ROOT, "path": "/c", "file": ""}),
        ("Spawn", {"section": "init", "flags": 0, "cgroup": 0}),
    ]
    assert "JoinCgroup" not in names(plan, "init")


def test_a_stage_is_cloned_into_it():
    plan = made(members={"linux__namespaces": [{"type": "mount"}, {"type": "network", "path": "/n"}]})
    assert values(steps(plan, "host", "Spawn")[0])["section"] == "stage"
    assert values(steps(plan, "host", "Spawn")[0])["cgroup"] == steps(plan, "host", "OpenCgroup")[0].fd
    assert "cgroup" not in values(steps(plan, "stage", "Spawn")[0])


def test_limits_come_before_anything_is_in_it():
    order = names(made(resources={"memory": {"limit": 5}}), "host")
    assert order[:7] == [
        "StoreContainer",
        "MakeCgroup",
        "WriteCgroup",
        "OpenCgroup",
        "Spawn",
        "Send",
        "LoadDeviceFilter",
    ]


def test_deleting():
    assert names(made(), "delete") == ["ThawCgroup", "KillInit", "RemoveCgroup"]
    assert values(steps(made(), "delete", "ThawCgroup")[0]) == {"hierarchy": ROOT, "path": "/c"}
    assert names(made(), "signal") == ["SignalCgroup"]


# ---- without root's rights ----


def test_a_user_without_a_place_or_a_limit_can_stay():
    plan = rootless()
    assert {step.skip_unwritable for step in steps(plan, "host", "MakeCgroup", "OpenCgroup", "LoadDeviceFilter")} == {1}
    assert values(steps(plan, "host", "Spawn")[0])["allow_caller_cgroup"] == 1
    assert values(steps(plan, "host", "MakeCgroup")[0])["path"] == "/user.slice/c1"


@pytest.mark.parametrize("resources", [{"pids": {"limit": -1}}, {"pids": {"limit": 0}}, {"memory": {"limit": -1}}])
def test_what_is_no_limit_is_not_missed(resources):
    """Engines write what they do not limit, too."""
    plan = rootless(resources)
    assert {step.skip_unwritable for step in steps(plan, "host", *LIMITS)} == {1}
    assert values(steps(plan, "host", "Spawn")[0])["allow_caller_cgroup"] == 1


def test_a_user_with_a_limit_cannot_go_without():
    plan = rootless({"pids": {"limit": 5}})
    assert steps(plan, "host", "MakeCgroup")[0].skip_unwritable == 1
    assert steps(plan, "host", "WriteCgroup")[0].skip_unwritable == 0
    assert "allow_caller_cgroup" not in values(steps(plan, "host", "Spawn")[0])


def test_a_user_gets_the_place_asked_for_or_none():
    plan = rootless(path="/user.slice/here")
    assert {step.skip_unwritable for step in steps(plan, "host", "MakeCgroup", "OpenCgroup")} == {0}
    assert steps(plan, "host", "LoadDeviceFilter")[0].skip_unwritable == 1


def test_a_user_who_says_so_goes_without_a_limit():
    """With a warning for each (core/cgroup/hierarchy.c, SKIP_WITH_WARNING)."""
    made = rootless(
        {"pids": {"limit": 5}, "memory": {"limit": 1 << 20, "swap": 2 << 20}, "blockIO": {"weight": 10}},
        path="/elsewhere",
        words={"rootless": "true"},
    )
    assert {step.skip_unwritable for step in steps(made, "host", *LIMITS)} == {2} and len(
        steps(made, "host", *LIMITS)
    ) == 4
    assert (
        steps(made, "host", "MakeCgroup")[0].skip_unwritable == 1
        and values(steps(made, "host", "Spawn")[0])["allow_caller_cgroup"] == 1
    )


SESSION = {"has_systemd": True, "files": ("/run/user/1000/systemd/private",)}


@pytest.mark.parametrize(
    "resources, path, facts, words, by_systemd",
    [
        ({"pids": {"limit": 5}}, None, {}, {}, True),
        ({"pids": {"limit": 5}}, "a.slice:p:n", {}, {}, True),
        ({"pids": {"limit": 5}}, "/a/place", {}, {}, False),
        ({"devices": [{"allow": False, "access": "rwm"}]}, None, {}, {}, False),
        ({"memory": {"swappiness": 5}}, None, {}, {}, False),
        ({"pids": {"limit": 5}}, None, {"writable": ("/sys/fs/cgroup/user.slice",)}, {}, False),
        ({"pids": {"limit": 5}}, None, {"has_systemd": False}, {}, False),
        ({"pids": {"limit": 5}}, None, {"files": ()}, {}, False),
        ({"pids": {"limit": 5}}, None, {"files": ("/run/user/1000/bus",)}, {}, True),
        ({"pids": {"limit": 5}}, None, {}, {"runtime_dir": ""}, False),
        ({"pids": {"limit": 5}}, None, {}, {"cgroup_manager": "cgroupfs"}, False),
        ({"pids": {"limit": 5}}, None, {}, {"rootless": "true"}, True),
        ({"pids": {"limit": 5}}, None, {}, {"rootless": "false"}, False),
    ],
)
def test_a_users_own_systemd_is_asked_for_what_only_it_can_give(resources, path, facts, words, by_systemd):
    """A limit in a cgroup that the user may not make itself. What create came to is what later verbs go by."""
    made = rootless(resources, path, words={"runtime_dir": "/run/user/1000", **words}, **{**SESSION, **facts})
    assert ("StartUnit" in names(made, "host")) == by_systemd
    assert json.loads(bound(made.facts.request))["cgroup-manager"] == ("systemd" if by_systemd else "cgroupfs")


def test_what_is_only_ignored_keeps_nobody_from_staying():
    assert values(steps(rootless({"memory": {"swappiness": 5}}), "host", "Spawn")[0])["allow_caller_cgroup"] == 1


# ---- limits ----


@pytest.mark.parametrize(
    "memory, rows",
    [
        ({"limit": 1 << 20}, [("memory.max", str(1 << 20))]),
        ({"limit": 5, "swap": 7}, [("memory.swap.max", 7, 5), ("memory.max", "5")]),
        ({"limit": 5, "swap": 5}, [("memory.swap.max", 5, 5), ("memory.max", "5")]),
        ({"limit": 5, "swap": -1}, [("memory.swap.max", "max"), ("memory.max", "5")]),
        ({"limit": 5, "swap": 0}, [("memory.max", "5")]),
        ({"limit": -1}, [("memory.swap.max", "max"), ("memory.max", "max")]),
        ({"limit": -1, "swap": 0}, [("memory.swap.max", "max"), ("memory.max", "max")]),
        ({"limit": -1, "swap": 7}, [("memory.swap.max", "7"), ("memory.max", "max")]),
        ({"swap": -1}, [("memory.swap.max", "max")]),
        ({"limit": 0, "swap": 0, "reservation": 0}, []),
        ({"reservation": 8}, [("memory.low", "8")]),
        ({"reservation": -1}, [("memory.low", "max")]),
        ({"useHierarchy": False, "disableOOMKiller": False, "swappiness": (1 << 64) - 1, "kernel": 0}, []),
    ],
)
def test_memory(memory, rows):
    """config-linux.md, Memory; the spec's swap is memory and swap together."""
    assert written({"memory": memory}) == rows


def test_the_usage_is_looked_at_first():
    """config-linux.md, Memory, checkBeforeUpdate."""
    plan = made(resources={"memory": {"limit": 5, "swap": 7, "checkBeforeUpdate": True}})
    assert names(plan, "host")[2:5] == ["CheckMemoryUsage", "WriteCgroupDifference", "WriteCgroup"]
    assert values(steps(plan, "host", "CheckMemoryUsage")[0]) == {
        "hierarchy": ROOT,
        "path": "/c",
        "limit": 5,
        "swap": 7,
    }
    assert "CheckMemoryUsage" not in names(made(resources={"memory": {"checkBeforeUpdate": True}}), "host")


@pytest.mark.parametrize(
    "resources, path, lacks",
    [
        ({"memory": {"swappiness": 60}}, "memory.swappiness", "swappiness"),
        ({"memory": {"disableOOMKiller": True}}, "memory.disableOOMKiller", "way to disable the OOM killer"),
        ({"memory": {"kernel": 5}}, "memory.kernel", "limit on kernel memory"),
        ({"memory": {"kernelTCP": 5}}, "memory.kernelTCP", "limit on TCP buffers"),
        ({"blockIO": {"leafWeight": 10}}, "blockIO.leafWeight", "weight against child cgroups"),
        (
            {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 6}]}},
            "blockIO.weightDevice[0].leafWeight",
            "weight against child cgroups",
        ),
    ],
)
def test_what_v2_has_not_is_a_warning(resources, path, lacks):
    """As runc: engines of v1's time send these."""
    plan = made(resources=resources)
    assert shown(plan, "host", "Warn") == [
        ("Warn", {"message": f"linux.resources.{path}: cgroup v2 has no {lacks}: the value is ignored"})
    ]
    assert written(None, plan) == []


@pytest.mark.parametrize(
    "cpu, rows",
    [
        ({"shares": 1024}, [("cpu.weight", "100")]),
        ({"shares": 2}, [("cpu.weight", "1")]),
        ({"shares": 262144}, [("cpu.weight", "10000")]),
        ({"shares": 0}, []),
        ({"quota": 20000, "period": 50000}, [("cpu.max", "20000 50000")]),
        ({"quota": 20000}, [("cpu.max", "20000")]),
        ({"quota": -1}, [("cpu.max", "max")]),
        ({"quota": -1, "period": 50000}, [("cpu.max", "max 50000")]),
        ({"period": 50000}, [("cpu.max", "max 50000")]),
        ({"quota": 20000, "burst": 5000}, [("cpu.max", "20000"), ("cpu.max.burst", "5000")]),
        ({"idle": 0, "shares": 1024}, [("cpu.idle", "0"), ("cpu.weight", "100")]),
        ({"idle": 1, "shares": 1024}, [("cpu.idle", "1")]),
        ({"quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0}, []),
        (
            {"cpus": "0-1,3", "mems": "0"},
            [("cpuset.cpus", "0-1,3", "../cpuset.cpus.effective"), ("cpuset.mems", "0", "../cpuset.mems.effective")],
        ),
        ({"cpus": "", "mems": ""}, []),
    ],
)
def test_cpu(cpu, rows):
    assert written({"cpu": cpu}) == rows


@pytest.mark.parametrize(
    "shares, weight",
    [
        (2, 1),
        (3, 2),
        (10, 4),
        (102, 17),
        (256, 35),
        (512, 59),
        (1024, 100),
        (2048, 174),
        (4096, 303),
        (100_000, 4340),
        (262_143, 10000),
        (262_144, 10000),
    ],
)
def test_weights_of_the_cpu(shares, weight):
    """The function of opencontainers/cgroups 0.0.6 (runc 1.4): values that its formula gives in Go."""
    assert cpu_weight(shares) == weight


def test_weights_of_the_cpu_never_fall():
    all = [cpu_weight(shares) for shares in range(2, 1 << 18, 61)]
    assert all == sorted(all) and all[0] == 1 and all[-1] <= 10000


@pytest.mark.parametrize("weight, expected", [(10, 1), (500, 4950), (1000, 10000)])
def test_weights_of_block_devices(weight, expected):
    assert io_weight(weight) == expected


@pytest.mark.parametrize(
    "version, limit, value", [("1.3.0", 5, "5"), ("1.3.0", 0, "1"), ("1.3.0", -1, "max"), ("1.2.1", 0, "max")]
)
def test_pids(version, limit, value):
    """0 would refuse the container itself, which is made in its cgroup: as runc, 1."""
    assert written({"pids": {"limit": limit}}, ociVersion=version) == [("pids.max", value)]


def test_block_io():
    assert written(
        {
            "blockIO": {
                "weight": 200,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 100}],
                "throttleWriteBpsDevice": [{"major": 8, "minor": 2, "rate": 200}],
                "throttleReadIOPSDevice": [{"major": 8, "minor": 3, "rate": 300}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 4, "rate": 0}],
            }
        }
    ) == [
        ("io.bfq.weight", "200", "io.weight", "1920"),
        ("io.bfq.weight", "8:0 1000", "io.weight", "8:0 10000"),
        ("io.max", "8:1 rbps=100"),
        ("io.max", "8:2 wbps=200"),
        ("io.max", "8:3 riops=300"),
        ("io.max", "8:4 wiops=max"),
    ]
    assert written({"blockIO": {"weight": 0}}) == []


def test_huge_pages():
    assert written({"hugepageLimits": [{"pageSize": "2MB", "limit": 5}]}) == [
        ("hugetlb.2MB.max", "5"),
        ("hugetlb.2MB.rsvd.max", "5"),
    ]
    step = steps(made(resources={"hugepageLimits": [{"pageSize": "2MB", "limit": 5}]}), "host", "WriteEitherCgroup")[0]
    assert step.other_file == ""


def test_rdma():
    assert written({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10}}}) == [
        ("rdma.max", "mlx5_1 hca_handle=3 hca_object=10")
    ]


def test_unified_comes_last():
    """config-linux.md, Unified: each key is a file; it takes the place of what was converted."""
    assert written(
        {
            "memory": {"limit": 5},
            "pids": {"limit": 7},
            "unified": {"memory.max": "6", "io.max": "8:0 rbps=1\n8:16 rbps=2", "cgroup.max.depth": "3"},
        }
    ) == [
        ("pids.max", "7"),
        ("memory.max", "5"),
        ("memory.max", "6"),
        ("io.max", "8:0 rbps=1\n8:16 rbps=2"),
        ("cgroup.max.depth", "3"),
    ]


@pytest.mark.parametrize(
    "resources, message",
    [
        (
            {"unified": {"../memory.max": "5"}},
            'unified["../memory.max"]: found the file "../memory.max", expected one like "memory.max", without /',
        ),
        (
            {"unified": {"memory": "5"}},
            'unified.memory: found the file "memory", expected one like "memory.max", without /',
        ),
        ({"unified": {"..": "5"}}, 'unified[".."]: found the file "..", expected one like "memory.max", without /'),
        (
            {"unified": {"cgroup.procs": "1"}},
            'unified["cgroup.procs"]: found the file "cgroup.procs", expected a setting of the cgroup',
        ),
        (
            {"unified": {"cgroup.freeze": "1"}},
            'unified["cgroup.freeze"]: found the file "cgroup.freeze", expected a setting of the cgroup',
        ),
        ({"unified": {"memory.max": 5}}, 'unified["memory.max"]: found 5, expected a string'),
        (
            {"memory": {"swap": 5}},
            "memory.swap: found 5, expected memory.limit as well, which memory.swap includes",
        ),
        ({"memory": {"limit": -2}}, "memory.limit: found -2, expected -1 (no limit) or more"),
        ({"cpu": {"shares": 1}}, "cpu.shares: found 1, expected a number from 2 to 262144"),
        ({"cpu": {"quota": -5}}, "cpu.quota: found -5, expected 1000 microseconds or more, or -1 (no limit)"),
        (
            {"cpu": {"realtimeRuntime": 95}},
            "cpu.realtimeRuntime: found 95, expected nothing: cgroup v2 has no realtime limits",
        ),
        (
            {"cpu": {"realtimePeriod": 100}},
            "cpu.realtimePeriod: found 100, expected nothing: cgroup v2 has no realtime limits",
        ),
        (
            {"network": {"classID": 1}},
            "network.classID: found a setting of cgroup v1, expected nothing, because cgroup v2 has no network controller",
        ),
        (
            {"network": {"priorities": [{"name": "a", "priority": 1}]}},
            "network.priorities: found a setting of cgroup v1, expected nothing, because cgroup v2 has no network controller",
        ),
        ({"blockIO": {"weight": 9}}, "blockIO.weight: found 9, expected a number from 10 to 1000"),
        (
            {"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}},
            "blockIO.weightDevice[0]: found neither weight nor leafWeight, expected one of them",
        ),
        (
            {"hugepageLimits": [{"pageSize": "../2MB", "limit": 1}]},
            'hugepageLimits[0].pageSize: found "../2MB", expected a page size like "2MB"',
        ),
        (
            {"devices": [{"allow": True, "access": "rx"}]},
            'devices[0].access: found "rx", expected some of "r", "w" and "m"',
        ),
    ],
)
def test_limits_that_cannot_be(resources, message):
    assert error(resources) == f"linux.resources.{message}"


def test_empty_resources_ask_for_nothing():
    empty = {"unified": {}, "rdma": {}, "memory": {}, "hugepageLimits": [], "network": {"classID": 0}, "devices": []}
    assert written(empty) == []


def test_numbers_that_are_only_passed_on_are_slots():
    trace = made(resources={"memory": {"limit": 50, "swap": 70}, "pids": {"limit": 3}, "cpu": {"quota": 5000}}).trace
    assert not [path for path in trace.guards if path.startswith("linux.resources")]
    assert {path.rpartition(".")[2] for path in trace.slots} >= {"limit", "swap", "quota"}


# ---- devices ----


@pytest.mark.parametrize(
    "rules, skip_unwritable",
    [
        ([], 0),
        ([{"allow": True, "access": "rwm"}], 1),
        ([{"allow": True, "access": "rw"}], 0),
        ([{"allow": False, "access": "rwm"}], 0),
        ([{"allow": True, "access": "rwm", "type": "c", "major": 10, "minor": 200}], 0),
        ([{"allow": False, "access": "rwm"}, {"allow": True, "access": "rwm"}], 1),
        ([{"allow": True, "access": "rwm"}, {"allow": True, "access": "r", "type": "b"}], 1),
        ([{"allow": True, "access": "rwm"}, {"allow": False, "access": "r", "type": "b"}], 0),
    ],
)
def test_a_filter_that_allows_everything_can_be_missed(rules, skip_unwritable):
    """All that is not allowed is denied: without a rule, too, a container without a filter could open every device."""
    assert steps(made(resources={"devices": rules}), "host", "LoadDeviceFilter")[0].skip_unwritable == skip_unwritable


def test_roots_filter_cannot_be_missed():
    plan = made(on=v2(), rootless="true")
    assert steps(plan, "host", "LoadDeviceFilter")[0].skip_unwritable == 0


def test_in_a_user_namespace_the_filter_can_be_missed():
    plan = made(on=v2(in_user_namespace=True), resources={"devices": [{"allow": False, "access": "rwm"}]})
    assert steps(plan, "host", "LoadDeviceFilter")[0].skip_unwritable == 1
    assert steps(plan, "host", "MakeCgroup")[0].skip_unwritable == 0


# ---- the mount, and who owns what it shows ----

CGROUP_MOUNT = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "ro"]}


def mounted(spaces=("cgroup",), user=None, mappings=(), options=("nosuid", "ro"), on=None, **changes):
    members = {
        "mounts": [{**CGROUP_MOUNT, "options": list(options)}],
        "linux__namespaces": [{"type": "mount"}, *[{"type": each} for each in spaces]],
        **changes,
    }
    if user is not None:
        members["process__user"] = {"uid": user, "gid": 0}
    if mappings:
        members["linux__uidMappings"] = members["linux__gidMappings"] = [
            dict(zip(("containerID", "hostID", "size"), each)) for each in mappings
        ]
    return made(on=on, members=members)


def test_in_a_cgroup_namespace_the_mount_is_new():
    assert shown(mounted(), "init", "Mount", "Bind") == [
        (
            "Mount",
            {"fstype": "cgroup2", "source": "cgroup2", "bind": f"{ROOT}/c", "target": "/sys/fs/cgroup", "set": 0x3},
        )
    ]


def test_without_a_cgroup_namespace_the_own_one_is_bound():
    assert shown(mounted(()), "init", "Mount", "Bind") == [
        ("Bind", {"source": f"{ROOT}/c", "target": "/sys/fs/cgroup", "recursive": 1, "set": 0x3})
    ]


def delegated(**words):
    return [values(step) for step in steps(mounted(**{"options": ["nosuid"], **words}), "host", "DelegateCgroup")]


def test_who_may_write_its_cgroups_owns_them():
    """config-linux.md, Cgroup ownership: the host's uid of process.user.uid."""
    assert delegated(user=7) == [{"hierarchy": ROOT, "path": "/c", "uid": 7}]
    assert delegated(user=7, spaces=("cgroup", "user"), mappings=[(0, 1000, 1), (5, 70000, 10)]) == [
        {"hierarchy": ROOT, "path": "/c", "uid": 70002}
    ]


@pytest.mark.parametrize(
    "words",
    [
        {"user": 0},  # root's already
        {"user": 7, "options": ["nosuid", "ro"]},
        {"user": 7, "spaces": ()},
        {"user": 7, "spaces": ("user", "cgroup"), "mappings": [(0, 1000, 1)]},  # has no uid on the host
        {"user": 7, "linux__namespaces": [{"type": "mount"}, {"type": "cgroup", "path": "/joined"}]},
        {"user": 7, "mounts": [{**CGROUP_MOUNT, "destination": "/mnt", "options": []}]},
        {"user": 7, "process": ...},
    ],
)
def test_who_owns_no_cgroup(words):
    """config-linux.md, Cgroup ownership: only with a new cgroup namespace, and mounted read-write."""
    if words.get("process") is ...:
        words = {"process": ...}
    assert delegated(**words) == []
