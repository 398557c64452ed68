"""What a Python process with root's rights gives up before it begins, if it runs for long or acts on a config.

The process takes a name that ``ps`` shows, ends when its parent ends, and keeps only the capabilities that it needs.
python-prctl does this (``pip install ocirt[prctl]``, Debian's python3-prctl). If it is not installed, the process only
takes the name and keeps the rights of the runtime; its work is the same.

No verb on the path of a container's life imports this module.
"""

import os

from .packages import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LAST_CAPABILITY = "/proc/sys/kernel/cap_last_cap"
COMM = 15
"""Bytes of a process's name, TASK_COMM_LEN without the NUL."""


def confine(title: str, keep: tuple[str, ...] = (), *, executes: bool = False, dies: bool = True) -> bool:
    """Give up what this process does not need.

    :param title: the process's name: its whole command line, and the first 15 bytes its ``comm``.
    :param keep: the capabilities that the process needs, like ``"net_admin"``.
    :param executes: does the process execute programs that need all rights, as criu does? Then it keeps the bounding
        set, from which the kernel gives root's programs their capabilities, and does not set no_new_privs. A process of
        another user keeps all its capabilities.
    :param dies: shall the kernel kill the process when its parent ends? :func:`outlive` undoes this.
    :returns: whether python-prctl is installed, so that more than the name has changed.
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
    # The kernel removes from the ambient set what is not inheritable.
    prctl.set_caps((others, every, False), (kept, prctl.CAP_INHERITABLE, False))
    return True


def outlive() -> None:
    """Continue when the parent ends, because this process must finish or undo what it begins now."""
    prctl = _prctl()
    if prctl is not None:
        prctl.set_pdeathsig(0)


def rename(title: str) -> None:
    """Take the name ``title``, see :func:`confine`."""
    with open("/proc/self/comm", "wb", buffering=0) as file:
        file.write(title.encode()[:COMM])
    prctl = _prctl()
    if prctl is not None and os.environ:  # prctl finds the command line by the first variable, and crashes without one
        prctl.set_proctitle(title)


def _limit_bounding_set(prctl: "Any", kept: list[int]) -> None:
    with open(LAST_CAPABILITY) as file:
        last = int(file.read())
    try:
        for capability in prctl.ALL_CAPS:
            if capability <= last and capability not in kept:
                prctl.capbset_drop(capability)
    except PermissionError:
        pass  # needs CAP_SETPCAP; harmless, because this process executes no program


def _prctl() -> "Any":
    """The module of python-prctl, ``None`` if it is not installed."""
    try:
        return load("prctl")
    except ImportError:
        return None
