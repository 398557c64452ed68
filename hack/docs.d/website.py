"""Hooks of MkDocs for the documentation site: pages that do not lie in docs/, and links to them."""

import os
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))  # MkDocs runs this file, and does not import it
import library
import manual
import messages
import verbs

TREE = Path(__file__).resolve().parents[2]
ABOVE = {"SECURITY.md": "security.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages of the tree's top -> their names on the site."""
TARGETS = {TREE / path: name for path, name in ABOVE.items()} | {
    TREE / "README.md": "index.md",
    TREE / "LICENSE": "license.txt",
}
"""What pages link to outside docs/ -> its name on the site."""
LINK = re.compile(r"(?<=\]\()([^()\s#:]+)(?=[#)])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what does not lie in docs/."""
    made = {name: (TREE / path).read_text() for path, name in ABOVE.items()}
    made["license.txt"] = (TREE / "LICENSE").read_text()
    made["verbs.md"] = verbs.page()
    made["errors.md"] = messages.page()
    made["api.md"] = library.page()
    made["annotations.md"] = manual.markdown((TREE / "man/ocirt-annotations.7").read_text(), "Annotations")
    made["cache.md"] = manual.markdown((TREE / "man/ocirt-cache.7").read_text(), "The cache of programs")
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let the links of a page, which lead to files of the tree, lead to pages of the site."""
    docs = TREE / "docs"
    folder = TREE if page.file.src_uri in ABOVE.values() else (docs / page.file.src_uri).parent

    def on_the_site(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / link[1]))
        if target in TARGETS:
            return os.path.relpath(docs / TARGETS[target], (docs / page.file.src_uri).parent)
        if folder == TREE and target.is_relative_to(docs):
            return str(target.relative_to(docs))
        return link[1]

    return LINK.sub(on_the_site, text)
