"""The fixtures of tests/integration."""

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
