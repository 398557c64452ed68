"""config-linux.md, Seccomp: every operator and every action, by a program that makes system calls and says what they gave."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT, PARENT, remove_cgroups
from tests.processor import (
    COMPILERS_OF_32_BITS,
    MACHINE,
    OF_32_BITS,
    SCMP_ARCH,
    SCMP_ARCH_OF_32_BITS,
    compile_for_32_bits,
    syscall_number,
)

GETPID, GETUID, GETGID, GETEUID, GETEGID, GETPPID, GETTID = map(
    syscall_number, ("getpid", "getuid", "getgid", "geteuid", "getegid", "getppid", "gettid")
)
"""They take no arguments: whatever is in the registers, without a filter the answer is the same."""
GETPID_32, GETPPID_32, PERSONALITY_32 = 20, 64, 136
"""The same of i386 and of 32-bit ARM."""
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

    def run(profile, *words, privileges=True, program=calls):
        shutil.copy(program, bundle.rootfs / "bin/calls")
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


NEEDED = [
    "execve",
    "exit",
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
"""What the programs need, and a system call that is newer than most."""


def refuse_but(names, **more):
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 55,
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
        **more,
    }


def test_default_errno(make_calls):
    """defaultErrnoRet; syscalls that are newer than all named get ENOSYS all the same (as runc)."""
    result = make_calls(refuse_but(NEEDED), str(GETPPID), str(GETPID), "4000", privileges=False)
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


@pytest.fixture(scope="session")
def calls32(tmp_path_factory):
    """data/calls32.c; OCIRT_TEST_CALLS32 has it where it cannot be compiled, in a guest."""
    path = Path(os.environ.get("OCIRT_TEST_CALLS32") or tmp_path_factory.mktemp("calls32") / "calls32")
    if not path.exists():
        if MACHINE not in COMPILERS_OF_32_BITS:
            pytest.skip(f"Linux runs no programs of 32 bits on {MACHINE}")
        compile_for_32_bits(Path(__file__).parent / "data/calls32.c", path)
    try:
        assert int(subprocess.check_output([path, str(GETPPID_32)], timeout=LIMIT)) == os.getpid()
    except OSError as error:
        assert error.errno == errno.ENOEXEC
        pytest.skip(
            "this kernel runs no programs of 32 bits, which it may leave out (CONFIG_IA32_EMULATION, CONFIG_COMPAT)"
        )
    return path


WORDS_32 = [str(GETPID_32), str(GETPPID_32), f"{PERSONALITY_32}:{0xFFFFFFFF}", "machine"]
"""Of which 0xFFFFFFFF asks for the personality."""
BOTH = [SCMP_ARCH, SCMP_ARCH_OF_32_BITS]
domains = pytest.mark.parametrize("domain, number, machine", [("LINUX", 0, MACHINE), ("LINUX32", 8, OF_32_BITS)])


@domains
def test_a_program_of_32_bits(make_calls, calls32, bundle, domain, number, machine):
    """A profile that names its architecture holds for it, by its own numbers of the calls."""
    bundle.config["linux"]["personality"] = {"domain": domain}
    profile = allow_but(rule("getppid", errnoRet=77), architectures=BOTH)
    result = make_calls(profile, *WORDS_32, program=calls32)
    assert (result.out.split(), result.status) == (["1", "-77", str(number), machine], 0), result


@domains
@pytest.mark.parametrize("profile", [allow_but(rule("getppid")), refuse_but([*NEEDED, "getpid"])])
def test_a_program_of_32_bits_whose_architecture_is_not_named(
    make_calls, calls32, bundle, profile, domain, number, machine
):
    """libseccomp has the kernel kill it at its first call, whatever the default action is. The domain alone names none."""
    bundle.config["linux"]["personality"] = {"domain": domain}
    result = make_calls(profile, *WORDS_32, program=calls32)
    assert (result.out, result.status) == ("", 128 + SIGSYS), result


def test_newer_calls_of_32_bits(make_calls, calls32):
    """They get ENOSYS by the architecture's own numbers. ARM's private calls, from 0xF0000 on, are not newer than others."""
    private = [0xF0002] if SCMP_ARCH_OF_32_BITS == "SCMP_ARCH_ARM" else []
    result = make_calls(
        refuse_but(NEEDED, architectures=BOTH), *map(str, [GETPPID_32, 4000, *private]), program=calls32
    )
    assert result.out.split() == ["-55", f"-{ENOSYS}", *(["-55"] * len(private))], result


@pytest.mark.parametrize("architectures, out, status", [(BOTH, "1\n-77\n", 0), ([], "", 128 + SIGSYS)])
def test_a_program_of_32_bits_as_runc_runs_it(make_calls, calls32, bundle, tmp_path, architectures, out, status):
    """Without privileges, because runc's init asks for its parent between a filter for them and the program."""
    profile = allow_but(rule("getppid", errnoRet=77), architectures=architectures)
    ours = make_calls(profile, *WORDS_32[:2], program=calls32, privileges=False)
    bundle.config["linux"]["cgroupsPath"] = f"{PARENT}/runc"
    bundle.save()
    try:
        runc = subprocess.run(
            ["runc", "--root", tmp_path / "runc", "run", "--bundle", bundle.path, "r1"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
    finally:
        remove_cgroups()  # runc leaves those above the container's
    assert (ours.out, ours.status) == (runc.stdout, runc.returncode) == (out, status), (ours, runc)


@pytest.mark.parametrize("architectures, out, status", [(BOTH, "-77\n", 0), ([], "", 128 + SIGSYS)])
def test_exec_of_a_program_of_32_bits(ocirt, bundle, calls32, architectures, out, status):
    shutil.copy(calls32, bundle.rootfs / "bin/calls")
    bundle.config["linux"]["seccomp"] = allow_but(rule("getppid", errnoRet=77), architectures=architectures)
    ocirt.ok("create", "--bundle", bundle.save(), "c1")
    ocirt.ok("start", "c1")
    result = ocirt("exec", "c1", "calls", str(GETPPID_32))
    assert (result.out, result.status) == (out, status), result
