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

__all__ = ["box", "nothing_left"]  # fixtures of the tests here


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


def test_sandbox_binds_read_only(image, runtime, tmp_path):
    (tmp_path / "data").write_text("given")
    config = config_for(
        "sh", "-c", "cat /data; echo x > /data", binds={"/data": str(tmp_path / "data")}, hostname="there"
    )
    result = run(config=config, rootfs=image, runtime=runtime)
    (image / "data").unlink(missing_ok=True)
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
