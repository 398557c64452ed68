"""tests/integration, by root in the guest. Tests of cgroup v1 pass themselves over there (their marker is `v1`), and with
systemd as the cgroup manager those of paths (`cgroupfs`)."""

from collections import Counter

import pytest

from tests.vm.machine import MANAGERS, TREE, counts

ELSEWHERE = {"test_install.py"}
"""Files that need the network."""
FIRST_HALF = {"test_faults.py", "test_bad_input.py", "test_hooks.py"}
"""About half of the work by time: it runs in one guest, all else in another at the same time."""
OF_MANAGERS = ({"test_faults.py"}, {"test_lifecycle.py", "test_cgroups_v2.py", "test_process.py"})
"""What says something of a further manager, in two guests."""


@pytest.mark.parametrize("manager", MANAGERS)
def test_integration(boot, report, manager):
    names = {path.name for path in (TREE / "tests/integration").glob("test_*.py")}
    assert FIRST_HALF | ELSEWHERE | set.union(*OF_MANAGERS) < names
    shares = (FIRST_HALF, names - FIRST_HALF - ELSEWHERE) if manager == MANAGERS[0] else OF_MANAGERS
    guests = [boot(f"integration-{manager}-{number}", "--", "env", f"OCIRT_TEST_CGROUP_MANAGER={manager}",
                   "/tree/tests/vm/guest/run-tests", *(f"tests/integration/{name}" for name in sorted(share)), timeout=1200)
              for number, share in enumerate(shares, 1)]
    statuses = [guest.wait() for guest in guests]
    outcomes, failures = Counter(), []
    for guest in guests:
        assert (guest.share / "junit.xml").exists(), guest.end_of_log()
        counted, failed = counts(guest.share / "junit.xml")
        outcomes.update(counted)
        failures += failed
    report("integration" if manager == MANAGERS[0] else f"integration, {manager}", {**outcomes, "failures": failures})
    assert statuses == [0, 0], "\n".join(guest.end_of_log() for guest, status in zip(guests, statuses) if status)
    assert outcomes["passed"] > (150 if manager == MANAGERS[0] else 60)
