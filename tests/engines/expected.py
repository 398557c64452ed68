"""Verbs that ocirt has not yet: tests of them must fail, and say so the day they do not."""

import pytest


def _missing(what):
    return pytest.mark.xfail(strict=True, reason=f"ocirt {what} is not there yet")


EXEC, PAUSE, UPDATE, PS = _missing("exec"), _missing("pause"), _missing("update"), _missing("ps")
