"""A process that was started in a container."""

from __future__ import annotations

import os
import signal as signals
from collections.abc import Sequence
from typing import IO

from .errors import RequestError
from .library import lifecycle
from .library.arguments import Size, optional_size
from .library.attendant import Attendant
from .library.report import Begin, End
from .library.streams import Output, Streams
from .library.waiting import deadline_in, drive
from .result import Result

MAX_OUTPUT = 64 << 20
"""The most bytes of output that are kept if nobody says otherwise."""


def result_of(args: Sequence[str], begin: Begin | None, end: End, output: Output) -> Result:
    """The result of a process that began and ended so; ``begin`` is ``None`` where nothing was told of it."""
    seconds = 0.0 if begin is None else (end.clock - begin.clock) / 1e9
    return Result(
        tuple(args),
        end.returncode,
        output.of(1),
        output.of(2),
        end.signal,
        end.oom_kills > 0,
        output.truncated,
        seconds,
        end.cpu_seconds,
        end.memory_peak,
    )


class Pipes:
    """Our ends of the pipes of a process, as files."""

    def __init__(self, streams: Streams) -> None:
        self._files = [streams.file(number) for number in range(3)]

    def _file(self, number: int) -> IO[bytes]:
        file = self._files[number]
        if file is None:
            raise no_pipe(number)
        return file

    @property
    def stdin(self) -> IO[bytes]:
        """A file to write what the process reads as its standard input. It is buffered: ``flush`` or ``close`` it.

        :raises RequestError: it is no pipe: ``stdin=ocirt.PIPE`` asks for one. So for the other two.
        """
        return self._file(0)

    @property
    def stdout(self) -> IO[bytes]:
        """A file to read what the process writes to its standard output."""
        return self._file(1)

    @property
    def stderr(self) -> IO[bytes]:
        """A file to read what the process writes to its standard error."""
        return self._file(2)

    def _close_pipes(self) -> None:
        for file in self._files:
            if file is not None:
                close_quietly(file)


def no_pipe(number: int) -> RequestError:
    """The error for a stream that is no pipe, or is one no more."""
    name = ("stdin", "stdout", "stderr")[number]
    return RequestError(
        f"{name}: found no pipe, expected {name}=ocirt.PIPE where the process was made (communicate "
        "closes what it has read)",
        name,
    )


class Process(Pipes):
    """A process that ``Container.exec`` has started. Leaving its ``with`` block kills it and waits for its end.

    Any thread may use it.

    :ivar args: its command line.
    """

    args: tuple[str, ...]

    def __init__(self, args: Sequence[str], attendant: Attendant) -> None:
        super().__init__(attendant.streams)
        self.args, self._attendant = tuple(args), attendant

    def __repr__(self) -> str:
        return f"<ocirt.Process {self.pid} of {self._attendant.id}: {' '.join(self.args)}>"

    @property
    def pid(self) -> int:
        """Its number, as the caller sees it. Signals are sent by :meth:`kill`, which cannot hit another."""
        assert self._attendant.began is not None
        return self._attendant.began.pid

    @property
    def pidfd(self) -> int | None:
        """A descriptor of it, ready to read once it has ended; ``None`` after :meth:`close`."""
        return self._attendant.pidfd

    @property
    def returncode(self) -> int | None:
        """As in :class:`Result`; ``None`` while it has not been seen to end, see :meth:`poll`."""
        ended = self._attendant.ended
        return None if ended is None else ended.returncode

    def poll(self) -> int | None:
        """Look whether it has ended: its return code, ``None`` while it has not."""
        drive(self._attendant.end(deadline_in(0)))
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. One that writes more to a pipe than it holds waits for a reader: see :meth:`communicate`.

        :param timeout: seconds; ``None``: no limit. It goes on after that.
        :returns: its return code.
        :raises TimeoutExpired: it has not ended by then.
        """
        return drive(lifecycle.wait(self._attendant, timeout)).returncode

    def communicate(
        self, input: bytes | str = b"", timeout: float | None = None, max_output: Size | None = MAX_OUTPUT
    ) -> Result:
        """Write its input and read its outputs, those which are pipes, until it ends; they are closed then.

        :param input: what to write; text is written as UTF-8.
        :param timeout: seconds; it is killed after that.
        :param max_output: bytes of both outputs, a number or text like ``"1m"``; it is killed if there is more.
            ``None``: no limit.
        :raises TimeoutExpired: the time was up: ``stdout`` and ``stderr`` are what came until then.
        """
        output = Output(optional_size("max_output", max_output))
        self._give_back_streams()
        try:
            end = drive(lifecycle.communicate(self._attendant, encoded(input), timeout, output))
        finally:
            self._attendant.streams.close()
        return result_of(self.args, self._attendant.began, end, output)

    def kill(self, signal: int = signals.SIGKILL) -> bool:
        """Send it a signal, by pidfd.

        :returns: False if it has ended.
        """
        return lifecycle.kill(self._attendant, signal)

    def close(self) -> None:
        """Kill it if it runs, wait for its end, and close the pipes."""
        self.kill()
        drive(self._attendant.end(None))
        self._close_pipes()
        self._attendant.release()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _give_back_streams(self) -> None:
        """Our ends of pipes, out of the files that have them."""
        for number, file in enumerate(self._files):
            if file is not None and not file.closed:
                if number == 0:
                    file.flush()
                self._attendant.streams.ours[number] = os.dup(file.fileno())
                file.close()
        self._files = [None, None, None]


def close_quietly(file: IO[bytes]) -> None:
    """Close it; what could not be written any more is lost with the process that was to read it."""
    try:
        file.close()
    except BrokenPipeError:
        pass


def encoded(input: bytes | str) -> bytes:
    return input.encode() if isinstance(input, str) else input
