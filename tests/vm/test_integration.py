"""tests/integration, by root in the guest, divided over guests of which two run at a time.

Tests of cgroup v1 pass themselves over there (their marker is `v1`), and with systemd as the cgroup manager those of paths
(`cgroupfs`).
"""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.vm.machine import MANAGERS, SUITE, TREE, counts, left_out

AT_ONCE = 2
"""Guests: as many as there are processors here; each has two of its own."""
LIMIT = 1500
"""Seconds of a guest; those below take a third of it where nothing else is at work."""
SLOWNESS = 4 * float(os.environ.get("OCIRT_TEST_SLOWNESS", "1"))
"""The factor for time limits in a guest, which is slower than this machine, and slower still beside other work."""
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
PARTS = {
    "exec": ("test_exec.py", "test_exec_containers.py", "test_exec_meanwhile.py", "test_exec_streams.py"),
    "faults": ("test_faults.py", "test_hooks.py"),
    "cgroups": ("test_cgroups_v2.py", "test_delegation.py", "test_verbs_v2.py"),
    "systemd": ("test_systemd.py", "test_lifecycle.py"),
    "update": ("test_update_v2.py", "test_process.py", "test_cache.py"),
    "meanwhile": ("test_faults_in_play.py", "test_faults_meanwhile.py", "test_quota.py"),
    "checkpoint": ("test_checkpoint.py",),
    "peers": ("test_alone.py", "test_crun.py", "test_engine_configs.py", "test_engine_lines.py", "test_peers.py"),
    "mounts": ("test_devices.py", "test_mounts.py", "test_namespaces.py", "test_overlay.py", "test_rootfs.py"),
    "seccomp": (
        "test_hardening.py",
        "test_init.py",
        "test_kernels.py",
        "test_regex.py",
        "test_scheduling.py",
        "test_sealing.py",
        "test_seccomp.py",
        "test_seccomp_notify.py",
        "test_strangers.py",
    ),
    "processes": (
        "test_foreground.py",
        "test_inherited.py",
        "test_kill.py",
        "test_late.py",
        "test_locks.py",
        "test_wait.py",
    ),
    "library": (
        "test_library.py",
        "test_library_aio.py",
        "test_library_errors.py",
        "test_library_executable.py",
        "test_library_sandbox.py",
        "test_pool.py",
    ),
    "sandbox": (
        "test_sandbox_aio.py",
        "test_sandbox_live.py",
        "test_sandbox_pool.py",
        "test_sandbox_quota.py",
        "test_sandbox_rootless.py",
        "test_sandbox_run.py",
    ),
    "images": (
        "test_images_cli.py",
        "test_images_commit.py",
        "test_images_docs.py",
        "test_images_hostile.py",
        "test_images_layers.py",
        "test_images_prune.py",
        "test_images_pull.py",
        "test_images_rootless.py",
    ),
}
"""Files by guest; all others are in one more, ``rest``."""
OF_MANAGERS = {
    "cgroups": ("test_cgroups_v2.py", "test_verbs_v2.py"),
    "faults": ("test_faults.py", "test_faults_meanwhile.py"),
    "update": ("test_update_v2.py", "test_lifecycle.py"),
}
"""What says something of a further manager."""
CHOSEN = os.environ.get("OCIRT_TEST_PARTS", "").split()
"""The guests that run, like ``systemd-update``; by default all."""


def guests(manager):
    """The files of each guest, by its name."""
    names = {path.name for path in (TREE / "tests/integration").glob("test_*.py")}
    listed = {name for share in PARTS.values() for name in share}
    assert ELSEWHERE.keys() | listed < names and not ELSEWHERE.keys() & listed
    rest = tuple(sorted(names - ELSEWHERE.keys() - listed))
    parts = {**PARTS, "rest": rest} if manager == MANAGERS[0] else OF_MANAGERS
    return {f"{manager}-{part}": share for part, share in parts.items()}


@pytest.mark.parametrize("manager", MANAGERS)
def test_integration(boot, report, manager):
    every = {each: guests(each) for each in MANAGERS}
    unknown = set(CHOSEN).difference(*every.values())
    assert not unknown, f"OCIRT_TEST_PARTS: found {unknown}, expected some of {every}"
    chosen = {name: share for name, share in every[manager].items() if not CHOSEN or name in CHOSEN}
    if not chosen:
        pytest.skip("OCIRT_TEST_PARTS names no guest of this manager")

    def run(name):
        guest = boot(
            f"integration-{name}",
            "--",
            "env",
            f"OCIRT_TEST_CGROUP_MANAGER={manager}",
            f"OCIRT_TEST_SLOWNESS={SLOWNESS:g}",
            "/tree/tests/vm/guest/run-tests",
            *(f"tests/integration/{file}" for file in chosen[name]),
            timeout=LIMIT,
        )
        return guest, guest.wait()

    outcomes, reasons, failures, ends = Counter(), Counter(), [], []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ran = list(pool.map(run, chosen))
    for guest, status in ran:
        if status:
            ends.append(guest.end_of_log())
        if (guest.share / "junit.xml").exists():
            counted, failed = counts(guest.share / "junit.xml")
            outcomes.update(counted)
            reasons.update(left_out(guest.share / "junit.xml"))
            failures += failed
    if not CHOSEN:
        report(
            "integration" if manager == MANAGERS[0] else f"integration, {manager}",
            {**outcomes, "failures": failures, "left out": reasons},
        )
    assert not ends, "\n".join(ends)
    assert outcomes["passed"] > (0 if CHOSEN else 200 if manager == MANAGERS[0] else 80)


ATTACKS = ("rootfs_links", "no_pivot", "sandbox_files", "runtime_process")
"""What tests/security has against a rootfs, and against a runtime or an init that still has something of the host."""


@pytest.mark.skipif(SUITE not in ("forky", "sid"), reason="its kernel makes no mount namespace of the rootfs alone")
@pytest.mark.parametrize(
    "name, least, options, paths",
    [
        ("killed", 1, (), ["tests/fault/test_killed.py::test_while_init_makes_its_mount_namespace"]),
        # The attacker's program is compiled there.
        ("attacks", 85, ("--engines",), [f"tests/security/test_{name}.py" for name in ATTACKS]),
    ],
    ids=["killed", "attacks"],
)
def test_on_linux_7(boot, report, name, least, options, paths):
    """While init makes its mount namespace, and in it, as on no other host of these tests."""
    guest = boot(name, "--", "/tree/tests/vm/guest/run-tests", *paths, timeout=2 * LIMIT, options=options)
    status, outcomes = guest.tests()
    report(name, outcomes)
    assert status == 0, guest.end_of_log()
    assert outcomes["passed"] >= least


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
