"""What file systems say of the options that config.json has for them."""

import ctypes
import os
import re

from ...compile.capabilities import BITS
from ...model.text import bound
from ...plan.steps import Mount
from ...wordings import words_of
from .finding import Finding, fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .asked import Asked

TYPES = ("devpts", "mqueue", "proc", "ramfs", "sysfs", "tmpfs")
"""File systems whose options name no files, so that the kernel can read them without opening any."""
FSOPEN, FSCONFIG, CLOEXEC, SET_FLAG, SET_STRING = 430, 431, 1, 0, 1
"""The calls, whose numbers are the same on all processors, and their constants (linux/mount.h)."""
VALUE_MAX = 255
"""The bytes of a value that fsconfig(2) takes. The runtime gives longer ones to mount(2)."""
LOWER_MAX = 500
"""The lower directories that an overlay takes (OVL_MAX_STACK)."""
SEPARATOR = re.compile(r"(?<!\\):+")
"""Between lower directories. Two of them begin the layers that have only data."""


def _options(asked: "Asked") -> "Iterator[Finding]":
    """The kernel reads the options of a new file system one by one, before it makes the file system: it is asked to read
    them, and the file system is never made. It answers only those who may mount.
    """
    if not asked.host.permitted & BITS["CAP_SYS_ADMIN"]:
        return
    for step in asked.plan.sections["init"]:
        kind = bound(step.fstype) if isinstance(step, Mount) else ""
        if kind in TYPES:
            for option, words in _refused(kind, bound(step.options)):
                yield fault(f"{step.at}: {kind} refuses the option {option} ({words})", "remove or correct it")


def _refused(kind: str, options: list[str]) -> "Iterator[tuple[str, str]]":
    """The options that the kernel does not take, each with what it says of it. Nothing, if it makes no such file system."""
    libc = ctypes.CDLL(None, use_errno=True)
    context = libc.syscall(FSOPEN, kind.encode(), ctypes.c_long(CLOEXEC))
    if context < 0:
        return
    try:
        for option in options:
            name, has_value, value = option.partition("=")
            given = os.fsencode(value) if has_value else None
            if len(given or b"") > VALUE_MAX:
                continue
            command = ctypes.c_long(SET_FLAG if given is None else SET_STRING)
            if libc.syscall(FSCONFIG, ctypes.c_long(context), command, os.fsencode(name), given, ctypes.c_long(0)):
                yield option, _said(context) or words_of(ctypes.get_errno())
    finally:
        os.close(context)


def _said(context: int) -> str:
    """What the kernel has to say of the last option: a letter for how bad it is, a space, and words."""
    try:
        return os.read(context, 256).decode("utf-8", "replace").strip()[2:]
    except OSError:
        return ""


def _layers(asked: "Asked") -> "Iterator[Finding]":
    for index, mount in enumerate(asked.document.get("mounts", [])):
        if mount.get("type") != "overlay":
            continue
        given = [option.partition("=") for option in mount.get("options", [])]
        found = sum([len(SEPARATOR.split(value)) for name, _, value in given if name in ("lowerdir", "lowerdir+")])
        if found > LOWER_MAX:
            yield fault(
                f"mounts[{index}]: {found} lower directories, and an overlay takes {LOWER_MAX}", "merge some of them"
            )


CHECKS = (_options, _layers)
