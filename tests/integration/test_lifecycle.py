"""The lifecycle of runtime.md, runtime-spec 1.3.0: each test names its section."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.harness import PARENT, SYSTEMD, Runtime, built, cgroup_file, enough_output
from tests.integration.unified import left_running


def test_create_start_state_kill_delete(ocirt, bundle):
    """runtime.md, State: every field, through the whole life."""
    bundle.config["annotations"] = {"org.example.key": 'v"a\\l\u00fce', "b": ""}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    state = ocirt.state("c1")
    assert state["ociVersion"] == "1.3.0"
    assert (state["id"], state["status"], state["bundle"], state["rootfs"]) == (
        "c1",
        "created",
        str(bundle.path),
        str(bundle.rootfs),
    )
    assert state["annotations"] == bundle.config["annotations"]
    assert Path(f"/proc/{state['pid']}").exists()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", state["created"]) and state["owner"] == ""
    ocirt.ok("start", "c1")
    assert ocirt.state("c1")["status"] == "running" and ocirt.state("c1")["pid"] == state["pid"]
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    assert ocirt.state("c1")["pid"] == 0
    ocirt.ok("delete", "c1")
    assert "does not exist" in ocirt.fails("state", "c1")
    assert ocirt.ids() == []


def test_creating_is_seen_while_create_works(ocirt, bundle):
    """runtime.md, State: `creating` until the create operation has finished, when others ask. Its hooks, which come after
    step 2 of the lifecycle, get `created`."""
    seen = bundle.path / "seen"
    bundle.config["hooks"] = {
        "createRuntime": [
            {
                "path": "/bin/sh",
                "args": ["sh", "-c", f"{ocirt.executable} --root {ocirt.root} state c1 > {seen}; cat > {seen}.hook"],
            }
        ]
    }
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert json.loads(seen.read_text())["status"] == "creating"
    assert json.loads(Path(f"{seen}.hook").read_text())["status"] == "created"
    assert ocirt.status("c1") == "created"


def test_id_is_unique(ocirt, bundle):
    """runtime.md, Create: an ID that is not unique is an error, and no new container is made."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    before = ocirt.state("c1")
    assert "container already exists" in ocirt.fails("create", "--bundle", bundle, "c1")
    assert ocirt.state("c1") == before and ocirt.ids() == ["c1"]
    ocirt.ok("delete", "--force", "c1")
    # runtime.md, Delete: once deleted, its ID may be used again.
    ocirt.ok("create", "--bundle", bundle, "c1")


@pytest.mark.parametrize("name", ["", "a/b", "..", ".", "a b", "a\nb", "ä"])
def test_id_is_valid(ocirt, bundle, name):
    """runtime.md, Create: an ID that is not valid is an error."""
    assert "id" in ocirt.fails("create", "--bundle", bundle, name)
    assert ocirt.ids() == []


def test_create_does_not_run_the_program(ocirt, bundle):
    """runtime.md, Lifecycle 2 and Create: process.args is not applied before start; everything else is."""
    bundle.shell("touch /tmp/ran; sleep 60").config["root"]["readonly"] = False
    bundle.config["hostname"] = "applied"
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    pid = ocirt.state("c1")["pid"]
    name = subprocess.run(["nsenter", "-t", str(pid), "-u", "hostname"], capture_output=True, text=True, timeout=10)
    assert name.stdout.strip() == "applied"
    assert not (bundle.rootfs / "tmp/ran").exists()
    ocirt.ok("start", "c1")
    for _ in range(500):
        if (bundle.rootfs / "tmp/ran").exists():
            break
        time.sleep(0.01)
    assert (bundle.rootfs / "tmp/ran").exists()


def test_config_changed_after_create_has_no_effect(ocirt, bundle):
    """runtime.md, Create: changes made to config.json after the operation have no effect on the container."""
    bundle.shell("echo first > /tmp/out").config["root"]["readonly"] = False
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    bundle.shell("echo second > /tmp/out").save()
    ocirt.ok("start", "c1")
    assert enough_output(bundle.rootfs / "tmp/out") == "first\n"
    bundle.path.joinpath("config.json").unlink()
    ocirt.wait_status("c1", "stopped")
    ocirt.ok("delete", "c1")


def test_start_only_created(ocirt, bundle):
    """runtime.md, Start: a container that is not created stays as it is, and start is an error."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    running = ocirt.state("c1")
    ocirt.fails("start", "c1")
    assert ocirt.state("c1") == running
    ocirt.ok("kill", "c1", "9")
    ocirt.wait_status("c1", "stopped")
    ocirt.fails("start", "c1")
    assert ocirt.status("c1") == "stopped"
    assert "does not exist" in ocirt.fails("start", "c2")


def test_start_needs_a_process(ocirt, bundle):
    """runtime.md, Start: an error if process was not set; create works without it."""
    del bundle.config["process"]
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert "process" in ocirt.fails("start", "c1")
    assert ocirt.status("c1") == "created"


def test_kill_only_created_or_running(ocirt, bundle):
    """runtime.md, Kill: neither created nor running: no effect, an error."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("kill", "c1", "TERM")
    ocirt.wait_status("c1", "stopped")
    assert "container not running" in ocirt.fails("kill", "c1", "TERM")
    assert "does not exist" in ocirt.fails("kill", "c2", "TERM")


@pytest.mark.parametrize("name", ["TERM", "SIGTERM", "sigterm", "15", "USR1", "RTMIN+1", "35"])
def test_kill_sends_the_signal(ocirt, bundle, name):
    """runtime.md, Kill: the specified signal reaches the container process."""
    number = {"USR1": 10, "RTMIN+1": 35, "35": 35}.get(name, 15)
    bundle.shell(
        f"trap 'echo got {number} > /tmp/got; exit' {number}; echo ready > /tmp/ready; while :; do sleep 0.1; done"
    )
    bundle.config["root"]["readonly"] = False
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    enough_output(bundle.rootfs / "tmp/ready")
    ocirt.ok("kill", "c1", name)
    assert enough_output(bundle.rootfs / "tmp/got") == f"got {number}\n"


@pytest.mark.cgroups
def test_kill_all_reaches_every_process(ocirt, bundle):
    """runc's `kill --all`: every process of the container's cgroup; also when init is gone, then without an error."""
    bundle.without_namespace("pid").shell("sleep 61 & sleep 62 & wait").save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    for _ in range(300):
        pids = cgroup_file(bundle, "pids", "cgroup.procs").split()
        if len(pids) == 3:
            break
        time.sleep(0.01)
    assert len(pids) == 3
    ocirt.ok("kill", "--all", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    assert not left_running() if SYSTEMD else cgroup_file(bundle, "pids", "cgroup.procs") == ""
    ocirt.ok("kill", "--all", "c1", "KILL")


def test_unknown_signal(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1")
    for name in ("FOO", "0x1", "65", "SIGFOO", "RTMIN+99"):
        assert "signal" in ocirt("kill", "c1", name).err
    assert ocirt.status("c1") == "created"


def test_delete_only_stopped(ocirt, bundle):
    """runtime.md, Delete: a container that is not stopped stays as it is, and delete is an error."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    created = ocirt.state("c1")
    ocirt.fails("delete", "c1")
    assert ocirt.state("c1") == created
    ocirt.ok("start", "c1")
    ocirt.fails("delete", "c1")
    assert ocirt.status("c1") == "running"
    ocirt.ok("delete", "--force", "c1")
    assert "does not exist" in ocirt.fails("delete", "c1")
    ocirt.ok("delete", "--force", "c1")


@pytest.mark.cgroups
@pytest.mark.cgroupfs
def test_delete_only_what_create_made(ocirt, bundle):
    """runtime.md, Delete: what create made is deleted, what was there before is not."""
    from tests.integration.harness import hierarchies

    kept = [top / f"{PARENT}/kept".lstrip("/") for top in hierarchies()]
    for folder in kept:
        folder.mkdir(parents=True)
        if (folder / "cpuset.cpus").exists():
            for level in (folder.parent, folder):
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (level / file).write_text((level.parent / file).read_text())
    bundle.config["linux"]["cgroupsPath"] = f"{PARENT}/kept/new"
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert all((folder / "new").exists() for folder in kept)
    ocirt.ok("delete", "--force", "c1")
    assert not any((folder / "new").exists() for folder in kept) and all(folder.exists() for folder in kept)
    for folder in kept:
        folder.rmdir()
        folder.parent.rmdir()


@pytest.mark.cgroups
def test_a_cgroup_in_use_is_left_alone(ocirt, bundle, bundles):
    """config-linux.md, Control groups: a non-empty cgroup is an error; and its processes are none of ours."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    other = bundles("other")
    other.config["linux"]["cgroupsPath"] = bundle.config["linux"]["cgroupsPath"]
    other.save()
    assert "processes in it" in ocirt.fails("create", "--bundle", other, "c2")
    assert ocirt.ids() == ["c1"] and ocirt.status("c1") == "created"


@pytest.mark.parametrize("verb", ["state", "start", "kill", "delete", "create"])
def test_an_id_is_required(ocirt, verb):
    """runtime.md, Operations: each is an error without the ID of a container."""
    result = ocirt(verb)
    assert result.status == 1 and f'"{verb}' in result.err.replace("\\", "") and "argument" in result.err


def test_list(ocirt, bundle, bundles):
    ocirt.root.mkdir()
    assert ocirt.ok("list", "-f", "json").out.strip() == "null"
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("create", "--bundle", bundles("other"), "c2")
    ocirt.ok("start", "c2")
    listed = {row["id"]: row for row in json.loads(ocirt.ok("list", "--format=json").out)}
    assert {name: row["status"] for name, row in listed.items()} == {"c1": "created", "c2": "running"}
    assert listed["c1"]["pid"] == ocirt.state("c1")["pid"] and listed["c1"]["created"] == ocirt.state("c1")["created"]
    assert ocirt.ok("list", "-q").out.split() == ["c1", "c2"]
    assert ocirt.ok("list").out.splitlines()[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]


def test_no_interpreter_after_create(ocirt, bundle, tmp_path):
    """start, state, kill and delete run the stored program: one execve, the executable's own."""
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/true"}]}
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    trace = tmp_path / "trace"
    for words, expected in (
        (("start", "c1"), 1),
        (("state", "c1"), 1),
        (("kill", "c1", "KILL"), 1),
        (("delete", "c1"), 2),
    ):
        if words[0] == "delete":
            ocirt.wait_status("c1", "stopped")
        command = ["strace", "-f", "-e", "trace=execve,execveat", "-o", trace, *ocirt.command(*words)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done
        execs = [line for line in trace.read_text().splitlines() if "execve" in line]
        assert len(execs) == expected and not any("python" in line for line in execs), execs


def test_a_container_outlives_the_build(ocirt, bundle):
    """A stored program of another build is not run; it is compiled anew from the stored config.json."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    bundle.path.joinpath("config.json").unlink()
    stored = Path(ocirt.root, "c1", "program")
    data = bytearray(stored.read_bytes())
    build = data[16:48]
    assert build.strip(b"\0").isalnum()
    data[16:48] = b"0" * 31 + b"\0"
    stored.write_bytes(data)
    assert ocirt.status("c1") == "created"
    ocirt.ok("start", "c1")
    assert ocirt.status("c1") == "running"
    ocirt.ok("kill", "--all", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    ocirt.ok("delete", "c1")
    assert ocirt.ids() == []


def test_a_python_of_another_build(ocirt, bundle, tmp_path):
    """The executable cannot use what such a Python compiles, and says what is wrong with the installation."""
    ours = built("bin")
    (tmp_path / "bin").mkdir()
    shutil.copy(ours, tmp_path / "bin")
    folder = ours.parents[1] / "meson/ocirt"
    script = ours.with_name("ocirt-python").read_text()
    assert str(folder) in script
    (tmp_path / "bin/ocirt-python").write_text(script.replace(str(folder), str(tmp_path)))
    (tmp_path / "bin/ocirt-python").chmod(0o755)
    (tmp_path / "_build.py").write_text('BUILD_ID = "0123456789abcdef0123456789abcdef"\n')
    stale = Runtime(tmp_path / "bin/ocirt", ocirt.root)
    message = stale.fails("create", "--no-cache", "--bundle", bundle, "c1")
    wanted = f"{tmp_path}/bin/ocirt and the Python beside it are of different builds: install ocirt again"
    assert wanted in message and "Traceback" not in message
    assert ocirt.ids() == []
