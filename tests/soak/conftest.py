"""The fixtures of tests/integration."""

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
