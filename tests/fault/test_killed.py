"""The runtime, or a process of its own, killed at each system call of a verb: `delete --force` leaves nothing, and the id can
be used again.

A sample; with OCIRT_FAULT_ALL=1 every call of every process of the verb but Python's, at its beginning and at its end (tracer.py).
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT, PARENT, left_cgroups
from tests.integration.leftovers import Adopted, Leftovers
from tests.integration.test_faults import full
from tests.integration.test_faults_in_play import Case
from tests.processor import syscall_number

ALL = os.environ.get("OCIRT_FAULT_ALL") == "1"
SAMPLE = 16
"""Faults of a verb in the ordinary lane."""
EXECVES = tuple(map(syscall_number, ("execve", "execveat")))
TRACER = Path(__file__).with_name("tracer.py")


class Verb:
    """A verb, with what comes before it.

    :param before: commands that make the container for it.
    :param words: its command line.
    :param statuses: of the container once it has been killed; ``None``: there is none any more.
    :param again: a command that must work where the container has the status given with it.
    :param kept: whether the program that it needs is in the cache.
    """

    def __init__(self, *words, before=(), statuses, again=(), kept=True):
        self.words, self.before, self.statuses, self.again, self.kept = words, before, statuses, dict(again), kept


CREATE = ("create", "--bundle", "BUNDLE", "--pid-file", "PIDFILE", "c1")
START, KILL, PAUSE = ("start", "c1"), ("kill", "c1", "KILL"), ("pause", "c1")
ANY = {None, "creating", "created", "stopped"}
VERBS = {
    "create": Verb(*CREATE, statuses=ANY, again={"created": START}),
    "create, compiled": Verb(*CREATE, statuses=ANY, again={"created": START}, kept=False),
    "run": Verb("run", "--bundle", "BUNDLE", "c1", statuses=ANY | {"running"}),
    "run, detached": Verb(
        "run", "--detach", "--pid-file", "PIDFILE", "--bundle", "BUNDLE", "c1", statuses=ANY | {"running"}
    ),
    "start": Verb(*START, before=(CREATE,), statuses={None, "created", "running", "stopped"}, again={"created": START}),
    "exec": Verb(
        "exec", "c1", "true", before=(CREATE, START), statuses={"running"}, again={"running": ("exec", "c1", "true")}
    ),
    "exec, compiled": Verb(
        "exec",
        "--detach",
        "--pid-file",
        "PIDFILE",
        "c1",
        "true",
        before=(CREATE, START),
        statuses={"running"},
        kept=False,
    ),
    "update": Verb(
        "update",
        "--pids-limit",
        "77",
        "--memory",
        "64m",
        "c1",
        before=(CREATE, START),
        statuses={"running"},
        again={"running": ("update", "--pids-limit", "78", "c1")},
    ),
    "pause": Verb(
        *PAUSE,
        before=(CREATE, START),
        statuses={"running", "paused"},
        again={"running": PAUSE, "paused": ("resume", "c1")},
    ),
    "resume": Verb(
        "resume",
        "c1",
        before=(CREATE, START, PAUSE),
        statuses={"running", "paused"},
        again={"running": PAUSE, "paused": ("resume", "c1")},
    ),
    "kill": Verb(*KILL, before=(CREATE, START), statuses={"running", "stopped"}, again={"running": KILL}),
    "kill, paused": Verb(
        "kill",
        "--all",
        "c1",
        "KILL",
        before=(CREATE, START, PAUSE),
        statuses={"running", "paused", "stopped"},
        again={"running": KILL, "paused": KILL},
    ),
    "delete": Verb("delete", "c1", before=(CREATE, START, KILL), statuses={None, "creating", "stopped"}),
    "delete, running": Verb(
        "delete", "--force", "c1", before=(CREATE, START), statuses={None, "creating", "stopped", "running"}
    ),
}


class Faults:
    """A verb under the tracer, with a bundle."""

    def __init__(self, ocirt, bundle, verb, folder):
        self.ocirt, self.verb, self.folder = ocirt, verb, folder
        self.places = {"BUNDLE": str(bundle), "PIDFILE": str(folder / "pid")}

    def words(self, words):
        return [self.places.get(word, word) for word in words]

    def prepare(self):
        for words in self.verb.before:
            self.ocirt.ok(*self.words(words))
            if words == KILL:
                self.ocirt.wait_status("c1", "stopped")
        if not self.verb.kept:
            for entry in Path(os.environ["OCIRT_CACHE"]).iterdir():
                entry.unlink()

    def trace(self, *fault):
        """What the tracer reports, and what the command said."""
        report = self.folder / "report"
        command = [
            sys.executable,
            "-I",
            "-S",
            str(TRACER),
            str(report),
            *map(str, fault),
            "--",
            *self.ocirt.command(*self.words(self.verb.words)),
        ]
        with open(self.folder / "said", "w+") as said:  # not a pipe: the container keeps its streams open
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=LIMIT,
                env=self.ocirt.environment,
                check=True,
            )
            said.seek(0)
            return json.loads(report.read_text()), said.read()

    def plan(self, calls):
        """(process watched, its stop, process killed) of each fault: whoever is at a stop, the runtime is killed, or it itself."""
        groups = [
            (watched, victim, len(stops)) for watched, stops in enumerate(calls) for victim in sorted({0, watched})
        ]
        if ALL:
            # Of the interpreter, which has no effect before it executes the executable again, one call in twenty.
            handed_over = (
                max([0, *(stop for stop, call in enumerate(calls[0]) if call in EXECVES)])
                if len(calls[0]) > 1000
                else 0
            )
            return [
                (watched, stop, victim)
                for watched, victim, count in groups
                for stop in range(count)
                if watched or stop >= handed_over or stop % 20 == 0
            ]
        share = max(2, SAMPLE // len(groups))
        return [
            (watched, count * (2 * each + 1) // (2 * share), victim)
            for watched, victim, count in groups
            for each in range(share)
        ]

    def wrong(self, fault, clean):
        """What was not as it should be with a fault, and whether the fault has come to pass."""
        self.prepare()
        report, said = self.trace(*fault)
        call = report["calls"][fault[0]][-1:] if report["fired"] else []
        found = []
        # A process that was killed is the runtime's to report; with run and exec it may also be the container's own.
        if report["status"] not in (0, 1, 137, 255, -signal.SIGKILL) or (
            fault[2] == 0 and report["fired"] and report["status"] != -signal.SIGKILL
        ):
            found.append(f"exit status {report['status']}")
        if report["status"] in (1, 255) and "level=error" not in said:
            found.append("no error said")
        status = self.ocirt("state", "c1")
        now = json.loads(status.out)["status"] if status.status == 0 else None
        if now not in self.verb.statuses:
            found.append(f"it is {now}")
        if now in self.verb.again:
            result = self.ocirt(*self.words(self.verb.again[now]))
            if result.status:
                found.append(f"{self.verb.again[now]}: {result}")
        found += self.cleared(clean)
        created = self.ocirt(*self.words(CREATE))
        found += [f"again: {created}"] * bool(created.status) + self.cleared(clean)
        return [f"{fault}, system call {call}: {each}; said {said}" for each in found], report["fired"]

    def cleared(self, clean):
        """What is wrong after `delete --force`."""
        deleted = self.ocirt("delete", "--force", "c1")
        Path(self.places["PIDFILE"]).unlink(missing_ok=True)
        return [f"delete --force: {deleted}"] * bool(deleted.status) + clean.found()


@pytest.fixture(autouse=True)
def orphans():
    with Adopted():
        yield


@pytest.mark.parametrize("name", VERBS)
def test_at_every_system_call(ocirt, bundle, tmp_path, name):
    everything(ocirt, bundle, tmp_path, name)


@pytest.mark.parametrize("name", ["create", "start", "delete"])
def test_with_hooks(ocirt, bundle, tmp_path, name):
    everything(ocirt, full(bundle), tmp_path, name)


UNLINKAT, SETXATTR = map(syscall_number, ("unlinkat", "setxattr"))


def at(calls, number, process=0):
    """The stops of a process that are at one system call."""
    return [stop for stop, call in enumerate(calls[process]) if call == number]


def test_each_removal_of_a_file(ocirt, bundle, tmp_path):
    """The last of delete's: the journal, and what is removed before and after it."""
    faults = Faults(ocirt, bundle, VERBS["delete"], tmp_path)
    faults.prepare()
    stops = at(faults.trace()[0]["calls"], UNLINKAT)
    clean = Leftovers(ocirt, bundle.path)
    assert len(stops) > 12
    wrong = [each for stop in stops[-14:] for each in faults.wrong((0, stop, 0), clean)[0]]
    assert not wrong, "\n".join(wrong)


OPEN_TREE, SETNS = map(syscall_number, ("open_tree", "setns"))
OF_THE_NAMESPACE = 10
"""System calls of init from the one that makes its mount namespace: until it has the rootfs and /dev/null in it."""


def test_while_init_makes_its_mount_namespace(ocirt, bundle, tmp_path):
    """The runtime or init is killed at each call. Since Linux 7.0 open_tree makes the namespace, with the rootfs alone in
    it, and init holds the host's until the mounts are made; an older kernel refuses, and init makes a copy of the host's.
    """
    faults = Faults(ocirt, bundle, VERBS["create"], tmp_path)
    for _ in range(2):  # the second time without Python
        calls = faults.trace()[0]["calls"]
        ocirt.ok("delete", "--force", "c1")
    init = next(process for process in range(1, len(calls)) if OPEN_TREE in calls[process])
    first = at(calls, OPEN_TREE, init)[0]
    stops = range(first, first + 2 * OF_THE_NAMESPACE)
    if tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= (7, 0):
        assert SETNS in calls[init][first : first + 2 * OF_THE_NAMESPACE]
    (tmp_path / "pid").unlink()
    clean = Leftovers(ocirt, bundle.path)
    found = [faults.wrong((init, stop, victim), clean) for stop in stops for victim in (0, init)]
    assert all(fired for _, fired in found)
    wrong = [each for said, _ in found for each in said]
    assert not wrong, "\n".join(wrong)


@pytest.mark.v1
def test_a_shared_parent_that_is_not_marked(ocirt, bundle, bundles, tmp_path):
    """Killed between mkdir of a cgroup above the container's and the mark on it that it is ours: the last container takes it away."""
    other = bundles("other")
    for each, name in ((bundle, "a"), (other, "b")):
        each.config["linux"]["cgroupsPath"] = f"{PARENT}/shared/{name}"
        each.save()
    faults = Faults(ocirt, bundle, VERBS["create"], tmp_path)
    faults.trace()
    ocirt.ok("delete", "--force", "c1")
    stops = at(faults.trace()[0]["calls"], SETXATTR)
    ocirt.ok("delete", "--force", "c1")
    assert stops and left_cgroups() == []
    for stop in stops[::3]:
        assert faults.trace(0, stop, 0)[0]["fired"]
        ocirt.ok("create", "--bundle", other, "c2")
        ocirt.ok("delete", "--force", "c1")
        ocirt.ok("delete", "--force", "c2")
        assert left_cgroups() == [], stop


def test_while_devices_move(network, bundle, place, tmp_path):
    """The runtime is killed while its helper moves a network device: that ends its work, and gives the device back."""
    case = Case(network, bundle, place, tmp_path)
    faults = Faults(network.ocirt, bundle, Verb(*map(str, case.create), statuses=ANY), tmp_path)
    calls = faults.trace()[0]["calls"]
    case.clear()
    helper = max(range(1, len(calls)), key=lambda each: len(calls[each]))
    assert len(calls[helper]) > 1000  # it is Python
    for part in (2, 5, 7, 8, 9):
        report, _ = faults.trace(helper, len(calls[helper]) * part // 10, 0)
        assert report["fired"]
        case.clear(cut_off=True)
        assert case.clean.found() == [], part


def everything(ocirt, bundle, tmp_path, name):
    if name.startswith("run"):
        bundle.args("true").save()
    (tmp_path / "pids").mkdir()
    faults = Faults(ocirt, bundle, VERBS[name], tmp_path / "pids")
    for _ in range(2):  # the second time without Python
        faults.prepare()
        calls = faults.trace()[0]["calls"]
        ocirt.ok("delete", "--force", "c1")
    (tmp_path / "pids/pid").unlink(missing_ok=True)
    clean, wrong, fired = Leftovers(ocirt, bundle.path, tmp_path / "pids"), [], 0
    plan = faults.plan(calls)
    for fault in plan:
        said, happened = faults.wrong(fault, clean)
        wrong += said
        fired += happened
        assert len(wrong) < 20, "\n".join(wrong)
    assert not wrong, f"{len(wrong)} of {len(plan)}:\n" + "\n".join(wrong)
    # A process may come to fewer calls than it did, if another is faster.
    assert fired > len(plan) * 0.8, (fired, len(plan))
