"""The one file of code objects: it has the modules of the import budget, and gives the very same program as these."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocirt.plan import onecode
from ocirt.plan.strip_annotations import strip_annotations
from tests.unit.test_import_budget import (
    COMPILE,
    EXPECTED,
    EXPECTED_FOR_EXEC,
    ROOT,
    config,  # noqa: F401  (a fixture)
)

INSTALL = """
import sys
from marshal import loads
from posix import O_RDONLY, open, pread
fd = open(sys.argv.pop(1), O_RDONLY)
loader, table = loads(pread(fd, int.from_bytes(pread(fd, 8, 0)[4:], "little"), 8))
namespace = {"__name__": "ocirt.plan.onecode"}
exec(loader, namespace)
namespace["install"](fd, table, FOLDER)
"""
SHOW = """
from hashlib import sha256
print(sha256(program).hexdigest(), *[name for name, module in sys.modules.items()
      if name.startswith("ocirt") and type(getattr(module.__spec__, "loader", None)).__name__ == "Finder"])
"""


def sources():
    found = [path for path in (ROOT / "ocirt").rglob("*.py") if "core" not in path.parts]
    assert len(found) > 60
    return map(str, found)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code") / "ocirt"
    folder.mkdir()
    (folder / "_build.py").write_text('BUILD_ID = "1" * 32\n')
    onecode.main(str(folder / "code"), *sources(), str(folder / "_build.py"))
    return folder / "code"


def run(program, *words):
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, *map(str, words)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_it_begins_as_a_pyc_of_this_python(file):
    from importlib.util import MAGIC_NUMBER

    assert file.read_bytes().startswith(MAGIC_NUMBER)


def test_every_module_of_the_budget_is_in_it(file):
    program = INSTALL.replace("FOLDER", "'/nowhere'") + "print(*table)"
    expected = {name for name in (EXPECTED + EXPECTED_FOR_EXEC).split() if name.startswith("ocirt")}
    assert expected <= set(run(program, file))


def test_it_compiles_the_same_program_from_no_other_file(file, config, tmp_path):  # noqa: F811
    """The package's folder is not there at all."""
    compiling = COMPILE.replace(f"sys.path.insert(0, {str(ROOT)!r})", "")
    digest, *loaded = run(INSTALL.replace("FOLDER", f"{str(tmp_path)!r}") + compiling + SHOW, file, config)
    assert {name for name in EXPECTED.split() if name.startswith("ocirt")} <= set(loaded)
    plain = COMPILE.replace("import ocirt._build", "raise ImportError").replace('"0" * 32', '"1" * 32')
    assert run(plain + SHOW, config)[0] == digest


def test_the_modules_of_every_create_are_made_at_once(file):
    """All that a create without cgroups imports, each after what it imports. The import system finds only the others."""
    driver = "ocirt.cgroups.cgroupfs ocirt.cgroups.v1 ocirt.cgroups.v2 ocirt.cgroups.filter".split()
    program = INSTALL.replace("FOLDER", "'/nowhere'") + "print(*list(table)[:list(table).index('ocirt.cli.create')])"
    at_once = run(program, file)
    asked = {"ocirt", "ocirt.boot", "ocirt.cli", "ocirt.cli.create"}  # before any create is compiled
    expected = {name for name in EXPECTED.split() if name.startswith("ocirt")} - asked - {*driver}
    assert {*at_once} - asked == expected
    place = {name: index for index, name in enumerate(at_once)}
    assert (
        place["ocirt.model.text"] < place["ocirt.model.config"] < place["ocirt.compile.mounts"] < place["ocirt.compile"]
    )


def test_modules_made_at_once_are_as_imported_ones(file):
    """Their names, packages, specs and places in their packages."""
    program = INSTALL.replace("FOLDER", "'/nowhere'")
    program += """
import ocirt.errors as before, ocirt.cli.create, ocirt
assert sys.modules["ocirt.errors"] is before
for name in list(table)[:list(table).index("ocirt.cli.create")]:
    module = sys.modules[name]
    parent, _, child = name.rpartition(".")
    assert not parent or getattr(sys.modules[parent], child) is module, name
    assert module.__name__ == module.__spec__.name == name, name
    assert module.__package__ == (name if hasattr(module, "__path__") else parent), name
import ocirt.compile.mounts as again
print(again is sys.modules["ocirt.compile.mounts"], again.__spec__.loader is ocirt.compile.__spec__.loader, ocirt.compile.__path__)
"""
    assert run(program, file) == ["True", "True", "['/nowhere/ocirt/compile']"]


def test_other_verbs_import_only_what_they_need(file):
    program = INSTALL.replace("FOLDER", "'/nowhere'") + "import ocirt.model.json; print('ocirt.compile' in sys.modules)"
    assert run(program, file) == ["False"]


def test_what_is_not_in_it_comes_from_the_folder(file):
    program = INSTALL.replace("FOLDER", repr(str(ROOT))) + "import ocirt.cli.spec; print(ocirt.cli.spec.__file__)"
    assert run(program, file) == [str(Path(ROOT, "ocirt/cli/spec.py"))]
    assert os.path.exists(run(program, file)[0])


def test_it_has_no_types(file):
    show = "import ocirt.model.text as m, ocirt.model.host as h; print(hasattr(m, 'TYPE_CHECKING'), m.quote.__annotations__, "
    show += "m.Text.__init__.__annotations__, '__annotations__' in vars(m), '__annotations__' in vars(h.Host), h.Host().observed)"
    assert run(INSTALL.replace("FOLDER", "'/nowhere'") + show, file) == ["False", "{}", "{}", "False", "False", "{}"]


def test_what_types_alone_need_is_left_out():
    source = """
class Members:
    member: int

def function(a: "X", *b: "X", c: "X" = 1, **d: "X") -> "X":
    if TYPE_CHECKING:
        import none
    else:
        a += 1
    if not TYPE_CHECKING:
        a += 2
    e: "X" = a + c
    return e

TYPE_CHECKING = False
table: "X" = {}
"""
    names = {}
    exec(compile(strip_annotations(source), "", "exec"), names)
    assert names["function"](1) == 5 and names["function"].__annotations__ == {} and names["table"] == {}
    assert "TYPE_CHECKING" not in names and "__annotations__" not in {*names, *vars(names["Members"])}
