"""A short soak; the long one is hack/test --soak."""

from tests.soak.soak import soak


def test_sixty_containers(ocirt, faulty, bundle):
    soak(ocirt, faulty, bundle, 60)
