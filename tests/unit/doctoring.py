"""What the tests of ``ocirt doctor`` share: hosts, bundles and what is said of them."""

import json
import os

import pytest

from ocirt.cli.doctor import bundle, bundle_kernel, bundle_limits, bundle_mounts, control_groups, storage
from ocirt.cli.parser import parse
from ocirt.model.host import Cgroups
from tests.unit import plans


class Everywhere:
    """Paths, of which all are in it."""

    def __contains__(self, path):
        return True


def host(**facts):
    """Root of an ordinary machine, but for ``facts``."""
    usual = {"kernel": (6, 1), "cgroups": Cgroups(plans.v1(*control_groups.V1)), "writable": Everywhere()}
    return plans.host(**(usual | facts))


def texts(findings, level):
    return [str(each) for each in findings if each.level == level]


@pytest.fixture
def box(tmp_path):
    """A function that gives the findings for a config in a bundle with an empty rootfs that has /bin/sh, a link."""
    (tmp_path / "rootfs/bin").mkdir(parents=True)
    (tmp_path / "rootfs/bin/busybox").write_text("")
    (tmp_path / "rootfs/bin/busybox").chmod(0o755)
    (tmp_path / "rootfs/bin/sh").symlink_to("/bin/busybox")

    def findings(config, flags=(), env=("PATH=/usr/bin:/bin",), **facts):
        config["process"]["env"] = [*env]
        options = parse(["ocirt", *flags, "doctor", str(tmp_path)]).options
        return list(bundle.examine(host(**facts), options, str(tmp_path), json.dumps(config).encode()))

    return findings


def change(config, *keys, to):
    for key in keys[:-1]:
        config = config[key]
    config[keys[-1]] = to


CPUS = "/sys/devices/system/cpu"
NODES = "/sys/devices/system/node"
OF_HOST = {
    f"{CPUS}/online": "0-1",
    f"{CPUS}/possible": "0-3",
    f"{NODES}/has_memory": "0",
    f"{NODES}/possible": "0-1",
    "/proc/filesystems": "nodev\tproc\nnodev\ttmpfs\nnodev\tsysfs\nnodev\tmqueue\nnodev\tdevpts\nnodev\toverlay\n\text4",
    f"/lib/modules/{os.uname().release}/modules.alias": "alias fs-xfs xfs\nalias fs-iso9660 isofs",
    "/proc/devices": "Character devices:\n  1 mem\n\nBlock devices:\n  8 sd",
    "/proc/self/oom_score_adj": "0",
    "/proc/sys/user/max_net_namespaces": "100",
    "/proc/self/mountinfo": "1 0 0:1 / / rw - ext4 /dev/x rw\n2 1 0:2 / /srv rw - tmpfs t rw\n3 1 0:3 / /proc rw - proc p rw",
    bundle_kernel.PROFILES: "docker-default (enforce)\nmine (complain)",
}
"""Files of /proc and /sys -> what they say on a host. Those that are not named are hidden."""


@pytest.fixture
def told(monkeypatch):
    """Give the checks these files, with changes."""

    def tell(**changes):
        files = OF_HOST | changes.get("files", {})
        for module in (bundle_kernel, bundle_limits, bundle_mounts, storage):
            monkeypatch.setattr(module, "read", files.get)

    tell()
    return tell
