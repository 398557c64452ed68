"""Fill the prose of the pages that people write to 100 columns: python3 hack/format.d/fill.py [PAGE...]; hack/format does it.

Code, tables, headings and what is between two HTML comments do not change. Code between backticks is not divided.
"""

import re
import sys
import textwrap
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
WIDTH = 100
GENERATED = ("benchmark.md", "conformance.md", "steps.md")
"""Pages that scripts write."""


def pages() -> list[Path]:
    """The pages that people write."""
    found = [*TREE.glob("*.md"), *(TREE / "docs").glob("*.md")]
    return sorted(page for page in found if page.name not in GENERATED)


def fill(text: str) -> str:
    """The content of a page with its prose filled."""
    lines: list[str] = []
    words: list[str] = []
    first = rest = ""
    fenced = generated = False

    def flush() -> None:
        if words:
            lines.append(_paragraph(" ".join(words), first, rest))
            words.clear()

    for line in text.split("\n"):
        marker = re.match(r" *(?:[-*]|\d+\.) +", line)
        if line.startswith("```"):
            flush()
            fenced = not fenced
            lines.append(line)
        elif line.startswith("<!--"):
            flush()
            generated = "end" not in line
            lines.append(line)
        elif fenced or generated:
            lines.append(line)
        elif not line.strip() or line.startswith(("|", "#", "![")):
            flush()
            lines.append(line.rstrip())
        elif line.startswith("    ") and not words:
            lines.append(line)
        elif marker and _begins_an_item(marker[0].strip(), first.strip(), bool(words)):
            flush()
            first, rest = marker[0], " " * len(marker[0])
            words.append(line[marker.end() :].strip())
        else:
            if not words:
                first = rest = line[: len(line) - len(line.lstrip())]
            words.append(line.strip())
    flush()
    return "\n".join(lines)


def _begins_an_item(marker: str, before: str, in_paragraph: bool) -> bool:
    """Does a line that begins with ``marker`` begin an item of a list? In a paragraph, a number may also end a sentence."""
    if marker in "-*" or not in_paragraph:
        return True
    return before.rstrip(".").isdigit() and int(marker.rstrip(".")) == int(before.rstrip(".")) + 1


def _paragraph(text: str, first: str, rest: str) -> str:
    whole = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", "\0") if len(code[0]) < 72 else code[0], text)
    filled = textwrap.fill(
        whole, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return filled.replace("\0", " ")


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else pages():
        text = path.read_text()
        if (filled := fill(text)) != text:
            path.write_text(filled)
