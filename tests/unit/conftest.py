"""What several files of unit tests need."""

import sys

import pytest

from tests.unit.core import Core, cache_folder, remove

try:
    import ocirt._build  # noqa: F401
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
