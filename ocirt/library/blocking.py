"""What :mod:`ocirt.container` waits by: poll(2), in the calling thread. :mod:`.eventloop` has the same for asyncio.

:class:`Communicating` is what only a program that blocks has: with asyncio, tasks read and write at the same time.
"""

from __future__ import annotations

import os
from typing import IO

from ..result import Result
from . import lifecycle
from .arguments import Size, optional_size
from .outcome import MAX_OUTPUT, encoded, result_of
from .streams import Output, Streams, no_pipe
from .supervisor import Supervisor
from .waiting import deadline_in
from .waiting import drive as drive


class Pipes:
    """Our ends of the pipes of a process, as files."""

    def __init__(self) -> None:
        self.files: list[IO[bytes] | None] = [None, None, None]

    def open(self, streams: Streams) -> None:
        """Take over our ends of the pipes."""
        self.files = [streams.file(number) for number in range(3)]

    def close(self) -> None:
        for file in self.files:
            if file is not None:
                _close_quietly(file)

    def give_back(self, streams: Streams) -> None:
        """Put our ends back into ``streams``, out of the files that have them."""
        for number, file in enumerate(self.files):
            if file is not None and not file.closed:
                if number == 0:
                    file.flush()
                streams.ours[number] = os.dup(file.fileno())
                file.close()
        self.files = [None, None, None]


def _close_quietly(file: IO[bytes]) -> None:
    """Close it. What could not be written any more is lost with the process that was to read it."""
    try:
        file.close()
    except BrokenPipeError:
        pass


class HasPipes:
    """The properties by which a container or a process gives its pipes."""

    _pipes: Pipes

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

    def _file(self, number: int) -> IO[bytes]:
        file = self._pipes.files[number]
        if file is None:
            raise no_pipe(number)
        return file


class Communicating(HasPipes):
    """What a process has besides, where its caller blocks."""

    args: tuple[str, ...]
    _supervisor: Supervisor

    def poll(self) -> int | None:
        """Look whether it has ended: its return code, ``None`` while it has not."""
        drive(self._supervisor.end(deadline_in(0)))
        ended = self._supervisor.ended
        return None if ended is None else ended.returncode

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
        self._pipes.give_back(self._supervisor.streams)
        try:
            end = drive(lifecycle.communicate(self._supervisor, encoded(input), timeout, output))
        finally:
            self._supervisor.streams.close()
        return result_of(self.args, self._supervisor.began, end, output)
