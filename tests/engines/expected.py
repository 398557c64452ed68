"""The runtime under test."""

import os

import pytest

RUNTIME = os.environ.get("OCIRT_TEST_ENGINES_RUNTIME", "ocirt")
"""The runtime that engines use. ``runc`` shows which tests runc passes, and so which test is itself wrong."""

PATHS = {"ocirt": "/usr/local/bin/ocirt", "runc": "/usr/sbin/runc", "crun": "/usr/bin/crun"}
"""Where the runtimes are."""

OURS = pytest.mark.skipif(RUNTIME != "ocirt", reason="about ocirt itself")
