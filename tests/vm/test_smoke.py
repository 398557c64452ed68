"""A host with cgroup v2 and systemd boots, and runs one container a runtime and cgroup driver.

runc and crun are the reference: where they fail, it is the machine. Part of the ordinary `hack/test`.
"""

import pytest

from tests.vm.guest.smoke import CASES, LIMITS
from tests.vm.machine import GUEST


@pytest.fixture(scope="module")
def found(boot, report):
    guest = boot("smoke", GUEST / "smoke.py", timeout=400)
    assert guest.wait() == 0, guest.end_of_log()
    found = guest.read_json("smoke.json")
    report("machine", found["machine"])
    return found


def check(found, name, cgroups, device):
    """Compare what was found of a case with what it should be.

    :param cgroups: where a driver's cgroups lie, by its name.
    :param device: what the container should say of the device.
    """
    runtime, driver = name.split("-")
    expected = {
        "said": ["pid 1", device, "end"],
        "cgroup": cgroups[driver] + f"/{'smoke-' * (driver == 'systemd')}{name}",
        "memory": str(LIMITS["memory"]["limit"]),
        "pids": str(LIMITS["pids"]["limit"]),
        "left": False,
    }
    if driver == "systemd":
        expected["cgroup"] += ".scope" + "/container" * (runtime == "crun")
    assert found[name] == expected


@pytest.mark.parametrize("name", [case for case in CASES if case != "ocirt-disabled"])
def test_driver(found, name):
    """The container is in the cgroup asked for, which has the limits asked for, refuses devices and is gone at the end."""
    check(found, name, {"cgroupfs": "/ocirt-test", "systemd": "/ocirttest.slice"}, "refused")


def test_disabled(found):
    """--cgroup-manager disabled: the container stays in the caller's cgroup."""
    result = found["ocirt-disabled"]
    assert (
        result["said"] == ["pid 1", "open", "end"]
        and result["cgroup"] == found["self"] == "/system.slice/ocirt-vm.service"
    ), result
