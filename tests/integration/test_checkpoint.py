"""checkpoint and restore: for real where criu works, else with a fake criu that shows what is asked of it."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT, MANAGER, OWN, TREE, V2, Runtime, left_cgroups, remove_cgroups
from tests.integration.leftovers import mounts
from tests.integration.test_faults import clear_and_make_again, fault, steps_of


class Fake:
    """A fake criu: what it is to do, and what it was asked for."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.executable = folder / "criu"
        self.executable.write_text(
            f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(TREE))} exec {shlex.quote(sys.executable)} "
            f'{TREE}/tests/integration/fake_criu.py {folder} "$@"\n'
        )
        self.executable.chmod(0o755)
        self()

    def __call__(self, **behaviour):
        (self.folder / "behaviour.json").write_text(json.dumps(behaviour))

    @property
    def asked(self):
        return json.loads((self.folder / "request.json").read_text())


@pytest.fixture
def fake(tmp_path):
    return Fake(tmp_path / "fake")


@pytest.fixture
def with_fake(fake, ocirt):
    """The runtime, with the fake as its criu."""

    class Runner(Runtime):
        def command(self, *words, **more):
            verb, *rest = words
            return super().command("--criu", fake.executable, verb, *rest, **more)

    return Runner(ocirt.executable, ocirt.root)


def images(tmp_path, streams=("/dev/null",) * 3):
    """An image directory as the fake leaves it."""
    path = tmp_path / "images"
    path.mkdir(exist_ok=True)
    (path / "descriptors.json").write_text(json.dumps(streams))
    return path


# ---- the command line ----


def test_what_podman_asks_for(ocirt):
    """Its probes: is there a checkpoint, and does restore know --lsm-mount-context?"""
    assert "--leave-running" in ocirt.ok("checkpoint", "--help").out
    result = ocirt("restore", "--lsm-mount-context")
    assert result.status == 1 and "flag needs an argument" in result.err and "lsm-mount-context" in result.err


def test_no_criu(ocirt, bundle, tmp_path):
    ocirt.ok("run", "-d", "--bundle", bundle, "c1")
    ocirt.environment = {**os.environ, "PATH": str(tmp_path)}
    assert "criu: executable file not found in $PATH" in ocirt.fails("checkpoint", "c1")
    assert "criu: executable file not found in $PATH" in ocirt.fails("restore", "--bundle", bundle, "c2")
    assert "--criu /no/criu" in ocirt.fails("checkpoint", "c1", options=("--criu", "/no/criu"))
    assert ocirt.status("c1") == "running" and ocirt.ids() == ["c1"]


@pytest.mark.parametrize(
    "flags, text",
    [
        (["--manage-cgroups-mode", "none"], "--manage-cgroups-mode: found"),
        (["--empty-ns", "uts"], "--empty-ns: found"),
        (["--parent-path", "/abs"], "--parent-path: found"),
        (["--parent-path", "nothing"], "--parent-path: found no directory"),
        (["--page-server", "here"], "--page-server: found"),
        (["--status-fd", "77"], "--status-fd 77: bad file descriptor"),
        (["--image-path", "/dev/null/x"], "--image-path /dev/null/x: not a directory"),
    ],
)
def test_bad_flags(with_fake, bundle, tmp_path, flags, text):
    with_fake.ok("run", "-d", "--bundle", bundle, "c1")
    assert text in with_fake.fails("checkpoint", *flags, "c1", cwd=tmp_path)
    assert with_fake.status("c1") == "running"


def test_only_what_runs_can_be_saved(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert "container not running: c1 is created" in ocirt.fails("checkpoint", "c1")
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    assert "container not running: c1 is stopped" in ocirt.fails("checkpoint", "c1")
    assert "container does not exist: c2" in ocirt.fails("checkpoint", "c2")


# ---- what criu is asked for ----


def test_saved(with_fake, fake, bundle, tmp_path):
    (tmp_path / "volume").mkdir()
    bundle.config["mounts"].append(
        {"destination": "/link/volume", "type": "bind", "source": str(tmp_path / "volume"), "options": ["bind"]}
    )
    (bundle.rootfs / "link").symlink_to("/tmp")
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {tmp_path}/poststop"]}]}
    bundle.save()
    with_fake.ok("run", "-d", "--bundle", bundle, "c1")
    pid = with_fake.state("c1")["pid"]
    with_fake.ok(
        "checkpoint",
        "--image-path",
        tmp_path / "i",
        "--work-path",
        tmp_path / "w",
        "--tcp-established",
        "--file-locks",
        "c1",
    )
    asked = fake.asked
    assert (asked["type"], asked["pid"], asked["root"]) == (1, pid, str(bundle.rootfs))
    assert {
        name: asked[name]
        for name in (
            "leave_running",
            "tcp_established",
            "file_locks",
            "shell_job",
            "empty_ns",
            "manage_cgroups_mode",
            "log_file",
        )
    } == {
        "leave_running": 0,
        "tcp_established": 1,
        "file_locks": 1,
        "shell_job": 0,
        "empty_ns": 1 << 30,
        "manage_cgroups_mode": 6,
        "log_file": "dump.log",
    }
    if not MANAGER:
        assert asked["freeze_cgroup"] == "/sys/fs/cgroup" + ("" if V2 else "/freezer") + OWN
    assert json.loads((tmp_path / "i/descriptors.json").read_text())[0] == "/dev/null"
    assert (tmp_path / "w/dump.log").exists() and not (tmp_path / "i/dump.log").exists()
    assert with_fake.ids() == [] and json.loads((tmp_path / "poststop").read_text())["status"] == "stopped"


def test_left_running(with_fake, fake, bundle, tmp_path):
    with_fake.ok("run", "-d", "--bundle", bundle, "c1")
    with_fake.ok("checkpoint", "--leave-running", "--image-path", "i", "--leave-running", "c1", cwd=tmp_path)
    assert with_fake.status("c1") == "running" and fake.asked["leave_running"] == 1
    with_fake.ok("pause", "c1")
    with_fake.ok("checkpoint", "--leave-running", "c1", cwd=tmp_path)
    assert with_fake.status("c1") == "paused" and (tmp_path / "checkpoint/descriptors.json").exists()


def test_memory_first(with_fake, fake, bundle, tmp_path):
    with_fake.ok("run", "-d", "--bundle", bundle, "c1")
    assert "--pre-dump: criu or the kernel does not support it (mem_track)" in with_fake.fails(
        "checkpoint", "--pre-dump", "--image-path", tmp_path / "p", "c1"
    )
    fake(features={"mem_track": True})
    with_fake.ok("checkpoint", "--pre-dump", "--image-path", tmp_path / "p", "c1")
    assert (
        fake.asked["type"] == 4
        and with_fake.status("c1") == "running"
        and not (tmp_path / "p/descriptors.json").exists()
    )
    with_fake.ok("checkpoint", "--image-path", tmp_path / "i", "--parent-path", "../p", "c1")
    assert (fake.asked["type"], fake.asked["parent_img"], fake.asked["track_mem"]) == (1, "../p", 1)


def test_refused(with_fake, fake, bundle, tmp_path):
    """criu's own line stands in the error; the container goes on."""
    with_fake.ok("run", "-d", "--bundle", bundle, "c1")
    where = f"(see {tmp_path}/i/dump.log)"
    fake(refuses="Error (criu/tty.c:9): tty: lost\n")
    assert f"criu: Error (criu/tty.c:9): tty: lost {where}" in with_fake.fails(
        "checkpoint", "--image-path", tmp_path / "i", "c1"
    )
    fake(dies=3)
    assert f"criu: Error (criu/fake.c:1): no such luck {where}" in with_fake.fails(
        "checkpoint", "--image-path", tmp_path / "i", "c1"
    )
    log = tmp_path / "log"
    result = with_fake(
        "checkpoint", "--image-path", tmp_path / "i", "c1", options=("--log", log, "--log-format", "json")
    )
    assert result.status == 1 and json.loads(log.read_text())["msg"].startswith("criu: Error")
    assert with_fake.status("c1") == "running"


def test_checkpoint_killed(with_fake, fake, bundle, tmp_path):
    """While criu is at work, and while it cannot be: the container goes on, and no lock is held."""
    with_fake.ok("run", "-d", "--bundle", bundle, "c1")
    for behaviour in ({"waits": 1}, {"waits": 0.3, "dies": 1}):
        fake(**behaviour)
        (fake.folder / "request.json").unlink(missing_ok=True)
        child = subprocess.Popen(
            with_fake.command("checkpoint", "--leave-running", "--image-path", tmp_path / "i", "c1"),
            stdin=subprocess.DEVNULL,
        )
        end = time.monotonic() + LIMIT
        while not (fake.folder / "request.json").exists():
            assert time.monotonic() < end and child.poll() is None
            time.sleep(0.01)
        child.kill()
        child.wait(LIMIT)
        assert with_fake.status("c1") == "running"
    fake()
    with_fake.ok("checkpoint", "--image-path", tmp_path / "i", "c1")
    assert with_fake.ids() == [] and left_cgroups() == []


# ---- what is made of what criu restores ----


def test_restored(with_fake, fake, bundle, tmp_path):
    """State, cgroups, limits, hooks, pid file; later verbs know the container."""
    (tmp_path / "volume").mkdir()
    bundle.config["mounts"].append(
        {"destination": "/volume", "type": "bind", "source": str(tmp_path / "volume"), "options": ["bind"]}
    )
    bundle.config["linux"]["resources"]["pids"] = {"limit": 99}
    bundle.config["hooks"] = {
        name: [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {tmp_path}/{name}"]}]
        for name in ("prestart", "createRuntime", "poststart", "poststop")
    }
    bundle.save()
    before = mounts()
    with_fake.ok(
        "restore",
        "--detach",
        "-no-subreaper",
        "--bundle",
        bundle,
        "--pid-file",
        tmp_path / "pid",
        "--image-path",
        images(tmp_path, ["pipe:[1]", "/dev/null", "pipe:[2]"]),
        "--work-path",
        tmp_path / "w",
        "c1",
    )
    state = with_fake.state("c1")
    assert state["status"] == "running" and int((tmp_path / "pid").read_text()) == state["pid"]
    assert Path(f"/proc/{state['pid']}/comm").read_text() == "sh\n"
    asked = fake.asked
    assert asked["type"] == 2 and asked["rst_sibling"] == 1 and asked["root"] == f"{with_fake.root}/c1/criu-root"
    assert (
        mounts() == before
        and not (Path(with_fake.root) / "c1/criu-root").exists()
        and (bundle.rootfs / "volume").is_dir()
    )
    for name in ("prestart", "createRuntime"):
        assert json.loads((tmp_path / name).read_text()) | {"pid": 0} == {
            "ociVersion": "1.3.0",
            "id": "c1",
            "pid": 0,
            "status": "created",
            "bundle": str(bundle),
            "rootfs": str(bundle.rootfs),
            "created": state["created"],
            "annotations": {},
            "owner": "",
        }
    assert not (tmp_path / "poststart").exists()
    if MANAGER != ["--cgroup-manager=disabled"]:
        groups = dict(line.split(":", 2)[1:] for line in Path(f"/proc/{state['pid']}/cgroup").read_text().splitlines())
        assert groups["" if V2 else "pids"] == OWN
        with_fake.ok("pause", "c1")
        assert with_fake.status("c1") == "paused"
        with_fake.ok("resume", "c1")
    assert "already exists" in with_fake.fails(
        "restore", "-d", "--bundle", bundle, "--image-path", tmp_path / "images", "c1"
    )
    assert "already running" in with_fake.fails("start", "c1")
    with_fake.ok("kill", "c1", "KILL")
    with_fake.wait_status("c1", "stopped")
    with_fake.ok("delete", "c1")
    assert with_fake.ids() == [] and left_cgroups() == [] and (tmp_path / "poststop").exists()


@pytest.mark.parametrize("flags, closed", [((), False), (("--tcp-close",), True)])
def test_connections_are_closed_where_the_flag_says_so(with_fake, fake, bundle, tmp_path, flags, closed):
    with_fake.ok("restore", "--detach", "--bundle", bundle, "--image-path", images(tmp_path), *flags, "c1")
    assert fake.asked["type"] == 2 and bool(fake.asked.get("tcp_close")) is closed
    with_fake.ok("delete", "--force", "c1")


def test_restored_in_the_foreground(with_fake, fake, bundle, tmp_path):
    """The exit status is the container's, which is gone then; signals reach it."""
    fake(seconds=0.1)
    assert with_fake("restore", "--bundle", bundle, "--image-path", images(tmp_path), "c1").status == 7
    fake(seconds=60)
    child = subprocess.Popen(
        with_fake.command("restore", "--bundle", bundle, "--image-path", images(tmp_path), "c1"),
        stdin=subprocess.DEVNULL,
    )
    end = time.monotonic() + LIMIT
    while not (with_fake.ids() and with_fake("state", "c1").status == 0 and with_fake.status("c1") == "running"):
        assert time.monotonic() < end
        time.sleep(0.02)
    child.send_signal(signal.SIGTERM)
    assert child.wait(LIMIT) == 128 + signal.SIGTERM
    assert with_fake.ids() == [] and left_cgroups() == []


def test_the_terminal_of_what_is_restored(with_fake, fake, bundle, tmp_path):
    bundle.config["process"]["terminal"] = True
    bundle.save()
    fake(scripts=["orphan-pts-master"])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "console"))
        listener.listen()
        listener.settimeout(LIMIT)
        with_fake.ok(
            "restore",
            "-d",
            "--console-socket",
            tmp_path / "console",
            "--bundle",
            bundle,
            "--image-path",
            images(tmp_path),
            "c1",
        )
        connection, _ = listener.accept()
        with connection:
            _, (master, *_), _, _ = socket.recv_fds(connection, 100, 4)
    assert os.readlink(f"/proc/self/fd/{master}").endswith("ptmx")
    os.close(master)
    assert "--console-socket" in with_fake.fails(
        "restore", "-d", "--bundle", bundle, "--image-path", images(tmp_path), "c2"
    )


@pytest.mark.parametrize(
    "behaviour, text",
    [
        (
            {"refuses": "Error (criu/tty.c:9): tty: lost\n"},
            "criu: Error (criu/tty.c:9): tty: lost (see {images}/restore.log)",
        ),
        ({"dies": 3}, "criu: Error (criu/fake.c:1): no such luck (see {images}/restore.log)"),
    ],
)
def test_not_restored(with_fake, fake, bundle, tmp_path, behaviour, text):
    fake(**behaviour)
    path = images(tmp_path)
    assert text.format(images=path) in with_fake.fails(
        "restore", "-d", "--bundle", bundle, "--image-path", path, "--pid-file", tmp_path / "pid", "c1"
    )
    assert with_fake.ids() == [] and left_cgroups() == [] and not (tmp_path / "pid").exists()


def test_nothing_to_restore(with_fake, bundle, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no checkpoint" in with_fake.fails("restore", "--bundle", bundle, "--image-path", tmp_path / "empty", "c1")
    assert "--image-path" in with_fake.fails("restore", "--bundle", bundle, "--image-path", tmp_path / "no", "c1")
    (images(tmp_path) / "descriptors.json").write_text("{}3")
    assert "expected what checkpoint writes" in with_fake.fails(
        "restore", "--bundle", bundle, "--image-path", tmp_path / "images", "c1"
    )
    bundle.without_namespace("mount").save()
    assert "linux.namespaces: found no mount namespace" in with_fake.fails(
        "restore", "--bundle", bundle, "--image-path", images(tmp_path), "c1"
    )
    assert with_fake.ids() == [] and left_cgroups() == []


def test_a_hook_that_fails(with_fake, bundle, tmp_path):
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/false"}]}
    bundle.save()
    assert "hooks.createRuntime[0]: run hook /bin/false: exit status 1" in with_fake.fails(
        "restore", "-d", "--bundle", bundle, "--image-path", images(tmp_path), "c1"
    )
    assert with_fake.ids() == [] and left_cgroups() == []


def test_restore_killed_after_each_step(with_fake, fake, ocirt, faulty, bundle, tmp_path):
    words = ("--criu", fake.executable, "restore", "-d", "--bundle", bundle, "--image-path", images(tmp_path), "c1")
    count = steps_of(faulty, tmp_path, *words)
    ocirt.ok("delete", "--force", "c1")
    assert count > 15
    survived = 0
    for step in range(1, count + 1, int(os.environ.get("OCIRT_TEST_SLOWNESS", "1"))):  # each takes an interpreter
        result = fault(faulty, "restore", step, "kill", *words)
        assert result.status in (-signal.SIGKILL, 0), (step, result)
        survived += result.status == 0
        clear_and_make_again(ocirt, bundle, step)
    assert survived <= 1


# ---- criu itself ----


def counting(bundle):
    """A bundle whose process counts, in memory, and writes to a file of a tmpfs how far it has come."""
    bundle.config["root"]["readonly"] = True
    return bundle.shell("i=0; while :; do i=$((i + 1)); echo $i >/dev/shm/n; sleep 0.1; done").save()


def started(runtime, *words, **more):
    """Run a command whose streams a container keeps: pipes, whose other ends are held as long as the test."""
    reads, writes = os.pipe()
    try:
        done = subprocess.run(
            runtime.command(*words), stdin=subprocess.DEVNULL, stdout=writes, stderr=writes, timeout=LIMIT, **more
        )
        status = done.returncode
    finally:
        os.close(writes)
    os.set_blocking(reads, False)
    if status:
        raise AssertionError(os.read(reads, 65536).decode())
    return reads


def count_of(runtime, name):
    """How far it has come: the file is empty now and then."""
    for _ in range(20):
        text = runtime.ok("exec", name, "cat", "/dev/shm/n").out.strip()
        if text:
            return int(text)
    raise AssertionError("it does not count")


class Runc(Runtime):
    def __init__(self, root):
        super().__init__("runc", root)

    def command(self, *words, options=()):
        return ["runc", "--root", str(self.root), *map(str, options), *map(str, words)]


@pytest.fixture
def runc(tmp_path):
    runtime = Runc(tmp_path / "runc")
    yield runtime
    for name in runtime.ids():
        runtime("delete", "--force", name)
    remove_cgroups()  # runc leaves those above the container's


@pytest.fixture
def criu(runc, bundle, tmp_path):
    """Where criu works. Where it does not, runc, whose attempt this runs, cannot checkpoint either."""
    check = subprocess.run(["criu", "check"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
    if check.returncode == 0:
        return
    said = [line for line in check.stderr.splitlines() if "Error (" in line]
    assert said, check
    reads = started(runc, "run", "-d", "--bundle", counting(bundle), "r1")
    result = runc("checkpoint", "--image-path", tmp_path / "runc-images", "r1")
    os.close(reads)
    assert result.status != 0 and "criu" in result.err.lower(), result
    pytest.skip(f"criu does not work on this kernel, nor runc's checkpoint: {said[0]}")


WAITING = ("tail", "-f", "/dev/null")
"""A program that goes on. The system call that criu interrupts returns EINTR, and busybox's sleep ends then since 1.36."""


def test_criu_s_own_words(ocirt, bundle, tmp_path):
    """Where criu does not work, or cannot save what there is (a file of the host's), it says why."""
    bundle.config["process"]["args"] = list(WAITING)
    bundle.save()
    with open(tmp_path / "outside", "w") as file:
        subprocess.run(
            ocirt.command("run", "-d", "--bundle", bundle, "c1"),
            stdin=subprocess.DEVNULL,
            stdout=file,
            timeout=LIMIT,
            check=True,
        )
    line = ocirt.fails("checkpoint", "--image-path", tmp_path / "i", "c1")
    assert "criu: Error (criu/" in line and f"(see {tmp_path}/i/dump.log)" in line
    assert ocirt.status("c1") == "running"


def test_round_trip(ocirt, criu, bundle, tmp_path):
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/file").write_text("kept\n")
    bundle.config["mounts"].append(
        {"destination": "/volume", "type": "bind", "source": str(tmp_path / "volume"), "options": ["bind", "ro"]}
    )
    counting(bundle)
    first = started(ocirt, "run", "-d", "--bundle", bundle, "c1")
    pid = ocirt.state("c1")["pid"]
    before = count_of(ocirt, "c1")
    ocirt.ok("checkpoint", "--image-path", tmp_path / "i", "--work-path", tmp_path / "w", "c1")
    assert ocirt.ids() == [] and left_cgroups() == [] and not Path(f"/proc/{pid}").exists()
    second = started(
        ocirt,
        "restore",
        "-d",
        "--bundle",
        bundle,
        "--image-path",
        tmp_path / "i",
        "--work-path",
        tmp_path / "w",
        "--pid-file",
        tmp_path / "pid",
        "c2",
    )
    state = ocirt.state("c2")
    assert state["status"] == "running" and state["pid"] == int((tmp_path / "pid").read_text()) != pid
    after = count_of(ocirt, "c2")
    assert after > before > 0
    assert ocirt.ok("exec", "c2", "cat", "/volume/file").out == "kept\n"
    for path in ("/x", "/volume/x", "/proc/sys/kernel/x"):
        assert ocirt("exec", "c2", "touch", path).status != 0
    assert ocirt.ok("exec", "c2", "readlink", "/proc/self/ns/time").out.strip() == os.readlink(
        f"/proc/{state['pid']}/ns/time"
    )
    ocirt.ok("pause", "c2")
    assert ocirt.status("c2") == "paused"
    ocirt.ok("resume", "c2")
    ocirt.ok("kill", "c2", "KILL")
    ocirt.wait_status("c2", "stopped")
    ocirt.ok("delete", "c2")
    assert ocirt.ids() == [] and left_cgroups() == []
    os.close(first), os.close(second)


def test_round_trip_in_two_parts(ocirt, criu, bundle, tmp_path):
    """--pre-dump, then the rest with --parent-path while it goes on; restored in the foreground."""
    first = started(ocirt, "run", "-d", "--bundle", counting(bundle), "c1")
    ocirt.ok("checkpoint", "--pre-dump", "--image-path", tmp_path / "p", "c1")
    assert (tmp_path / "p/pages-1.img").exists() and ocirt.status("c1") == "running"
    ocirt.ok(
        "checkpoint",
        "--leave-running",
        "--leave-running",
        "--image-path",
        tmp_path / "i",
        "--parent-path",
        "../p",
        "c1",
    )
    assert (tmp_path / "i/parent").is_symlink() and ocirt.status("c1") == "running"
    ocirt.ok("delete", "--force", "c1")
    reads, writes = os.pipe()
    child = subprocess.Popen(
        ocirt.command("restore", "--bundle", bundle, "--image-path", tmp_path / "i", "c2"),
        stdin=subprocess.DEVNULL,
        stdout=writes,
        stderr=writes,
    )
    os.close(writes)
    end = time.monotonic() + LIMIT
    while not (ocirt.ids() and ocirt("state", "c2").status == 0 and ocirt.status("c2") == "running"):
        assert child.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    assert count_of(ocirt, "c2") > 0
    ocirt.ok("kill", "c2", "KILL")
    assert child.wait(LIMIT) == 128 + signal.SIGKILL
    assert ocirt.ids() == [] and left_cgroups() == []
    os.close(first), os.close(reads)


def connected(bundle):
    """A bundle in which one process counts, and sends how far it has come to another by TCP."""
    return bundle.shell(
        f"{' '.join(WAITING)} | nc -l -p 99 >/dev/shm/n & sleep 1; (i=0; while :; do i=$((i + 1)); echo $i; sleep 0.1; done) | nc 127.0.0.1 99"
    ).save()


def test_connections(ocirt, criu, bundle, tmp_path):
    """A TCP connection within goes along where that is asked for."""
    first = started(ocirt, "run", "-d", "--bundle", connected(bundle), "c1")
    time.sleep(3 * LIMIT / 30)
    before = len(ocirt.ok("exec", "c1", "cat", "/dev/shm/n").out.split())
    assert before > 0
    ocirt.ok("checkpoint", "--tcp-established", "--image-path", tmp_path / "i", "c1")
    second = started(
        ocirt, "restore", "-d", "--tcp-established", "--bundle", bundle, "--image-path", tmp_path / "i", "c2"
    )
    time.sleep(LIMIT / 30)
    counted = ocirt.ok("exec", "c2", "cat", "/dev/shm/n").out.split()
    assert len(counted) > before and counted == [str(number + 1) for number in range(len(counted))]
    os.close(first), os.close(second)


def test_connections_that_nobody_asked_for(ocirt, criu, bundle, tmp_path):
    """criu refuses them, and lets the processes go on."""
    stream = started(ocirt, "run", "-d", "--bundle", connected(bundle), "c1")
    time.sleep(3 * LIMIT / 30)
    assert "--tcp-established" in ocirt.fails("checkpoint", "--image-path", tmp_path / "i", "c1")
    before = ocirt.ok("exec", "c1", "cat", "/dev/shm/n").out
    time.sleep(LIMIT / 30)
    assert ocirt.status("c1") == "running"
    assert len(ocirt.ok("exec", "c1", "cat", "/dev/shm/n").out) > len(before) > 0
    os.close(stream)


@pytest.mark.cgroupfs
def test_images_are_runc_s(ocirt, runc, criu, bundle, tmp_path):
    """Each restores what the other has saved."""
    first = started(runc, "run", "-d", "--bundle", counting(bundle), "r1")
    before = count_of(runc, "r1")
    runc.ok("checkpoint", "--image-path", tmp_path / "i", "r1")
    second = started(ocirt, "restore", "-d", "--bundle", bundle, "--image-path", tmp_path / "i", "c1")
    between = count_of(ocirt, "c1")
    assert between > before
    ocirt.ok("checkpoint", "--image-path", tmp_path / "j", "c1")
    third = started(runc, "restore", "-d", "--bundle", bundle, "--image-path", tmp_path / "j", "r2")
    assert count_of(runc, "r2") > between
    os.close(first), os.close(second), os.close(third)
