"""The requests of checkpoint and restore to criu, and criu's answers.

``criu swrk N`` serves one conversation (images/rpc.proto of criu) on the socket N. For checkpoint Python leads it
(:mod:`.talk`): criu stops and reads existing processes. For restore a helper leads it (ocirt/helpers/criu.py), from one step to
the next, because the restored processes become children of the executable.

The files that ocirt adds to an image directory, and the names of mounts that criu does not save itself, are those of runc, so
that each runtime can restore what the other has saved.
"""

import os
import posix

from ..errors import OcirtError, RequestError, reason
from ..model.text import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..model.config import Config

DEFAULT_IMAGES = "checkpoint"
"""The image directory in the caller's directory, if no flag names one."""
DESCRIPTORS = "descriptors.json"
"""The file of the image directory that says what the standard streams were, as /proc/PID/fd shows them."""
CONFIG_ANNOTATION = "org.criu.config"
CONFIG_FILES = ("/etc/criu/ocirt.conf", "/etc/criu/runc.conf")
"""Files of options that criu prefers to those of ocirt: it reads the first that exists, unless the annotation names
another file."""

NETWORK = 0x40000000
"""CLONE_NEWNET. criu leaves the devices of the network namespace to the runtime, as in runc."""
CGROUP_MODES = {"": 6, "soft": 3, "full": 4, "strict": 5, "ignore": 0}
LOG_LEVEL = 4
"""criu's log has everything that it does; the runtime reads the file only if something goes wrong."""


def executable(given: str | None, search: str) -> str:
    """The absolute path of criu.

    :param given: the value of ``--criu``, ``None`` without the flag.
    :param search: the directories to look in, in PATH's form.
    :raises OcirtError: criu does not exist.
    """
    name = given or "criu"
    folders = [""] if "/" in name else search.split(":")
    for folder in folders:
        path = os.path.abspath(os.path.join(folder, name))
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    if "/" in name:
        raise RequestError(f"--criu {name}: found no such executable, expected criu")
    raise OcirtError("criu: executable file not found in $PATH: install criu (https://criu.org), or name it by --criu")


def common(config: "Config", flags: "Mapping[str, Any]") -> "dict[str, Any]":
    """The members of criu's options that checkpoint and restore share.

    :param config: the container's :class:`~ocirt.model.config.Config`.
    :param flags: the flags by name, ``None`` or ``""`` for flags that are not given.
    :raises RequestError: a flag has an impossible value.
    """
    for name in flags["empty-ns"] or ():
        if name != "network":
            raise RequestError(f"--empty-ns: found {quote(name)}, expected network")
    mode = flags["manage-cgroups-mode"] or ""
    if mode not in CGROUP_MODES:
        raise RequestError(f"--manage-cgroups-mode: found {quote(mode)}, expected soft, full, strict or ignore")
    return {
        "log_level": LOG_LEVEL,
        "notify_scripts": True,
        "manage_cgroups": True,
        "manage_cgroups_mode": CGROUP_MODES[mode],
        "empty_ns": NETWORK,
        "orphan_pts_master": True,
        "config_file": _config_file(config),
        **{
            name.replace("-", "_"): bool(flags[name])
            for name in ("tcp-established", "ext-unix-sk", "shell-job", "file-locks", "auto-dedup", "lazy-pages")
        },
    }


def _config_file(config: "Config") -> str | None:
    given = config.annotation(CONFIG_ANNOTATION)
    if given is not None:
        return given.read() or None
    return next(filter(os.path.exists, CONFIG_FILES), None)


def directory(flag: str, path: str, make: bool) -> int:
    """A descriptor of the directory ``path``. If this process becomes the executable, that inherits the descriptor.

    :param make: make the directory, with its parents, if it is missing?
    :raises RequestError: the directory cannot be made or opened.
    """
    try:
        if make:
            os.makedirs(path, 0o700, exist_ok=True)
        fd = posix.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RequestError(f"--{flag} {path}: {reason(error)}") from None
    posix.set_inheritable(fd, True)
    return fd
