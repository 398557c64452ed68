"""Layouts and archives from strangers, as far as the caller's own process reads them: which files it opens, how much of
them, and what it makes of an archive of ``docker save``.
"""

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile

import pytest

from ocirt import ImageError
from ocirt.images import sources
from ocirt.images.store import Store
from tests.images import OCI, Layout, digest, entry, layer, zipped
from tests.processor import ENGINES_NAME

ONE, TWO = layer(entry("a", b"one")), layer(entry("b", b"two"))
LIMIT = 1 << 20
PLATFORM = {"os": "linux", "architecture": ENGINES_NAME}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def load(store):
    """Adds an image to the store: its manifest, and the names that the source gives it."""

    def load(path, reference=None, platform=None, limit=LIMIT):
        with store.adding(), sources.opened(path) as source:
            found, _, names = sources.load(source, store, reference, platform, limit)
        return json.loads(store.read(found)), names

    return load


def config_of(*layers, **more):
    return json.dumps({**PLATFORM, **more, "rootfs": {"type": "layers", "diff_ids": [digest(each) for each in layers]}})


def image_of(config, layers, tags=("tool:1",)):
    return {"Config": config, "RepoTags": list(tags), "Layers": list(layers)}


def saved(tmp_path, files, images, compress=bytes):
    """An archive of ``docker save``. A value of ``files`` is bytes, text, or a target of a link."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in {**files, "manifest.json": json.dumps(images)}.items():
            made = tarfile.TarInfo(name)
            if isinstance(data, tuple):
                made.type, made.linkname = data
                archive.addfile(made)
                continue
            data = data.encode() if isinstance(data, str) else data
            made.size = len(data)
            archive.addfile(made, io.BytesIO(data))
    path = tmp_path / f"saved-{os.urandom(4).hex()}.tar"
    path.write_bytes(compress(file.getvalue()))
    return path


def layers_of(manifest):
    return [each["digest"] for each in manifest["layers"]]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_an_archive_of_docker_save(tmp_path, load, compress):
    files = {"c.json": config_of(ONE, TWO), "1/layer.tar": ONE, "2/layer.tar": TWO}
    images = [image_of("c.json", ["1/layer.tar", "2/layer.tar"], ["tool:1", "example.org/tool:2"])]
    manifest, names = load(saved(tmp_path, files, images, compress))
    assert layers_of(manifest) == [digest(ONE), digest(TWO)]
    assert names == ["docker.io/library/tool:1", "example.org/tool:2"]
    assert manifest["config"]["digest"] == digest(config_of(ONE, TWO).encode())


def test_a_layer_that_another_image_of_the_archive_has(tmp_path, load):
    """docker before 25 writes a link in its place."""
    files = {"c.json": config_of(ONE, ONE), "1/layer.tar": ONE, "2/layer.tar": (tarfile.SYMTYPE, "../1/layer.tar")}
    manifest, _ = load(saved(tmp_path, files, [image_of("c.json", ["1/layer.tar", "2/layer.tar"])]))
    assert layers_of(manifest) == [digest(ONE)] * 2


@pytest.mark.parametrize("compress, suffix", [(bytes, ""), (zipped, "+gzip")])
def test_the_media_type_of_a_layer_is_that_of_its_content(tmp_path, load, compress, suffix):
    """Some tools compress the layers; with another media type no registry's client could read them."""
    files = {"c.json": config_of(ONE), "1.tar.gz": compress(ONE)}
    manifest, _ = load(saved(tmp_path, files, [image_of("c.json", ["1.tar.gz"])]))
    assert [each["mediaType"] for each in manifest["layers"]] == [f"{OCI}.layer.v1.tar{suffix}"]


def test_one_of_several_images(tmp_path, load):
    files = {"1.json": config_of(ONE), "2.json": config_of(TWO), "1.tar": ONE, "2.tar": TWO}
    images = [image_of("1.json", ["1.tar"], ["tool:1"]), image_of("2.json", ["2.tar"], ["tool:2"])]
    path = saved(tmp_path, files, images)
    assert layers_of(load(path, "tool:2")[0]) == [digest(TWO)]
    with pytest.raises(ImageError, match=r"found 2 images \(tool:1, tool:2\); choose one"):
        load(path)
    with pytest.raises(ImageError, match="found no image other:1, only tool:1, tool:2"):
        load(path, "other:1")


@pytest.mark.parametrize(
    "images, said",
    [
        ([], "found no image"),
        ({}, "found no image"),
        (5, "found no array of objects"),
        ([{"Config": "c.json", "Layers": [1]}], "found no array of objects"),
        ([image_of("c.json", ["nosuch"])], "nosuch: no such file in the archive"),
        ([image_of("../../etc/passwd", ["1.tar"])], "no such file in the archive"),
        ([image_of("c.json", ["1.tar"], ["UPPER:1"])], "manifest.json: image: found 'UPPER:1'"),
    ],
)
def test_a_broken_list_of_images(tmp_path, load, images, said):
    with pytest.raises(ImageError, match=said):
        load(saved(tmp_path, {"c.json": config_of(ONE), "1.tar": ONE}, images))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "1.tar", "../../../etc/passwd"])
def test_a_layer_that_is_no_file(tmp_path, load, kind, target):
    files = {"c.json": config_of(ONE), "1.tar": (kind, target)}
    with pytest.raises(ImageError, match="1.tar: no such file in the archive"):
        load(saved(tmp_path, files, [image_of("c.json", ["1.tar"])]))


def test_a_layer_of_docker_save_has_a_limit(tmp_path, load, store):
    """Its size is said nowhere: a small compressed archive would fill the disk."""
    path = saved(tmp_path, {"c.json": config_of(ONE), "1.tar": bytes(8 << 20)}, [image_of("c.json", ["1.tar"])], zipped)
    with pytest.raises(ImageError, match="more than 1048576 bytes, the limit"):
        load(path)
    assert os.listdir(store.at("temporary")) == []


def test_a_header_takes_no_memory(tmp_path, load):
    """A few kilobytes say that an entry has attributes of 64 MiB, which tarfile would read as one."""
    first, second = tarfile.TarInfo("x"), tarfile.TarInfo("attributes")
    second.type, second.size = tarfile.XHDTYPE, 64 << 20
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(zipped(first.tobuf() + second.tobuf() + bytes(65 << 20)))
    with pytest.raises(ImageError, match="broken archive: found a header of more than 1048576 bytes"):
        load(path)


def test_an_archive_of_many_entries(tmp_path, load, monkeypatch):
    monkeypatch.setattr(sources, "ENTRIES_MAX", 20)
    with pytest.raises(ImageError, match="broken archive: found more than 20 entries"):
        load(saved(tmp_path, {str(number): "" for number in range(30)}, []))


BROKEN = {
    "empty": b"",
    "text": b"text",
    "compressed text": gzip.compress(b"text"),
    "a part": gzip.compress(ONE)[:40],
    "bzip2 alone": b"BZh",
    "gzip alone": b"\x1f\x8b",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_no_archive(tmp_path, load, data):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ImageError, match="found no tar archive and no directory|broken archive"):
        load(tmp_path / "file")


@pytest.fixture
def unpacked(tmp_path):
    """A directory as an unpacked archive of ``docker save``, whose one layer has this name."""

    def make(name):
        path = tmp_path / "unpacked"
        path.mkdir()
        (path / "c.json").write_text(config_of(ONE))
        (path / "manifest.json").write_text(json.dumps([image_of("c.json", [name])]))
        return path

    return make


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "a/../../outside", "/dev/zero"])
def test_a_directory_names_no_file_outside(tmp_path, load, store, unpacked, name):
    (tmp_path / "outside").write_bytes(ONE)
    with pytest.raises(ImageError, match="leads out of the directory"):
        load(unpacked(name))
    assert not store.has_blob(digest(ONE))


@pytest.mark.parametrize("kind", ["fifo", "directory", "device"])
def test_a_directory_with_what_is_no_regular_file(load, unpacked, kind):
    """Nobody waits for the writer of a fifo, and nobody reads a device without an end."""
    path = unpacked("layer")
    if kind == "fifo":
        os.mkfifo(path / "layer")
    elif kind == "directory":
        (path / "layer").mkdir()
    else:
        (path / "layer").symlink_to("/dev/zero")
    with pytest.raises(ImageError, match="layer: is no regular file"):
        load(path)


def test_an_index_that_is_no_file(tmp_path, load):
    os.mkfifo(tmp_path / "index.json")
    with pytest.raises(ImageError, match="index.json: is no regular file"):
        load(tmp_path)


def test_the_blobs_of_a_layout_may_be_links(tmp_path, load):
    """As build tools write them, into their caches: their content is checked."""
    layout = Layout(tmp_path / "layout")
    layout.image(ONE, platform=PLATFORM)
    (tmp_path / "layout/blobs/sha256").rename(tmp_path / "cache")
    (tmp_path / "layout/blobs/sha256").mkdir()
    for each in os.listdir(tmp_path / "cache"):
        (tmp_path / "layout/blobs/sha256" / each).symlink_to(tmp_path / "cache" / each)
    assert load(layout.path)[1] == ["example.org/test:1"]


@pytest.mark.parametrize("of", ["index", "manifest"])
def test_a_document_with_another_digest(tmp_path, load, of):
    """No index comes into the store, which would check it; and the store may have the right manifest already."""
    layout = Layout(tmp_path / "layout")
    manifest = layout.manifest([ONE], platform=PLATFORM)
    layout.add(layout.index(manifest) if of == "index" else manifest)
    load(layout.path)
    path = layout.path / "blobs/sha256" / layout.manifests[0]["digest"][7:]
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ImageError, match=f"{layout.manifests[0]['digest']}: found content with the digest sha256:"):
        load(layout.path)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_size_of_what_the_store_has(tmp_path, load, change):
    layout = Layout(tmp_path / "layout")
    made = layout.manifest([ONE], platform=PLATFORM)
    layout.add(made)
    load(layout.path)
    path = layout.path / "blobs/sha256" / made["digest"][7:]
    whole = json.loads(path.read_text())
    whole["layers"][0]["size"] += change
    other = Layout(tmp_path / "other")
    other.add(other.document(whole, made["mediaType"]))
    with pytest.raises(ImageError, match="and its descriptor says"):
        load(other.path)


def test_a_blob_has_a_limit(tmp_path, load, store):
    """It is refused before any of it is read."""
    layout = Layout(tmp_path / "layout")
    layout.image(ONE, platform=PLATFORM, compress=bytes, suffix="")
    with pytest.raises(ImageError, match=f"its descriptor says {len(ONE)} bytes, more than 1000, the limit"):
        load(layout.path, limit=1000)
    assert not store.has_blob(digest(ONE))


def test_two_names_of_one_image(tmp_path, load):
    layout = Layout(tmp_path / "layout")
    manifest = layout.manifest([ONE], platform=PLATFORM)
    for name in ("tool:1", "example.org/tool:2"):
        layout.add(manifest, name)
    assert load(layout.path)[1] == ["docker.io/library/tool:1", "example.org/tool:2"]


def test_a_name_that_is_none(tmp_path, load):
    layout = Layout(tmp_path / "layout")
    layout.add(layout.manifest([ONE], platform=PLATFORM), "../..:/x")
    with pytest.raises(ImageError, match="image: found '../..:/x'"):
        load(layout.path)


@pytest.mark.parametrize("kind", ["layout", "docker"])
def test_an_image_for_another_platform(tmp_path, load, kind):
    """It may be meant for another host; but whoever names a platform gets no other one."""
    other = {"os": "linux", "architecture": "s390x"}
    if kind == "layout":
        path = Layout(tmp_path / "layout").image(ONE, platform=other)
    else:
        path = saved(tmp_path, {"c.json": config_of(ONE, **other), "1.tar": ONE}, [image_of("c.json", ["1.tar"])])
    with pytest.warns(RuntimeWarning, match="found an image for linux/s390x, and this host is linux/"):
        load(path)
    with pytest.raises(ImageError, match="found an image for linux/s390x, expected one for linux/arm64"):
        load(path, platform="linux/arm64")
    load(path, platform="linux/s390x")
