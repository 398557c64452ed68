"""What the pages on engines tell to write and to type does what it says, as printed: each file is the snippet and nothing else."""

import json
import re

import pytest

from tests.engines.cell import Cell, until
from tests.engines.containerd import Containerd, sandbox
from tests.engines.docker import SOCKET as DOCKER_SOCKET
from tests.engines.docker import SYSTEM_WIDE, Docker
from tests.engines.expected import OURS
from tests.engines.installed import CRI_TOOLS
from tests.engines.page import snippet
from tests.engines.podman import Podman


@pytest.fixture
def own_cell(request):
    """A cell of this test alone: what the snippets say, no other test has said before."""
    with Cell(f"page-{request.function.__name__.removeprefix('test_')}") as cell:
        yield cell


@OURS
def test_podman_for_one_container(own_cell, archives):
    Podman(own_cell, archives, "runc")
    assert own_cell.ok("sh", "-c", snippet("podman", "podman --runtime")) == "hello"


def test_podman_for_all(own_cell, archives, runtime):
    """The file is ocirt.conf of containers.conf.d, and Podman writes the snippet there."""
    podman = Podman(own_cell, archives, runtime)
    assert podman.ok("info", "--format", "{{.Host.OCIRuntime.Name}}") == runtime
    assert podman.ok("run", "--rm", "busybox", "echo", "hello") == "hello"


@OURS
def test_a_build(own_cell, archives):
    podman = Podman(own_cell, archives, "runc")
    own_cell.write(
        "/run/home/context/Dockerfile",
        'FROM localhost/busybox\nRUN cat /proc/1/comm > /data/page\nCMD ["cat", "/data/page"]\n',
    )
    own_cell.ok("sh", "-c", "cd /run/home/context\n" + snippet("buildah", "buildah bud"))
    assert podman.ok("run", "--rm", "app") == "cat"


@OURS
def test_docker_for_one_container(own_cell, archives):
    """Of a daemon with the file as printed but for its second line."""
    config = json.loads(SYSTEM_WIDE)
    del config["default-runtime"]
    docker = Docker(own_cell, archives, config=json.dumps(config))
    try:
        assert docker.ok("info", "--format", "{{.DefaultRuntime}}") == "runc"
        assert own_cell.ok("sh", "-c", snippet("Docker", "docker run"), env={"DOCKER_HOST": DOCKER_SOCKET}) == "hello"
    finally:
        docker.stop()


@OURS
def test_a_device_of_cdi(own_cell, archives):
    """The device, the mount, the variable and the hook of a CDI file, as docs/gpu.md has them."""
    Podman(own_cell, archives)
    own_cell.write("/etc/cdi/example.json", snippet("GPU", "cdiVersion"))
    own_cell.write("/etc/cdi/example-hook", "#!/bin/sh\ncat >/run/example-hook\n", mode=0o755)
    assert own_cell.ok("sh", "-c", snippet("GPU", "podman run")).split() == ["one", "/dev/example", "/opt/driver"]
    assert json.loads(own_cell.path("/run/example-hook").read_text())["pid"] > 0


def test_docker_for_all(own_cell, archives, runtime):
    """daemon.json is the snippet alone."""
    docker = Docker(own_cell, archives, runtime)
    try:
        assert docker.ok("info", "--format", "{{.DefaultRuntime}}") == runtime
        assert docker.ok("run", "--rm", "busybox", "echo", "hello") == "hello"
    finally:
        docker.stop()


@OURS
def test_ctr(own_cell, archives):
    containerd = Containerd(own_cell, archives, "runc")
    try:
        assert own_cell.ok("sh", "-c", snippet("containerd", "ctr run")) == "hello"
    finally:
        containerd.stop()


@pytest.fixture
def containerd_of_the_page(own_cell, archives, runtime):
    """containerd whose config.toml is the snippet alone; with runc as the runtime, the same with runc's names."""
    text = snippet("containerd", "version")
    if runtime == "runc":
        text = text.replace("/usr/local/bin/ocirt", "/usr/sbin/runc").replace("ocirt", "runc")
    containerd = Containerd(own_cell, archives, runtime, crictl=CRI_TOOLS / "crictl", config=text)
    yield containerd
    containerd.stop()


def test_containerd_reads_the_snippet(containerd_of_the_page, runtime):
    """containerd ignores what it does not understand, and says nothing: its CRI plugin is asked what it has understood."""
    found = json.loads(containerd_of_the_page.cri_ok("info"))["config"]["containerd"]
    assert found["defaultRuntimeName"] == runtime
    handler = found["runtimes"][runtime]
    assert (handler.get("runtimeType") or handler["type"], handler["options"]["BinaryName"]) == (
        "io.containerd.runc.v2",
        "/usr/local/bin/ocirt" if runtime == "ocirt" else "/usr/sbin/runc",
    )


@OURS
def test_the_whole_configuration_of_containerd_2(own_cell, archives):
    """The file that containerd 2 prints, with the snippet added and changed as the page says."""
    printed = own_cell.ok("containerd", "config", "default")
    if not printed.startswith("version = 3"):
        pytest.skip("an older containerd")
    handler = snippet("containerd", "version").split('default_runtime_name = "ocirt"\n')[1]
    config = "\n".join(
        (
            printed.replace("default_runtime_name = 'runc'", "default_runtime_name = 'ocirt'"),
            handler.replace("io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"),
        )
    )
    containerd = Containerd(own_cell, archives, crictl=CRI_TOOLS / "crictl", config=config)
    try:
        found = json.loads(containerd.cri_ok("info"))["config"]["containerd"]
    finally:
        containerd.stop()
    assert found["defaultRuntimeName"] == "ocirt"
    assert found["runtimes"]["ocirt"]["options"]["BinaryName"] == "/usr/local/bin/ocirt"


@pytest.mark.parametrize("flags", [(), ("--runtime", "ocirt")], ids=["default", "by name"])
def test_a_pod_by_the_snippet(containerd_of_the_page, runtime, flags):
    """A pod of the host's network, which needs no plugins of CNI; the image of its first process has the name that this containerd asks
    for."""
    containerd = containerd_of_the_page
    image = re.search(r"""sandbox(?:_image)? = ['"]([^'"]+)""", containerd.cell.ok("containerd", "config", "dump"))[1]
    containerd.ok("--namespace", "k8s.io", "images", "tag", "localhost/pause:latest", image)
    containerd.cell.write(
        "/run/pod.json", json.dumps(sandbox("p1", linux={"security_context": {"namespace_options": {"network": 2}}}))
    )
    flags = [runtime if word == "ocirt" else word for word in flags]
    pod = containerd.cri_ok("runp", *flags, "/run/pod.json")
    info = json.loads(containerd.cri_ok("inspectp", pod))["info"]
    assert info["runtimeOptions"]["binary_name"] == ("/usr/local/bin/ocirt" if runtime == "ocirt" else "/usr/sbin/runc")
    containerd.clean()
    until(lambda: not containerd.ok("--namespace", "k8s.io", "tasks", "list", "--quiet"), "the pod's end")
