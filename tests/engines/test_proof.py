"""The rule by which tests are passed over (proof.py), by tests that fail on purpose."""

import os
import subprocess
import sys

from tests.engines.installed import TREE
from tests.engines.proof import failure_with_runc

SUBJECT = "tests/engines/subject_of_proof.py"


def test_failure_with_runc():
    assert failure_with_runc(f"{SUBJECT}::test_fails_with_ocirt") is None
    proof = failure_with_runc(f"{SUBJECT}::test_fails_with_both")
    assert proof.startswith(f"FAILED {SUBJECT}::test_fails_with_both") and "\n" not in proof


def test_what_is_passed_over():
    """What fails with ocirt alone is a failure; what fails with both is not, and says so."""
    environment = {**os.environ, "OCIRT_TEST_ENGINES_PROOF": "1", "OCIRT_TEST_ENGINES_RUNTIME": "ocirt"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rfs", SUBJECT],
        cwd=TREE,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and "1 failed, 1 skipped" in done.stdout, done
    assert f"FAILED {SUBJECT}::test_fails_with_ocirt" in done.stdout and "with runc, too: FAILED" in done.stdout, done
