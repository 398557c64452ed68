"""Limits for a caller without root's rights. The kernel lets only root make cgroups, unless the user's systemd makes
them.

The compiler decides who makes the container's cgroup (``--cgroup-manager auto``, :func:`ocirt.cgroups.choose`), and a
limit that cannot be set is an error. This module has the rest: the caller's choice to run without limits, and an error
that says what to do.
"""

from __future__ import annotations

import errno
import os
from typing import Literal

from ..errors import HostError, OcirtError
from .arguments import wrong

Limits = Literal["required", "best-effort"]
"""``required``: a container that cannot be limited does not run. ``best-effort``: it runs, with a
``RuntimeWarning``."""

REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS)
AT = "linux.resources."
"""How the JSON paths of limits begin."""
WAYS_OUT = (
    "this user may not make cgroups, which the limit needs: run it as root, or as a user with a systemd session on a host "
    'with cgroup v2 (loginctl enable-linger USER), or leave the limit out (None), or pass limits="best-effort", which runs it '
    "without"
)


def checked(value: Limits) -> Limits:
    """:raises RequestError: the value is neither of the two."""
    if value not in ("required", "best-effort"):
        raise wrong("limits", value, "'required' or 'best-effort'")
    return value


def options(limits: Limits) -> list[str]:
    """Global flags of the executable: they tell whether it runs a container without the limits that it may not set."""
    return ["--rootless", "true"] if limits == "best-effort" and os.geteuid() != 0 else []


def explained(error: OcirtError) -> OcirtError:
    """The error of a container's creation. For a limit that this user may not set, it says what to do."""
    if os.geteuid() == 0 or error.errno not in REFUSALS or not (error.path or "").startswith(AT):
        return error
    told = HostError(error.path or AT, f"{WAYS_OUT} ({error})")
    told.errno, told.phase = error.errno, error.phase or told.phase
    return told
