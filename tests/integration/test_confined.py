"""What Python processes that run with root's rights give up: ocirt/confine.py. Here python-prctl is installed.

Each has a name, keeps the capabilities that it needs, and ends with its parent, or says why it must not.
"""

import os
import select
import subprocess
import sys
import time

import pytest

from ocirt import Container
from ocirt.confine import LAST_CAPABILITY
from tests.integration.harness import LIMIT, built, cgroups_path
from tests.integration.library import children, config_for
from tests.integration.test_checkpoint import fake, images, with_fake  # noqa: F401
from tests.integration.test_netdevices import device, is_as_it_was, moving, network  # noqa: F401

NET_ADMIN = 1 << 12
ALL = (1 << (int(open(LAST_CAPABILITY).read()) + 1)) - 1


def status(pid):
    """/proc/PID/status of a process: name -> text; its capability sets as numbers."""
    with open(f"/proc/{pid}/status") as file:
        found = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return {name: int(value, 16) if name.startswith("Cap") else value for name, value in found.items()}


def capabilities(pid):
    """The five sets: inheritable, permitted, effective, bounding, ambient."""
    found = status(pid)
    return tuple(found[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb"))


def title(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read().rstrip("\0")


def until(condition):
    """Wait until ``condition`` holds: its answer."""
    end = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def command(name, before=""):
    """A helper, as the executable starts it. It waits for its standard input.

    :param before: Python to run first.
    """
    script = built("bin").with_name("ocirt-python")
    words = ["@helper", name, "run", "confined1"]
    program = f"import sys; {before}; exec(compile(open(sys.argv[0]).read(), sys.argv[0], 'exec'))"
    start = [str(script)] if not before else ["-c", f"import sys; sys.argv[0] = {str(script)!r}; {program}"]
    return [sys.executable, "-I", "-S", "-X", "utf8", *start, *words]


@pytest.fixture
def helper():
    started = []

    def start(name, before=""):
        process = subprocess.Popen(
            command(name, before), env={"LC_ALL": "C"}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        started.append(process)
        until(lambda: status(process.pid)["Name"].startswith("ocirt: "))
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(10)
        process.stdin.close()


@pytest.mark.parametrize(("name", "kept"), [("resctrl", 0), ("netdevices", NET_ADMIN)])
def test_a_helper_keeps_what_it_needs(helper, name, kept):
    pid = helper(name).pid
    until(lambda: capabilities(pid) == (0, kept, kept, kept, 0))
    assert title(pid) == f"ocirt: {name} confined1" and status(pid)["Name"] == f"ocirt: {name} confined1"[:15]
    assert status(pid)["NoNewPrivs"] == "1"


def test_without_python_prctl_a_helper_has_its_name_alone(helper):
    """It works as with it, and keeps the runtime's rights."""
    pid = helper("resctrl", "sys.modules['prctl'] = None").pid
    assert status(pid)["Name"] == "ocirt: resctrl " and status(pid)["NoNewPrivs"] == "0"
    assert capabilities(pid) == capabilities("self")


@pytest.mark.parametrize("name", ["resctrl", "netdevices"])
def test_a_helper_ends_with_its_parent(name):
    """Here it has nothing to undo yet: it still waits for what it is to do."""
    program = (
        "import os, subprocess, sys, time; reading, writing = os.pipe()\n"
        "print(subprocess.Popen(sys.argv[1:], env={'LC_ALL': 'C'}, stdin=reading).pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, *command(name)], stdout=subprocess.PIPE, text=True)
    try:
        pid = int(parent.stdout.readline())
        held = os.pidfd_open(pid)
        until(lambda: status(pid)["NoNewPrivs"] == "1")  # which comes after the signal
        parent.kill()
        assert select.select([held], [], [], LIMIT)[0]
        os.close(held)
    finally:
        parent.kill()
        parent.wait(10)
        parent.stdout.close()


def test_the_guard_of_network_devices(network, moving, bundle, tmp_path):  # noqa: F811
    """It waits for the runtime's end instead of ending with it: then it gives the devices back. It can do no more than that."""
    seen = tmp_path / "seen"
    script = (
        "for each in /proc/[0-9]*; do\n"
        f"  grep -q 'netdevices confined1 [(]guard' $each/cmdline 2>/dev/null && cat $each/status >{seen}\n"
        f"done; read go <{tmp_path}/go; exit 0"
    )
    os.mkfifo(tmp_path / "go")
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    network.make("eth7")
    moving(eth7={"name": "inside"})
    runtime = subprocess.Popen(
        network.ocirt.command("create", "--bundle", bundle, "confined1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: seen.exists() and "CapAmb" in seen.read_text())
        found = dict(line.split(":\t", 1) for line in seen.read_text().splitlines() if ":\t" in line)
        assert [int(found[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")] == [
            0,
            *[NET_ADMIN] * 3,
            0,
        ]
        assert found["NoNewPrivs"] == "1"
        guard = os.pidfd_open(int(found["Pid"]))
        assert device(network.pid, "eth7") is None
        runtime.kill()
        assert select.select([guard], [], [], LIMIT)[0]
        os.close(guard)
        until(lambda: device(network.pid, "eth7"))
        assert is_as_it_was(network, "eth7")
    finally:
        runtime.kill()
        runtime.wait(10)
        network.ocirt("delete", "--force", "confined1")


def test_checkpoint_lets_criu_have_all_rights(fake, with_fake, bundle, tmp_path):  # noqa: F811
    """The Python that talks with criu has none while criu works. Neither is killed when its parent ends: a criu that is cut off would
    leave processes stopped. Both have all rights again for what comes after: the container is deleted."""
    fake(waits=2)
    with_fake.ok("run", "-d", "--bundle", bundle, "confined1")
    path = images(tmp_path)
    talk = subprocess.Popen(
        with_fake.command("checkpoint", "--image-path", path, "confined1"), stdin=subprocess.DEVNULL
    )
    try:
        until(lambda: (fake.folder / "request.json").exists())
        assert title(talk.pid) == "ocirt: checkpoint confined1" and status(talk.pid)["Name"] == "ocirt: checkpoi"
        mine = capabilities("self")
        assert capabilities(talk.pid) == (0, 0, 0, mine[3], 0) and status(talk.pid)["NoNewPrivs"] == "0"
        with open(f"/proc/{talk.pid}/task/{talk.pid}/children") as file:
            (criu,) = map(int, file.read().split())
        assert capabilities(criu)[1:4] == (mine[3] & ALL,) * 3
        assert talk.wait(LIMIT) == 0 and with_fake.ids() == []
    finally:
        talk.kill()
        talk.wait(10)


def test_a_supervisor_of_the_library_says_what_it_is(image, runtime):
    """It is the executable, whose command line names the verb and the container. It keeps its rights, because it is what removes
    the container in the end; and its parent's end is told to it by a pipe, so that it can."""
    config = config_for("sleep", "60", cgroup=cgroups_path("confined1"))
    with Container.create(config=config, rootfs=image, id="confined1", runtime=runtime):
        supervisor = int(*children())
        assert status(supervisor)["Name"] == "ocirt"
        words = title(supervisor).split("\0")
        assert "create" in words and words[-1] == "confined1"
        assert capabilities(supervisor) == capabilities("self")
        held = os.pidfd_open(supervisor)
    assert select.select([held], [], [], LIMIT)[0]
    os.close(held)
