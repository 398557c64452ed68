"""The pages for readers: one width, and none of the idioms that a newcomer has to read twice."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
PAGES = [*sorted(TREE.glob("*.md")), *sorted((TREE / "docs").glob("*.md"))]
WIDTH = 100
IDIOMS = {
    r"leaves? (its|their|our) (own )?file": "detaches from the executable",
    r"(is|are) told by": "name what it depends on",
    r"[Ww]ho(ever)? (finds|listens|waits|looks|knows|asks|counts)\b": "name the actor",
    r"[Ii]n place of": "instead of",
    r"there (is|are) none\b": "is missing, does not exist",
    r"(that|which|what) (is|are) there\b": "exists",
    r"(is|are) there (already|before)": "exists",
    r"\b(of (its|theirs|ours)|to (its|theirs|ours))[.,;:)]": "repeat the noun",
    r"(can|could|may|to) be had\b": "is available, can be obtained",
    r"passe[sd] over\b": "skips, ignores",
    r"for want of": "because it lacks",
    r"\bbut for\b": "except",
    r"as the specification has it": "as the specification requires",
    r"(stays?|stands?) as (it|they) (is|are|stands?)": "does not change",
    r"without a word": "silently",
    r"goes with the last": "is removed with the last",
}
"""What a newcomer stumbles over -> what to write instead."""


def prose(page):
    """The lines of a page with their numbers, without code, tables and headings."""
    fenced, after_text = False, False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith(("|", "#", "<!--", "![")):
            after_text = False
        elif line.startswith("    ") and not after_text:
            continue
        else:
            after_text = bool(line)
            yield number, line


def test_what_prose_is(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Head\ntext\n    more text\n\n    code\n\n| a | b |\n```\ncode\n```\n- an item\n")
    assert list(prose(page)) == [(2, "text"), (3, "    more text"), (4, ""), (6, ""), (11, "- an item")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_are_at_most_100_columns_wide(page):
    """A line without a space after its indent, a long path for example, cannot be divided."""
    wide = [number for number, line in prose(page) if len(line) > WIDTH and " " in line.strip(" -")]
    assert wide == [], f"{page.name} has lines of more than {WIDTH} columns; hack/format fills them"


def test_what_fills_the_pages_changes_only_prose(tmp_path):
    words = "word " * 30
    kept = (
        "# "
        + words
        + "\n\n    "
        + words
        + "\n\n| "
        + words
        + "|\n\n```\n"
        + words
        + "\n```\n<!-- written -->\n"
        + words
    )
    page = tmp_path / "page.md"
    page.write_text(
        f"{kept}\n<!-- end -->\n{words}\nand of the year\n124. It was\n\n1. {words}\n2. `a {'b' * 90}` c\n- d\n"
    )
    for _ in range(2):
        subprocess.run([sys.executable, TREE / "hack/format.d/fill.py", page], check=True)
        text = page.read_text()
        assert [line.rstrip() for line in kept.split("\n")] == [
            line.rstrip() for line in text.split("\n")[: kept.count("\n") + 1]
        ]
        filled = text.split("<!-- end -->\n")[1]
        assert filled.split() == f"{words} and of the year 124. It was 1. {words} 2. `a {'b' * 90}` c - d".split()
        assert "\n\n1. word" in filled and "\n   word" in filled and "\n2. `a" in filled and filled.endswith("\n- d\n")
        assert all(len(line) <= WIDTH for line in filled.split("\n"))


def idioms_in(text):
    """Pairs of an idiom in ``text``, outside of quotes and code, and what to write instead."""
    plain = re.sub(r"\"[^\"]*\"|`+[^`]*`+", "", " ".join(text.split()))
    return [(hit[0], better) for idiom, better in IDIOMS.items() for hit in re.finditer(idiom, plain)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_idioms(page):
    lines = [line for line in page.read_text().splitlines() if not line.startswith("#")]
    assert idioms_in(" ".join(lines)) == [], "say it in plain English"


def texts_of(source):
    """The docstrings and comments of a module, with their lines."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def test_what_texts_are():
    source = '"""Head."""\nNAME = "who finds"  # a comment\n"""Of NAME."""\n'
    assert sorted(texts_of(source)) == [(1, "Head."), (2, "# a comment"), (3, "Of NAME.")]
    assert [idioms_in(text) != [] for text in ("passed over in `who finds`", "`passed over`")] == [True, False]


@pytest.mark.parametrize("folder", ["ocirt", "hack", "conformance"])
def test_idioms_of_docstrings_and_comments(folder):
    found = [
        (f"{module.relative_to(TREE)}:{line}", *idiom)
        for module in sorted((TREE / folder).rglob("*.py"))
        for line, text in texts_of(module.read_text())
        for idiom in idioms_in(text)
    ]
    assert found == [], "say it in plain English"
