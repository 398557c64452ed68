"""No lock is held while others are waited for, and nobody waits for ever for one that is (docs/architecture.md, "Who waits for
whom")."""

import fcntl
import json
import os
import select
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest

from tests.integration.harness import LIMIT, enough_output, left_cgroups
from tests.integration.test_faults import steps_of

SOON = LIMIT / 6
"""Seconds of a command that waits for nobody, on a busy machine; less than LOCK_SECONDS where it is quiet."""
HANG = "echo x > {file}; exec sleep 600"


@contextmanager
def at_work(ocirt, *words, **more):
    """A verb that goes on while the block runs, and is ended after it."""
    child = subprocess.Popen(
        ocirt.command(*words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **more,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait(LIMIT)


def hook(script):
    return [{"path": "/bin/sh", "args": ["sh", "-c", script]}]


@pytest.fixture
def hung(tmp_path):
    """The file that a hook which hangs writes its pid to; such a one is ended after the test."""
    file = tmp_path / "hung"
    yield file
    if file.exists():
        try:
            pidfd = os.pidfd_open(int(file.read_text()))
        except ProcessLookupError:
            return
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)


def hanging(file):
    return hook(f"echo $$ > {file}; exec sleep 600")


def others_act(ocirt, name="c1", phase="running"):
    """What others do with a container while somebody waits for it: each at once."""
    began = time.monotonic()
    assert ocirt.status(name) == phase
    ocirt.ok("pause", name)
    assert ocirt.status(name) == "paused"
    ocirt.ok("resume", name)
    ocirt.ok("update", "--pids-limit", "77", name)
    assert ocirt.fails("delete", name)
    ocirt.ok("kill", name, "WINCH")
    assert time.monotonic() - began < SOON
    began = time.monotonic()
    ocirt.ok("delete", "--force", name)
    assert time.monotonic() - began < SOON
    assert ocirt.ids() == []


@pytest.mark.cgroups
@pytest.mark.parametrize("verb", ["start", "run -d", "run"])
def test_a_poststart_hook_that_hangs(ocirt, bundle, hung, verb):
    bundle.config["hooks"] = {"poststart": hanging(hung)}
    bundle.save()
    words = ["start", "c1"] if verb == "start" else [*verb.split(), "--bundle", bundle, "c1"]
    if verb == "start":
        ocirt.ok("create", "--bundle", bundle, "c1")
    with at_work(ocirt, *words):
        enough_output(hung)
        others_act(ocirt)


@pytest.mark.cgroups
@pytest.mark.parametrize("point", ["prestart", "createRuntime"])
def test_a_hook_of_create_does_not_outlive_a_delete(ocirt, bundle, hung, point):
    """delete --force ends the runtime that waits for the hook, and so the hook."""
    bundle.config["hooks"] = {point: hanging(hung)}
    bundle.save()
    with at_work(ocirt, "create", "--bundle", bundle, "c1"):
        enough_output(hung)
        pidfd = os.pidfd_open(int(hung.read_text()))
        ocirt.ok("delete", "--force", "c1", timeout=LIMIT)
    try:
        assert ocirt.ids() == [] and select.select([pidfd], [], [], LIMIT)[0], "the hook lives"
        hung.unlink()
    finally:
        os.close(pidfd)


def test_a_start_container_hook_that_hangs(ocirt, bundle):
    """The container's first process runs it: it is created still."""
    bundle.config["root"]["readonly"] = False
    bundle.config["hooks"] = {"startContainer": hook("echo x > /tmp/hung; exec sleep 600")}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    with at_work(ocirt, "start", "c1") as start:
        enough_output(bundle.rootfs / "tmp/hung")
        assert "another start is at work" in ocirt.fails("start", "c1")
        others_act(ocirt, phase="created")
        assert start.wait(LIMIT) == 1


@pytest.mark.cgroups
@pytest.mark.parametrize("verb", ["start", "run"])
def test_a_container_that_never_says_ready(ocirt, bundle, tmp_path, verb):
    environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "manager")}
    (bundle.rootfs / "run").mkdir()
    if verb == "start":
        ocirt.ok("create", "--bundle", bundle, "c1", env=environment)
    words = ["start", "c1"] if verb == "start" else ["run", "-d", "--bundle", bundle, "c1"]
    with at_work(ocirt, *words, env=environment) as child:
        if verb == "run":
            wait_for_container(ocirt, child)
        ocirt.wait_status("c1", "running")
        others_act(ocirt)
        assert child.wait(LIMIT) == 0  # it has ended, and says nothing any more


def wait_for_container(ocirt, child):
    end = time.monotonic() + LIMIT / 3
    while ocirt("state", "c1").status:
        assert time.monotonic() < end and child.poll() is None, child.stderr.read()
        time.sleep(0.01)


def test_a_hook_fails_after_a_delete(ocirt, bundle, tmp_path, hung):
    """A container of the same id that has been made meanwhile is another one."""
    go = tmp_path / "go"
    bundle.config["hooks"] = {"poststart": hook(f"echo $$ > {hung}; while [ ! -e {go} ]; do sleep 0.05; done; exit 3")}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    with at_work(ocirt, "start", "c1") as start:
        enough_output(hung)
        ocirt.ok("delete", "--force", "c1")
        del bundle.config["hooks"]
        bundle.save()
        ocirt.ok("create", "--bundle", bundle, "c1")
        ocirt.ok("start", "c1")
        go.touch()
        assert start.wait(LIMIT) == 1
        assert "exit status 3" in start.stderr.read()
    assert ocirt.status("c1") == "running"
    ocirt.ok("delete", "--force", "c1")


def test_a_start_that_stands_still(ocirt, faulty, bundle, tmp_path):
    """SIGSTOP at each of its steps: where it has the lock, others name it after ten seconds, and `delete --force` ends it."""
    bundle.config["hooks"] = {"poststart": hook("true")}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    count = steps_of(faulty, tmp_path, "start", "c1")
    ocirt.ok("delete", "--force", "c1")
    assert count >= 2
    for step in range(1, count + 1):
        ocirt.ok("create", "--bundle", bundle, "c1")
        faulty.environment = {**os.environ, "OCIRT_FAULT": f"start:{step}:stop"}
        with at_work(faulty, "start", "c1", env=faulty.environment) as start:
            os.waitid(os.P_PID, start.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            began = time.monotonic()
            ocirt.ok("delete", "--force", "c1")
            assert time.monotonic() - began < SOON + 10
        assert ocirt.ids() == [] and left_cgroups() == [], step


@pytest.fixture
def standing_still(ocirt, faulty, bundle):
    """A `pause` that has the lock and has been stopped."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    with at_work(faulty, "pause", "c1", env={**os.environ, "OCIRT_FAULT": "pause:1:stop"}) as child:
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        yield child


@pytest.mark.cgroups
@pytest.mark.parametrize("words", [["resume", "c1"], ["update", "--pids-limit", "77", "c1"], ["delete", "c1"]])
def test_a_verb_names_who_has_the_lock(ocirt, standing_still, words):
    assert f"process {standing_still.pid} has kept it locked for 10 s" in ocirt.fails(*words)


@pytest.mark.cgroups
def test_delete_by_force_takes_the_lock_over(ocirt, standing_still):
    result = ocirt.ok("delete", "--force", "c1")
    assert f"ended process {standing_still.pid}, which had kept it locked for 10 s" in result.err
    assert standing_still.wait(LIMIT) == -signal.SIGKILL
    assert ocirt.ids() == []


@pytest.mark.cgroups
def test_an_update_that_stands_still(ocirt, faulty, bundle):
    """Python has taken the lock, and has said so."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    with at_work(
        faulty, "update", "--pids-limit", "77", "c1", env={**os.environ, "OCIRT_FAULT": "update:1:stop"}
    ) as child:
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        assert f"ended process {child.pid}" in ocirt.ok("delete", "--force", "c1").err


def test_a_holder_that_the_journal_does_not_name(ocirt, bundle):
    """A build that says nothing, or what only has the descriptor: nobody is ended on suspicion."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    directory = os.open(ocirt.root / "c1", os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    with open(ocirt.root / "c1/journal", "r+b", buffering=0) as journal:
        # The pid is this process', the start time is not.
        os.pwrite(journal.fileno(), os.getpid().to_bytes(4, "little") + (1).to_bytes(8, "little"), 68)
    said = ocirt.fails("delete", "--force", "c1")
    assert "an unknown or unkillable process has kept it locked for 10 s: find /proc/" in said
    # The command reads links alone, so that it does not hang on the file system on which that process hangs.
    command = said.strip('"').partition("10 s: ")[2]
    found = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=LIMIT).stdout
    assert f"/proc/{os.getpid()}/fd/{directory}" in found.splitlines()
    assert json.loads((ocirt.root / "c1/state.json").read_text())["id"] == "c1"
    os.close(directory)
    ocirt.ok("delete", "--force", "c1")


def test_a_poststop_hook_that_hangs(ocirt, bundle, hung):
    """A delete holds the lock over it: nobody can do anything with what is being deleted. One with --force ends that delete,
    and does not run the hook again."""
    bundle.config["hooks"] = {"poststop": [*hook("true"), *hanging(hung)]}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    with at_work(ocirt, "delete", "--force", "c1") as first:
        enough_output(hung)
        second = ocirt.ok("delete", "--force", "c1")
        assert f"ended process {first.pid}" in second.err and "hooks.poststop[1]: skipped hook" in second.err
    assert ocirt.ids() == []
