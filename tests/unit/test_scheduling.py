"""config.md, Linux Process: scheduler, ioPriority, labels; config-linux.md, Personality, Mount Label."""

import pytest

from ocirt.errors import ConfigError, HostError
from tests.unit.plans import config, names, no_cgroups, plan, shown


def step(kind, on=None, **changes):
    return shown(plan(config(**changes), on), "init", kind)[0][1]


def error(kind=ConfigError, on=None, **changes):
    with pytest.raises(kind) as caught:
        plan(config(**changes), on)
    return str(caught.value).removeprefix("config.json: ")


@pytest.mark.parametrize(
    "asked, fields",
    [
        ({"policy": "SCHED_OTHER"}, {"policy": 0}),
        ({"policy": "SCHED_BATCH", "nice": -5}, {"policy": 3, "nice": -5}),
        ({"policy": "SCHED_IDLE", "nice": 0, "priority": 0}, {"policy": 5}),
        ({"policy": "SCHED_IDLE", "nice": 1000}, {"policy": 5}),
        (
            {"policy": "SCHED_FIFO", "priority": 10, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
            {"policy": 1, "priority": 10, "flags": 1},
        ),
        ({"policy": "SCHED_RR", "priority": 99}, {"policy": 2, "priority": 99}),
        (
            {
                "policy": "SCHED_DEADLINE",
                "runtime": 10,
                "deadline": 20,
                "period": 30,
                "flags": ["SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN"],
            },
            {"policy": 6, "runtime": 10, "deadline": 20, "period": 30, "flags": 6},
        ),
        (
            {
                "policy": "SCHED_ISO",
                "flags": [
                    "SCHED_FLAG_KEEP_POLICY",
                    "SCHED_FLAG_KEEP_PARAMS",
                    "SCHED_FLAG_UTIL_CLAMP_MIN",
                    "SCHED_FLAG_UTIL_CLAMP_MAX",
                ],
            },
            {"policy": 4, "flags": 0x78},
        ),
    ],
)
def test_scheduler(asked, fields):
    """What is not set is 0, as the spec says."""
    nothing = dict.fromkeys(("flags", "nice", "priority", "runtime", "deadline", "period"), 0)
    assert step("SetScheduler", process__scheduler=asked) == {**nothing, **fields, "name": asked["policy"]}


@pytest.mark.parametrize(
    "asked, message",
    [
        ({}, "policy: found nothing, expected a string"),
        ({"policy": "SCHED_FAST"}, 'policy: found "SCHED_FAST", expected one of SCHED_OTHER, SCHED_FIFO'),
        ({"policy": "SCHED_FIFO", "flags": ["X"]}, 'flags[0]: found "X", expected one of SCHED_FLAG_RESET_ON_FORK'),
        ({"policy": "SCHED_OTHER", "nice": 20}, "nice: found 20, expected a number from -20 to 19"),
        (
            {"policy": "SCHED_OTHER", "priority": 1},
            "priority: found 1, expected nothing with SCHED_OTHER, only with SCHED_FIFO or SCHED_RR",
        ),
        (
            {"policy": "SCHED_BATCH", "period": 1},
            "period: found 1, expected nothing with SCHED_BATCH, only with SCHED_DEADLINE",
        ),
    ],
)
def test_schedulers_that_cannot_be(asked, message):
    assert error(process__scheduler=asked).startswith("process.scheduler." + message)


def test_io_priority():
    assert step("SetIoPriority", process__ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 4}) == {
        "value": 2 << 13 | 4
    }
    assert step("SetIoPriority", process__ioPriority={"class": "IOPRIO_CLASS_RT", "priority": 0}) == {"value": 1 << 13}
    assert step("SetIoPriority", process__ioPriority={"class": "IOPRIO_CLASS_IDLE", "priority": 7}) == {
        "value": 3 << 13 | 7
    }
    assert "process.ioPriority.class: found" in error(process__ioPriority={"class": "BE", "priority": 0})
    assert "process.ioPriority.priority: found 8" in error(
        process__ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 8}
    )
    # The class IDLE has no levels; the schema asks for no priority.
    assert step("SetIoPriority", process__ioPriority={"class": "IOPRIO_CLASS_IDLE"}) == {"value": 3 << 13}


def test_privileges_go_after_it():
    order = names(
        plan(
            config(
                process__scheduler={"policy": "SCHED_BATCH"},
                process__ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 1},
            )
        ),
        "init",
    )
    assert (
        order.index("SetScheduler")
        < order.index("SetIoPriority")
        < order.index("DropBounding")
        < order.index("SetUser")
    )


def test_personality():
    assert step("SetPersonality", linux__personality={"domain": "LINUX32"}) == {"domain": 8}
    assert step("SetPersonality", linux__personality={"domain": "LINUX", "flags": []}) == {"domain": 0}
    assert (
        error(linux__personality={"domain": "BSD"})
        == 'linux.personality.domain: found "BSD", expected one of LINUX, LINUX32'
    )
    assert step("SetPersonality", linux__personality={"domain": "LINUX", "flags": ["X"]}) == {"domain": 0}
    assert error(linux__personality={"flags": []}) == "linux.personality.domain: found nothing, expected a string"


def test_affinity_is_for_exec_alone():
    """config.md, Linux Process: execCPUAffinity is not applicable to the container's init process."""
    asked = {"initial": "0", "final": "0-3"}
    assert plan(config(process__execCPUAffinity=asked)).sections == plan(config()).sections


def test_labels_where_the_kernel_has_them():
    on = no_cgroups(has_apparmor=True)
    assert step("WriteProc", on, process__apparmorProfile="box") == {
        "file": "self/attr/apparmor/exec",
        "value": "exec box",
    }
    on = no_cgroups(has_selinux=True)
    assert step("WriteProc", on, process__selinuxLabel="a:b:c:s0") == {"file": "self/attr/exec", "value": "a:b:c:s0"}


@pytest.mark.parametrize(
    "path, value",
    [("process.apparmorProfile", "box"), ("process.selinuxLabel", "a:b:c:s0"), ("linux.mountLabel", "a:b:c:s0")],
)
def test_labels_where_it_has_not(path, value):
    mounts = [{"destination": "/t", "type": "tmpfs"}]
    assert f"{path}: this kernel runs without" in error(HostError, mounts=mounts, **{path.replace(".", "__"): value})
    plan(config(mounts=mounts, **{path.replace(".", "__"): ""}))


def test_mounts_are_labelled():
    on = no_cgroups(has_selinux=True)
    mounts = [{"destination": "/t", "type": "tmpfs", "options": ["size=1m"]}, {"destination": "/proc", "type": "proc"}]
    made = shown(plan(config(mounts=mounts, linux__mountLabel="a:b:c:s0"), on), "init", "Mount")
    assert made[0][1]["options"] == ["size=1m", "context=a:b:c:s0"] and "options" not in made[1][1]
