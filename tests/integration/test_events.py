"""events: runc's JSON, compared with runc's own; and why a container died."""

import json
import os
import subprocess
import time

import pytest

from tests.integration.harness import CGROUPS, LIMIT, OWN, PARENT, cgroup_file, enough_output

pytestmark = pytest.mark.v1

HUNGRY = ("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
"""Takes 64 MiB."""
OPTIONAL = {
    "usage",
    "max",
    "cache",
    "periods",
    "throttledPeriods",
    "throttledTime",
    "current",
    "limit",
    "kernel",
    "user",
}
"""Left out where they are 0."""


def tight(bundle):
    bundle.config["linux"]["resources"]["memory"] = {"limit": 8 << 20, "swap": 8 << 20}
    return bundle.save()


def running(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")


def shape(value, path=""):
    """Paths of the members in an object, those of the raw memory.stat too."""
    if isinstance(value, dict):
        return {f"{path}.{name}" for name in value} | {
            found for name, item in value.items() for found in shape(item, f"{path}.{name}")
        }
    if isinstance(value, list) and value:
        return shape(value[0], path + "[]")
    return {path + ":" + type(value).__name__}


@pytest.fixture
def runc(bundle, tmp_path):
    """runc's statistics of a container of the same bundle."""

    def stats():
        config = json.loads((bundle.path / "config.json").read_text())
        config["linux"]["cgroupsPath"] = f"{PARENT}/runc"
        config["ociVersion"] = "1.0.2"
        (bundle.path / "config.json").write_text(json.dumps(config))
        command = ["runc", "--root", str(tmp_path / "runc")]
        try:
            subprocess.run(
                [*command, "run", "-d", "--bundle", str(bundle.path), "r1"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=LIMIT,
                check=True,
            )
            done = subprocess.run(
                [*command, "events", "--stats", "r1"], capture_output=True, text=True, timeout=LIMIT, check=True
            )
            return json.loads(done.stdout)
        finally:
            subprocess.run([*command, "delete", "--force", "r1"], stdin=subprocess.DEVNULL, timeout=LIMIT)

    return stats


def test_stats_are_runcs(ocirt, bundle, runc):
    """The same members in the same order, of the same types."""
    bundle.config["linux"]["resources"] |= {
        "memory": {"limit": 64 << 20},
        "pids": {"limit": 30},
        "cpu": {"quota": 50000},
    }
    running(ocirt, bundle.save())
    out = ocirt.ok("events", "--stats", "c1").out
    event, other = json.loads(out), runc()
    assert out.count("\n") == 1 and list(event) == list(other) == ["type", "id", "data"]
    assert (event["type"], event["id"]) == ("stats", "c1")
    assert list(event["data"]) == list(other["data"])
    # Whoever comes first has to read from the disk.
    different = {path for path in shape(event["data"]) ^ shape(other["data"]) if not path.startswith(".blkio.io")}
    assert {path.rpartition(".")[2].partition(":")[0] for path in different} <= OPTIONAL, different
    data = event["data"]
    assert data["memory"]["usage"]["limit"] == 64 << 20 and data["pids"] == {"current": 1, "limit": 30}
    assert data["cpu"]["usage"]["total"] == pytest.approx(int(cgroup_file(bundle, "cpuacct", "cpuacct.usage")), rel=0.1)
    assert data["cpuset"]["cpus"] == other["data"]["cpuset"]["cpus"] and data["network_interfaces"] is None


class Following:
    """``events`` at work, its lines as they come."""

    def __init__(self, ocirt, path, *words):
        self.path = path
        with open(path, "w") as out:
            self.child = subprocess.Popen(
                ocirt.command("events", *words, "c1"), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )

    def lines(self):
        """Those that are whole: the kernel may still be writing the last one."""
        return [json.loads(line) for line in self.path.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def wait_for(self, kind, count=1):
        end = time.monotonic() + LIMIT
        while len(found := [line for line in self.lines() if line["type"] == kind]) < count:
            assert time.monotonic() < end and self.child.poll() is None, self.path.read_text()
            time.sleep(0.02)
        return found

    def end(self):
        """Its exit status, once it has ended by itself."""
        return self.child.wait(LIMIT)


@pytest.fixture
def follow(ocirt, tmp_path):
    made = []

    def start(*words):
        made.append(Following(ocirt, tmp_path / f"events{len(made)}", *words))
        return made[-1]

    yield start
    for each in made:
        each.child.kill()
        each.child.wait(10)


def test_statistics_at_intervals(ocirt, bundle, follow):
    running(ocirt, bundle)
    events = follow("--interval", "100ms")
    found = events.wait_for("stats", 3)
    assert all(line["id"] == "c1" and line["data"]["pids"]["current"] == 1 for line in found)
    ocirt.ok("kill", "c1", "KILL")
    assert events.end() == 0
    assert {line["type"] for line in events.lines()} == {"stats"}


def test_the_end_of_the_cgroup_is_no_event(ocirt, bundle, follow):
    for _ in range(5):
        running(ocirt, bundle)
        events = follow("--interval", "20ms")
        events.wait_for("stats")
        ocirt.ok("delete", "--force", "c1")
        assert events.end() == 0 and {line["type"] for line in events.lines()} == {"stats"}


def test_out_of_memory(ocirt, bundle, follow):
    """A process of the container is killed, and told of; the container goes on."""
    bundle.shell(f"while [ ! -e /tmp/go ]; do sleep 0.05; done; {' '.join(HUNGRY)}; echo $? > /tmp/done; sleep 60")
    bundle.config["root"]["readonly"] = False
    running(ocirt, tight(bundle))
    events = follow("--interval", "50ms")
    events.wait_for("stats")
    assert "oomKills" not in ocirt.state("c1")
    (bundle.rootfs / "tmp/go").touch()
    assert events.wait_for("oom") == [{"type": "oom", "id": "c1"}]
    assert '{"type":"oom","id":"c1"}\n' in events.path.read_text()
    assert enough_output(bundle.rootfs / "tmp/done") == "137\n"
    state = ocirt.state("c1")
    assert (state["status"], state["oomKills"]) == ("running", 1)
    ocirt.ok("delete", "--force", "c1")
    assert events.end() == 0 and events.lines()[-1]["type"] != "error"


def test_death_for_want_of_memory(ocirt, bundle, follow):
    """events tells of it before it ends, and the state does until the container is deleted."""
    ocirt.ok("create", "--bundle", tight(bundle.args(*HUNGRY)), "c1")
    events = follow("--interval", "50ms")
    events.wait_for("stats")  # it watches
    ocirt.ok("start", "c1")
    assert events.end() == 0
    # The kernel tells of it before it kills: statistics may still come between that and the end.
    assert [line for line in events.lines() if line["type"] != "stats"] == [{"type": "oom", "id": "c1"}]
    state = ocirt.state("c1")
    assert (state["status"], state["pid"], state["oomKills"]) == ("stopped", 0, 1)
    ocirt.ok("delete", "c1")


def test_another_death_is_none_for_want_of_memory(ocirt, bundle):
    running(ocirt, tight(bundle))
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    assert "oomKills" not in ocirt.state("c1")


def test_create_says_what_it_died_of(ocirt, bundle):
    bundle.config["linux"]["resources"]["memory"] = {"limit": 4096, "swap": 4096}
    message = ocirt.fails("create", "--bundle", bundle.save(), "c1")
    assert "out of memory" in message and "linux.resources.memory.limit" in message
    assert ocirt.ids() == []


def test_run_says_what_it_died_of(ocirt, bundle):
    bundle.config["linux"]["resources"]["memory"] = {"limit": 4096, "swap": 4096}
    for flags in ([], ["-d"]):
        message = ocirt.fails("run", *flags, "--bundle", bundle.save(), "c1")
        assert "out of memory" in message and "linux.resources.memory.limit" in message
        assert ocirt.ids() == []


def test_exec_says_what_it_died_of(ocirt, bundle):
    """A process for which there is no memory left, and which is the first to be killed."""
    bundle.config["linux"]["resources"]["memory"] = {"limit": 64 << 20}
    running(ocirt, bundle)
    limit, page = CGROUPS / "memory" / OWN.lstrip("/") / "memory.limit_in_bytes", os.sysconf("SC_PAGE_SIZE")
    low, high = 0, 64 << 20
    while high - low > page:  # down to what is in use: the kernel refuses less
        middle = (low + high) // 2 // page * page
        try:
            limit.write_text(str(middle))
            high = middle
        except OSError:
            low = middle
    # Groups take memory before the program is executed: what dies later counts as started.
    process = {
        "cwd": "/",
        "args": ["true"],
        "user": {"uid": 0, "gid": 0, "additionalGids": list(range(60000))},
        "oomScoreAdj": 1000,
    }
    (bundle.path / "process.json").write_text(json.dumps(process))
    message = ocirt.fails("exec", "--process", bundle.path / "process.json", "c1", status=255)
    assert (
        "exec failed: " in message
        and "died before it executed its program: signal 9 (out of memory, 1 process killed" in message
    )
    assert ocirt.status("c1") == "running" and ocirt.state("c1")["oomKills"] == 1
    limit.write_text(str(64 << 20))
    ocirt.ok("exec", "c1", "true")


def test_killed(ocirt, bundle, follow):
    """Whoever watches and is killed leaves nothing, and takes nothing from others who watch."""
    bundle.shell(f"while [ ! -e /tmp/go ]; do sleep 0.05; done; {' '.join(HUNGRY)}; sleep 60").config["root"][
        "readonly"
    ] = False
    running(ocirt, tight(bundle))
    first, second = follow("--interval", "50ms"), follow("--interval", "50ms")
    first.wait_for("stats"), second.wait_for("stats")
    before = sorted(os.listdir(ocirt.root / "c1"))
    first.child.kill()
    first.child.wait(LIMIT)
    (bundle.rootfs / "tmp/go").touch()
    assert second.wait_for("oom") == [{"type": "oom", "id": "c1"}]
    assert ocirt.status("c1") == "running" and sorted(os.listdir(ocirt.root / "c1")) == before
    ocirt.ok("delete", "--force", "c1")
    assert second.end() == 0


def test_errors(ocirt, bundle, tmp_path):
    assert "container does not exist" in ocirt.fails("events", "c1")
    running(ocirt, bundle)
    for interval in ("0s", "x", "-1s", "5", "1s2"):
        message = ocirt.fails("events", f"--interval={interval}", "c1")
        assert f'--interval: found \\"{interval}\\", expected a duration greater than 0' in message
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    for flags in (("--stats",), ()):
        result = ocirt("events", *flags, "c1", options=("--log", tmp_path / "log", "--log-format", "json"))
        assert result.status == 1 and result.err == "container not running: c1 is stopped\n"
        assert json.loads((tmp_path / "log").read_text())["level"] == "error"
        (tmp_path / "log").unlink()


def test_a_paused_container(ocirt, bundle):
    running(ocirt, bundle)
    ocirt.ok("pause", "c1")
    assert json.loads(ocirt.ok("events", "--stats", "c1").out)["data"]["pids"]["current"] == 1
