"""The reason for skipping a test: it fails with runc as well, in this very run."""

import os
import subprocess
import sys

from tests.engines.installed import TREE

SECONDS = 400


def failure_with_runc(nodeid):
    """Run one test with runc as its runtime.

    :param nodeid: pytest's name of the test.
    :returns: how it fails, in one line; None if it does not fail.
    """
    environment = {**os.environ, "OCIRT_TEST_ENGINES_RUNTIME": "runc", "OCIRT_TEST_ENGINES_PROOF": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--quiet", "--no-header", "--tb=line", nodeid],
            cwd=TREE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"no end within {SECONDS} seconds"
    if done.returncode != 1:  # pytest's status if tests ran and some failed
        return None
    return next(line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR ")))
