"""One file with the code objects of all modules that a create or an exec may need. Finding and reading thirty modules
in a folder takes as long as compiling a bundle. The build writes the file, for the version of Python that runs the
build:

    python -X no_debug_ranges -m ocirt.plan.onecode OUTPUT SOURCE...

The file is that Python's magic number (that of a .pyc) and the size of the table, 4 bytes each; the table in marshal's
format, a dict of a module's name to whether it is a package, and the place of its code; and the code of each module.
Only imported modules are read. ``ocirt-python`` opens the file and calls :func:`install`. If the file is for another
version, and for modules that it lacks, Python imports from the package's folder.
"""

from _frozen_importlib import ModuleSpec
from marshal import dumps, loads
from posix import pread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import TypeAlias

    from _typeshed.importlib import MetaPathFinderProtocol

    Modules: TypeAlias = dict[str, tuple[bool, int, int]]
    """Name of a module -> is it a package, the place of its code, and the size of its code in bytes."""

FOLDERS = ("cgroups/", "compile/", "model/", "plan/")
FILES = (
    "__init__.py",
    "_build.py",
    "boot.py",
    "errors.py",
    "log.py",
    "cli/__init__.py",
    "cli/create.py",
    "cli/exec.py",
    "created_with.py",
)
UNUSED = ("plan/check.py", "plan/document.py", "plan/entries.py", "plan/printer.py", "plan/strip_annotations.py")
"""Modules of these folders that neither create nor exec imports."""


class Finder:
    """Finds and loads modules of the file, for ``sys.meta_path``.

    :param fd: the file.
    :param modules: its table.
    :param folder: the folder that contains the package's folder, with all other modules of the package.
    """

    __slots__ = ("_fd", "_modules", "_folder")

    def __init__(self, fd: int, modules: "Modules", folder: str) -> None:
        self._fd, self._modules, self._folder = fd, modules, folder

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> ModuleSpec | None:
        found = self._modules.get(name)
        if found is None:
            return None
        spec = ModuleSpec(name, self, is_package=found[0])  # type: ignore[arg-type]  # importing Loader costs time
        if found[0]:
            spec.submodule_search_locations = [f"{self._folder}/{name.replace('.', '/')}"]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Let the import system make the module."""

    def exec_module(self, module: "ModuleType") -> None:
        _, start, size = self._modules[module.__name__]
        exec(loads(pread(self._fd, size, start)), module.__dict__)


def install(meta_path: "list[MetaPathFinderProtocol]", fd: int, modules: "Modules", folder: str) -> None:
    """Let ``meta_path`` (``sys.meta_path``) find the modules of the file first."""
    meta_path.insert(0, Finder(fd, modules, folder))


def main(output: str, *sources: str) -> None:
    """Write the file ``output``.

    :param sources: paths of the package's modules, including generated ones. The part after the last folder ``ocirt``
        is the place in the package.
    """
    from importlib.util import MAGIC_NUMBER
    from pathlib import Path

    from .strip_annotations import strip_annotations

    modules: Modules = {}
    codes = b""
    for source in sorted(sources):
        parts = source.split("/")
        inner = "/".join(parts[len(parts) - parts[::-1].index("ocirt") :])
        if inner in UNUSED or not (inner in FILES or inner.startswith(FOLDERS)):
            continue
        name = ".".join(["ocirt", *inner.removesuffix(".py").removesuffix("__init__").rstrip("/").split("/")]).rstrip(
            "."
        )
        # Without types, docstrings and asserts, and (-X no_debug_ranges) without columns: there is less to unpack and
        # to run.
        code = compile(
            strip_annotations(Path(source).read_text()), f"ocirt/{inner}", "exec", dont_inherit=True, optimize=2
        )
        data = dumps(code)
        modules[name] = inner.endswith("__init__.py"), len(codes), len(data)
        codes += data
    # A number takes the same space in the table, whatever its value.
    start = len(MAGIC_NUMBER) + 4 + len(dumps(modules))
    table = dumps({name: (is_package, start + place, size) for name, (is_package, place, size) in modules.items()})
    Path(output).write_bytes(MAGIC_NUMBER + len(table).to_bytes(4, "little") + table + codes)


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
