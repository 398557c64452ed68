"""``ocirt doctor BUNDLE``: what a config needs of the kernel."""

import os

import pytest

from ocirt.cli.doctor import bundle_limits, storage
from ocirt.cli.doctor.finding import FAULT, NOTE
from ocirt.cli.spec import default
from ocirt.compile.capabilities import BITS
from tests.unit.doctoring import CPUS, box, host, texts, told
from tests.unit.plans import ALL_CAPABILITIES

__all__ = ["box", "told"]  # fixtures of the tests here


@pytest.mark.parametrize("file", [f"{CPUS}/online", "/proc/filesystems"])
def test_what_a_hidden_file_leaves_unknown(box, told, file):
    config = default()
    config["linux"]["resources"]["cpu"] = {"cpus": "5"}
    config["mounts"][0] = {"destination": "/m", "type": "nofs"}
    told(files={file: None})
    said = [each for each in texts(box(config), NOTE) if "hidden" in each]
    assert said and all(f"{file} is hidden here, so it is unknown whether " in each for each in said)


@pytest.mark.parametrize(
    "process, capability",
    [
        ({"oomScoreAdj": -5}, "CAP_SYS_RESOURCE"),
        ({"scheduler": {"policy": "SCHED_OTHER", "nice": -5}}, "CAP_SYS_NICE"),
        ({"scheduler": {"policy": "SCHED_FIFO", "priority": 5}}, "CAP_SYS_NICE"),
        ({"ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 1}}, "CAP_SYS_NICE"),
    ],
)
def test_a_right_that_the_caller_lacks(box, told, monkeypatch, process, capability):
    monkeypatch.setattr(bundle_limits, "_rtprio", lambda: 0)
    config = default()
    config["process"] |= process
    said = texts(box(config, permitted=ALL_CAPABILITIES & ~BITS[capability]), FAULT)
    assert [each for each in said if f"for which the caller lacks {capability}" in each], said
    assert not [each for each in texts(box(config), FAULT) if "lacks" in each]


def test_an_apparmor_profile_that_is_not_loaded(box, told):
    config = default()
    for name, expected in (("mine", 0), ("docker-default", 0), ("other", 1)):
        config["process"]["apparmorProfile"] = name
        said = [each for each in texts(box(config, has_apparmor=True), FAULT) if "is not loaded" in each]
        assert len(said) == expected, said


def test_a_namespace_of_which_there_may_be_none(box, told):
    told(files={"/proc/sys/user/max_net_namespaces": "0"})
    (said,) = texts(box(default()), FAULT)
    assert "/proc/sys/user/max_net_namespaces is 0, so nobody can make one; as root: sysctl" in said


@pytest.mark.parametrize(
    "flags, status, ostype, level, words",
    [
        (0b1, "Name:\tx\nSeccomp:\t0", False, NOTE, "the kernel has seccomp filters, with which actions is unknown"),
        (0, "Name:\tx\nSeccomp:\t2", False, NOTE, "it is unknown whether the kernel has seccomp filters"),
        (0, "Name:\tx\nSeccomp:\t0", True, FAULT, "the kernel has no seccomp filters"),
        (0, "Name:\tx", False, FAULT, "the kernel has no seccomp filters"),
    ],
)
def test_what_is_known_of_seccomp_if_its_file_is_hidden(monkeypatch, flags, status, ostype, level, words):
    """/proc/sys may be masked. Then the answer of seccomp(2) counts, and the kernel's line in the status."""
    monkeypatch.setattr(storage, "read", {"/proc/self/status": status}.get)
    real = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: ostype if path == "/proc/sys/kernel/ostype" else real(path))
    found = [*storage._seccomp(host(seccomp_flags=flags))]
    assert [each for each in texts(found, level) if each.startswith(words)], found
    assert level == FAULT or not texts(found, FAULT) or "libseccomp" in texts(found, FAULT)[0]


@pytest.mark.parametrize(
    "clock, offset, expected",
    [
        ("monotonic", {"secs": -(1 << 40)}, 1),
        ("boottime", {"secs": 1 << 40}, 1),
        ("boottime", {"secs": (1 << 63) - 1}, 1),
        ("monotonic", {"secs": 86400, "nanosecs": 5}, 0),
        ("boottime", {"secs": -1}, 0),
    ],
)
def test_a_clock_out_of_range(box, clock, offset, expected):
    config = default()
    config["linux"]["namespaces"].append({"type": "time"})
    config["linux"]["timeOffsets"] = {clock: offset}
    said = [each for each in texts(box(config), FAULT) if each.startswith(f"linux.timeOffsets.{clock}.secs: found")]
    assert len(said) == expected
