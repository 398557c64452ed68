"""Faults: the fixtures of tests/integration, and those of a bundle with everything in play."""

from tests.integration.conftest import (
    bundle,
    bundles,
    clean_before,
    faulty,
    image,
    ocirt,
    programs,
    pytest_collection_modifyitems,
)
from tests.integration.test_faults_in_play import network, place
