"""A config for code that nobody has checked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from ..errors import RequestError
from .arguments import Size, count, directory, optional_size, processors, size, variables, words, wrong
from .arguments import cgroup as checked_cgroup

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
LANDLOCK, CORESCHED = "org.ocirt.landlock", "org.ocirt.coresched"
"""Annotations, which ocirt.compile.hardening reads."""
SHM_INODES = 1024
"""How many files /dev/shm may have, because ``size`` does not limit them."""
BIND_OPTIONS = ["rbind", "rro", "rnosuid", "rnodev", "rprivate"]
"""Options of a bind mount that a sandbox may read. The recursive ones apply to the mounts below it too, which ``ro``
would leave writable. ``rprivate`` keeps out what the host mounts below it later, because such mounts have the host's
options."""


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
    landlock: Sequence[str] = (),
    coresched: bool = False,
) -> dict[str, Any]:
    """A config.json for untrusted code, as a dict that the caller may change.

    The code runs as an unprivileged user without any capability or a way to gain one, with a read-only root and no
    network but its own loopback, without the system calls that only administrators and attackers need, and with limits
    on everything that it could use up. docs/library.md says what the sandbox does not protect from.

    A caller without root's rights gets a user namespace that maps only the caller's own user. ``memory``, ``processes``
    and ``cpus`` need cgroups, which the user's own systemd makes if it runs. Otherwise the container is not made,
    unless these arguments are ``None``, or the caller passes ``limits="best-effort"`` to :func:`ocirt.run` or
    :meth:`Container.create`.

    :param args: the program and its arguments, as a list: ``["python3", "-c", code]``.
    :param memory: bytes, including ``scratch``: a number, or text like ``"64m"`` or ``"1.5g"`` (a unit is a power of
        1024). ``None``: no limit. The container gets no swap in addition.
    :param processes: the most processes and threads. ``None``: no limit.
    :param cpus: seconds of CPU time in each second: 0.5 is half of a processor. ``None``: no limit.
    :param files: the most open files of a process.
    :param scratch: bytes of /tmp and of /dev/shm, a file system in memory each, as for ``memory``. The code can write
        nowhere else.
    :param env: environment variables, in addition to PATH and ``HOME=/tmp``.
    :param cwd: the working directory.
    :param uid: the number of the user, who needs no name in the container.
    :param gid: the number of the user's group.
    :param binds: directories and files of the host that the code may read, ``{"/in/the/container": "/on/the/host"}``,
        with all mounts below them. Mounts that the host makes there later do not appear. If a mount point is missing in
        the root file system, the runtime makes it. Read-only applies to files: a Unix socket can still be connected to.
    :param hostname: the host's name in the container.
    :param cgroup: ``linux.cgroupsPath``, the container's cgroup; by default a cgroup with the container's id as its
        name.
    :param landlock: directories and TCP ports to which Landlock confines the code, in addition to everything else:
        ``["execute:/", "write:/tmp", "write:/dev", "connect:443"]``. The kinds are ``read``, ``execute``, ``write``,
        ``connect`` and ``bind``. A kernel without Landlock is an error.
    :param coresched: run on processor cores that no other program uses at the same time (core scheduling). A kernel or
        a processor without it is an error.
    :raises RequestError: an argument cannot be used: a command in one text, for example, or a wrong size.
    """
    env, program = variables("env", env), words("args", args)
    scratch, memory = size("scratch", scratch, 1), optional_size("memory", memory, 1)
    processes = None if processes is None else count("processes", processes, 1)
    cpus = None if cpus is None else processors("cpus", cpus)
    files, cwd = count("files", files), directory("cwd", cwd)
    uid, gid = count("uid", uid), count("gid", gid)
    rootless = os.geteuid() != 0
    if rootless:
        uid = gid = 0
    linux: dict[str, Any] = {
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
        "maskedPaths": MASKED,
        "readonlyPaths": READONLY,
        "seccomp": seccomp(),
        "rootfsPropagation": "private",  # later mounts of the host would have the host's options
    }
    if rootless:
        linux["namespaces"].append({"type": "user"})
        linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
    linux["resources"] = resources(memory, processes, cpus)
    if not rootless:
        linux["resources"]["devices"] = [{"allow": False, "access": "rwm"}]  # a user namespace allows no device nodes
    if cgroup is not None:
        linux["cgroupsPath"] = checked_cgroup("cgroup", cgroup)
    annotations = hardening(landlock, coresched)
    return {
        "ociVersion": "1.2.0",
        **({"annotations": annotations} if annotations else {}),
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
            {
                "destination": "/dev/shm",
                "type": "tmpfs",
                "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", f"size={scratch}", f"nr_inodes={SHM_INODES}"],
            },
            *[
                {"destination": inside, "type": "bind", "source": outside, "options": BIND_OPTIONS}
                for inside, outside in sources(binds).items()
            ],
        ],
        "linux": linux,
    }


def hardening(landlock: Sequence[str], coresched: bool) -> dict[str, str]:
    """The annotations that restrict a container further.

    :raises RequestError: ``landlock`` is no list of words.
    """
    found = {LANDLOCK: " ".join(words("landlock", landlock, "a list of words"))} if landlock else {}
    if coresched:
        found[CORESCHED] = "1"
    return found


def hardened(config: Mapping[str, Any] | None, landlock: Sequence[str], coresched: bool) -> Mapping[str, Any] | None:
    """The config with these annotations.

    :raises RequestError: there is no config, or it has Landlock's words already.
    """
    found = hardening(landlock, coresched)
    if not found:
        return config
    name = "landlock" if landlock else "coresched"
    if config is None:
        raise RequestError(
            f"{name}: found one for a bundle, whose config.json has annotations; expected a config", name
        )
    annotations = config.get("annotations") or {}
    if LANDLOCK in found and LANDLOCK in annotations:
        raise RequestError(f"landlock: the config has {LANDLOCK} already, expected one of the two", "landlock")
    return {**config, "annotations": {**annotations, **found}}


def sources(binds: Mapping[str, str | os.PathLike[str]] | None) -> dict[str, str]:
    """``binds`` with absolute paths of the host.

    :raises RequestError: it is no mapping, a path of the container is not absolute, or a value is no path.
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
    """``linux.resources`` for these limits. The swap limit equals the memory limit, so that there is no swap.

    :param memory: bytes.
    :param processes: processes and threads.
    :param cpus: seconds of CPU time in each second.
    """
    found: dict[str, Any] = {}
    if memory is not None:
        found["memory"] = {"limit": memory, "swap": memory}
    if processes is not None:
        found["pids"] = {"limit": processes}
    if cpus is not None:
        found["cpu"] = {"period": 100_000, "quota": max(1000, int(cpus * 100_000))}
    return found


def seccomp() -> dict[str, Any]:
    """``linux.seccomp``: a list of the system calls that a program may need, which seccomp.json beside this module has
    with its source. All others fail with EPERM. A filter cannot read the flags of clone3, so clone3 fails with ENOSYS,
    and the C library falls back to clone(2), which may not make namespaces.
    """
    profile: dict[str, Any] = json.loads(_profile())["profile"]
    return profile


@cache
def _profile() -> bytes:
    """The text of seccomp.json. Each sandbox parses it again, because the caller may change what it gets."""
    with open(os.path.join(os.path.dirname(__file__), "seccomp.json"), "rb") as file:
        return file.read()
