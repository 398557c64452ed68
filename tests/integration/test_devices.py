"""Devices in a running container: those of the config and the default ones, and a /dev that is bound."""

import os
import subprocess

from tests.integration.test_mounts import in_user_namespace
from tests.integration.test_rootfs import run


def test_devices_where_mknod_is_refused(ocirt, bundle):
    """Without CAP_MKNOD the host's nodes are bound."""
    bundle.shell("echo x > /dev/null && stat -c %t:%T /dev/zero").save()
    dropped = ["setpriv", "--bounding-set=-mknod", "--inh-caps=-mknod"]
    done = subprocess.run(
        [*dropped, *ocirt.command("run", "--bundle", bundle, "c1")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == "1:5\n", done


def test_every_kind_of_device(ocirt, bundle):
    """config-linux.md, Devices: nodes, modes and owners, whatever the runtime's umask is."""
    bundle.config["root"]["readonly"] = False
    bundle.config["linux"]["devices"] = [
        {"path": "/dev/char", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 5, "gid": 6},
        {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 5, "fileMode": 0o100666},
        {"path": "/srv/deep/block", "type": "b", "major": 7, "minor": 0, "fileMode": 0o660},
        {"path": "/dev/fifo", "type": "p", "fileMode": 0o622, "gid": 7},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o606},
        {"path": "/dev/bare", "type": "c", "major": 1, "minor": 7},
    ]
    bundle.shell("cd /dev; stat -c '%n %F %t:%T %a %u:%g' char unbuffered /srv/deep/block fifo null bare").save()
    out = ocirt.ok("run", "--bundle", bundle, "c1", preexec_fn=lambda: os.umask(0o077)).out
    assert out.splitlines() == [
        "char character special file 1:3 640 5:6",
        "unbuffered character special file 1:5 666 0:0",
        "/srv/deep/block block special file 7:0 660 0:0",
        "fifo fifo 0:0 622 0:7",
        "null character special file 1:3 606 0:0",
        "bare character special file 1:7 666 0:0",
    ]


def test_a_device_that_is_something_else(ocirt, bundle):
    """config-linux.md, Devices: a file that does not match the requested device is an error."""
    (bundle.rootfs / "there").write_text("a file")
    bundle.config["linux"]["devices"] = [{"path": "/there", "type": "c", "major": 1, "minor": 3}]
    bundle.save()
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert "linux.devices[0]" in message and "something else is there" in message


def test_devices_in_a_user_namespace_are_the_hosts(ocirt, bundle):
    in_user_namespace(bundle)
    bundle.config["linux"]["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] != "mqueue"]
    assert (
        run(ocirt, bundle, "stat -c '%n %t:%T' /dev/null /dev/fuse; echo x > /dev/null")
        == "/dev/null 1:3\n/dev/fuse a:e5\n"
    )
    for line in run(ocirt, bundle, "grep -E ' /dev/(null|fuse) ' /proc/self/mountinfo").splitlines():
        assert {"nosuid", "noexec"} <= set(line.split()[5].split(",")), line
    bundle.config["linux"]["devices"][0].update(minor=230, uid=70000)  # which is not mapped, so it is not made
    bundle.save()
    assert "the host's node at this path is another device" in ocirt.fails("create", "--bundle", bundle, "c1")


def test_devices_that_the_host_does_not_have_in_a_user_namespace(ocirt, bundle):
    """config-linux.md, Devices: with their mode and owner, which the container's ids say. The runtime makes them outside, where no path
    leads, and the container sees nothing of that but the nodes."""
    in_user_namespace(bundle)
    bundle.config["linux"]["devices"] = [
        {"path": "/dev/owner-device", "type": "b", "major": 1, "minor": 5, "uid": 10, "gid": 11, "fileMode": 0o640},
        {"path": "/dev/sub/own-null", "type": "c", "major": 1, "minor": 3, "uid": 33},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o606},
        {"path": "/dev/fifo", "type": "p", "fileMode": 0o622},
    ]
    before = open("/proc/self/mountinfo").read()
    lines = run(
        ocirt,
        bundle,
        "cd /dev; stat -c '%n %F %t:%T %a %u:%g' owner-device sub/own-null null fifo; echo x > sub/own-null && "
        "echo y > null && head -c 3 null | wc -c; cat /proc/self/mountinfo",
    ).splitlines()
    assert lines[:5] == [
        "owner-device block special file 1:5 640 10:11",
        "sub/own-null character special file 1:3 666 33:0",
        "null character special file 1:3 606 0:0",
        "fifo fifo 0:0 622 0:0",
        "0",
    ]
    mounts = [line.split() for line in lines if " - tmpfs " in line]
    nodes = [fields for fields in mounts if fields[3] == "/node"]
    assert [fields[4] for fields in nodes] == ["/dev/owner-device", "/dev/sub/own-null", "/dev/null"]
    for fields in nodes:
        assert {"nosuid", "noexec"} <= set(fields[5].split(",")) and "nodev" not in fields[5]
    assert "/" not in [fields[4] for fields in mounts] and open("/proc/self/mountinfo").read() == before


def test_a_directory_over_dev(ocirt, bundle, tmp_path):
    """Nothing is made in a /dev that is bound from the host; one that is a file system of its own is filled."""
    own = tmp_path / "dev"
    own.mkdir()
    (own / "mine").touch()
    bundle.config["mounts"] = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "source": str(own), "options": ["bind"]},
    ]
    assert run(ocirt, bundle, "ls /dev") == "mine\n"
    bundle.config["mounts"][1] = {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]}
    assert run(ocirt, bundle, "ls /dev; touch /dev/x 2>&1; true").endswith(
        "urandom\nzero\ntouch: /dev/x: Read-only file system\n"
    )
