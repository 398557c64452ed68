"""Faults: the fixtures of tests/integration, and those of a bundle that uses every feature."""

from tests.integration.conftest import (
    bundle,
    bundles,
    clean_before,
    faulty,
    image,
    no_cgroup_left,
    ocirt,
    programs,
    pytest_collection_modifyitems,
)
from tests.integration.test_faults_in_play import network, place
