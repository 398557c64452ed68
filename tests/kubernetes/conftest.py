"""The lane of hack/test --kubernetes: the cells, images and installed ocirt of tests/engines."""

from tests.engines.conftest import archives, cell, ready, runtime

__all__ = ["archives", "cell", "ready", "runtime"]
