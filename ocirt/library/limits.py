"""Limits of a caller without root's rights: cgroups are root's to make, and a limit is not left out without a word.

Where the user's own systemd runs it makes the container's cgroup, and the limits hold. Elsewhere creating the container
fails with an error that names the limit, unless the caller has said that limits are a matter of best effort.
"""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from ..errors import HostError, OcirtError
from .arguments import wrong
from .runtime import Runtime

Limits = Literal["required", "best-effort"]
"""``required``: what cannot be limited is not run. ``best-effort``: it is run, with a ``RuntimeWarning``."""

REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS)
WAYS_OUT = (
    "this user may not make cgroups, which the limit needs: run it as root, or as a user with a systemd session on a host "
    'with cgroup v2 (loginctl enable-linger USER), or leave the limit out (None), or pass limits="best-effort", which runs it '
    "without"
)


def checked(value: Limits) -> Limits:
    """:raises RequestError: it is neither."""
    if value not in ("required", "best-effort"):
        raise wrong("limits", value, "'required' or 'best-effort'")
    return value


def asked_for(config: Mapping[str, Any]) -> list[str]:
    """The JSON paths of the limits in a config; device rules are none."""
    linux = config.get("linux")
    resources = linux.get("resources") if isinstance(linux, Mapping) else None
    return (
        []
        if not isinstance(resources, Mapping)
        else list(_leaves({name: value for name, value in resources.items() if name != "devices"}, "linux.resources"))
    )


def _leaves(value: object, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}")
    elif value is not None:
        yield path


def has_session(runtime: Runtime) -> bool:
    """Is the user's own systemd there, with cgroup v2, where it may have controllers?"""
    directory = runtime.environment.get("XDG_RUNTIME_DIR", "")
    return (
        os.path.exists("/sys/fs/cgroup/cgroup.controllers")
        and bool(directory)
        and any([os.path.exists(os.path.join(directory, name)) for name in ("systemd/private", "bus")])
    )


def options(runtime: Runtime, paths: Sequence[str], has_place: bool, limits: Limits) -> list[str]:
    """Global flags for a container with limits at these ``paths``.

    :param has_place: does the config name its cgroup?
    """
    if os.geteuid() == 0 or not paths or runtime.cgroup_manager != "cgroupfs":
        return []
    if has_session(runtime) and not has_place:
        return ["--cgroup-manager", "systemd"]
    if limits == "required":
        return ["--rootless", "false"]
    warnings.warn(
        f"{', '.join(paths)}: this user may not make cgroups: where they cannot be written the limits are not applied",
        RuntimeWarning,
        stacklevel=5,
    )
    return ["--rootless", "true"]


def explained(error: OcirtError, paths: Sequence[str]) -> OcirtError:
    """An error of a container's creation: one that names the limit, if it was for its sake that cgroups were to be made."""
    if os.geteuid() == 0 or not paths or error.path not in ("$id", "linux.cgroupsPath") or error.errno not in REFUSALS:
        return error
    told = HostError(paths[0], f"{WAYS_OUT} ({error})")
    told.errno, told.phase = error.errno, error.phase or told.phase
    return told
