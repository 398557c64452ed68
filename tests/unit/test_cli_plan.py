"""``ocirt plan``: works without root, on any bundle, and changes nothing."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ocirt.boot import run
from ocirt.cli import spec
from ocirt.model.host import Cgroups, Hierarchy, Host
from ocirt.plan.printer import RUNS

ROOT = Path(__file__).parents[2]


MOUNTS = "/sys/fs/cgroup"


@pytest.fixture(autouse=True)
def host(monkeypatch):
    """This host, but with the cgroup v1 hierarchies that most have: what there is to compile is the same everywhere."""
    names = ("name=systemd", "cpu", "cpuset", "memory", "pids", "devices", "blkio", "freezer")
    cgroups = Cgroups([Hierarchy([name], f"{MOUNTS}/{name.removeprefix('name=')}", "/") for name in names])
    monkeypatch.setattr("ocirt.cli.plan.Host", lambda **facts: Host(**({"cgroups": cgroups} | facts)))


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(spec.default()))
    return tmp_path


def ocirt_plan(*arguments):
    return run(["@cli", "9", "-1", "ocirt", *map(str, arguments)])


def lines_of(capfd):
    out, err = capfd.readouterr()
    assert err == ""
    return out.splitlines()


def sections(lines):
    """The lines of each section, by its name."""
    found = {}
    for line in lines:
        if line and not line.startswith(" "):
            name = line.partition(":")[0]
            found[name] = []
        elif line:
            found[name].append(line)
    return found


def test_the_default_bundle(bundle, capfd):
    assert ocirt_plan("plan", bundle) == 0
    found = sections(lines_of(capfd))
    facts = found.pop("facts")
    assert list(found) == [name for name in RUNS if name in found]
    assert {"host", "init", "exec_program", "delete"} <= set(found)
    for lines in found.values():
        assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1))
    for destination in ("/proc", "/dev/pts", "/sys"):
        assert any(f"target={destination} " in line and " mounts[" in line for line in found["init"])
    spawn = next(line for line in found["host"] if "Spawn" in line)
    assert "flags=CLONE_NEWPID " in spawn + " "
    assert any("Unshare" in line and "flags=CLONE_NEW{NS,UTS,IPC" in line for line in found["init"])
    assert any("SetHostname" in line and "name=ocirt" in line and " hostname" in line for line in found["init"])
    assert ["id", "ID"] in [line.split() for line in facts]


def test_the_bundle_is_this_directory_by_default(bundle, capfd, monkeypatch):
    assert ocirt_plan("plan", bundle) == 0
    given = lines_of(capfd)
    monkeypatch.chdir(bundle)
    assert ocirt_plan("plan") == 0
    assert lines_of(capfd) == given


def test_it_says_what_create_would_do(bundle, capfd):
    assert ocirt_plan("--cgroup-manager", "disabled", "plan", bundle) == 0
    assert not any("Cgroup" in line for line in lines_of(capfd))


def test_slots(bundle, capfd):
    assert ocirt_plan("plan", "--slots", bundle) == 0
    lines = lines_of(capfd)
    found = sections(lines)
    assert list(found) == ["slots", "guards", "tests"]
    assert any(line.split()[0] == "hostname" for line in found["slots"])
    assert any(line.split() == ["mounts[0].type", '"proc"'] for line in found["guards"])
    assert all(line.split()[-1] in ("yes", "no") for line in found["tests"])


def test_another_config(bundle, tmp_path, capfd):
    other = tmp_path / "other.json"
    other.write_text(json.dumps(spec.default() | {"hostname": "other-host"}))
    assert ocirt_plan("plan", bundle, "--config", other) == 0
    assert any("name=other-host" in line for line in lines_of(capfd))


def test_nothing_is_changed(bundle, capfd):
    before = sorted(bundle.rglob("*"))
    assert ocirt_plan("--root", bundle / "root", "plan", bundle) == 0
    assert sorted(bundle.rglob("*")) == before


@pytest.mark.parametrize("config", [spec.default(), spec.rootless(65534, 65534)], ids=["default", "rootless"])
def test_without_privileges(config):
    """A bundle of root's too: its plan is root's. The code is a copy, because the tree may lie where only root can go."""
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as bundle:  # pytest's own directories are closed to other users
        os.chmod(bundle, 0o755)
        shutil.copytree(ROOT / "ocirt", Path(bundle, "ocirt"), ignore=shutil.ignore_patterns("core", "__pycache__"))
        program = f"import sys; sys.path.insert(0, {bundle!r}); from ocirt.boot import main; main(sys.argv[1:])"
        Path(bundle, "config.json").write_text(json.dumps(config))
        done = subprocess.run(
            [
                _interpreter(),
                "-I",
                "-S",
                "-B",
                "-c",
                program,
                "@cli",
                "9",
                "-1",
                "ocirt",
                "--cgroup-manager",
                "disabled",
                "plan",
                bundle,
            ],
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
            stdin=subprocess.DEVNULL,
            **user,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert (" flags=CLONE_NEWPID " in done.stdout) is (config == spec.default())
    assert (" flags=CLONE_NEW{USER,PID} " in done.stdout) is (config != spec.default())


def _interpreter():
    """An interpreter that anybody may execute. This one's own, not a link to it in a virtual environment; where other users cannot go
    to it, the system's."""
    own = Path(sys.executable).resolve()
    return (
        own if os.geteuid() != 0 or all(path.stat().st_mode & 1 for path in (own, *own.parents)) else "/usr/bin/python3"
    )


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "found the end"),
        (b"{", "line 1 column 2"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff", "UTF-8"),
        (b"[]", "found an array"),
        (b'{"ociVersion": "1.3.0", "process": []}', "process: found an array, expected an object"),
        (b'{"ociVersion": 1}', "ociVersion: found 1, expected a string"),
    ],
)
def test_a_bad_config_is_one_line(tmp_path, capfd, data, words):
    (tmp_path / "config.json").write_bytes(data)
    assert ocirt_plan("plan", tmp_path) == 1
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and words in err and "internal error" not in err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["missing"], "missing/config.json: no such file or directory"),
        (["--config", "missing.json"], "--config missing.json: no such file or directory"),
        (["--config", "."], "--config .: is a directory"),
    ],
)
def test_a_missing_config_is_one_line(tmp_path, capfd, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert ocirt_plan("plan", *arguments) == 1
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and words in err


def test_half_a_surrogate_pair_is_one_line(bundle, capfd):
    config = spec.default()
    config["process"]["args"] = ["a", "\ud800"]
    (bundle / "config.json").write_text(json.dumps(config))
    assert ocirt_plan("plan", bundle) == 1
    assert "process.args[1]" in capfd.readouterr().err


def test_a_plan_that_is_unsound_is_said_to_be(bundle, capfd, monkeypatch):
    monkeypatch.setattr("ocirt.cli.plan.fault_of", lambda plan: "init[3] (Receive for x) waits for ready")
    assert ocirt_plan("plan", bundle) == 1
    out, err = capfd.readouterr()
    assert out.startswith("host") and "init[3] (Receive for x) waits for ready; please report it" in err
