"""What the classes of :mod:`ocirt.container` have because their calls block: pipes as files, and calls that wait with
:func:`.waiting.drive`. :mod:`.eventloop` is its counterpart for asyncio.

Only blocking programs need :class:`Communicating`: with asyncio, tasks read and write at the same time.
"""

from __future__ import annotations

import os
from typing import IO

from ..descriptor import Descriptor
from ..result import Result
from . import lifecycle
from .arguments import Size, optional_size
from .outcome import MAX_OUTPUT, encoded, result_of
from .streams import LINE_MAX, Output, Streams, no_pipe
from .supervisor import Supervisor
from .waiting import deadline_in
from .waiting import drive as drive


class Pipes:
    """The library's ends of the pipes of a process, as files."""

    def __init__(self) -> None:
        self.files: list[IO[bytes] | None] = [None, None, None]

    def open(self, streams: Streams) -> None:
        """Take over the library's ends of the pipes."""
        self.files = [streams.file(number) for number in range(3)]

    def close(self) -> None:
        for file in self.files:
            if file is not None:
                _close_quietly(file)

    def give_back(self, streams: Streams) -> None:
        """Put the library's ends back into ``streams``, and close the files that had them."""
        for number, file in enumerate(self.files):
            if file is not None and not file.closed:
                if number == 0:
                    file.flush()
                streams.ours[number] = Descriptor(os.dup, file.fileno())
                file.close()
        self.files = [None, None, None]


def _close_quietly(file: IO[bytes]) -> None:
    """Close the file. Buffered input that cannot be written is lost, because the process that should read it
    has ended.
    """
    try:
        file.close()
    except BrokenPipeError:
        pass


def read_line(file: IO[bytes]) -> bytes:
    """The next line, with its end; a part of it if it is very long; empty at the end."""
    return file.readline(LINE_MAX)


class HasPipes:
    """The properties that give the pipes of a container or a process."""

    _pipes: Pipes

    @property
    def stdin(self) -> IO[bytes]:
        """A file for what the process reads as its standard input. The file is buffered: ``flush`` or ``close`` it.

        :raises RequestError: standard input is no pipe; ``stdin=ocirt.PIPE`` asks for one. The same holds for the
            outputs.
        """
        return self._file(0)

    @property
    def stdout(self) -> IO[bytes]:
        """A file with what the process writes to its standard output."""
        return self._file(1)

    @property
    def stderr(self) -> IO[bytes]:
        """A file with what the process writes to its standard error."""
        return self._file(2)

    def _file(self, number: int) -> IO[bytes]:
        file = self._pipes.files[number]
        if file is None:
            raise no_pipe(number)
        return file


class Communicating(HasPipes):
    """What a process of a blocking program has in addition."""

    args: tuple[str, ...]
    _supervisor: Supervisor

    def poll(self) -> int | None:
        """Check, without waiting, whether the process has ended.

        :returns: its return code, ``None`` if the process has not ended.
        """
        drive(self._supervisor.end(deadline_in(0)))
        ended = self._supervisor.ended
        return None if ended is None else ended.returncode

    def communicate(
        self, input: bytes | str = b"", timeout: float | None = None, max_output: Size | None = MAX_OUTPUT
    ) -> Result:
        """Write the process's input and read its outputs, if they are pipes, until it ends. Then close the
        pipes.

        :param input: the bytes to write; text is written as UTF-8.
        :param timeout: seconds, after which the process is killed. ``None``: no limit.
        :param max_output: bytes of both outputs together, a number or text like ``"1m"``. If the process writes more,
            it is killed. ``None``: no limit.
        :raises TimeoutExpired: the time was up. Its ``stdout`` and ``stderr`` have the output until then.
        """
        output = Output(optional_size("max_output", max_output))
        self._pipes.give_back(self._supervisor.streams)
        try:
            end = drive(lifecycle.communicate(self._supervisor, encoded(input), timeout, output))
        finally:
            self._supervisor.streams.close()
        return result_of(self.args, self._supervisor.began, end, output)
