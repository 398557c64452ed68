"""Attacks: the fixtures of tests/integration, and the attacker's program."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import (
    bundle,
    bundles,
    clean_before,
    faulty,
    image,
    no_cgroup_left,
    ocirt,
    own_bundle,
    programs,
    pytest_collection_modifyitems,
    user,
)
from tests.integration.harness import LIMIT
from tests.processor import KERNEL_HEADERS


@pytest.fixture(scope="session")
def attacker(tmp_path_factory):
    """The path of a static executable: see attacker.c."""
    path = tmp_path_factory.mktemp("attacker") / "attacker"
    compiler = shutil.which("musl-gcc") or "gcc"
    command = [compiler, "-static", "-O1", "-Wall", "-Werror", "-o", path, Path(__file__).parent / "attacker.c"]
    if "musl" in compiler:
        command += KERNEL_HEADERS
    subprocess.run(command, check=True, timeout=LIMIT)
    return path


class Swapper:
    """Exchanges two directory entries as fast as it can, while the ``with`` block runs."""

    def __init__(self, attacker, one, other):
        self.command = [str(attacker), "swap", str(one), str(other)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        out, _ = self.process.communicate(timeout=LIMIT)
        self.count = int(out)


@pytest.fixture
def swapper(attacker):
    return lambda one, other: Swapper(attacker, one, other)
