"""--no-pivot leaves the host's mounts beneath the container's root: the kernel must count none of them as a view of procfs or sysfs."""

import os
import subprocess
import tempfile

import pytest

from tests.integration.harness import LIMIT
from tests.integration.test_mounts import in_user_namespace

NESTED = {
    "proc": "unshare -mrpf sh -c 'mount -t proc none /tmp && echo mounted; true'",
    "sysfs": "unshare -mrpnf sh -c 'mount -t sysfs none /tmp && echo mounted; true'",
}
"""A user namespace in the container asks for a procfs or sysfs without masks. The kernel permits it where its mount namespace has one."""


@pytest.fixture
def host(tmp_path):
    """Mounts on the host, undone at the end: ``host("mount", ...)``."""
    places = []

    def mount(*words):
        subprocess.run(["mount", *words], check=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
        places.append(words[-1])

    def undo():
        while places:
            subprocess.run(["umount", places.pop()], check=True, timeout=LIMIT)

    mount.undo = undo
    yield mount
    undo()


@pytest.mark.parametrize("fstype", NESTED)
@pytest.mark.parametrize("way", ["elsewhere", "stacked", "covered", "space"])
def test_a_view_elsewhere_on_the_host(ocirt, bundle, host, tmp_path, fstype, way):
    """A chroot of the host has a procfs of its own, perhaps with other mounts over it or over a directory above it."""
    place = tmp_path / ("a chroot" if way == "space" else "chroot") / "view"
    place.mkdir(parents=True)
    host("-t", fstype, fstype, place)
    if way == "stacked":
        host("--bind", place, place)
    elif way == "covered":
        host("-t", "tmpfs", "tmpfs", place.parent)
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    bundle.shell(NESTED[fstype]).save()
    for flag in ((), ("--no-pivot",)):
        result = ocirt.ok("run", *flag, "--bundle", bundle, "c1")
        assert "mounted" not in result.out and "ermission" in result.err, (flag, result)


@pytest.mark.parametrize("fstype", NESTED)
def test_a_view_in_a_user_namespace(ocirt, bundle, host, tmp_path, fstype):
    """There the host's mounts are locked and cannot be unmounted: they are covered. One that cannot be reached is an error."""
    in_user_namespace(bundle)
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    bundle.shell(NESTED[fstype]).save()
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        os.chmod(folder, 0o755)
        host("-t", fstype, fstype, folder)
        result = ocirt.ok("run", "--no-pivot", "--bundle", bundle, "c1")
        assert "mounted" not in result.out and "ermission" in result.err, result
        host.undo()
    closed = tmp_path / "closed/view"
    closed.mkdir(parents=True)
    closed.parent.chmod(0o700)
    host("-t", fstype, fstype, closed)
    message = ocirt.fails("run", "--no-pivot", "--bundle", bundle, "c1")
    assert "permission denied" in message and str(closed) in message, message


def test_the_hosts_mounts_stay_on_the_host(ocirt, bundle, host, tmp_path):
    place = tmp_path / "chroot"
    place.mkdir()
    host("-t", "proc", "proc", place)
    subprocess.run(["mount", "--make-shared", place], check=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    bundle.args("true").save()
    before = open("/proc/self/mountinfo").read()
    ocirt.ok("run", "--no-pivot", "--bundle", bundle, "c1")
    assert open("/proc/self/mountinfo").read() == before
