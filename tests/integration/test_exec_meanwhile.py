"""exec while other things happen: the container ends or is deleted, many execs come at once, the runtime is killed."""

import json
import os
import signal
import subprocess
import time

import pytest

from tests.integration.execs import FAILED, box, processes, start
from tests.integration.harness import LIMIT, V2, enough_output

__all__ = ["box"]  # a fixture of the tests here


def test_a_delete_meanwhile(ocirt, box, tmp_path):
    """The container was there when exec began: it says that it has been deleted since, not that there is none."""
    fifo = tmp_path / "process.json"
    os.mkfifo(fifo)
    child = subprocess.Popen(
        ocirt.command("exec", "--process", fifo, "c1"), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    with open(fifo, "w") as file:  # which exec reads when it has found the container
        ocirt.ok("delete", "--force", "c1")
        json.dump({"cwd": "/", "args": ["true"]}, file)
    said = child.communicate(timeout=LIMIT)[1]
    assert child.returncode == 255 and "cannot exec in a stopped container: c1 has just been deleted" in said


@pytest.mark.parametrize("verb", ["kill", "delete"])
def test_the_end_of_the_container_is_its_end(ocirt, box, verb):
    child = subprocess.Popen(
        ocirt.command("exec", "c1", "sh", "-c", "echo ready > /tmp/ready; sleep 60"), stdin=subprocess.DEVNULL
    )
    enough_output(box.rootfs / "tmp/ready")
    ocirt.ok(*(("kill", "c1", "KILL") if verb == "kill" else ("delete", "--force", "c1")))
    assert child.wait(LIMIT) == 137


def test_fifty_at_once(ocirt, box):
    children = [
        subprocess.Popen(
            ocirt.command("exec", "c1", "echo", str(number)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(50)
    ]
    for number, child in enumerate(children):
        assert child.communicate(timeout=4 * LIMIT) == (f"{number}\n", "") and child.returncode == 0
    assert len(processes(ocirt)) == 2


@pytest.mark.parametrize("without_pid", [False, True])
def test_deleted_while_many_come(ocirt, bundles, without_pid):
    """Each exec runs, or says in one line why not; delete takes everything away."""
    for number in range(6):
        bundle = bundles(f"bundle{number}")
        if without_pid:
            bundle.without_namespace("pid")
        start(ocirt, bundle)
        children = [
            subprocess.Popen(
                ocirt.command("exec", "c1", "true"), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            for _ in range(6)
        ]
        time.sleep(0.02 * number)
        ocirt.ok("delete", "--force", "c1")
        for child in children:
            _, err = child.communicate(timeout=LIMIT)
            assert child.returncode in (0, 137) and err == "" or child.returncode == FAILED and err.count("\n") == 1, (
                child.returncode,
                err,
            )


def test_killed_after_each_step(ocirt, faulty, box, tmp_path):
    """SIGKILL of the runtime at any point: the process has begun, or never does; the container goes on."""
    log = tmp_path / "steps"
    faulty.environment = {"OCIRT_FAULT_LOG": str(log)}
    faulty.ok("exec", "-d", "c1", "true")
    count = len(log.read_text())
    assert count > (20 if V2 else 30)  # v1 has a step for each hierarchy
    for step in range(1, count + 1):
        faulty.environment = {"OCIRT_FAULT": f"exec:{step}:kill"}
        result = faulty("exec", "-d", "c1", "true")
        assert result.status in (-signal.SIGKILL, 0), (step, result)
    end = time.monotonic() + LIMIT
    while len(processes(ocirt)) != 2:
        assert time.monotonic() < end, processes(ocirt)
        time.sleep(0.05)
    assert ocirt.status("c1") == "running"
