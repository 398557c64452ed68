"""Check a folder of HTML: python3 hack/docs.d/links.py FOLDER

Every link within the folder leads to a file, and to an element if it names one. Scripts, styles, fonts and pictures
come from the folder alone. Each fault is one line, and the exit status is 1 if there is one.
"""

import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""Elements by which a browser loads something -> the attribute that names it."""
LOADING = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "modulepreload", "dns-prefetch"}
"""Values of the attribute rel with which it does so for a <link>."""
URL_OF_CSS = re.compile(r"url\(\s*[\"']?([^\"')]+)")
IMPORT_OF_CSS = re.compile(r"@import\s+[\"']([^\"']+)")


class Document(HTMLParser):
    """The links of a page.

    :ivar names: of its elements, which a link may name after a #.
    :ivar links: what it leads to, and what a browser loads for it; with the latter, true.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[tuple[str, bool]] = []
        self.in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.names |= {values[name] for name in ("id", "name") if name in values}
        self.in_style = tag == "style"
        if tag == "a" and "href" in values:
            self.links.append((values["href"], False))
        elif tag in LOADS and LOADS[tag] in values:
            loads = tag != "link" or bool(LOADING & set(values.get("rel", "").split()))
            self.links.append((values[LOADS[tag]], loads))
        if "style" in values:
            self.links += [(each, True) for each in loaded_by_css(values["style"])]

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False

    def handle_data(self, data: str) -> None:
        if self.in_style:
            self.links += [(each, True) for each in loaded_by_css(data)]


def loaded_by_css(text: str) -> list[str]:
    return URL_OF_CSS.findall(text) + IMPORT_OF_CSS.findall(text)


def faults(folder: Path) -> "Iterator[str]":
    """A line for each fault of the site in ``folder``."""
    pages = {path: Document(path.read_text()) for path in sorted(folder.rglob("*.html"))}
    sources = {path: page.links for path, page in pages.items()}
    for path in sorted(folder.rglob("*.css")):
        sources[path] = [(each, True) for each in loaded_by_css(path.read_text())]
    for path, links in sources.items():
        for link, loads in dict.fromkeys(links):
            why = fault_of(link, loads, path, folder, pages)
            if why:
                yield f"{path.relative_to(folder)}: {link}: {why}"


def fault_of(link: str, loads: bool, path: Path, folder: Path, pages: dict[Path, Document]) -> str:
    parts = urlsplit(link)
    if parts.scheme in ("data", "mailto", "javascript"):
        return ""
    if parts.scheme or parts.netloc:
        return "is loaded from another site" if loads else ""
    target = path
    if parts.path:
        # The page for unknown addresses is shown at any address, so its links begin at the top.
        start = folder if parts.path.startswith("/") else path.parent
        target = Path(os.path.normpath(start / unquote(parts.path).lstrip("/")))
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        return "leads to no file"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].names:
        return "leads to no element of that page"
    return ""


if __name__ == "__main__":
    found = list(faults(Path(sys.argv[1]).resolve()))
    for line in found:
        print(line, file=sys.stderr)
    sys.exit(1 if found else 0)
