"""The pages on engines print nothing to write or to type that tests/engines/test_page.py does not run as printed."""

import json
from pathlib import Path

import pytest

from tests.engines import containerd, docker, podman
from tests.engines.page import DOCS, PAGES, snippets

TESTS = (Path(__file__).parents[1] / "engines/test_page.py").read_text()
FILES = (podman.SYSTEM_WIDE, docker.SYSTEM_WIDE, containerd.SYSTEM_WIDE)
BUNDLES = '"linux": {'
"""What a block of docs/gpu.md has that is not for an engine; tests/integration/test_pages.py runs it."""


@pytest.mark.parametrize("engine", PAGES)
def test_each_snippet_is_run(engine):
    found = snippets(engine)
    assert found
    for block in found:
        words = [word for name, word in called() if name == engine and word in block]
        assert block in FILES or block.startswith(BUNDLES) or len(words) == 1, (
            f"no test of tests/engines/test_page.py runs {block!r}"
        )


def called():
    """The engine and the words of each call of snippet() in test_page.py."""
    for call in TESTS.split('snippet("')[1:]:
        engine, words = call.partition('")')[0].split('", "')
        yield engine, words


def test_the_page_of_engines_itself_prints_none():
    assert snippets("GPU") and not [
        line for line in (DOCS / "engines.md").read_text().splitlines() if line[:4] == "    "
    ]


def test_the_figures_of_kubernetes_are_those_of_the_record():
    """tests/kubernetes writes docs/kubernetes.json."""
    record = json.loads((DOCS / "kubernetes.json").read_text())
    section = (DOCS / "kubernetes.md").read_text().partition("\n## On a real node\n")[2].partition("\n## ")[0]
    measured = record.pop("measured")
    text = " ".join(section.split())
    assert f"result of {measured['date']} (commit {measured['commit']}," in text
    assert f"--engines={measured['Debian']} " in text
    rows = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| runtime")]
    assert rows == [
        f"| {runtime} | {result['ready']} of {result['pods']} | {result['seconds until ready']} "
        f"| {result['processor seconds of the runtime a second']} |"
        for runtime, result in record.items()
    ]


def test_containerd_reads_the_file_only_with_its_version():
    assert containerd.SYSTEM_WIDE.startswith("version = 2\n")
