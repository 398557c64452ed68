"""What every peer accepts and the specification's schema does not forbid is accepted; where it means nothing, with a warning.

Each row was tried with crun 1.8.1 and runc 1.1.5, and read in the sources of runc 1.3 and crun. What the specification tells
*the runtime* to refuse (twice the same rlimit, intelRdt without resctrl) stays refused, as does what one peer refuses.
"""

import json

import pytest

from ocirt.errors import ConfigError
from ocirt.validate import validate, warnings
from tests.unit.plans import config, plan, steps, values

MAP = [{"containerID": 0, "hostID": 0, "size": 1}]

ACCEPTED = [
    # the config, the path of the warning, what it says, why
    (
        {"ociVersion": "1.0"},
        "ociVersion",
        'found "1.0", expected a semantic version, like 1.3.0: taken as 1.0.0',
        "runc does not look at it, crun looks for 1.x in it; the schema wants a string",
    ),
    (
        {"linux__personality": {"domain": "LINUX", "flags": ["X"]}},
        "linux.personality.flags[0]",
        'found "X", expected no flag (config-linux.md, Personality): it is ignored',
        "runc warns and goes on, crun does not read them",
    ),
    (
        {"process__scheduler": {"policy": "SCHED_RR", "priority": 1, "nice": 5}},
        "process.scheduler.nice",
        "found 5, expected nothing with SCHED_RR, only with SCHED_OTHER or SCHED_BATCH: it is ignored",
        "runc looks at nice only with SCHED_OTHER and SCHED_BATCH, crun passes it on, the kernel does not look",
    ),
    (
        {"process__scheduler": {"policy": "SCHED_IDLE", "nice": -100}},
        "process.scheduler.nice",
        "found -100, expected nothing with SCHED_IDLE, only with SCHED_OTHER or SCHED_BATCH: it is ignored",
        "as above: its range is that of policies that have it",
    ),
    (
        {"linux__devices": [{"path": "/dev/a", "type": "c", "minor": 3}]},
        "linux.devices[0].major",
        "found nothing, expected a number: 0 is used",
        "only type and path are required by the schema; Go and libocispec read an absent number as 0",
    ),
    (
        {"linux__devices": [{"path": "/dev/a", "type": "b", "major": 1}]},
        "linux.devices[0].minor",
        "found nothing, expected a number: 0 is used",
        "as above",
    ),
    (
        {"linux__uidMappings": MAP},
        "linux.uidMappings",
        "found an array, expected nothing without a user namespace in linux.namespaces: it is ignored",
        "runc reads the mappings of a user namespace only where there is one, crun too",
    ),
    (
        {"linux__gidMappings": MAP},
        "linux.gidMappings",
        "found an array, expected nothing without a user namespace in linux.namespaces: it is ignored",
        "as above",
    ),
    (
        {"linux__seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m"}},
        "linux.seccomp.listenerMetadata",
        'found "m", expected nothing without linux.seccomp.listenerPath: it is ignored: nothing notifies',
        "both read it only when they send the descriptor",
    ),
]

IN_SILENCE = [
    # the config, a step with its fields, why
    (
        {"process__user": {"uid": 0, "gid": 0, "umask": 0o100022}},
        ("SetUmask", {"mask": 0o100022}),
        "umask(2) itself takes nine bits of it",
    ),
    ({"process__user": {"uid": 5}}, ("SetUser", {"uid": 5}), "the schema requires no gid; both peers take 0"),
    (
        {"process__ioPriority": {"class": "IOPRIO_CLASS_IDLE"}},
        ("SetIoPriority", {"value": 3 << 13}),
        "the class has no levels, and the schema requires no priority",
    ),
]


def warned(members):
    return [values(step)["message"] for step in steps(plan(members), "host", "Warn")]


@pytest.mark.parametrize("changes, path, says, why", ACCEPTED)
def test_what_every_peer_accepts(changes, path, says, why):
    """Create warns of it, validate too, and neither refuses it."""
    members = config(**changes)
    assert warned(members) == [f"{path}: {says}"], why
    data = json.dumps(members).encode()
    assert validate(data) == []
    expected = f"config.json: {path}: {says}"
    assert [expected.startswith(f"{each}: ") for each in map(str, warnings(data))] == [True], why


@pytest.mark.parametrize("changes, step, why", IN_SILENCE)
def test_what_means_something_has_no_warning(changes, step, why):
    members = config(**changes)
    kind, fields = step
    found = values(steps(plan(members), "init", kind)[0])
    assert {name: found[name] for name in fields} == fields, why
    assert warned(members) == [] and validate(json.dumps(members).encode()) == []


def test_a_warning_beside_errors_names_its_own_place():
    """`validate` finds doubts in a mended copy of the document, where an index may be another one."""
    devices = [{"path": "relative", "type": "x"}, {"path": "/dev/a", "type": "c", "minor": 1}]
    data = json.dumps(config(linux__devices=devices)).encode()
    assert [each.path for each in warnings(data)] == ["linux.devices[1].major"]
    assert {each.path for each in validate(data)} == {"linux.devices[0].path", "linux.devices[0].type"}


@pytest.mark.parametrize(
    "changes, path, why",
    [
        (
            {"process__rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}] * 2},
            "process.rlimits[1].type",
            'config.md: "If rlimits contains duplicated entries with same type, the runtime MUST generate an error"',
        ),
        (
            {"linux__seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}},
            "linux.seccomp.defaultErrnoRet",
            "crun refuses it",
        ),
        (
            {"process__scheduler": {"policy": "SCHED_OTHER", "priority": 1}},
            "process.scheduler.priority",
            "runc and the kernel refuse it",
        ),
        ({"hooks": {"poststop": [{"path": "a"}]}}, "hooks.poststop[0].path", "no two callers stand in one directory"),
        ({"process__user": {"uid": 0xFFFFFFFF, "gid": 0}}, "process.user.uid", "setresuid(2) would leave it root"),
    ],
)
def test_what_stays_refused(changes, path, why):
    with pytest.raises(ConfigError) as caught:
        plan(config(**changes))
    assert caught.value.path == path, why
