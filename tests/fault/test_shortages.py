"""No descriptors, no disk, no memory, no pids; hooks and sockets that do not do their part; many at once."""

import os
import resource
import socket
import subprocess
import time

import pytest

from tests.integration.harness import CGROUPS, LIMIT, PARENT, V2, cgroup_file, left_cgroups


def fails_cleanly(ocirt, result):
    """Either it has worked, or there is one line of error and nothing left."""
    if result.status:
        lines = [line for line in result.err.splitlines() if "level=warning" not in line]
        assert result.status == 1 and len(lines) == 1 and "level=error" in lines[0], result
        assert ocirt.ids() == [] and left_cgroups() == [], result
    else:
        ocirt.ok("delete", "--force", "c1")
    return result.status != 0


def test_no_descriptors(ocirt, bundle):
    """RLIMIT_NOFILE from nothing to enough, with a kept program."""
    bundle.save()
    assert not fails_cleanly(ocirt, ocirt.create(bundle, "c1"))
    failed = 0
    for count in range(3, 36):
        result = ocirt.create(
            bundle, "c1", preexec_fn=lambda count=count: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
        )
        if result.status == 127:
            # No descriptor for the cache either, and then none for Python's own libraries.
            assert count < 12 and "error while loading shared libraries" in result.err and ocirt.ids() == [], result
        else:
            failed += fails_cleanly(ocirt, result)
            # The error is what could not be done, not that its undoing met the same shortage.
            assert "remove the state directory" not in result.err.partition("level=error")[2], result
    assert failed > 3


@pytest.mark.parametrize("limit", [0, 1, 8, 64])
def test_no_disk_for_the_state(ocirt, bundle, tmp_path, limit):
    """--root on a file system with that many free blocks."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", place], check=True, timeout=LIMIT)
    try:
        with open(place / "filler", "wb", buffering=0) as filler:
            filler.write(bytes((512 - 4 * limit) << 10))
        root, ocirt.root = ocirt.root, place / "root"
        try:
            fails_cleanly(ocirt, ocirt.create(bundle, "c1"))
        finally:
            ocirt.root = root
    finally:
        subprocess.run(["umount", place], check=True, timeout=LIMIT)


def fill(place):
    """Leave no byte and no file on the file system of ``place``."""
    with open(place / "filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(1 << 12))
        except OSError:
            pass
    for number in range(10000):
        try:
            (place / f"file{number}").touch()
        except OSError:
            return


@pytest.fixture
def small(tmp_path):
    """A file system that is soon full."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=400", "tmpfs", place], check=True, timeout=LIMIT)
    yield place
    subprocess.run(["umount", "-l", place], check=True, timeout=LIMIT)


@pytest.mark.cgroups
def test_a_state_root_that_has_become_full(ocirt, bundle, small):
    """What only reads and removes works; update, which keeps what it has done, does nothing and says why."""
    root, ocirt.root = ocirt.root, small / "root"
    try:
        ocirt.ok("create", "--bundle", bundle, "c1")
        fill(small)
        ocirt.ok("start", "c1")
        assert ocirt.ok("exec", "c1", "echo", "x").out == "x\n" and ocirt.status("c1") == "running"
        before = cgroup_file(bundle, "pids", "pids.max")
        assert "no space left on device" in ocirt.fails("update", "--pids-limit", "77", "c1")
        assert cgroup_file(bundle, "pids", "pids.max") == before
        ocirt.ok("pause", "c1")
        ocirt.ok("resume", "c1")
        assert "no space left on device" in ocirt.fails("create", "--bundle", bundle, "c2") and ocirt.ids() == ["c1"]
        ocirt.ok("kill", "c1", "KILL")
        ocirt.wait_status("c1", "stopped")
        ocirt.ok("delete", "c1")
        assert ocirt.ids() == [] and left_cgroups() == []
    finally:
        ocirt.root = root


def test_an_upper_layer_that_is_full(ocirt, bundle, small):
    """No place for a mount's target in the layer that takes the changes."""
    layer = bundle.path / "layer"
    bundle.rootfs.rename(layer)
    for folder in (bundle.rootfs, small / "upper", small / "work"):
        folder.mkdir()
    bundle.config["root"]["readonly"] = False
    bundle.config["annotations"] = {
        "org.ocirt.rootfs.lower": str(layer),
        "org.ocirt.rootfs.upper": str(small / "upper"),
        "org.ocirt.rootfs.work": str(small / "work"),
    }
    bundle.config["mounts"].append({"destination": "/new/target", "type": "tmpfs", "source": "tmpfs"})
    bundle.save()
    ocirt.ok("create", "--rootfs-annotations", "--bundle", bundle, "c1")
    ocirt.ok("delete", "--force", "c1")
    for folder in (small / "upper/new/target", small / "upper/new"):
        folder.rmdir()
    fill(small)
    assert "no space left on device" in ocirt.fails("create", "--rootfs-annotations", "--bundle", bundle, "c1")
    assert ocirt.ids() == [] and left_cgroups() == []


@pytest.mark.v1
def test_no_pids(ocirt, bundle):
    """The runtime's own pids cgroup is full: no child can be made."""
    folder = CGROUPS / "pids" / PARENT[1:] / "runtime"
    folder.mkdir(parents=True)
    try:
        (folder / "pids.max").write_text("1")
        result = ocirt.create(bundle.save(), "c1", preexec_fn=lambda: (folder / "cgroup.procs").write_text("0"))
        assert result.status == 1 and "clone3" in result.err and len(result.err.splitlines()) == 1, result
        assert ocirt.ids() == []
    finally:
        for _ in range(100):
            if not (folder / "cgroup.procs").read_text():
                break
            time.sleep(0.02)
        folder.rmdir()
        folder.parent.rmdir()


def test_no_memory_for_init(ocirt, bundle):
    """A memory limit that init itself does not fit into: the error says so."""
    failed = 0
    for limit in (1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20):
        bundle.config["linux"]["resources"] = {"memory": {"limit": limit, **({} if V2 else {"swap": limit})}}
        bundle.save()
        failed += fails_cleanly(ocirt, ocirt.create(bundle, "c1"))
    assert failed


HOOKS = {
    "hangs": ("sleep 1000", 1, "timed out"),
    "hangs with children": ("sleep 1000 & sleep 1000 & wait", 1, "timed out"),
    "crashes": ("kill -SEGV $$", 5, "signal 11"),
    "floods": ("head -c 30000000 /dev/zero | tr '\\\\0' x; exit 3", 20, "exit status 3"),
    "closes all": ("exec <&- >&- 2>&-; exit 4", 5, "exit status 4"),
    "kills its parent": ("kill -9 $PPID", 5, None),
}


@pytest.mark.parametrize("point", ["prestart", "createContainer", "startContainer"])
@pytest.mark.parametrize("how", HOOKS)
def test_hooks_that_misbehave(ocirt, bundle, how, point):
    """Whatever a hook does, the verb ends with an error, and nothing is left."""
    script, timeout, expected = HOOKS[how]
    bundle.config["hooks"] = {point: [{"path": "/bin/sh", "args": ["sh", "-c", script], "timeout": timeout}]}
    if how == "floods" and point != "prestart":
        bundle.config["linux"]["resources"] = {}
    result = ocirt.create(bundle.save(), "c1", timeout=LIMIT)
    if point == "startContainer":
        assert result.status == 0, result
        result = ocirt("start", "c1", timeout=LIMIT)
    if expected is None:
        ocirt.ok("delete", "--force", "c1")
    else:
        assert result.status == 1 and expected in result.err and len(result.err) < 10000, result
    assert ocirt.ids() == [] and left_cgroups() == []


def test_a_hook_that_leaves_a_daemon(ocirt, bundle):
    """A process that a hook leaves behind, with its streams open, holds nothing up."""
    bundle.config["hooks"] = {"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", "sleep 20 & exit 0"]}]}
    start = time.monotonic()
    assert ocirt.create(bundle.save(), "c1").status == 0
    ocirt.ok("delete", "--force", "c1")
    assert time.monotonic() - start < 15


def test_a_console_socket_that_never_answers(ocirt, bundle, tmp_path):
    """Nobody accepts: create goes on as soon as it has sent. With a full queue it waits, and delete --force ends it."""
    bundle.config["process"]["terminal"] = True
    bundle.save()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "console"))
        listener.listen(0)
        assert ocirt.create(bundle, "c1", "--console-socket", tmp_path / "console", timeout=LIMIT).status == 0
        ocirt.ok("delete", "--force", "c1")
        waiting = []
        for _ in range(3):  # until the queue is full
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            if waiting[-1].connect_ex(str(tmp_path / "console")):
                break
        child = subprocess.Popen(
            ocirt.command("create", "--bundle", bundle, "--console-socket", tmp_path / "console", "c1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=ocirt.environment,
        )
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.7)
            ocirt.ok("delete", "--force", "c1", timeout=LIMIT)
            assert child.wait(LIMIT) == -9
        finally:
            child.kill()
            child.wait(LIMIT)
            for each in waiting:
                each.close()
    assert ocirt.ids() == [] and left_cgroups() == []


def together(ocirt, commands):
    processes = [
        subprocess.Popen(
            ocirt.command(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=ocirt.environment,
        )
        for words in commands
    ]
    return [(process.communicate(timeout=4 * LIMIT)[1], process.returncode) for process in processes]


@pytest.mark.parametrize("count", [2, 40])
def test_creates_of_one_id(ocirt, bundle, count, tmp_path):
    """One wins; the others say so, and take nothing of its away."""
    bundle.save()
    log = tmp_path / "log"
    # What a create leaves running keeps a pipe open: the errors go to logs.
    processes = [
        subprocess.Popen(
            ocirt.command("create", "--bundle", bundle, "c1", options=("--log", f"{log}{number}")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=ocirt.environment,
        )
        for number in range(count)
    ]
    statuses = [process.wait(4 * LIMIT) for process in processes]
    assert sorted(statuses) == [0] + [1] * (count - 1)
    for number, status in enumerate(statuses):
        assert status == 0 or "container already exists" in open(f"{log}{number}").read()
    ocirt.ok("start", "c1")
    ocirt.ok("delete", "--force", "c1")


def test_kills_and_deletes_of_one_id(ocirt, bundle):
    """Each does its part or says in one line why not; in the end there is nothing."""
    bundle.save()
    ocirt.ok("run", "-d", "--bundle", bundle, "c1")
    verbs = [
        ("kill", "c1", "KILL"),
        ("delete", "--force", "c1"),
        ("delete", "c1"),
        ("state", "c1"),
        ("kill", "--all", "c1", "TERM"),
    ] * 8
    for error, status in together(ocirt, verbs):
        assert status in (0, 1) and len(error.splitlines()) == status, (error, status)
    assert ocirt.ids() == [] and left_cgroups() == []


def test_all_verbs_of_one_id(ocirt, bundle):
    """Creates, starts, kills, pauses and deletes of one id at once: whatever they come to, `delete --force` leaves nothing."""
    bundle.save()
    for _ in range(3):
        verbs = [
            ("create", "--bundle", bundle, "c1"),
            ("start", "c1"),
            ("kill", "c1", "KILL"),
            ("pause", "c1"),
            ("resume", "c1"),
            ("delete", "c1"),
            ("delete", "--force", "c1"),
            ("exec", "c1", "true"),
        ] * 4
        processes = [
            subprocess.Popen(
                ocirt.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=ocirt.environment,
            )
            for words in verbs
        ]
        statuses = [process.wait(4 * LIMIT) for process in processes]
        # A create at work is ended by `delete --force`.
        assert all(
            status in ((0, 1, -9) if words[0] == "create" else (0, 1, 255)) for status, words in zip(statuses, verbs)
        ), statuses
        ocirt.ok("delete", "--force", "c1")
        assert ocirt.ids() == [] and left_cgroups() == []


def test_a_pid_that_is_another_process_now(ocirt, bundle):
    """Between state and kill the pid has come to somebody else: neither kill nor delete touches that."""
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    time.sleep(0.03)  # start times are counted in hundredths of a second
    victim = subprocess.Popen(["sleep", "60"])
    try:
        path = ocirt.root / "c1/journal"
        journal = bytearray(path.read_bytes())
        pid = int.from_bytes(journal[16:20], "little")
        assert pid == ocirt.state("c1")["pid"]
        pidfd = os.pidfd_open(pid)
        journal[16:20] = victim.pid.to_bytes(4, "little")
        path.write_bytes(bytes(journal))
        assert ocirt.status("c1") == "stopped"
        assert "not running" in ocirt.fails("kill", "c1", "KILL")
        ocirt.ok("delete", "--force", "c1")
        assert victim.poll() is None
        os.close(pidfd)
    finally:
        victim.kill()
        victim.wait()
