"""Which commit of the tree a result is of: for every page and record that a script writes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]


def commit() -> str:
    """The commit of this tree, marked if the tree differs from it; "unknown" without git."""
    if not shutil.which("git"):
        return "unknown"
    done = subprocess.run(
        ["git", "-c", f"safe.directory={TREE}", "-C", TREE, "describe", "--always", "--dirty", "--abbrev=12"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=30,
    )
    return done.stdout.strip() or "unknown"
