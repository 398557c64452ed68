"""The content store: blobs that are what their digests say, names, and what an interrupted process leaves."""

import fcntl
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ocirt import ImageError
from ocirt.images.store import Store
from tests.images import digest

DATA = b"content"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def left(store):
    """What lies in the store's directory for what is being written."""
    return os.listdir(store.at("temporary"))


def test_a_blob_is_kept_by_its_digest(store):
    with store.adding():
        blob = store.add_blob([b"con", b"tent"])
    assert (blob.digest, blob.size) == (digest(DATA), len(DATA))
    assert store.read(blob.digest) == DATA and store.has_blob(blob.digest) and left(store) == []


def test_a_blob_with_another_digest_is_refused(store):
    with store.adding(), pytest.raises(ImageError, match="found content with the digest " + digest(DATA)):
        store.add_blob([DATA], digest=digest(b"other"))
    assert left(store) == os.listdir(store.at("blobs/sha256")) == []


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
def test_a_blob_with_another_size_is_refused(store, size):
    with store.adding(), pytest.raises(ImageError, match="bytes"):
        store.add_blob([DATA], digest=digest(DATA), size=size)
    assert left(store) == [] and not store.has_blob(digest(DATA))


def test_a_blob_is_not_read_further_than_its_size(store):
    """A server that sends without an end fills no disk."""
    with store.adding(), pytest.raises(ImageError, match="more than 7 bytes"):
        store.add_blob(iter(lambda: DATA, None), size=len(DATA))


def test_a_known_blob_is_not_read_again(store):
    with store.adding():
        store.add_blob([DATA])
        store.add_blob((pytest.fail("read") for _ in [0]), digest=digest(DATA))


def test_an_interrupted_blob_leaves_nothing(store):
    def chunks():
        yield DATA
        raise KeyboardInterrupt

    with store.adding(), pytest.raises(KeyboardInterrupt):
        store.add_blob(chunks(), digest=digest(DATA))
    assert left(store) == [] and not store.has_blob(digest(DATA))


@pytest.mark.parametrize("wrong", ["sha256:../../etc/passwd", "sha512:" + "0" * 128, "sha256:" + "A" * 64, "", None])
def test_a_digest_never_becomes_another_path(store, wrong):
    with pytest.raises(ImageError, match="expected sha256"):
        store.blob(wrong)


def test_what_a_killed_process_left_is_removed_by_the_next_one(store):
    with store.adding():
        pass
    os.makedirs(store.at("temporary/layer/below"))
    with open(store.at("temporary/blob"), "wb"):
        pass
    with store.adding():
        assert left(store) == []


def test_what_another_process_writes_is_not_removed(store):
    with store.adding():
        with open(store.at("temporary/blob"), "wb"):
            pass
        with store.adding():
            assert left(store) == ["blob"]


def test_two_at_once_do_the_work_once(store):
    """The second one waits, and finds the first one's."""
    began, go_on, read = threading.Event(), threading.Event(), []

    def chunks():
        read.append(1)
        began.set()
        go_on.wait(10)
        yield DATA

    def add():
        with store.adding():
            store.add_blob(chunks(), digest=digest(DATA))

    with ThreadPoolExecutor(8) as pool:
        works = [pool.submit(add) for _ in range(8)]
        assert began.wait(10)
        go_on.set()
        for work in works:
            work.result(10)
    assert len(read) == 1 and store.read(digest(DATA)) == DATA


def test_who_removes_waits_for_who_adds(store):
    with store.adding():
        with open(store.at("lock"), "rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with store.removing():
        with open(store.at("lock"), "rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_names(store):
    with store.adding():
        one, two = store.add_blob([b"1"]), store.add_blob([b"2"])
        store.tag("docker.io/library/b:1", one.digest, "type")
        store.tag("docker.io/library/a:1", one.digest, "type")
        store.tag("docker.io/library/b:1", two.digest, "type")
    assert store.names() == {"docker.io/library/a:1": one.digest, "docker.io/library/b:1": two.digest}
    with store.removing():
        assert store.untag("docker.io/library/a:1") == one.digest
        with pytest.raises(KeyError):
            store.untag("docker.io/library/a:1")
    assert store.names() == {"docker.io/library/b:1": two.digest}


def test_names_given_at_once_are_all_kept(store):
    with store.adding():
        blob = store.add_blob([DATA])

    def tag(number):
        with store.adding():
            store.tag(f"example.org/a:{number}", blob.digest, "type")

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(tag, range(20)))
    assert len(store.names()) == 20


def test_the_store_is_an_oci_layout(store):
    with store.adding():
        blob = store.add_blob([DATA])
        store.tag("example.org/a:1", blob.digest, "type")
    with open(store.at("oci-layout")) as file:
        assert json.load(file) == {"imageLayoutVersion": "1.0.0"}
    with open(store.at("index.json")) as file:
        assert json.load(file)["manifests"] == [
            {
                "mediaType": "type",
                "digest": blob.digest,
                "size": len(DATA),
                "annotations": {"org.opencontainers.image.ref.name": "example.org/a:1"},
            }
        ]


def test_other_users_read_nothing_of_the_store(store):
    with store.adding():
        pass
    assert {
        name: os.stat(store.at(name)).st_mode & 0o077 for name in ("blobs", "layers", "containers", "temporary")
    } == {
        "blobs": 0,
        "layers": 0,
        "containers": 0,
        "temporary": 0,
    }


def test_a_broken_index_is_named(store):
    with store.adding():
        pass
    with open(store.at("index.json"), "w") as file:
        file.write("{")
    with pytest.raises(ImageError, match="index.json cannot be read"):
        store.names()


def test_a_layer_that_cannot_be_filled_leaves_nothing(store):
    def fill(path):
        os.makedirs(path + "/some")
        raise ImageError("broken")

    with store.adding(), pytest.raises(ImageError, match="broken"):
        store.add_layer(digest(DATA), fill)
    assert left(store) == os.listdir(store.at("layers")) == []


def test_a_layer_is_filled_once(store):
    with store.adding():
        path = store.add_layer(digest(DATA), os.mkdir)
        assert store.add_layer(digest(DATA), pytest.fail) == path == store.layer(digest(DATA))
