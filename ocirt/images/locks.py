"""Locks of flock(2), which end with their process, and are waited for only so long."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..failures import ImageError

PAUSE_MAX = 0.1
"""Seconds between two looks at a lock."""
COMMAND_MAX = 80
"""Characters of a command line in a message."""


@contextmanager
def locked(path: str, kind: int, seconds: float) -> Iterator[int]:
    """Hold a lock. The value is its descriptor.

    :param seconds: how long to wait for it.
    :raises ImageError: somebody else has held it for so long.
    """
    fd = _opened(path)
    try:
        _wait(fd, path, kind, time.monotonic() + seconds, seconds)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def locked_at_once(path: str) -> Iterator[bool]:
    """Hold a lock alone, if nobody else holds it. The value says whether this is so."""
    fd = _opened(path)
    try:
        yield _take(fd, fcntl.LOCK_EX)
    finally:
        os.close(fd)


def _opened(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _take(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(fd: int, path: str, kind: int, end: float, seconds: float) -> None:
    pause = 0.001
    while not _take(fd, kind):
        if time.monotonic() > end:
            who = ", ".join(holders(fd)) or "another process, which /proc/locks does not show"
            raise ImageError(
                f"{path}: waited {seconds:g} s for the lock, which belongs to {who}; try again after its end"
            )
        time.sleep(pause)
        pause = min(2 * pause, PAUSE_MAX)


def holders(fd: int) -> list[str]:
    """The processes that hold the lock of a file, as far as the kernel shows them here."""
    status = os.fstat(fd)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        with open("/proc/locks") as file:
            rows = [line.split() for line in file]
    except OSError:
        return []
    # "1: FLOCK ADVISORY WRITE 4711 fe:00:1234 0 EOF"; a line of a process that waits has "->" after the number.
    return [_named(row[4]) for row in rows if row[1] == "FLOCK" and row[5] == place and int(row[4]) > 0]


def _named(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(4 * COMMAND_MAX).decode("utf-8", "replace").replace("\0", " ").strip()
    except OSError:
        return f"process {pid}"
    shown = "".join([each if each.isprintable() else "?" for each in words])[:COMMAND_MAX]
    return f"process {pid} ({shown})"
