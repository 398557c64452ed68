"""update on cgroup v2: what is written in which order, and how it is undone, by what the files of a tree say."""

import json

import pytest

from ocirt.cgroups.choose import choose
from ocirt.cgroups.update import change, restore
from ocirt.cli.update import completed
from ocirt.errors import ConfigError, HostError
from ocirt.model.config import Resources
from ocirt.model.config import parse as parse_config
from ocirt.model.host import Cgroups
from ocirt.model.text import Trace, bound
from ocirt.plan import Plan
from tests.unit.plans import Hierarchy, config, host, request

FILES = {
    "memory.max": "max",
    "memory.swap.max": "max",
    "memory.low": "0",
    "memory.current": "5",
    "cpu.max": "max 100000",
    "cpu.max.burst": "0",
    "cpu.weight": "100",
    "cpu.idle": "0",
    "pids.max": "max",
    "cpuset.cpus": "",
    "cpuset.cpus.effective": "0-3",
    "io.max": "8:0 rbps=7 wbps=max riops=max wiops=9",
    "io.weight": "default 100\n8:0 200",
    "hugetlb.2MB.max": "max",
    "rdma.max": "mlx hca_handle=2 hca_object=max",
    "io.latency": "",
}


def res(members):
    return Resources(members, "linux.resources", Trace())


@pytest.fixture
def make(tmp_path):
    """``make(resources, files, before, **request)`` gives the steps of an update and those that undo it."""

    def made(resources, files=(), before=(), **words):
        path = tmp_path / ("a.slice/p-n.scope" if words else "c")
        path.mkdir(parents=True, exist_ok=True)
        for name, text in (FILES | dict(files)).items():
            (path / name).write_text(f"{text}\n")
        on = host(cgroups=Cgroups((), Hierarchy((), str(tmp_path), "/")), has_systemd=True)
        parsed = parse_config(json.dumps(config(linux__cgroupsPath="a.slice:p:n" if words else "/c")).encode())
        driver = choose(parsed, request(**words), on, Plan(parsed.trace))
        after = res(resources)
        steps = change(driver, after)
        back = restore(driver, steps, after, res(dict(before)))
        # The encoder refuses a step in a section that is not the step's.
        assert all(step.may_stand_in("update") for step in steps) and all(step.may_stand_in("restore") for step in back)
        return steps, back

    return made


def rows(steps):
    return [(step.file, bound(step.value)) if hasattr(step, "file") else type(step).__name__ for step in steps]


@pytest.mark.parametrize(
    "resources, files, steps, back",
    [
        # config-linux.md, "Memory": swap alone is what v2 knows.
        (
            {"memory": {"limit": 50, "swap": 80}},
            {"memory.max": "40"},
            [("memory.swap.max", "30"), ("memory.max", "50")],
            [("memory.max", "40"), ("memory.swap.max", "max")],
        ),
        (
            {"memory": {"limit": -1}},
            {},
            [("memory.swap.max", "max"), ("memory.max", "max")],
            [("memory.max", "max"), ("memory.swap.max", "max")],
        ),
        (
            {"memory": {"limit": 9, "checkBeforeUpdate": True}},
            {},
            ["CheckMemoryUsage", ("memory.max", "9")],
            [("memory.max", "max"), "Nothing"],
        ),
        ({"memory": {"swappiness": 5}}, {}, ["Warn"], ["Nothing"]),
        # A burst is never above the quota.
        (
            {"cpu": {"quota": 5000, "period": 1000, "burst": 20}},
            {},
            [("cpu.max", "5000 1000"), ("cpu.max.burst", "20")],
            [("cpu.max.burst", "0"), ("cpu.max", "max 100000")],
        ),
        (
            {"cpu": {"quota": 5000, "period": 1000, "burst": 20}},
            {"cpu.max.burst": "30"},
            [("cpu.max.burst", "20"), ("cpu.max", "5000 1000")],
            [("cpu.max", "max 100000"), ("cpu.max.burst", "30")],
        ),
        (
            {"cpu": {"quota": 5000, "burst": 0}},
            {"cpu.max.burst": "30"},
            [("cpu.max.burst", "0"), ("cpu.max", "5000")],
            [("cpu.max", "max 100000"), ("cpu.max.burst", "30")],
        ),
        # What is idle takes no weight, and has its own back afterwards.
        (
            {"cpu": {"idle": 1}},
            {},
            [("cpu.weight", "100"), ("cpu.idle", "1")],
            [("cpu.idle", "0"), ("cpu.weight", "100")],
        ),
        (
            {"cpu": {"idle": 0, "shares": 1024}},
            {"cpu.idle": "1", "cpu.weight": "0"},
            [("cpu.idle", "0"), ("cpu.weight", "100")],
            [("cpu.weight", "100"), ("cpu.idle", "1")],
        ),
        ({"cpu": {"cpus": "0"}}, {}, [("cpuset.cpus", "0")], [("cpuset.cpus", "0-3")]),
        # Lines of other devices, and other keys of a line, stay.
        (
            {
                "blockIO": {
                    "weight": 1000,
                    "weightDevice": [{"major": 8, "minor": 0, "weight": 10}, {"major": 8, "minor": 1, "weight": 10}],
                }
            },
            {},
            [("io.weight", "10000"), ("io.weight", "8:0 1"), ("io.weight", "8:1 1")],
            [("io.weight", "8:1 default"), ("io.weight", "8:0 200"), ("io.weight", "default 100")],
        ),
        (
            {
                "blockIO": {
                    "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 5}, {"major": 8, "minor": 1, "rate": 5}]
                }
            },
            {},
            [("io.max", "8:0 rbps=5"), ("io.max", "8:1 rbps=5")],
            [("io.max", "8:1 rbps=max"), ("io.max", "8:0 rbps=7")],
        ),
        (
            {"rdma": {"mlx": {"hcaHandles": 5}}},
            {},
            [("rdma.max", "mlx hca_handle=5")],
            [("rdma.max", "mlx hca_handle=2")],
        ),
        (
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 4}]},
            {},
            [("hugetlb.2MB.max", "4")],
            [("hugetlb.2MB.max", "max")],
        ),
        (
            {"unified": {"io.latency": "8:0 target=9", "io.max": "8:0 rbps=1 wiops=2\n8:1 wbps=3"}},
            {},
            [("io.latency", "8:0 target=9"), ("io.max", "8:0 rbps=1 wiops=2\n8:1 wbps=3")],
            [("io.max", "8:0 rbps=7 wiops=9\n8:1 wbps=max"), ("io.latency", "8:0 target=0")],
        ),
        # What cannot be read cannot be put back: memory.reclaim.
        ({"unified": {"memory.reclaim": "1M"}}, {}, [("memory.reclaim", "1M")], ["Nothing"]),
    ],
)
def test_order_and_the_way_back(make, resources, files, steps, back):
    found = make(resources, files)
    assert (rows(found[0]), rows(found[1])) == (steps, back)


def test_what_cannot_be(make):
    with pytest.raises(HostError, match=r"^linux\.resources\.memory\.swap: memory and swap together cannot be less"):
        make({"memory": {"limit": 50, "swap": 40}})
    with pytest.raises(ConfigError, match="realtime"):
        make({"cpu": {"realtimeRuntime": 5}})


def body(step):
    """What follows the header of the call of SetUnitProperties, up to the next call."""
    items = list(map(bound, step.calls))
    first = items.index("h", items.index("SetUnitProperties")) + 1
    return step.calls[first : items.index("m", first)]


def named(step):
    """The properties of a SetUnitProperties, name -> what follows its signature."""
    items, found = list(map(bound, body(step))), {}
    assert items[:5] == ["s", "p-n.scope", "b", "1", "a8"] and items[-1] == "]"
    for at, item in enumerate(items):
        if item == "(":
            found[items[at + 2]] = items[at + 6]
    return found


def test_systemd_is_told(make):
    """After the files, which it writes anew from what it knows; so they are written again. The way back is the same."""
    steps, back = make(
        {"memory": {"limit": 50}, "pids": {"limit": 7}},
        {"cpu.max": "12345 100000"},
        {"memory": {"limit": 40}},
        systemd_cgroup="1",
    )
    writes = [("pids.max", "7"), ("memory.max", "50")]
    assert rows(steps) == [*writes, "SetUnitProperties", *writes, ("cpu.max", "12345 100000")]
    assert named(steps[2]) == {"MemoryMax": "50", "TasksMax": "7"}
    undone = [("memory.max", "max"), ("pids.max", "max")]
    assert rows(back) == [("cpu.max", "12345 100000"), *undone, "SetUnitProperties", *undone]
    assert named(back[3]) == {"MemoryMax": "40", "TasksMax": str((1 << 64) - 1)}
    # A slot has one value in a program, which is the new one.
    assert {type(item) for item in body(back[3])[2:]} == {str}


def test_what_systemd_does_not_know(make):
    steps, back = make({"hugepageLimits": [{"pageSize": "2MB", "limit": 4}]}, systemd_cgroup="1")
    assert rows(steps) == ["EnableControllers", ("hugetlb.2MB.max", "4")] and rows(back) == [
        ("hugetlb.2MB.max", "max"),
        "Nothing",
    ]


def test_check_before_update_stays(make):
    """config-linux.md, "Memory": what config.json has asked for holds for every update of memory."""
    stored = {"memory": {"limit": 5, "checkBeforeUpdate": True}}
    assert completed({"memory": {"limit": 4}}, stored) == {"memory": {"limit": 4, "checkBeforeUpdate": True}}
    assert (
        completed({"memory": {"limit": 4, "checkBeforeUpdate": False}}, stored)["memory"]["checkBeforeUpdate"] is False
    )
    assert completed({"pids": {"limit": 4}}, stored) == {"pids": {"limit": 4}}
