"""Statistics of cgroups, from files that kernels 6.18 (v1) and 6.1 (v2) have written: runc's types/events.go, 1.3."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from ocirt.cgroups import counters, oom, resctrl, stats_v1, stats_v2
from ocirt.errors import HostError
from tests.unit.plans import DATA, Cgroups, host, v1


def recorded(name, folder):
    """A directory with the files of a record."""
    for path, text in json.loads((DATA / name).read_text()).items():
        file = Path(folder, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "blkio")


def driver(folder, *controllers):
    return SimpleNamespace(
        host=host(cgroups=Cgroups(v1(*controllers))), directory=lambda controller: f"{folder}/{controller}"
    )


@pytest.fixture
def on_v1(tmp_path):
    return stats_v1.stats(driver(recorded("cgroups/v1.json", tmp_path), *CONTROLLERS))


@pytest.fixture
def on_v2(tmp_path):
    return stats_v2.stats(recorded("cgroups/v2.json", tmp_path))


def test_members_are_those_of_runc(on_v1, on_v2):
    names = ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"]
    assert list(on_v1) == list(on_v2) == names


def test_v2_before_memory_has_a_peak(on_v2, tmp_path):
    """Before Linux 5.19: runc's `max` is left out, as it is of what v2 does not count."""
    assert on_v2["memory"]["usage"]["max"] > 0
    (tmp_path / "memory.peak").unlink()
    usage = stats_v2.stats(tmp_path)["memory"]["usage"]
    assert "max" not in usage and usage["usage"] == on_v2["memory"]["usage"]["usage"]


def test_v1_cpu(on_v1):
    assert on_v1["cpu"] == {
        "usage": {
            "total": 5373422,
            "percpu": [1787084, 3586338],
            "percpu_kernel": [4000000, 0],
            "percpu_user": [0, 0],
            "kernel": 0,
            "user": 0,
        },
        "throttling": {"periods": 2},
    }
    assert on_v1["cpuset"]["cpus"] == [0, 1] and on_v1["cpuset"]["mems"] == [0]
    assert on_v1["cpuset"]["sched_relax_domain_level"] == -1 and on_v1["cpuset"]["sched_load_balance"] == 1


def test_v1_ticks_are_hundredths_of_a_second(tmp_path):
    (tmp_path / "cpuacct.stat").write_text("user 3\nsystem 250\n")
    usage = stats_v1.cpu(counters.Files(tmp_path), counters.Files(None))["usage"]
    assert usage == {"kernel": 2_500_000_000, "user": 30_000_000}


def test_v1_memory(on_v1):
    memory = on_v1["memory"]
    assert memory["cache"] == memory["raw"]["cache"] == 4603904 and list(memory["raw"]) == sorted(memory["raw"])
    assert memory["usage"] == {"limit": 32 << 20, "usage": 4845568, "max": 6516736, "failcnt": 0}
    assert memory["kernel"]["usage"] == 188416
    assert on_v1["pids"] == {"current": 1, "limit": 20}


def test_v1_block_io_is_the_throttles_where_no_scheduler_counts(on_v1):
    found = on_v1["blkio"]
    assert list(found) == ["ioServiceBytesRecursive", "ioServicedRecursive"]
    assert found["ioServicedRecursive"][:2] == [
        {"major": 254, "op": "Read", "value": 8},
        {"major": 254, "op": "Write", "value": 5},
    ]
    assert {"major": 254, "op": "Discard"} in found["ioServicedRecursive"]


def test_v1_block_io_by_a_scheduler(tmp_path):
    (tmp_path / "blkio.bfq.io_serviced_recursive").write_text("8:16 Read 7\nTotal 7\n")
    (tmp_path / "blkio.bfq.sectors_recursive").write_text("8:16 99\n")
    (tmp_path / "blkio.throttle.io_serviced").write_text("8:0 Read 1\n")
    assert stats_v1.block_io(counters.Files(tmp_path)) == {
        "ioServicedRecursive": [{"major": 8, "minor": 16, "op": "Read", "value": 7}],
        "sectorsRecursive": [{"major": 8, "minor": 16, "value": 99}],
    }


def test_a_host_without_controllers():
    found = stats_v1.stats(driver("/nonexistent", "name=systemd"))
    assert found["pids"] == found["blkio"] == found["hugetlb"] == {} and found["memory"]["usage"] == {
        "limit": 0,
        "failcnt": 0,
    }


def test_v2_cpu(on_v2):
    record = dict(line.split() for line in json.loads((DATA / "cgroups/v2.json").read_text())["cpu.stat"].splitlines())
    assert on_v2["cpu"]["usage"] == {
        name: int(record[key]) * 1000
        for name, key in (("total", "usage_usec"), ("kernel", "system_usec"), ("user", "user_usec"))
    }
    assert on_v2["cpu"]["throttling"] == {
        "periods": int(record["nr_periods"]),
        "throttledPeriods": int(record["nr_throttled"]),
        "throttledTime": int(record["throttled_usec"]) * 1000,
    }
    assert on_v2["cpu"]["psi"]["some"]["total"] > 0 and list(on_v2["cpu"]["psi"]["full"]) == [
        "avg10",
        "avg60",
        "avg300",
        "total",
    ]
    assert on_v2["cpuset"]["cpus"] == [0, 1]


def test_v2_memory_and_swap_are_together(on_v2, tmp_path):
    assert on_v2["memory"]["usage"]["limit"] == 16 << 20 and on_v2["memory"]["usage"]["max"] == 16 << 20
    assert on_v2["memory"]["swap"] == {name: on_v2["memory"]["usage"][name] for name in ("limit", "usage", "failcnt")}
    for swap, limit, both in (("1000", "max", counters.NO_LIMIT), ("1000", "500", (16 << 20) + 500)):
        (tmp_path / "memory.swap.current").write_text(swap)
        (tmp_path / "memory.swap.max").write_text(limit)
        (tmp_path / "memory.current").write_text("24")
        assert stats_v2.memory(counters.Files(tmp_path))["swap"] == {"limit": both, "usage": 1024, "failcnt": 0}


def test_v2_block_io(on_v2):
    record = json.loads((DATA / "cgroups/v2.json").read_text())["io.stat"]
    device, *fields = record.splitlines()[0].split()
    values = dict(field.split("=") for field in fields)
    assert on_v2["blkio"]["ioServiceBytesRecursive"] == [
        {"major": int(device.split(":")[0]), "op": "Read", "value": int(values["rbytes"])},
        {"major": int(device.split(":")[0]), "op": "Write", "value": int(values["wbytes"])},
    ]
    assert [entry["op"] for entry in on_v2["blkio"]["ioServicedRecursive"]] == ["Read", "Write"]


def test_v2_pids(on_v2, tmp_path):
    assert on_v2["pids"] == {"current": 1, "limit": 30}
    (tmp_path / "pids.max").write_text("max\n")
    assert stats_v2.pids(counters.Files(tmp_path)) == {"current": 1}
    (tmp_path / "pids.current").unlink()
    (tmp_path / "cgroup.procs").write_text("5\n6\n")
    assert stats_v2.pids(counters.Files(tmp_path)) == {"current": 2}


def test_huge_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(stats_v1, "page_sizes", lambda: ["1GB", "2MB"])
    monkeypatch.setattr(stats_v2, "page_sizes", lambda: ["1GB", "2MB"])
    for name, text in (
        ("hugetlb.2MB.rsvd.usage_in_bytes", "5"),
        ("hugetlb.2MB.rsvd.failcnt", "2"),
        ("hugetlb.2MB.usage_in_bytes", "9"),
        ("hugetlb.1GB.usage_in_bytes", "0"),
        ("hugetlb.1GB.max_usage_in_bytes", "7"),
        ("hugetlb.2MB.rsvd.current", "5"),
        ("hugetlb.2MB.events", "max 3\n"),
    ):
        (tmp_path / name).write_text(text)
    files = counters.Files(tmp_path)
    assert stats_v1.hugetlb(files) == {"1GB": {"max": 7, "failcnt": 0}, "2MB": {"usage": 5, "failcnt": 2}}
    assert stats_v2.hugetlb(files) == {"2MB": {"usage": 5, "failcnt": 3}}


def test_page_sizes(tmp_path):
    for kilobytes in (64, 2048, 1048576):
        (tmp_path / f"hugepages-{kilobytes}kB").mkdir()
    assert counters.page_sizes(tmp_path) == ["1GB", "2MB", "64KB"]
    assert counters.page_sizes(tmp_path / "none") == []


@pytest.mark.parametrize("text, expected", [("0-2,4\n", [0, 1, 2, 4]), ("3", [3]), ("\n", []), (None, [])])
def test_lists_of_cpus(text, expected):
    assert counters.cpus(text) == expected


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "pids.max").mkdir()
    with pytest.raises(HostError, match="pids.max: is a directory"):
        counters.Files(tmp_path).text("pids.max")


def test_resctrl(tmp_path):
    for path, text in (
        ("schemata", "    L3:0=ff;1=ff\n    MB:0=100;1=100\n"),
        ("c1/schemata", "L3:0=f;1=f\nMB:0=50;1=50\n"),
        ("info/L3/cbm_mask", "ff\n"),
        ("info/L3/min_cbm_bits", "1\n"),
        ("info/L3/num_closids", "16\n"),
        ("info/MB/bandwidth_gran", "10\n"),
        ("info/MB/min_bandwidth", "10\n"),
        ("info/MB/delay_linear", "1\n"),
        ("info/MB/num_closids", "8\n"),
        ("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n"),
        ("c1/mon_groups/c1/mon_data/mon_L3_00/llc_occupancy", "7\n"),
        ("c1/mon_groups/c1/mon_data/mon_L3_00/mbm_total_bytes", "9\n"),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert resctrl.stats(str(tmp_path), "c1", "c1/mon_groups/c1") == {
        "l3_cache_info": {"cbm_mask": "ff", "min_cbm_bits": 1, "num_closids": 16},
        "l3_cache_schema_root": "L3:0=ff;1=ff",
        "l3_cache_schema": "L3:0=f;1=f",
        "mem_bw_info": {"bandwidth_gran": 10, "delay_linear": 1, "min_bandwidth": 10, "num_closids": 8},
        "mem_bw_schema_root": "MB:0=100;1=100",
        "mem_bw_schema": "MB:0=50;1=50",
        "schemata": ["L3:0=f;1=f", "MB:0=50;1=50"],
        "mbm_stats": [{"mbm_total_bytes": 9, "mbm_local_bytes": 0}],
        "cmt_stats": [{"llc_occupancy": 7}],
    }
    with pytest.raises(HostError, match="gone: the resctrl group"):
        resctrl.stats(str(tmp_path), "gone", None)


def test_kills_are_counted_from_where_they_stood(tmp_path):
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom 2\noom_kill 3\n")
    watch = oom.FileWatch(tmp_path)
    assert not watch.take()
    events.write_text("low 9\noom 2\noom_kill 3\n")
    assert not watch.take()
    events.write_text("low 9\noom 3\noom_kill 4\n")
    assert watch.take() and not watch.take()


@pytest.mark.parametrize("watch", [oom.FileWatch, oom.EventWatch])
def test_no_memory_cgroup_to_watch(watch, tmp_path):
    with pytest.raises(HostError, match=f"{tmp_path}: watch memory"):
        watch(str(tmp_path))
