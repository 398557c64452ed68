"""The snippets of docs/engines.md, which readers copy."""

from pathlib import Path
from textwrap import dedent

DOCS = Path(__file__).parents[2] / "docs/engines.md"


def snippets(engine):
    """The indented blocks under the heading ``engine``, in their order, as a reader copies them."""
    section = DOCS.read_text().partition(f"\n## {engine}\n")[2].partition("\n## ")[0]
    blocks, lines = [], []
    for line in [*section.splitlines(), "end"]:
        if line.startswith("    ") or (lines and not line):
            lines.append(line)
        elif lines:
            blocks.append(dedent("\n".join(lines)).strip("\n") + "\n")
            lines = []
    return blocks


def snippet(engine, words):
    """The one block under the heading ``engine`` that has ``words``."""
    (found,) = [block for block in snippets(engine) if words in block]
    return found
