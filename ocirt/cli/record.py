"""Python's own part of a record (docs/tracing.md), in the form in which the executable writes (core/base/trace.c)."""

import os
import time
from fcntl import LOCK_EX, flock

BLOCK = os.sysconf("SC_PAGE_SIZE")
"""What this process appends to the file: whole pages, because the executable maps parts of it."""
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
            appends = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            flock(appends, LOCK_EX)
            os.write(appends, b" " * BLOCK)
            self._end = os.lseek(appends, 0, os.SEEK_CUR)
            self._at = self._end - BLOCK
            self._file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            os.close(appends)
        except OSError:
            return  # a record that cannot be written must not end the verb: the launcher's spans are there
        self._write("M", started, 0, "thread_name", "python")
        self._start("start", started)

    def begin(self, name: str) -> None:
        """End the present span, and begin the next one, or none if ``name`` is empty."""
        now = time.monotonic_ns() + self._offset
        if self._span:
            at, last, since = self._span
            os.pwrite(self._file, _line("X", since, now - since, last), at)
            self._span = None
        if name:
            self._start(name, now)

    def _start(self, name: str, since: int) -> None:
        at = self._write("B", since, 0, name)
        self._span = None if at is None else (at, name, since)

    def _write(self, phase: str, since: int, duration: int, name: str, text: str = "") -> int | None:
        """The place of the new line, ``None`` without a file."""
        line, at = _line(phase, since, duration, name, text), self._at
        if self._file < 0 or at + len(line) > self._end:
            return None
        os.pwrite(self._file, line, at)
        self._at += len(line)
        return at


def _line(phase: str, since: int, duration: int, name: str, text: str = "") -> bytes:
    begin, lasts = [f"{number // 1000}.{number % 1000:03}" for number in (since, duration)]
    return (
        f'{{"pid":{os.getppid():8},"tid":{THREAD:2},"ph":"{phase}","ts":{begin:>20},"dur":{lasts:>15},'
        f'"args":{{"errno":   0,"path":"","name":"{text}"}},"cat":"launch","name":"{name}"}},\n'
    ).encode()
