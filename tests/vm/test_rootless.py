"""As an unprivileged user with linger, a manager of its own and every controller delegated."""

import pytest

from tests.vm.guest.smoke import CASES
from tests.vm.machine import GUEST, MANAGERS
from tests.vm.test_smoke import check

DELEGATED = "/user.slice/user-1000.slice/user@1000.service"


@pytest.fixture(scope="module")
def found(boot):
    guest = boot("smoke-rootless", GUEST / "smoke.py", user="tester", timeout=400)
    assert guest.wait() == 0, guest.end_of_log()
    return guest.read_json("smoke.json")


@pytest.mark.parametrize("name", [case for case in CASES if case != "ocirt-disabled"])
def test_driver(found, name):
    """As test_smoke.py's. The rootfs has no device: the user cannot make one."""
    check(found, name, {"cgroupfs": f"{DELEGATED}/ocirt-test", "systemd": f"{DELEGATED}/ocirttest.slice"}, "refused")


def test_disabled(found):
    result = found["ocirt-disabled"]
    assert result["said"] == ["pid 1", "refused", "end"] and result["cgroup"] == found["self"], result
    assert result["cgroup"].startswith(f"{DELEGATED}/app.slice/")


def test_integration(boot, report):
    """tests/integration/test_rootless.py, run by the user."""
    guest = boot(
        "rootless",
        "--",
        "env",
        f"OCIRT_TEST_CGROUP_MANAGER={MANAGERS[0]}",
        "/tree/tests/vm/guest/run-tests",
        "tests/integration/test_rootless.py",
        user="tester",
        timeout=700,
    )
    status, outcomes = guest.tests()
    report("rootless", outcomes)
    assert status == 0, guest.end_of_log()
    assert outcomes["passed"] >= 5
