"""Images that podman, buildah and skopeo have made, loaded and run by ocirt alone, and ocirt's store as they read it."""

import json

import pytest

from tests.engines.cell import Cell
from tests.engines.podman import Podman

NAME = "localhost/made:1"
SCRIPT = "echo $COLOR; id -u; pwd; cat /new; ls /gone /full"
SEEN = ["blue", "1000", "/full", "new", "ls: /gone: No such file or directory", "/full:", "own"]


@pytest.fixture(scope="module")
def podman(archives, runtime):
    """podman with an image of three layers, the last of which removes what the second one has made."""
    with Cell("images") as cell:
        engine = Podman(cell, archives, runtime)
        cell.write(
            "/run/context/Containerfile",
            "FROM localhost/busybox\n"
            "RUN mkdir /full && touch /full/old /gone && echo guest:x:1000:1000::/:/bin/sh >>/etc/passwd\n"
            "RUN rm -r /gone /full && mkdir /full && touch /full/own && echo new >/new\n"
            f'ENV COLOR=blue\nUSER guest\nWORKDIR /full\nENTRYPOINT ["sh", "-c"]\nCMD ["{SCRIPT}"]\n',
        )
        cell.ok("buildah", "bud", "--isolation=chroot", "--layers", "--tag", NAME, "/run/context")
        yield engine


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
def test_an_image_of_another_tool(podman, made):
    cell = podman.cell
    cell.ok("rm", "-rf", "/run/saved", "/run/store")
    cell.ok(*SOURCES[made])
    cell.ok("/usr/local/bin/ocirt", "load", "--store", "/run/store", "--name", NAME, "/run/saved")
    done = cell("/usr/local/bin/ocirt", "run", "--store", "/run/store", "--image", NAME, "c1")
    assert (done.out + done.err).split("\n") == SEEN or sorted((done.out + "\n" + done.err).split("\n")) == sorted(SEEN)


def test_others_read_the_store(podman):
    cell = podman.cell
    cell.ok("rm", "-rf", "/run/saved", "/run/store")
    cell.ok(*SOURCES["podman-oci-archive"])
    cell.ok("/usr/local/bin/ocirt", "load", "--store", "/run/store", "/run/saved")
    found = json.loads(cell.ok("skopeo", "inspect", "--config", f"oci:/run/store:{NAME}"))
    assert found["config"]["User"] == "guest"
