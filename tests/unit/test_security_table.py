"""SECURITY.md: each test that it names exists, and a test named for a CVE says so in its own text."""

import re
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
TEXT = (TREE / "SECURITY.md").read_text()
ROWS = [re.split(r" *\| *", line)[1:5] for line in TEXT.splitlines() if line.startswith("| CVE-")]


def source_of(test):
    """The text of a test function ``path::name``, decorators left out; empty where there is none."""
    path, name = test.split("::")
    found = re.search(rf"^def {name}\(.*?(?=^(?:def|class|@)|\Z)", (TREE / path).read_text(), re.M | re.S)
    return found[0] if found else ""


def test_rows():
    assert len(ROWS) > 20 and len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("cve, whose, what, test", ROWS, ids=[row[0] for row in ROWS])
def test_each_cve_has_its_test(cve, whose, what, test):
    source = source_of(test.strip("`"))
    assert whose and what and cve in source, f"{test} does not say {cve}"


def test_other_tests_that_are_named():
    for test in re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", TEXT):
        assert source_of(test) if "::" in test else (TREE / test).exists(), test
    below = "".join(path.read_text() for path in (TREE / "tests/security").glob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", TEXT):
        assert f"def {name}(" in below, name


def test_what_the_tests_say_stands_here():
    """A CVE that a test of tests/security names is in the file."""
    for path in (TREE / "tests/security").glob("*.py"):
        for cve in re.findall(r"CVE-\d{4}-\d+", path.read_text()):
            assert cve in TEXT, f"{path.name}: {cve}"
