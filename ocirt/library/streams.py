"""Standard input, output and error of the processes in a container."""

from __future__ import annotations

import fcntl
import io
import os
import select
import sys
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from errno import EIO
from inspect import iscoroutinefunction
from typing import IO, Protocol

from ..descriptor import Descriptor
from ..errors import RequestError
from .arguments import wrong
from .children import close_all
from .terminal import TerminalOutput, resize
from .waiting import Operation, Wait

PIPE = -1
"""A pipe; its other end is the object's ``stdin``, ``stdout`` or ``stderr``."""
STDOUT = -2
"""For ``stderr``: the same as ``stdout``."""
DEVNULL = -3
"""/dev/null, which is also what ``None`` means."""

CHUNK = 1 << 16
LINE_MAX = 1 << 20
"""A longer line is given to the caller in parts."""


class HasDescriptor(Protocol):
    """A file."""

    def fileno(self) -> int: ...


Stream = int | HasDescriptor | None
"""``PIPE``, ``DEVNULL`` or ``None``, ``STDOUT``, a descriptor, or a file. (The values are those of
:mod:`subprocess`.)"""


@dataclass(slots=True)
class Streams:
    """The three streams: what the process gets, and the library's ends of pipes.

    :ivar given: descriptors for the process, in the order of their numbers.
    :ivar ours: number of a stream -> the library's end of its pipe.
    :ivar master: of the terminal, if all three are one; otherwise ``None``.
    """

    given: list[int] = field(default_factory=list)
    ours: dict[int, Descriptor] = field(default_factory=dict)
    master: Descriptor | None = None
    _to_close: list[Descriptor] = field(default_factory=list)

    @classmethod
    def open(cls, *wanted: Stream) -> Streams:
        """Open the streams.

        :param wanted: standard input, output and error.
        :raises RequestError: one of them is no Stream.
        """
        streams = cls()
        for number, each in enumerate(wanted):
            streams.given.append(streams._one(number, each))
        return streams

    @classmethod
    def of_exec(cls, terminal: tuple[int, int] | None, *wanted: Stream) -> Streams:
        """The same, or a terminal of this size for the executable, which copies between it and that of the container.
        Then no stream can be another one.

        :raises RequestError: an argument cannot be used.
        """
        if terminal is None:
            return cls.open(*wanted)
        _check_free({"stdin": wanted[0], "stdout": wanted[1], "stderr": wanted[2]})
        streams = cls()
        master, theirs = streams._open_terminal(terminal)
        streams.given = [theirs] * 3
        for number in range(2):
            streams.ours[number] = Descriptor(os.dup, master)
        return streams

    @classmethod
    def of_run(cls, terminal: tuple[int, int] | None, stdout: Stream, stderr: Stream) -> Streams:
        """The same for a program whose input is known: with a terminal, its input comes through a pipe, at whose end the
        executable types the end of the input.

        :raises RequestError: an argument cannot be used.
        """
        if terminal is None:
            return cls.open(PIPE, stdout, stderr)
        _check_free({"stdout": stdout, "stderr": None if stderr == PIPE else stderr})
        streams = cls()
        streams.given.append(streams._one(0, PIPE))
        master, theirs = streams._open_terminal(terminal)
        streams.given += [theirs] * 2
        streams.ours[1] = Descriptor(os.dup, master)
        return streams

    def _open_terminal(self, size: tuple[int, int]) -> tuple[int, int]:
        """Open a terminal that changes nothing of what passes: that of the container does.

        :returns: its master, and the terminal.
        """
        self.master, theirs = Descriptor.terminal()
        self._to_close.append(theirs)
        tty.setraw(theirs.fileno())
        resize(self.master.fileno(), size)
        return self.master.fileno(), theirs.fileno()

    def _one(self, number: int, wanted: Stream) -> int:
        if wanted is None or wanted == DEVNULL:
            self._to_close.append(Descriptor(os.open, os.devnull, os.O_RDWR | os.O_CLOEXEC))
            return self._to_close[-1].fileno()
        if wanted == PIPE:
            ends = Descriptor.pipe()
            theirs, self.ours[number] = ends if number == 0 else ends[::-1]
            self._to_close.append(theirs)
            return theirs.fileno()
        if wanted == STDOUT and number == 2:
            return self.given[1]
        found = wanted if isinstance(wanted, int) else wanted.fileno()
        if found < 0:
            name = ("stdin", "stdout", "stderr")[number]
            raise RequestError(f"{name}: found {found}, expected PIPE, DEVNULL, a descriptor or a file", name)
        return found

    def given_away(self) -> None:
        """Close the descriptors that the process has got, so that the library sees the end of its pipes."""
        close_all(self._to_close)
        self._to_close.clear()

    def close(self) -> None:
        """Close all descriptors of this object: the library's ends of the pipes, and what has not been given away."""
        self.given_away()
        close_all(self.ours.values())
        self.ours.clear()
        self.master = None

    def file(self, number: int) -> IO[bytes] | None:
        """A file for the library's end of the pipe ``number``, which owns that end from now on; ``None`` if the stream
        is no pipe.
        """
        end = self.ours.pop(number, None)
        if end is None:
            return None
        if number == 0:
            return io.BufferedWriter(end.file("wb"))
        return io.BufferedReader(end.file("rb") if self.master is None else TerminalOutput(end))


def no_pipe(number: int) -> RequestError:
    """The error for a stream that is no pipe, or no longer one."""
    name = ("stdin", "stdout", "stderr")[number]
    return RequestError(
        f"{name}: found no pipe, expected {name}=ocirt.PIPE in the call that made the process (communicate "
        "closes the pipes)",
        name,
    )


def _check_free(wanted: dict[str, Stream]) -> None:
    """:raises RequestError: one of the streams is wanted elsewhere than at the terminal."""
    for name, each in wanted.items():
        if each not in (None, DEVNULL, STDOUT if name == "stderr" else PIPE):
            raise wrong(name, each, "nothing but terminal=, which is all three streams")


class Lines:
    """Calls a function with each line of the outputs, without its end. What is no UTF-8 becomes U+FFFD."""

    def __init__(self, call: Callable[[str], object]) -> None:
        """:raises RequestError: ``call`` cannot be called, or is an async function, for which nobody would wait."""
        if not callable(call) or iscoroutinefunction(call):
            raise wrong("on_output", call, "a function that is not async: it is called with each line")
        self._call, self._rest = call, {1: b"", 2: b""}

    def add(self, number: int, data: bytes) -> None:
        *lines, rest = (self._rest[number] + data).split(b"\n")
        if len(rest) > LINE_MAX:
            lines, rest = [*lines, rest], b""
        self._rest[number] = rest
        for line in lines:
            self._call(line.decode("utf-8", "replace"))

    def finish(self) -> None:
        for number, rest in self._rest.items():
            self._rest[number] = b""
            if rest:
                self._call(rest.decode("utf-8", "replace"))


@dataclass(slots=True)
class Output:
    """The content of the two outputs.

    :ivar limit: the most bytes to keep of both together; ``None``: no limit.
    :ivar lines: gets the content while it arrives.
    :ivar truncated: was there more?
    """

    limit: int | None = None
    lines: Lines | None = None
    truncated: bool = False
    parts: dict[int, list[bytes]] = field(default_factory=lambda: {1: [], 2: []})
    _size: int = 0

    def add(self, number: int, data: bytes) -> None:
        if self.limit is not None and len(data) > self.limit - self._size:
            data, self.truncated = data[: self.limit - self._size], True
        self._size += len(data)
        self.parts[number].append(data)
        if self.lines is not None:
            self.lines.add(number, data)

    def finish(self) -> None:
        """The process has ended: a last line may have no end."""
        if self.lines is not None:
            self.lines.finish()

    def of(self, number: int) -> bytes:
        return b"".join(self.parts[number])


def transfer(
    ends: dict[int, Descriptor], data: bytes, until: int, output: Output, deadline: float | None
) -> Operation[bool]:
    """Write ``data`` to standard input and read both outputs at the same time, so that the process cannot block the
    library.

    The transfer ends when the process has ended and the rest in the pipes has been read, or when the output exceeds the
    limit. It does not wait for the end of the pipes, because a process that was left behind may keep them open forever.

    :param ends: number of a stream -> the library's end of its pipe. The caller closes those that remain.
    :param until: a pidfd that becomes ready when the process ends.
    :returns: False if the deadline came first.
    """
    rest = memoryview(data)
    for each in ends.values():
        os.set_blocking(each.fileno(), False)
    if 0 in ends and not rest:
        ends.pop(0).close()
    while True:
        waited = {each.fileno(): select.POLLIN if number else select.POLLOUT for number, each in ends.items()}
        ready = yield Wait({until: select.POLLIN, **waited}, deadline)
        if not ready:
            return False
        for number, fd in [(number, each.fileno()) for number, each in ends.items()]:
            if fd in ready and number == 0:
                rest = _written(fd, rest)
                if not rest:
                    ends.pop(0).close()
            elif (fd in ready or until in ready) and not _read(fd, number, output, all=until in ready):
                ends.pop(number).close()
        if until in ready or output.truncated:
            return True


def _written(fd: int, rest: memoryview) -> memoryview:
    """What remains after writing; empty if the pipe has no reader."""
    try:
        return rest[os.write(fd, rest[:CHUNK]) :]
    except BlockingIOError:
        return rest
    except BrokenPipeError:
        return rest[:0]


def _room(fd: int) -> int:
    """The size of a pipe. A terminal has none, and needs none: only the executable, which has ended, had the other side."""
    try:
        return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    except OSError:
        return sys.maxsize


def _read(fd: int, number: int, output: Output, all: bool) -> bool:
    """Read once, or with ``all`` the content of the pipe: at most its size, because another process may still write.

    :returns: False at the end of the pipe.
    """
    left = _room(fd) if all else 1
    while left > 0 and not output.truncated:
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != EIO:  # the end of a terminal
                raise
            return False
        if not data:
            return False
        output.add(number, data)
        left -= len(data)
    return True
