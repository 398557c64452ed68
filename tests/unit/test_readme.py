"""README.md: one picture, the two commands, five lines that switch podman, and an example in Python."""

import re
from pathlib import Path

from ocirt.model.host import OLDEST_KERNEL
from tests.engines.page import blocks, snippet

TREE = Path(__file__).parents[2]
TEXT = (TREE / "README.md").read_text()


def test_what_it_prints():
    commands, podman, python = blocks(TEXT)
    assert [line.split()[0] for line in commands.splitlines()] == ["hack/demo", "hack/test"]
    assert len(podman.splitlines()) == 5 and python.startswith("import ocirt\n")
    assert len(re.findall(r"!\[", TEXT)) == 1


def test_it_says_what_it_needs():
    """The kernel as the host check, ``ocirt features`` and ``ocirt doctor`` have it."""
    assert "Linux {}.{} or newer".format(*OLDEST_KERNEL) in TEXT
    python = re.search(r'requires-python = ">=([\d.]+)"', (TREE / "pyproject.toml").read_text())[1]
    assert f"Python {python} or newer" in TEXT


def test_the_lines_for_podman_are_some_of_the_pages():
    """The page's other line is for --cgroups=disabled."""
    page = snippet("podman", "[engine]").splitlines()
    lines = blocks(TEXT)[1].splitlines()
    assert lines == [line for line in page if line in lines] and set(page) - set(lines) == {
        'runtime_supports_nocgroup = ["crun", "ocirt"]'
    }
