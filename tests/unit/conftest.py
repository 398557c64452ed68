"""What several files of unit tests need."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.unit.core import TREE, Core, cache_folder, remove

try:
    import ocirt._build
except ImportError:  # a source tree without a build
    sys.modules["ocirt._build"] = type(sys)("ocirt._build")
    sys.modules["ocirt._build"].BUILD_ID = "0" * 32


@pytest.fixture(scope="session")
def core(tmp_path_factory):
    """The executable's sources as a library."""
    return Core(tmp_path_factory.mktemp("core"))


@pytest.fixture
def folder():
    """An empty directory that kept programs may lie in."""
    made = cache_folder()
    yield made
    remove(made)


@pytest.fixture
def disk():
    """An empty directory, closed to others, on a file system that outlives a boot; /tmp may be a tmpfs."""
    with tempfile.TemporaryDirectory(prefix="test-", dir=TREE / "build") as made:
        kind = subprocess.run(
            ["stat", "--file-system", "--format=%T", made], capture_output=True, text=True, check=True
        ).stdout.strip()
        if kind == "tmpfs":
            pytest.skip(f"{TREE} lies on a tmpfs")
        yield Path(made)
