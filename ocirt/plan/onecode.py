"""One file with the code objects of all modules that a create or an exec may need. Finding and reading thirty modules
in a folder takes as long as compiling a bundle. The build writes the file, for the version of Python that runs the
build:

    python -X no_debug_ranges -m ocirt.plan.onecode OUTPUT SOURCE...

The file is that Python's magic number (that of a .pyc), the size of the table, 4 bytes, the table, and the code of each
module, all in marshal's format. The table is a pair: the code of this module, and a dict of a module's name to whether
it is a package, and the place of its code. ``ocirt-python`` opens the file, runs this module and calls :func:`install`.
If the file is for another version, and for modules that it lacks, Python imports from the package's folder.

Python's import system takes as long to find a module as to run it. So the modules that every create needs come first in
the file, each behind those that it imports, and are made at once, without that system (:meth:`Finder.make_all`).
"""

from _frozen_importlib import ModuleSpec, module_from_spec
from marshal import dumps, loads
from posix import pread
from sys import meta_path
from sys import modules as imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator, Sequence
    from types import CodeType, ModuleType
    from typing import TypeAlias

    Table: TypeAlias = dict[str, tuple[bool, int, int]]
    """Name of a module -> is it a package, the place of its code, and the size of its code in bytes."""

FOLDERS = ("cgroups/", "compile/", "model/", "plan/")
FILES = (
    "__init__.py",
    "_build.py",
    "boot.py",
    "errors.py",
    "log.py",
    "cli/__init__.py",
    "cli/ahead.py",
    "cli/create.py",
    "cli/exec.py",
    "created_with.py",
)
UNUSED = (
    "plan/check.py",
    "plan/document.py",
    "plan/entries.py",
    "plan/onecode.py",
    "plan/printer.py",
    "plan/strip_annotations.py",
)
"""Modules of these folders that neither create nor exec imports."""

FIRST = "ocirt.cli.create"
"""Who imports this module will import ALWAYS, too."""
ALWAYS = (
    "ocirt._build",
    "ocirt.compile",
    "ocirt.model.config",
    "ocirt.model.host",
    "ocirt.model.request",
    "ocirt.plan.encode",
)
"""Modules that every create and every exec needs for its program, and with them all that these modules need."""


class Finder:
    """Finds and loads modules of the file, for ``sys.meta_path``.

    :param fd: the file.
    :param table: its table. The modules to make at once are the first of it, up to FIRST.
    :param folder: the folder that contains the package's folder, with all other modules of the package.
    """

    __slots__ = ("_fd", "_table", "_folder")

    def __init__(self, fd: int, table: "Table", folder: str) -> None:
        self._fd, self._table, self._folder = fd, table, folder

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> ModuleSpec | None:
        if name not in self._table:
            return None
        if name == FIRST:
            self.make_all()
        return self._spec(name)

    def create_module(self, spec: ModuleSpec) -> None:
        """Let the import system make the module."""

    def exec_module(self, module: "ModuleType") -> None:
        _, start, size = self._table[module.__name__]
        exec(loads(pread(self._fd, size, start)), module.__dict__)

    def make_all(self) -> None:
        """Make the first modules of the table, as if they had been imported."""
        made = []
        for name in self._table:
            if name == FIRST:
                break
            if name not in imported:
                module = imported[name] = module_from_spec(self._spec(name))
                made.append(module)
        for module in made:
            parent, _, child = module.__name__.rpartition(".")
            setattr(imported[parent], child, module)
        for module in made:
            self.exec_module(module)

    def _spec(self, name: str) -> ModuleSpec:
        is_package = self._table[name][0]
        spec = ModuleSpec(name, self, is_package=is_package)  # type: ignore[arg-type]  # importing Loader costs time
        if is_package:
            spec.submodule_search_locations = [f"{self._folder}/{name.replace('.', '/')}"]
        return spec


def install(fd: int, table: "Table", folder: str) -> None:
    """Let Python find the modules of the file first."""
    meta_path.insert(0, Finder(fd, table, folder))


# ---- the build ----


def main(output: str, *sources: str) -> None:
    """Write the file ``output``.

    :param sources: paths of the package's modules, including generated ones. The part after the last folder ``ocirt``
        is the place in the package.
    """
    from importlib.util import MAGIC_NUMBER
    from pathlib import Path

    from .strip_annotations import strip_annotations

    trees: dict[str, ast.Module] = {}
    places: dict[str, str] = {}
    for source in sorted(sources):
        parts = source.split("/")
        place = "/".join(parts[len(parts) - parts[::-1].index("ocirt") :])
        name = ".".join(["ocirt", *place.removesuffix(".py").removesuffix("__init__").rstrip("/").split("/")]).rstrip(
            "."
        )
        if place == "plan/onecode.py":
            loader = _code(place, strip_annotations(Path(source).read_text()))
        elif place not in UNUSED and (place in FILES or place.startswith(FOLDERS)):
            trees[name], places[name] = strip_annotations(Path(source).read_text()), place
    codes = b""
    table: Table = {}
    packages = {name for name, place in places.items() if place.endswith("__init__.py")}
    for name in dict.fromkeys([*_in_order(trees, packages), FIRST, *trees]):
        data = dumps(_code(places[name], trees[name]))
        table[name] = name in packages, len(codes), len(data)
        codes += data
    # A number takes the same space in the table, whatever its value.
    start = len(MAGIC_NUMBER) + 4 + len(dumps((loader, table)))
    head = dumps((loader, {name: (is_package, start + at, size) for name, (is_package, at, size) in table.items()}))
    Path(output).write_bytes(MAGIC_NUMBER + len(head).to_bytes(4, "little") + head + codes)


def _code(place: str, tree: "ast.Module") -> "CodeType":
    # Without types, docstrings and asserts, and (-X no_debug_ranges) without columns: there is less to unpack and to
    # run.
    return compile(tree, f"ocirt/{place}", "exec", dont_inherit=True, optimize=2)


def _in_order(trees: "dict[str, ast.Module]", packages: set[str]) -> list[str]:
    """ALWAYS and the modules that these import, each after those that it imports."""
    order: list[str] = []
    seen = {FIRST}

    def add(name: str) -> None:
        if name in trees and name not in seen:
            seen.add(name)
            for each in _imports(name, trees, packages):
                add(each)
            order.append(name)
            add(name.rpartition(".")[0])

    for name in ALWAYS:
        add(name)
    return order


def _imports(name: str, trees: "dict[str, ast.Module]", packages: set[str]) -> "Iterator[str]":
    """The modules that a module of ocirt imports when it runs. It may import others later, inside of functions."""
    from ast import ImportFrom

    parts = name.split(".")
    for node in trees[name].body:
        if isinstance(node, ImportFrom) and node.level:
            base = ".".join(parts[: len(parts) - node.level + (name in packages)])
            whole = f"{base}.{node.module}" if node.module else base
            for alias in node.names:
                inner = f"{whole}.{alias.name}"
                yield inner if inner in trees else whole


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
