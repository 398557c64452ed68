"""A config for code that nobody vouches for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from .arguments import Size, count, mapping, optional_size, seconds, size, words, wrong

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOBODY = 65534
MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
REFUSED = [
    # Other processes, keys, the kernel's own work and its debugging, namespaces and mounts: what needs no program that
    # computes something, and where most holes were found.
    "acct",
    "add_key",
    "bpf",
    "clock_adjtime",
    "clock_settime",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "name_to_handle_at",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "personality",
    "pivot_root",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "reboot",
    "request_key",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "unshare",
    "userfaultfd",
    "vmsplice",
]
CLONE_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID and NET: flags by which clone(2) would make a namespace."""
EPERM, ENOSYS = 1, 38
BIND_OPTIONS = ["rbind", "rro", "rnosuid", "rnodev", "rprivate"]
"""Options of a bind mount that a sandbox may read. The recursive ones hold for the mounts below it too: ``ro`` would leave
those writable. ``rprivate`` keeps out what the host mounts below it later, which would come with the host's options."""


def sandbox(
    args: Sequence[str],
    *,
    memory: Size | None = 256 << 20,
    processes: int | None = 64,
    cpus: float | None = 1.0,
    files: int = 1024,
    scratch: Size = 64 << 20,
    env: Mapping[str, str] | None = None,
    cwd: str = "/tmp",
    uid: int = NOBODY,
    gid: int = NOBODY,
    binds: Mapping[str, str | os.PathLike[str]] | None = None,
    hostname: str = "sandbox",
    cgroup: str | None = None,
) -> dict[str, Any]:
    """A config.json, as a dict to be changed at will, for untrusted code: an unprivileged user without a capability
    or the way to one, a read-only root, no network but its own loopback, no system calls that only an administrator
    or an attacker needs, and limits on all that it could use up. docs/library.md tells what it does not hold off.

    A caller without root's rights gets a user namespace in which only they exist. ``memory``, ``processes`` and
    ``cpus`` need cgroups, which the user's own systemd makes where there is one; elsewhere the container is not made,
    unless they are ``None``, or ``limits="best-effort"`` is said to :func:`ocirt.run` or :meth:`Container.create`.

    :param args: the program and its arguments, as a list: ``["python3", "-c", code]``.
    :param memory: bytes, ``scratch`` included: a number, or text like ``"64m"`` or ``"1.5g"`` (a unit is a power of
        1024); ``None``: no limit. There is no swap beside it.
    :param processes: the most processes and threads; ``None``: no limit.
    :param cpus: seconds of CPU time that it gets in a second: 0.5 is half of a processor; ``None``: no limit.
    :param files: the most open files of a process.
    :param scratch: bytes of /tmp, a file system in memory, as for ``memory``; there is no other place to write.
    :param env: environment variables, besides a PATH and ``HOME=/tmp``.
    :param cwd: the directory it starts in.
    :param uid: its user's number, who needs no name; ``gid`` its group's.
    :param gid: its group's number.
    :param binds: directories and files of the host that it may read, ``{"/in/the/container": "/on/the/host"}``, with all
        that is mounted below them; what the host mounts there later does not appear. The runtime makes a mount point that
        is missing in the root file system. Read-only holds for files: who may connect to a Unix socket still may.
    :param hostname: what it takes for the name of the host.
    :param cgroup: ``linux.cgroupsPath``, its cgroup; by default one named by the container's id.
    :raises RequestError: an argument is of no use: a command in one text, a size that is none.
    """
    env, program = mapping("env", env), words("args", args)
    scratch, memory = size("scratch", scratch), optional_size("memory", memory)
    processes = None if processes is None else count("processes", processes)
    cpus = None if cpus is None else seconds("cpus", cpus)
    files = count("files", files)
    rootless = os.geteuid() != 0
    if rootless:
        uid = gid = 0
    linux: dict[str, Any] = {
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
        "maskedPaths": MASKED,
        "readonlyPaths": READONLY,
        "seccomp": seccomp(),
        "rootfsPropagation": "private",  # what the host mounts below the root later would come with the host's options
    }
    if rootless:
        linux["namespaces"].append({"type": "user"})
        linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
    linux["resources"] = resources(memory, processes, cpus)
    if not rootless:
        linux["resources"]["devices"] = [{"allow": False, "access": "rwm"}]  # a user can make none
    if cgroup is not None:
        linux["cgroupsPath"] = cgroup
    return {
        "ociVersion": "1.2.0",
        "process": {
            "args": program,
            "cwd": cwd,
            "user": {"uid": uid, "gid": gid, "umask": 0o22},
            "env": [PATH, "HOME=/tmp", *[f"{name}={value}" for name, value in env.items()]],
            "capabilities": {kind: [] for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")},
            "rlimits": [
                {"type": "RLIMIT_NOFILE", "hard": files, "soft": files},
                {"type": "RLIMIT_CORE", "hard": 0, "soft": 0},
            ],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": hostname,
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "noexec", "mode=755", "size=64k"],
            },
            {
                "destination": "/tmp",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "nodev", "mode=1777", f"size={scratch}"],
            },
            *[
                {"destination": inside, "type": "bind", "source": outside, "options": BIND_OPTIONS}
                for inside, outside in sources(binds).items()
            ],
        ],
        "linux": linux,
    }


def sources(binds: Mapping[str, str | os.PathLike[str]] | None) -> dict[str, str]:
    """``binds`` with absolute paths of the host.

    :raises RequestError: it is no mapping, a path of the container is not absolute, or what it is bound to is no path.
    """
    if binds is not None and not isinstance(binds, Mapping):
        raise wrong("binds", binds, "a dict, like {'/in/the/container': '/on/the/host'}")
    found = {}
    for inside, outside in (binds or {}).items():
        if not isinstance(inside, str) or not inside.startswith("/"):
            raise wrong(f"binds[{inside!r}]", inside, "an absolute path in the container, like '/data'")
        path = os.fspath(outside) if isinstance(outside, (str, os.PathLike)) else outside
        if not isinstance(path, str) or not path or "\0" in path:
            raise wrong(f"binds[{inside!r}]", outside, "a file or directory of the host")
        found[inside] = os.path.abspath(path)
    return found


def resources(memory: int | None, processes: int | None, cpus: float | None) -> dict[str, Any]:
    """``linux.resources`` for these limits; no swap beside the memory."""
    found: dict[str, Any] = {}
    if memory is not None:
        found["memory"] = {"limit": memory, "swap": memory}
    if processes is not None:
        found["pids"] = {"limit": processes}
    if cpus is not None:
        found["cpu"] = {"period": 100_000, "quota": max(1000, int(cpus * 100_000))}
    return found


def seccomp() -> dict[str, Any]:
    """``linux.seccomp``: what REFUSED lists fails with EPERM, and so does a clone(2) that makes namespaces. Clone3,
    whose flags a filter cannot see, is not there, so that the C library takes clone(2)."""
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": REFUSED, "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
            *[
                {
                    "names": ["clone"],
                    "action": "SCMP_ACT_ERRNO",
                    "errnoRet": EPERM,
                    "args": [{"index": 0, "value": bit, "valueTwo": bit, "op": "SCMP_CMP_MASKED_EQ"}],
                }
                for bit in (1 << number for number in range(32))
                if bit & CLONE_NAMESPACES
            ],
        ],
    }
