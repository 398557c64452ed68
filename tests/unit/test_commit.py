"""conformance/commit.py, and that the scripts that write pages ask it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conformance import commit

TREE = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A tree with one commit."""
    if not shutil.which("git"):
        pytest.skip("this host has no git")

    def git(*words):
        who = ("-c", "user.name=n", "-c", "user.email=n@example.org")
        return subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    (tmp_path / "docs").mkdir()
    for name in ("code.py", "docs/page.md"):
        (tmp_path / name).write_text("one")
    git("init", "-q"), git("add", "."), git("commit", "-q", "-m", "one")
    monkeypatch.setattr(commit, "TREE", tmp_path)
    return tmp_path, git("rev-parse", "--short=12", "HEAD").strip()


def test_a_commit_and_changed_pages(tree, capsys):
    """Scripts write one page after the other, so a changed page makes no other tree."""
    folder, head = tree
    (folder / "docs/page.md").write_text("two")
    assert (commit.commit(), commit.main(), capsys.readouterr().out) == (head, 0, f"{head}\n")


@pytest.mark.parametrize("name", ["code.py", "new.py"])
def test_changes_that_are_in_no_commit(tree, capsys, name):
    folder, head = tree
    (folder / name).write_text("two")
    assert (commit.commit(), commit.main()) == (f"{head}-dirty", 1)
    assert capsys.readouterr().err == f"a page has only results of a commit; commit first: {name}\n"
    assert commit.in_words(commit.commit()) == f"{head} with changes that are in no commit"
    assert commit.in_words(head) == head


def test_without_git(tree, monkeypatch, capsys):
    monkeypatch.setattr(commit.shutil, "which", lambda name: None)
    assert (commit.commit(), commit.main()) == ("unknown", 1)
    assert capsys.readouterr().err == "a page has only results of a commit; found none here\n"


def test_every_script_with_docs_asks():
    """Each script whose first lines offer --docs calls of_a_commit, or in_guest, which does."""
    scripts = [path for path in (TREE / "hack").iterdir() if path.is_file()]
    offering = {
        path.name: path.read_text()
        for path in scripts
        if re.search(r"^#.*--docs\b(?!-)", path.read_text(errors="replace"), re.M) and path.name != "lib.sh"
    }
    assert {"bench", "bench-guest", "bench-mounts", "bench-pool", "conformance", "many-sandboxes", "throughput"} <= set(
        offering
    )
    assert [name for name, text in offering.items() if not re.search(r"^(of_a_commit|in_guest) ", text, re.M)] == []
