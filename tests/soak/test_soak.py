"""hack/test --soak: ten thousand containers, or as many as --soak=N or OCIRT_SOAK says."""

import os

from tests.soak.soak import soak, variants


def test_soak(ocirt, faulty, bundles, tmp_path):
    soak(ocirt, faulty, variants(bundles, tmp_path), int(os.environ.get("OCIRT_SOAK", "10000")))
