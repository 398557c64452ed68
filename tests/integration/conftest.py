"""Containers for real, as root, in a mount namespace of the tests' own (hack/test makes it).

Cgroups stand only under /ocirt-test; what a failed run left there is removed before the first test and after each.
"""

import json
import os
import shutil
import subprocess

import pytest

from tests.integration.harness import LIMIT, MANAGER, PARENT, V2, Bundle, Runtime, built, left_cgroups, remove_cgroups

SKIPS = {"v1": (V2, "this host has no cgroup v1"),
         "cgroups": (MANAGER == ["--cgroup-manager=disabled"], "containers get no cgroups in this run")}
"""For each marker: whether its tests are passed over here, and why."""


def pytest_collection_modifyitems(items):
    for item in items:
        for name, (skipped, reason) in SKIPS.items():
            if skipped and item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def clean_before(request):
    if os.geteuid() != 0:
        if all(item.get_closest_marker("rootless") for item in request.session.items):
            return
        pytest.exit("tests/integration runs containers: it needs root", 1)
    if os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{os.getppid()}/ns/mnt"):
        pytest.exit("tests/integration mounts things: run it by hack/test, in a mount namespace of its own", 1)
    remove_cgroups()


@pytest.fixture(scope="session", autouse=True)
def programs(tmp_path_factory, clean_before):
    """A cache of programs for all tests: what was compiled for one is bound for the next."""
    if os.geteuid() != 0:
        yield
        return
    place = tmp_path_factory.mktemp("programs")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", place], check=True, timeout=LIMIT)
    os.environ["OCIRT_CACHE"] = str(place)
    yield
    del os.environ["OCIRT_CACHE"]
    subprocess.run(["umount", place], check=True, timeout=LIMIT)


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """A rootfs of busybox alone, to be copied."""
    root = tmp_path_factory.mktemp("image") / "rootfs"
    for folder in ("bin", "etc", "tmp", "root", "proc", "sys", "dev"):
        (root / folder).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin/busybox")
    names = subprocess.run([root / "bin/busybox", "--list"], capture_output=True, text=True, timeout=LIMIT, check=True).stdout
    for name in names.split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/home/guest:/bin/sh\n")
    return root


@pytest.fixture
def ocirt(tmp_path):
    """The runtime; whatever the test leaves is deleted, and leaving anything but containers fails the test."""
    runtime = Runtime(built("bin"), tmp_path / "state")
    yield runtime
    for name in runtime.ids():
        runtime("delete", "--force", name)
    left = runtime.ids(), left_cgroups()
    remove_cgroups()
    assert left == ([], []), f"left behind: {left}"


@pytest.fixture
def faulty(ocirt):
    """The test build with its fault switch, on the same root directory."""
    return Runtime(built("fault/bin"), ocirt.root)


@pytest.fixture
def bundles(tmp_path, image, ocirt):
    """Makes bundles: ``bundles("name")``."""
    def make(name="bundle"):
        path = tmp_path / name
        shutil.copytree(image, path / "rootfs", symlinks=True)
        ocirt.ok("spec", "--bundle", path)
        config = json.loads((path / "config.json").read_text())
        config["process"]["terminal"] = False
        config["linux"]["cgroupsPath"] = f"{PARENT}/{name}"
        return Bundle(path, config).args("sleep", "60").save()
    return make


@pytest.fixture
def bundle(bundles):
    return bundles()
