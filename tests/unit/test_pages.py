"""The pages in docs/: commands can be read, messages exist in the sources, and pictures and tables are what the sources give."""

import json
import re
import shlex
from pathlib import Path

import pytest

from ocirt.cli.flags import VERBS
from ocirt.cli.parser import parse
from ocirt.errors import OcirtError
from ocirt.plan import steps
from tests.engines.page import blocks
from tests.kubernetes.node import RUNTIME_CLASS

TREE = Path(__file__).parents[2]
DOCS = TREE / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
NAVIGATION = (TREE / "hack/docs.d/mkdocs.yml").read_text().partition("\nnav:\n")[2]


def commands(text):
    """Words of each command line of ocirt in the indented blocks and in the words between backticks of a page."""
    lines = [line for block in blocks(text) for line in block.splitlines()]
    lines += re.findall(r"`((?:[A-Z_]+=\S+ )?ocirt [^`]*)`", re.sub(r"\n *", " ", text))
    for line in lines:
        words = re.split(r" (?:[|;]|\|\||&&) | >", line.partition("  #")[0])[0].strip()
        # A shell could not read a parenthesis that is not quoted: such a line is output.
        is_output = "(" in re.sub(r"'[^']*'|\"[^\"]*\"", "", words)
        if words.startswith("ocirt ") and "…" not in words and "..." not in words and not is_output:
            yield shlex.split(words.rstrip(";"))


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_flags_that_exist(page):
    for words in commands((DOCS / page).read_text()):
        given = [word for word in words[1:] if not word.startswith("-")]
        if any(word == verb for word in given for verb in VERBS) and "--help" not in words:
            verb = next(word for word in given if word in VERBS)
            rest = words[words.index(verb) + 1 :]
            if re.match("ID|FILE", VERBS[verb].arguments) and all(word.startswith("-") for word in rest):
                continue  # the name of a verb in a sentence, perhaps with a flag
            try:
                parse(words)
            except OcirtError as error:
                pytest.fail(f"{page}: {shlex.join(words)}: {error}")


def test_what_a_command_is():
    text = (
        "Say `ocirt --root\n/r list`, `ocirt x …`:\n\n    ocirt plan . | less\n    ls\n    ocirt wait a || echo  # no\n"
    )
    assert list(commands(text)) == [
        ["ocirt", "plan", "."],
        ["ocirt", "wait", "a"],
        ["ocirt", "--root", "/r", "list"],
    ]


def test_every_page_has_its_place_in_the_navigation():
    listed = re.findall(r"([\w-]+\.md)$", NAVIGATION, re.M)
    assert len(listed) == len(set(listed)) and set(PAGES) <= set(listed)


def fragments(message):
    """The parts of a message that are the same for everybody: not words in capitals, numbers and quotation marks."""
    parts = re.split(r"\b[A-Z]+\b|\"|…|\(https[^)]*\)|\[N\]", message)
    return [part for part in parts if len(part.strip(" :,")) > 3]


SOURCES = [path.read_text() for pattern in ("*.c", "*.py") for path in sorted((TREE / "ocirt").rglob(pattern))]
PROGRAM = re.sub(r"\"\s*\n\s*f?\"", "", "\n".join(SOURCES))
"""All of the runtime, with adjacent literals joined."""
MESSAGES = re.findall(r"^### `(.*)`$", (DOCS / "troubleshooting.md").read_text(), re.M)


def test_what_fragments_are():
    assert fragments("container ID: process N has it for N s") == ["container ", ": process ", " has it for "]


@pytest.mark.parametrize("message", MESSAGES)
def test_each_message_is_one_that_the_sources_have(message):
    """All its parts stand in one file, or it is of two: the step's place, and what the kernel has answered."""
    assert fragments(message), "a message without words"
    missing = [part for part in fragments(message) if part.strip(" :,") not in PROGRAM]
    assert missing == []


def test_there_are_messages():
    assert len(MESSAGES) > 25 and len(set(MESSAGES)) == len(MESSAGES)


def test_the_runtime_class_is_that_of_the_tests_of_a_node():
    """tests/kubernetes runs pods with it."""
    (block,) = [each for each in blocks((DOCS / "kubernetes.md").read_text()) if "kind: RuntimeClass" in each]
    written = dict(line.strip().split(": ") for line in block.splitlines() if not line.endswith(":"))
    assert written == {
        "apiVersion": RUNTIME_CLASS["apiVersion"],
        "kind": RUNTIME_CLASS["kind"],
        "name": RUNTIME_CLASS["metadata"]["name"],
        "handler": RUNTIME_CLASS["handler"],
    }


def test_pictures_and_tables_are_what_the_sources_give():
    import comparison
    import pictures

    made = pictures.pictures()
    assert {path.name for path in (DOCS / "pictures").iterdir()} == set(made)
    for name, text in made.items():
        assert (DOCS / "pictures" / name).read_text() == text, f"{name}: run hack/format"
    assert comparison.filled(comparison.PAGE.read_text()) == comparison.PAGE.read_text(), "run hack/format"


def test_a_further_runtime_of_a_run_has_a_column():
    import comparison

    benchmark = json.loads((DOCS / "benchmark.json").read_text())
    benchmark["facts"]["runtimes"].pop("youki", None)
    benchmark["series"] = [each for each in benchmark["series"] if each["runtime"] != "youki"]
    assert "youki" not in comparison.times(benchmark)
    benchmark["facts"]["runtimes"]["youki"] = "youki version: 0.7.0"
    benchmark["series"].append({"work": "create", "runtime": "youki", "pattern": "back to back", "samples": [9000.0]})
    table = comparison.times(benchmark)
    assert "| ocirt | crun | runc | youki |" in table and "youki version: 0.7.0" in table
    (create,) = [row for row in table.splitlines() if row.startswith("| create a container |")]
    (kill,) = [row for row in table.splitlines() if row.startswith("| kill it |")]
    assert create.endswith("| 9.0 ms |") and kill.endswith("| - |")


def test_what_the_pictures_name_exists():
    import pictures

    for _, names in pictures.PROPERTIES:
        assert [name for name in names if not hasattr(steps, name)] == []
    architecture = (DOCS / "architecture.md").read_text()
    sections = set(re.findall(r"^\| (\w+) \|", architecture.partition("## Sections of a program")[2], re.M))
    assert {name for lane, _, _, name, _ in pictures.SECTIONS if lane and name != "waits"} <= sections
