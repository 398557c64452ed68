"""The runtime killed or stopped after each of its steps: `delete --force` leaves nothing, the id can be used again."""

import os
import signal
import subprocess
import time

import pytest

from tests.integration.harness import left_cgroups
from tests.integration.leftovers import mounts


def steps_of(faulty, tmp_path, *words):
    """How many steps a verb has, from a run without a fault."""
    log = tmp_path / "steps"
    faulty.environment = {"OCIRT_FAULT_LOG": str(log)}
    faulty.ok(*words)
    return len(log.read_text())


def full(bundle):
    """A bundle with hooks at every point, beside what `ocirt spec` has."""
    hook = {"path": "/bin/true"}
    bundle.config["hooks"] = {
        point: [hook] for point in ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    }
    return bundle.save()


def fault(faulty, verb, step, kind, *words):
    faulty.environment = {"OCIRT_FAULT": f"{verb}:{step}:{kind}"}
    return faulty(*words)


def clear_and_make_again(ocirt, bundle, step):
    ocirt.ok("delete", "--force", "c1")
    assert ocirt.ids() == [] and left_cgroups() == [], f"after step {step}"
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("delete", "--force", "c1")


def test_create_killed_after_each_step(ocirt, faulty, bundle, tmp_path):
    full(bundle)
    count = steps_of(faulty, tmp_path, "create", "--bundle", bundle, "c1")
    ocirt.ok("delete", "--force", "c1")
    before = mounts()
    assert count > 60
    survived = 0
    for step in range(1, count + 1):
        result = fault(faulty, "create", step, "kill", "create", "--bundle", bundle, "c1")
        assert result.status in (-signal.SIGKILL, 0), (step, result)
        survived += result.status == 0
        clear_and_make_again(ocirt, bundle, step)
    # Only once init has said that it is ready can the runtime be done before it is killed: by whom of the two that step, the
    # runtime's next and the commit are counted first, chance decides.
    assert survived <= 3 and mounts() == before


def test_create_stopped_after_each_step(ocirt, faulty, bundle, tmp_path):
    """A runtime that hangs holds the lock: delete --force ends it and clears what it made."""
    count = steps_of(faulty, tmp_path, "create", "--bundle", bundle, "c1")
    ocirt.ok("delete", "--force", "c1")
    for step in range(1, count - 5, 3):
        faulty.environment = {"OCIRT_FAULT": f"create:{step}:stop"}
        child = subprocess.Popen(
            faulty.command("create", "--bundle", bundle, "c1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=faulty.environment,
        )
        try:
            assert os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1]), f"step {step}"
            ocirt.ok("delete", "--force", "c1")
            assert ocirt.ids() == [] and left_cgroups() == [], f"after step {step}"
        finally:
            child.kill()
            child.wait(10)
        clear_and_make_again(ocirt, bundle, step)


@pytest.mark.parametrize("verb", ["start", "delete"])
def test_later_verbs_killed_after_each_step(ocirt, faulty, bundle, tmp_path, verb):
    full(bundle)
    words = ("start", "c1") if verb == "start" else ("delete", "--force", "c1")
    ocirt.ok("create", "--bundle", bundle, "c1")
    count = steps_of(faulty, tmp_path, *words)
    ocirt.ok("delete", "--force", "c1")
    assert count >= (2 if verb == "start" else 3)
    for step in range(1, count + 1):
        ocirt.ok("create", "--bundle", bundle, "c1")
        result = fault(faulty, verb, step, "kill", *words)
        assert result.status == -signal.SIGKILL, (step, result)
        clear_and_make_again(ocirt, bundle, step)


def test_run_killed_while_the_container_runs(ocirt, bundle):
    """The death of a foreground run leaves a container that delete --force clears."""
    child = subprocess.Popen(ocirt.command("run", "--bundle", bundle, "c1"), stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while not (ocirt.ids() and ocirt("state", "c1").status == 0 and ocirt.status("c1") == "running"):
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        child.kill()
        child.wait(10)
    clear_and_make_again(ocirt, bundle, "run")
