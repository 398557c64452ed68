"""``ocirt spec``: a config.json like ``runc spec``'s."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ocirt.boot import run
from ocirt.cli import spec

DATA = Path(__file__).parent / "data"
RUNC = shutil.which("runc")


def ocirt_spec(*flags):
    return run(["@cli", "9", "-1", "ocirt", "spec", *flags])


def test_it_is_written_into_this_directory(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert ocirt_spec() == 0
    out, err = capfd.readouterr()
    assert out == "" and (
        err == "" if os.geteuid() == 0 else "ocirt spec --rootless" in err
    )  # a user is told what runs for him
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["ociVersion"], config["hostname"], config["process"]["args"]) == ("1.3.0", "ocirt", ["sh"])


@pytest.mark.parametrize("is_v2", [False, True])
@pytest.mark.parametrize("flags", [[], ["--rootless"]])
def test_it_is_that_of_runc_1_5_byte_for_byte_but_for_the_hostname(tmp_path, monkeypatch, flags, is_v2):
    """The files are what runc 1.5.0's package specconv writes as root on a host with cgroup v1."""
    monkeypatch.setattr(spec.os, "geteuid", lambda: 0)
    monkeypatch.setattr(spec.os, "getegid", lambda: 0)
    monkeypatch.setattr(spec.os.path, "exists", lambda path: is_v2)
    assert ocirt_spec("--bundle", str(tmp_path), *flags) == 0
    theirs = (DATA / f"runc-1.5-spec{'-rootless' * bool(flags)}.json").read_text().replace('"runc"', '"ocirt"')
    if is_v2:
        last = '{\n\t\t\t\t"type": "mount"\n\t\t\t}'
        theirs = theirs.replace(last, f"{last},\n\t\t\t{last.replace('mount', 'cgroup')}")
    assert (tmp_path / "config.json").read_text() == theirs


@pytest.mark.skipif(RUNC is None, reason="runc is not installed")
@pytest.mark.parametrize("flags", [[], ["--rootless"]])
def test_it_is_that_of_the_runc_here_but_for_what_changed_since(tmp_path, flags):
    """Before 1.3 runc's had another version, and an ambient set that runc itself ignored."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    ours.mkdir()
    subprocess.run([RUNC, "spec", "--bundle", theirs, *flags], check=True, timeout=60)
    assert ocirt_spec("--bundle", str(ours), *flags) == 0
    config = json.loads((theirs / "config.json").read_text()) | {"ociVersion": "1.3.0", "hostname": "ocirt"}
    config["process"]["capabilities"].pop("ambient", None)
    assert (ours / "config.json").read_text() == json.dumps(config, indent="\t")


def test_rootless_maps_the_caller():
    linux = spec.rootless(1000, 1001)["linux"]
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 1}]
    assert linux["gidMappings"] == [{"containerID": 0, "hostID": 1001, "size": 1}]
    kinds = [namespace["type"] for namespace in linux["namespaces"]]
    assert "user" in kinds and "network" not in kinds and "resources" not in linux


def test_rootless_changes_nothing_of_the_default():
    before = spec.default()
    spec.rootless(1, 1)
    assert spec.default() == before


def test_a_cgroup_namespace_on_v2(monkeypatch):
    for there in (True, False):
        monkeypatch.setattr(spec.os.path, "exists", lambda path, there=there: there)
        assert ({"type": "cgroup"} in spec.default()["linux"]["namespaces"]) is there


def test_an_existing_file_is_left_alone(tmp_path, capfd):
    (tmp_path / "config.json").write_text("mine")
    assert ocirt_spec("-b", str(tmp_path)) == 1
    assert capfd.readouterr().err.endswith(' level=error msg="File config.json exists. Remove it first"\n')
    assert (tmp_path / "config.json").read_text() == "mine"


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "config.json").symlink_to("elsewhere")
    assert ocirt_spec("-b", str(tmp_path)) == 1
    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_bundle(tmp_path, capfd):
    assert ocirt_spec("--bundle", str(tmp_path / "no")) == 1
    assert capfd.readouterr().err.endswith(f' msg="--bundle {tmp_path}/no: no such directory"\n')


def test_a_full_disk_leaves_nothing(tmp_path, capfd, monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def write(self, text):
            raise OSError(28, "No space left on device")

    def full(path, *_, **__):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        return Full()

    monkeypatch.setattr(spec, "open", full, raising=False)
    assert ocirt_spec("-b", str(tmp_path)) == 1
    assert "config.json: no space left on device" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
