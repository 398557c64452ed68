"""Real containers, as root, in a mount namespace of the tests' own (hack/test makes it).

Cgroups are made only below /ocirt-test. What a failed run has left there is removed before the first test and after
each.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ocirt as library
from tests.integration.harness import (
    AS_USER,
    ENTRIES,
    LIMIT,
    MANAGER,
    ROOT,
    SYSTEMD,
    TREE,
    UID,
    V2,
    Bundle,
    Runtime,
    User,
    built,
    cgroups_path,
    left_cgroups,
    remove_cgroups,
)

CAP_SYS_RESOURCE = 24


def has_capability(number):
    status = Path("/proc/self/status").read_text()
    return int(status.split("CapEff:")[1].split()[0], 16) >> number & 1


INITIAL = 0xEFFFFFFB
"""The kernel's PROC_CGROUP_INIT_INO: the machine's initial cgroup namespace."""
SKIPS = {
    "v1": (V2, "this host has no cgroup v1"),
    "v2": (not V2, "the controllers of this host are v1"),
    "systemd": (not (V2 and Path("/run/systemd/system").exists()), "systemd with cgroup v2 does not run this host"),
    "systemd_v1": (V2 or not Path("/run/systemd/system").exists(), "systemd with cgroup v1 does not run this host"),
    "cgroupfs": (SYSTEMD, "this run has systemd make the cgroups"),
    "root_cgroup": (
        os.stat("/proc/self/ns/cgroup").st_ino != INITIAL,
        "the cgroups of this machine are those of a cgroup namespace",
    ),
    "resource": (not has_capability(CAP_SYS_RESOURCE), "this root lacks CAP_SYS_RESOURCE"),
    "cgroups": (MANAGER == ["--cgroup-manager=disabled"], "containers get no cgroups in this run"),
}
"""For each marker: whether its tests are skipped on this host, and why."""


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


@pytest.fixture(autouse=True)
def no_cgroup_left(clean_before):
    """Each test removes its cgroups, so that none is blamed for what another has left."""
    yield
    left = left_cgroups()
    remove_cgroups()
    assert left == [], f"left behind: {left}"


@pytest.fixture(scope="session", autouse=True)
def programs(tmp_path_factory, clean_before):
    """A cache of programs for all tests: a program compiled for one test is used by the next."""
    if os.geteuid() != 0:
        yield
        return
    place = tmp_path_factory.mktemp("programs")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", place], check=True, timeout=LIMIT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCIRT_CACHE", str(place))
        yield
    subprocess.run(["umount", place], check=True, timeout=LIMIT)


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """A rootfs with busybox only, for tests to copy."""
    root = tmp_path_factory.mktemp("image") / "rootfs"
    for folder in ("bin", "etc", "tmp", "root", "proc", "sys", "dev"):
        (root / folder).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin/busybox")
    names = subprocess.run(
        [root / "bin/busybox", "--list"], capture_output=True, text=True, timeout=LIMIT, check=True
    ).stdout
    for name in names.split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/home/guest:/bin/sh\n")
    return root


@pytest.fixture
def ocirt(tmp_path):
    """The runtime. After the test its containers are deleted, and the test fails if one cannot be."""
    runtime = Runtime(built("bin"), tmp_path / "state")
    yield runtime
    for name in runtime.ids():
        runtime("delete", "--force", name)
    left = runtime.ids()
    assert left == [], f"left behind: {left}"


@pytest.fixture
def faulty(ocirt):
    """The build with the fault switch, with the same root directory."""
    return Runtime(built("fault/bin"), ocirt.root)


@pytest.fixture
def runtime(ocirt):
    """The same runtime, for the library."""
    manager = MANAGER[0].partition("=")[2] if MANAGER else "cgroupfs"
    return library.Runtime(
        executable=ocirt.executable,
        root=ocirt.root,
        cgroup_manager=manager,
        environment={"OCIRT_CACHE": os.environ["OCIRT_CACHE"]},
    )


@pytest.fixture
def bundles(tmp_path, image, ocirt):
    """Makes bundles: ``bundles("name")``."""

    def make(name="bundle"):
        path = tmp_path / name
        shutil.copytree(image, path / "rootfs", symlinks=True)
        ocirt.ok("spec", "--bundle", path)
        config = json.loads((path / "config.json").read_text())
        config["process"]["terminal"] = False
        config["linux"]["cgroupsPath"] = cgroups_path(name)
        return Bundle(path, config).args("sleep", str(2 * LIMIT)).save()

    return make


@pytest.fixture
def bundle(bundles):
    return bundles()


@pytest.fixture
def user(tmp_path):
    mounted = []
    for name, line in ENTRIES.items() if ROOT else ():
        copy = tmp_path / name
        copy.write_text((Path("/etc") / name).read_text() + line)
        subprocess.run(["mount", "--bind", copy, f"/etc/{name}"], check=True, timeout=10)
        mounted.append(f"/etc/{name}")
    # An installation that the user can read, wherever the tree is.
    prefix = tmp_path / "prefix"
    python = next(
        each
        for each in (sys.executable, "/usr/bin/python3")
        if subprocess.run(
            ["sh", "-c", '"$0" -c ""', each], **AS_USER, timeout=LIMIT, stderr=subprocess.DEVNULL
        ).returncode
        == 0
    )
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
    ).stdout.strip()
    package = prefix / f"lib/python{version}/site-packages/ocirt"
    shutil.copytree(TREE / "ocirt", package, ignore=shutil.ignore_patterns("__pycache__", "core"))
    shutil.copy(TREE / "build/meson/ocirt/_build.py", package)
    (prefix / "bin").mkdir()
    shutil.copy(TREE / "build/bin/ocirt", prefix / "bin")
    script = (TREE / "ocirt/core/ocirt-python.in").read_text().replace("@INTERPRETER@", python).replace("@TREE@", "")
    (prefix / "bin/ocirt-python").write_text(script)
    # The user, and the ids that are mapped to others, may pass. pytest's own folders are closed.
    for folder in (tmp_path, *tmp_path.parents):
        if ROOT or folder.stat().st_uid == UID:
            folder.chmod(folder.stat().st_mode | 0o11)
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, UID, UID)
    yield User(prefix / "bin/ocirt", home / "state")
    for place in mounted:
        subprocess.run(["umount", place], check=True, timeout=10)


@pytest.fixture
def own_bundle(user, image, tmp_path):
    path = tmp_path / "home/bundle"
    path.mkdir()
    shutil.copytree(image, path / "rootfs", symlinks=True)
    for folder, folders, files in os.walk(path):
        for name in ("", *folders, *files):
            os.chown(os.path.join(folder, name), UID, UID, follow_symlinks=False)
    user.ok("spec", "--rootless", "--bundle", path)
    config = json.loads((path / "config.json").read_text())
    config["process"]["terminal"] = False
    return Bundle(path, config)
