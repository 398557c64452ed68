"""What happens while a verb is on its way: the runtime stands still after one of its steps (OCIRT_FAULT=...:stop), something else
comes to pass, and it goes on. It ends with its work done or with one clear error, and `delete --force` leaves nothing.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.harness import CGROUPS, LIMIT, PARENT, V2, cgroup_of, left_cgroups
from tests.integration.leftovers import Adopted
from tests.integration.test_faults import steps_of

STEPS = 10
"""At so many of a verb's steps it is stopped."""


class Stopped:
    """The runtime, at work on ``words`` until it has done ``step`` steps."""

    def __init__(self, faulty, step, log, *words):
        self.log = log
        faulty.environment = {**os.environ, "OCIRT_FAULT": f"{words[0]}:{step}:stop"}
        with open(log, "w") as out:
            self.process = subprocess.Popen(
                faulty.command(*words), stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=faulty.environment
            )
        faulty.environment = None
        os.waitid(
            os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT
        )  # it may have ended before that step

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        """Its exit status and the lines of error that it said."""
        try:
            status = self.process.wait(LIMIT)
        finally:
            self.process.kill()
            self.process.wait()
        return status, [line for line in self.log.read_text().splitlines() if "level=error" in line]


def some(count):
    """Steps from the first to the last."""
    return sorted({1 + each * (count - 1) // (STEPS - 1) for each in range(STEPS)})


@pytest.fixture
def box(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    return bundle


def again(ocirt, bundle):
    ocirt.ok("delete", "--force", "c1")
    assert ocirt.ids() == [] and left_cgroups() == []
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")


FLAGS = {"network": "--net", "uts": "--uts", "ipc": "--ipc", "pid": "--pid"}
FILES = {"network": "net", "uts": "uts", "ipc": "ipc", "pid": "pid"}


@pytest.mark.parametrize("kind", FLAGS)
def test_a_joined_namespace_dies(ocirt, faulty, bundle, tmp_path, kind):
    """Of the process whose /proc/PID/ns/... the config names, which ends while create works: the namespace lives on in the
    container, or create says that it is not to be had. A pid namespace without its first process takes nobody."""
    seen = set()

    def hold():
        holder = subprocess.Popen(
            ["unshare", FLAGS[kind], *(["--fork", "--kill-child"] if kind == "pid" else []), "sleep", "600"],
            stdin=subprocess.DEVNULL,
        )
        end, pid = time.monotonic() + LIMIT, holder.pid
        while Path(f"/proc/{pid}/comm").read_text() != "sleep\n":
            assert time.monotonic() < end
            if kind == "pid" and (
                children := Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
            ):
                pid = int(children[0])
            time.sleep(0.002)
        bundle.namespace(kind, f"/proc/{pid}/ns/{FILES[kind]}").save()
        return holder

    holder = hold()
    words = ("create", "--bundle", bundle, "c1")
    count = steps_of(faulty, tmp_path, *words)
    ocirt.ok("delete", "--force", "c1")
    for step in some(count):
        create = Stopped(faulty, step, tmp_path / "log", *words)
        holder.kill()
        holder.wait(LIMIT)
        create.go_on()
        status, errors = create.end()
        seen.add(status)
        if status:
            assert status == 1 and len(errors) == 1, (step, errors)
            assert "linux.namespaces" in errors[0] or (
                kind == "pid" and "first process died before it was ready: signal 9" in errors[0]
            ), errors
            assert ocirt.ids() == [] and left_cgroups() == []
        holder = hold()
        ocirt.ok("delete", "--force", "c1")
        assert ocirt.ids() == [] and left_cgroups() == []
    holder.kill()
    holder.wait(LIMIT)
    assert seen == {0, 1}


def test_exec_while_the_container_dies(ocirt, faulty, box, tmp_path):
    """Its pid namespace ends under exec's hands, before the process is in it or after."""
    count = steps_of(faulty, tmp_path, "exec", "c1", "true")
    for step in some(count):
        run = Stopped(faulty, step, tmp_path / "log", "exec", "c1", "true")
        ocirt.ok("kill", "c1", "KILL")
        run.go_on()
        status, errors = run.end()
        assert (status, len(errors)) in ((255, 1), (0, 0), (137, 0)), (step, status, errors)
        again(ocirt, box)


def test_exec_while_the_container_is_deleted(ocirt, faulty, box, tmp_path):
    count = steps_of(faulty, tmp_path, "exec", "c1", "true")
    for step in some(count):
        run = Stopped(faulty, step, tmp_path / "log", "exec", "c1", "true")
        delete = subprocess.Popen(ocirt.command("delete", "--force", "c1"), stdin=subprocess.DEVNULL)
        time.sleep(0.02)
        # What has joined the pid namespace is its parent's, who stands still, to wait for: until then the namespace goes on.
        run.go_on()
        status, errors = run.end()
        assert delete.wait(LIMIT) == 0
        assert (status, len(errors)) in ((255, 1), (0, 0), (137, 0)), (step, status, errors)
        again(ocirt, box)


@pytest.mark.cgroups
def test_a_pause_in_the_middle_of_exec(ocirt, faulty, box, tmp_path):
    """The process is frozen with the others, and goes on with them; or exec says that the container is paused."""
    count, seen = steps_of(faulty, tmp_path, "exec", "c1", "true"), set()
    for step in some(count):
        run = Stopped(faulty, step, tmp_path / "log", "exec", "c1", "true")
        ocirt.ok("pause", "c1")
        run.go_on()
        try:
            run.process.wait(0.05)
        except subprocess.TimeoutExpired:
            seen.add("waited")
        assert ocirt.status("c1") == "paused"
        ocirt.ok("resume", "c1")
        status, errors = run.end()
        seen.add(status)
        assert status == 0 or (status == 255 and len(errors) == 1 and "paused container" in errors[0]), (
            step,
            status,
            errors,
        )
        assert ocirt.ok("exec", "c1", "echo", "x").out == "x\n"
    assert seen >= {"waited", 0}


@pytest.mark.cgroups
def test_killed_in_a_paused_exec(ocirt, faulty, box, tmp_path):
    """The runtime is killed while what it has made is frozen: `delete --force` thaws and clears it away."""
    count = steps_of(faulty, tmp_path, "exec", "c1", "true")
    with Adopted():
        for step in some(count):
            run = Stopped(faulty, step, tmp_path / "log", "exec", "c1", "true")
            ocirt.ok("pause", "c1")
            run.process.kill()
            run.end()
            again(ocirt, box)
        ocirt.ok("delete", "--force", "c1")


def freezer_of(path):
    return CGROUPS / ("" if V2 else "freezer") / path.lstrip("/")


def freeze(path, yes=True):
    top = freezer_of(path)
    file, values = (top / "cgroup.freeze", "01") if V2 else (top / "freezer.state", ("THAWED", "FROZEN"))
    file.write_text(values[yes])


@pytest.mark.cgroups
@pytest.mark.cgroupfs
def test_a_frozen_cgroup_left_over(ocirt, bundle):
    """At the container's own path: one that is there and frozen takes nobody, and stays as it is."""
    path = cgroup_of(bundle.config["linux"]["cgroupsPath"])
    top = freezer_of(path)
    top.mkdir(parents=True)
    freeze(path)
    assert "it is frozen" in ocirt.fails("create", "--bundle", bundle, "c1")
    assert ocirt.ids() == [] and top.is_dir()
    top.rmdir()
    if left_cgroups():
        top.parent.rmdir()


@pytest.mark.cgroups
@pytest.mark.cgroupfs
def test_a_frozen_cgroup_above(ocirt, bundle):
    """What joined it would stop before it could say a word; on v1 not even SIGKILL ends that. The verb refuses."""
    top = freezer_of(PARENT)
    top.mkdir()
    freeze(PARENT)
    assert "a cgroup above" in ocirt.fails("create", "--bundle", bundle, "c1") and ocirt.ids() == []
    freeze(PARENT, False)
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("delete", "--force", "c1")
    top.rmdir()


@pytest.mark.cgroups
@pytest.mark.cgroupfs
def test_a_cgroup_above_freezes_meanwhile(ocirt, faulty, bundle, tmp_path):
    """While create works: it waits. `delete --force` clears it away once that is thawed, and on v2 at once."""
    words = ("create", "--bundle", bundle, "c1")
    count = steps_of(faulty, tmp_path, *words)
    ocirt.ok("delete", "--force", "c1")
    for step in some(count)[2:]:
        create = Stopped(faulty, step, tmp_path / "log", *words)
        if not left_cgroups() or not freezer_of(PARENT).exists():  # v1: the hierarchies get theirs one after the other
            create.go_on()
            create.end()
            ocirt.ok("delete", "--force", "c1")
            continue
        freeze(PARENT)
        create.go_on()
        time.sleep(0.02)
        delete = subprocess.Popen(ocirt.command("delete", "--force", "c1"), stdin=subprocess.DEVNULL)
        time.sleep(0.05)
        if freezer_of(PARENT).exists():
            freeze(PARENT, False)
        assert delete.wait(LIMIT) == 0
        create.end()
        assert ocirt.ids() == [], step
        ocirt.ok("create", "--bundle", bundle, "c1")
        ocirt.ok("delete", "--force", "c1")
