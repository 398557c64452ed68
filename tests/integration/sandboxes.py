"""What the tests of ocirt.Sandbox share."""

from tests.integration.harness import cgroups_path

PARENT = cgroups_path("sandboxes")
"""Below it each run has a cgroup of its own."""


def describe(kind, image, runtime, **more):
    """A sandbox whose cgroups tests may use."""
    return kind(image, runtime=runtime, cgroup=PARENT, **more)
