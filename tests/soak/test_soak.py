"""hack/test --soak: ten thousand containers, or as many as --soak=N or OCIRT_SOAK says."""

import os

from tests.soak.soak import soak


def test_soak(ocirt, faulty, bundle):
    soak(ocirt, faulty, bundle, int(os.environ.get("OCIRT_SOAK", "10000")))
