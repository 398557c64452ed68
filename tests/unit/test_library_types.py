"""The library's names are annotated and explained, and type checkers agree with what the pages print."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import ocirt

ROOT = Path(__file__).parents[2]


def public_functions():
    for name in ocirt.__all__:
        value = getattr(ocirt, name)
        if name == "images":
            yield from ((f"images.aio.{each}", getattr(value.aio, each)) for each in value.aio.__all__)
        elif inspect.ismodule(value):
            yield from (
                (f"aio.{each}.{key}", member)
                for each in ("Container", "Process", "Coming")
                for key, member in vars(getattr(value, each)).items()
            )
            yield "aio.run", value.run
        elif inspect.isclass(value):
            yield from ((f"{name}.{key}", member) for key, member in vars(value).items())
        elif callable(value):
            yield name, value


def test_everything_public_is_annotated():
    """Type-complete: every parameter and every result."""
    missing = []
    for name, member in public_functions():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not inspect.isfunction(function) or not function.__module__.startswith("ocirt."):
            continue
        if function.__code__.co_filename == "<string>" or name.endswith(
            ("__repr__", "__annotate_func__")
        ):  # a dataclass's own
            continue
        signature = inspect.signature(function)
        if signature.return_annotation is signature.empty:
            missing.append(name)
        missing += [
            f"{name}({each.name})"
            for each in signature.parameters.values()
            if each.annotation is each.empty and each.name not in ("self", "cls")
        ]
    assert missing == []


def test_everything_public_says_what_it_is():
    assert [
        name
        for name, member in public_functions()
        if not name.rpartition(".")[2].startswith("_")
        and not getattr(member, "__doc__", None)
        and (isinstance(member, property) or callable(getattr(member, "__func__", member)))
    ] == []


MODULES = [
    "ocirt",
    "ocirt.aio",
    "ocirt.aio.container",
    "ocirt.aio.pools",
    "ocirt.container",
    "ocirt.errors",
    "ocirt.failures",
    "ocirt.pools",
    "ocirt.result",
    "ocirt.state_dir",
]

PROGRAM = """
import asyncio
import ocirt

def use() -> None:
    with ocirt.Container.create("/bundle", stdout=ocirt.PIPE) as container:
        reveal_type(container)
        reveal_type(container.wait(1))
        reveal_type(container.exec(["sh"]).stdout)
        reveal_type(container.stats().memory)
    reveal_type(ocirt.run(config={}).text)
    ocirt.nonsense  # a mistake

async def use_too() -> None:
    async with ocirt.aio.Container.create("/bundle") as container:
        reveal_type(container)
        async with container.exec(["sh"]) as process:
            reveal_type(await process.wait())
"""
REVEALED = [
    "ocirt.container.Container",
    "int | None",
    "typing.IO[bytes]",
    "int",
    "str",
    "ocirt.aio.container.Container",
    "int",
]


def mypy(*words, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-error-summary", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_library_is_strictly_typed(tmp_path):
    done = mypy(
        "--cache-dir", str(tmp_path), "-p", "ocirt.library", *[word for name in MODULES for word in ("-m", name)]
    )
    assert (done.returncode, done.stdout) == (0, ""), done


def test_programs_that_use_it_are_checked(tmp_path):
    """By py.typed, as an installed package: what they get has types, and a name that is not there is a mistake."""
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    (tmp_path / "site").mkdir()
    (tmp_path / "site/ocirt").symlink_to(ROOT / "ocirt")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-error-summary",
            "--cache-dir",
            tmp_path / "cache",
            "program.py",
        ],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    notes = [
        re.search(r'Revealed type is "(.*)"', line)
        for line in done.stdout.splitlines()
        if line.startswith("program.py")
    ]
    found = [re.sub(r"builtins\.|^Union\[|\]$(?<!\w\])", "", note[1]) for note in notes if note]
    mistakes = [line for line in done.stdout.splitlines() if "error" in line and line.startswith("program.py")]
    assert (ROOT / "ocirt/py.typed").exists()
    assert found == REVEALED, done.stdout
    assert len(mistakes) == 1 and "nonsense" in mistakes[0]


# ---- the examples of the pages, as they are printed ----

EXAMPLES = {
    f"library-{number}": text
    for number, text in enumerate(
        re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/library.md").read_text(), re.S | re.M)
    )
}
EXAMPLES["README"] = textwrap.dedent(
    re.search(r"^    import ocirt\n(?:    .*\n|\n)+", (ROOT / "README.md").read_text(), re.M)[0]
)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """The examples as files, beside the package as it is installed."""
    place = tmp_path_factory.mktemp("examples")
    for name, text in EXAMPLES.items():
        (place / f"{name.replace('-', '_')}.py").write_text(text)
    (place / "site").mkdir()
    (place / "site/ocirt").symlink_to(ROOT / "ocirt")
    return place


def test_the_examples_pass_mypy_as_printed(printed):
    names = sorted(path.name for path in printed.glob("*.py"))
    assert len(names) == len(EXAMPLES) > 4
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", "cache", *names],
        cwd=printed,
        env={**os.environ, "MYPYPATH": "site"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (0, ""), done


def pyright():
    """Pyright's command, or that of basedpyright, whose wheel brings what it needs to run."""
    beside = os.path.join(os.path.dirname(sys.executable), "basedpyright")
    return shutil.which("pyright") or shutil.which("basedpyright") or (beside if os.path.exists(beside) else None)


@pytest.mark.skipif(pyright() is None, reason="neither pyright nor basedpyright is installed")
def test_the_examples_pass_pyright_as_printed(printed):
    settings = {"extraPaths": ["site"], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (printed / "pyrightconfig.json").write_text(json.dumps({"include": ["*.py"], **settings}))
    done = subprocess.run(
        [pyright(), "--outputjson", "-p", "."], cwd=printed, capture_output=True, text=True, timeout=300
    )
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == len(EXAMPLES)
    assert [f"{each['file']}: {each['message']}" for each in found["generalDiagnostics"]] == []
