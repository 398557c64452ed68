"""Reading state directories (runtime-spec runtime.md, "State"; the frozen layout of core/state/journal.h)."""

import errno
import json
import os
import subprocess
import sys
import time

import pytest

from ocirt import state_dir
from ocirt.descriptor import Descriptor
from ocirt.errors import StateError
from ocirt.library import pidfd

STATE = {
    "ociVersion": "1.3.0",
    "id": "c",
    "pid": 1,
    "status": "created",
    "bundle": "/b",
    "rootfs": "/b/rootfs",
    "created": "x",
    "version": 1,
    "annotations": {"a": "b"},
    "owner": "",
}
CREATED = 1_700_000_000_250_000_000


def journal(phase, pid=0, start_time=0, creator=0, creator_start_time=0, version=1, magic=b"ocirtjnl"):
    """The bytes of a journal as the executable writes it."""
    head = state_dir.JOURNAL.pack(
        magic, version, phase, pid, 0, start_time, *divmod(CREATED, 10**9), creator, 0, creator_start_time
    )
    return head.ljust(4096, b"\0")


def make(root, id="c", journal=None, members=STATE):
    directory = root / id
    directory.mkdir()
    if journal is not None:
        (directory / "journal").write_bytes(journal)
    if members is not None:
        (directory / "state.json").write_text(members if isinstance(members, str) else json.dumps(members))
    return directory


@pytest.fixture
def process():
    """A child that lives: its pid and start time."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child.pid, state_dir.start_time_of(child.pid)
        child.stdin.close()


@pytest.fixture
def zombie():
    """A child that has ended and has not been waited for: its pid and start time."""
    with subprocess.Popen(["/bin/true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        yield child.pid, state_dir.start_time_of(child.pid)


@pytest.mark.parametrize("phase, status", [(2, "created"), (3, "running")])
def test_a_living_process(tmp_path, process, phase, status):
    pid, start_time = process
    make(tmp_path, journal=journal(phase, pid, start_time))
    found = state_dir.read(tmp_path, "c")
    assert (found.status, found.pid) == (status, pid)
    assert (found.is_alive, found.has_started) == (True, status == "running")
    assert found.to_json() == {
        "ociVersion": "1.3.0",
        "id": "c",
        "pid": pid,
        "status": status,
        "bundle": "/b",
        "rootfs": "/b/rootfs",
        "created": "2023-11-14T22:13:20.25Z",
        "annotations": {"a": "b"},
    }


def test_another_process_with_the_same_pid_is_not_the_container(tmp_path, process):
    pid, start_time = process
    make(tmp_path, journal=journal(3, pid, start_time - 1))
    found = state_dir.read(tmp_path, "c")
    assert (found.status, found.pid) == ("stopped", 0)


def test_a_zombie_has_stopped(tmp_path, zombie):
    make(tmp_path, journal=journal(3, *zombie))
    found = state_dir.read(tmp_path, "c")
    assert (found.status, found.pid) == ("stopped", 0)
    assert not found.is_alive and not found.has_started


@pytest.mark.parametrize("number", [errno.ESRCH, errno.EINVAL, errno.ENOENT])
def test_a_process_that_is_being_reaped(monkeypatch, number):
    """The kernel says so in three ways."""

    def refuse(pid, flags=0):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(ProcessLookupError):
        Descriptor.of_process(1)
    assert not state_dir.lives(1, 1) and pidfd.hold(1, 1) is None


def test_a_create_at_work(tmp_path, process):
    creator, start_time = process
    make(tmp_path, journal=journal(1, creator=creator, creator_start_time=start_time), members=None)
    found = state_dir.read(tmp_path, "c")
    assert (found.status, found.pid, found.created, found.bundle) == ("creating", 0, CREATED, "")


@pytest.mark.parametrize("phase, expected", [(1, True), (2, False), (3, False)])
def test_a_create_that_has_not_committed(tmp_path, phase, expected):
    """What is left behind to undo a create asks by the directory that it holds open."""
    make(tmp_path, journal=journal(phase))
    directory = os.open(tmp_path / "c", os.O_RDONLY)
    try:
        assert state_dir.is_being_created(directory) is expected
    finally:
        os.close(directory)


def test_a_create_that_was_cut_off_has_stopped(tmp_path, process):
    creator, start_time = process
    make(tmp_path, journal=journal(1, creator=creator, creator_start_time=start_time + 1), members=None)
    assert state_dir.read(tmp_path, "c").status == "stopped"


@pytest.mark.parametrize("contents", [None, b"", bytes(4096)])
def test_a_create_that_has_only_begun(tmp_path, contents):
    make(tmp_path, journal=contents, members=None)
    found = state_dir.read(tmp_path, "c")
    assert (found.status, found.pid) == ("creating", 0)
    assert abs(found.created / 1e9 - time.time()) < 60


@pytest.mark.parametrize(
    "contents, words",
    [
        (journal(2)[:100], "journal is broken"),
        (journal(2, magic=b"notajrnl"), "journal is broken"),
        (journal(2, version=2), "version 2"),
        (journal(9), "phase 9"),
    ],
)
def test_a_broken_journal(tmp_path, contents, words):
    make(tmp_path, journal=contents)
    with pytest.raises(StateError, match=words):
        state_dir.read(tmp_path, "c")


@pytest.mark.parametrize(
    "members", ["", "{", "[]", "7", '{"ociVersion": "1.3.0"}', "\ufeff{}", '{"ociVersion":1,"bundle":2,"rootfs":3}']
)
def test_a_broken_state_json(tmp_path, members):
    make(tmp_path, journal=journal(2), members=members)
    with pytest.raises(StateError, match="state.json is broken"):
        state_dir.read(tmp_path, "c")


def test_a_missing_state_json(tmp_path):
    make(tmp_path, journal=journal(2), members=None)
    with pytest.raises(StateError, match="container c: state.json is missing"):
        state_dir.read(tmp_path, "c")


def test_a_missing_container(tmp_path):
    with pytest.raises(StateError, match="container does not exist: c"):
        state_dir.read(tmp_path, "c")


def test_a_link_is_no_state_directory(tmp_path):
    make(tmp_path, "real", journal(2))
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(StateError):
        state_dir.read(tmp_path, "link")


def test_ids(tmp_path):
    for name in ("b", "a.1_x+y-Z", "not an id"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("b")
    assert state_dir.ids(tmp_path) == ["a.1_x+y-Z", "b"]
    assert state_dir.ids(tmp_path / "missing") == []


@pytest.mark.parametrize(
    "nanoseconds, text",
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (CREATED, "2023-11-14T22:13:20.25Z"),
        (4_102_444_800_000_000_000, "2100-01-01T00:00:00Z"),
        (951_782_400_100_000_000, "2000-02-29T00:00:00.1Z"),
    ],
)
def test_timestamp(nanoseconds, text):
    assert state_dir.timestamp(nanoseconds) == text


def test_a_name_with_parentheses_does_not_move_the_start_time(tmp_path):
    """proc_pid_stat(5): the name of the program may hold spaces and parentheses."""
    program = tmp_path / "a) R (1"
    program.symlink_to("/bin/cat")
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE) as child:
        with open("/proc/self/stat") as file:
            ours = int(file.read().rpartition(")")[2].split()[19])
        deadline = time.monotonic() + 10
        while "a) R" not in open(f"/proc/{child.pid}/comm").read() and time.monotonic() < deadline:
            pass
        assert ours <= state_dir.start_time_of(child.pid) < ours + 10**9
        child.stdin.close()
