"""The house stands in layers: imports go one way, and no module imports, however indirectly, one that imports it.

What counts is every import: those inside of functions, which only happen when they are needed, and those for type checkers alone.
A reader who follows them must come to an end, too.
"""

import ast
import re
from io import StringIO
from pathlib import Path
from tokenize import COMMENT, generate_tokens

import pytest

TREE = Path(__file__).parents[2]
PACKAGE = TREE / "ocirt"

LAYERS = (
    ("errors", "nearest", "packages", "confine", "log", "wordings"),
    ("model",),
    ("descriptor", "links", "state_dir", "created_with", "pidfd", "process_stat", "why"),
    ("plan",),
    ("cgroups",),
    ("compile",),
    ("failures", "result", "library", "images", "container", "pools", "sandboxes", "aio", "__init__"),
    ("criu",),
    ("validate",),
    ("helpers",),
    ("cli",),
    ("boot", "generate", "_build"),
)
"""Folders and modules of ocirt/, the lowest first: each imports from its own layer and those above it in this list. ``__init__`` is the
package itself, whose names are the library's; ``_build`` is the build id, which is written at build time."""


def imports(sources):
    """The modules that each of ``sources`` imports: name -> names.

    :param sources: name of a module, ``__init__`` of a package left out -> its path and its source.
    """
    return {name: sorted(_imported(name, *source, sources)) for name, source in sources.items()}


def _imported(name, path, text, known):
    parts = name.split(".")
    package = parts if path.name == "__init__.py" else parts[:-1]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from [alias.name for alias in node.names if alias.name in known]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join(above + ([node.module] if node.module else []))
            for alias in node.names:  # a module of the package, or else a name in it
                inner = f"{base}.{alias.name}"
                found = inner if inner in known else base
                if found in known and found != name:
                    yield found


def circle(graph):
    """The modules of a circle in ``graph``, in the order in which they import each other, the first once more at the end; empty if
    there is none."""
    done = set()

    def follow(name, way):
        if name in way:
            return [*way[way.index(name) :], name]
        if name not in done:
            for each in graph[name]:
                found = follow(each, [*way, name])
                if found:
                    return found
            done.add(name)
        return []

    return next(filter(None, (follow(name, []) for name in graph)), [])


def of_folder(folder):
    """:func:`imports`' argument for a package in ``folder``."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        name = ".".join([folder.name, *path.relative_to(folder).with_suffix("").parts])
        found[name.removesuffix(".__init__")] = path, path.read_text()
    return found


def layer(name):
    """The place of a module's layer in LAYERS."""
    first = ([*name.split("."), "__init__"])[1]
    places = [place for place, names in enumerate(LAYERS) if first in names]
    assert places, f"{name}: expected ocirt/{first} in LAYERS, which says what it may import"
    return places[0]


@pytest.fixture(scope="module")
def graph():
    return imports(of_folder(PACKAGE))


def test_no_module_imports_itself_in_a_circle(graph):
    assert len(graph) > 100 and not circle(graph), " -> ".join(circle(graph))


def test_imports_go_down_the_layers(graph):
    wrong = [f"{name} imports {each}" for name, all in graph.items() for each in all if layer(each) > layer(name)]
    assert not wrong, "\n".join(wrong)


MOST_LINES = 600
LONGER = {"container.py", "aio/container.py"}
"""Modules of one class whose docstrings, which are its reference, take more."""


def test_a_module_has_one_job():
    """A longer one usually has two, and a reader looks for the second one elsewhere."""
    long = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if len(path.read_text().splitlines()) > MOST_LINES
    }
    assert long == LONGER


def test_every_layer_is_there():
    for name in [name for names in LAYERS for name in names if name != "_build"]:
        assert (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file(), name


def test_a_circle_is_found_wherever_the_import_stands(tmp_path):
    """Of these tests themselves: at the top, in a function, for type checkers alone, of a module, of a name, of the package."""
    package = tmp_path / "p"
    (package / "q").mkdir(parents=True)
    for path, text in (
        ("__init__.py", ""),
        ("a.py", "from .q import b"),
        ("q/__init__.py", "from ..c import NAME"),
        ("q/b.py", "def f():\n    from .. import c\n"),
        ("c.py", "if TYPE_CHECKING:\n    import p.d\n"),
        ("d.py", "import os\nfrom .q.b import f"),
    ):
        (package / path).write_text(text)
    found = imports(of_folder(package))
    assert found == {"p": [], "p.a": ["p.q.b"], "p.q": ["p.c"], "p.q.b": ["p.c"], "p.c": ["p.d"], "p.d": ["p.q.b"]}
    assert circle(found) == ["p.q.b", "p.c", "p.d", "p.q.b"]
    assert circle(found | {"p.d": []}) == []


CORE = PACKAGE / "core"

CORE_LAYERS = ("base", "program", "launch", "state", "executor", "cgroup", "mount", "commands", "process", "verbs", "")
"""Folders of ocirt/core, the lowest first: a file includes what is in its own folder and in those before it. The last one is
ocirt/core itself, with main.c and the table of handlers."""

DECLARES = re.compile(r"^(?!static|typedef|#|//|extern)[\w][^;{}=()]*?\b(\w+)\(", re.M)
"""A function that a header declares."""


def core_graph():
    """What the files of ocirt/core include of each other, a header and its source taken as one: name -> names."""
    graph = {}
    for path in sorted(CORE.rglob("*.[ch]")):
        name = str(path.relative_to(CORE).with_suffix(""))
        included = re.findall(r'^#include "(.*)\.h"', path.read_text(), re.M)
        graph.setdefault(name, set()).update(i for i in included if i != name and (CORE / f"{i}.h").exists())
    return {name: sorted(names) for name, names in graph.items()}


def test_no_circle_of_includes():
    assert circle(core_graph()) == []


def test_includes_go_from_later_folders_to_earlier_ones():
    def rank(name):
        return CORE_LAYERS.index(name.rpartition("/")[0])

    wrong = [
        f"{name} -> {other}" for name, others in core_graph().items() for other in others if rank(other) > rank(name)
    ]
    assert wrong == []


def test_every_folder_of_the_core_has_its_layer():
    assert {str(path.parent.relative_to(CORE)) for path in CORE.rglob("*.[ch]")} == {
        layer or "." for layer in CORE_LAYERS
    }


@pytest.mark.parametrize("header", sorted(CORE.rglob("*.h")), ids=lambda path: str(path.relative_to(CORE)))
def test_a_header_declares_what_its_source_defines(header):
    """Otherwise a file could use another one without including anything of it, and the graph would not show it."""
    declared = set(DECLARES.findall(re.sub(r"//.*|^\s+.*|^#.*\\\n(?:.*\\\n)*.*", "", header.read_text(), flags=re.M)))
    source = header.with_suffix(".c")
    text = source.read_text() if source.exists() else ""
    assert [name for name in declared if not re.search(rf"^[^\s#/].*\b{name}\(", text, re.M)] == []


OTHER_FILES = re.compile(
    r"((config|features)(-linux)?|runtime)\.md|(steps|flags)\.h|_build\.py|(include/uapi/)?(linux|sys|asm-generic)/\w+\.h"
)
"""Pages of the specification, files that the build makes, and headers of the kernel and the C library."""


def prose(path):
    """The comments of a source file and, in Python, the strings that are statements: its docstrings."""
    text = path.read_text()
    if path.suffix != ".py":
        return re.findall(r"//.*", text)
    comments = [each.string for each in generate_tokens(StringIO(text).readline) if each.type == COMMENT]
    nodes = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr)]
    return comments + [str(node.value) for node in nodes if isinstance(node, ast.Constant)]


def test_every_file_that_a_comment_names_exists():
    """A name may leave out the folders that lead to the file."""
    known = "".join(f"/{path.relative_to(TREE)}\n" for path in TREE.glob("*.md"))
    for folder in ("docs", "hack", "man", "ocirt", "tests"):
        known += "".join(f"/{path.relative_to(TREE)}\n" for path in (TREE / folder).rglob("*.*"))
    stale = [
        f"{path.relative_to(TREE)}: {name}"
        for path in PACKAGE.rglob("*.*")
        if path.suffix in (".py", ".c", ".h")
        for text in prose(path)
        for name in re.findall(r"[\w./-]*\w\.(?:py|c|h|md)\b", text)
        if not OTHER_FILES.fullmatch(name) and f"/{name}\n" not in known
    ]
    assert not stale
