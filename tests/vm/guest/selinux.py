"""In the guest of hack/vm --engines --lsm selinux: labels that Debian's policy gives containers, enforced. By root.

pytest runs this file there (tests/vm/test_engines.py).
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.vm.guest.engines import LIMIT, OCIRT, bundle, ok, podman, prepared, run, started, write

__all__ = ["bundle", "podman", "prepared", "started"]

PROCESS = "system_u:system_r:container_t:s0:c1,c2"
FILES = "system_u:object_r:container_file_t:s0:c1,c2"


OF_THE_HOST = (
    "container_engine_t", "dmesg_t", "init_t", "initrc_t", "kmod_t", "mount_t", "podman_conmon_t", "podman_t", "useradd_t",
)  # fmt: skip
"""Domains that stay permissive: the policy does not expect them to use /tree, which has no labels."""
OF_THE_TESTS = """
(allow container_t initrc_t (fd (use)))
(allow container_t initrc_t (fifo_file (append getattr ioctl read write)))
(allow container_t initrc_t (process (sigchld)))
"""
"""The tests start the runtime in their own domain, and the container gets their pipes. Engines have such rules."""


@pytest.fixture(scope="session", autouse=True)
def enforcing(tmp_path_factory):
    """The kernel enforces what the policy says of containers."""
    assert ok("getenforce") == "Permissive"
    module = tmp_path_factory.mktemp("policy") / "host.cil"
    module.write_text(OF_THE_TESTS + "".join(f"(typepermissive {name})\n" for name in OF_THE_HOST))
    ok("semodule", "--install", module)
    ok("setenforce", "1")
    yield
    ok("setenforce", "0")


def label_of(path):
    return os.getxattr(path, "security.selinux").decode().rstrip("\0")


@pytest.fixture
def labelled(started, tmp_path):
    """A container with both labels, and files of three labels in its rootfs."""
    rootfs = tmp_path / "bundle/rootfs"

    def prepare(made):
        made["linux"]["mountLabel"] = FILES
        for name in "own", "foreign", "shadow":
            write(rootfs / name, "text")
        ok("chcon", "-R", FILES, rootfs)
        ok("chcon", "system_u:object_r:container_file_t:s0:c3,c4", rootfs / "foreign")
        ok("chcon", "system_u:object_r:shadow_t:s0", rootfs / "shadow")

    return started(cgroup="/ocirt-test/selinux", prepare=prepare, selinuxLabel=PROCESS)


def test_labels(labelled):
    """The process and the new file systems have their labels; a command that is executed gets its own."""
    pid = json.loads(labelled("state", "c1"))["pid"]
    assert Path(f"/proc/{pid}/attr/current").read_text().rstrip("\0\n") == PROCESS
    assert label_of(f"/proc/{pid}/root/dev") == FILES
    other = f"{PROCESS},c4"
    assert labelled("exec", "--process-label", other, "c1", "/bin/cat", "/proc/self/attr/current").rstrip("\0") == other


def test_denied(labelled, tmp_path):
    """The kernel lets the container read files of its type and categories, and no others."""
    assert labelled("exec", "c1", "/bin/cat", "/own") == "text"
    for name in "foreign", "shadow":
        done = run(OCIRT, "--root", tmp_path / "state", "exec", "c1", "/bin/cat", f"/{name}")
        assert done.returncode == 1 and "Permission denied" in done.stderr, (name, done)


def test_a_label_that_the_policy_does_not_know(bundle, tmp_path):
    path = bundle("/ocirt-test/unknown", selinuxLabel="system_u:system_r:no_such_t:s0")
    done = run(OCIRT, "--root", tmp_path / "state", "run", "--bundle", path, "c1")
    assert done.returncode == 1 and "process.selinuxLabel" in done.stderr, done


def test_podman_with_nested_labels(podman):
    """podman's own label; label=nested: the container has the file system of SELinux. The shell says its own label, because
    the policy gives another one to what an engine's domain executes.
    """
    write("/etc/containers/containers.conf.d/label.conf", "[containers]\nlabel = true\n")
    words = ("run", "--rm", "--network", "none")
    label = podman(*words, "busybox", "cat", "/proc/self/attr/current").rstrip("\0")
    assert label.split(":")[2] == "container_t", label
    said = podman(
        *words, "--security-opt", "label=nested", "--security-opt", "label=type:container_engine_t", "busybox",
        "sh", "-c", "read -r own </proc/self/attr/current; echo $own; grep -c ' /sys/fs/selinux selinuxfs ' /proc/mounts",
    )  # fmt: skip
    assert "container_engine_t" in said and said.splitlines()[-1] == "1", said


def test_the_kernel_says_what_it_denied(labelled, tmp_path):
    run(OCIRT, "--root", tmp_path / "state", "exec", "c1", "/bin/cat", "/shadow")
    said = subprocess.run(["dmesg"], capture_output=True, text=True, timeout=LIMIT).stdout
    assert "denied" in said and "shadow_t" in said
