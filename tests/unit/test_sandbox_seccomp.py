"""The seccomp profile of a sandbox: what it allows is no more than what Docker's default profile allows."""

import json
from pathlib import Path

import pytest

import ocirt
from ocirt.library import sandbox
from tests.processor import AUDIT_ARCH, syscall_number
from tests.unit.test_seccomp import program, verdict

DOCKER = json.loads((Path(__file__).parent / "data/seccomp/docker.json").read_text())
OURS = json.loads(Path(sandbox.__file__).with_name("seccomp.json").read_text())
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK, AF_TIPC = 1, 2, 10, 16, 17, 38, 40, 30
STREAM, ROUTE, NETFILTER = 1, 0, 12
REFUSED_BEFORE = [
    *("acct", "add_key", "bpf", "clock_adjtime", "clock_settime", "delete_module", "finit_module", "fsconfig"),
    *("fsmount", "fsopen", "fspick", "init_module", "io_uring_enter", "io_uring_register", "io_uring_setup", "kcmp"),
    *("kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "mount", "mount_setattr", "move_mount"),
    *("move_pages", "name_to_handle_at", "open_by_handle_at", "open_tree", "perf_event_open", "personality"),
    *("pivot_root", "process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "reboot", "request_key", "setns"),
    *("settimeofday", "swapoff", "swapon", "syslog", "umount2", "unshare", "userfaultfd", "vmsplice"),
]
"""What the sandbox of version 0.2.0 refused, by name."""


def rules():
    return ocirt.sandbox(["true"])["linux"]["seccomp"]["syscalls"]


def test_each_call_that_a_sandbox_allows_docker_allows_without_capabilities():
    assert OURS["source"] == DOCKER["source"] and "Apache-2.0" in OURS["license"]
    assert ocirt.sandbox(["true"])["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    free = set(DOCKER["names"])
    for rule in rules():
        if rule["action"] == "SCMP_ACT_ERRNO":
            assert set(rule["names"]) <= set(DOCKER["enosys"]) and rule["errnoRet"] == 38
        elif not set(rule["names"]) <= free:
            (name,) = rule["names"]
            assert rule["action"] == "SCMP_ACT_ALLOW"
            (first,) = [each for each in rule["args"] if each["index"] == 0]
            if name == "clone":
                assert (first["op"], first["value"], first["valueTwo"]) == (
                    "SCMP_CMP_MASKED_EQ",
                    DOCKER["clone_without"],
                    0,
                )
            else:
                assert first["op"] == "SCMP_CMP_EQ" and first["value"] in DOCKER["first_argument"][name]


def test_no_call_is_allowed_that_was_refused():
    allowed = {name for rule in rules() if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert not allowed & set(REFUSED_BEFORE)


@pytest.mark.parametrize(
    ("name", "args", "answer"),
    [
        ("read", (), ALLOW),
        ("socket", (AF_UNIX, STREAM, 0), ALLOW),
        ("socket", (AF_INET, STREAM, 0), ALLOW),
        ("socket", (AF_INET6, STREAM, 0), ALLOW),
        ("socket", (AF_NETLINK, 3, ROUTE), ALLOW),
        ("socket", (AF_NETLINK, 3, NETFILTER), EPERM),
        ("socket", (AF_PACKET, 3, 0), EPERM),
        ("socket", (AF_ALG, 5, 0), EPERM),
        ("socket", (AF_VSOCK, STREAM, 0), EPERM),
        ("socketpair", (AF_UNIX, STREAM, 0), ALLOW),
        ("socketpair", (AF_TIPC, STREAM, 0), EPERM),
        ("clone", (0x01200011,), ALLOW),
        ("clone", (0x10000000 | 17,), EPERM),
        ("clone3", (), ENOSYS),
        ("ptrace", (), EPERM),
        ("vmsplice", (), EPERM),
        ("personality", (0xFFFFFFFF,), EPERM),
        ("unshare", (0,), EPERM),
    ],
)
def test_what_the_filter_answers(name, args, answer):
    code = program(ocirt.sandbox(["true"])["linux"]["seccomp"])
    assert verdict(code, syscall_number(name), AUDIT_ARCH, *args) == answer


def test_a_caller_may_change_the_profile_of_one_sandbox():
    ocirt.sandbox(["true"])["linux"]["seccomp"]["syscalls"].clear()
    assert rules()
