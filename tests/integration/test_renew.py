"""`create --late --renew`: programs one after the other, each in a new container with the same id (docs/architecture.md,
"Late binding").
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from ocirt.library.program import Program
from tests.integration.harness import LIMIT, hierarchies


class Supervisor:
    """A process of `create --renew`."""

    def __init__(self, ocirt, bundle, name="c1"):
        self.ours, theirs = socket.socketpair()
        words = ("--late", "--renew", "--remove", "--status-fd", str(theirs.fileno()), "--bundle", bundle.save(), name)
        with theirs:
            self.process = subprocess.Popen(
                ocirt.command("create", *words),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=ocirt.environment,
            )
        self.ours.settimeout(LIMIT)
        self.reports = self.ours.makefile()

    def report(self):
        try:
            line = self.reports.readline()
        except ConnectionResetError:  # once, from a supervisor that was killed before it had read the program
            line = self.reports.readline()
        return json.loads(line) if line else None

    def begin(self, script):
        """Let the container run a script: the reading end of its output."""
        out, into = os.pipe()
        message, texts = Program.of(["sh", "-c", script], None, {}).message()
        memfd, null = os.memfd_create("texts"), os.open(os.devnull, os.O_RDONLY)
        os.write(memfd, texts)
        with contextlib.suppress(BrokenPipeError):  # a supervisor that was killed has reported all that it will
            socket.send_fds(self.ours, [message], [null, into, into, memfd])
        for fd in (into, memfd, null):
            os.close(fd)
        return open(out)

    def run(self, script):
        """The container, what the script has printed, how it ended."""
        made = self.report()
        with self.begin(script) as output:
            started, text = self.report(), output.read()
        assert started["pid"] == made["pid"]
        return made, text, self.report()

    def run_next(self, script):
        """How the script has ended, in the container that has been reported already."""
        with self.begin(script):
            self.report()
            return self.report()

    def close(self):
        self.reports.close()
        self.ours.close()
        return self.process.wait(LIMIT)


@pytest.fixture
def supervised(ocirt, bundle):
    running = []

    def begin(*words):
        running.append(Supervisor(ocirt, bundle, *words))
        return running[-1]

    yield begin
    for each in running:
        each.close()


def made_for(bundle):
    """A config with places to write to, and limits; without the container's cgroups, in which it could leave something."""
    bundle.config["mounts"] = [each for each in bundle.config["mounts"] if each["type"] != "cgroup"]
    bundle.config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=64m"]})
    resources = {"memory": {"limit": 100 << 20}, "pids": {"limit": 20}, "cpu": {"quota": 50000, "period": 100000}}
    bundle.config["linux"]["resources"] = {**bundle.config["linux"].get("resources", {}), **resources}
    return bundle


def test_each_program_has_a_new_container(ocirt, bundle, supervised):
    made_for(bundle)
    supervisor = supervised()
    held, pids, created = [], set(), set()
    for _ in range(3):
        made = supervisor.report()
        # Held, because the kernel gives the number of a namespace that is gone to another one.
        held += [os.open(f"/proc/{made['pid']}/ns/{name}", os.O_RDONLY) for name in ("mnt", "pid", "net", "ipc", "uts")]
        created.add(json.loads(ocirt.ok("state", "c1").out)["created"])
        with supervisor.begin("ls /tmp; echo left > /tmp/left; sleep 100 & echo $$") as output:
            assert supervisor.report() | {"clock": 0} == made | {"clock": 0} and made["renews"] is True
            assert output.read() == "1\n" and supervisor.report()["exitCode"] == 0
        pids.add(made["pid"])
    assert len({os.fstat(fd).st_ino for fd in held}) == 15 and len(pids) == len(created) == 3
    for fd in held:
        os.close(fd)
    assert supervisor.close() == 255 and ocirt.ids() == []


def test_counts_are_those_of_one_program(bundle, supervised):
    """The most memory, the kills for lack of memory and the refused processes of one are not the next one's."""
    made_for(bundle)
    supervisor = supervised()
    _, _, large = supervisor.run("head -c 30m /dev/zero > /tmp/x")
    _, _, small = supervisor.run("true")
    assert large["memoryPeak"] > 30 << 20 > 10 << 20 > small["memoryPeak"]
    _, _, killed = supervisor.run("tail /dev/zero; false")
    assert killed["oomKills"] == 1 and "oomKills" not in supervisor.run("false")[2]
    _, _, refused = supervisor.run("for n in $(seq 40); do sleep 100 & done; false")
    assert refused["pidsRefused"] > 0 and "pidsRefused" not in supervisor.run("false")[2]


def test_limits_that_update_has_changed_are_written_again(ocirt, bundle, supervised):
    made_for(bundle)
    supervisor = supervised()
    made = supervisor.report()
    ocirt.ok("update", "--pids-limit", "1000", "--cpu-quota", "90000", "c1")
    with supervisor.begin("true"):
        assert supervisor.report()["pid"] == made["pid"] and supervisor.report()["exitCode"] == 0
    _, text, _ = supervisor.run("for n in $(seq 40); do sleep 100 & done; echo reached")
    assert "fork" in text


def test_container_whose_program_cannot_start_has_no_successor(ocirt, bundle, supervised):
    supervisor = supervised()
    supervisor.report()
    message, texts = Program.of(["missing"], None, {}).message()
    memfd = os.memfd_create("texts")
    os.write(memfd, texts)
    socket.send_fds(supervisor.ours, [message], [1, 1, 1, memfd])
    os.close(memfd)
    assert "executable file not found" in supervisor.report()["msg"]
    assert {"exitCode", "signal"} & supervisor.report().keys()
    assert supervisor.report() is None and supervisor.process.wait(LIMIT)
    assert ocirt.ids() == []


def test_container_that_is_deleted_has_no_successor(ocirt, bundle, supervised):
    supervisor = supervised()
    supervisor.report()
    with supervisor.begin("sleep 100"):
        supervisor.report()
        ocirt.ok("delete", "--force", "c1")
        assert supervisor.report()["signal"] == signal.SIGKILL
    assert supervisor.report() is None
    assert ocirt.ids() == []


NO_SUCCESSOR = (
    {"hooks": {"poststop": [{"path": "/bin/true"}]}},
    {"namespaces": [{"type": "mount"}, {"type": "uts"}]},
)


@pytest.mark.parametrize("change", NO_SUCCESSOR, ids=("hooks", "the host's pid namespace"))
def test_without_successor(ocirt, bundle, supervised, change):
    if "namespaces" in change:
        bundle.config["linux"] |= change
    else:
        bundle.config |= change
    supervisor = supervised()
    made, text, end = supervisor.run("echo x")
    assert ("renews" in made, text, end["exitCode"]) == (False, "x\n", 0)
    assert supervisor.report() is None and supervisor.process.wait(LIMIT) == 0
    assert ocirt.ids() == []


def test_flags(ocirt, bundle):
    bundle.save()
    assert "--renew: found no --status-fd" in ocirt.fails("create", "--late", "--renew", "--bundle", bundle, "c1")
    reading, writing = os.pipe()
    command = ocirt.command("create", "--renew", "--status-fd", str(writing), "--bundle", bundle, "c1")
    with open(reading) as reports:
        assert subprocess.run(command, pass_fds=[writing], stdin=subprocess.DEVNULL, timeout=LIMIT).returncode == 1
        os.close(writing)
        assert "--renew: found no --late" in reports.read()
    assert ocirt.ids() == []


def test_start_says_who_can(ocirt, supervised):
    supervisor = supervised()
    supervisor.report()
    assert "comes from who holds its --status-fd" in ocirt.fails("start", "c1", "--", "true")
    assert ocirt.status("c1") == "created" and supervisor.run_next("true")["exitCode"] == 0


def test_nothing_grows(bundle, supervised):
    """The supervisor holds no more descriptors and memory after many programs than after a few."""
    made_for(bundle)
    supervisor = supervised()

    def held():
        with open(f"/proc/{supervisor.process.pid}/statm") as file:
            return len(os.listdir(f"/proc/{supervisor.process.pid}/fd")), file.read().split()[1]

    for _ in range(5):
        supervisor.run("true")
    time.sleep(0.5)
    before = held()
    for _ in range(200):
        supervisor.run("true")
    time.sleep(0.5)
    descriptors, pages = held()
    assert descriptors == before[0] and int(pages) <= int(before[1]) + 8


def test_killed_at_each_step_of_the_next_container(ocirt, faulty, bundle):
    """`delete --force` removes what a supervisor leaves that is killed while it makes the second container."""
    made_for(bundle)
    log = bundle.path / "log"
    faulty.environment = {"OCIRT_FAULT_LOG": str(log)}
    supervisor = Supervisor(faulty, bundle)
    supervisor.report()
    first = len(log.read_text())
    with supervisor.begin("true"):
        for _ in range(3):
            supervisor.report()
    last = len(log.read_text())
    supervisor.close()
    assert last > first + 20 and ocirt.ids() == []
    killed = 0
    for step in range(first + 1, last + 1, 2):
        faulty.environment = {"OCIRT_FAULT": f"create:{step}:kill"}
        supervisor = Supervisor(faulty, bundle)
        supervisor.report()
        with supervisor.begin("true"):
            reports = [report for report in (supervisor.report() for _ in range(3)) if report]
        if supervisor.close() == -signal.SIGKILL:
            killed += 1
            assert len(reports) == 3 or ocirt.ids() == ["c1"]
        else:  # the first run had a few steps more, because it waited longer for the kernel
            assert len(reports) == 3
        ocirt.ok("delete", "--force", "c1")
        assert ocirt.ids() == []
        assert not [top for top in hierarchies() if (top / bundle.config["linux"]["cgroupsPath"].strip("/")).exists()]
    assert killed > 10
