"""``ocirt doctor``: the engines of the host, and how each is switched to ocirt."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from ocirt.cli.doctor import engines, switch
from ocirt.cli.doctor.finding import GOOD, NOTE
from tests.unit.doctoring import host

TREE = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name, path, text, runtime",
    [
        ("podman", "/etc/containers/containers.conf", '[engine]\nruntime = "ocirt"\n', "ocirt"),
        (
            "docker",
            "/etc/docker/daemon.json",
            '{"default-runtime": "o", "runtimes": {"o": {"path": "/usr/local/bin/ocirt"}}}',
            "/usr/local/bin/ocirt",
        ),
        (
            "containerd",
            "/etc/containerd/config.toml",
            '[plugins."io.containerd.grpc.v1.cri".containerd]\ndefault_runtime_name = "o"\n'
            '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.o.options]\nBinaryName = "/usr/bin/ocirt"\n',
            "/usr/bin/ocirt",
        ),
    ],
)
def test_an_engine_that_is_switched(monkeypatch, tmp_path, name, path, text, runtime):
    monkeypatch.setattr(engines, "text_of", lambda asked: text if asked == path else "")
    monkeypatch.setattr(engines, "glob", lambda pattern: [])  # further files that this machine may have
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert getattr(engines, f"_{name}")()[0] == runtime and engines.is_ocirt(runtime)
    assert not engines.is_ocirt("/usr/sbin/runc")


@pytest.mark.parametrize("engine", ["podman", "docker", "containerd", "buildah"])
def test_how_to_switch_an_engine(monkeypatch, tmp_path, engine):
    """The finding has the lines that the engine's page has, and none of docs/, which an installed ocirt lacks."""
    program = {"docker": "dockerd"}.get(engine, engine)
    installed = {program: f"/usr/bin/{program}"}
    monkeypatch.setattr(engines.shutil, "which", lambda name, path=None: installed.get(name))
    monkeypatch.setattr(engines, "_toml", lambda path: {})
    for module in (engines, switch):
        monkeypatch.setattr(module, "DOCKER_FILE", f"{tmp_path}/docker/daemon.json")
        monkeypatch.setattr(module, "CONTAINERD_FILE", f"{tmp_path}/containerd/config.toml")
    monkeypatch.delenv("BUILDAH_RUNTIME", raising=False)
    (finding,) = [each for each in engines.examine(host()) if engine in each.found]
    page = (TREE / f"docs/{engine}.md").read_text()
    blocks = ["".join(part.split()) for part in re.findall(r"(?:^    .*\n)+", page, re.MULTILINE)]
    if engine == "docker":
        assert any(block in "".join(finding.mend.split()) for block in blocks)
    elif engine == "buildah":
        assert "BUILDAH_RUNTIME=/usr/local/bin/ocirt" in finding.mend and "oci" in finding.mend
    else:
        words = finding.mend.partition("printf ")[2].partition(" >")[0]
        printed = subprocess.run(["sh", "-c", f"printf {words}"], capture_output=True, text=True, timeout=60).stdout
        assert "".join(printed.split()) in blocks
    assert "docs/" not in finding.mend and "\n" not in finding.mend


def carried_out(mend):
    """Let a shell do what a finding says, but for the restart of the engine."""
    command = mend.partition("run: ")[2].partition(" && systemctl")[0].partition("; then")[0]
    subprocess.run(["sh", "-ec", command], check=True, timeout=60)


CRI2 = "io.containerd.grpc.v1.cri"
CRI3 = "io.containerd.cri.v1.runtime"


@pytest.mark.parametrize(
    "text, by_hand",
    [
        (None, None),
        ("# nothing is set\n", None),
        (f'version = 2\n[plugins]\n  [plugins."{CRI2}"]\n    sandbox_image = "x"', None),
        (f'version = 3\n[plugins."{CRI3}"]\nenable_cdi = true\n', None),
        (
            f'version = 2\n[plugins."{CRI2}".containerd]\nsnapshotter = "x"\ndefault_runtime_name = "runc"\n',
            'change line 4 to default_runtime_name = "ocirt"',
        ),
        (
            f"version = 3\n[plugins]\n  [plugins.'{CRI3}'.containerd]\n    snapshotter = \"x\"\n",
            f'write default_runtime_name = "ocirt" beneath [plugins."{CRI3}".containerd] (line 3)',
        ),
    ],
)
def test_the_command_for_containerd_fits_the_file_that_is_there(monkeypatch, tmp_path, text, by_hand):
    """TOML takes each table once: a file that has one is changed by hand, and gets what it lacks by the command."""
    file = tmp_path / "etc/config.toml"
    if text is not None:
        file.parent.mkdir()
        file.write_text(text)
    for module in (engines, switch):
        monkeypatch.setattr(module, "CONTAINERD_FILE", str(file))
    mend = switch.way("containerd", host())
    assert (by_hand or "") in mend and ("change line" in mend or "beneath" in mend) == bool(by_hand)
    carried_out(mend)
    name = CRI3 if "version = 3" in (text or "") else CRI2
    settings = engines._toml(str(file))["plugins"][name]["containerd"]
    assert engines.is_ocirt(settings["runtimes"]["ocirt"]["options"]["BinaryName"])
    if by_hand:
        assert engines._containerd()[0] != settings["runtimes"]["ocirt"]["options"]["BinaryName"]
    else:
        assert engines.is_ocirt(engines._containerd()[0])


def test_a_file_of_containerd_that_has_the_oldest_format(monkeypatch, tmp_path):
    (tmp_path / "config.toml").write_text('disabled_plugins = ["cri"]\n')
    monkeypatch.setattr(switch, "CONTAINERD_FILE", f"{tmp_path}/config.toml")
    mend = switch.way("containerd", host())
    assert "has the format of version 1" in mend and "printf" not in mend


@pytest.mark.parametrize(
    "settings, words",
    [
        ({}, ('add "runtimes": {"ocirt": {"path": ', 'add "default-runtime": "ocirt"')),
        (
            {"runtimes": {"kata": {"path": "/kata"}}, "default-runtime": "kata"},
            ('add "ocirt": {"path": ', 'change "default-runtime" from "kata" to "ocirt"'),
        ),
    ],
)
def test_what_to_change_in_a_file_of_docker_that_is_there(monkeypatch, tmp_path, settings, words):
    file = tmp_path / "daemon.json"
    for module in (engines, switch):
        monkeypatch.setattr(module, "DOCKER_FILE", str(file))
    carried_out(switch.way("dockerd", host()))
    assert engines.is_ocirt(engines._docker()[0])
    file.write_text(json.dumps(settings))
    mend = switch.way("dockerd", host())
    assert all(each in mend for each in words) and "printf" not in mend


def test_a_file_that_podman_reads_after_the_one_of_ocirt(monkeypatch, tmp_path):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path.replace("~", str(tmp_path)))
    folder = f"{tmp_path}/.config/containers/containers.conf.d"
    user = host(euid=1000)
    assert switch.way("podman", user, f"{folder}/a.conf").startswith("run: mkdir -p ~/.config/containers")
    assert switch.way("podman", user, f"{folder}/z.conf").startswith(
        f"remove the line runtime of [engine] in {folder}/z.conf, which podman reads last; then run: mkdir"
    )
    os.makedirs(folder)
    Path(f"{folder}/ocirt.conf").write_text("")
    assert ">" not in switch.way("podman", user)  # the command would replace what the reader has there


@pytest.mark.parametrize("systemd", [True, False])
@pytest.mark.parametrize("engine", ["dockerd", "containerd"])
def test_nobody_is_sent_to_a_systemd_that_does_not_run(monkeypatch, tmp_path, engine, systemd):
    monkeypatch.setattr(switch, "DOCKER_FILE", f"{tmp_path}/none")
    monkeypatch.setattr(switch, "CONTAINERD_FILE", f"{tmp_path}/none")
    mend = switch.way(engine, host(has_systemd=systemd))
    assert ("systemctl" in mend) == systemd and mend.endswith(
        f"systemctl restart {engine.replace('dockerd', 'docker')}" if systemd else f"; then restart {engine}"
    )


@pytest.mark.parametrize("engine, text", [("docker", "[1]"), ("containerd", "plugins = 5"), ("podman", "engine = 5")])
def test_settings_of_another_kind_name_no_runtime(monkeypatch, tmp_path, engine, text):
    file = tmp_path / "containers/containers.conf"
    file.parent.mkdir()
    file.write_text(text)
    monkeypatch.setattr(engines, "DOCKER_FILE", str(file))
    monkeypatch.setattr(engines, "CONTAINERD_FILE", str(file))
    real = engines._toml
    monkeypatch.setattr(engines, "_toml", lambda path: real(path) if path == str(file) else {})
    monkeypatch.setattr(engines, "glob", lambda pattern: [])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert getattr(engines, f"_{engine}")()[0] is None


@pytest.fixture
def containerd(monkeypatch, tmp_path):
    """A function that writes files of containerd's and gives its finding."""
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "containerd").touch(0o755)
    monkeypatch.setenv("PATH", str(bin))
    monkeypatch.setattr(
        engines.shutil, "which", lambda name, path=None: str(bin / name) if name == "containerd" else None
    )
    for module in (engines, switch):
        monkeypatch.setattr(module, "CONTAINERD_FILE", str(tmp_path / "etc/config.toml"))

    def finding(files):
        for name, text in files.items():
            file = tmp_path / "etc" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (found,) = engines.examine(host())
        return found

    return finding


def runtime(name, plugin=CRI2):
    return f'[plugins."{plugin}".containerd]\ndefault_runtime_name = "{name}"\n'


@pytest.mark.parametrize(
    "way", ["conf.d/*.toml", "./conf.d/ocirt.toml", "{etc}/conf.d/*.toml", "conf.d/../conf.d/o*.toml"]
)
def test_a_file_that_containerd_imports(containerd, tmp_path, way):
    """By its path or a pattern, relative to the file that names it."""
    config = f'version = 2\nimports = ["{way.format(etc=tmp_path / "etc")}"]\n'
    found = containerd({"config.toml": config + runtime("runc"), "conf.d/ocirt.toml": runtime("ocirt")})
    assert (found.level, found.found) == (GOOD, "containerd runs containers with ocirt (ocirt)")


def test_an_imported_file_has_the_last_word(containerd, tmp_path):
    """And is the one to change: lines in the file that imports it would have no effect."""
    config = 'version = 2\nimports = ["conf.d/*.toml"]\n' + runtime("ocirt")
    found = containerd({"config.toml": config, "conf.d/a.toml": runtime("runc")})
    assert (found.level, found.found) == (NOTE, "containerd runs containers with runc")
    assert f'in {tmp_path}/etc/conf.d/a.toml change line 2 to default_runtime_name = "ocirt"' in found.mend


def test_files_that_import_each_other(containerd):
    found = containerd(
        {"config.toml": 'imports = ["a.toml"]', "a.toml": 'imports = ["config.toml"]\n' + runtime("ocirt")}
    )
    assert found.level == GOOD


@pytest.mark.parametrize("version, plugin, level", [(2, CRI2, NOTE), (3, CRI3, GOOD)])
def test_a_further_table_of_the_plugin(containerd, version, plugin, level):
    """containerd 1 takes the last table of a plugin as a whole; containerd 2 lets it change single settings."""
    config = f'version = {version}\nimports = ["a.toml"]\n' + runtime("ocirt", plugin)
    found = containerd({"config.toml": config, "a.toml": f'[plugins."{plugin}".containerd]\nsnapshotter = "x"\n'})
    assert found.level == level


def test_an_imported_file_that_is_missing(containerd):
    """containerd does not start then."""
    found = containerd({"config.toml": 'version = 2\nimports = ["none.toml"]\n' + runtime("ocirt")})
    assert found.level == NOTE and "its configuration cannot be read" in found.found and "none.toml" in found.found


def test_the_settings_are_read_once(containerd, monkeypatch):
    """Those that the runtime comes from are those that say which file to change."""
    asked, read = [], engines.text_of
    monkeypatch.setattr(engines, "text_of", lambda path: asked.append(os.path.basename(path)) or read(path))
    found = containerd({"config.toml": 'version = 2\nimports = ["a.toml"]\n', "a.toml": runtime("runc")})
    assert asked == ["config.toml", "a.toml"] and "a.toml change line 2" in found.mend
