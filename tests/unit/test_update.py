"""update: what flags and JSON ask for, in which order it is written, and what is kept."""

import json

import pytest

from ocirt.cgroups import change_v1
from ocirt.cgroups.choose import choose
from ocirt.cgroups.oom import watch
from ocirt.cgroups.stats import stats
from ocirt.cgroups.update import change, restore
from ocirt.cli import update
from ocirt.cli.events import seconds
from ocirt.cli.flags import VERBS
from ocirt.cli.parser import parse
from ocirt.errors import HostError, RequestError
from ocirt.model.config import Resources
from ocirt.model.config import parse as parse_config
from ocirt.model.host import Cgroups
from ocirt.model.text import Trace, bound
from ocirt.plan import Plan
from tests.unit.plans import V1, Hierarchy, config, host, request


@pytest.mark.parametrize(
    "text, expected",
    [
        ("0", 0),
        ("512", 512),
        ("512b", 512),
        ("1k", 1024),
        ("1kb", 1024),
        ("1KiB", 1024),
        ("50M", 50 << 20),
        ("1.5g", 3 << 29),
        ("2 TB", 2 << 40),
        ("1P", 1 << 50),
        (".5k", 512),
        ("-1", -1),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_sizes(text, expected):
    assert update.size("memory", text) == expected


@pytest.mark.parametrize("text", ["", "x", "-2", "1x", "1..5", "1e3", "0x10", "m", "\u0663", "1mm"])
def test_sizes_that_are_none(text):
    with pytest.raises(RequestError, match="^--memory: found .* expected a number of bytes"):
        update.size("memory", text)


@pytest.mark.parametrize("text", ["", "x", "1.5", "0x5", "--1", "\u0663", "1" * 30])
def test_numbers_that_are_none(text):
    with pytest.raises(RequestError, match="^--cpu-quota: found .* expected a whole number"):
        update.number("cpu-quota", text)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("5s", 5),
        ("100ms", 0.1),
        ("1m30s", 90),
        ("1.5h", 5400),
        ("1h2m3s", 3723),
        ("7us", 7e-6),
        ("7\u00b5s", 7e-6),
        ("1ns", 1e-9),
        ("+2s", 2),
    ],
)
def test_durations(text, expected):
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5", "s", "0s", "-1s", "1s2", "1 s", "1d", "x1s"])
def test_durations_that_are_none(text):
    with pytest.raises(RequestError, match="^--interval: found .* expected a duration greater than 0"):
        seconds(text)


def test_every_flag_has_its_place():
    assert {flag.name for flag in VERBS["update"].flags} == {
        *update.FLAGS,
        "resources",
        "l3-cache-schema",
        "mem-bw-schema",
    }


def asked(*words):
    return update._asked_for(parse(["ocirt", "update", *words, "c1"]).options)


def test_flags():
    given, origin = asked(
        "--memory",
        "1g",
        "--memory-swap=-1",
        "-cpu-share",
        "5",
        "--cpuset-cpus",
        "0",
        "--pids-limit",
        "0",
        "--blkio-weight",
        "100",
        "--cpu-quota",
        "",
    )
    assert given == {
        "memory": {"limit": 1 << 30, "swap": -1},
        "cpu": {"shares": 5, "cpus": "0"},
        "pids": {"limit": 0},
        "blockIO": {"weight": 100},
    }
    assert (
        origin("linux.resources.memory.limit") == "--memory"
        and origin("linux.resources.cpu.quota") == "linux.resources.cpu.quota"
    )


def test_a_file(tmp_path):
    (tmp_path / "r").write_text('{"pids":{"limit":5}}')
    given, origin = asked("-r", str(tmp_path / "r"), "--memory", "5")
    assert (
        given == {"pids": {"limit": 5}}
        and origin("linux.resources.pids.limit") == f"--resources {tmp_path}/r: pids.limit"
    )


# ---- what is written, and what is kept ----


def test_both_halves_of_a_pair():
    stored = {
        "cpu": {"quota": 5000, "period": 10000, "shares": 7},
        "memory": {"limit": 10, "swap": 20, "reservation": 3},
    }
    assert update.completed({"cpu": {"period": 20000}}, stored) == {"cpu": {"period": 20000, "quota": 5000}}
    assert update.completed({"cpu": {"shares": 9}}, stored) == {"cpu": {"shares": 9}}
    assert update.completed({"memory": {"swap": 30}}, stored) == {"memory": {"swap": 30, "limit": 10}}
    assert update.completed({"memory": {"limit": -1}}, stored) == {"memory": {"limit": -1}}
    assert update.completed({"memory": {"limit": 5}, "devices": [1]}, {}) == {"memory": {"limit": 5}}


def test_what_is_kept():
    stored = {
        "devices": [{"allow": False}],
        "memory": {"limit": 10, "swap": 20},
        "pids": {"limit": 5},
        "blockIO": {
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}, {"major": 8, "minor": 16, "rate": 2}]
        },
    }
    assert update.merged(
        stored,
        {
            "memory": {"limit": 15, "swap": None},
            "devices": [],
            "blockIO": {
                "throttleReadBpsDevice": [{"major": 8, "minor": 16, "rate": 3}, {"major": 8, "minor": 32, "rate": 4}]
            },
        },
    ) == {
        "devices": [{"allow": False}],
        "memory": {"limit": 15, "swap": 20},
        "pids": {"limit": 5},
        "blockIO": {
            "throttleReadBpsDevice": [
                {"major": 8, "minor": 0, "rate": 1},
                {"major": 8, "minor": 16, "rate": 3},
                {"major": 8, "minor": 32, "rate": 4},
            ]
        },
    }
    assert update.merged(stored, {"memory": {"limit": -1}})["memory"] == {"limit": -1}


# ---- order ----


@pytest.fixture
def tree(tmp_path):
    """A v1 host beneath a directory; gives a function that makes the steps of an update of a container there."""
    files = {
        "memory/memory.limit_in_bytes": 100,
        "memory/memory.memsw.limit_in_bytes": 200,
        "cpu/cpu.cfs_period_us": 100000,
        "cpu/cpu.cfs_quota_us": 50000,
        "cpu/cpu.cfs_burst_us": 10000,
        "cpu/cpu.shares": 1024,
        "cpu/cpu.idle": 0,
        "cpu/cpu.rt_period_us": 1000000,
        "cpu/cpu.rt_runtime_us": 0,
        "cpuset/cpuset.cpus": "0-1",
        "blkio/blkio.throttle.read_bps_device": "8:0 7\n8:16 9",
        "net_prio/net_prio.ifpriomap": "lo 0\neth0 5",
        "rdma/rdma.max": "mlx5_0 hca_handle=2 hca_object=max",
        "blkio/blkio.bfq.weight_device": "default 100",
        "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0",
        "pids/pids.max": "max",
    }
    for path, text in files.items():
        controller, name = path.split("/")
        (tmp_path / controller / "c").mkdir(parents=True, exist_ok=True)
        (tmp_path / controller / "c" / name).write_text(f"{text}\n")
    hierarchies = [Hierarchy((name,), f"{tmp_path}/{name}", "/") for name in {*V1, "net_prio", "rdma"}]
    on = host(cgroups=Cgroups(sorted(hierarchies, key=lambda each: each.mount)))

    def make(resources, current=()):
        for path, text in dict(current).items():
            next(tmp_path.glob(f"*/c/{path}")).write_text(f"{text}\n")
        made = parse_config(json.dumps(config(linux__cgroupsPath="/c")).encode())
        driver = choose(made, request(), on, Plan(made.trace))
        after = Resources(resources, "linux.resources", Trace())
        steps = change(driver, after)
        back = restore(driver, steps, after, Resources({}, "linux.resources", Trace()))
        assert all(step.may_stand_in("update") for step in steps) and all(step.may_stand_in("restore") for step in back)
        assert [step.file for step in back] == [step.file for step in reversed(steps)]
        return rows(steps), rows(back)

    return make


def rows(steps):
    return [(step.file, bound(step.value)) for step in steps]


LIMIT, SWAP = change_v1.LIMIT, change_v1.SWAP


@pytest.mark.parametrize(
    "limit, swap, order",
    [
        (50, 80, [LIMIT, SWAP]),
        (300, 400, [SWAP, LIMIT]),
        (150, 180, [SWAP, LIMIT]),
        (50, -1, [SWAP, LIMIT]),
        (100, 100, [LIMIT, SWAP]),
    ],
)
def test_memory_and_swap(tree, limit, swap, order):
    """After each write memory and swap together is at least as much as memory."""
    steps, back = tree({"memory": {"limit": limit, "swap": swap}})
    assert [file for file, _ in steps] == order
    assert dict(back) == {LIMIT: "100", SWAP: "200"}
    for written in (steps, back):
        now = {LIMIT: 100, SWAP: 200} if written is steps else {LIMIT: limit, SWAP: swap}
        for file, value in written:
            now[file] = int(value)
            assert now[SWAP] == -1 or now[LIMIT] <= now[SWAP]


def test_no_limit_on_memory_is_none_on_swap(tree):
    assert tree({"memory": {"limit": -1}})[0] == [(SWAP, "-1"), (LIMIT, "-1")]


@pytest.mark.parametrize(
    "cpu, order",
    [
        ({"period": 200000, "quota": 60000}, ["period", "quota"]),
        ({"period": 50000, "quota": 20000}, ["quota", "period"]),
        ({"quota": 4000, "burst": 4000}, ["burst", "quota"]),
        ({"quota": 90000, "burst": 80000}, ["quota", "burst"]),
        ({"quota": 5000, "period": 10000, "burst": 0}, ["burst", "quota", "period"]),
    ],
)
def test_quota_period_and_burst(tree, cpu, order):
    steps, back = tree({"cpu": cpu})
    assert [file for file, _ in steps] == [f"cpu.cfs_{name}_us" for name in order]
    assert (
        dict(back).items()
        <= {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000", "cpu.cfs_burst_us": "10000"}.items()
    )


def test_realtime(tree):
    assert [file for file, _ in tree({"cpu": {"realtimePeriod": 500000, "realtimeRuntime": 1000}})[0]] == [
        "cpu.rt_runtime_us",
        "cpu.rt_period_us",
    ]


def test_idle_and_shares(tree):
    assert tree({"cpu": {"shares": 300, "idle": 0}}, {"cpu.idle": 1, "cpu.shares": 3}) == (
        [("cpu.idle", "0"), ("cpu.shares", "300")],
        [("cpu.shares", "3"), ("cpu.idle", "1")],
    )
    assert tree({"cpu": {"idle": 1}}, {"cpu.idle": 0, "cpu.shares": 1024}) == (
        [("cpu.shares", "1024"), ("cpu.idle", "1")],
        [("cpu.idle", "0"), ("cpu.shares", "1024")],
    )


def test_lines_of_devices_are_put_back(tree):
    def rate(minor):
        return {"major": 8, "minor": minor, "rate": 1}

    _, back = tree(
        {
            "blockIO": {
                "throttleReadBpsDevice": [rate(0), rate(32)],
                "weightDevice": [{"major": 8, "minor": 0, "weight": 50}],
            },
            "network": {"priorities": [{"name": "eth0", "priority": 1}, {"name": "eth1", "priority": 1}]},
            "rdma": {"mlx5_0": {"hcaHandles": 1}, "mlx5_1": {"hcaObjects": 1}},
            "memory": {"disableOOMKiller": True},
        }
    )
    assert back[::-1] == [
        ("memory.oom_control", "0"),
        ("blkio.bfq.weight_device", "8:0 default"),
        ("blkio.throttle.read_bps_device", "8:0 7"),
        ("blkio.throttle.read_bps_device", "8:32 0"),
        ("net_prio.ifpriomap", "eth0 5"),
        ("net_prio.ifpriomap", "eth1 0"),
        ("rdma.max", "mlx5_0 hca_handle=2 hca_object=max"),
        ("rdma.max", "mlx5_1 hca_handle=max hca_object=max"),
    ]


def test_no_device_rules(tree):
    assert tree({"devices": [{"allow": True, "access": "rwm"}], "pids": {"limit": 3}})[0] == [("pids.max", "3")]


def test_without_cgroups():
    made = parse_config(json.dumps(config()).encode())
    driver = choose(made, request(cgroup_manager="disabled"), host(), Plan(made.trace))
    for ask in (
        driver.directory,
        lambda: stats(driver),
        lambda: watch(driver),
        lambda: change(driver, Resources({}, "", Trace())),
    ):
        with pytest.raises(HostError, match="no cgroups of its own"):
            ask()
