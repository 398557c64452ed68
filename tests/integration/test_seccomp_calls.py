"""config-linux.md, Seccomp: every operator and every action, by a program that makes system calls and says what they gave."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT
from tests.processor import MACHINE, SCMP_ARCH, syscall_number

GETPID, GETUID, GETGID, GETEUID, GETEGID, GETPPID, GETTID = map(
    syscall_number, ("getpid", "getuid", "getgid", "geteuid", "getegid", "getppid", "gettid")
)
"""They take no arguments: whatever is in the registers, without a filter the answer is the same."""
ENOSYS, SIGSYS = 38, 31
HIGH = 1 << 32


@pytest.fixture(scope="session")
def calls(tmp_path_factory):
    path = tmp_path_factory.mktemp("calls") / "calls"
    subprocess.run(
        [shutil.which("musl-gcc") or "gcc", "-static", "-O1", "-o", path, Path(__file__).parent / "data/calls.c"],
        check=True,
        timeout=LIMIT,
    )
    return path


@pytest.fixture
def make_calls(ocirt, bundle, calls):
    """Runs the program with the profile and returns the result."""

    def run(profile, *words, privileges=True):
        shutil.copy(calls, bundle.rootfs / "bin/calls")
        bundle.config["linux"]["seccomp"] = profile
        bundle.config["process"]["noNewPrivileges"] = not privileges
        bundle.args("calls", *words).save()
        return ocirt("run", "--bundle", bundle, "c1")

    return run


def allow_but(*rules, **more):
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": [SCMP_ARCH], "syscalls": list(rules), **more}


def rule(name, action="SCMP_ACT_ERRNO", *args, **more):
    """A rule; ``args`` are index, operator, value and perhaps the second value."""
    conditions = [
        dict(zip(("index", "op", "value", "valueTwo"), (index, f"SCMP_CMP_{op}", *numbers)))
        for index, op, *numbers in args
    ]
    return {"names": [name], "action": action, **({"args": conditions} if conditions else {}), **more}


OPERATORS = [
    # syscall, number, conditions, arguments that match, arguments that do not
    ("getuid", GETUID, [(0, "NE", 5)], [(4,), (6,), (HIGH + 5,)], [(5,)]),
    (
        "getgid",
        GETGID,
        [(1, "LT", HIGH + 2)],
        [(0, 1), (0, HIGH), (0, HIGH + 1), (0, 7)],
        [(0, HIGH + 2), (0, HIGH + 3), (0, 2 * HIGH)],
    ),
    ("geteuid", GETEUID, [(2, "LE", 5)], [(0, 0, 5), (0, 0, 4), (0, 0, 0)], [(0, 0, 6), (0, 0, HIGH)]),
    (
        "getegid",
        GETEGID,
        [(3, "EQ", HIGH + 5)],
        [(0, 0, 0, HIGH + 5)],
        [(0, 0, 0, 5), (0, 0, 0, HIGH), (0, 0, 0, HIGH + 4)],
    ),
    ("getppid", GETPPID, [(4, "GE", 5)], [(0, 0, 0, 0, 5), (0, 0, 0, 0, 6), (0, 0, 0, 0, HIGH)], [(0, 0, 0, 0, 4)]),
    ("gettid", GETTID, [(5, "GT", 5)], [(0, 0, 0, 0, 0, 6), (0, 0, 0, 0, 0, HIGH)], [(0, 0, 0, 0, 0, 5), (0,)]),
    ("getpid", GETPID, [(0, "MASKED_EQ", 0xF0, 0x30)], [(0x30,), (0x3F,), (0x130,)], [(0x20,), (0x70,), (0,)]),
]
NATURAL = {GETUID: 0, GETGID: 0, GETEUID: 0, GETEGID: 0, GETPPID: 0, GETTID: 1, GETPID: 1}
"""What the first process of a pid namespace gets, as root."""


@pytest.mark.parametrize("privileges", [True, False])
def test_operators(make_calls, privileges):
    """syscalls[].args: each operator on each argument, of 64 bits."""
    words, expected = [], []
    for _, number, _, matching, others in OPERATORS:
        words += [":".join(map(str, (number, *args))) for args in matching + others]
        expected += ["-77"] * len(matching) + [str(NATURAL[number])] * len(others)
    profile = allow_but(
        *[rule(name, "SCMP_ACT_ERRNO", *conditions, errnoRet=77) for name, _, conditions, _, _ in OPERATORS]
    )
    assert make_calls(profile, *words, privileges=privileges).out.split() == expected


def test_conditions_together(make_calls):
    """Conditions on several arguments hold together, several on one argument are alternatives, as with runc."""
    profile = allow_but(
        rule("getppid", "SCMP_ACT_ERRNO", (0, "EQ", 1), (1, "EQ", 2)),
        rule("getuid", "SCMP_ACT_ERRNO", (0, "EQ", 1), (0, "EQ", 2)),
    )
    together = [f"{GETPPID}:1:2", f"{GETPPID}:1:3"]
    alternatives = [f"{GETUID}:1", f"{GETUID}:2", f"{GETUID}:3"]
    assert make_calls(profile, *together).out.split() == ["-1", "0"]
    assert make_calls(profile, *alternatives).out.split() == ["-1", "-1", "0"]


def test_rules_of_one_syscall(make_calls):
    profile = allow_but(
        rule("getppid", "SCMP_ACT_ERRNO", (0, "EQ", 1), errnoRet=11),
        rule("getppid", "SCMP_ACT_ERRNO", (0, "EQ", 2), errnoRet=22),
    )
    assert make_calls(profile, *(f"{GETPPID}:{argument}" for argument in (1, 2, 3))).out.split() == ["-11", "-22", "0"]


@pytest.mark.parametrize("privileges", [True, False])
@pytest.mark.parametrize(
    "action, more, out, status",
    [
        ("SCMP_ACT_ERRNO", {}, ["-1", "1"], 0),
        ("SCMP_ACT_ERRNO", {"errnoRet": 0}, ["0", "1"], 0),
        ("SCMP_ACT_ERRNO", {"errnoRet": 4094}, ["-4094", "1"], 0),
        ("SCMP_ACT_ALLOW", {}, ["0", "1"], 0),
        ("SCMP_ACT_LOG", {}, ["0", "1"], 0),
        ("SCMP_ACT_TRAP", {}, ["trap", "0", "1"], 0),
        ("SCMP_ACT_TRACE", {}, [f"-{ENOSYS}", "1"], 0),
        ("SCMP_ACT_TRACE", {"errnoRet": 65535}, [f"-{ENOSYS}", "1"], 0),
        ("SCMP_ACT_KILL", {}, [], 128 + SIGSYS),
        ("SCMP_ACT_KILL_THREAD", {}, [], 128 + SIGSYS),
        ("SCMP_ACT_KILL_PROCESS", {}, [], 128 + SIGSYS),
    ],
)
def test_actions(make_calls, privileges, action, more, out, status):
    """syscalls[].action, and errnoRet: what the caller gets, and the next call."""
    result = make_calls(allow_but(rule("getppid", action, **more)), str(GETPPID), str(GETPID), privileges=privileges)
    assert (result.out.split(), result.status) == (out, status), result


@pytest.mark.parametrize(
    "action, out, status",
    [
        ("SCMP_ACT_KILL", "thread died\n1\n", 0),
        ("SCMP_ACT_KILL_THREAD", "thread died\n1\n", 0),
        ("SCMP_ACT_KILL_PROCESS", "", 128 + SIGSYS),
        ("SCMP_ACT_ALLOW", "thread lived\n1\n", 0),
    ],
)
def test_a_thread(make_calls, action, out, status):
    """SCMP_ACT_KILL is KILL_THREAD, and ends the thread alone."""
    result = make_calls(allow_but(rule("getppid", action)), "thread", str(GETPPID), str(GETPID))
    assert (result.out, result.status) == (out, status), result


def test_the_native_architecture(make_calls):
    """It is always part of the filter."""
    assert make_calls(allow_but(architectures=[]), str(GETPPID)).out.split() == ["0"]


@pytest.mark.skipif(MACHINE != "x86_64", reason="x32 is of x86_64 alone")
def test_another_architecture(make_calls):
    """A call by another convention (x32) is not among those named."""
    x32 = str((1 << 30) + GETPPID)
    assert make_calls(allow_but(), str(GETPPID), x32).status == 128 + SIGSYS
    with_x32 = allow_but(architectures=["SCMP_ARCH_X32"])
    assert make_calls(with_x32, str(GETPPID), x32).out.split()[0] == "0"


def test_default_errno(make_calls):
    """defaultErrnoRet; syscalls that are newer than all named get ENOSYS all the same (as runc)."""
    names = [
        "execve",
        "exit_group",
        "write",
        "writev",
        "rt_sigaction",
        "rt_sigprocmask",
        "arch_prctl",
        "set_tid_address",
        "ioctl",
        "brk",
        "mmap",
        "munmap",
        "mprotect",
        "fcntl",
        "close_range",
        "openat2",
    ]
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 55,
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    }
    result = make_calls(profile, str(GETPPID), str(GETPID), "4000", privileges=False)
    assert result.out.split() == ["-55", "-55", f"-{ENOSYS}"], result


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["SECCOMP_FILTER_FLAG_LOG"],
        ["SECCOMP_FILTER_FLAG_TSYNC"],
        ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
        ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
    ],
)
def test_flags(make_calls, flags):
    assert make_calls(allow_but(rule("getppid"), flags=flags), str(GETPPID)).out.split() == ["-1"]
