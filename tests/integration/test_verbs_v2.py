"""exec, pause, resume, ps and events where cgroup v2 has all controllers, by both drivers: what is otherwise than on v1."""

import json
import subprocess

import pytest

from tests.integration.harness import LIMIT, OWN, PARENT, SYSTEMD, enough_output
from tests.integration.test_events import HUNGRY, OPTIONAL, follow, runc, running, shape, tight
from tests.integration.test_pause import beats, counting
from tests.integration.unified import emptied, folder, make, membership, read, unified, wait_for

__all__ = ["emptied", "unified", "follow", "runc"]  # fixtures of tests here
pytestmark = [pytest.mark.v2, pytest.mark.cgroups]


# ---- exec ----


def where(ocirt, *flags):
    """The cgroup of a process that exec makes, as the host names it."""
    file = ocirt.root.parent / "pid"
    ocirt.ok("exec", "--detach", "--pid-file", file, *flags, "c1", "sleep", "100")
    return membership(file.read_text())


@pytest.fixture
def nested(ocirt, bundle):
    """A container that has handed on its controllers: no process may be in its own cgroup any more."""
    running(ocirt, bundle)
    (folder() / "init").mkdir()
    (folder() / "init/cgroup.procs").write_text(str(ocirt.state("c1")["pid"]))
    (folder() / "cgroup.subtree_control").write_text("+memory")


def test_exec_into_its_cgroup(ocirt, bundle, tmp_path):
    """Made there, by clone3."""
    running(ocirt, bundle)
    trace = tmp_path / "trace"
    command = [
        "strace",
        "-f",
        "-o",
        trace,
        "-e",
        "trace=clone3",
        "-e",
        "signal=none",
        *ocirt.command("exec", "c1", "true"),
    ]
    subprocess.run(command, check=True, timeout=LIMIT, stdin=subprocess.DEVNULL, capture_output=True)
    assert "CLONE_INTO_CGROUP" in trace.read_text()
    assert where(ocirt) == OWN


def test_exec_where_the_container_has_cgroups_with_controllers(ocirt, nested):
    """It joins init, wherever that is by now, as with runc."""
    assert where(ocirt) == f"{OWN}/init"
    assert ocirt.ok("exec", "c1", "echo", "x").out == "x\n"


def test_exec_into_a_cgroup_of_the_containers(ocirt, nested):
    (folder() / "sub/deep").mkdir(parents=True)
    assert where(ocirt, "--cgroup", "sub/deep") == f"{OWN}/sub/deep"
    for process in read("sub/deep/cgroup.procs").split():
        (folder() / "init/cgroup.procs").write_text(process)
    (folder() / "sub/cgroup.subtree_control").write_text("+memory")
    # Named, it takes no process either: init's, as with runc.
    assert where(ocirt, "--cgroup", "sub") == f"{OWN}/init"
    assert "No such file" in ocirt("exec", "--cgroup", "none", "c1", "true").err.replace("no such", "No such")
    assert (
        "--cgroup pids: on cgroup v2 all controllers are in one hierarchy"
        in ocirt("exec", "--cgroup", "pids:sub", "c1", "true").err
    )


def test_exec_with_namespaces_of_all_kinds(ocirt, bundle):
    """What joins sees its cgroup as the container does."""
    running(ocirt, bundle.namespace("cgroup").save())
    assert ocirt.ok("exec", "c1", "cat", "/proc/self/cgroup").out == "0::/\n"


def test_a_paused_container_takes_no_process(ocirt, bundle):
    running(ocirt, bundle)
    ocirt.ok("pause", "c1")
    assert "cannot exec in a paused container" in ocirt("exec", "c1", "true").err
    child = subprocess.Popen(
        ocirt.command("exec", "--ignore-paused", "c1", "echo", "awake"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(2)
    ocirt.ok("resume", "c1")
    assert child.communicate(timeout=LIMIT)[0] == b"awake\n" and child.returncode == 0


# ---- pause, resume, ps ----


def test_nothing_runs_while_it_is_paused(ocirt, bundle):
    """All are frozen when pause returns."""
    running(ocirt, counting(bundle))
    enough_output(bundle.rootfs / "tmp/beat")
    for _ in range(3):
        ocirt.ok("pause", "c1")
        assert "frozen 1" in read("cgroup.events")
        before = beats(bundle)
        assert ocirt.state("c1")["status"] == "paused"
        assert "container not running" in ocirt.fails("pause", "c1") and beats(bundle) == before
        ocirt.ok("resume", "c1")
        assert ocirt.status("c1") == "running"
        wait_for(lambda before=before: beats(bundle) > before)


@pytest.mark.parametrize("words", [("kill", "c1", "KILL"), ("kill", "--all", "c1", "9"), ("delete", "--force", "c1")])
def test_the_end_of_a_paused_container(ocirt, bundle, words):
    running(ocirt, bundle.without_namespace("pid").shell("sleep 61 & sleep 62 & wait").save())
    ocirt.ok("pause", "c1")
    ocirt.ok(*words)
    if words[0] == "kill":
        ocirt.wait_status("c1", "stopped")
        ocirt.ok("delete", "c1")
    assert ocirt.ids() == []


def test_ps(ocirt, bundle):
    bundle.shell("sleep 61 & sleep 62 & echo ready > /tmp/ready; wait").config["root"]["readonly"] = False
    running(ocirt, bundle.save())
    enough_output(bundle.rootfs / "tmp/ready")
    pids = sorted(map(int, read("cgroup.procs").split()))
    (folder() / "inner").mkdir()
    (folder() / "inner/cgroup.procs").write_text(str(pids[-1]))
    assert sorted(json.loads(ocirt.ok("ps", "--format", "json", "c1").out)) == pids and len(pids) == 3
    header, *lines = ocirt.ok("ps", "c1").out.splitlines()
    assert "PID" in header.split() and sorted(int(line.split()[1]) for line in lines) == pids
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    assert ocirt.ok("ps", "-f", "json", "c1").out == "null\n"


# ---- events ----


@pytest.mark.cgroupfs
def test_stats_are_runcs(ocirt, bundle, runc):
    """The same members in the same order, of the same types."""
    make(PARENT)  # runc leaves it
    bundle.config["linux"]["resources"] |= {
        "memory": {"limit": 64 << 20, "swap": 80 << 20},
        "pids": {"limit": 30},
        "cpu": {"quota": 50000},
    }
    running(ocirt, bundle.save())
    event, other = json.loads(ocirt.ok("events", "--stats", "c1").out), runc()
    assert list(event) == list(other) == ["type", "id", "data"] and list(event["data"]) == list(other["data"])
    data = event["data"]
    assert (data["memory"]["usage"]["limit"], data["memory"]["swap"]["limit"]) == (64 << 20, 80 << 20)
    assert data["pids"] == {"current": 1, "limit": 30}
    different = {path for path in shape(data) ^ shape(other["data"]) if not path.startswith(".blkio.io")}
    # Pressure, and which CPUs there are, are of newer runcs.
    names = {path.rpartition(".")[2].partition(":")[0].removesuffix("[]") for path in different if ".psi" not in path}
    assert names <= OPTIONAL | {"cpus", "mems"}, different


def test_statistics_at_intervals(ocirt, bundle, follow):
    running(ocirt, bundle)
    events = follow("--interval", "200ms")
    found = events.wait_for("stats", 2)
    assert all(line["id"] == "c1" and line["data"]["pids"]["current"] == 1 for line in found)
    ocirt.ok("delete", "--force", "c1")
    assert events.end() == 0 and {line["type"] for line in events.lines()} == {"stats"}


def test_out_of_memory(ocirt, bundle, follow):
    """A process of the container is killed, and told of; the container goes on."""
    bundle.shell(f"while [ ! -e /tmp/go ]; do sleep 0.05; done; {' '.join(HUNGRY)}; echo $? > /tmp/done; sleep 60")
    bundle.config["root"]["readonly"] = False
    running(ocirt, tight(bundle))
    events = follow("--interval", "100ms")
    events.wait_for("stats")
    (bundle.rootfs / "tmp/go").touch()
    assert events.wait_for("oom") == [{"type": "oom", "id": "c1"}]
    assert enough_output(bundle.rootfs / "tmp/done") == "137\n"
    assert (ocirt.status("c1"), ocirt.state("c1")["oomKills"]) == ("running", 1)


# ---- delete ----


def test_removed_however_deep_while_it_runs(ocirt, bundle):
    """Processes at the bottom too: whoever made the cgroup, nothing stays."""
    running(ocirt, bundle.shell("sleep 61 & sleep 62 & wait").save())
    wait_for(lambda: len(read("cgroup.procs").split()) == 3)
    pids = read("cgroup.procs").split()
    place = folder()
    for each in ("a", "b", "c"):
        place = place / each
        place.mkdir()
        (place / "side").mkdir()
    (place / "side/cgroup.procs").write_text(pids[1])
    (place / "cgroup.procs").write_text(pids[2])
    ocirt.ok("delete", "--force", "c1")
    assert not folder().exists()
    if SYSTEMD:
        left = subprocess.run(
            ["systemctl", "list-units", "--all", "--plain", "--no-legend", "ocirt-*.scope"],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=True,
        ).stdout
        assert left == ""
