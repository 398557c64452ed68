"""buildah and podman build with ocirt doing RUN."""

import json

import pytest

from tests.engines.podman import Podman
from tests.engines.registry import Registry

ISOLATION = ("--isolation", "oci")
DOCKERFILE = """\
FROM localhost/busybox
ENV WORD=built
RUN echo $WORD > /data/page && chown guest /data/page && cat /proc/1/cmdline | tr '\\0' ' ' > /data/command
COPY page /data/copied
EXPOSE 80
WORKDIR /data
USER guest
CMD ["cat", "page", "copied"]
"""
SECOND = """\
FROM localhost/built
USER root
RUN rm /data/page
CMD ["ls", "/data"]
"""


@pytest.fixture(scope="module")
def engine(cell, archives, runtime):
    return Podman(cell, archives, runtime)


@pytest.fixture
def podman(engine, nothing_left):
    engine.cell.write("/run/context/Dockerfile", DOCKERFILE)
    engine.cell.write("/run/context/page", "copied\n")
    engine.cell.write("/run/second/Dockerfile", SECOND)
    before = engine.cell.left()
    yield engine
    engine.clean()
    engine("rmi", "--force", "built", "second", "127.0.0.1:5000/app:v2")
    nothing_left(engine.cell, before)


@pytest.fixture
def buildah(podman):
    """buildah, told by its own variable which runtime does RUN."""

    def run(*words, runtime=f"/usr/local/bin/{podman.runtime}" if podman.runtime == "ocirt" else "runc", **more):
        return podman.cell("buildah", *words, env={"BUILDAH_RUNTIME": runtime}, **more)

    return run


def test_bud(podman, buildah):
    result = buildah("bud", *ISOLATION, "--tag", "built", "/run/context")
    assert result.status == 0, result
    assert podman.ok("run", "--rm", "built") == "built\ncopied"
    image = json.loads(podman.ok("image", "inspect", "built"))[0]
    assert (
        image["Config"]["ExposedPorts"] == {"80/tcp": {}}
        and image["Config"]["User"] == "guest"
        and image["Config"]["WorkingDir"] == "/data"
    )


def test_it_is_the_runtime_that_was_named(buildah):
    result = buildah("bud", *ISOLATION, "--tag", "built", "/run/context", runtime="/no/such/runtime")
    assert result.status != 0 and "/no/such/runtime" in result.err, result


def test_a_step_that_fails(podman, buildah):
    podman.cell.write("/run/failing/Dockerfile", "FROM localhost/busybox\nRUN echo said; exit 7\n")
    result = buildah("bud", *ISOLATION, "/run/failing")
    assert result.status == 7 and "said" in result.out, result
    podman.cell.write("/run/failing/Dockerfile", 'FROM localhost/busybox\nRUN ["/no/such"]\n')
    result = buildah("bud", *ISOLATION, "/run/failing")
    assert result.status != 0 and "no such file or directory" in result.err, result


def test_run_in_a_working_container(podman, buildah):
    name = buildah("from", "localhost/busybox").out.strip()
    assert (
        buildah(
            "run",
            *ISOLATION,
            "--user",
            "guest",
            "--volume",
            "/run/context:/mnt:ro",
            name,
            "sh",
            "-c",
            "id -un; cat /mnt/page",
        ).out
        == "guest\ncopied\n"
    )
    result = buildah("run", *ISOLATION, "--terminal=false", name, "sh", "-c", "echo new > /data/new; exit 3")
    assert result.status == 3, result
    assert buildah("commit", name, "built").status == 0
    assert podman.ok("run", "--rm", "built", "cat", "/data/new") == "new"
    assert buildah("rm", name).status == 0


def test_run_with_a_terminal(podman, buildah):
    name = buildah("from", "localhost/busybox").out.strip()
    runtime = "/usr/local/bin/ocirt" if podman.runtime == "ocirt" else "runc"
    result = podman.cell.terminal(
        "buildah", "run", *ISOLATION, "--tty", name, "sh", "-c", "tty; exit 3", env={"BUILDAH_RUNTIME": runtime}
    )
    assert result.status == 3 and "/dev/pts/0" in result.out, result
    buildah("rm", name)


def test_podman_build_with_a_cache(podman):
    """podman build follows podman's runtime."""
    assert "Using cache" not in podman.ok("build", *ISOLATION, "--layers", "--tag", "built", "/run/context")
    assert "Using cache" in podman.ok("build", *ISOLATION, "--layers", "--tag", "built", "/run/context")
    assert podman.ok("run", "--rm", "built") == "built\ncopied"


def test_limits_while_building(podman, buildah):
    podman.cell.write(
        "/run/limited/Dockerfile", "FROM localhost/busybox\nRUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes\n"
    )
    result = buildah("bud", *ISOLATION, "--memory", "100m", "--cgroup-parent", "/build", "/run/limited")
    assert result.status == 0 and str(100 << 20) in result.out, result
    podman.cell("sh", "-c", "rmdir /sys/fs/cgroup/*/build")


def test_images_share_their_layers(podman, buildah):
    for name, folder in (("built", "/run/context"), ("second", "/run/second")):
        assert buildah("bud", *ISOLATION, "--layers", "--tag", name, folder).status == 0
    layers = {
        name: json.loads(podman.ok("image", "inspect", name))[0]["RootFS"]["Layers"]
        for name in ("localhost/busybox", "built", "second")
    }
    assert (
        layers["second"][: len(layers["built"])] == layers["built"]
        and layers["built"][:1] == layers["localhost/busybox"]
    )
    store = podman.cell.path("/var/lib/containers/storage/overlay")
    folders = {path.name for path in store.iterdir() if len(path.name) == 64}
    kept = json.loads(podman.cell.path("/var/lib/containers/storage/overlay-layers/layers.json").read_text())
    assert folders == {layer["id"] for layer in kept}  # one folder a layer, however many images have it
    assert podman.ok("run", "--rm", "second").split() == ["command", "copied"]


def test_commit_push_pull(podman):
    podman.ok(
        "run",
        "--detach",
        "--name",
        "c1",
        "busybox",
        "sh",
        "-c",
        "echo v2 > /data/version; touch /data/done; exec sleep 300",
    )
    podman.cell.ok("sh", "-c", f"until [ -e /proc/{podman.pid('c1')}/root/data/done ]; do sleep 0.1; done")
    podman.ok("commit", "--quiet", "c1", "127.0.0.1:5000/app:v2")
    with Registry(podman.cell):
        podman.ok("push", "--tls-verify=false", "127.0.0.1:5000/app:v2")
        podman.ok("rmi", "127.0.0.1:5000/app:v2")
        podman.ok("pull", "--tls-verify=false", "127.0.0.1:5000/app:v2")
        assert podman.ok("run", "--rm", "127.0.0.1:5000/app:v2", "cat", "/data/version") == "v2"
