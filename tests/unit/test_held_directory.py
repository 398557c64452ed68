"""ocirt.library.held_directory: a directory goes with the process that has made it, and nothing of others does."""

import fcntl
import gc
import os
import subprocess
import sys
import tempfile

import pytest

from ocirt.library.held_directory import HeldDirectory

PREFIX = "held-"


def held(place, undo=None):
    made = HeldDirectory(str(place), PREFIX, undo)
    os.mkdir(os.path.join(made.path, "inner"))
    return made


def test_it_goes_with_its_object_or_before(tmp_path):
    made = held(tmp_path)
    assert os.listdir(tmp_path) == [os.path.basename(made.path)] and not made.is_closed
    made.close()
    assert os.listdir(tmp_path) == [] and made.is_closed
    made.close()
    made = held(tmp_path)
    del made
    gc.collect()
    assert os.listdir(tmp_path) == []


def test_only_what_nobody_holds_is_removed(tmp_path):
    for name in (f"{PREFIX}left/inner", "others"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / f"{PREFIX}file").touch()
    (tmp_path / f"{PREFIX}link").symlink_to("others")
    first, second = held(tmp_path), held(tmp_path)
    kept = {f"{PREFIX}file", f"{PREFIX}link", "others"}
    assert set(os.listdir(tmp_path)) == kept | {os.path.basename(each.path) for each in (first, second)}
    second.close()
    assert os.listdir(first.path) == ["inner"]
    first.close()
    assert set(os.listdir(tmp_path)) == kept


def test_directories_of_other_users_stay(tmp_path, monkeypatch):
    (tmp_path / f"{PREFIX}left").mkdir()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    held(tmp_path).close()
    assert os.listdir(tmp_path) == [f"{PREFIX}left"]


def test_what_belongs_to_it_is_undone_after_its_removal(tmp_path):
    undone = []

    def undo(fd):
        assert not os.path.exists(f"/proc/self/fd/{fd}/inner")
        undone.append(os.fstat(fd).st_ino)

    (tmp_path / f"{PREFIX}left").mkdir()
    inodes = [(tmp_path / f"{PREFIX}left").stat().st_ino]
    made = held(tmp_path, undo)
    assert undone == inodes
    inodes.append(os.stat(made.path).st_ino)
    made.close()
    assert undone == inodes


def test_one_that_cannot_be_removed_is_in_nobodys_way(tmp_path):
    def undo(fd):
        raise PermissionError

    (tmp_path / f"{PREFIX}left").mkdir()
    made = held(tmp_path, undo)
    with pytest.raises(PermissionError):
        made.close()


def test_no_lock_on_the_place_is_in_the_way(tmp_path):
    """Everybody who may read a directory can lock it."""
    place = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(place, fcntl.LOCK_EX)
    program = "import sys; from ocirt.library.held_directory import HeldDirectory; HeldDirectory(sys.argv[1], 'held-')"
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True, timeout=30)
    os.close(place)


def test_another_one_is_made_if_somebody_removes_it_before_it_is_locked(tmp_path, monkeypatch):
    make, made = tempfile.mkdtemp, []

    def and_remove(**arguments):
        made.append(make(**arguments))
        if len(made) < 3:
            os.rmdir(made[-1])
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", and_remove)
    found = held(tmp_path)
    assert len(made) == 3 and found.path == made[-1]
    found.close()


def test_it_survives_a_child_that_has_a_copy_of_the_object(tmp_path):
    made = held(tmp_path)
    child = os.fork()
    if child == 0:
        try:
            made.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.path.isdir(made.path)
    (tmp_path / f"{PREFIX}left").mkdir()
    held(tmp_path).close()
    assert os.listdir(tmp_path) == [os.path.basename(made.path)]
    made.close()
    assert os.listdir(tmp_path) == []


def test_a_place_is_meant_at_the_time_when_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = held(".")
    monkeypatch.chdir("/")
    made.close()
    assert os.listdir(tmp_path) == []
