"""One container's life under each engine: a part of the ordinary `hack/test`. The rest of this folder is `hack/test --engines`."""

import shutil

import pytest

from tests.engines.cell import Cell, until
from tests.engines.containerd import Containerd
from tests.engines.docker import Docker
from tests.engines.podman import Podman

MEMORY = 100 << 20


class Life:
    """One engine's words for a container c1.

    :param run: runs it: flags, then its command.
    :param limited: flags: detached, with 100 MB of memory.
    """

    def __init__(self, engine, run, limited, kill=("kill", "c1"), exec=("exec", "c1")):
        self.engine, self.run, self.limited, self.kill, self.exec = engine, run, limited, kill, exec


def podman(*setup):
    engine = Podman(*setup)
    return Life(
        engine,
        lambda flags, *words: engine("run", *flags, "--name", "c1", "busybox", *words),
        ("--detach", "--memory=100m"),
    )


def docker(*setup):
    engine = Docker(*setup)
    return Life(
        engine,
        lambda flags, *words: engine("run", *flags, "--name", "c1", "busybox", *words),
        ("--detach", "--memory=100m"),
    )


def containerd(*setup):
    engine = Containerd(*setup)
    return Life(
        engine,
        lambda flags, *words: engine.run(*flags, "c1", *words),
        ("--detach", f"--memory-limit={MEMORY}"),
        ("tasks", "kill", "--signal", "KILL", "c1"),
        ("tasks", "exec", "--exec-id", "e1", "c1"),
    )


@pytest.fixture(scope="module", params=[podman, docker, containerd], ids=lambda engine: engine.__name__)
def life(request, archives, runtime):
    with Cell(f"smoke-{request.param.__name__}") as cell:
        yield request.param(cell, archives, runtime)


def test_a_container(life, nothing_left):
    """It runs, is limited, is killed, and nothing is left."""
    engine = life.engine
    before = engine.cell.left()
    result = life.run(["--rm"], "sh", "-c", "echo out; exit 7")
    assert (result.status, result.out) == (7, "out\n"), result
    assert life.run(life.limited, "sleep", "300").status == 0
    pid = engine.pid("c1")
    assert engine.cgroup("c1", "memory", "memory.limit_in_bytes") == str(MEMORY)
    engine.ok(*life.kill)
    until(lambda: pid not in engine.cell.processes(), "the container's end")
    engine.clean()
    nothing_left(engine.cell, before)


def test_exec(life):
    assert life.run(life.limited, "sleep", "300").status == 0
    try:
        result = life.engine(*life.exec, "sh", "-c", "echo $PWD; exit 4")
        assert (result.status, result.out) == (4, "/\n"), result
    finally:
        life.engine.clean()


@pytest.mark.parametrize("life", [podman], indirect=True, ids=["buildah"])
def test_a_build(life, nothing_left):
    """buildah, beside podman, whose storage it shares."""
    engine = life.engine
    before = engine.cell.left()
    engine.cell.write(
        "/run/context/Dockerfile", 'FROM localhost/busybox\nRUN echo built > /data/page\nCMD ["cat", "/data/page"]\n'
    )
    runtime = shutil.which(engine.runtime, path="/usr/local/bin:/usr/sbin")
    engine.cell.ok(
        "buildah", "bud", "--isolation", "oci", "--tag", "built", "/run/context", env={"BUILDAH_RUNTIME": runtime}
    )
    assert engine.ok("run", "--rm", "built") == "built"
    engine.ok("rmi", "built")
    nothing_left(engine.cell, before)
