"""The verbs on images: load, images, run --image, bundle, rmi, prune."""

import json
import os
import shutil
import subprocess
import tarfile

import pytest

from tests.images import Layout, directory, entry, layer
from tests.integration.harness import LIMIT, cgroups_path, remove_cgroups
from tests.integration.registry import fake_registry
from tests.processor import ENGINES_NAME

NAME = "example.org/tool:1"
NO_CGROUPS = ("--cgroup-manager", "disabled")
"""A config that is made from an image cannot name a cgroup of the tests' own."""


@pytest.fixture
def layout(tmp_path, image):
    """An image of two layers with busybox, of which the upper one removes a file of the lower one."""
    busybox = (image / "bin/busybox").read_bytes()
    made = Layout(tmp_path / "layout")
    links = [
        entry(f"bin/{name}", type=tarfile.SYMTYPE, link="busybox")
        for name in ("sh", "cat", "id", "ls", "touch", "echo", "pwd")
    ]
    made.image(
        layer(
            directory("bin"),
            entry("bin/busybox", busybox, mode=0o755),
            *links,
            directory("etc"),
            entry("etc/passwd", b"root:x:0:0::/root:/bin/sh\nme:x:7:8::/home:/bin/sh\n"),
            entry("etc/group", b"staff:x:9:me\n"),
            entry("etc/old", b"old"),
            directory("data", 0o777),
            directory("full"),
            entry("full/old"),
        ),
        layer(
            entry("etc/.wh.old"),
            entry("etc/new", b"new\n"),
            directory("full"),
            entry("full/.wh..wh..opq"),
            entry("full/new"),
        ),
        name=NAME,
        config={
            "Env": ["COLOR=red", "PATH=/bin"],
            "Entrypoint": ["sh", "-c"],
            "Cmd": ["echo $COLOR; id -u; id -G; pwd; cat /etc/new; ls /etc /full"],
            "User": "me",
            "WorkingDir": "/data",
            "Volumes": {"/full": {}, "/made/here": {}},
        },
    )
    return made


SEEN = "red\n7\n8 9\n/data\nnew\n/etc:\ngroup\nnew\npasswd\n\n/full:\nnew\n"


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def loaded(ocirt, layout, store):
    assert ocirt.ok("load", "--store", store, layout.path).out == f"{NAME}\n"
    return store


def test_an_image_runs(ocirt, loaded):
    assert ocirt.ok(*NO_CGROUPS, "run", "--image", NAME, "--store", loaded, "c1").out == SEEN
    assert os.listdir(loaded / "containers") == []  # its writable layer has ended with it


def test_what_is_left_out_is_a_line_of_the_log(ocirt, store, tmp_path):
    """And no text of Python's with the place in its source."""
    made = Layout(tmp_path / "devices")
    node = entry("null", type=tarfile.CHRTYPE, device=(1, 3))
    made.image(layer(node), name=NAME, platform={"os": "linux", "architecture": "s390x"})
    lines = ocirt.ok("load", "--store", store, made.path).err.splitlines()
    assert len(lines) == 2 and all("level=warning msg=" in each for each in lines)
    assert "found an image for linux/s390x" in lines[0] and "left out 1 device nodes" in lines[1]


def test_a_command_replaces_the_images(ocirt, loaded):
    """What follows the id is the command's, flags included."""
    done = ocirt.ok(
        *NO_CGROUPS,
        "run",
        "--store",
        loaded,
        "--image",
        NAME,
        "-e",
        "COLOR=blue",
        "--user=0:5",
        "c1",
        "echo $COLOR $0; id -u; id -g",
        "-x",
    )
    assert done.out == "blue -x\n0\n5\n"


def test_what_a_container_writes_is_its_own(ocirt, loaded):
    for _ in range(2):
        done = ocirt.ok(
            *NO_CGROUPS, "run", "--image", NAME, "--store", loaded, "c1", "ls /data; touch /data/x; ls /data"
        )
        assert done.out == "x\n"


def test_volumes_are_no_part_of_the_layer(ocirt, loaded):
    """They begin with what the image has there."""
    done = ocirt.ok(
        *NO_CGROUPS,
        "run",
        "--keep",
        "--image",
        NAME,
        "--store",
        loaded,
        "--user=0",
        "c1",
        "touch /full/x /made/here/y; ls /full /made/here",
    )
    assert done.out == "/full:\nnew\nx\n\n/made/here:\ny\n"
    (folder,) = (loaded / "containers").iterdir()
    assert not any(name in ("x", "y") for _, _, files in os.walk(folder / "upper") for name in files)
    assert len(list((folder / "volumes").glob("*/upper/*"))) == 2
    ocirt.ok("delete", "c1")
    assert os.listdir(loaded / "containers") == []


def test_what_is_left_of_a_container_is_removed(ocirt, loaded):
    """A container whose state is gone without a delete: after a boot, for example."""
    ocirt.ok(*NO_CGROUPS, "run", "--keep", "--image", NAME, "--store", loaded, "c1", "true")
    shutil.rmtree(ocirt.root / "c1")
    assert os.listdir(loaded / "containers") == ["c1"]
    ocirt.ok(*NO_CGROUPS, "run", "--image", NAME, "--store", loaded, "c2", "true")
    assert os.listdir(loaded / "containers") == []


def test_an_id_is_taken(ocirt, loaded):
    ocirt.ok(*NO_CGROUPS, "run", "--keep", "--image", NAME, "--store", loaded, "c1", "touch /data/x")
    assert "delete that first" in ocirt.fails(*NO_CGROUPS, "run", "--image", NAME, "--store", loaded, "c1", "true")
    assert os.listdir(loaded / "containers/c1/upper/data") == ["x"]
    assert "no user nobody" in ocirt.fails(
        *NO_CGROUPS, "run", "--image", NAME, "--store", loaded, "--user=nobody", "c2", "true"
    )
    assert os.listdir(loaded / "containers") == ["c1"]


def test_a_detached_container_keeps_its_image(ocirt, loaded):
    """rmi takes the name, and the layers go with the container."""
    ocirt.ok(
        *NO_CGROUPS, "run", "--detach", "--image", NAME, "--store", loaded, "--user", "0", "c1", "sleep 100 || cat"
    )
    assert len(os.listdir(loaded / "containers")) == 1
    assert ocirt.ok("rmi", "--store", loaded, NAME).out == f"{NAME}\n"
    assert len(os.listdir(loaded / "layers")) == 2
    ocirt.ok("delete", "--force", "c1")
    assert os.listdir(loaded / "containers") == []
    ocirt.ok("prune", "--store", loaded)
    assert os.listdir(loaded / "layers") == os.listdir(loaded / "blobs/sha256") == []


def test_an_image_that_is_not_there_is_pulled(ocirt, layout, store, tmp_path):
    pytest.importorskip("oras")
    with fake_registry(layout) as server:
        pulled = ocirt.ok("pull", "--insecure", "--store", store, f"{server.host}/tool:1")
        assert pulled.out == layout.manifests[0]["digest"] + "\n"
        assert ocirt.ok("images", "--quiet", "--store", store).out == f"{server.host}/tool:1\n"
    message = ocirt.fails(*NO_CGROUPS, "run", "--image", "127.0.0.1:1/tool", "--store", store, "c1")
    assert "127.0.0.1:1" in message and "refused" in message


def test_images_are_listed(ocirt, loaded, layout):
    title, line = ocirt.ok("images", "--store", loaded).out.splitlines()
    assert title.split() == ["NAME", "DIGEST", "CREATED", "SIZE"]
    assert line.split()[:2] == [NAME, layout.manifests[0]["digest"][7:19]]
    (found,) = json.loads(ocirt.ok("images", "--format", "json", "--store", loaded).out)
    assert (found["name"], found["digest"], found["platform"]) == (
        NAME,
        layout.manifests[0]["digest"],
        f"linux/{ENGINES_NAME}",
    )


def test_a_bundle_of_an_image(ocirt, loaded, tmp_path):
    """Any runtime runs it: what the upper layer removes is not in it."""
    bundle = tmp_path / "of-image"
    ocirt.ok("bundle", "--store", loaded, NAME, bundle)
    assert sorted(os.listdir(bundle / "rootfs/etc")) == ["group", "new", "passwd"]
    assert os.listdir(bundle / "rootfs/full") == ["new"]
    config = json.loads((bundle / "config.json").read_text())
    config["process"]["terminal"] = False
    config["linux"]["cgroupsPath"] = cgroups_path("of-image")
    (bundle / "config.json").write_text(json.dumps(config))
    assert ocirt.ok("run", "--bundle", bundle, "c1").out == SEEN
    done = subprocess.run(
        ["runc", "--root", tmp_path / "runc", "run", "--bundle", bundle, "c1"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT,
    )
    remove_cgroups()  # runc leaves the parent of the container's cgroup
    assert (done.stdout, done.stderr) == (SEEN, "")


def test_a_bundle_needs_an_empty_directory(ocirt, loaded, tmp_path):
    (tmp_path / "some").mkdir()
    (tmp_path / "some/file").touch()
    assert "not empty" in ocirt.fails("bundle", "--store", loaded, NAME, tmp_path / "some")
    assert os.listdir(tmp_path / "some") == ["file"]


@pytest.mark.parametrize(
    "words, message",
    [
        (["run", "--image", NAME, "--bundle", ".", "c1"], "--bundle: found together with --image"),
        (["run", "--store", "x", "c1"], "--store: found it without --image"),
        (["rmi", "example.org/none"], "example.org/none: not in the store"),
        (["bundle", "UPPER", "x"], "found 'UPPER', expected"),
        (["load", "/nowhere"], "/nowhere: no such file"),
    ],
)
def test_what_cannot_be(ocirt, loaded, words, message):
    more = [] if words[0] == "run" and "--store" in words else ["--store", loaded]
    assert message in ocirt.fails(words[0], *more, *words[1:])
