"""Which commit of the tree a result is of: for every page and record that a script writes.

``python -m conformance.commit`` prints it for a script that is about to write into a page, and fails if nobody could find
there what is measured.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]
DIRTY = "-dirty"
PAGES = "docs"
"""Changes there make no other tree, because scripts write one page after the other."""


def _git(*words: str) -> str:
    """What git says of this tree; nothing if it fails."""
    if not shutil.which("git"):
        return ""
    done = subprocess.run(
        ["git", "--no-optional-locks", "-c", f"safe.directory={TREE}", "-C", TREE, *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=30,
    )
    return done.stdout


def changes() -> list[str]:
    """The files of this tree that differ from those of its commit, new ones among them, except PAGES."""
    status = _git("status", "--porcelain", "--no-renames", "--", ".", f":(top,exclude){PAGES}")
    return [line[3:] for line in status.splitlines()]


def commit() -> str:
    """The commit of this tree, marked if there are :func:`changes`; "unknown" without git."""
    found = _git("describe", "--always", "--abbrev=12").strip()
    return found + DIRTY * bool(changes()) if found else "unknown"


def in_words(found: str) -> str:
    """What :func:`commit` has returned, for a reader."""
    clean, dirty, _ = found.partition(DIRTY)
    return f"{clean} with changes that are in no commit" if dirty else found


def main() -> int:
    found, changed = commit(), changes()
    if found == "unknown" or changed:
        why = f"commit first: {', '.join(changed)}" if changed else "found none here"
        print(f"a page has only results of a commit; {why}", file=sys.stderr)
        return 1
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
