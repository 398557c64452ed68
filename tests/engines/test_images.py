"""Images that podman, buildah, skopeo and docker have made, loaded and run by ocirt alone; and what ocirt makes and
pushes, as they read it. The fixtures do not choose a runtime, so that no failure here is that of an engine.
"""

import json

import pytest

from tests.engines.cell import Cell
from tests.engines.docker import Docker
from tests.engines.installed import TREE
from tests.engines.podman import Podman
from tests.engines.registry import Registry

OCIRT = TREE / "build/bin/ocirt"
"""The build of the tree, whose interpreter has the packages of ``ocirt[images]``."""
NAME = "localhost/made:1"
HOST = "127.0.0.1:5000"
SCRIPT = "echo $COLOR; id -u; pwd; cat /new; ls /gone /full"
SEEN = sorted(["blue", "1000", "/full", "new", "ls: /gone: No such file or directory", "/full:", "own"])
FILE = (
    "FROM localhost/busybox\n"
    "RUN mkdir /full && touch /full/old /gone && echo me:x:1000:1000::/:/bin/sh >>/etc/passwd\n"
    "RUN rm -r /gone /full && mkdir /full && touch /full/own && echo new >/new\n"
    f'ENV COLOR=blue\nUSER me\nWORKDIR /full\nENTRYPOINT ["sh", "-c"]\nCMD ["{SCRIPT}"]\n'
)
"""An image of three layers, the last of which removes what the second one has made."""


class Store:
    """ocirt with a store of its own in a cell."""

    def __init__(self, cell, path="/run/store"):
        self.cell, self.path = cell, path
        cell.ok("rm", "-rf", path)

    def __call__(self, verb, *words):
        return self.cell(OCIRT, verb, "--store", self.path, *words)

    def ok(self, verb, *words):
        return self.cell.ok(OCIRT, verb, "--store", self.path, *words)

    def files(self, *names):
        return sorted(path.name for path in self.cell.path("/".join([self.path, *names])).iterdir())


def runs(store, name):
    """Does the image do what it is made for?"""
    done = store("run", "--image", name, "c1")
    assert sorted((done.out + done.err).splitlines()) == SEEN, done


@pytest.fixture(scope="module")
def podman(archives):
    with Cell("images") as cell:
        engine = Podman(cell, archives)
        cell.write("/run/context/Containerfile", FILE)
        cell.ok("buildah", "bud", "--isolation=chroot", "--layers", "--tag", NAME, "/run/context")
        yield engine


@pytest.fixture
def store(podman):
    podman.cell.ok("rm", "-rf", "/run/saved", "/run/saved.tar")
    return Store(podman.cell)


SOURCES = {
    "podman-docker-archive": ("podman", "save", "--format", "docker-archive", "-o", "/run/saved", NAME),
    "podman-oci-archive": ("podman", "save", "--format", "oci-archive", "-o", "/run/saved", NAME),
    "podman-oci-dir": ("podman", "save", "--format", "oci-dir", "-o", "/run/saved", NAME),
    "buildah-oci": ("buildah", "push", NAME, "oci:/run/saved:some"),
    "buildah-docker-archive": ("buildah", "push", NAME, f"docker-archive:/run/saved:{NAME}"),
    "skopeo-oci-archive": ("skopeo", "copy", f"containers-storage:{NAME}", "oci-archive:/run/saved:some"),
    "skopeo-zstd": (
        "skopeo",
        "copy",
        "--dest-compress-format=zstd",
        f"containers-storage:{NAME}",
        "oci:/run/saved:some",
    ),
}


@pytest.mark.parametrize("made", SOURCES)
def test_an_image_of_another_tool(podman, store, made):
    podman.cell.ok(*SOURCES[made])
    store.ok("load", "--name", NAME, "/run/saved")
    runs(store, NAME)


def test_an_archive_of_two_images(podman, store):
    podman.cell.ok("podman", "save", "--multi-image-archive", "-o", "/run/saved", NAME, "localhost/busybox")
    assert "choose one by its name" in store("load", "/run/saved").err
    assert store.ok("load", "--reference", NAME, "/run/saved") == NAME
    runs(store, NAME)
    assert store.ok("load", "--reference", "localhost/busybox", "/run/saved") == "localhost/busybox:latest"
    assert len(store.files("layers")) == 3  # busybox is the lowest layer of the other image


def test_others_read_the_store(podman, store):
    cell = podman.cell
    cell.ok(*SOURCES["podman-oci-archive"])
    store.ok("load", "/run/saved")
    found = json.loads(cell.ok("skopeo", "inspect", "--config", f"oci:{store.path}:{NAME}"))
    assert found["config"]["User"] == "me"
    cell.ok("skopeo", "copy", f"oci:{store.path}:{NAME}", "docker-archive:/run/saved.tar:localhost/copied:1")
    cell.ok("podman", "load", "-i", "/run/saved.tar")
    done = cell("podman", "run", "--rm", "localhost/copied:1")
    assert sorted((done.out + done.err).splitlines()) == SEEN


def digests(cell, name):
    """The digests of a registry's manifest and of what it names."""
    whole = cell.ok("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{HOST}/{name}")
    found = json.loads(whole)
    return [each["digest"] for each in (found["config"], *found["layers"])]


def test_a_commit_goes_to_podman_and_back(podman, store):
    """Base layers are the same ones in the registry and in podman's storage, and exist once in each store."""
    cell = podman.cell
    with Registry(cell):
        cell.ok("podman", "push", NAME, f"{HOST}/made:1")
        base = store.ok("pull", "--insecure", f"{HOST}/made:1")
        assert base == cell.ok(
            "skopeo", "inspect", "--tls-verify=false", "--format={{.Digest}}", f"docker://{HOST}/made:1"
        )
        script = "rm /new; mkdir /full/sub; echo two >/full/sub/two; ln /full/sub/two /full/hard; chmod 4755 /full/own"
        store.ok("run", "--image", f"{HOST}/made:1", "--keep", "--user=0", "c1", script)
        store.ok("commit", "--change", "ENV COLOR=red", "c1", "tool:2")
        cell.ok(OCIRT, "delete", "c1")
        assert len(store.files("layers")) == 4
        store.ok("push", "--insecure", "tool:2", f"{HOST}/tool:2")
        assert digests(cell, "tool:2")[1:-1] == digests(cell, "made:1")[1:]

        cell.ok("podman", "pull", f"{HOST}/tool:2")
        listing = "echo $COLOR; cd /full; cat /new; find . -exec stat -c '%n %a %u %h' {} + | sort; cat sub/two"
        from_podman = cell("podman", "run", "--rm", "--user=0", f"{HOST}/tool:2", listing)
        from_ocirt = store("run", "--image", "tool:2", "--user=0", "c2", listing)
        assert from_podman.out == from_ocirt.out and from_podman.err == from_ocirt.err
        assert "red\n" in from_ocirt.out and "./own 4755 0 1" in from_ocirt.out and "./hard 644 0 2" in from_ocirt.out

        other = Store(cell, "/run/other")
        other.ok("pull", "--insecure", f"{HOST}/made:1")
        known = set(other.files("blobs/sha256"))
        other.ok("pull", "--insecure", f"{HOST}/tool:2")
        new = set(other.files("blobs/sha256")) - known
        assert len(new) == 3  # a manifest, a config and one layer
        assert other.files("layers") == store.files("layers")

        # The digest is that of ocirt's manifest everywhere, also after podman has pushed it.
        digest = other.ok("pull", "--insecure", f"{HOST}/tool:2")
        cell.ok(
            "skopeo",
            "copy",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            f"docker://{HOST}/tool:2",
            f"docker://{HOST}/copy:2",
        )
        assert other.ok("pull", "--insecure", f"{HOST}/copy:2") == digest


@pytest.fixture(scope="module")
def docker(archives):
    with Cell("images-docker") as cell:
        engine = Docker(cell, archives)
        cell.write("/run/context/Dockerfile", FILE)
        cell.write("/run/context/.dockerignore", "")
        engine.ok("build", "--network=none", "--tag", "made:1", "/run/context", env={"DOCKER_BUILDKIT": "0"})
        yield engine
        engine.stop()


def test_docker_save(docker):
    """The layout of the docker that is there: that of its own before 25, and then also one of OCI."""
    store = Store(docker.cell)
    docker.ok("save", "--output", "/run/one.tar", "made:1")
    assert store.ok("load", "/run/one.tar") == "docker.io/library/made:1"
    runs(store, "made:1")
    docker.ok("tag", "made:1", "made:again")
    docker.ok("save", "--output", "/run/two-names.tar", "made:1", "made:again")
    store.ok("load", "/run/two-names.tar")
    assert set(store.ok("images", "--quiet").splitlines()) == {
        "docker.io/library/made:1",
        "docker.io/library/made:again",
    }
    docker.ok("save", "--output", "/run/two.tar", "made:1", "busybox")
    assert "choose one by its name" in store("load", "/run/two.tar").err
    assert store.ok("load", "--reference", "made:1", "/run/two.tar")
    runs(store, "made:1")


def test_docker_and_ocirt_share_a_registry(docker):
    cell, store = docker.cell, Store(docker.cell)
    with Registry(cell):
        docker.ok("tag", "made:1", f"{HOST}/made:1")
        docker.ok("push", f"{HOST}/made:1")
        store.ok("pull", "--insecure", f"{HOST}/made:1")
        runs(store, f"{HOST}/made:1")
        store.ok("run", "--image", f"{HOST}/made:1", "--keep", "--user=0", "c1", "rm /new; echo 2 >/two")
        store.ok("commit", "c1", f"{HOST}/tool:2")
        cell.ok(OCIRT, "delete", "c1")
        store.ok("push", "--insecure", f"{HOST}/tool:2")
        docker.ok("pull", f"{HOST}/tool:2")
        done = docker("run", "--rm", f"{HOST}/tool:2", "cat /two; ls /new")
        assert done.out == "2\n" and "/new: No such file" in done.err
