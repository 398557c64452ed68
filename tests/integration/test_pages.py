"""The commands of docs/first-container.md and docs/rootless.md, as they are printed, the bundle of docs/gpu.md,
and the unit of docs/cgroups.md."""

import json
import os
import signal
import subprocess

import pytest

from tests.engines.page import blocks, snippet
from tests.integration.harness import AS_USER, LIMIT, TREE, cgroups_path


def page(name, words):
    (found,) = [block for block in blocks((TREE / f"docs/{name}.md").read_text()) if words in block]
    return found


def reader(ocirt, folder, **identity):
    """Runs what a reader pastes, in ``folder``, where ``ocirt`` on PATH is this one with the tests' states."""
    (folder / "bin").mkdir(parents=True)
    command = " ".join(map(str, ocirt.command()))
    (folder / "bin/ocirt").write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    (folder / "bin/ocirt").chmod(0o755)

    def run(text, typed="", cwd=folder):
        done = subprocess.run(
            ["sh", "-e", "-c", text],
            cwd=cwd,
            env=os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
            input=typed,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            **identity,
        )
        assert done.returncode == 0, done
        return done.stdout

    run.folder = folder
    return run


@pytest.fixture
def shell(ocirt, tmp_path):
    return reader(ocirt, tmp_path / "reader")


def in_the_tests_cgroup(bundle):
    config = json.loads((bundle / "config.json").read_text())
    config["linux"]["cgroupsPath"] = cgroups_path("page")
    (bundle / "config.json").write_text(json.dumps(config, indent=2))


@pytest.mark.cgroups
def test_a_first_container(shell):
    """A shell that gets what is typed; then the separate steps, with the edit of config.json that the page prints."""
    begin, _, _ = page("first-container", "mkdir -p bundle").partition("ocirt run")
    shell(begin)
    bundle = shell.folder / "bundle"
    in_the_tests_cgroup(bundle)
    assert "typed" in shell("ocirt run first", "echo ty''ped\nexit\n", cwd=bundle)
    shown = shell(page("first-container", "ocirt plan").replace("| less", ""), cwd=bundle)
    assert "SetHostname" in shown and "config.json compiles to" in shown
    shown = shell(f"({page('first-container', 'ocirt create')}) >shown 2>&1 </dev/null; cat shown", cwd=bundle)
    assert '"status": "created"' in shown and "a further process" in shown and "error" not in shown
    assert shell("ocirt list --quiet") == ""


def test_a_rootless_container(user, tmp_path):
    """The page's commands, typed by a user."""
    shell = reader(user, tmp_path / "home/reader", **AS_USER)
    shell.folder.chmod(0o777)
    assert "typed" in shell(page("rootless", "ocirt spec --rootless"), "echo ty''ped\nexit\n")


@pytest.mark.cgroups
def test_the_device_of_a_bundle(ocirt, bundle):
    """The device of docs/gpu.md that does not exist: it takes what is written, and reads as empty, like /dev/null."""
    wanted = json.loads("{" + snippet("GPU", '"resources": {"devices"') + "}")["linux"]
    bundle.config["linux"]["devices"] = wanted["devices"]
    bundle.config["linux"].setdefault("resources", {})["devices"] = wanted["resources"]["devices"]
    bundle.shell("echo lost >/dev/example; cat /dev/example; stat -c %t:%T /dev/example").save()
    assert ocirt.ok("run", "--bundle", bundle, "gpu").out == "1:3\n"


@pytest.mark.cgroups
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_unit_of_a_container(ocirt, bundle, end):
    """What systemd executes for the unit of docs/cgroups.md, and the signals that it sends."""
    unit = dict(line.split("=", 1) for line in page("cgroups", "ExecStart").splitlines() if "=" in line)
    program, *start = [word.replace("/srv/web", str(bundle)) for word in unit["ExecStart"].split()]
    _, *stop = unit["ExecStopPost"].split()
    assert program == "/usr/local/bin/ocirt" and unit["KillMode"] == "mixed"
    bundle.shell("trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done").save()
    with subprocess.Popen(ocirt.command(*start), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as run:
        assert run.stdout.readline() == b"ready\n"
        run.send_signal(end)
        assert run.wait(LIMIT) == (3 if end == signal.SIGTERM else -signal.SIGKILL)
    assert ocirt.ids() == ([] if end == signal.SIGTERM else ["web"])
    ocirt.ok(*stop)
    assert ocirt.ids() == []


def test_the_directory_of_the_host(ocirt, bundle, tmp_path):
    """The mount of docs/first-container.md shows it, and keeps the container from writing there."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("of the host\n")
    mount = json.loads(page("first-container", '"/srv/data"'))
    assert mount["source"] == "/srv/data"
    bundle.config["mounts"].append(mount | {"source": f"{tmp_path}/data"})
    bundle.shell("cat /data/file; echo x >/data/new").save()
    done = ocirt("run", "--bundle", bundle, "web")
    assert done.out == "of the host\n" and "Read-only file system" in done.err and done.status != 0
    assert os.listdir(tmp_path / "data") == ["file"]
