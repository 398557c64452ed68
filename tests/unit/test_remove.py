"""ocirt.library.remove: a tree goes, whoever has written it, and nothing else does."""

import os

import pytest

from ocirt.library.remove import LEVELS_MAX, remove_beneath, remove_tree


def nest(path, depth):
    """A directory with so many in each other, deeper than any path can say."""
    os.mkdir(path)
    above = os.open(path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=above)
        inner = os.open("d", os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = inner
    os.close(above)


def test_links_are_removed_and_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/link").symlink_to(outside)
    (tree / "link").symlink_to(outside / "file")
    remove_tree(str(tree))
    assert os.listdir(tmp_path) == ["outside"] and os.listdir(outside) == ["file"]
    (tmp_path / "link").symlink_to(outside)
    remove_tree(str(tmp_path / "link"))
    assert os.listdir(tmp_path) == ["outside"] and os.listdir(outside) == ["file"]


def test_what_is_missing_is_gone(tmp_path):
    remove_tree(str(tmp_path / "none"))
    remove_tree(str(tmp_path / "none/below"))
    above = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(FileNotFoundError):
        remove_beneath(above, "none")
    os.close(above)


def test_a_tree_may_be_deeper_than_descriptors_last(tmp_path):
    before = os.listdir("/proc/self/fd")
    nest(tmp_path / "deep", 3 * LEVELS_MAX)
    remove_tree(str(tmp_path / "deep"))
    assert os.listdir(tmp_path) == [] and len(os.listdir("/proc/self/fd")) == len(before)


def test_directories_that_their_owner_closed_are_opened(tmp_path):
    (tmp_path / "tree/a/b").mkdir(parents=True)
    (tmp_path / "tree/a/file").touch()
    for name, mode in (("tree/a/b", 0), ("tree/a", 0o500), ("tree", 0o300)):
        (tmp_path / name).chmod(mode)
    if os.geteuid() == 0:  # root may do everything, so another user must try
        os.chown(tmp_path, 12345, 12345)
        for name in ("tree", "tree/a", "tree/a/b", "tree/a/file"):
            os.chown(tmp_path / name, 12345, 12345)
        above = os.open(tmp_path, os.O_RDONLY)
        child = os.fork()
        if child == 0:
            os.setuid(12345)
            os.fchdir(above)
            try:
                remove_beneath(above, "tree")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(above)
    else:
        remove_tree(str(tmp_path / "tree"))
    assert os.listdir(tmp_path) == []
