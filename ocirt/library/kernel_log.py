"""What the kernel's log says of a process that has ended."""

from __future__ import annotations

import os
import re

SECCOMP = re.compile(r"type=1326 .*\bpid=(\d+) .*\bsig=31 arch=([0-9a-f]+) syscall=(\d+)")
"""A line of the kernel's log about a process that a seccomp filter has killed (audit_seccomp in the kernel)."""


def forbidden_call(pid: int) -> str:
    """The system call for which the kernel's log says that a filter has killed ``pid``; empty if the log does not say
    so, or may not be read.
    """
    from ..compile.libseccomp import name_of

    found = ""
    try:
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        while record := _record(log):
            match = SECCOMP.search(record)
            if match and int(match[1]) == pid:
                found = name_of(int(match[2], 16), int(match[3])) or match[3]
    finally:
        os.close(log)
    return found


def _record(log: int) -> str:
    """The next record of the kernel's log; a blank for one that has been overwritten; empty at the end."""
    try:
        return os.read(log, 8192).decode("utf-8", "replace")
    except BrokenPipeError:
        return " "
    except BlockingIOError:
        return ""
