"""tests/integration, by root in the guest. Tests of cgroup v1 pass themselves over there (their marker is `v1`)."""

from collections import Counter

from tests.vm.machine import MANAGER, TREE, counts

ELSEWHERE = {"test_install.py"}
"""Files that need the network."""
FIRST_HALF = {"test_faults.py", "test_bad_input.py", "test_hooks.py"}
"""About half of the work by time: it runs in one guest, all else in another at the same time."""


def test_integration(boot, report):
    names = {path.name for path in (TREE / "tests/integration").glob("test_*.py")}
    assert FIRST_HALF | ELSEWHERE < names
    guests = [boot(f"integration-{number}", "--", "env", f"OCIRT_TEST_CGROUP_MANAGER={MANAGER}", "/tree/tests/vm/guest/run-tests",
                   *(f"tests/integration/{name}" for name in sorted(half)), timeout=1200)
              for number, half in enumerate((FIRST_HALF, names - FIRST_HALF - ELSEWHERE), 1)]
    statuses = [guest.wait() for guest in guests]
    outcomes, failures = Counter(), []
    for guest in guests:
        assert (guest.share / "junit.xml").exists(), guest.end_of_log()
        counted, failed = counts(guest.share / "junit.xml")
        outcomes.update(counted)
        failures += failed
    report("integration", {**outcomes, "failures": failures})
    assert statuses == [0, 0], "\n".join(guest.end_of_log() for guest, status in zip(guests, statuses) if status)
    assert outcomes["passed"] > 150
