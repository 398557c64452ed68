"""The snippets of the pages on engines, which readers copy: docs/podman.md and its like."""

from pathlib import Path
from textwrap import dedent

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {
    "podman": "podman.md",
    "buildah": "buildah.md",
    "Docker": "docker.md",
    "containerd": "containerd.md",
    "GPU": "gpu.md",
}
"""What tests name -> its page."""


def snippets(engine):
    """The indented blocks of the page of ``engine``, in their order, as a reader copies them."""
    return blocks((DOCS / PAGES[engine]).read_text())


def blocks(text):
    """The indented blocks of a page, in their order."""
    found, lines = [], []
    for line in [*text.splitlines(), "end"]:
        if line.startswith("    ") or (lines and not line):
            lines.append(line)
        elif lines:
            found.append(dedent("\n".join(lines)).strip("\n") + "\n")
            lines = []
    return found


def snippet(engine, words):
    """The one block of the page of ``engine`` that has ``words``."""
    (found,) = [block for block in snippets(engine) if words in block]
    return found
