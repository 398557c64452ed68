"""docs/engines.md tells what the tests of tests/engines do: its files are those that the tests write."""

from pathlib import Path
from textwrap import indent

import pytest

from tests.engines import containerd, docker, podman

DOCS = (Path(__file__).parents[2] / "docs/engines.md").read_text()


@pytest.mark.parametrize("engine", [podman, docker, containerd], ids=lambda engine: engine.__name__.rpartition(".")[2])
def test_the_files_that_switch_an_engine(engine):
    assert indent(engine.SYSTEM_WIDE, "    ") in DOCS
