"""Virtual machines for the tests (hack/vm), and build/vm/result.json: the results of the whole lane,
`hack/test --vm`.
"""

import json
import shutil
import subprocess
import time
from collections import Counter

import pytest

from tests.vm.machine import RESULTS, SUITE, TREE, Guest

PARTS = {}
"""The reports of the lane's parts, by name."""


@pytest.fixture(scope="session")
def report():
    """``report(name, value)`` for result.json."""
    return PARTS.__setitem__


@pytest.fixture(scope="module")
def boot(tmp_path_factory):
    """``boot(name, *words, share=, user=, timeout=)`` returns a Guest, which ends with the module."""
    guests = []

    def start(name, *words, share=None, **more):
        guest = Guest(name, share or tmp_path_factory.mktemp("share"), *words, **more)
        guests.append(guest)
        return guest

    yield start
    for guest in guests:
        guest.stop()


def git(*words):
    """git's output about the tree; empty without git."""
    if not shutil.which("git"):
        return ""
    return subprocess.run(
        ["git", "-c", f"safe.directory={TREE}", "-C", TREE, *words], capture_output=True, text=True, timeout=60
    ).stdout.strip()


def pytest_sessionstart(session):
    session.config.stash["began"] = time.time()
    session.config.stash["tree"] = {
        "commit": git("rev-parse", "HEAD") or "unknown",
        "changed": bool(git("status", "--porcelain")),
    }


def pytest_sessionfinish(session, exitstatus):
    """Write the result only if the run had all parts."""
    if not {"machine", "integration", "rootless"} <= PARTS.keys():
        return
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    outcomes = {
        name: len(terminal.stats[name])
        for name in ("passed", "failed", "error", "xfailed", "xpassed")
        if terminal.stats.get(name)
    }
    skipped = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminal.stats.get("skipped", ()))
    began = session.config.stash["began"]
    result = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "seconds": round(time.time() - began),
        **session.config.stash["tree"],
        "status": int(exitstatus),
        "suite": SUITE,
        "tests/vm": outcomes | {"left out": skipped},
        **PARTS,
    }
    (RESULTS / "result.json").write_text(json.dumps(result, indent=1) + "\n")
