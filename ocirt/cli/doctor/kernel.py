"""The kernel: its version, the system calls that the runtime makes, and the rights of the caller."""

import errno
import os

from ...compile.capabilities import BITS
from ...model.host import OLDEST_KERNEL
from ...model.processor import has_old_numbers
from .finding import Finding, fault, good, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...model.host import Host

    Call = Callable[..., int]

LSM = "/sys/kernel/security/lsm"
"""The names of the security modules that the kernel has enabled."""
NOWHERE = -1
"""A descriptor that is not open."""
CALLS = {
    "pidfd_send_signal": (424, (NOWHERE, 0, None, 0)),
    "open_tree": (428, (NOWHERE, None, 0)),
    "fsconfig": (431, (NOWHERE, 0, None, None, 0)),
    "pidfd_open": (434, (0, 0)),
    "clone3": (435, (None, 0)),
    "close_range": (436, (1, 0, 0)),
    "openat2": (437, (NOWHERE, None, None, 0)),
    "pidfd_getfd": (438, (NOWHERE, 0, 1)),
    "faccessat2": (439, (NOWHERE, None, 0, 1 << 15)),
    "mount_setattr": (442, (NOWHERE, None, 1 << 30, None, 0)),
}
"""Calls that the runtime makes -> their number, which is the same on all processors, and arguments for which the kernel
does nothing and answers an error other than ENOSYS and EPERM. An outer seccomp profile answers one of the two."""
OLD_CALLS = {
    "keyctl": ((250, 219), (-1, 0, 0, 0, 0)),
    "mount": ((165, 40), (None, None, None, 0, None)),
    "setns": ((308, 268), (NOWHERE, 0)),
    "umount2": ((166, 39), (None, 1 << 30)),
    "unshare": ((272, 97), (1 << 3,)),
}
"""The same for calls whose number is another one on x86_64 than on younger processors."""
FOR_ROOT = {
    "move_mount": (429, (NOWHERE, None, NOWHERE, None, 1 << 30)),
    "fsopen": (430, (None, 0)),
    "fsmount": (432, (NOWHERE, 0, 0)),
    "fspick": (433, (NOWHERE, None, 0)),
}
"""Calls that the kernel refuses to everybody without CAP_SYS_ADMIN."""
OLD_FOR_ROOT = {"pivot_root": ((155, 41), (None, None))}
"""Those of them that have two numbers."""
MENDS = {"keyctl": "create with --no-new-keyring"}
"""A call without which containers run -> how."""

NEEDED = {
    "CAP_SYS_ADMIN": "the namespaces and mounts of every container",
    "CAP_NET_ADMIN": "the lo of a container's own network namespace, and network devices",
    "CAP_SYS_RESOURCE": "raising a hard limit (process.rlimits), a lower oom_score_adj, and device filters of cgroup v2",
    "CAP_MKNOD": "device nodes",
    "CAP_SYS_CHROOT": "exec, which joins a mount namespace",
    "CAP_SETUID": "other users",
    "CAP_SETGID": "other groups",
    "CAP_SETPCAP": "the bounding set",
    "CAP_DAC_OVERRIDE": "files of other users",
    "CAP_CHOWN": "the owner of terminals",
    "CAP_KILL": "signals to processes of other users",
}
"""Capabilities that root's containers need -> for what."""
USUAL = ("CAP_SYS_ADMIN", "CAP_NET_ADMIN")
"""Those without which no container of an ordinary config starts."""


def examine(host: "Host") -> "Iterator[Finding]":
    """Findings about the kernel and about what it allows the caller to do."""
    release = os.uname().release
    if host.kernel < OLDEST_KERNEL:
        yield fault(f"Linux {release} is too old", f"ocirt needs Linux {'.'.join(map(str, OLDEST_KERNEL))} or newer")
    else:
        yield good(f"Linux {release} on {os.uname().machine}")
    yield from _calls(host)
    yield from _rights(host)
    yield from _security_modules(host)


def _calls(host: "Host") -> "Iterator[Finding]":
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    column = 0 if has_old_numbers(os.uname().machine) else 1
    calls, old_calls = dict(CALLS), dict(OLD_CALLS)
    if host.permitted & BITS["CAP_SYS_ADMIN"]:
        calls |= FOR_ROOT
        old_calls |= OLD_FOR_ROOT
    calls |= {name: (numbers[column], arguments) for name, (numbers, arguments) in old_calls.items()}
    refused: dict[int, list[str]] = {}
    for name, (number, arguments) in calls.items():
        ctypes.set_errno(0)
        libc.syscall(number, *[ctypes.c_long(each) if each is not None else None for each in arguments])
        if ctypes.get_errno() in (errno.ENOSYS, errno.EPERM):
            refused.setdefault(ctypes.get_errno(), []).append(name)
    filtered = "\nSeccomp:\t2\n" in host.text("/proc/self/status")
    who = "the seccomp profile under which this process runs" if filtered else "the kernel"
    mend = _profile(host) if filtered else ""
    for number, names in refused.items():
        needed = [name for name in names if name not in MENDS]
        if needed:
            yield fault(f"{who} refuses {', '.join(needed)} ({errno.errorcode[number]})", mend)
        for name in set(names) & set(MENDS):
            yield note(f"{who} refuses {name} ({errno.errorcode[number]})", MENDS[name])
    if not refused:
        yield good(f"{len(calls)} system calls are answered" + (" by an outer seccomp profile" if filtered else ""))


def _profile(host: "Host") -> str:
    """How an outer container gets a profile that refuses less. Docker's and podman's own profiles allow a call to those
    who have the capability that the kernel asks for.
    """
    lacks = host.euid == 0 and not host.permitted & BITS["CAP_SYS_ADMIN"]
    first = "with --cap-add SYS_ADMIN an engine's own profile refuses fewer; " if lacks else ""
    return first + "give the outer container a newer profile, or one that allows them (--security-opt seccomp=FILE)"


def _rights(host: "Host") -> "Iterator[Finding]":
    if host.euid != 0:
        return
    missing = [name for name in NEEDED if not host.permitted & BITS[name]]
    where = " in this user namespace" if host.in_user_namespace else ""
    for name in missing:
        yield (fault if name in USUAL else note)(
            f"root lacks {name}{where}, needed for {NEEDED[name]}",
            "an outer container gives it with --cap-add " + name.removeprefix("CAP_"),
        )
    if not missing:
        yield good(f"root has the capabilities that containers need{where}")


def _security_modules(host: "Host") -> "Iterator[Finding]":
    try:
        with open(LSM) as file:
            names = file.read().strip().split(",")
    except OSError:
        names = ["apparmor"] * host.has_apparmor + ["selinux"] * host.has_selinux
    found = [name for name in ("apparmor", "selinux", "landlock") if name in names]
    yield (
        note(f"security modules: {', '.join(found)}")
        if found
        else note("no security module: process.apparmorProfile and process.selinuxLabel are refused")
    )
