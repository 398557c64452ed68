"""The second container of a shape, and the second exec, execute no Python: what is executed is read from ptrace, by strace."""

import re

import pytest

from tests.engines.cell import Cell, until
from tests.engines.containerd import Containerd, container, sandbox
from tests.engines.docker import Docker
from tests.engines.installed import CRI_TOOLS
from tests.engines.podman import Podman
from tests.engines.test_cri import make, make_pod

STRACE = (
    "strace",
    "--output-append-mode",
    "--follow-forks",
    "--quiet=all",
    "--trace=execve,execveat",
    "--string-limit=200",
    "--output=/run/execs",
)


class Execs:
    """What has been executed in a cell since the last look. A daemon is traced from its start on; podman each time."""

    def __init__(self, cell):
        self.cell, self.seen, self.begun = cell, 0, {}

    def new(self):
        """:returns: lines of successful execs, the file and the arguments."""
        path = self.cell.path("/run/execs")
        with open(path) as file:
            file.seek(self.seen)
            text = file.read()
            self.seen = file.tell()
        done = []
        for line in text.splitlines():
            pid, _, call = line.partition(" ")
            if call.endswith("<unfinished ...>"):
                self.begun[pid] = call
            elif call.endswith("= 0"):
                done.append(self.begun.pop(pid, "") + call if "resumed>" in call else call)
        return done


def runtime_and_python(lines):
    """Verbs of ocirt that were executed, and lines with an interpreter."""
    verbs = [
        found[1]
        for line in lines
        if (found := re.search(r'execve\("/usr/local/bin/ocirt", .*"(create|start|delete|kill|exec|state)"', line))
    ]
    return verbs, [line for line in lines if re.search(r"execve(at)?\(.*python", line)]


class Traced:
    """An engine all of whose execs are recorded.

    :param pythons: how many programs are compiled for the first container.
    :param orders: in how many orders the engine writes the mounts of one request: a program each.
    :param verbs: verbs of ocirt that the engine is known to execute for one container.
    """

    def __init__(self, cell, pythons=1, orders=1, verbs=("create", "start", "delete")):
        self.cell, self.execs, self.pythons, self.orders, self.verbs = cell, Execs(cell), pythons, orders, verbs

    def container(self):
        """Run a container to its end."""
        raise NotImplementedError

    def begin(self):
        """Have a container that stays."""
        raise NotImplementedError

    def exec(self):
        """Execute a program in that."""
        raise NotImplementedError


class OfPodman(Traced):
    def __init__(self, cell, archives):
        Podman(cell, archives)
        cell.ok("sh", "-c", "rm -rf /run/ocirt-cache; touch /run/execs")
        super().__init__(cell, orders=5)

    def container(self):
        self.cell.ok(*STRACE, "podman", "run", "--rm", "--memory", "100m", "busybox", "true")

    def begin(self):
        self.cell.ok("podman", "run", "--detach", "--name", "c1", "busybox", "sleep", "300")

    def exec(self):
        self.cell.ok(*STRACE, "podman", "exec", "c1", "true")


class OfBuildah(Traced):
    def __init__(self, cell, archives):
        Podman(cell, archives)
        cell.write("/run/context/Dockerfile", "FROM localhost/busybox\nRUN true\n")
        cell.ok("sh", "-c", "rm -rf /run/ocirt-cache; touch /run/execs")
        super().__init__(cell, orders=5)

    def container(self):
        self.cell.ok(
            *STRACE,
            "buildah",
            "bud",
            "--no-cache",
            "--isolation",
            "oci",
            "/run/context",
            env={"BUILDAH_RUNTIME": "/usr/local/bin/ocirt"},
        )


class OfDocker(Traced):
    def __init__(self, cell, archives):
        self.docker = Docker(cell, archives, prefix=STRACE)
        super().__init__(cell)

    def container(self):
        self.docker.ok("run", "--rm", "--memory", "100m", "busybox", "true")

    def begin(self):
        self.docker.ok("run", "--detach", "--name", "c1", "busybox", "sleep", "300")

    def exec(self):
        self.docker.ok("exec", "c1", "true")


class OfContainerd(Traced):
    def __init__(self, cell, archives):
        self.ctr = Containerd(cell, archives, prefix=STRACE)
        super().__init__(cell)

    def container(self):
        result = self.ctr.run("--rm", "c1", "true")
        assert result.status == 0, result

    def begin(self):
        assert self.ctr.run("--detach", "c1", "sleep", "300").status == 0

    def exec(self):
        self.ctr.ok("tasks", "exec", "--exec-id", "e1", "c1", "true")


class OfCri(Traced):
    """A container is a whole pod: its sandbox and the container in it."""

    def __init__(self, cell, archives):
        self.cri = Containerd(cell, archives, crictl=CRI_TOOLS / "crictl", prefix=STRACE)
        super().__init__(cell, pythons=2)

    def container(self):
        pod, made = self._pod("true")
        until(lambda: "CONTAINER_EXITED" in self.cri.cri_ok("inspect", made), "its end")
        self.cri.cri_ok("stopp", pod)
        self.cri.cri_ok("rmp", pod)

    def begin(self):
        _, self.made = self._pod("sleep", "300")

    def exec(self):
        self.cri.cri_ok("exec", "--sync", self.made, "true")

    def _pod(self, *command):
        pod = make_pod(self.cri, sandbox("p1"))
        made = make(self.cri, pod, "p1", container("c1", *command))
        self.cri.cri_ok("start", made)
        return pod, made


ENGINES = {"podman": OfPodman, "buildah": OfBuildah, "docker": OfDocker, "containerd": OfContainerd, "cri": OfCri}


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, archives):
    with Cell(f"execs-{request.param}") as cell:
        yield ENGINES[request.param](cell, archives)


def check(execs, once, verbs, pythons, orders=1):
    """Do the same twice: Python compiles for the first time, and is not executed for the second; where an engine has
    ``orders`` for what it asks for, not for one in an order that it had before."""
    execs.new()
    once()
    first = runtime_and_python(execs.new())
    assert set(verbs) <= set(first[0]), first
    assert len(first[1]) == pythons, f"Python is expected {pythons} times: {first[1]}"
    for _ in range(orders):
        once()
        lines = execs.new()
        again = runtime_and_python(lines)
        assert set(verbs) <= set(again[0]), again
        if not again[1]:
            return
    raise AssertionError("\n".join(lines))


def test_second_container(engine):
    check(engine.execs, engine.container, engine.verbs, engine.pythons, engine.orders)


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "buildah"], indirect=True)
def test_second_exec(engine):
    engine.begin()
    check(engine.execs, engine.exec, ["exec"], 1)
