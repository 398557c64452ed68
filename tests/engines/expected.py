"""The runtime under test."""

import os

import pytest

RUNTIME = os.environ.get("OCIRT_TEST_ENGINES_RUNTIME", "ocirt")
"""What engines are set up with. ``runc`` shows what of the tests runc passes, so what is wrong with a test itself."""

OURS = pytest.mark.skipif(RUNTIME != "ocirt", reason="about ocirt itself")
