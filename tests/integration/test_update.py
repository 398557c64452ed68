"""update: runc's flags and JSON, limits read back, all of them or none."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT, PARENT, cgroup_file
from tests.integration.test_faults import fault, steps_of
from tests.integration.test_rdt import host, rdt  # noqa: F401 - fixtures

pytestmark = pytest.mark.v1

MIB = 1 << 20
UNLIMITED = "9223372036854771712"


@pytest.fixture
def limited(ocirt, bundle):
    """The container c1 with runc's own values of its tests; gives a file of its cgroups."""
    bundle.config["linux"]["resources"] |= {
        "memory": {"limit": 32 * MIB, "reservation": 24 * MIB},
        "cpu": {"shares": 100, "quota": 500000, "period": 1000000},
        "pids": {"limit": 20},
    }
    ocirt.ok("create", "--bundle", bundle.save(), "c1")
    ocirt.ok("start", "c1")
    return lambda file: cgroup_file(bundle, CONTROLLERS.get(file.split(".")[0], file.split(".")[0]), file)


CONTROLLERS = {"cpuacct": "cpuacct"}


@pytest.mark.parametrize(
    "flag, value, file, expected",
    [
        ("memory", "67108864", "memory.limit_in_bytes", str(64 * MIB)),
        ("memory", "50M", "memory.limit_in_bytes", str(50 * MIB)),
        ("memory", "0.5g", "memory.limit_in_bytes", str(512 * MIB)),
        ("memory-reservation", "16MiB", "memory.soft_limit_in_bytes", str(16 * MIB)),
        ("memory-swap", "96468992", "memory.memsw.limit_in_bytes", "96468992"),
        ("memory-swap", "-1", "memory.memsw.limit_in_bytes", UNLIMITED),
        ("cpu-share", "200", "cpu.shares", "200"),
        ("cpu-period", "900000", "cpu.cfs_period_us", "900000"),
        ("cpu-quota", "600000", "cpu.cfs_quota_us", "600000"),
        ("cpu-quota", "-1", "cpu.cfs_quota_us", "-1"),
        ("cpu-burst", "5000", "cpu.cfs_burst_us", "5000"),
        ("cpu-idle", "1", "cpu.idle", "1"),
        ("cpuset-cpus", "0", "cpuset.cpus", "0"),
        ("cpuset-mems", "0", "cpuset.mems", "0"),
        ("pids-limit", "10", "pids.max", "10"),
        ("pids-limit", "-1", "pids.max", "max"),
    ],
)
def test_one_flag(ocirt, limited, flag, value, file, expected):
    touched = {file, "cpu.shares" if flag == "cpu-idle" else file}  # an idle cgroup has none
    others = {
        name: limited(name)
        for name in (
            "memory.limit_in_bytes",
            "memory.soft_limit_in_bytes",
            "cpu.shares",
            "cpu.cfs_period_us",
            "cpu.cfs_quota_us",
            "pids.max",
            "devices.list",
        )
    }
    assert ocirt.ok("update", f"--{flag}", value, "c1").err == ""
    assert limited(file) == expected
    assert {name: limited(name) for name in others if name not in touched} == {
        name: value for name, value in others.items() if name not in touched
    }


def test_all_at_once_and_from_a_file(ocirt, limited, tmp_path):
    ocirt.ok(
        "update",
        "c1",
        "--cpu-period=900000",
        "--cpu-quota",
        "600000",
        "-cpu-share",
        "200",
        "--memory",
        "64m",
        "--memory-reservation",
        "32m",
        "--pids-limit",
        "10",
    )
    assert [
        limited(file)
        for file in (
            "cpu.cfs_period_us",
            "cpu.cfs_quota_us",
            "cpu.shares",
            "memory.limit_in_bytes",
            "memory.soft_limit_in_bytes",
            "pids.max",
        )
    ] == ["900000", "600000", "200", str(64 * MIB), str(32 * MIB), "10"]
    resources = {
        "memory": {"limit": 32 * MIB, "reservation": 24 * MIB},
        "pids": {"limit": 20},
        "devices": [{"allow": False, "access": "rwm"}],
        "cpu": {"shares": 100, "quota": 500000, "period": 1000000, "cpus": "0"},
        "blockIO": {},
        "unknown": 1,
    }
    rules = limited("devices.list")
    (tmp_path / "resources").write_text(json.dumps(resources))
    ocirt.ok("update", f"--resources={tmp_path / 'resources'}", "--memory", "1g", "c1")
    assert (
        limited("memory.limit_in_bytes") == str(32 * MIB)
        and limited("cpuset.cpus") == "0"
        and limited("pids.max") == "20"
    )
    assert (limited("cpu.cfs_period_us"), limited("cpu.cfs_quota_us"), limited("cpu.shares")) == (
        "1000000",
        "500000",
        "100",
    )
    # Rules that others may have added are not touched, whatever is said of devices; runc does so too.
    assert limited("devices.list") == rules


def standard_input(ocirt, tmp_path, text, *words):
    (tmp_path / "input").write_text(text)
    with open(tmp_path / "input") as file:
        return ocirt("update", "--resources", "-", "c1", *words, stdin=file)


def test_from_standard_input(ocirt, limited, tmp_path):
    """As containerd calls it."""
    result = standard_input(ocirt, tmp_path, '{"memory":{"limit":50331648},"pids":{"limit":0}}\n')
    assert result.status == 0 and result.err == ""
    assert limited("memory.limit_in_bytes") == str(48 * MIB) and limited("pids.max") == "0"


def test_memory_and_swap_in_any_direction(ocirt, limited):
    """memory may never be above memory and swap: which is written first depends on what is there."""
    for memory, swap in (("30M", "50M"), ("60M", "80M"), ("20M", "25M"), ("100M", "-1"), ("10M", "10M")):
        ocirt.ok("update", "c1", "--memory", memory, "--memory-swap", swap)
        assert limited("memory.limit_in_bytes") == str(int(memory[:-1]) * MIB)
        assert limited("memory.memsw.limit_in_bytes") == (UNLIMITED if swap == "-1" else str(int(swap[:-1]) * MIB))
    # Memory alone cannot go above what memory and swap were; without a limit there is none on both.
    assert "--memory: write" in ocirt.fails("update", "c1", "--memory", "11M")
    ocirt.ok("update", "c1", "--memory", "-1")
    assert limited("memory.limit_in_bytes") == limited("memory.memsw.limit_in_bytes") == UNLIMITED
    # And that is kept: an update that says nothing of it does not bring the old limit back.
    ocirt.ok("update", "c1", "--memory", "40M")
    assert limited("memory.memsw.limit_in_bytes") == UNLIMITED


def test_cpu_in_any_direction(ocirt, limited):
    """Under a cgroup that allows a quarter of a CPU no order of quota and period may go above that on the way; a burst
    is never above the quota."""
    parent = Path(f"/sys/fs/cgroup/cpu{PARENT}")
    ocirt.ok("update", "c1", "--cpu-quota", "10000", "--cpu-period", "100000")
    (parent / "cpu.cfs_period_us").write_text("100000")
    (parent / "cpu.cfs_quota_us").write_text("25000")
    for quota, period, burst in (
        (100000, 500000, 90000),
        (2000, 10000, 1000),
        (200000, 1000000, 200000),
        (1000, 4000, 0),
    ):
        ocirt.ok("update", "c1", "--cpu-quota", quota, "--cpu-period", period, "--cpu-burst", burst)
        assert [limited(f"cpu.cfs_{name}_us") for name in ("quota", "period", "burst")] == list(
            map(str, (quota, period, burst))
        )
    assert "--cpu-quota" in ocirt.fails("update", "c1", "--cpu-quota", "4000")


def test_idle_and_back(ocirt, limited):
    ocirt.ok("update", "c1", "--cpu-idle", "1")
    ocirt.ok("update", "c1", "--cpu-idle", "0", "--cpu-share", "300")
    assert (limited("cpu.idle"), limited("cpu.shares")) == ("0", "300")


def test_what_earlier_updates_did_is_remembered(ocirt, limited):
    for value in ("50M", "60M"):
        ocirt.ok("update", "c1", "--memory", value)
    ocirt.ok("update", "c1", "--pids-limit", "9")
    kept = json.loads(Path(ocirt.root, "c1", "resources.json").read_text())
    assert kept["memory"] == {"limit": 60 * MIB, "reservation": 24 * MIB} and kept["pids"] == {"limit": 9}
    assert kept["cpu"] == {"shares": 100, "quota": 500000, "period": 1000000} and kept["devices"]


def test_all_or_nothing(ocirt, limited, tmp_path):
    """What had been written before the failure is as it was."""
    before = {
        name: limited(name)
        for name in (
            "memory.limit_in_bytes",
            "memory.memsw.limit_in_bytes",
            "cpu.shares",
            "pids.max",
            "cpuset.cpus",
            "memory.soft_limit_in_bytes",
        )
    }
    message = ocirt.fails(
        "update",
        "c1",
        "--cpuset-cpus",
        "0",
        "--memory",
        "64M",
        "--memory-swap",
        "64M",
        "--cpu-share",
        "300",
        "--pids-limit",
        "7",
        "--cpuset-mems",
        "63",
    )
    assert "--cpuset-mems" in message and "set back" not in message
    result = standard_input(
        ocirt,
        tmp_path,
        json.dumps(
            {
                "cpu": {"shares": 300, "cpus": "0"},
                "memory": {"limit": 64 * MIB, "swap": 80 * MIB},
                "pids": {"limit": 7},
                "blockIO": {"throttleReadBpsDevice": [{"major": 999, "minor": 7, "rate": 5}]},
            }
        ),
    )
    assert result.status == 1 and "--resources -: blockIO.throttleReadBpsDevice[0]: write" in result.err
    assert "set back" not in result.err
    assert {name: limited(name) for name in before} == before
    assert not Path(ocirt.root, "c1", "resources.json").exists()


def test_less_memory_than_is_in_use(ocirt, limited):
    message = ocirt.fails("update", "c1", "--memory", "4096")
    assert message.startswith('"--memory: write 4096 to ') and "memory.usage_in_bytes is " in message
    assert limited("memory.limit_in_bytes") == str(32 * MIB)


def test_devices_of_block_io(ocirt, limited, tmp_path):
    """Rates of other devices stay; those that are set are replaced, and taken away by a failure later on."""

    def update(*rates, **more):
        resources = {
            "blockIO": {"throttleReadBpsDevice": [{"major": 254, "minor": 0, "rate": rate} for rate in rates]},
            **more,
        }
        return standard_input(ocirt, tmp_path, json.dumps(resources))

    file = "blkio.throttle.read_bps_device"
    assert update(5000, network={"classID": 5}).status == 1 and limited(file) == ""
    assert update(1000).status == 0 and update(2000).status == 0 and limited(file) == "254:0 2000"
    kept = json.loads(Path(ocirt.root, "c1", "resources.json").read_text())
    assert kept["blockIO"]["throttleReadBpsDevice"] == [{"major": 254, "minor": 0, "rate": 2000}]


def test_a_paused_container(ocirt, limited):
    ocirt.ok("pause", "c1")
    ocirt.ok("update", "c1", "--pids-limit", "9")
    assert limited("pids.max") == "9" and ocirt.status("c1") == "paused"
    ocirt.ok("resume", "c1")


def test_a_stopped_container(ocirt, limited):
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    assert "container not running" in ocirt.fails("update", "c1", "--pids-limit", "9")
    assert "container does not exist" in ocirt.fails("update", "c2", "--pids-limit", "9")


def test_a_created_container(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("update", "c1", "--memory", "16m")
    assert cgroup_file(bundle, "memory", "memory.limit_in_bytes") == str(16 * MIB)


@pytest.mark.parametrize(
    "words, message",
    [
        (("--memory", "5q"), '--memory: found \\"5q\\", expected a number of bytes'),
        (("--memory", "-5"), '--memory: found \\"-5\\", expected a number of bytes'),
        (("--memory", "9999999p"), "--memory: found 11258997942"),
        (("--cpu-share", "1"), "--cpu-share: found 1, expected a number from 2 to 262144"),
        (("--cpu-quota", "x"), '--cpu-quota: found \\"x\\", expected a whole number'),
        (("--cpu-period", "-1"), "--cpu-period: found -1, expected a number from 0"),
        (("--pids-limit", "-2"), "--pids-limit: found -2, expected -1 (no limit) or more"),
        (("--l3-cache-schema", "L3:0=f"), "--l3-cache-schema: this container was created without linux.intelRdt"),
        (("-r", "/nonexistent"), "--resources /nonexistent: no such file or directory"),
        (("-r", "/dev/null"), "--resources /dev/null: line 1 column 1: found the end, expected a value"),
    ],
)
def test_flags_that_cannot_be(ocirt, limited, tmp_path, words, message):
    result = ocirt("update", *words, "c1", options=("--log", tmp_path / "log", "--log-format", "json"))
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert result.status == 1 and result.err == json.loads(line)["msg"] + "\n"
    assert message.replace('\\"', '"') in result.err and json.loads(line)["level"] == "error"


@pytest.mark.parametrize(
    "resources, message",
    [
        ('{"memory":{"limit":"x"}}', '--resources -: memory.limit: found "x", expected a whole number'),
        ('{"memory":5}', "--resources -: memory: found 5, expected an object"),
        ('{"pids":{"limit":5}', '--resources -: line 1 column 20: found the end, expected "," or "}"'),
        ('{"unified":{"memory.max":"5"}}', '--resources -: unified["memory.max"]: a setting of cgroup v2'),
        ("[]", "--resources -: found an array, expected an object"),
    ],
)
def test_json_that_cannot_be(ocirt, limited, tmp_path, resources, message):
    result = standard_input(
        ocirt,
        tmp_path,
        resources,
    )
    assert result.status == 1 and message in result.err.replace('\\"', '"')


def test_kernel_memory_is_a_warning(ocirt, limited):
    """As with runc: it is not applied any more."""
    result = ocirt.ok("update", "c1", "--kernel-memory", "16m", "--kernel-memory-tcp", "16m", "--pids-limit", "8")
    assert result.err.count("level=warning") == 2 and "--kernel-memory-tcp" in result.err and limited("pids.max") == "8"


def test_updates_at_once(ocirt, limited):
    """They wait for each other, and none forgets what another has done."""
    flags = ("--pids-limit=9", "--cpu-share=300", "--memory=40M", "--cpu-quota=400000", "--memory-reservation=10M")
    children = [subprocess.Popen(ocirt.command("update", flag, "c1"), stdin=subprocess.DEVNULL) for flag in flags]
    assert [child.wait(LIMIT) for child in children] == [0] * len(flags)
    kept = json.loads(Path(ocirt.root, "c1", "resources.json").read_text())
    assert (kept["pids"], kept["memory"]) == ({"limit": 9}, {"limit": 40 * MIB, "reservation": 10 * MIB})
    assert kept["cpu"] == {"shares": 300, "quota": 400000, "period": 1000000}


def test_killed_on_the_way(ocirt, faulty, limited, tmp_path):
    """A killed update has done some of it; the next one does all, and nothing else is in the way."""
    words = ("update", "c1", "--memory", "64M", "--memory-swap", "80M", "--cpu-share", "300", "--pids-limit", "7")
    count = steps_of(faulty, tmp_path, *words)
    assert count >= 5
    for step in range(1, count + 1):
        ocirt.ok("update", "c1", "--memory", "32M", "--memory-swap", "32M", "--cpu-share", "100", "--pids-limit", "20")
        assert fault(faulty, "update", step, "kill", *words).status == -signal.SIGKILL
        assert ocirt.status("c1") == "running"
        ocirt.ok(*words)
        assert (limited("memory.limit_in_bytes"), limited("pids.max")) == (str(64 * MIB), "7")


def test_python_writes_no_cgroup(ocirt, limited, tmp_path):
    """Python decides; what writes is the executable."""
    trace = tmp_path / "trace"
    command = [
        "strace",
        "-f",
        "-e",
        "trace=execve,execveat,open,openat,openat2",
        "-o",
        trace,
        *ocirt.command("update", "--memory", "50M", "--pids-limit", "9", "c1"),
    ]
    assert subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT).returncode == 0
    python, _, executable = trace.read_text().rpartition("exec")
    assert "pids.max" in executable and "python" in python
    assert not any(
        "/sys/fs/cgroup" in line and ("O_WRONLY" in line or "O_RDWR" in line) for line in python.splitlines()
    )


def test_resctrl(host, bundle, rdt):  # noqa: F811
    """The lines of the container's group; put back where something later fails."""
    rdt(l3CacheSchema="L3:0=f;1=f")
    host.ocirt.ok("create", "--bundle", bundle, "c1")
    host.ocirt.ok("update", "--l3-cache-schema", "L3:0=3;1=3", "--mem-bw-schema", "MB:0=50;1=50", "c1")
    assert host.resctrl.groups["c1"] == {"L3": {0: "3", 1: "3"}, "MB": {0: "50", 1: "50"}}
    del host.resctrl.groups["c1"]["MB"]
    assert "--mem-bw-schema" in host.ocirt.fails(
        "update", "--l3-cache-schema", "L3:0=7;1=7", "--mem-bw-schema", "MB:0=10", "c1"
    )
    assert host.resctrl.groups["c1"] == {"L3": {0: "3", 1: "3"}}
    stats = json.loads(host.ocirt.ok("events", "--stats", "c1").out)["data"]["intel_rdt"]
    assert [line.strip() for line in stats["schemata"]] == ["L3:0=3;1=3"]


def test_an_idle_cgroup_gets_its_shares_back(ocirt, limited, tmp_path):
    """Where what comes after cpu.idle fails."""
    result = standard_input(
        ocirt,
        tmp_path,
        json.dumps({"cpu": {"idle": 1}, "blockIO": {"throttleReadBpsDevice": [{"major": 999, "minor": 7, "rate": 5}]}}),
    )
    assert result.status == 1 and (limited("cpu.idle"), limited("cpu.shares")) == ("0", "100")
