"""config.md, Linux Process: scheduler, ioPriority and labels of a running container; config-linux.md, Personality."""

import pytest

from ocirt.model.host import Host
from tests.integration.test_rootfs import run
from tests.processor import OF_32_BITS

STAT = "cut -d' ' -f19,40,41 /proc/$$/stat"
"""Nice value, realtime priority and policy by number, proc_pid_stat(5)."""


@pytest.mark.parametrize(
    "asked, shown",
    [
        ({"policy": "SCHED_BATCH", "nice": 7}, "7 0 3\n"),
        ({"policy": "SCHED_OTHER", "nice": -3}, "-3 0 0\n"),
        ({"policy": "SCHED_IDLE"}, "0 0 5\n"),
    ],
)
def test_scheduler(ocirt, bundle, asked, shown):
    bundle.config["process"]["scheduler"] = asked
    assert run(ocirt, bundle, STAT) == shown


@pytest.mark.root_cgroup
def test_a_realtime_scheduler(ocirt, bundle):
    """As far as this kernel goes: with RT_GROUP_SCHED a child cgroup has no realtime budget of its own, and gets EPERM."""
    bundle.config["process"]["scheduler"] = {"policy": "SCHED_RR", "priority": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
    bundle.shell(STAT).save()
    result = ocirt("run", "--bundle", bundle, "c1")
    if result.status:
        assert (
            "process.scheduler: set the scheduling policy SCHED_RR: sched_setattr: operation not permitted"
            in result.err
        )
        result = ocirt.ok("run", "--bundle", bundle, "c1", options=["--cgroup-manager", "disabled"])
    assert result.out == "0 5 2\n"


def test_deadline(ocirt, bundle):
    """The program is scheduled by deadline, what it forks is not (SCHED_FLAG_RESET_ON_FORK: else it could not fork)."""
    bundle.config["process"]["scheduler"] = {
        "policy": "SCHED_DEADLINE",
        "runtime": 10_000_000,
        "deadline": 20_000_000,
        "period": 40_000_000,
        "flags": ["SCHED_FLAG_RESET_ON_FORK"],
    }
    assert run(ocirt, bundle, STAT + "; cut -d' ' -f41 /proc/self/stat; true") == "0 0 6\n0\n"


def test_io_priority(ocirt, bundle):
    bundle.config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
    assert run(ocirt, bundle, "ionice -p $$") == "best-effort: prio 6\n"


def test_personality(ocirt, bundle):
    bundle.config["linux"]["personality"] = {"domain": "LINUX32"}
    assert run(ocirt, bundle, "uname -m") == f"{OF_32_BITS}\n"


def test_affinity_for_exec_changes_nothing_here(ocirt, bundle):
    bundle.config["process"]["execCPUAffinity"] = {"initial": "0", "final": "0"}
    with_it = run(ocirt, bundle, "grep Cpus_allowed: /proc/self/status")
    del bundle.config["process"]["execCPUAffinity"]
    assert run(ocirt, bundle, "grep Cpus_allowed: /proc/self/status") == with_it


@pytest.mark.parametrize(
    "holder, name", [("process", "apparmorProfile"), ("process", "selinuxLabel"), ("linux", "mountLabel")]
)
def test_a_label_that_the_kernel_does_not_have(ocirt, bundle, holder, name):
    """runtime.md, Create: what cannot be applied MUST be an error: the module is not there, or has no such profile."""
    bundle.config[holder][name] = "some_t"
    bundle.save()
    has_module = Host().has_apparmor if name == "apparmorProfile" else Host().has_selinux
    expected = f"{holder}.{name}: " + ("write " if has_module else "this kernel runs without")
    assert expected in ocirt.fails("create", "--bundle", bundle, "c1")
