"""``ocirt list``: runc's columns and JSON."""

import json
import os
import pwd

import pytest

from ocirt import state
from ocirt.boot import run
from ocirt.cli import list as cli_list
from ocirt.cli import root

CREATED = 1_700_000_000_250_000_000
OWNER = pwd.getpwuid(os.geteuid()).pw_name


def make(directory, id, bundle="/b", phase=2, pid=0, start_time=0, annotations=None):
    """A state directory as the executable writes it."""
    path = directory / id
    path.mkdir()
    head = state.JOURNAL.pack(b"ocirtjnl", 1, phase, pid, 0, start_time, *divmod(CREATED, 10**9), 0, 0, 0)
    (path / "journal").write_bytes(head.ljust(4096, b"\0"))
    (path / "state.json").write_text(json.dumps({
        "ociVersion": "1.3.0", "bundle": bundle, "rootfs": f"{bundle}/rootfs", "annotations": annotations or {}}))


def ocirt_list(directory, *flags):
    return run(["@cli", "self=9", "--", "ocirt", "--root", str(directory), "list", *flags])


def test_an_empty_list(tmp_path, capfd):
    """A root directory that does not exist holds no container."""
    for directory in (tmp_path, tmp_path / "missing"):
        assert ocirt_list(directory) == 0
        assert capfd.readouterr() == ("ID          PID         STATUS      BUNDLE      CREATED     OWNER\n", "")
        assert ocirt_list(directory, "--format", "json") == 0
        assert capfd.readouterr() == ("null\n", "")
        assert ocirt_list(directory, "-q") == 0
        assert capfd.readouterr() == ("", "")


def test_the_table(tmp_path, capfd):
    make(tmp_path, "short")
    make(tmp_path, "longer-than-12", "/a/bundle", 3, os.getpid(), state.start_time_of(os.getpid()))
    assert ocirt_list(tmp_path) == 0
    pid = f"{os.getpid():<12}"
    assert capfd.readouterr().out == (
        "ID               PID         STATUS      BUNDLE      CREATED                   OWNER\n"
        f"longer-than-12   {pid}running     /a/bundle   2023-11-14T22:13:20.25Z   {OWNER}\n"
        f"short            0           stopped     /b          2023-11-14T22:13:20.25Z   {OWNER}\n")


def test_json(tmp_path, capfd):
    make(tmp_path, "a")
    make(tmp_path, "b", "/é", 2, os.getpid(), state.start_time_of(os.getpid()), {"x": "y"})
    assert ocirt_list(tmp_path, "-f", "json") == 0
    out = capfd.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == [
        {"ociVersion": "1.3.0", "id": "a", "pid": 0, "status": "stopped", "bundle": "/b", "rootfs": "/b/rootfs",
         "created": "2023-11-14T22:13:20.25Z", "owner": OWNER},
        {"ociVersion": "1.3.0", "id": "b", "pid": os.getpid(), "status": "created", "bundle": "/é",
         "rootfs": "/é/rootfs", "created": "2023-11-14T22:13:20.25Z", "annotations": {"x": "y"}, "owner": OWNER}]


def test_quiet_prints_ids(tmp_path, capfd):
    make(tmp_path, "b")
    make(tmp_path, "a")
    assert ocirt_list(tmp_path, "--quiet") == 0
    assert capfd.readouterr().out == "a\nb\n"


def test_a_broken_directory_is_a_warning(tmp_path, capfd):
    make(tmp_path, "good")
    make(tmp_path, "bad")
    (tmp_path / "bad" / "state.json").write_text("{")
    (tmp_path / "begun").mkdir()
    assert ocirt_list(tmp_path) == 0
    out, err = capfd.readouterr()
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [["begun", "0", "creating"], ["good", "0", "stopped"]]
    assert err.endswith(' level=warning msg="container bad: state.json is broken"\n') and err.count("\n") == 1


def test_a_container_that_goes_while_the_list_is_made_is_no_warning(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(state, "ids", lambda root: ["gone"])
    assert ocirt_list(tmp_path, "-f", "json") == 0
    assert capfd.readouterr() == ("null\n", "")


def test_a_root_that_cannot_be_read(tmp_path, capfd):
    (tmp_path / "file").write_text("")
    assert ocirt_list(tmp_path / "file") == 1
    out, err = capfd.readouterr()
    assert out == "" and err.endswith(f'msg="--root {tmp_path}/file: not a directory"\n')


def test_an_owner_without_a_name():
    assert cli_list.owner(os.geteuid()) == OWNER
    assert cli_list.owner(4_294_967_000) == "#4294967000"


@pytest.mark.parametrize("given, uid, runtime, expected", [
    ("/r", 1000, "/run/user/1000", "/r"), (None, 0, "/run/user/0", "/run/ocirt"),
    (None, 1000, "/run/user/1000", "/run/user/1000/ocirt"), (None, 1000, "", "/run/ocirt"),
    (None, 1000, None, "/run/ocirt"),
])
def test_the_root_directory(monkeypatch, given, uid, runtime, expected):
    monkeypatch.setattr(root.os, "geteuid", lambda: uid)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if runtime is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    assert root.root_of(type("Options", (), {"root": given})) == expected
