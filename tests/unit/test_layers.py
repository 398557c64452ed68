"""Changes, layers and archives of trees that a hostile program has written, without a mount."""

import gzip
import io
import os
import shutil
import socket
import stat
import subprocess
import tarfile
import threading

import pytest

from ocirt.errors import OcirtError
from ocirt.images.compress import BLOCK, Packed
from ocirt.images.ids import Owners
from ocirt.images.layer_tar import Archive
from ocirt.images.overlay import NONE, USER, Change, changes, open_layers, walk

TIME = 1_700_000_000


@pytest.fixture
def layers(tmp_path):
    """Directories: the upper one, and two below it."""
    found = [tmp_path / name for name in ("upper", "middle", "base")]
    for folder in found:
        folder.mkdir()
    return found


def whiteout(path):
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def opaque(path, value=b"y"):
    try:
        os.setxattr(path, "user.overlay.opaque", value)
    except OSError:
        pytest.skip("this file system has no attributes of users")


def found(layers):
    upper, *lower = layers
    return {each.path: each.kind for each in changes(str(upper), [str(path) for path in lower], USER)}


def opened(chunks):
    return tarfile.open(fileobj=io.BytesIO(b"".join(chunks)))


def layer(layers, **more):
    """The layer of the upper directory, as an open tar file."""
    upper, *lower = map(str, layers)
    return opened(Archive(**more).layer(walk(open_layers([upper], USER), open_layers(lower, USER))))


def tree(*paths, marks=NONE):
    return opened(Archive().tree(walk(open_layers([str(path) for path in paths], marks))))


def names(archive):
    return [member.name for member in archive]


def test_what_is_added_changed_and_removed(layers):
    upper, middle, base = layers
    (base / "old").write_text("1")
    (base / "gone").write_text("1")
    (middle / "etc").mkdir()
    (middle / "etc/passwd").write_text("1")
    shutil.copytree(middle / "etc", upper / "etc")
    (upper / "etc/passwd").write_text("2")
    (upper / "new").mkdir()
    (upper / "new/file").write_text("3")
    whiteout(upper / "gone")
    os.utime(middle / "etc", (TIME, TIME)), os.utime(upper / "etc", (TIME, TIME))
    assert found(layers) == {"/etc/passwd": "changed", "/gone": "removed", "/new": "added", "/new/file": "added"}
    assert list(changes(str(upper), [str(base)], USER))[0] == Change("/etc", "added")
    assert names(layer(layers)) == ["etc", "etc/passwd", ".wh.gone", "new", "new/file"]


def test_a_whiteout_of_nothing_is_no_change(layers):
    upper, middle, base = layers
    (base / "file").touch()
    whiteout(middle / "file")
    whiteout(upper / "file")
    whiteout(upper / "never")
    assert found(layers) == {} and names(layer(layers)) == []


def test_a_file_that_a_layer_removed_is_added_again(layers):
    upper, middle, base = layers
    (base / "file").touch()
    whiteout(middle / "file")
    (upper / "file").touch()
    assert found(layers) == {"/file": "added"}


@pytest.mark.parametrize("value", [b"y", b"x"])
def test_a_directory_that_hides_what_is_below(layers, value):
    """``opaque=y`` hides all; ``x`` says that empty files with an attribute are whiteouts."""
    upper, _, base = layers
    (base / "d/sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (base / "d" / name).write_text("below")
    (upper / "d/sub").mkdir(parents=True)
    opaque(upper / "d", value)
    (upper / "d/b").touch()
    os.setxattr(upper / "d/b", "user.overlay.whiteout", b"y")
    for folder in ("d", "d/sub"):
        os.utime(base / folder, (TIME, TIME)), os.utime(upper / folder, (TIME, TIME))
    expected = {
        b"y": {"/d/a": "removed", "/d/b": "changed", "/d/sub/c": "removed"},
        b"x": {"/d/b": "removed"},
    }
    assert found(layers) == expected[value]


def test_explicit_whiteouts_and_no_opaque_ones(layers):
    """layer.md: "Implementations SHOULD generate layers using explicit whiteout files"."""
    upper, _, base = layers
    (base / "d").mkdir()
    (base / "d/a").touch(), (base / "d/b").touch()
    (upper / "d").mkdir()
    (upper / "d/c").touch()
    opaque(upper / "d")
    assert names(layer(layers)) == ["d", "d/.wh.a", "d/.wh.b", "d/c"]


def test_a_directory_instead_of_a_file_and_the_other_way(layers):
    upper, _, base = layers
    (base / "file").touch(), (base / "folder/in").mkdir(parents=True)
    (upper / "file").mkdir()
    (upper / "file/new").touch()
    (upper / "folder").touch()
    assert found(layers) == {"/file": "changed", "/file/new": "added", "/folder": "changed"}
    assert names(layer(layers)) == ["file", "file/new", "folder"]


def test_the_root_counts_if_its_mode_has_changed(layers):
    upper, middle, base = layers
    assert found(layers) == {}
    upper.chmod(0o700), middle.chmod(0o755), base.chmod(0o755)
    assert found(layers) == {"/": "changed"}
    (entry,) = layer(layers).getmembers()
    assert (entry.name, entry.mode) == (".", 0o700)


@pytest.mark.parametrize("name", ["redirect", "metacopy"])
def test_content_that_is_elsewhere_is_refused(layers, name):
    upper = layers[0]
    place = upper / "d" if name == "redirect" else upper / "f"
    place.mkdir() if name == "redirect" else place.touch()
    opaque(upper)
    os.setxattr(place, f"user.overlay.{name}", b"/other")
    with pytest.raises(OcirtError, match=f"user.overlay.{name}, expected an overlay"):
        found(layers)


def test_the_merged_tree(layers):
    upper, middle, base = layers
    (base / "d").mkdir(), (middle / "d").mkdir(), (upper / "d").mkdir()
    (base / "d/one").write_text("base"), (middle / "d/one").write_text("middle")
    (base / "d/two").write_text("base"), (upper / "d/three").write_text("upper")
    (base / "gone").mkdir(), whiteout(upper / "gone")
    (base / "kept").mkdir(), (base / "kept/file").touch()
    archive = tree(*layers, marks=USER)
    assert names(archive) == [".", "d", "d/one", "d/three", "d/two", "kept", "kept/file"]
    assert archive.extractfile("d/one").read() == b"middle"


def test_a_plain_directory_has_no_whiteouts(tmp_path):
    whiteout(tmp_path / "device")
    assert names(tree(tmp_path)) == [".", "device"]


def test_links_are_not_followed(layers, tmp_path):
    upper = layers[0]
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("of the host")
    (upper / "out").symlink_to(secret)
    (upper / "up").symlink_to("../secret/file")
    archive = layer(layers)
    assert [(each.name, each.linkname) for each in archive] == [("out", str(secret)), ("up", "../secret/file")]


def test_a_directory_that_becomes_a_link_while_it_is_read(layers, tmp_path):
    """Between two steps of the reader, a program of the container swaps them."""
    upper = layers[0]
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "of the host").touch()
    (upper / "d").mkdir()
    (upper / "d/inside").touch()
    seen = []
    for entry in walk(open_layers([str(upper)], USER), open_layers([str(layers[1])], USER)):
        seen.append(entry.path)
        if entry.path == "d":
            (upper / "d").rename(upper / "moved")
            (upper / "d").symlink_to(secret)
    assert seen == ["d", "d/inside"]


def test_fifos_devices_and_sockets_are_not_opened(layers):
    """Opening the fifo would wait for a writer for ever."""
    upper, warnings = layers[0], []
    os.mkfifo(upper / "fifo", 0o640)
    with socket.socket(socket.AF_UNIX) as server:
        before = os.getcwd()
        os.chdir(upper)
        server.bind("socket")
        os.chdir(before)
    archive = layer(layers, warn=warnings.append)
    assert [(each.name, each.type) for each in archive] == [("fifo", tarfile.FIFOTYPE)]
    assert warnings == ["/socket: left out, because an archive cannot have a socket"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_devices_have_their_numbers(layers):
    os.mknod(layers[0] / "disk", stat.S_IFBLK | 0o600, os.makedev(259, 70000))
    (entry,) = layer(layers)
    assert (entry.type, entry.devmajor, entry.devminor) == (tarfile.BLKTYPE, 259, 70000)


def test_hard_links(layers):
    upper = layers[0]
    (upper / "one").write_text("1")
    os.link(upper / "one", upper / "two")
    assert [(each.name, each.type, each.linkname) for each in layer(layers)] == [
        ("one", tarfile.REGTYPE, ""),
        ("two", tarfile.LNKTYPE, "one"),
    ]


@pytest.mark.parametrize("name", [".wh.file", ".wh..wh..opq"])
def test_a_name_that_would_remove_a_file_is_refused(layers, name):
    """A program of the container could otherwise remove files of the base by the layer."""
    (layers[0] / name).touch()
    with pytest.raises(OcirtError, match="begins with"):
        layer(layers)
    assert names(tree(layers[0])) == [".", name]


@pytest.mark.parametrize(
    "name", ["x" * 100, "x" * 255, "ü" * 60, os.fsdecode(b"\xff" * 20), "a\nb", "d" * 200 + "/" + "f" * 200]
)
def test_every_name_comes_back(layers, name):
    place = layers[0] / name
    place.parent.mkdir(exist_ok=True)
    place.write_text("content")
    archive = layer(layers)
    assert archive.extractfile(archive.getmembers()[-1]).read() == b"content"
    assert archive.getnames()[-1] == name


def test_other_tools_read_the_archive(layers, tmp_path):
    upper, out = layers[0], tmp_path / "out"
    out.mkdir()
    for name in ("ü" * 60, "d" * 90 + "/" + "f" * 99, "plain"):
        (upper / name).parent.mkdir(exist_ok=True)
        (upper / name).write_text(name)
    (upper / "long").symlink_to("t" * 300)
    os.utime(upper / "plain", (1 << 34, 1 << 34))
    done = subprocess.run(
        ["tar", "-C", out, "-xf", "-"], input=layer(layers).fileobj.getvalue(), capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(out)) == sorted(os.listdir(upper))
    assert (
        os.readlink(out / "long") == "t" * 300 and (out / "plain").stat().st_mtime == (upper / "plain").stat().st_mtime
    )


def test_a_path_that_no_program_reaches(layers):
    fd = os.open(layers[0], os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=fd)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    with pytest.raises(OcirtError, match="path of more than 4095 bytes"):
        found(layers)


def test_an_error_shows_no_control_characters(layers):
    (layers[0] / ".wh.\x1b[31m\n").touch()
    with pytest.raises(OcirtError) as raised:
        layer(layers)
    assert str(raised.value).isprintable() and "\\x1b[31m\\x0a" in str(raised.value)


def test_a_file_larger_than_the_archive_may_be(layers):
    """A file of any size occupies nothing if it is a hole."""
    with open(layers[0] / "hole", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OcirtError, match="1099511627776 bytes, with which the archive would have more"):
        layer(layers, limit=1 << 30)


def test_a_file_that_becomes_shorter_while_it_is_read(layers):
    file = layers[0] / "file"
    file.write_text("content")
    entries = walk(open_layers([str(layers[0])], USER), open_layers([str(layers[1])], USER))

    def cut():
        for entry in entries:
            os.truncate(file, 3)
            yield entry

    with pytest.raises(OcirtError, match="became shorter"):
        b"".join(Archive().layer(cut()))


def test_attributes_of_an_image_are_kept_and_no_others(layers):
    upper = layers[0]
    (upper / "file").touch()
    opaque(upper / "file")
    os.setxattr(upper / "file", "user.binary", b"\0\xff\n=")
    (entry,) = layer(layers)
    kept = {name: value for name, value in entry.pax_headers.items() if name.startswith("SCHILY")}
    assert {name: os.fsencode(value) for name, value in kept.items()} == {"SCHILY.xattr.user.binary": b"\0\xff\n="}


def test_owners_of_a_user_namespace(layers):
    (layers[0] / "file").touch()
    uid, gid = os.geteuid(), os.getegid()
    (entry,) = layer(layers, owners=Owners(((7, uid, 1),), ((1000, gid, 1),)))
    assert (entry.uid, entry.gid, entry.uname, entry.gname) == (7, 1000, "", "")


def test_ids_that_a_namespace_does_not_map_stay():
    owners = Owners(((0, 100000, 1000), (5000, 200000, 10)))
    assert [owners.user(id) for id in (100000, 100999, 200009, 0, 101000)] == [0, 999, 5009, 0, 101000]
    assert owners.group(100000) == 100000


def test_capabilities_of_a_user_namespace_become_plain_ones():
    """capabilities(7), "Namespaced file capabilities"."""
    caps = bytes(range(4, 20))
    value = (0x03000001).to_bytes(4, "little") + caps + (100000).to_bytes(4, "little")
    assert Owners(((0, 100000, 1000),)).capability(value) == (0x02000001).to_bytes(4, "little") + caps
    assert Owners().capability(value) == value
    assert Owners(((0, 100000, 1000),)).capability(value[:20]) == value[:20]


def test_large_numbers(layers):
    file = layers[0] / "file"
    file.touch()
    os.utime(file, (1 << 34, 1 << 34))
    (entry,) = layer(layers, owners=Owners(((4_000_000_000, os.geteuid(), 1),)))
    assert (entry.uid, entry.mtime) == (4_000_000_000, file.stat().st_mtime)


def test_times_are_bounded(layers):
    (layers[0] / "new").touch(), (layers[0] / "old").touch()
    os.utime(layers[0] / "old", (5, 5))
    assert [entry.mtime for entry in layer(layers, newest=TIME)] == [TIME, 5]


# ---- compression ----


@pytest.fixture(scope="module")
def content():
    """Some blocks that compress, and a rest."""
    return b"".join(b"%d " % number for number in range(600_000))[: 3 * BLOCK + 12345]


def packed(content, compression="gzip", threads=None, step=70_000):
    """The layer, and the bytes of the blob."""
    made = Packed([content[start : start + step] for start in range(0, len(content), step)], compression, threads)
    blob = b"".join(made)
    return made.layer, blob


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 12345])
def test_gzip_in_parallel_blocks(content, size):
    written, blob = packed(content[:size])
    assert gzip.decompress(blob) == content[:size]
    assert written.media_type == "application/vnd.oci.image.layer.v1.tar+gzip" and written.size == len(blob)
    done = subprocess.run(["gzip", "-dc"], input=blob, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout == content[:size]) == (0, True)


def test_digests_are_those_of_sha256sum(content):
    written, blob = packed(content)

    def sum_of(data):
        out = subprocess.run(["sha256sum"], input=data, capture_output=True, timeout=60, check=True).stdout
        return "sha256:" + out.decode().split()[0]

    assert (written.digest, written.diff_id) == (sum_of(blob), sum_of(content))


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_the_blob_does_not_depend_on_threads_and_writes(content, compression):
    assert packed(content, compression, 1) == packed(content, compression, 7, 12345)


def test_blocks_compress_as_well_as_a_whole(content):
    assert len(packed(content)[1]) < 1.02 * len(gzip.compress(content, 6))


def test_zstd(content):
    zstandard = pytest.importorskip("zstandard")
    written, blob = packed(content, "zstd")
    with zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True) as reader:
        assert reader.read() == content
    assert written.media_type.endswith("+zstd") and written == packed(content, "zstd", 1)[0]


def test_a_reader_that_stops_ends_the_threads(content):
    before = threading.active_count()
    blob = iter(Packed([content] * 20))
    next(blob), next(blob)
    assert threading.active_count() > before
    blob.close()
    assert threading.active_count() == before


def test_an_archive_that_fails_is_no_blob():
    def broken():
        yield b"begin"
        raise OcirtError("broken")

    with pytest.raises(OcirtError, match="broken"):
        b"".join(Packed(broken()))
