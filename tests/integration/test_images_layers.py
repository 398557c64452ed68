"""Images from files: layers are unpacked in a container of their own, as overlayfs reads them."""

import os
import stat
import tarfile

import pytest

from ocirt import Image, ImageError
from tests.images import Layout, directory, entry, layer


@pytest.fixture
def load(tmp_path, runtime):
    """Loads a layout or an archive into a store of the test's own."""

    def load(path, **more):
        return Image.load(path, store=tmp_path / "store", runtime=runtime, **more)

    return load


@pytest.fixture
def unpacked(load, tmp_path):
    """The directories of the layers of an image with these layers, the lowest first."""

    def unpack(*layers, **more):
        return load(Layout(tmp_path / "layout").image(*layers, **more)).layers[::-1]

    return unpack


def left(tmp_path):
    """What is in the store of layers, and of what is being written."""
    return os.listdir(tmp_path / "store/layers") + os.listdir(tmp_path / "store/temporary")


def test_a_layer_with_everything(unpacked):
    (path,) = unpacked(
        layer(
            directory("bin", 0o711, uid=5, gid=6, mtime=77),
            entry("bin/sh", b"#!", mode=0o4755, uid=7, gid=8, mtime=99),
            entry("bin/link", type=tarfile.SYMTYPE, link="/nowhere", mtime=55),
            entry("bin/hard", type=tarfile.LNKTYPE, link="bin/sh"),
            entry("fifo", type=tarfile.FIFOTYPE, mode=0o600),
            entry("with", b"1", pax={"SCHILY.xattr.user.note": "text"}),
        )
    )
    status = os.lstat(f"{path}/bin/sh")
    assert (oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime) == ("0o104755", 7, 8, 99)
    status = os.lstat(f"{path}/bin")
    assert (oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime) == ("0o40711", 5, 6, 77)
    assert (os.readlink(f"{path}/bin/link"), os.lstat(f"{path}/bin/link").st_mtime) == ("/nowhere", 55)
    assert os.path.samefile(f"{path}/bin/sh", f"{path}/bin/hard") and stat.S_ISFIFO(os.lstat(f"{path}/fifo").st_mode)
    assert os.getxattr(f"{path}/with", "user.note") == b"text"


def test_whiteouts_are_overlayfs(unpacked):
    path = unpacked(
        layer(directory("a"), entry("a/x")), layer(entry("a/.wh.x"), directory("b"), entry("b/.wh..wh..opq"))
    )[1]
    status = os.lstat(f"{path}/a/x")
    assert stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
    assert os.getxattr(f"{path}/b", "user.overlay.opaque") == os.getxattr(f"{path}/b", "trusted.overlay.opaque") == b"y"


def test_another_diff_id_is_refused(unpacked, tmp_path):
    with pytest.raises(ImageError, match="found the diff id sha256:.*, expected sha256:0000"):
        unpacked(layer(entry("x")), diff_ids=["sha256:" + "0" * 64])
    assert left(tmp_path) == []
