"""Images of a user without root's rights: all files are the user's, and layers hide what is below them all the same."""

import os
import tarfile

import pytest

from tests.images import Layout, directory, entry, layer
from tests.integration.harness import UID

pytestmark = pytest.mark.rootless
NAME = "example.org/tool:1"
NO_CGROUPS = ("--cgroup-manager", "disabled")
"""A config that is made from an image cannot name a cgroup of the tests' own."""


@pytest.fixture
def store(user, tmp_path, image):
    """A store of the user's, with one image."""
    busybox = (image / "bin/busybox").read_bytes()
    links = [
        entry(f"bin/{name}", type=tarfile.SYMTYPE, link="busybox")
        for name in ("sh", "id", "ls", "touch", "stat", "rm", "mkdir")
    ]
    layout = Layout(tmp_path / "home/layout").image(
        layer(
            directory("bin"),
            entry("bin/busybox", busybox, mode=0o755, uid=3),
            *links,
            directory("etc", uid=5),
            entry("etc/passwd", b"me:x:7:8::/:\n"),
            entry("etc/old"),
            directory("full"),
            entry("full/old"),
            directory("closed", 0o500),
            entry("closed/x", mode=0),
        ),
        layer(entry("etc/.wh.old"), directory("full"), entry("full/.wh..wh..opq"), entry("full/new")),
        name=NAME,
        config={"Env": ["PATH=/bin"], "Entrypoint": ["sh", "-c"], "User": "me"},
    )
    place = tmp_path / "home/store"
    assert user.ok("load", "--store", place, layout).out == f"{NAME}\n"
    return place


def test_an_image_of_a_user(user, store):
    assert {os.lstat(path).st_uid for path in store.glob("layers/*/*")} == {UID}
    done = user.ok(
        *NO_CGROUPS,
        "run",
        "--image",
        NAME,
        "--store",
        store,
        "c1",
        "id -u; id -g; ls /etc /full; touch /full/x; stat -c %u /etc",
    )
    assert done.out == "0\n0\n/etc:\npasswd\n\n/full:\nnew\n0\n"
    assert os.listdir(store / "containers") == []


def test_a_directory_is_opaque_again(user, store):
    """What a container removes and makes again hides what is below, in its upper directory, too."""
    done = user.ok(
        *NO_CGROUPS,
        "run",
        "--image",
        NAME,
        "--store",
        store,
        "c1",
        "rm -r /full; mkdir /full; touch /full/own; ls /full",
    )
    assert done.out == "own\n"


def test_a_users_image_is_removed(user, store):
    """Directories that not even their owner may write."""
    user.ok("rmi", "--store", store, NAME)
    assert os.listdir(store / "layers") == os.listdir(store / "blobs/sha256") == []


def test_a_bundle_of_a_user(user, store, tmp_path):
    user.ok("bundle", "--store", store, NAME, tmp_path / "home/of-image")
    assert os.listdir(tmp_path / "home/of-image/rootfs/full") == ["new"]
