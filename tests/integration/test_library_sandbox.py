"""The library: what a sandbox keeps apart, and what it binds."""

import os
import shutil
import stat
import subprocess

import pytest

from ocirt import PIPE, Container, run
from tests.integration.harness import LIMIT
from tests.integration.library import config_for
from tests.integration.library_fixtures import box, nothing_left
from tests.integration.test_library_docs import with_python

__all__ = ["box", "nothing_left", "with_python"]  # fixtures of the tests here

ORDINARY = """
from multiprocessing import shared_memory
import asyncio, ctypes, hashlib, multiprocessing, os, select, signal, socket, sqlite3, subprocess, tempfile, threading, time
if __name__ == "__main__":
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.Process(target=theirs.send, args=("sent",))
    child.start(), child.join()
    assert ours.recv() == "sent"
    with multiprocessing.Pool(2) as workers:
        assert workers.map(abs, [-1, -2]) == [1, 2]
    memory = shared_memory.SharedMemory(create=True, size=4096)
    memory.close(), memory.unlink()
    threads = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(4)]
    [each.start() for each in threads], [each.join() for each in threads]
    assert subprocess.run(["sh", "-c", "echo a | cat"], capture_output=True).stdout == b"a\\n"
    async def exchange():
        async def answer(reader, writer):
            writer.write(await reader.readline()), writer.close()
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"there\\n")
        assert await reader.readline() == b"there\\n"
    asyncio.run(exchange())
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(os.path.join(folder, "x"))
        database.execute("create table t (n)"), database.commit(), database.close()
        os.mkfifo(os.path.join(folder, "fifo")), os.symlink("x", os.path.join(folder, "link"))
    socket.if_nameindex(), socket.getaddrinfo("127.0.0.1", 80), os.urandom(9), os.memfd_create("x"), os.sched_getaffinity(0)
    signal.pthread_sigmask(signal.SIG_BLOCK, []), os.openpty() if os.path.exists("/dev/ptmx") else None
    print("done")
"""


def test_what_ordinary_programs_do_works(runtime, with_python):
    """The filter lists what is allowed: processes, threads, sockets, pipes, a data base, file systems' calls."""
    config = config_for("python3", "-c", ORDINARY, memory="512m")
    result = run(config=config, rootfs=with_python, runtime=runtime)
    assert (result.text, result.stderr, result.returncode) == ("done\n", b"", 0)


def test_what_is_not_listed_is_refused(runtime, with_python):
    """Families of sockets that are not listed, netfilter's netlink, and the calls of another processor."""
    script = """
import ctypes, socket
for arguments in ((17, 3, 0), (38, 5, 0), (40, 1, 0), (16, 3, 12), (30, 1, 0), (21, 5, 0)):
    try:
        socket.socket(*arguments)
    except PermissionError:
        print("refused")
call = ctypes.CDLL(None, use_errno=True).syscall
for number in (101, 135, 155, 165, 175, 248, 272, 278, 298, 310, 321, 323, 425, 428, 435, 438):
    print(call(number, 0, 0, 0, 0, 0), ctypes.get_errno())
"""
    result = run(config=config_for("python3", "-c", script), rootfs=with_python, runtime=runtime)
    clone3 = "-1 38"
    assert result.text.splitlines() == ["refused"] * 6 + ["-1 1"] * 14 + [clone3, "-1 1"], result


def test_sandbox_is_one(image, runtime):
    """No capability, no way to one, no network, nothing to write but /tmp, no system calls of an attacker's."""
    script = """
        grep -e CapEff -e CapBnd -e NoNewPrivs -e Seccomp: /proc/self/status | cut -f2
        ls /sys/class/net 2>/dev/null; cat /proc/net/dev | tail -n +3 | cut -d: -f1
        touch /x /dev/x 2>/dev/null || echo refused; touch /tmp/x && echo written; ulimit -n; ulimit -c
        unshare -r true 2>/dev/null || echo refused; mount -t tmpfs none /tmp 2>/dev/null || echo refused
    """
    result = run(config=config_for("sh", "-c", script, files=99), rootfs=image, runtime=runtime)
    assert result.text.split() == [
        "0" * 16,
        "0" * 16,
        "1",
        "2",
        "lo",
        "refused",
        "written",
        "99",
        "0",
        "refused",
        "refused",
    ], result


@pytest.mark.cgroups
def test_sandbox_has_limits(image, runtime):
    """More processes than allowed, more scratch than there is."""
    result = run(
        config=config_for("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait", processes=5),
        rootfs=image,
        runtime=runtime,
    )
    assert b"can't fork" in result.stderr
    result = run(
        config=config_for("dd", "if=/dev/zero", "of=/tmp/x", "bs=1M", "count=9", scratch=4 << 20),
        rootfs=image,
        runtime=runtime,
    )
    assert b"No space left" in result.stderr


def test_shared_memory_has_a_limit(image, runtime):
    """Of bytes, and of files, which cost the kernel's memory."""
    script = """
        head -c 9000000 /dev/zero > /dev/shm/much; wc -c < /dev/shm/much
        for n in $(seq 2000); do true > /dev/shm/$n || break; done; ls /dev/shm | wc -l
    """
    result = run(config=config_for("sh", "-c", script, scratch=4 << 20), rootfs=image, runtime=runtime)
    size, files = map(int, result.text.split())
    assert 0 < size <= 4 << 20 and 1000 < files <= 1024 and b"No space left" in result.stderr


def test_sandbox_binds_read_only(image, runtime, tmp_path):
    (tmp_path / "data").write_text("given")
    config = config_for(
        "sh", "-c", "cat /file; echo x > /file", binds={"/file": str(tmp_path / "data")}, hostname="there"
    )
    result = run(config=config, rootfs=image, runtime=runtime)
    (image / "file").unlink(missing_ok=True)
    assert result.text == "given" and b"Read-only file system" in result.stderr


@pytest.fixture
def tree_of_mounts(tmp_path, image):
    """A directory of the host with a file system of its own below it, in which everybody may write; and a function that
    mounts one more there."""
    top = tmp_path / "tree"
    (top / "below").mkdir(parents=True)
    (top / "later").mkdir()

    def mount(name):
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "mode=1777,dev,suid", "tmpfs", top / name], check=True, timeout=LIMIT
        )

    subprocess.run(["mount", "--bind", "--make-shared", top, top], check=True, timeout=LIMIT)
    mount("below")
    os.mknod(top / "below/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (top / "below/null").chmod(0o666)
    yield top, mount
    subprocess.run(["umount", "--recursive", top], check=True, timeout=LIMIT)
    if (image / "data").exists():
        (image / "data").rmdir()  # the mount point that the runtime has made


def test_sandbox_binds_are_read_only_below_too(image, runtime, tree_of_mounts):
    """What is mounted beneath the directory is as little the sandbox's as the directory: no file is written there, no device
    opened, no program gets its owner's rights."""
    top, _ = tree_of_mounts
    script = (
        "for each in /data /data/below; do echo x > $each/written; done; cat /data/below/null;"
        "grep ' /data' /proc/self/mountinfo"
    )
    result = run(config=config_for("sh", "-c", script, binds={"/data": str(top)}), rootfs=image, runtime=runtime)
    assert (
        result.stderr.count(b"Read-only file system") == 2 and b"/data/below/null': Permission denied" in result.stderr
    )
    options = {line.split()[4]: set(line.split()[5].split(",")) for line in result.text.splitlines()}
    assert set(options) == {"/data", "/data/below"}
    assert all(each >= {"ro", "nosuid", "nodev"} for each in options.values())
    assert sorted(os.listdir(top)) == ["below", "later"] and os.listdir(top / "below") == ["null"]


def test_what_the_host_mounts_later_below_a_bind_is_not_the_sandboxs(box, image, runtime, tree_of_mounts):
    """It would come writable: the flags of a bind are those of the mounts that there were."""
    top, mount = tree_of_mounts
    config = config_for("sh", "-c", "echo ready; read word; echo x > /data/later/written", binds={"/data": str(top)})
    with Container.create(config=config, rootfs=image, runtime=runtime, stdin=PIPE, stdout=PIPE) as container:
        container.start()
        assert container.stdout.readline() == b"ready\n"
        mount("later")
        container.stdin.write(b"go\n")
        container.stdin.close()
        assert container.wait(LIMIT) != 0
    assert os.listdir(top / "later") == []


def test_what_is_mounted_below_the_root_is_read_only_too(runtime, tree_of_mounts, image):
    """root.readonly alone is for the root's own mount; and what the host mounts there later does not appear."""
    top, mount = tree_of_mounts
    for name in ("bin", "proc", "dev", "tmp"):
        (top / name).mkdir()
    shutil.copy(image / "bin/busybox", top / "bin/sh")
    (top / "proc/hidden").mkdir()
    mount("tmp")  # which the sandbox's own /tmp covers
    config = config_for(
        "sh",
        "-c",
        "for each in / /below /tmp; do echo x > $each/written && echo $each; done; echo ready; read word; echo x > /later/written",
    )
    with Container.create(config=config, rootfs=top, runtime=runtime, stdin=PIPE, stdout=PIPE) as container:
        container.start()
        assert [container.stdout.readline(), container.stdout.readline()] == [b"/tmp\n", b"ready\n"]
        mount("later")
        container.stdin.write(b"go\n")
        container.stdin.close()
        assert container.wait(LIMIT) != 0
    assert [os.listdir(top / name) for name in ("below", "later", "tmp")] == [["null"], [], []]
    writable = config | {"root": {"path": "rootfs", "readonly": False}}
    writable["process"]["args"] = ["sh", "-c", "echo x > /below/written"]
    assert run(config=writable, rootfs=top, runtime=runtime).returncode == 0
