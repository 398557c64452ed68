"""The fixtures of the library's tests that block, and of those that run programs which use it."""

import gc
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ocirt import Container
from tests.integration import lan
from tests.integration.harness import AS_USER, LIMIT, TREE, UID
from tests.integration.library import children, config_for, descriptors

AS_OTHER = """
import sys
sys.path.insert(0, {site!r})
import ocirt
runtime = ocirt.Runtime(root={root!r})
"""
BEGIN = """
import json, os, signal, sys, threading, time
sys.path.insert(0, {tree!r})
import ocirt
from tests.integration.library import children, config_for, descriptors
runtime, image = ocirt.Runtime(**json.loads(sys.argv[1])), sys.argv[2]
"""


def run_as_user(user, program, on_lan=False):
    """A program that uses the library, run by a user without root's rights, with that user's installed package.

    :param on_lan: on the network of tests/integration/lan.py, which only root can make?
    """
    prefix = user.executable.parent.parent
    version = next((prefix / "lib").iterdir()).name
    path = prefix / "program.py"
    site = prefix / "lib" / version / "site-packages"
    path.write_text(AS_OTHER.format(site=str(site), root=str(user.root)) + textwrap.dedent(program))
    first = (prefix / "bin/ocirt-python").read_text().splitlines()[0].removeprefix("#!")
    command, more = [first, "-I", path], AS_USER
    if on_lan:
        as_user = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
        command, more = lan.on_lan(*as_user, *command, devices=lan.DEVICES), {}
    return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=LIMIT * 2, **more)


@pytest.fixture(autouse=True)
def nothing_left():
    """Each test leaves the process as it was: no child, no descriptor."""
    gc.collect()  # what an earlier test has left to the collector is not this one's
    before = descriptors()
    yield
    gc.collect()  # exceptions that a test has caught hold their frames
    assert (children(), descriptors()) == ([], before)


@pytest.fixture
def box(runtime, image):
    """Makes containers: ``box("sh", "-c", "...", stdin=PIPE)``."""

    def make(*args, id="c1", **more):
        return Container.create(config=config_for(*args), rootfs=image, id=id, runtime=runtime, **more)

    return make


@pytest.fixture
def busy(box):
    """A container that sleeps."""
    with box("sleep", "60") as container:
        container.start()
        yield container


@pytest.fixture
def with_python(tmp_path):
    """A root file system with the host's own Python in it, as mmdebstrap makes one of Debian's: its /usr, bound."""
    root = tmp_path / "with-python"
    for name in ("proc", "dev", "tmp", "etc", "usr"):
        (root / name).mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    for name in ("bin", "lib", "lib64"):
        assert Path("/", name).is_symlink(), "a host whose /bin is no link to /usr/bin"
        (root / name).symlink_to(os.readlink(f"/{name}"))
    subprocess.run(["mount", "--bind", "-o", "ro", "/usr", root / "usr"], check=True, timeout=LIMIT)
    yield root
    subprocess.run(["umount", root / "usr"], check=True, timeout=LIMIT)


@pytest.fixture
def service(runtime, image, tmp_path):
    """A program that uses the library, started: ``service("...")``."""

    def start(program, *before, **more):
        path = tmp_path / "service.py"
        path.write_text(BEGIN.format(tree=str(TREE)) + textwrap.dedent(program))
        arguments = {
            "executable": runtime.executable,
            "root": runtime.root,
            "environment": dict(runtime.environment),
            "cgroup_manager": runtime.cgroup_manager,
        }
        return subprocess.Popen(
            [*before, sys.executable, path, json.dumps(arguments), image], stdout=subprocess.PIPE, text=True, **more
        )

    return start
