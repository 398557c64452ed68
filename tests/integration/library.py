"""What the tests of the library share."""

import os

from ocirt import sandbox
from tests.integration.harness import cgroups_path


def config_for(*args, cgroup=None, **limits):
    """A sandbox's config with a cgroup that tests may use."""
    return sandbox(args, cgroup=cgroup or cgroups_path("library"), **limits)


def descriptors():
    """The open descriptors of this process, and what they are."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # that of listdir itself
            continue
    return found


def children():
    """The pids of this process's children, zombies included."""
    pids = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children") as file:
            pids += file.read().split()
    return pids
