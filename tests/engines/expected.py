"""The runtime under test, and verbs that ocirt has not yet: tests of them must fail, and say so the day they do not."""

import os

import pytest

RUNTIME = os.environ.get("OCIRT_TEST_ENGINES_RUNTIME", "ocirt")
"""What engines are set up with. ``runc`` shows what of the tests runc passes, so what is wrong with a test itself."""


def _missing(what):
    return pytest.mark.xfail(RUNTIME == "ocirt", strict=True, reason=f"ocirt {what} is not there yet")


EXEC, PAUSE, UPDATE, PS = _missing("exec"), _missing("pause"), _missing("update"), _missing("ps")
OURS = pytest.mark.skipif(RUNTIME != "ocirt", reason="about ocirt itself")
