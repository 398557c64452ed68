"""A short soak; the long one is hack/test --soak."""

from tests.soak.soak import soak, variants


def test_sixty_containers(ocirt, faulty, bundles, tmp_path):
    soak(ocirt, faulty, variants(bundles, tmp_path), 60)
