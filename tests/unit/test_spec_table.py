"""docs/spec.md against the schema and the tests: every property has one row, every row a property and living tests."""

import ast
import re
from functools import cache
from itertools import product

import pytest

from tests.unit.schemas import ROOT, properties

PAGE = (ROOT / "docs/spec.md").read_text()


def rows():
    """The cells of every row: property, what is done, tests."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| `")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(len(row) == 3 for row in found), [row for row in found if len(row) != 3]
    return found


def expand(pattern):
    """``a.{b,c}`` is ``a.b`` and ``a.c``."""
    parts = [part.split(",") if index % 2 else [part] for index, part in enumerate(re.split(r"[{}]", pattern))]
    return ["".join(chosen) for chosen in product(*parts)]


def listed():
    return [name for cell, _, _ in rows() for name in expand(cell.strip("`"))]


@cache
def functions_of(path):
    """The test functions of a file."""
    return {
        node.name
        for node in ast.parse((ROOT / path).read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_property_has_a_row():
    assert [name for name in properties("config") if name not in listed()] == []


def test_every_row_is_a_property():
    assert [name for name in listed() if name not in properties("config")] == []


def test_no_property_has_two_rows():
    names = listed()
    assert [name for name in names if names.count(name) > 1] == []


def test_expand():
    assert expand("a.{b,c}[].{d,e}") == ["a.b[].d", "a.b[].e", "a.c[].d", "a.c[].e"]
    assert expand("a{,.b}") == ["a", "a.b"] and expand("a") == ["a"]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tests/[^`]*)`", PAGE)) - {"tests/unit/test_spec_table.py"}))
def test_the_tests_exist(name):
    path, _, function = name.partition("::")
    assert (ROOT / path).is_file() and function in functions_of(path)


def test_every_row_says_what_is_done_and_names_tests():
    for name, done, tests in rows():
        assert done and re.fullmatch(r"`tests/[\w/]+\.py::test_\w+`( `tests/[\w/]+\.py::test_\w+`)*", tests), name
