"""On Linux 7.0 and newer the container's mount namespace has nothing but the rootfs in it from the beginning. What the
container sees must be the same as with a copy of the host's mounts and pivot_root(2), which a hook before pivot_root
asks for.
"""

import ctypes
import fcntl
import os
import re
import struct
import subprocess

import pytest

from ocirt.model.host import Host
from tests.integration.filters import refusal
from tests.integration.test_mounts import in_user_namespace
from tests.processor import syscall_number

pytestmark = pytest.mark.skipif(Host().kernel < (7, 0), reason="OPEN_TREE_NAMESPACE came with Linux 7.0")
NAMESPACE, AT_FDCWD = 2, -100
NS_MNT_GET_INFO = 0x8010B70A
"""_IOR(0xb7, 10, struct mnt_ns_info), linux/nsfs.h: the size of the struct, the number of mounts, the id."""
EINVAL = 22
libc = ctypes.CDLL(None, use_errno=True)


def refuse_namespaces():
    """Something to be called in a child: a seccomp filter refuses OPEN_TREE_NAMESPACE as an older kernel does."""
    code = refusal("open_tree", EINVAL, (2, NAMESPACE, NAMESPACE))

    def load():
        exec(code, {})
        assert (
            libc.syscall(syscall_number("open_tree"), AT_FDCWD, b"/", NAMESPACE) == -1 and ctypes.get_errno() == EINVAL
        )

    return load


def table(mountinfo):
    """The lines without what differs between any two containers: ids of mounts and of own peer groups, and the numbers
    of new file systems.
    """
    lines = [re.sub(r"^\d+ \d+ (0:\d+)?", "", line) for line in mountinfo.splitlines()]
    return [re.sub(r" shared:\d+", " shared", line) for line in lines]


def seen(ocirt, bundle, *flags, **more):
    bundle.args("cat", "/proc/self/mountinfo").save()
    result = ocirt("run", *flags, "--bundle", bundle, "c1", **more)
    assert result.status == 0 and result.err == "", result
    return table(result.out)


def with_copy(ocirt, bundle, *flags):
    """What the container sees if its mount namespace begins as a copy."""
    bundle.config["hooks"] = {"createContainer": [{"path": "/bin/true"}]}
    found = seen(ocirt, bundle, *flags)
    del bundle.config["hooks"]
    return found


def bind_much(bundle):
    source = bundle.path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "file").touch()
    (bundle.rootfs / "own").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source / "sub"], check=True, timeout=10)
    bundle.config["mounts"] += [
        {"destination": "/file", "source": str(source / "file"), "options": ["bind", "ro"]},
        {"destination": "/tree", "source": str(source), "options": ["rbind", "rro", "nosuid"]},
        {"destination": "/flat", "source": str(source), "options": ["bind", "rprivate"]},
        {"destination": "/own", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/again", "source": str(bundle.rootfs / "own"), "options": ["bind"]},
        {"destination": "/node", "source": "/dev/zero", "options": ["bind"]},
        {"destination": "/cgroup", "source": "/sys/fs/cgroup", "options": ["rbind", "ro"]},
        {"destination": "/tree", "options": ["remount", "noexec"]},
    ]


def set_propagation(value):
    def change(bundle):
        bundle.config["linux"]["rootfsPropagation"] = value
        source = bundle.path / "shared"
        source.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source], check=True, timeout=10)
        subprocess.run(["mount", "--make-shared", source], check=True, timeout=10)
        bundle.config["mounts"].append(
            {"destination": "/volume", "source": str(source), "options": ["rbind", "rshared"]}
        )

    return change


@pytest.fixture(autouse=True)
def sources(bundle):
    """Undoes what the tests mount below the bundle."""
    yield
    while (
        subprocess.run(["umount", "--recursive", bundle.path / "source"], capture_output=True, timeout=10).returncode
        == 0
    ):
        pass
    subprocess.run(["umount", bundle.path / "shared"], capture_output=True, timeout=10)


@pytest.mark.parametrize(
    "change",
    [
        lambda bundle: None,
        bind_much,
        *[set_propagation(value) for value in ("slave", "private", "shared", "unbindable")],
        lambda bundle: bundle.without_namespace("cgroup"),
        lambda bundle: bundle.config["root"].update(readonly=False),
    ],
    ids=["spec", "binds", "slave", "private", "shared", "unbindable", "no cgroup namespace", "writable"],
)
def test_the_container_sees_the_same(ocirt, bundle, change):
    change(bundle)
    assert seen(ocirt, bundle) == with_copy(ocirt, bundle)


@pytest.mark.parametrize("change", [lambda bundle: None, bind_much], ids=["spec", "binds"])
def test_the_same_in_a_user_namespace(ocirt, bundle, change):
    """What the runtime opens for init it opens earlier than init would, so only the order of the lines differs."""
    in_user_namespace(bundle)
    change(bundle)
    assert sorted(seen(ocirt, bundle)) == sorted(with_copy(ocirt, bundle))


@pytest.mark.parametrize("user", [False, True])
def test_nothing_else_is_in_the_namespace(ocirt, bundle, user):
    """All mounts of the namespace can be seen in it. (The kernel does not count the file system without files at the
    bottom.)
    """
    if user:
        in_user_namespace(bundle)
    bundle.args("sleep", "1000").save()
    ocirt.ok("run", "--detach", "--bundle", bundle, "c1")
    pid = ocirt.state("c1")["pid"]
    with open(f"/proc/{pid}/ns/mnt", "rb") as namespace, open(f"/proc/{pid}/mountinfo") as mountinfo:
        info = bytearray(struct.pack("IIQ", 16, 0, 0))
        fcntl.ioctl(namespace, NS_MNT_GET_INFO, info)
        assert struct.unpack("IIQ", info)[1] == len(mountinfo.readlines())


@pytest.mark.parametrize("user", [False, True])
def test_where_the_kernel_refuses(ocirt, bundle, user):
    if user:
        in_user_namespace(bundle)
    bind_much(bundle)
    found = seen(ocirt, bundle, preexec_fn=refuse_namespaces())
    assert sorted(found) == sorted(seen(ocirt, bundle))


def test_a_source_with_a_mount_namespace_in_it(ocirt, bundle):
    """As /run/snapd/ns has: the kernel attaches no older mount namespace's file in a younger one (ELOOP), and leaves
    it out of a copy.
    """
    source = bundle.path / "source"
    source.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source], check=True, timeout=10)
    subprocess.run(["mount", "--make-private", source], check=True, timeout=10)
    (source / "namespace").touch()
    (source / "sub").mkdir()
    subprocess.run(["unshare", f"--mount={source}/namespace", "true"], check=True, timeout=10)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source / "sub"], check=True, timeout=10)
    bundle.config["mounts"].append({"destination": "/tree", "source": str(source), "options": ["rbind", "ro"]})
    found = seen(ocirt, bundle)
    assert found == with_copy(ocirt, bundle)
    assert [line.split()[1] for line in found if line.split()[1].startswith("/tree")] == ["/tree", "/tree/sub"]


def test_a_runtime_in_a_chroot(ocirt, bundle, tmp_path):
    """Init comes back to the runtime's root directory for the sources of binds, not to its mount namespace's."""
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["mount", "--rbind", "/", root], check=True, timeout=10)
    subprocess.run(["mount", "--make-rprivate", root], check=True, timeout=10)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root / "mnt"], check=True, timeout=10)
    try:
        (root / "mnt/only here").write_text("yes\n")
        bundle.config["mounts"].append({"destination": "/f", "source": "/mnt/only here", "options": ["bind"]})
        bundle.args("cat", "/f").save()
        result = ocirt("run", "--bundle", bundle, "c1", preexec_fn=lambda: os.chroot(root))
        assert (result.out, result.status) == ("yes\n", 0), result
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", root], check=True, timeout=10)


def test_devices_that_init_may_not_make(ocirt, bundle):
    """Without CAP_MKNOD, init takes the nodes of the host."""
    bundle.shell("echo x >/dev/null; ls -l /dev/null").save()
    dropped = subprocess.run(
        ["setpriv", "--bounding-set=-mknod", *ocirt.command("run", "--bundle", bundle, "c1")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert dropped.returncode == 0 and dropped.stdout.startswith("crw"), dropped
