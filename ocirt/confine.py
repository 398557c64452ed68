"""What a Python process that runs with root's rights for a long time, or for a config, gives up before it begins.

It takes a name that ``ps`` shows, ends when its parent does, and keeps only the capabilities that it needs. This is done by
python-prctl (``pip install ocirt[prctl]``, Debian's python3-prctl). Where that is not installed the process has a name, and
otherwise the rights of the runtime that has started it: what it does is the same.

No verb on the path of a container's life imports this module.
"""

import os

from .packages import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LAST_CAPABILITY = "/proc/sys/kernel/cap_last_cap"
COMM = 15
"""Bytes of a process' name, TASK_COMM_LEN without the NUL."""


def confine(title: str, keep: tuple[str, ...] = (), *, executes: bool = False, dies: bool = True) -> bool:
    """Give up what this process does not need.

    :param title: its name: whole as its command line, the first 15 bytes as its ``comm``.
    :param keep: the capabilities that it needs, as ``"net_admin"``.
    :param executes: does it execute programs that need all rights, as criu does? Then the bounding set stays, from which
        the kernel gives root's programs their capabilities, and no_new_privs is not set. Who is not root keeps them all.
    :param dies: does the kernel kill it when its parent ends? :func:`outlive` takes that back.
    :returns: whether python-prctl is installed, and all of it but the name has been done.
    """
    rename(title)
    prctl = _prctl()
    if prctl is None:
        return False
    if dies:
        prctl.set_pdeathsig(9)
    if executes and (os.geteuid() != 0 or prctl.securebits.noroot):
        return True
    kept = [getattr(prctl, f"CAP_{name.upper()}") for name in keep]
    if not executes:
        _limit_bounding_set(prctl, kept)
        prctl.set_no_new_privs(1)
    others = [capability for capability in prctl.ALL_CAPS if capability not in kept]
    every = prctl.CAP_EFFECTIVE, prctl.CAP_PERMITTED, prctl.CAP_INHERITABLE
    # The kernel takes from the ambient set what is not inheritable.
    prctl.set_caps((others, every, False), (kept, prctl.CAP_INHERITABLE, False))
    return True


def outlive() -> None:
    """Go on when the parent ends: what this process is about to do must be finished or undone."""
    prctl = _prctl()
    if prctl is not None:
        prctl.set_pdeathsig(0)


def rename(title: str) -> None:
    """Take the name ``title``, see :func:`confine`."""
    with open("/proc/self/comm", "wb", buffering=0) as file:
        file.write(title.encode()[:COMM])
    prctl = _prctl()
    if (
        prctl is not None and os.environ
    ):  # it looks for the command line before the first variable, and crashes without one
        prctl.set_proctitle(title)


def _limit_bounding_set(prctl: "Any", kept: list[int]) -> None:
    with open(LAST_CAPABILITY) as file:
        last = int(file.read())
    try:
        for capability in prctl.ALL_CAPS:
            if capability <= last and capability not in kept:
                prctl.capbset_drop(capability)
    except PermissionError:
        pass  # only CAP_SETPCAP allows it. Nothing is lost, as this process executes no program


def _prctl() -> "Any":
    """The module of python-prctl, ``None`` where it is not installed."""
    try:
        return load("prctl")
    except ImportError:
        return None
