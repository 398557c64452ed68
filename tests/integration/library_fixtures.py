"""The fixtures of the library's tests that block."""

import gc

import pytest

from ocirt import Container
from tests.integration.library import children, config_for, descriptors


@pytest.fixture(autouse=True)
def nothing_left():
    """Each test leaves the process as it was: no child, no descriptor."""
    before = descriptors()
    yield
    gc.collect()  # exceptions that a test has caught hold their frames
    assert (children(), descriptors()) == ([], before)


@pytest.fixture
def box(runtime, image):
    """Makes containers: ``box("sh", "-c", "...", stdin=PIPE)``."""

    def make(*args, id="c1", **more):
        return Container.create(config=config_for(*args), rootfs=image, id=id, runtime=runtime, **more)

    return make


@pytest.fixture
def busy(box):
    """A container that sleeps."""
    with box("sleep", "60") as container:
        container.start()
        yield container
