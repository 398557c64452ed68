"""linux.seccomp to BPF, run by a small interpreter of the classic BPF that seccomp(2) takes."""

import platform
import struct

import pytest

from ocirt.errors import ConfigError, HostError
from ocirt.plan.steps import EVENTS
from tests.processor import AUDIT_ARCH, syscall_number
from tests.unit.plans import config, names, no_cgroups, plan, steps, values

X86_64, X86 = 0xC000003E, 0x40000003
ALLOW, EPERM, ENOSYS, KILL_PROCESS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000, 0
GETPID, MKDIR, CHMOD, CLONE3, LATER = 39, 83, 90, 435, 4000
AARCH64, ARM, S390X = 0xC00000B7, 0x40000028, 0x80000016
ARM_GETPID, ARM_MKDIR, ARM_BREAKPOINT, ARM_CACHEFLUSH = 20, 39, 0x0F0001, 0x0F0002


def compiled(profile, privileges=True, **facts):
    return plan(config(linux__seccomp=profile, process__noNewPrivileges=not privileges), on=no_cgroups(**facts))


def program(profile):
    made = compiled(profile)
    (step,) = steps(made, "exec_program", "LoadSeccomp")
    assert made.trace.guards["linux.seccomp"] == profile
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
            held = {
                0x15: accumulator == value,
                0x25: accumulator > value,
                0x35: accumulator >= value,
                0x45: accumulator & value,
            }[op]
            at += true if held else false
        elif op == 0x54:
            accumulator &= value
        elif op == 0x06:
            return value
        else:
            raise AssertionError(f"instruction {op:#x}")
    raise AssertionError("no end")


def listing(default="SCMP_ACT_ERRNO", **more):
    return {
        "defaultAction": default,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": ["getpid", "chmod"], "action": "SCMP_ACT_ALLOW"}],
        **more,
    }


@pytest.mark.parametrize(
    "number, arch, expected",
    [
        (GETPID, X86_64, ALLOW),
        (MKDIR, X86_64, EPERM),
        (LATER, X86_64, ENOSYS),
        (CLONE3, X86_64, ENOSYS),
        (20, X86, ALLOW),
        (14, X86, EPERM),
        (LATER, X86, ENOSYS),
        (0x40000000 + GETPID, X86_64, ALLOW),
        (0x40000000 + MKDIR, X86_64, EPERM),
        (0x40000000 + LATER, X86_64, ENOSYS),
    ],
)
def test_newer_syscalls_are_enosys(number, arch, expected):
    """As runc: beyond the last syscall that the profile names, on its architecture, the answer is ENOSYS."""
    assert verdict(program(listing()), number, arch) == expected


@pytest.mark.parametrize(
    "number, expected",
    [(ARM_GETPID, ALLOW), (ARM_MKDIR, EPERM), (LATER, ENOSYS), (ARM_CACHEFLUSH, ALLOW), (ARM_BREAKPOINT, EPERM)],
)
def test_newer_syscalls_of_32_bit_arm(number, expected):
    """ARM has syscalls of its own far above the others: a profile that names one does not know all between them."""
    profile = listing(
        architectures=["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        syscalls=[{"names": ["getpid", "clone3", "cacheflush"], "action": "SCMP_ACT_ALLOW"}],
    )
    assert verdict(program(profile), number, ARM) == expected


@pytest.mark.parametrize("number, expected", [(172, ALLOW), (34, EPERM), (LATER, ENOSYS)])
def test_newer_syscalls_of_aarch64(number, expected):
    """getpid(2), mkdirat(2) and one that no profile names."""
    assert verdict(program(listing(architectures=["SCMP_ARCH_AARCH64"])), number, AARCH64) == expected


def test_not_where_the_default_is_permissive_or_enosys_already():
    assert verdict(program(listing("SCMP_ACT_LOG")), LATER) == 0x7FFC0000
    assert verdict(program(listing(defaultErrnoRet=38)), MKDIR) == ENOSYS
    assert len(program(listing(defaultErrnoRet=38))) < len(program(listing()))


def test_another_architecture_is_killed():
    assert verdict(program(listing()), 1, S390X) in (KILL, KILL_PROCESS)


def test_rules_of_the_default_action_are_left_out():
    profile = listing()
    bare = program(profile)
    profile["syscalls"].insert(0, {"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1})
    assert verdict(program(profile), GETPID) == ALLOW and verdict(bare, GETPID) == ALLOW


def test_two_conditions():
    """On different arguments both must hold, on one argument either."""

    def rule(*args):
        return {
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "args": list(args)}],
        }

    one, two = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}
    both = program(rule(one, two))
    assert [verdict(both, CHMOD, X86_64, *args) for args in ((1, 2), (1, 3), (0, 2))] == [EPERM, ALLOW, ALLOW]
    either = program(rule(one, {**two, "index": 0}))
    assert [verdict(either, CHMOD, X86_64, number) for number in (1, 2, 3)] == [EPERM, EPERM, ALLOW]


def test_no_profile_no_step():
    for profile in (None, {}):
        assert not steps(compiled(profile), "init", "LoadSeccomp") and not steps(
            compiled(profile), "exec_program", "LoadSeccomp"
        )


def test_without_x32_its_syscalls_are_another_architecture_s():
    profile = listing(architectures=["SCMP_ARCH_X86_64"])
    assert verdict(program(profile), 0x40000000 + GETPID) in (KILL, KILL_PROCESS)
    assert verdict(program(profile), LATER) == ENOSYS


@pytest.mark.parametrize("count", [0, 1, 40])
def test_any_number_of_rules(count):
    """libseccomp up to 2.5.4 makes a wrong tree of no rules; from 33 on there is a tree."""
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [
            {
                "names": ["mkdir"],
                "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}],
            }
            for value in range(count)
        ],
    }
    assert verdict(program(profile), GETPID) == ALLOW
    assert verdict(program(profile), MKDIR, X86_64, 0) == (EPERM if count else ALLOW)
    assert verdict(program(profile), MKDIR, X86_64, 39) == (EPERM if count == 40 else ALLOW)


@pytest.mark.parametrize("profile", [10**30, 0, "", "SCMP_ACT_ALLOW", [], False])
def test_a_profile_that_is_no_object(profile):
    with pytest.raises(ConfigError, match=r"linux\.seccomp: found .*, expected an object"):
        compiled(profile)


@pytest.mark.parametrize(
    "action, returned", [("SCMP_ACT_ERRNO", 4095), ("SCMP_ACT_ERRNO", -1), ("SCMP_ACT_TRACE", 65536)]
)
def test_an_errno_out_of_range(action, returned):
    with pytest.raises(ConfigError, match=r"linux\.seccomp\.syscalls\[0\]\.errnoRet: found"):
        program(listing(syscalls=[{"names": ["mkdir"], "action": action, "errnoRet": returned}]))


# ---- flags ----


@pytest.mark.parametrize(
    "flags, known, expected",
    [
        (None, 63, 4),
        (None, 3, 0),
        ([], 63, 0),
        (["SECCOMP_FILTER_FLAG_LOG"], 63, 2),
        (["SECCOMP_FILTER_FLAG_SPEC_ALLOW"], 63, 4),
        (["SECCOMP_FILTER_FLAG_TSYNC"], 63, 0),
        (["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"], 63, 0),
        (["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"], 63, 6),
    ],
)
def test_flags(flags, known, expected):
    """config-linux.md, Seccomp, flags. Absent they are SPEC_ALLOW, as runc; TSYNC is nothing with one thread, and
    WAIT_KILLABLE_RECV nothing without a listener."""
    (step,) = steps(compiled(listing(flags=flags), seccomp_flags=known), "exec_program", "LoadSeccomp")
    assert step.flags == expected


def test_a_flag_that_the_kernel_lacks():
    with pytest.raises(
        HostError, match=r"linux\.seccomp\.flags\[1\].*this kernel has no SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
    ):
        compiled(listing(flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]), seccomp_flags=31)


# ---- notify ----


def notifying(**more):
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
        "listenerPath": "/agent.sock",
        **more,
    }


def test_create_loads_a_filter_that_notifies():
    """The runtime connects, keeps nothing of it, and lets init know when its pid is known. The agent is told at once, as in the
    specification's example."""
    made = compiled(notifying(listenerMetadata="words"))
    host, init = names(made, "host"), names(made, "init")
    assert host.index("OpenSocket") < host.index("Spawn") < host.index("Close")
    known = EVENTS.index("known")
    assert [step.event for step in steps(made, "host", "Send")] == [known]
    assert [step.event for step in steps(made, "init", "Receive")] == [known]
    # Nothing follows that the filter might forbid: init says ready by the thread that sends the descriptor.
    assert init[-1] == "LoadNotifyingSeccomp" and init.count("SetCapabilities") == 1
    (socket,), (load,), (close,) = (
        steps(made, "host", "OpenSocket"),
        steps(made, "init", "LoadNotifyingSeccomp"),
        steps(made, "host", "Close"),
    )
    assert socket.path == "/agent.sock" and socket.fd == load.socket == close.fd
    shown = values(load)
    assert verdict(shown.pop("filter"), syscall_number("mkdirat"), AUDIT_ARCH) == 0x7FC00000
    assert shown == {"flags": 4 | 8, "socket": socket.fd, "metadata": "words", "status": "creating", "ready": 1}


def test_no_new_privileges_make_no_difference_to_an_agent():
    made = compiled(
        notifying(flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_TSYNC"]), privileges=False
    )
    assert names(made, "exec_program") == ["Exec"] and names(made, "host").count("Close") == 1
    (load,) = steps(made, "init", "LoadNotifyingSeccomp")
    assert (load.flags, load.metadata, load.status) == (8 | 32, "", "creating")


def test_listener_path_without_notify_is_ignored():
    """config-linux.md, Seccomp, listenerPath."""
    made = compiled(listing(listenerPath="/agent.sock", listenerMetadata="x"))
    assert not steps(made, "host", "OpenSocket") and len(steps(made, "exec_program", "LoadSeccomp")) == 1


@pytest.mark.parametrize(
    "profile, kind, message",
    [
        (
            notifying(defaultAction="SCMP_ACT_NOTIFY"),
            ConfigError,
            r"linux\.seccomp\.defaultAction: found \"SCMP_ACT_NOTIFY\"",
        ),
        (notifying(listenerPath=None), ConfigError, r"linux\.seccomp\.syscalls\[0\]\.action: .*listenerPath"),
        (notifying(listenerPath=""), ConfigError, r"linux\.seccomp\.syscalls\[0\]\.action: .*listenerPath"),
        (notifying(listenerPath=1), ConfigError, r"linux\.seccomp\.listenerPath: found 1, expected a string"),
        (
            notifying(listenerMetadata={}),
            ConfigError,
            r"linux\.seccomp\.listenerMetadata: found an object, expected a string",
        ),
        (
            notifying(syscalls=[{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY", "errnoRet": 1}]),
            ConfigError,
            r"linux\.seccomp\.syscalls\[0\]\.errnoRet",
        ),
    ],
)
def test_wrong_listeners(profile, kind, message):
    with pytest.raises(kind, match=message):
        compiled(profile)


def test_a_kernel_that_notifies_nobody():
    with pytest.raises(HostError, match=r"linux\.seccomp\.syscalls\[0\]\.action"):
        compiled(notifying(), seccomp_flags=7)


def test_a_missing_action_names_its_path():
    with pytest.raises(ConfigError, match=r"linux\.seccomp\.syscalls\[0\]\.action"):
        program({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod"]}]})


def test_a_profile_without_architectures_holds_for_the_native_one():
    from ocirt.compile.libseccomp import Filter

    with Filter(0x7FFF0000, 1) as made:
        native, getpid = made.native(), made.number(0, "getpid")
        assert native == made.arch(platform.machine()) != 0
    assert verdict(program(listing(architectures=[])), getpid, native) == ALLOW
