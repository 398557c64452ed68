"""`ocirt why`, `delete --why` and the annotation org.ocirt.why: why a container ended, and what nobody knows of it."""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import ocirt as library
from tests.integration.harness import LIMIT, cgroups_path
from tests.integration.library import config_for


def kept(ocirt, bundle, script, *flags):
    """A container whose program has ended, and whom a foreground run has waited for."""
    bundle.shell(script).save()
    ocirt("run", "--keep", "--bundle", bundle, *flags, "c1")
    assert ocirt.status("c1") == "stopped"


def why(ocirt):
    return json.loads(ocirt.ok("why", "-f", "json", "c1").out)


def test_exit_status(ocirt, bundle):
    kept(ocirt, bundle, "exit 7")
    assert ocirt.ok("why", "c1").out == "exit status 7\n"
    assert why(ocirt) == {"kind": "exit", "text": "exit status 7", "exit_code": 7} | memory(ocirt)
    assert ocirt.state("c1")["annotations"]["org.ocirt.why"] == "exit status 7"
    assert ocirt.ok("delete", "--why", "c1").out == "exit status 7\n"
    assert ocirt.ids() == []


def memory(ocirt):
    return {name: value for name, value in why(ocirt).items() if name in ("memory_peak", "memory_limit", "pids_limit")}


def test_signal(ocirt, bundle):
    kept(ocirt, bundle, "kill -TERM $$", "--init")
    assert ocirt.ok("why", "c1").out.startswith("exit status 143")  # --init passes on what it has seen as a shell does
    ocirt.ok("delete", "c1")
    bundle.shell("sleep 60").save()
    child = subprocess.Popen(ocirt.command("run", "--keep", "--bundle", bundle, "c1"), stdin=subprocess.DEVNULL)
    try:
        wait_for_running(ocirt)
        ocirt.ok("kill", "c1", "KILL")
    finally:
        child.wait(LIMIT)
    assert why(ocirt)["signal"] == 9 and why(ocirt)["kind"] == "signal"
    assert (
        ocirt.ok("why", "c1").out == "signal 9 (SIGKILL), sent by ocirt kill\n" and why(ocirt)["sender"] == "ocirt kill"
    )
    assert ocirt.state("c1")["annotations"]["org.ocirt.why"] == "signal 9, sent by ocirt kill"


def test_a_signal_of_others_has_no_sender(ocirt, bundle):
    """Also if `ocirt kill` has sent another signal before, which did not end the container."""
    bundle.shell("trap : TERM; while :; do sleep 0.1; done").save()
    child = subprocess.Popen(ocirt.command("run", "--keep", "--bundle", bundle, "c1"), stdin=subprocess.DEVNULL)
    try:
        wait_for_running(ocirt)
        ocirt.ok("kill", "c1", "TERM")
        os.kill(ocirt.state("c1")["pid"], signal.SIGKILL)
    finally:
        child.wait(LIMIT)
    assert ocirt.ok("why", "c1").out == "signal 9 (SIGKILL), whose sender is not recorded\n"
    assert "sender" not in why(ocirt) and ocirt.state("c1")["annotations"]["org.ocirt.why"] == "signal 9"


def wait_for_running(ocirt):
    wait_for(ocirt, "running")


def wait_for(ocirt, status):
    end = time.monotonic() + LIMIT
    while "c1" not in ocirt.ids() or ocirt.status("c1") != status:
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.cgroups
def test_out_of_memory(ocirt, bundle):
    bundle.config["linux"]["resources"] = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    kept(ocirt, bundle, "exec tail /dev/zero")
    found = why(ocirt)
    assert (found["kind"], found["signal"], found["memory_limit"]) == ("oom", 9, 16 << 20)
    assert found["oom_kills"] >= 1 and 8 << 20 < found["memory_peak"] <= 16 << 20
    assert ocirt.ok("why", "c1").out.startswith("out of memory: the kernel killed it (limit 16777216 bytes, peak ")
    assert ocirt.state("c1")["annotations"]["org.ocirt.why"] == "out of memory"


@pytest.mark.cgroups
def test_out_of_memory_of_a_child(ocirt, bundle):
    bundle.config["linux"]["resources"] = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    kept(ocirt, bundle, "tail /dev/zero; exit 3")
    found = why(ocirt)
    assert (found["kind"], found["exit_code"], found["oom_kills"]) == ("exit", 3, 1)
    assert found["text"].startswith("exit status 3; the kernel has killed a process of the container")


@pytest.mark.cgroups
def test_limit_of_processes(ocirt, bundle):
    bundle.config["linux"]["resources"] = {"pids": {"limit": 3}}
    kept(ocirt, bundle, "sleep 5 & sleep 5 & sleep 5 & sleep 5 & exit 2")
    found = why(ocirt)
    assert found["pids_refused"] >= 1 and found["pids_limit"] == 3
    assert "the limit of processes (3) has refused a new one" in found["text"]


def test_seccomp(ocirt, bundle):
    """The kernel's log names the system call; where it says nothing, the sentence says that it is not known which."""
    bundle.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    kept(ocirt, bundle, "exec mkdir /tmp/x")
    found = why(ocirt)
    assert (found["kind"], found["signal"]) == ("seccomp", 31)
    assert found["text"].endswith(found.get("system_call", "not known which"))
    assert found.get("system_call", "mkdir") in ("mkdir", "mkdirat")


def test_a_start_that_failed(ocirt, bundle):
    bundle.args("sh").save()
    bundle.config["hooks"] = {}
    ocirt.ok("create", "--late", "--bundle", bundle.save(), "c1")
    message = ocirt.fails("start", "c1", "missing")
    found = why(ocirt)
    assert found["kind"] == "failure" and "process.args: exec: " in found["text"] and "not found" in message
    assert ocirt.ok("why", "c1").out == f"{ocirt.state('c1')['annotations']['org.ocirt.why']}\n"
    ocirt.ok("delete", "c1")


def test_a_start_that_failed_says_its_path_to_engines(ocirt, bundle):
    """It says so in the state, whatever annotations the config has, and escaped as JSON wants it."""
    bundle.config["annotations"] = {"a": "b"}
    ocirt.ok("create", "--late", "--bundle", bundle.args("sh").save(), "c1")
    ocirt.fails("start", "c1", 'a"b')
    told = ocirt.state("c1")["annotations"]
    assert told["a"] == "b" and 'could not start the program: process.args: exec: "a\\"b"' in told["org.ocirt.why"]
    assert "$PATH" in told["org.ocirt.why"]


def test_a_start_that_was_refused_is_no_failure(ocirt, bundle):
    """While a start waits for its hook, a second one is refused; the container runs, and ends as its program does."""
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/sleep", "args": ["sleep", "2"]}]}
    bundle.shell("exit 7").save()
    child = subprocess.Popen(ocirt.command("run", "--keep", "--bundle", bundle, "c1"), stdin=subprocess.DEVNULL)
    try:
        wait_for(ocirt, "created")
        time.sleep(0.3)
        assert "another start is at work on it" in ocirt.fails("start", "c1")
    finally:
        child.wait(LIMIT)
    assert ocirt.ok("why", "c1").out == "exit status 7\n"
    assert ocirt.state("c1")["annotations"]["org.ocirt.why"] == "exit status 7"


def test_what_nobody_has_waited_for_is_unknown(ocirt, bundle):
    """The parent of a container that `create` has made collects its status, and no process of the runtime is there."""
    ocirt.ok("create", "--bundle", bundle.shell("exit 5").save(), "c1")
    ocirt.ok("start", "c1")
    ocirt.wait_status("c1", "stopped")
    found = why(ocirt)
    assert (found["kind"], found.get("exit_code")) in (("unknown", None), ("exit", 5))
    assert found["kind"] == "exit" or "org.ocirt.why" not in ocirt.state("c1").get("annotations", {})


def test_a_container_that_lives_has_no_reason(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle.shell("sleep 60").save(), "c1")
    assert "has not ended: it is created" in ocirt.fails("why", "c1")
    assert "org.ocirt.why" not in ocirt.state("c1").get("annotations", {})
    assert "not stopped" in ocirt.fails("delete", "--why", "c1")
    assert ocirt.ok("delete", "--why", "--force", "c1").out == ""
    assert "does not exist" in ocirt.fails("why", "c1")


@pytest.mark.parametrize("annotations", (None, {}, {"a": "}", "org.ocirt.why": "exit status 0"}))
def test_annotations_of_the_config_cannot_pose_as_the_reason(ocirt, bundle, annotations):
    bundle.config.pop("annotations", None)
    if annotations is not None:
        bundle.config["annotations"] = annotations
    kept(ocirt, bundle, "exit 9")
    assert ocirt.state("c1")["annotations"] == {**(annotations or {}), "org.ocirt.why": "exit status 9"}


def test_result_of_the_library(image, runtime):
    def run(*args, **more):
        config = config_for(*args, cgroup=cgroups_path("why"), memory=16 << 20)
        return library.run(config=config, rootfs=image, runtime=runtime, **more)

    assert str(run("sh", "-c", "exit 4").why) == "exit status 4"
    why = run("sh", "-c", "exec tail /dev/zero").why
    assert (why.kind, why.memory_limit) == ("oom", 16 << 20) and 8 << 20 < why.memory_peak <= 16 << 20
    why = run("sh", "-c", "tail /dev/zero; exit 3").why
    assert (why.kind, why.oom_kills, why.memory_limit) == ("exit", 1, 16 << 20)
    assert "has killed a process of the container because memory ran out (limit 16777216 bytes, peak " in str(why)
    with pytest.raises(library.TimeoutExpired) as caught:
        run("sleep", "60", timeout=0.3)
    assert (caught.value.why.kind, caught.value.why.signal) == ("timeout", 9)
    assert str(caught.value.why) == "time-out: it had not ended after 0.3 s, and was killed"
    assert run("yes", max_output=10).why.kind == "output"
    assert run("sh", "-c", "kill -9 $$; exit 3").why.exit_code == 3


def test_result_names_the_sender(image, runtime, ocirt):
    """`ocirt kill` from elsewhere, this library, and somebody else."""
    config = config_for("sleep", "60")
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(library.run, config=config, rootfs=image, id="c1", runtime=runtime)
        wait_for_running(ocirt)
        ocirt.ok("kill", "c1", "KILL")
        assert str(run.result().why) == "signal 9 (SIGKILL), sent by ocirt kill"
    with library.Container.create(config=config, rootfs=image, id="c1", runtime=runtime) as container:
        container.start()
        for send, sender in ((lambda process: process.kill(15), "this process"), (lambda p: os.kill(p.pid, 15), "")):
            with container.exec(["sleep", "60"]) as process:
                send(process)
                assert (process.communicate().why.signal, process.communicate().why.sender) == (15, sender)


FORKS = ["sh", "-c", "sleep 5 & sleep 5 & sleep 5 & sleep 5 & exit 2"]


@pytest.mark.cgroups
@pytest.mark.parametrize("from_a_pool", (False, True))
def test_result_names_the_limit_of_processes(image, runtime, from_a_pool):
    config = config_for(*FORKS, cgroup=cgroups_path("why"), processes=3)
    if from_a_pool:
        with library.Pool(config, rootfs=image, size=1, runtime=runtime) as pool:
            why = pool.run(FORKS).why
    else:
        why = library.run(config=config, rootfs=image, runtime=runtime).why
    assert (why.kind, why.exit_code, why.pids_limit) == ("exit", 2, 3) and why.pids_refused >= 1
    assert "the limit of processes (3) has refused a new one" in str(why)


@pytest.mark.cgroups
def test_processes_refused_to_a_program_that_succeeds_need_no_explanation(image, runtime):
    config = config_for("sh", "-c", "(sleep 1 & sleep 1 & sleep 1 & sleep 1 &) 2>/dev/null; exit 0", processes=3)
    result = library.run(config=config, rootfs=image, runtime=runtime)
    assert (result.returncode, str(result.why), result.why.pids_refused) == (0, "exit status 0", 0)


def test_result_names_the_system_call(image, runtime):
    """As far as the kernel's log does: see test_seccomp."""
    config = config_for("mkdir", "/tmp/x", cgroup=cgroups_path("why"))
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    why = library.run(config=config, rootfs=image, runtime=runtime).why
    assert (why.kind, why.signal) == ("seccomp", 31) and why.system_call in ("", "mkdir", "mkdirat")
    assert str(why).endswith(why.system_call or "not known which")


@pytest.mark.cgroups
def test_result_names_the_limit_of_the_disk(image, runtime):
    box = library.Sandbox(image, disk="1m", cgroup=cgroups_path("why"), runtime=runtime)
    why = box.run(["sh", "-c", "cat /dev/zero > /tmp/x"]).why
    assert (why.kind, why.exit_code, why.disk_limit) == ("exit", 1, 1 << 20)
    assert str(why) == "exit status 1; its disk is full (limit 1048576 bytes)"
    assert box.run(["sh", "-c", "echo x > /tmp/x"]).why.disk_limit == 0
