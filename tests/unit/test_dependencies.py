"""pyproject.toml: what it names as a dependency is used, and what is imported is named."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
PROJECT = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
MODULES = {
    "python-prctl": "prctl",
    "cyclonedx-python-lib": "cyclonedx",
    "meson-python": "mesonpy",
    "clang-format": None,
    "meson": "mesonbuild",
    "ninja": None,
    "pytest-xdist": "xdist",
    "ruff": None,
    "mypy": None,
}
"""What is not imported by its own name: the module, or ``None`` for a command, which a script of hack/ runs."""
OF_PACKAGE = {"images", "network", "prctl"}
"""Extras for what the package imports; the others are for those who build and test it."""


def names(requirements):
    found = [re.match(r"[\w-]+", each)[0] for each in requirements]
    return [name for name in found if name != "ocirt"]  # an extra of our own


def imported(*folders, by_name=True):
    """Modules that the Python of these folders imports.

    :param by_name: also by a function that is given the name?
    """
    found = set()
    for path in [path for folder in folders for path in (TREE / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
            elif by_name and isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if called in ("importorskip", "load", "need"):
                    found |= {each.value for each in node.args if isinstance(each, ast.Constant)}
    return found


@pytest.mark.parametrize("extra", ["", *sorted(OF_PACKAGE)])
def test_what_the_package_needs_it_imports(extra):
    modules = [MODULES.get(name, name) for name in names(EXTRAS[extra] if extra else PROJECT["dependencies"])]
    assert modules and set(modules) <= imported("ocirt"), modules


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - OF_PACKAGE))
def test_what_developers_need_is_used(extra):
    """Imported by tests or scripts, or run by them as a command."""
    files = [path for path in (TREE / "hack").iterdir() if path.is_file()] + list((TREE / "tests/unit").glob("*.py"))
    scripts = "".join(path.read_text() for path in files if path != Path(__file__))
    for name in names(EXTRAS[extra]):
        module = MODULES.get(name, name)
        used = module in imported("tests", "ocirt", "hack", "conformance") if module else False
        assert used or re.search(rf"(-m |bin/|\"|-p ){module or name}\b", scripts), name


def test_what_the_package_imports_is_named():
    """But for stubs of type checkers'."""
    others = imported("ocirt", by_name=False) - sys.stdlib_module_names - {"ocirt", "_typeshed"}
    assert others == set(names(PROJECT["dependencies"])) == {"jsonschema", "referencing"}
