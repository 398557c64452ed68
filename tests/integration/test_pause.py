"""pause and resume: the freezer, and what other verbs do with a paused container. As runc 1.1 to 1.4."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT, OWN, PARENT, cgroup_file, enough_output
from tests.integration.test_faults import fault, steps_of
from tests.integration.test_kill import end_first

pytestmark = pytest.mark.v1


def counting(bundle):
    """A program that writes a line, again and again."""
    bundle.shell("while :; do echo x >> /tmp/beat; sleep 0.01; done").config["root"]["readonly"] = False
    return bundle.save()


def beats(bundle):
    return len((bundle.rootfs / "tmp/beat").read_text())


def running(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")


def test_nothing_runs_while_it_is_paused(ocirt, bundle):
    running(ocirt, counting(bundle))
    enough_output(bundle.rootfs / "tmp/beat")
    assert ocirt.ok("pause", "c1").out == ""
    assert cgroup_file(bundle, "freezer", "freezer.state") == "FROZEN"
    before = beats(bundle)
    time.sleep(0.2)
    assert beats(bundle) == before
    state = ocirt.state("c1")
    assert state["status"] == "paused" and state["pid"] > 0
    assert [row["status"] for row in json.loads(ocirt.ok("list", "-f", "json").out)] == ["paused"]
    assert ocirt.ok("list").out.splitlines()[1].split()[2] == "paused"
    ocirt.ok("resume", "c1")
    assert ocirt.status("c1") == "running"
    end = time.monotonic() + LIMIT
    while beats(bundle) == before:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_created_container_can_be_paused(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("pause", "c1")
    assert "paused" in ocirt.fails("start", "c1")
    assert ocirt.status("c1") == "paused"
    ocirt.ok("resume", "c1")
    assert ocirt.status("c1") == "created"
    ocirt.ok("start", "c1")
    assert ocirt.status("c1") == "running"


def test_errors_are_runcs(ocirt, bundle):
    for verb in ("pause", "resume"):
        assert "container does not exist" in ocirt.fails(verb, "c1")
    running(ocirt, bundle)
    assert "container not paused" in ocirt.fails("resume", "c1")
    ocirt.ok("pause", "c1")
    assert "container not running" in ocirt.fails("pause", "c1")
    assert ocirt.status("c1") == "paused"
    assert "not stopped" in ocirt.fails("delete", "c1")
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    assert "container not running" in ocirt.fails("pause", "c1")
    assert "container not paused" in ocirt.fails("resume", "c1")


def test_a_log_of_one_object(ocirt, bundle, tmp_path):
    running(ocirt, bundle)
    result = ocirt("resume", "c1", options=("--log", tmp_path / "log", "--log-format", "json"))
    assert result.status == 1 and json.loads((tmp_path / "log").read_text())["level"] == "error"


def test_signals_wait_but_for_kill(ocirt, bundle):
    bundle.shell("trap 'echo got > /tmp/got; exit' TERM; echo ready > /tmp/ready; while :; do sleep 0.01; done")
    bundle.config["root"]["readonly"] = False
    running(ocirt, bundle.save())
    enough_output(bundle.rootfs / "tmp/ready")
    ocirt.ok("pause", "c1")
    ocirt.ok("kill", "c1", "TERM")
    ocirt.ok("kill", "--all", "c1", "URG")
    time.sleep(0.1)
    assert ocirt.status("c1") == "paused" and not (bundle.rootfs / "tmp/got").exists()
    ocirt.ok("resume", "c1")
    assert enough_output(bundle.rootfs / "tmp/got") == "got\n"


@pytest.mark.parametrize("words", [("kill", "c1", "KILL"), ("kill", "--all", "c1", "9")])
def test_kill_ends_it(ocirt, bundle, words):
    """runc thaws for SIGKILL; with --all every process, also where init is not the first of a pid namespace."""
    bundle.without_namespace("pid").shell("sleep 61 & sleep 62 & wait")
    running(ocirt, bundle.save())
    ocirt.ok("pause", "c1")
    ocirt.ok(*words)
    ocirt.wait_status("c1", "stopped")
    assert cgroup_file(bundle, "freezer", "freezer.state") == "THAWED"
    ocirt.ok("delete", "c1")


def test_kill_all_of_what_a_dead_init_left_frozen(ocirt, bundle):
    """Without a pid namespace of their own the others live on; frozen ones too are killed."""
    bundle.without_namespace("pid").shell("sleep 63 & echo ready > /tmp/ready; sleep 64").config["root"]["readonly"] = (
        False
    )
    running(ocirt, bundle.save())
    enough_output(bundle.rootfs / "tmp/ready")
    end_first(ocirt)
    Path(f"/sys/fs/cgroup/freezer{OWN}/freezer.state").write_text("FROZEN")
    assert cgroup_file(bundle, "pids", "cgroup.procs") != ""
    ocirt.ok("kill", "--all", "c1", "KILL")
    assert cgroup_file(bundle, "pids", "cgroup.procs") == ""
    ocirt.ok("delete", "c1")


def test_delete_force_ends_it(ocirt, bundle):
    running(ocirt, bundle)
    ocirt.ok("pause", "c1")
    ocirt.ok("delete", "--force", "c1")


def test_processes_that_keep_coming_are_frozen(ocirt, bundle):
    """What makes new processes all the time is frozen too; nothing of it runs."""
    bundle.shell("for i in 1 2 3 4; do (while :; do (:) & (:); done) & done; while :; do echo x >> /tmp/beat; done")
    bundle.config["root"]["readonly"] = False
    bundle.config["linux"]["resources"]["pids"] = {"limit": 60}
    running(ocirt, bundle.save())
    enough_output(bundle.rootfs / "tmp/beat")
    for _ in range(5):
        ocirt.ok("pause", "c1")
        before = beats(bundle)
        time.sleep(0.05)
        assert beats(bundle) == before and ocirt.status("c1") == "paused"
        ocirt.ok("resume", "c1")


def test_a_frozen_cgroup_above_does_not_make_it_paused(ocirt, bundle):
    """As with runc: `resume` could not help it."""
    running(ocirt, bundle)
    above = Path(f"/sys/fs/cgroup/freezer{PARENT}/freezer.state")
    try:
        above.write_text("FROZEN")
        assert ocirt.status("c1") == "running"
    finally:
        above.write_text("THAWED")


def test_frozen_by_others(ocirt, bundle):
    """Who has written to the freezer does not matter."""
    running(ocirt, bundle)
    Path(f"/sys/fs/cgroup/freezer{OWN}/freezer.state").write_text("FROZEN")
    assert ocirt.status("c1") == "paused"
    ocirt.ok("resume", "c1")


def test_without_cgroups(ocirt, bundle):
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] != "cgroup"]
    ocirt.ok("create", "--bundle", bundle.save(), "c1", options=("--cgroup-manager", "disabled"))
    assert "no cgroup" in ocirt.fails("pause", "c1")
    assert ocirt.status("c1") == "created"


def test_no_interpreter(ocirt, bundle, tmp_path):
    running(ocirt, bundle)
    for verb in ("pause", "state", "resume"):
        command = ["strace", "-f", "-e", "trace=execve,execveat", "-o", tmp_path / "trace", *ocirt.command(verb, "c1")]
        assert subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT).returncode == 0
        assert (tmp_path / "trace").read_text().count("execve") == 1


def test_as_engines_call_it(ocirt, bundle, tmp_path):
    """The command lines that containerd's shim and podman were seen to use, shared/ENGINES.md."""
    running(ocirt, bundle)
    log = tmp_path / "log"
    shim = ("--log", log, "--log-format", "json")
    (tmp_path / "resources").write_text('{"pids":{"limit":9},"memory":{}}')
    for words in (
        ("pause", "c1"),
        ("resume", "c1"),
        ("ps", "--format", "json", "c1"),
        ("update", "--resources", "-", "c1"),
    ):
        with open(tmp_path / "resources") as file:
            result = ocirt(*words, options=shim, stdin=file)
        assert result.status == 0 and result.err == "" and (not log.exists() or log.read_text() == "")
    for words in (("pause", "c1"), ("resume", "c1"), ("update", f"--resources={tmp_path}/resources", "c1")):
        assert ocirt.ok(*words).err == ""


def test_killed_on_the_way(ocirt, faulty, bundle, tmp_path):
    """What a killed pause or resume leaves is a container that is paused or not, and both ways on are open."""
    running(ocirt, bundle)
    for verb, back in (("pause", "resume"), ("resume", "pause")):
        count = steps_of(faulty, tmp_path, verb, "c1")
        ocirt.ok(back, "c1")
        for step in range(1, count + 1):
            assert fault(faulty, verb, step, "kill", verb, "c1").status == -signal.SIGKILL
            status = ocirt.status("c1")
            assert status in ("running", "paused")
            if status == {"pause": "running", "resume": "paused"}[verb]:
                ocirt.ok(verb, "c1")
            ocirt.ok(back, "c1")
        (tmp_path / "steps").unlink()
        ocirt.ok(verb, "c1")
    assert ocirt.status("c1") == "running"


def test_after_another_build(ocirt, bundle):
    running(ocirt, bundle)
    stored = Path(ocirt.root, "c1", "program")
    data = bytearray(stored.read_bytes())
    data[16:48] = b"0" * 31 + b"\0"
    stored.write_bytes(data)
    ocirt.ok("pause", "c1")
    assert ocirt.status("c1") == "paused"
    ocirt.ok("resume", "c1")
