"""linux.seccomp to BPF, run by a small interpreter of the classic BPF that seccomp(2) takes."""

import struct

import pytest

from ocirt.compile.seccomp import load
from ocirt.errors import ConfigError
from ocirt.model.config import parse

X86_64, X86 = 0xC000003E, 0x40000003
ALLOW, EPERM, ENOSYS, KILL_PROCESS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000, 0
GETPID, MKDIR, CHMOD, CLONE3, LATER = 39, 83, 90, 435, 4000


def program(profile):
    import json
    config = parse(json.dumps({"ociVersion": "1.3.0", "root": {"path": "rootfs"}, "linux": {"seccomp": profile}}).encode())
    (step,) = load(config)
    assert config.trace.guards["linux.seccomp"] == profile
    return step.filter


def verdict(code, number, arch=X86_64, *args):
    """What the program answers to a syscall."""
    data = struct.pack("<iIQ6Q", number, arch, 0, *args, *[0] * (6 - len(args)))
    instructions = list(struct.iter_unpack("<HBBI", code))
    at = accumulator = 0
    for _ in range(5000):
        op, true, false, value = instructions[at]
        at += 1
        if op == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif op == 0x05:
            at += value
        elif op in (0x15, 0x25, 0x35, 0x45):
            held = {0x15: accumulator == value, 0x25: accumulator > value, 0x35: accumulator >= value, 0x45: accumulator & value}[op]
            at += true if held else false
        elif op == 0x54:
            accumulator &= value
        elif op == 0x06:
            return value
        else:
            raise AssertionError(f"instruction {op:#x}")
    raise AssertionError("no end")


def listing(default="SCMP_ACT_ERRNO", **more):
    return {"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{"names": ["getpid", "chmod"], "action": "SCMP_ACT_ALLOW"}], **more}


@pytest.mark.parametrize("number, arch, expected", [
    (GETPID, X86_64, ALLOW), (MKDIR, X86_64, EPERM), (LATER, X86_64, ENOSYS), (CLONE3, X86_64, ENOSYS),
    (20, X86, ALLOW), (14, X86, EPERM), (LATER, X86, ENOSYS),
    (0x40000000 + GETPID, X86_64, ALLOW), (0x40000000 + MKDIR, X86_64, EPERM), (0x40000000 + LATER, X86_64, ENOSYS),
])
def test_newer_syscalls_are_enosys(number, arch, expected):
    """As runc: beyond the last syscall that the profile names, on its architecture, the answer is ENOSYS."""
    assert verdict(program(listing()), number, arch) == expected


def test_not_where_the_default_is_permissive_or_enosys_already():
    assert verdict(program(listing("SCMP_ACT_LOG")), LATER) == 0x7FFC0000
    assert verdict(program(listing(defaultErrnoRet=38)), MKDIR) == ENOSYS
    assert len(program(listing(defaultErrnoRet=38))) < len(program(listing()))


def test_another_architecture_is_killed():
    assert verdict(program(listing()), 1, 0xC00000B7) in (KILL, KILL_PROCESS)


def test_rules_of_the_default_action_are_left_out():
    profile = listing()
    bare = program(profile)
    profile["syscalls"].insert(0, {"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1})
    assert verdict(program(profile), GETPID) == ALLOW and verdict(bare, GETPID) == ALLOW


def test_two_conditions():
    """On different arguments both must hold, on one argument either."""
    def rule(*args):
        return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "args": list(args)}]}
    one, two = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}
    both = program(rule(one, two))
    assert [verdict(both, CHMOD, X86_64, *args) for args in ((1, 2), (1, 3), (0, 2))] == [EPERM, ALLOW, ALLOW]
    either = program(rule(one, {**two, "index": 0}))
    assert [verdict(either, CHMOD, X86_64, number) for number in (1, 2, 3)] == [EPERM, EPERM, ALLOW]


def test_no_profile_no_step():
    for profile in (None, {}):
        assert load(parse(b'{"ociVersion": "1.3.0", "linux": {"seccomp": %s}}' % (b"null" if profile is None else b"{}"))) == []


def test_a_missing_action_names_its_path():
    with pytest.raises(ConfigError, match=r"linux\.seccomp\.syscalls\[0\]\.action"):
        program({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod"]}]})
