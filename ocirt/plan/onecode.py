"""The modules that a create or an exec may need, as one file of code objects: to find and read thirty of them in a
folder costs as much as to compile a bundle. Written at build time, for the version of Python that builds:

    python -X no_debug_ranges -m ocirt.plan.onecode OUTPUT SOURCE...

The file is that Python's magic number (as that of a .pyc) and the size of the table, 4 bytes each; the table, as marshal
writes it: a dict of a module's name to whether it is a package, and where its code stands; and the code of each. Only what
is imported is read. ``ocirt-python`` opens the file and calls :func:`install`; without one of its version it takes the
modules from their folder, as for all that is not in here.
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
    """Name of a module -> is it a package, where its code stands, and how many bytes it has."""

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
"""What of these folders neither create nor exec imports."""


class Finder:
    """Finds and loads modules of the file, for ``sys.meta_path``.

    :param fd: the file.
    :param modules: its table.
    :param folder: the folder that has the package's, where all other modules of it are.
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
        spec = ModuleSpec(name, self, is_package=found[0])  # type: ignore[arg-type]  # no Loader by its class, which costs
        if found[0]:
            spec.submodule_search_locations = [f"{self._folder}/{name.replace('.', '/')}"]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """By default."""

    def exec_module(self, module: "ModuleType") -> None:
        _, start, size = self._modules[module.__name__]
        exec(loads(pread(self._fd, size, start)), module.__dict__)


def install(meta_path: "list[MetaPathFinderProtocol]", fd: int, modules: "Modules", folder: str) -> None:
    """Have ``meta_path`` (``sys.meta_path``) find the modules of the file first."""
    meta_path.insert(0, Finder(fd, modules, folder))


def main(output: str, *sources: str) -> None:
    """Write the file ``output``.

    :param sources: paths of the package's modules, generated ones too: what follows the last folder ``ocirt`` in one is
        its place in the package.
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
        # Without types, docstrings and asserts, and (-X no_debug_ranges) without columns: less to unpack, less to run.
        code = compile(
            strip_annotations(Path(source).read_text()), f"ocirt/{inner}", "exec", dont_inherit=True, optimize=2
        )
        data = dumps(code)
        modules[name] = inner.endswith("__init__.py"), len(codes), len(data)
        codes += data
    # Numbers take as many bytes in the table, whatever they are.
    start = len(MAGIC_NUMBER) + 4 + len(dumps(modules))
    table = dumps({name: (is_package, start + place, size) for name, (is_package, place, size) in modules.items()})
    Path(output).write_bytes(MAGIC_NUMBER + len(table).to_bytes(4, "little") + table + codes)


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
