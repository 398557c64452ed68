"""update on cgroup v2, by both drivers: read back from the kernel, and from systemd where that made the cgroup."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT, SYSTEMD
from tests.integration.test_faults import fault, steps_of
from tests.integration.unified import emptied, folder, read, unified

__all__ = ["emptied", "unified"]  # fixtures of every test here
pytestmark = [pytest.mark.v2, pytest.mark.cgroups]

MIB = 1 << 20
FILES = (
    "memory.max",
    "memory.swap.max",
    "memory.low",
    "memory.high",
    "cpu.weight",
    "cpu.max",
    "cpu.max.burst",
    "cpu.idle",
    "cpuset.cpus",
    "cpuset.mems",
    "pids.max",
    "io.max",
    "hugetlb.2MB.max",
)


@pytest.fixture
def limited(ocirt, bundle):
    """The container c1 with runc's own values of its tests."""
    bundle.config["linux"]["resources"] |= {
        "memory": {"limit": 32 * MIB, "reservation": 24 * MIB, "swap": 40 * MIB},
        "cpu": {"shares": 100, "quota": 500000, "period": 1000000},
        "pids": {"limit": 20},
    }
    ocirt.ok("create", "--bundle", bundle.save(), "c1")
    ocirt.ok("start", "c1")
    return bundle


def now():
    return {name: read(name) if (folder() / name).exists() else None for name in FILES}


def update(ocirt, tmp_path, resources, *words):
    (tmp_path / "input").write_text(json.dumps(resources))
    with open(tmp_path / "input") as file:
        return ocirt("update", *words, "--resources", "-", "c1", stdin=file)


def shown(*names, unit="ocirt-bundle.scope"):
    out = subprocess.run(
        ["systemctl", "show", unit, *(f"--property={name}" for name in names)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    ).stdout
    return dict(line.split("=", 1) for line in out.splitlines())


def check_systemd(**properties):
    """What systemd believes, and that it leaves all as it is when it has to write anew: but a quota, of which it keeps whole
    percents."""
    if SYSTEMD:
        assert shown(*properties) == properties
        before = now()
        subprocess.run(["systemctl", "daemon-reload"], timeout=LIMIT, check=True)
        assert now() | {"cpu.max": ""} == before | {"cpu.max": ""}


def test_flags(ocirt, limited):
    """config-linux.md, "Memory", "CPU", "PIDs", in cgroup v2's terms, as create converts them; all else stays."""
    expected = now()
    for flags, changed in (
        (("--memory", "50M", "--memory-swap", "80M"), {"memory.max": str(50 * MIB), "memory.swap.max": str(30 * MIB)}),
        (("--memory", "36M"), {"memory.max": str(36 * MIB), "memory.swap.max": str(44 * MIB)}),
        (("--memory-swap", "96468992"), {"memory.swap.max": str(96468992 - 36 * MIB)}),
        (("--memory-swap", "-1"), {"memory.swap.max": "max"}),
        (("--memory-reservation", "16MiB"), {"memory.low": str(16 * MIB)}),
        (("--cpu-share", "1024"), {"cpu.weight": "100"}),
        (("--cpu-quota", "600000"), {"cpu.max": "600000 1000000"}),
        (("--cpu-period", "900000", "--cpu-burst", "5000"), {"cpu.max": "600000 900000", "cpu.max.burst": "5000"}),
        (("--cpu-quota", "12345", "--cpu-period", "100000"), {"cpu.max": "12345 100000"}),
        (("--cpu-burst", "0"), {"cpu.max.burst": "0"}),
        (("--cpu-quota", "-1"), {"cpu.max": "max 100000"}),
        (("--cpuset-cpus", "0", "--cpuset-mems", "0"), {"cpuset.cpus": "0", "cpuset.mems": "0"}),
        (("--pids-limit", "10"), {"pids.max": "10"}),
        (("--pids-limit", "-1"), {"pids.max": "max"}),
        (("--memory", "-1"), {"memory.max": "max"}),
        (("--cpu-idle", "1"), {"cpu.idle": "1"}),
    ):
        assert ocirt.ok("update", *flags, "c1").err == ""
        expected |= changed
        found = now()
        if "cpu.idle" in changed:
            # The kernel has a weight of its own for an idle cgroup: it shows 0, and Linux 7 the least that a weight can be.
            assert found["cpu.weight"] in ("0", "1")
            expected["cpu.weight"] = found["cpu.weight"]
        assert found == expected, flags


def test_from_a_file(ocirt, limited, tmp_path):
    resources = {
        "memory": {"limit": 64 * MIB, "swap": 64 * MIB},
        "pids": {"limit": 0},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}],
        "cpu": {"shares": 2048, "quota": 25000, "period": 50000, "cpus": "0"},
        "devices": [{"allow": True, "access": "rwm"}],
        "unified": {"memory.high": str(40 * MIB), "cpu.weight": "77"},
        "unknown": 1,
    }
    before = now()
    assert update(ocirt, tmp_path, resources).err == ""
    assert now() == before | {
        "memory.max": str(64 * MIB),
        "memory.swap.max": "0",
        "pids.max": "1",
        "hugetlb.2MB.max": str(4 * MIB),
        "cpu.weight": "77",
        "cpu.max": "25000 50000",
        "cpuset.cpus": "0",
        "memory.high": str(40 * MIB),
    }
    check_systemd(
        MemoryMax=str(64 * MIB),
        MemorySwapMax="0",
        TasksMax="1",
        CPUQuotaPerSecUSec="500ms",
        CPUWeight="77",
        AllowedCPUs="0",
        MemoryHigh=str(40 * MIB),
    )


def test_an_update_outlives_systemds_next_write(ocirt, limited):
    """What one update has said stands after systemd has had another to write."""
    ocirt.ok(
        "update", "--memory", "48M", "--memory-swap", "50M", "--cpu-quota", "12345", "--cpu-period", "100000", "c1"
    )
    ocirt.ok("update", "--pids-limit", "9", "c1")
    assert (read("memory.max"), read("memory.swap.max"), read("cpu.max"), read("pids.max")) == (
        str(48 * MIB),
        str(2 * MIB),
        "12345 100000",
        "9",
    )
    check_systemd(MemoryMax=str(48 * MIB), MemorySwapMax=str(2 * MIB), TasksMax="9", CPUQuotaPerSecUSec="130ms")
    kept = json.loads(Path(ocirt.root, "c1", "resources.json").read_text())
    assert kept["pids"] == {"limit": 9} and kept["memory"]["limit"] == 48 * MIB


def test_memory_and_swap_in_any_direction(ocirt, limited):
    for memory, swap in (("30M", "50M"), ("60M", "80M"), ("20M", "25M"), ("100M", "-1"), ("10M", "10M")):
        ocirt.ok("update", "c1", "--memory", memory, "--memory-swap", swap)
        left = "max" if swap == "-1" else str((int(swap[:-1]) - int(memory[:-1])) * MIB)
        assert (read("memory.max"), read("memory.swap.max")) == (str(int(memory[:-1]) * MIB), left)
    assert "--memory-swap: memory and swap together cannot be less" in ocirt.fails(
        "update", "c1", "--memory-swap", "5M"
    )


def test_cpu_in_any_direction(ocirt, limited):
    """A burst is never above the quota."""
    for quota, period, burst in (
        (100000, 500000, 90000),
        (2000, 10000, 1000),
        (200000, 1000000, 200000),
        (1000, 4000, 0),
    ):
        ocirt.ok("update", "c1", "--cpu-quota", quota, "--cpu-period", period, "--cpu-burst", burst)
        assert (read("cpu.max"), read("cpu.max.burst")) == (f"{quota} {period}", str(burst))
    ocirt.ok("update", "c1", "--cpu-idle", "1")
    ocirt.ok("update", "c1", "--cpu-idle", "0", "--cpu-share", "2048")
    assert read("cpu.idle") == "0" and int(read("cpu.weight")) > 100


def test_check_before_update(ocirt, bundle, tmp_path):
    """config-linux.md, "Memory": a limit below what is in use is refused, also where config.json has asked for it. Without it the
    kernel frees memory, or kills."""
    bundle.config["linux"]["resources"]["memory"] = {"limit": 64 * MIB, "checkBeforeUpdate": True}
    bundle.config["mounts"].append({"destination": "/big", "type": "tmpfs", "source": "tmpfs"})
    bundle.shell("dd if=/dev/zero of=/big/x bs=1M count=24 2>/dev/null; echo x >/big/done; exec sleep 600").save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    ocirt.ok("exec", "c1", "sh", "-c", "until [ -e /big/done ]; do sleep 0.1; done")
    message = ocirt.fails("update", "--memory", "8M", "--pids-limit", "33", "c1")
    assert "--memory" in message and "bytes are in use" in message
    assert read("memory.max") == str(64 * MIB) and read("pids.max") != "33"
    result = update(ocirt, tmp_path, {"memory": {"limit": 8 * MIB}})
    assert result.status == 1 and "bytes are in use" in result.err
    ocirt.ok("update", "--memory", "48M", "c1")
    assert ocirt.status("c1") == "running" and read("memory.max") == str(48 * MIB)


@pytest.mark.parametrize(
    "resources, message",
    [
        ({"cpu": {"cpus": "0", "mems": "63"}}, "cpu.mems"),
        ({"unified": {"memory.high": "33554432", "memory.max": "much"}}, 'unified["memory.max"]'),
        (
            {"blockIO": {"throttleReadBpsDevice": [{"major": 999, "minor": 7, "rate": 5}]}},
            "blockIO.throttleReadBpsDevice[0]",
        ),
        ({"unified": {"no.such": "1"}}, "the controller no is not there on this host"),
    ],
)
def test_all_or_nothing(ocirt, limited, tmp_path, resources, message):
    """What had been written before the failure is as it was, with systemd too."""
    before = now()
    told = shown("MemoryMax", "TasksMax", "CPUWeight", "AllowedCPUs") if SYSTEMD else None
    result = update(
        ocirt,
        tmp_path,
        {
            "memory": {"limit": 64 * MIB, "swap": 80 * MIB},
            "pids": {"limit": 7},
            **resources,
            "cpu": {"shares": 300, "cpus": "0", "idle": 1, "quota": 20000, "period": 40000} | resources.get("cpu", {}),
        },
    )
    assert result.status == 1 and message in result.err.replace('\\"', '"') and "set back" not in result.err, result
    # Once it has CPUs of its own the kernel does not let it go back to none: then they are those from above.
    assert read("cpuset.cpus") in ("", read("cpuset.cpus.effective", "/"))
    assert now() | {"cpuset.cpus": ""} == before and not Path(ocirt.root, "c1", "resources.json").exists()
    assert told is None or shown(*told) == told


@pytest.mark.skipif(not SYSTEMD, reason="systemd does not make the cgroups in this run")
def test_systemd_gets_its_own_back(ocirt, limited, tmp_path):
    """Where what fails comes after systemd was told: resources.json cannot be written."""
    names = (
        "MemoryMax",
        "MemorySwapMax",
        "MemoryLow",
        "TasksMax",
        "CPUWeight",
        "AllowedCPUs",
        "CPUQuotaPerSecUSec",
        "MemoryHigh",
    )
    before, told = now(), shown(*names)
    (Path(ocirt.root) / "c1/resources.json.new").mkdir()
    result = update(
        ocirt,
        tmp_path,
        {
            "memory": {"limit": 64 * MIB, "swap": 80 * MIB, "reservation": 5 * MIB},
            "pids": {"limit": 7},
            "cpu": {"shares": 300, "cpus": "0", "quota": 20000},
            "unified": {"memory.high": "33554432"},
        },
    )
    (Path(ocirt.root) / "c1/resources.json.new").rmdir()
    assert result.status == 1 and "resources.json" in result.err and "set back" not in result.err, result
    assert now() == before | {"cpuset.cpus": read("cpuset.cpus.effective", "/")} and shown(*names) == told


def test_devices_of_block_io(ocirt, limited, tmp_path):
    """Rates of other kinds and devices stay; those that are set are replaced, and taken away by a failure later on."""
    device = read("io.stat", "/").split()[0] if read("io.stat", "/") else None
    assert device, "the machine's disk"
    major, minor = map(int, device.split(":"))

    def rates(read_rate=None, write_rate=None, **more):
        return {
            "blockIO": {
                name: [{"major": major, "minor": minor, "rate": rate}]
                for name, rate in (("throttleReadBpsDevice", read_rate), ("throttleWriteIOPSDevice", write_rate))
                if rate
            },
            **more,
        }

    assert update(ocirt, tmp_path, rates(5000, unified={"no.such": "1"})).status == 1 and read("io.max") == ""
    assert update(ocirt, tmp_path, rates(1000)).status == 0 and update(ocirt, tmp_path, rates(2000, 30)).status == 0
    assert read("io.max") == f"{device} rbps=2000 wbps=max riops=max wiops=30"
    assert update(ocirt, tmp_path, rates(9000, 9, unified={"no.such": "1"})).status == 1
    assert read("io.max") == f"{device} rbps=2000 wbps=max riops=max wiops=30"


def test_device_rules_stay(ocirt, limited, tmp_path):
    """As in runc: others may have set more of them."""
    assert update(ocirt, tmp_path, {"devices": [{"allow": True, "access": "rwm"}], "pids": {"limit": 9}}).status == 0
    assert read("pids.max") == "9"
    assert ocirt("exec", "c1", "sh", "-c", "mknod /dev/k c 1 11 && : </dev/k").status != 0


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ("--cpu-rt-period", "1000"),
            "--cpu-rt-period: found 1000, expected nothing: cgroup v2 has no realtime limits",
        ),
        (("--memory", "9999999p"), "--memory: found 11258997942"),
        (("--blkio-weight", "5"), "--blkio-weight: found 5, expected a number from 10"),
    ],
)
def test_flags_that_cannot_be(ocirt, limited, words, message):
    assert message in ocirt.fails("update", *words, "c1")


def test_files_that_cannot_be(ocirt, limited, tmp_path):
    for resources, message in (
        ({"network": {"classID": 5}}, "network.classID"),
        ({"unified": {"cgroup.procs": "1"}}, "cgroup.procs"),
    ):
        result = update(ocirt, tmp_path, resources)
        assert (
            result.status == 1
            and f"--resources -: {'unified' if 'unified' in resources else 'network'}" in result.err
            and message in result.err
        )


def test_what_is_not_applied_is_a_warning(ocirt, limited, tmp_path):
    result = update(ocirt, tmp_path, {"memory": {"swappiness": 5}, "pids": {"limit": 8}})
    assert result.status == 0 and result.err.count("level=warning") == 1 and read("pids.max") == "8"


def test_paused_created_and_stopped(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("update", "c1", "--memory", "16m")
    ocirt.ok("pause", "c1")
    ocirt.ok("update", "c1", "--pids-limit", "9")
    assert read("memory.max") == str(16 * MIB) and read("pids.max") == "9" and ocirt.status("c1") == "paused"
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    assert "container not running" in ocirt.fails("update", "c1", "--pids-limit", "9")


def test_killed_on_the_way(ocirt, faulty, limited, tmp_path):
    """A killed update has done some of it; the next one does all."""
    words = ("update", "c1", "--memory", "64M", "--memory-swap", "80M", "--pids-limit", "7")
    count = steps_of(faulty, tmp_path, *words)
    assert count >= 4
    for step in range(1, count + 1, 1 if not SYSTEMD else 2):
        ocirt.ok("update", "c1", "--memory", "32M", "--memory-swap", "32M", "--pids-limit", "20")
        assert fault(faulty, "update", step, "kill", *words).status == -signal.SIGKILL
        ocirt.ok(*words)
        assert (read("memory.max"), read("memory.swap.max"), read("pids.max")) == (str(64 * MIB), str(16 * MIB), "7")


def test_a_controller_that_was_not_asked_for(ocirt, bundle, tmp_path):
    """Systemd does not know hugetlb, and has not enabled it."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert update(ocirt, tmp_path, {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]}).err == ""
    assert (folder() / "hugetlb.2MB.max").read_text() == f"{4 * MIB}\n"
