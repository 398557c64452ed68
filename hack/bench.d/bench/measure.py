"""Timing whole processes, from posix_spawn to wait4, without anything in between."""

from __future__ import annotations

import os
import re
import resource
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from . import CommandFailed

Word: TypeAlias = str | Path
"""A word of a command line."""

LIMIT = 60
"""The most seconds for a command. The alarm interrupts wait4, so that nothing polls."""


class Used:
    """What a process used.

    :ivar time: microseconds from posix_spawn to the return of wait4.
    :ivar cpu: microseconds of processor time, including the children that the process has waited for.
    :ivar peak: the most KiB of resident memory; only from :func:`metered`.
    """

    __slots__ = ("time", "cpu", "peak")

    def __init__(self, time: float, cpu: float, peak: int | None = None) -> None:
        self.time, self.cpu, self.peak = time, cpu, peak


class Spawner:
    """Starts commands with an environment of their own, without input, and with output thrown away.

    :param errors: a file for their standard error, which is quoted if a command fails.
    """

    def __init__(self, errors: Path, environment: Mapping[str, str]) -> None:
        self.errors, self.environment = str(errors), environment

    def start(self, command: list[str], output: Word = os.devnull, kept: Sequence[int] = ()) -> int:
        """Start a command.

        :param kept: descriptors that it inherits.
        :returns: its pid.
        """
        new = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), new, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, self.errors, new, 0o600),
        ]
        actions += [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in kept]
        return os.posix_spawn(command[0], command, self.environment, file_actions=actions)

    def __call__(self, *command: Word, output: Word = os.devnull) -> Used:
        """Run a command until it ends.

        :returns: :class:`Used`.
        :raises CommandFailed: the command fails, or takes more than LIMIT seconds.
        """
        words = [str(word) for word in command]
        with Alarm(words):
            begin = time.perf_counter_ns()
            pid = self.start(words, output)
            _, status, used = wait(pid)
            end = time.perf_counter_ns()
        self.check(words, status)
        return Used((end - begin) / 1000, (used.ru_utime + used.ru_stime) * 1e6)

    def check(self, command: Sequence[str], status: int) -> None:
        """:raises CommandFailed: the ``status`` of wait4 is not that of a success."""
        if status == 0:
            return
        with open(self.errors, encoding="utf-8", errors="replace") as file:
            said = file.read().strip().splitlines()
        code = os.waitstatus_to_exitcode(status)
        how = f"exit status {code}" if code >= 0 else f"signal {-code}"
        raise CommandFailed(command, f"{how}: {said[-1] if said else 'no word'}")

    def succeeds(self, *command: Word) -> bool:
        """Does a command end with status 0?"""
        words = [str(word) for word in command]
        with Alarm(words):
            _, status, _ = wait(self.start(words))
        return status == 0


def wait(pid: int) -> tuple[int, int, resource.struct_rusage]:
    """wait4. An alarm interrupts it, and ends the process as well."""
    try:
        return os.wait4(pid, 0)
    except BaseException:
        os.kill(pid, signal.SIGKILL)  # the child has not been reaped, so the pid is still its own
        os.wait4(pid, 0)
        raise


class Alarm:
    """Raises CommandFailed in the main thread if the body takes longer than LIMIT."""

    def __init__(self, command: Sequence[str], limit: float = LIMIT) -> None:
        self.command, self.limit = command, limit

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self.limit)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, *_: object) -> None:
        raise CommandFailed(self.command, f"takes more than {self.limit} seconds")


def metered(spawn: Spawner, meter: str, file: Path, *command: Word) -> Used:
    """Run a command below the program ``meter`` (meter.c), to measure its peak: the kernel counts the memory of the
    process that called execve, which must not be this Python. ``file`` gets the figures.
    """
    whole = spawn(meter, file, *command)
    with open(file, encoding="ascii") as text:
        user, system, peak, status = map(int, text.read().split())
    spawn.check([str(word) for word in command], status)
    return Used(whole.time, user + system, peak)


def run_lists(spawn: Spawner, starter: str, file: Path, lists: Sequence[Sequence[list[str]]], at_once: int) -> float:
    """Run lists of commands, each list in its order, ``at_once`` lists at a time, by the program ``starter``
    (starter.c), which reads the commands from ``file``.

    :returns: the microseconds for all of them.
    :raises CommandFailed: a command fails, or all of them take more than LIMIT seconds.
    """

    def ended(parts: Iterable[bytes]) -> bytes:
        return b"".join(part + b"\0" for part in parts)

    file.write_bytes(ended(ended(ended(map(os.fsencode, command)) for command in each) for each in lists))
    command, output = [starter, str(at_once), str(file), spawn.errors], f"{file}-output"
    with Alarm(command):
        _, status, _ = wait(spawn.start(command, output))
    with open(output, encoding="ascii") as text:
        said = [int(word) for word in text.read().split()]
    if len(said) == 3:
        spawn.check(lists[said[0]][said[1]], said[2])
    spawn.check(command, status)
    return said[0]


def traced(spawn: Spawner, strace: str, log: str, *command: Word) -> int:
    """Start a command under strace and wait for its end.

    :returns: a descriptor that is at its end once strace has ended, which is when all processes that the command left
        behind have ended.
    """
    reader, writer = os.pipe()
    words = [strace, "-D", "-f", "-q", "-o", log, *map(str, command)]
    try:
        with Alarm(words):
            _, status, _ = wait(spawn.start(words, kept=(writer,)))
    finally:
        os.close(writer)
    spawn.check(words, status)
    return reader


_CALL = re.compile(r"(\d+) +([a-z_0-9]+)\(")
_END = re.compile(r"(\d+) +\+\+\+ exited")


def count_calls(log: str) -> dict[str, int]:
    """Count system calls in the text of ``strace -f``, up to the end of the first process.

    :returns: name -> number.
    """
    calls: dict[str, int] = {}
    first = None
    for line in log.splitlines():
        pid, name = _CALL.match(line), None
        if pid:
            first, name = first or pid[1], pid[2]
            calls[name] = calls.get(name, 0) + 1
        elif (end := _END.match(line)) and end[1] == first:
            break
    return calls
