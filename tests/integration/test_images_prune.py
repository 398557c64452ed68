"""What prune removes, and what it spares."""

import gc
import os
import subprocess
import sys

import pytest

from ocirt import Container, Image, ImageError, NoImage, sandbox
from ocirt.images import store as store_module
from ocirt.images.prune import prune, remove
from ocirt.images.store import Store
from tests.images import Layout, digest, directory, entry, layer
from tests.integration.harness import cgroups_path

BASE = layer(directory("etc"), entry("etc/base"))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def load(tmp_path, store, runtime):
    """Loads an image of a base that all have, and of one layer of its own."""

    def load(name, *more):
        path = Layout(tmp_path / name).image(BASE, layer(entry(name)), *more, name=f"example.org/{name}:1")
        return Image.load(path, store=store, runtime=runtime)

    return load


def kept(store):
    """Names of the files in the layers."""
    return sorted(name for each in os.listdir(store.at("layers")) for name in os.listdir(store.at("layers", each)))


def test_what_no_image_has_is_removed(load, store):
    load("one"), load("two")
    gc.collect()
    removed = remove(store, "example.org/one:1")
    assert kept(store) == ["etc", "two"] and len(removed.layers) == 1 and len(removed.blobs) == 3
    assert prune(store).blobs == () and remove(store, "example.org/two:1").size > 0
    assert kept(store) == os.listdir(store.at("blobs/sha256")) == []
    with pytest.raises(KeyError):
        remove(store, "example.org/two:1")


def test_what_a_process_uses_is_spared(load, store):
    image = load("one")
    remove(store, image.name)
    assert kept(store) == ["etc", "one"]
    with pytest.raises(NoImage):
        Image.find("example.org/one:1", store=store)
    assert Image.find(image.digest, store=store).layers == image.layers
    del image
    gc.collect()
    prune(store)
    assert kept(store) == []


@pytest.mark.cgroups
def test_what_a_container_uses_is_spared(load, store, runtime, image):
    with open(image / "bin/busybox", "rb") as file:
        busybox = layer(entry("bin/sh", file.read(), mode=0o755))
    config = load("one", busybox).container_config(sandbox(["sh"], cgroup=cgroups_path("prune")), ["sh"])
    gc.collect()
    with Container.create(config=config, runtime=runtime, id="c1"):
        remove(store, "example.org/one:1", roots=[runtime.root])
        assert kept(store) == ["bin", "etc", "one"]
    prune(store, roots=[runtime.root])
    assert kept(store) == []


def test_a_blob_that_no_manifest_names_is_removed(load, store):
    load("one")
    with store.adding():
        store.add_blob([b"left"])
    assert prune(store).blobs == (digest(b"left"),)


def test_a_store_that_does_not_exist(tmp_path):
    assert prune(tmp_path / "none").size == 0 and not (tmp_path / "none").exists()


def test_a_lock_is_waited_for_and_its_holder_named(load, store, monkeypatch):
    """A pull that stands still keeps a prune waiting, but not for ever."""
    monkeypatch.setattr(store_module, "REMOVING_SECONDS", 0.3)
    load("one")
    script = (
        "import fcntl, sys, time; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_SH); print('held', flush=True)"
    )
    command = [sys.executable, "-c", f"{script}; time.sleep(60)", store.at("lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout.readline() == "held\n"
            told = rf"{store.at('lock')}: waited 0.3 s for the lock, which belongs to process {child.pid} \({sys.executable}"
            with pytest.raises(ImageError, match=told):
                prune(store)
        finally:
            child.kill()
    assert len(prune(store).layers) == 0
