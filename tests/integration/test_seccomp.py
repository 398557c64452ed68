"""config-linux.md, Seccomp: what the filter does to a running program."""

import pytest


def run(ocirt, bundle, profile, script, privileges=True):
    bundle.config["linux"]["seccomp"] = profile
    bundle.config["process"]["noNewPrivileges"] = not privileges
    bundle.shell(script).save()
    return ocirt("run", "--bundle", bundle, "c1")


def allow_but(*rules):
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": list(rules),
    }


@pytest.mark.parametrize("privileges", [True, False])
def test_errno(ocirt, bundle, privileges):
    """action, errnoRet (default EPERM), names that are unknown, with and without noNewPrivileges."""
    bundle.config["root"]["readonly"] = False
    result = run(
        ocirt,
        bundle,
        allow_but(
            {"names": ["mkdir", "mkdirat", "nonsense"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO"},
        ),
        "mkdir /tmp/x; chmod 700 /tmp; grep Seccomp: /proc/self/status",
        privileges,
    )
    assert (
        "No space left" in result.err
        and "Operation not permitted" in result.err
        and result.out.split() == ["Seccomp:", "2"]
    )


def test_kill(ocirt, bundle):
    result = run(
        ocirt,
        bundle,
        allow_but({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}),
        "mkdir /tmp/x; echo $?",
    )
    assert result.out.strip() == str(128 + 31)


@pytest.mark.parametrize(
    "args, blocked",
    [
        ([{"index": 1, "value": 0o700, "op": "SCMP_CMP_EQ"}], "700"),
        ([{"index": 1, "value": 0o700, "op": "SCMP_CMP_NE"}], "755"),
        ([{"index": 1, "value": 0o777, "valueTwo": 0o700, "op": "SCMP_CMP_MASKED_EQ"}], "700"),
        ([{"index": 1, "value": 0o750, "op": "SCMP_CMP_GT"}], "755"),
        ([{"index": 1, "value": 0o750, "op": "SCMP_CMP_LT"}], "700"),
        ([{"index": 1, "value": 0o755, "op": "SCMP_CMP_GE"}], "755"),
        ([{"index": 1, "value": 0o700, "op": "SCMP_CMP_LE"}], "700"),
        ([{"index": 1, "value": 0o700, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 0o701, "op": "SCMP_CMP_EQ"}], "700"),
    ],
)
def test_arguments(ocirt, bundle, args, blocked):
    """args with every operator; two conditions on one argument are alternatives, as with runc."""
    bundle.config["root"]["readonly"] = False
    result = run(
        ocirt,
        bundle,
        # aarch64 has only fchmodat(2), whose first argument is a directory.
        allow_but(
            {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "args": args},
            {"names": ["fchmodat"], "action": "SCMP_ACT_ERRNO", "args": [{**each, "index": 2} for each in args]},
        ),
        "for mode in 700 755; do chmod $mode /tmp 2>/dev/null || echo $mode; done",
    )
    assert result.out.split() == [blocked], result


@pytest.mark.parametrize("privileges", [True, False])
def test_a_profile_that_knows_no_new_syscalls(ocirt, bundle, privileges):
    """What the runtime itself does with syscalls that old profiles do not name is done before the filter holds: finding
    the program on PATH and the user's HOME, whoever the user is."""
    profile = allow_but(
        {"names": ["openat2", "faccessat2", "close_range", "getcwd", "statx"], "action": "SCMP_ACT_ERRNO"}
    )
    for uid, home in ((0, "/root"), (1000, "/home/guest")):
        bundle.config["process"]["user"] = {"uid": uid, "gid": uid}
        result = run(ocirt, bundle, profile, "echo $HOME; grep CapPrm: /proc/self/status", privileges)
        assert result.status == 0 and result.out.split()[0] == home, result
        assert not int(result.out.split()[2], 16) >> 21 & 1, "CAP_SYS_ADMIN was lent for the filter alone"
        ocirt("delete", "--force", "c1")


def test_a_list_of_what_is_allowed(ocirt, bundle):
    """The filter is loaded last of all: a profile need not name what the runtime does before."""
    names = [
        "execve",
        "exit",
        "exit_group",
        "write",
        "read",
        "brk",
        "mmap",
        "munmap",
        "arch_prctl",
        "set_tid_address",
        "prctl",
        "getuid",
        "getpid",
        "rt_sigprocmask",
        "rt_sigaction",
        "stat",
        "lstat",
        "fstat",
        "newfstatat",
        "open",
        "openat",
        "close",
        "dup",
        "dup2",
        "dup3",
        "fcntl",
        "ioctl",
        "writev",
        "getcwd",
        "getppid",
        "geteuid",
        "getgid",
        "getegid",
        "rt_sigreturn",
        "close_range",
        "clone",
        "fork",
        "vfork",
        "wait4",
        "set_robust_list",
        "rseq",
        "prlimit64",
        "readlink",
        "mprotect",
        "getrandom",
        "sigaltstack",
        "setresuid",
        "setresgid",
        "setgroups",
        "capset",
        "capget",
        "chdir",
        "faccessat2",
        "sendmsg",
        "recvmsg",
        "accept4",
        "lseek",
        "futex",
        "uname",
    ]
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 13,
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    }
    bundle.config["root"]["readonly"] = False
    result = run(ocirt, bundle, profile, "mkdir /tmp/x", privileges=False)
    assert "Permission denied" in result.err, result


@pytest.mark.parametrize(
    "wrong, path",
    [
        ({"defaultAction": "SCMP_ACT_NONSENSE"}, "linux.seccomp.defaultAction"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}, "defaultErrnoRet"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["X"]}, "linux.seccomp.architectures[0]"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]}, "linux.seccomp.flags[0]"),
        (allow_but({"names": [], "action": "SCMP_ACT_ERRNO"}), "linux.seccomp.syscalls[0].names"),
        (allow_but({"names": ["chmod"], "action": "SCMP_ACT_NOTIFY"}), "linux.seccomp.syscalls[0].action"),
        (
            allow_but({"names": ["chmod"], "action": "SCMP_ACT_KILL", "errnoRet": 1}),
            "linux.seccomp.syscalls[0].errnoRet",
        ),
        (
            allow_but(
                {
                    "names": ["chmod"],
                    "action": "SCMP_ACT_ERRNO",
                    "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}],
                }
            ),
            "linux.seccomp.syscalls[0].args[0].index",
        ),
        (
            allow_but({"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "X"}]}),
            "linux.seccomp.syscalls[0].args[0].op",
        ),
    ],
)
def test_wrong_profiles(ocirt, bundle, wrong, path):
    bundle.config["linux"]["seccomp"] = wrong
    bundle.save()
    assert path in ocirt.fails("create", "--bundle", bundle, "c1")
    assert ocirt.ids() == []


NEEDED = (
    "execve",
    "exit_group",
    "write",
    "writev",
    "arch_prctl",
    "set_tid_address",
    "brk",
    "mmap",
    "mprotect",
    "prctl",
    "getuid",
    "setgid",
    "setuid",
    "getgid",
    "rt_sigprocmask",
    "rt_sigaction",
    "ioctl",
    "readlink",
    "getrandom",
    "set_robust_list",
    "rseq",
    "prlimit64",
    "uname",
    "nanosleep",
    "clock_nanosleep",
)


@pytest.mark.parametrize("privileges", [True, False])
def test_nothing_but_execve_is_the_runtimes(ocirt, bundle, privileges):
    """A profile that allows no more than what a program needs for itself: all that the runtime does comes before."""
    bundle.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": list(NEEDED), "action": "SCMP_ACT_ALLOW"}],
    }
    bundle.config["process"]["noNewPrivileges"] = not privileges
    bundle.args("echo", "lives").save()
    result = ocirt("run", "--bundle", bundle, "c1")
    assert (result.status, result.out) == (0, "lives\n"), result
    bundle.args("sleep", "1000").save()
    ocirt.ok("run", "--detach", "--bundle", bundle, "c1")
    assert ocirt.ok("exec", "c1", "echo", "too").out == "too\n"


@pytest.mark.parametrize("privileges", [True, False])
def test_start_container_hooks_are_filtered(ocirt, bundle, privileges):
    """Their program is the image's, as with runc. What the runtime does to run them is not the filter's business."""
    rules = {
        "names": ["mkdir", "mkdirat", "memfd_create", "clone3", "waitid", "pidfd_open"],
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": 28,
    }
    bundle.config["linux"]["seccomp"] = allow_but(rules)
    bundle.config["process"]["noNewPrivileges"] = not privileges
    bundle.config["hooks"] = {
        "startContainer": [
            {
                "path": "/bin/sh",
                "args": [
                    "sh",
                    "-c",
                    "grep -E '^(Seccomp:|CapPrm:)' /proc/self/status >/tmp/hook; mkdir /tmp/x 2>>/tmp/hook; true",
                ],
            }
        ]
    }
    bundle.config["root"]["readonly"] = False
    bundle.shell("cat /tmp/hook").save()
    capabilities, seccomp, error = ocirt.ok("run", "--bundle", bundle, "c1").out.splitlines()
    assert seccomp == "Seccomp:\t2" and "No space left on device" in error
    assert not int(capabilities.split()[1], 16) >> 21 & 1, "CAP_SYS_ADMIN was lent for the filter alone"


@pytest.mark.parametrize(
    "profile",
    [
        {"defaultAction": "SCMP_ACT_ERRNO"},
        allow_but({"names": ["execve", "exit_group", "write", "sendto", "sendmsg"], "action": "SCMP_ACT_ERRNO"}),
    ],
)
def test_a_filter_that_forbids_even_the_end(ocirt, bundle, profile):
    """It forbids to execute the program, to say so, and to end: a trap ends the process, and nobody waits for ever."""
    done = run(ocirt, bundle, profile, "true")
    assert done.status == 1 and "died before it executed its program" in done.err and ocirt.ids() == [], done
