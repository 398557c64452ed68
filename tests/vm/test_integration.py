"""tests/integration, by root in the guest, divided over guests of which two run at a time.

Tests of cgroup v1 pass themselves over there (their marker is `v1`), and with systemd as the cgroup manager those of paths
(`cgroupfs`).
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.vm.machine import MANAGERS, SUITE, TREE, counts, left_out

AT_ONCE = 2
"""Guests: as many as there are processors here; each has two of its own."""
LIMIT = 1500
"""Seconds of a guest; those below take a third of it where nothing else is at work."""
ELSEWHERE = {
    "test_install.py": "needs the network",
    "test_bench.py": "measures, and needs a C compiler and the bench's own programs",
    "test_seccomp_calls.py": "needs a C compiler; the filters are the same bytes on every kernel",
    "test_validate.py": "makes no container",
    "test_bad_input.py": "is of what is refused before anything of the host has been looked at",
    "test_memorypolicy.py": "is of one system call, set_mempolicy(2), that knows no cgroup",
    "test_netdevices.py": "is of network namespaces and netlink, which know no cgroup",
    "test_notify.py": "is of sockets that the tests make themselves",
    "test_rdt.py": "is of a resctrl file system that the tests make themselves",
    **dict.fromkeys(
        ("test_library_service.py", "test_library_docs.py"),
        "is of the process that uses the library: threads, descriptors, signals, whatever the cgroups",
    ),
    "test_systemd_v1.py": "has a guest of its own, of another kind",
    **dict.fromkeys(
        ("test_cgroups.py", "test_events.py", "test_pause.py", "test_ps.py", "test_update.py"),
        "is of cgroup v1; what v2 has of it is in test_cgroups_v2.py, test_update_v2.py and test_verbs_v2.py",
    ),
}
"""Files that are not run in the guest, and why."""
PARTS = (
    ("test_exec.py", "test_exec_containers.py", "test_exec_meanwhile.py", "test_exec_streams.py"),
    ("test_faults.py", "test_hooks.py"),
    ("test_cgroups_v2.py", "test_delegation.py", "test_verbs_v2.py"),
    ("test_systemd.py", "test_lifecycle.py"),
    ("test_update_v2.py", "test_process.py", "test_cache.py"),
    ("test_faults_in_play.py", "test_faults_meanwhile.py", "test_quota.py"),
)
"""Files by guest; all others are in one more."""
OF_MANAGERS = (
    ("test_cgroups_v2.py", "test_verbs_v2.py"),
    ("test_faults.py", "test_faults_meanwhile.py"),
    ("test_update_v2.py", "test_lifecycle.py"),
)
"""What says something of a further manager."""


def shares(manager):
    """The files of each guest."""
    names = {path.name for path in (TREE / "tests/integration").glob("test_*.py")}
    listed = {name for share in PARTS for name in share}
    assert ELSEWHERE.keys() | listed < names and not ELSEWHERE.keys() & listed
    rest = tuple(sorted(names - ELSEWHERE.keys() - listed))
    return (*PARTS, rest) if manager == MANAGERS[0] else OF_MANAGERS


@pytest.mark.parametrize("manager", MANAGERS)
def test_integration(boot, report, manager):
    def run(numbered):
        number, share = numbered
        guest = boot(
            f"integration-{manager}-{number}",
            "--",
            "env",
            f"OCIRT_TEST_CGROUP_MANAGER={manager}",
            "/tree/tests/vm/guest/run-tests",
            *(f"tests/integration/{name}" for name in share),
            timeout=LIMIT,
        )
        return guest, guest.wait()

    outcomes, reasons, failures, ends = Counter(), Counter(), [], []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ran = list(pool.map(run, enumerate(shares(manager), 1)))
    for guest, status in ran:
        if status:
            ends.append(guest.end_of_log())
        if (guest.share / "junit.xml").exists():
            counted, failed = counts(guest.share / "junit.xml")
            outcomes.update(counted)
            reasons.update(left_out(guest.share / "junit.xml"))
            failures += failed
    report(
        "integration" if manager == MANAGERS[0] else f"integration, {manager}",
        {**outcomes, "failures": failures, "left out": reasons},
    )
    assert not ends, "\n".join(ends)
    assert outcomes["passed"] > (200 if manager == MANAGERS[0] else 80)


@pytest.mark.skipif(SUITE not in ("forky", "sid"), reason="its kernel makes no mount namespace of the rootfs alone")
def test_killed_on_linux_7(boot, report):
    """While init makes its mount namespace as no other host of these tests can."""
    guest = boot(
        "killed",
        "--",
        "/tree/tests/vm/guest/run-tests",
        "tests/fault/test_killed.py::test_while_init_makes_its_mount_namespace",
        timeout=LIMIT,
    )
    status, outcomes = guest.tests()
    report("killed", outcomes)
    assert status == 0, guest.end_of_log()
    assert outcomes["passed"] == 1


@pytest.mark.skipif(SUITE in ("forky", "sid"), reason="systemd knows no cgroup v1 any more since version 258")
def test_cgroup_v1(boot, report):
    """systemd with the controllers in v1 hierarchies, as on older hosts."""
    guest = boot(
        "integration-v1",
        "--",
        "/tree/tests/vm/guest/run-tests",
        "tests/integration/test_systemd_v1.py",
        timeout=600,
        options=("--v1",),
    )
    status, outcomes = guest.tests()
    report("systemd, cgroup v1", outcomes)
    assert status == 0, guest.end_of_log()
    assert outcomes["passed"] >= 8 and not outcomes.get("skipped")
