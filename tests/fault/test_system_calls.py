"""Each system call of the executable failing, by `strace -e inject`: a clear error, exit status 1, nothing left behind.

A sample; with OCIRT_FAULT_ALL=1 every call of every process, the n-th of its name for each n, with each of ERRORS.
"""

import os
import re
import subprocess
from collections import Counter

import pytest

from ocirt.model.host import Host
from tests.integration.harness import LIMIT, OWN, hierarchies, left_cgroups, remove_cgroups

ALL = os.environ.get("OCIRT_FAULT_ALL") == "1"
SAMPLE = 45
ERRORS = {
    # what the kernel may say there; of calls that are not named EPERM
    "openat": ("EMFILE", "EACCES"),
    "openat2": ("EMFILE", "EAGAIN", "EXDEV"),
    "mkdirat": ("ENOSPC", "EROFS"),
    "clone3": ("EAGAIN", "ENOMEM"),
    "memfd_create": ("EMFILE", "ENOMEM"),
    "mmap": ("ENOMEM",),
    "write": ("ENOSPC", "EIO"),
    "read": ("EIO",),
    "socketpair": ("EMFILE",),
    "socket": ("EMFILE",),
    "sendmsg": ("ENOBUFS",),
    "recvmsg": ("ECONNRESET", "ENOMEM"),
    "fsopen": ("ENODEV", "EPERM"),
    "fsmount": ("ENOSPC",),
    "move_mount": ("EBUSY", "ENOSPC"),
    "open_tree": ("EMFILE", "EPERM"),
    "renameat": ("ENOSPC",),
    "symlinkat": ("ENOSPC",),
    "mknodat": ("ENOSPC", "EEXIST"),
    "newfstatat": ("EACCES",),
}
NEVER = {
    "execve",
    "exit_group",
    "exit",
    "rt_sigreturn",
    "rt_sigaction",
    "rt_sigprocmask",
    "arch_prctl",
    "set_tid_address",
    "execveat",
    "munmap",
    "wait4",
    "waitid",
    "close",
}
"""Those of the start of a process, and those that cannot fail (close, for one, closes even where it says otherwise)."""
VITAL = {
    "setresuid",
    "setresgid",
    "setgroups",
    "capset",
    "unshare",
    "setns",
    "pivot_root",
    "umount2",
    "fsopen",
    "fsmount",
    "move_mount",
    "mount_setattr",
    "sethostname",
    "keyctl",
    "clone3",
    "openat2",
}
"""A container must not come to be without what these do: where the error is not one that the step expects."""
EXPECTED = {("openat2", "EAGAIN"), ("mknodat", "EEXIST")}
REFUSED = ("setns", "EPERM", 1)
"""Init's first: it may not enter the mount namespace that it has made of the rootfs, and makes a copy of the host's."""
NICETIES = {"/etc/passwd", "/proc/kcore"}
"""Files in the rootfs that give no more than a HOME and a link, /dev/core: as with runc, a container may be without."""


def calls(ocirt, tmp_path, *words):
    """How often the process that makes a call most makes it, by name; of those after the sealed copy has begun."""
    log = tmp_path / "strace"
    process = subprocess.Popen(
        ["strace", "-f", "-o", log, *ocirt.command(*words)],
        stdin=subprocess.DEVNULL,
        env=ocirt.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert wait_or_leave(process, ocirt, words[0]) == 0
    ocirt("delete", "--force", "c1")
    process.wait(LIMIT)
    counts = Counter()
    for line in log.read_text().splitlines():
        if found := re.match(r"(\d+) +([a-z0-9_]+)\(", line):
            counts[found.groups()] += 1
    most = Counter()
    for (_, name), count in counts.items():
        if name not in NEVER:
            most[name] = max(most[name], count)
    return most


def plan(most):
    """(name, error, n-th call) of each fault."""
    faults = [
        (name, error, number)
        for name, count in sorted(most.items())
        for error in ERRORS.get(name, ("EPERM",))
        for number in range(1, count + 1)
    ]
    if ALL:
        return faults
    # Each name once at least, then every so many.
    firsts = {name: (name, error, number) for name, error, number in reversed(faults)}
    step = max(1, len(faults) // max(1, SAMPLE - len(firsts)))
    return sorted({*firsts.values(), *faults[step // 2 :: step]})


def own_cgroups():
    return [str(top) for top in hierarchies() if (top / OWN[1:]).exists()]


def inject(ocirt, fault, *words):
    name, error, number = fault
    command = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        f"inject={name}:error={error}:when={number}",
        *ocirt.command(*words),
    ]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, env=ocirt.environment
    )


def has_clear_error(done):
    # The dynamic linker of a Python that the fault meets says so itself, before the runtime does.
    said_beside = ("level=warning", "error while loading shared libraries")
    lines = [line for line in done.stderr.splitlines() if not any(words in line for words in said_beside)]
    return len(lines) == 1 and " level=error msg=" in lines[0]


def test_create(ocirt, bundle, tmp_path):
    bundle.save()
    for _ in range(2):  # the second time without Python
        ocirt.ok("create", "--bundle", bundle, "c1")
        ocirt.ok("delete", "--force", "c1")
    most = calls(ocirt, tmp_path, "create", "--bundle", bundle, "c1")
    ocirt.ok("delete", "--force", "c1")
    # Since Linux 7.0 init enters a mount namespace that has no other root.
    enters = "pivot_root" if Host().kernel < (7, 0) else "setns"
    assert {"clone3", "openat2", "move_mount", enters, "sendmsg"} <= set(most)
    wrong = []
    for fault in plan(most):
        # Files, not pipes: the container keeps the streams open.
        with open(tmp_path / "out", "w+") as out:
            command = [
                "strace",
                "-f",
                "-o",
                tmp_path / "trace",
                "-e",
                "inject={}:error={}:when={}".format(*fault),
                *ocirt.command("create", "--bundle", bundle, "c1"),
            ]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=ocirt.environment)
            try:
                status = wait_or_leave(process, ocirt, "create")
            except AssertionError as error:
                raise AssertionError(fault) from error
            finally:
                deleted = ocirt("delete", "--force", "c1")
                process.wait(LIMIT)
            out.seek(0)
            text = out.read()
        errors = [line for line in text.splitlines() if "level=error" in line]
        if status == 1 and len(errors) != 1:
            wrong.append((fault, "not one error", text))
        if status not in (0, 1):
            wrong.append((fault, f"status {status}", text))
        if (
            status == 0
            and fault[0] in VITAL
            and fault[:2] not in EXPECTED
            and fault != REFUSED
            and "level=warning" not in text
            and not made_up_for((tmp_path / "trace").read_text())
        ):
            wrong.append((fault, "ignored", text))
        if deleted.status or ocirt.ids() or left_cgroups():
            wrong.append((fault, "left", deleted, ocirt.ids(), left_cgroups()))
            ocirt("delete", "--force", "c1")
    assert not wrong, "\n".join(map(str, wrong))


def made_up_for(trace):
    """Was the call that failed by injection the opening of a path in the rootfs that does not matter, or is walked again?"""
    before, _, after = trace.partition("(INJECTED)")
    path = re.search(r'openat2\(\d+, "([^"]*)"', before.splitlines()[-1])
    return path is not None and (path[1] in NICETIES or f'"{path[1]}", ' in after)


def wait_or_leave(process, ocirt, verb):
    """The exit status. strace lives as long as the container does: a create that has succeeded is seen by its state."""
    for _ in range(LIMIT * 20):
        status = process.poll()
        if status is not None:
            return status
        if verb == "create" and '"status": "created"' in ocirt("state", "c1").out:
            return 0
        try:
            return process.wait(0.05)
        except subprocess.TimeoutExpired:
            pass
    raise AssertionError("create hangs")


@pytest.mark.parametrize("verb", ["start", "kill", "delete", "state", "pause", "resume", "exec"])
def test_later_verbs(ocirt, bundle, tmp_path, verb):
    """The verb fails with a clear error, or has done its work; then `delete --force` leaves nothing."""
    words = {
        "start": ("start", "c1"),
        "kill": ("kill", "c1", "KILL"),
        "delete": ("delete", "--force", "c1"),
        "exec": ("exec", "c1", "true"),
    }.get(verb, (verb, "c1"))
    bundle.save()
    prepare = [("create", "--bundle", bundle, "c1")]
    if verb in ("pause", "resume", "exec"):
        prepare.append(("start", "c1"))
    if verb == "resume":
        prepare.append(("pause", "c1"))
    for each in prepare:
        ocirt.ok(*each)
    if verb == "exec":
        ocirt.ok(*words)  # that it is kept
    most = calls(ocirt, tmp_path, *words)
    ocirt.ok("delete", "--force", "c1")
    wrong = []
    faults = plan(most)
    for fault in faults if ALL else faults[::3]:
        for each in prepare:
            ocirt.ok(*each)
        done = inject(ocirt, fault, *words)
        # What exec has started meets the fault, too: without a word of the runtime its status may be any.
        in_process = verb == "exec" and "level=" not in done.stderr
        if (
            done.returncode not in (0, 255 if verb == "exec" else 1)
            and not in_process
            or (done.returncode in (1, 255) and not in_process and not has_clear_error(done))
        ):
            wrong.append((fault, done))
        ocirt.ok("delete", "--force", "c1")
        if ocirt.ids() or own_cgroups():
            wrong.append((fault, "left", ocirt.ids(), own_cgroups(), done))
            remove_cgroups()
    # An empty cgroup above the container's that a fault has kept goes with the next container in it.
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("delete", "--force", "c1")
    assert not wrong, "\n".join(map(str, wrong))
