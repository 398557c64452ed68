"""What several files of unit tests need. It also checks every plan that a test compiles (:mod:`ocirt.plan.check`)."""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import ocirt.compile
import ocirt.compile.exec
import ocirt.compile.restore
from ocirt.plan.check import fault_of
from tests.unit.core import TREE, Core, cache_folder, remove

try:
    import ocirt._build
except ImportError:  # a source tree without a build
    sys.modules["ocirt._build"] = type(sys)("ocirt._build")
    sys.modules["ocirt._build"].BUILD_ID = "0" * 32


def _checked(compile):
    @functools.wraps(compile)
    def checked(*arguments, **named):
        plan = compile(*arguments, **named)
        fault = fault_of(plan)
        assert not fault, fault
        return plan

    return checked


# Replace the functions before any test module, or a verb that runs in this process, imports them.
for _module in (ocirt.compile, ocirt.compile.exec, ocirt.compile.restore.Restored):
    _module.compile = _checked(_module.compile)


@pytest.fixture(scope="session")
def core(tmp_path_factory):
    """The executable's sources as a library."""
    return Core(tmp_path_factory.mktemp("core"))


@pytest.fixture
def folder():
    """An empty directory that is suitable for kept programs."""
    made = cache_folder()
    yield made
    remove(made)


@pytest.fixture
def disk():
    """An empty directory, closed to other users, on a file system that outlives a boot, because /tmp may be a tmpfs."""
    with tempfile.TemporaryDirectory(prefix="test-", dir=TREE / "build") as made:
        kind = subprocess.run(
            ["stat", "--file-system", "--format=%T", made], capture_output=True, text=True, check=True
        ).stdout.strip()
        if kind == "tmpfs":
            pytest.skip(f"{TREE} lies on a tmpfs")
        yield Path(made)
