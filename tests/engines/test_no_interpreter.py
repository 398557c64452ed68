"""The second container of a shape executes no Python: what is executed is read from ptrace, by strace."""

import re

from tests.engines.cell import Cell, until
from tests.engines.installed import KEPT
from tests.engines.containerd import Containerd, container, sandbox
from tests.engines.docker import Docker
from tests.engines.podman import Podman
from tests.engines.test_cri import make, make_pod

STRACE = ("strace", "--output-append-mode", "--follow-forks", "--quiet=all", "--trace=execve,execveat", "--string-limit=200", "--output=/run/execs")


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
    verbs = [found[1] for line in lines if (found := re.search(r'execve\("/usr/local/bin/ocirt", .*"(create|start|delete|kill|exec|state)"', line))]
    return verbs, [line for line in lines if re.search(r'execve(at)?\(.*python', line)]


def check(execs, once, verbs):
    """The first container is compiled, by Python; the second is not, nor any other verb of either.

    :param once: runs a container to its end.
    :param verbs: verbs of ocirt that the engine is known to execute for one.
    """
    execs.new()
    once()
    first = runtime_and_python(execs.new())
    once()
    lines = execs.new()
    second = runtime_and_python(lines)
    assert set(verbs) <= set(first[0]) and set(verbs) <= set(second[0]), (first, second)
    assert len(first[1]) == 1, f"Python is expected once, in create: {first[1]}"
    assert second[1] == [], "\n".join(lines)


def test_podman(archives):
    with Cell("execs-podman") as cell:
        Podman(cell, archives)
        cell.ok("sh", "-c", "rm -rf /run/ocirt-cache /run/execs; touch /run/execs")
        execs = Execs(cell)
        check(execs, lambda: cell.ok(*STRACE, "podman", "run", "--rm", "--memory", "100m", "busybox", "true"),
              ["create", "start", "delete"])


def test_buildah(archives):
    with Cell("execs-buildah") as cell:
        Podman(cell, archives)
        cell.write("/run/context/Dockerfile", "FROM localhost/busybox\nRUN true\n")
        cell.ok("sh", "-c", "rm -rf /run/ocirt-cache /run/execs; touch /run/execs")
        execs = Execs(cell)
        check(execs, lambda: cell.ok(*STRACE, "buildah", "bud", "--no-cache", "--isolation", "oci", "/run/context",
                                     env={"BUILDAH_RUNTIME": "/usr/local/bin/ocirt"}), ["create", "start", "delete"])


def test_docker(archives):
    with Cell("execs-docker") as cell:
        docker = Docker(cell, archives, prefix=STRACE)
        check(Execs(cell), lambda: docker.ok("run", "--rm", "--memory", "100m", "busybox", "true"), ["create", "start", "delete"])


def test_containerd(archives):
    with Cell("execs-ctr") as cell:
        ctr = Containerd(cell, archives, prefix=STRACE)
        check(Execs(cell), lambda: ctr.run("--rm", "c1", "true"), ["create", "start", "delete"])


def test_cri(archives):
    """The second pod as a whole: its sandbox and its container."""
    with Cell("execs-cri") as cell:
        cri = Containerd(cell, archives, crictl=KEPT / "bin/crictl", prefix=STRACE)
        execs = Execs(cell)

        def once():
            pod = make_pod(cri, sandbox("p1"))
            cri.cri_ok("start", made := make(cri, pod, "p1", container("c1", "true")))
            until(lambda: "CONTAINER_EXITED" in cri.cri_ok("inspect", made), "its end")
            cri.cri_ok("stopp", pod)
            cri.cri_ok("rmp", pod)

        once()
        assert len(runtime_and_python(execs.new())[1]) == 2  # two shapes
        once()
        lines = execs.new()
        verbs, python = runtime_and_python(lines)
        assert verbs.count("create") == verbs.count("start") == 2 and python == [], "\n".join(lines)


def test_exec(archives):
    with Cell("execs-exec") as cell:
        podman = Podman(cell, archives)
        podman.ok("run", "--detach", "--name", "c1", "busybox", "sleep", "300")
        cell.ok("sh", "-c", "rm -rf /run/execs; touch /run/execs")
        execs = Execs(cell)
        check(execs, lambda: cell.ok(*STRACE, "podman", "exec", "c1", "true"), ["exec"])
