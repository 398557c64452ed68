"""``ocirt doctor``: a file of an engine that cannot be read. podman reads many, so the finding names the one."""

import os

import pytest

from ocirt.cli.doctor import engines
from tests.unit.doctoring import host


@pytest.fixture
def findings(monkeypatch, tmp_path):
    """A function that gives doctor's findings on an engine whose own file is ``settings`` of the test's folder."""
    folder = tmp_path / "containers/containers.conf.d"
    folder.mkdir(parents=True)
    monkeypatch.setattr(engines, "DOCKER_FILE", str(tmp_path / "settings"))
    monkeypatch.setattr(engines, "CONTAINERD_FILE", str(tmp_path / "settings"))
    monkeypatch.setattr(engines, "glob", lambda pattern: sorted(map(str, folder.iterdir())))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def of(engine):
        monkeypatch.setattr(engines.shutil, "which", lambda name, path=None: f"/bin/{name}" if name == engine else None)
        return [(each.level, str(each)) for each in engines.examine(host())]

    return of


@pytest.mark.parametrize("engine, file", [("podman", "containers/containers.conf.d/90.conf"), ("dockerd", "settings")])
@pytest.mark.parametrize("data", [b"[[", b"\xff\xfe\0"])
def test_the_file_is_named(findings, tmp_path, engine, file, data):
    (tmp_path / file).write_bytes(data)
    ((level, words),) = findings(engine)
    assert level == "note" and words.startswith(f"{engine}: its configuration cannot be read: {tmp_path / file}: ")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_no_regular_file(findings, tmp_path, make):
    """Nobody writes to the FIFO, and /dev/zero has no end."""
    path = tmp_path / "settings"
    make(path)
    for engine in ("dockerd", "containerd"):
        assert findings(engine) == [
            ("note", f"{engine}: its configuration cannot be read: {path}: is no regular file"),
        ]


def test_a_huge_file(findings, tmp_path):
    path = tmp_path / "settings"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    assert findings("dockerd") == [("note", f"dockerd: its configuration cannot be read: {path}: has more than 4 MiB")]
