"""A record (docs/tracing.md): its form, in which the executable writes (core/base/trace.c), and Python's own part of it."""

import os
import time
from fcntl import LOCK_EX, LOCK_UN, flock

MAGIC = b"ocirt t1"
"""A file is a row of parts, whole pages each. A part begins with these bytes, PART numbers, and events."""
PART, EVENT = "<QII", "<IBBHQQ"
"""As the module struct has it. Of a part: the bytes that its processes have asked for, its size, the pid of the runtime.
Of an event: its size, a phase (0 not written whole, B has not ended, X has ended, i a note), a thread, errno, beginning
and duration in nanoseconds. Four texts follow, ended by NUL: kind, name, JSON path, and what was to be done. The events
of a part lie one behind the other at multiples of eight; where a process was killed at the wrong moment there are zeros.
"""
HEAD, EVENT_HEAD, ALIGNED = 24, 24, 8
"""The bytes of both, MAGIC included."""
BLOCK = os.sysconf("SC_PAGE_SIZE")
"""What this process appends to the file."""
SHOWN = 1000
"""The most bytes of a text."""
THREAD = 30
"""Python's number among the processes of a verb."""


class Recorder:
    """Writes spans. Each is in the file as soon as it begins, so that a process that dies leaves what it was doing.

    :param path: the record, which the runtime has made.
    :param started: when the runtime started this process, in nanoseconds.
    """

    def __init__(self, path: str, started: int) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()
        self._file, self._at, self._end = -1, 0, 0
        self._span: tuple[int, str, int] | None = None
        try:
            self._file, self._at = _append(path, os.getppid())
        except OSError:
            return  # a record that cannot be written must not end the verb: the launcher's spans are there
        self._end = self._at + BLOCK
        self._at += HEAD
        self._start("start", started)

    def begin(self, name: str) -> None:
        """End the present span, and begin the next one, or none if ``name`` is empty."""
        now = time.monotonic_ns() + self._offset
        if self._span:
            at, last, since = self._span
            os.pwrite(self._file, event("X", THREAD, since, now - since, "launch", last), at)
            self._span = None
        if name:
            self._start(name, now)

    def _start(self, name: str, since: int) -> None:
        data, at = event("B", THREAD, since, 0, "launch", name), self._at
        self._span = None
        if self._file >= 0 and at + len(data) <= self._end:
            os.pwrite(self._file, data, at)
            self._span = at, name, since
            self._at += len(data)


def note_error(path: str, runtime: int, message: str) -> None:
    """Record why Python ends the verb, which the runtime itself does not know.

    :param runtime: the pid of the runtime, which has made the record at ``path``.
    """
    text = message.encode("utf-8", "surrogateescape")[:SHOWN].decode("utf-8", "surrogateescape")
    try:
        _append(path, runtime, event("i", THREAD, time.time_ns(), 0, "note", "error", text=text))
    except OSError:
        return  # the caller has the error


def _append(path: str, runtime: int, events: bytes = b"") -> tuple[int, int]:
    """Append a part of one block with ``events`` to a record: its descriptor, and where the part begins.

    :raises OSError: the file cannot be written.
    """
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    flock(file, LOCK_EX)
    at = os.lseek(file, 0, os.SEEK_END)
    used = HEAD + len(events) if events else BLOCK
    head = MAGIC + _number(used, 8) + _number(BLOCK, 4) + _number(runtime, 4)
    os.write(file, (head + events).ljust(BLOCK, b"\0"))
    flock(file, LOCK_UN)
    return file, at


def event(
    phase: str,
    thread: int,
    begin: int,
    lasts: int,
    kind: str,
    name: str,
    path: str = "",
    text: str = "",
    error: int = 0,
) -> bytes:
    """An event as a record has it."""
    texts = b"".join([each.encode("utf-8", "surrogateescape") + b"\0" for each in (kind, name, path, text)])
    size = -(-(EVENT_HEAD + len(texts)) // ALIGNED) * ALIGNED
    numbers = (
        _number(size, 4),
        phase.encode(),
        _number(thread, 1),
        _number(error, 2),
        _number(begin, 8),
        _number(lasts, 8),
    )
    return (b"".join(numbers) + texts).ljust(size, b"\0")


def _number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")
