"""Layers from strangers: nothing of them reaches beyond their directory, and an error leaves nothing of them."""

import bz2
import gzip
import lzma
import os
import signal
import subprocess
import sys
import tarfile
import time

import pytest

from ocirt import Image, ImageError
from ocirt.images.store import Store
from tests.images import Layout, digest, directory, entry, layer
from tests.integration.harness import LIMIT, TREE

LINK, HARD, CHARACTER = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def load(tmp_path, store, runtime):
    """Loads an image with these layers; the directories of its layers, the lowest first."""

    def load(*layers, max_size="1g", **more):
        path = Layout(tmp_path / f"layout-{os.urandom(4).hex()}").image(*layers, **more)
        return Image.load(path, store=store, runtime=runtime, max_size=max_size).layers[::-1]

    return load


def nothing_left(store):
    return os.listdir(store / "layers") == os.listdir(store / "temporary") == []


def sparse(name, size):
    """A sparse file of so many zeros, and its content in the archive."""
    made, content = entry(name)[0], b"1\n0\n0\n".ljust(512, b"\0")
    made.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": name,
        "GNU.sparse.realsize": str(size),
    }
    made.size = len(content)
    return made, content


@pytest.fixture
def outside(tmp_path):
    """A file and a directory of the host that no layer may change."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_text("host")
    yield folder
    assert (folder / "file").read_text() == "host" and os.listdir(folder) == ["file"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x", "../../../../../etc/x"])
def test_a_name_that_leads_out(load, store, name):
    with pytest.raises(ImageError, match="leads out of the layer"):
        load(layer(entry(name, b"x")))
    assert nothing_left(store)


def test_an_absolute_name_is_the_layers(load):
    (path,) = load(layer(entry("/etc/x", b"x")))
    assert os.listdir(f"{path}/etc") == ["x"]


@pytest.mark.parametrize("way", ["absolute", "up"])
def test_a_link_to_the_host_leads_nowhere(load, outside, way):
    """A file that is written through a link comes to lie in the layer, or nowhere."""
    target = str(outside) if way == "absolute" else "../../../../../../../.." + str(outside)
    entries = entry("away", type=LINK, link=target), entry("away/file", b"hostile"), entry("away/new", b"hostile")
    with pytest.raises(ImageError, match="away/file"):
        load(layer(*entries))


def test_a_link_to_the_host_is_replaced_and_not_followed(load, outside):
    (path,) = load(layer(entry("x", type=LINK, link=str(outside / "file")), entry("x", b"layer", mode=0o600)))
    assert open(f"{path}/x").read() == "layer" and not os.path.islink(f"{path}/x")


def test_a_directory_over_a_link(load, outside):
    (path,) = load(layer(entry("x", type=LINK, link=str(outside)), directory("x", 0o700), entry("x/new")))
    assert os.listdir(f"{path}/x") == ["new"]


@pytest.mark.parametrize("link", ["{outside}/file", "../../../../../..{outside}/file", "/etc/passwd", "missing", "."])
def test_a_hard_link_to_what_the_layer_does_not_have(load, store, outside, link):
    with pytest.raises(ImageError, match="no file of this layer|leads out"):
        load(layer(entry("x", type=HARD, link=link.format(outside=outside))))
    assert nothing_left(store)


def test_a_hard_link_over_a_link_of_the_layer_stays_in_it(load, outside):
    """The target is the link itself."""
    (path,) = load(layer(entry("a", type=LINK, link=str(outside / "file")), entry("b", type=HARD, link="a")))
    assert os.readlink(f"{path}/b") == str(outside / "file")


def test_device_nodes_are_left_out(load):
    with pytest.warns(RuntimeWarning, match="left out 2 device nodes") as told:
        (path,) = load(
            layer(
                entry("disk", type=tarfile.BLKTYPE, device=(8, 0), mode=0o666),
                entry("white", type=CHARACTER, device=(0, 0)),
                entry("file"),
            )
        )
    assert os.listdir(path) == ["file"] and [each.filename for each in told] == [__file__]


def test_attributes_of_overlayfs_are_left_out(load):
    """They could redirect a name to another directory, or hide what is below."""
    notes = {f"SCHILY.xattr.{name}": "y" for name in ("user.overlay.opaque", "trusted.overlay.opaque", "user.kept")}
    (path,) = load(layer(directory("a", pax=notes)))
    assert os.listxattr(f"{path}/a") == ["user.kept"]


@pytest.mark.parametrize("name", [".wh.", ".wh...", "a/.wh.."])
def test_a_whiteout_of_no_name(load, store, name):
    with pytest.raises(ImageError, match="of no name"):
        load(layer(entry(name)))
    assert nothing_left(store)


@pytest.mark.parametrize("order", [1, -1])
def test_a_whiteout_does_not_hide_its_own_layer(load, order):
    """image-spec: it is about the layers below."""
    entries = [entry("d/.wh.x"), entry("d/x", b"own")][::order]
    path = load(layer(directory("d")), layer(directory("d"), *entries))[1]
    assert open(f"{path}/d/x").read() == "own"


def test_a_directory_after_its_whiteout_is_opaque(load):
    path = load(layer(directory("d"), entry("d/x")), layer(entry(".wh.d"), directory("d"), entry("d/y")))[1]
    assert os.getxattr(f"{path}/d", "trusted.overlay.opaque") == b"y"


@pytest.mark.parametrize(
    "compress, suffix", [(gzip.compress, "+gzip"), (bytes, ""), (bz2.compress, ""), (lzma.compress, "")]
)
def test_compressions(load, compress, suffix):
    (path,) = load(layer(entry("x", b"content")), compress=compress, suffix=suffix)
    assert open(f"{path}/x").read() == "content"


def test_zstd(load):
    zstandard = pytest.importorskip("zstandard")
    compress = zstandard.ZstdCompressor().compress
    (path,) = load(layer(entry("x", b"content")), compress=compress, suffix="+zstd")
    assert open(f"{path}/x").read() == "content"


def test_frames_and_members_are_one_layer(load):
    """As parallel compressors write them."""
    data = layer(entry("x", b"x" * 100_000))

    def compress(data):
        return b"".join(gzip.compress(data[at : at + 30_000]) for at in range(0, len(data), 30_000))

    (path,) = load(data, compress=compress)
    assert os.path.getsize(f"{path}/x") == 100_000


def test_a_bomb(load, store):
    """A few kilobytes that become a gigabyte."""
    with pytest.raises(ImageError, match="more than 1048576 bytes, the limit"):
        load(layer(entry("x", bytes(64 << 20))), max_size="1m")
    assert nothing_left(store)


def test_a_bomb_of_zeros_behind_the_archive(load, store):
    """The bytes after its end count, and belong to its digest."""
    data = layer(entry("x")) + bytes(16 << 20)
    with pytest.raises(ImageError, match="the limit"):
        load(data, max_size="1m")
    (path,) = load(data)
    assert os.listdir(path) == ["x"]


def test_a_sparse_file_counts_as_what_it_becomes(load, store):
    with pytest.raises(ImageError, match="the limit"):
        load(layer(sparse("x", 1 << 40)))
    assert nothing_left(store)


def test_a_sparse_file_of_less_than_nothing(load, store):
    """It would make room for a file of any size."""
    with pytest.raises(ImageError, match="found 'a' with -1073741824 bytes"):
        load(layer(sparse("a", -(1 << 30)), sparse("b", 1 << 29)), max_size="1m")
    assert nothing_left(store)


def test_a_sparse_file_takes_no_room(load):
    """A few bytes of an archive fill no disk. So /var/log/lastlog, for example, stays as small as it was."""
    made, data = entry("ends", bytes(3 << 20) + b"x" + bytes(5000))
    (path,) = load(layer(sparse("x", 900 << 20), (made, data)))
    assert os.path.getsize(f"{path}/x") == 900 << 20 and os.stat(f"{path}/x").st_blocks * 512 < 1 << 20
    assert open(f"{path}/ends", "rb").read() == data and os.stat(f"{path}/ends").st_blocks * 512 < 2 << 20


@pytest.mark.parametrize("first", [True, False])
def test_nobody_gets_a_layer_by_its_diff_id_alone(load, store, first):
    """Who has not the content of another image's layer cannot see it by claiming that a blob is it."""
    secret, other = layer(entry("secret", b"x")), layer(entry("y"))
    load(secret)
    if not first:  # the store knows what the other blob is
        load(other)
    with pytest.raises(ImageError, match=f"found the diff id {digest(other)}, expected {digest(secret)}"):
        load(other, diff_ids=[digest(secret)])
    load(secret, compress=bytes, suffix="")  # the same layer, compressed otherwise


@pytest.mark.parametrize(
    "content", [b"no archive at all" * 100, gzip.compress(b"x" * 2000, mtime=0)[:-9], b"\x1f\x8bnothing"]
)
def test_a_broken_archive(load, store, content):
    with pytest.raises(ImageError, match="broken archive|Not a gzipped file|[Cc]ompressed"):
        load(content, compress=bytes, diff_ids=[digest(content)])
    assert nothing_left(store)


def test_a_truncated_archive(load, store):
    data = layer(entry("x", b"x" * 10_000))[:5000]
    with pytest.raises(ImageError, match="broken archive"):
        load(data)
    assert nothing_left(store)


@pytest.mark.parametrize("number", [-1, 2**32])
def test_an_owner_that_is_none(load, store, number):
    with pytest.raises(ImageError, match="'x': "):
        load(layer(entry("x", uid=number)))
    assert nothing_left(store)


def test_a_directory_tree_that_is_too_deep(load, store):
    with pytest.raises(ImageError, match="longer than 4000 bytes"):
        load(layer(entry("d/" * 3000 + "x")))
    assert nothing_left(store)


def test_a_full_disk(tmp_path, runtime):
    """A store on a small file system: the error says so, and nothing is left that takes room."""
    store = tmp_path / "small"
    store.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", store], check=True, timeout=LIMIT)
    try:
        for size in (3 << 20, 6 << 20):  # the blob fits, and not the layer; the blob does not fit
            noise = os.urandom(size)
            path = Layout(tmp_path / f"layout{size}").image(layer(entry("x", noise)))
            with pytest.raises(ImageError, match="(?i)no space left on device"):
                Image.load(path, store=store, runtime=runtime)
            assert nothing_left(store)
        subprocess.run(["mount", "-o", "remount,size=40m", store], check=True, timeout=LIMIT)
        assert len(Image.load(path, store=store, runtime=runtime).layers) == 1
    finally:
        subprocess.run(["umount", store], check=True, timeout=LIMIT)


def test_a_full_disk_at_any_moment(tmp_path, runtime):
    """No room for one more file: whichever file that is, the error says so, and with room the same call succeeds."""
    store = tmp_path / "small"
    store.mkdir()
    path = Layout(tmp_path / "layout").image(layer(entry("a"), entry("b")), layer(entry("c")))
    failed = 0
    for files in range(4, 120, 4):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"nr_inodes={files}", "tmpfs", store], check=True, timeout=LIMIT)
        try:
            Image.load(path, store=store, runtime=runtime)
            break
        except ImageError as error:
            assert "no space left on device" in str(error).lower()
            assert not (store / "temporary").exists() or os.listdir(store / "temporary") == []
            failed += 1
            if failed % 5 == 0:
                subprocess.run(["mount", "-o", "remount,nr_inodes=100", store], check=True, timeout=LIMIT)
                assert len(Image.load(path, store=store, runtime=runtime).layers) == 2
        finally:
            subprocess.run(["umount", store], check=True, timeout=LIMIT)
    assert 5 < failed < 25  # of 29: at last it fits


LOAD = """
import sys
sys.path.insert(0, {tree!r})
import ocirt
runtime = ocirt.Runtime(root={root!r}, environment={environment!r})
ocirt.Image.load({path!r}, store={store!r}, runtime=runtime)
"""


def test_unpacking_that_is_killed(tmp_path, store, runtime):
    """Nothing of the layer counts, its container ends too, and the next one completes it."""
    entries = [entry(f"d{number // 1000}/f{number}", b"x" * 10) for number in range(10_000)]
    path = Layout(tmp_path / "layout").image(layer(*entries))
    program = LOAD.format(
        tree=str(TREE), root=str(runtime.root), environment=dict(runtime.environment), path=str(path), store=str(store)
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    end = time.monotonic() + LIMIT
    while not any(os.path.isdir(each / "d1") for each in (store.glob("temporary/*"))):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=LIMIT)
    assert os.listdir(store / "layers") == []
    (found,) = Image.load(path, store=store, runtime=runtime).layers
    assert sum(len(os.listdir(f"{found}/d{number}")) for number in range(10)) == 10_000
    # Its container may have ended only after that: the next use of the store removes what it has written.
    end = time.monotonic() + LIMIT
    while os.listdir(store / "temporary"):
        assert time.monotonic() < end
        with Store(store).adding():
            pass
