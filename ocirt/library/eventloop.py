"""How :mod:`ocirt.aio` waits: with the running event loop of asyncio. :mod:`.blocking` is its counterpart for programs
that block.
"""

from __future__ import annotations

import asyncio
import errno
import select
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import wraps
from typing import IO, Any, Generic, ParamSpec, Protocol, TypeVar

from .streams import LINE_MAX, Streams, no_pipe
from .waiting import Operation, Ready, Wait, carry_out

Value = TypeVar("Value")
Parameters = ParamSpec("Parameters")


class _Closing(Protocol):
    async def __aenter__(self) -> Any: ...

    async def __aexit__(self, *exception: object) -> None: ...


Owner = TypeVar("Owner", bound=_Closing)


class Coming(Generic[Owner]):
    """A container or a process in the making: await it, or use it as the head of an ``async with`` block."""

    def __init__(self, make: Callable[[], Awaitable[Owner]]) -> None:
        self._make = make
        self._owner: Owner | None = None

    def __await__(self) -> Generator[Any, None, Owner]:
        return self._make().__await__()

    async def __aenter__(self) -> Owner:
        self._owner = await self._make()
        return self._owner

    async def __aexit__(self, *exception: object) -> None:
        assert self._owner is not None
        await self._owner.__aexit__(*exception)


def coming(make: Callable[Parameters, Coroutine[Any, Any, Owner]]) -> Callable[Parameters, Coming[Owner]]:
    """Let callers of the coroutine function ``make`` choose between ``await`` and ``async with``."""

    @wraps(make)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Coming[Owner]:
        return Coming(lambda: make(*args, **kwargs))

    return call


async def drive(operation: Operation[Value]) -> Value:
    """Carry out an operation of the library in the running event loop."""
    return await carry_out(operation, _poll)


async def _poll(wait: Wait) -> Ready:
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()
    # Each wait has an epoll of its own: several tasks may wait for one descriptor, and for events that an event loop
    # does not know.
    with select.epoll() as epoll:
        for fd, mask in wait.fds.items():
            epoll.register(fd, mask)
        loop.add_reader(epoll.fileno(), _wake, woken)
        left = wait.left()
        timer = None if left is None else loop.call_later(left, _wake, woken)
        try:
            await woken
            return dict(epoll.poll(0))
        finally:
            loop.remove_reader(epoll.fileno())
            if timer is not None:
                timer.cancel()


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


class _Reading(asyncio.StreamReaderProtocol):
    def connection_lost(self, exc: Exception | None) -> None:
        """The kernel reports the end of a terminal as an error."""
        is_end = isinstance(exc, OSError) and exc.errno == errno.EIO
        super().connection_lost(None if is_end else exc)


class Pipes:
    """The library's ends of the pipes of a process, as streams of asyncio."""

    def __init__(self) -> None:
        self.writer: asyncio.StreamWriter | None = None
        self.readers: dict[int, asyncio.StreamReader] = {}
        self._transports: list[asyncio.BaseTransport] = []

    async def open(self, streams: Streams) -> None:
        """Take over the library's ends of the pipes."""
        loop = asyncio.get_running_loop()
        if (file := streams.file(0)) is not None:
            protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
            transport, _ = await loop.connect_write_pipe(lambda: protocol, file)
            self.writer = asyncio.StreamWriter(transport, protocol, None, loop)
            self._transports.append(transport)
        for number in (1, 2):
            if (file := streams.file(number)) is not None:
                await self._read(number, file)

    async def _read(self, number: int, file: IO[bytes]) -> None:
        reader = self.readers[number] = asyncio.StreamReader(LINE_MAX)
        protocol = _Reading(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, file)
        self._transports.append(transport)

    def close(self) -> None:
        for transport in self._transports:
            transport.close()
        self._transports.clear()


async def read_line(reader: asyncio.StreamReader) -> bytes:
    """The next line, with its end; a part of it if it is very long; empty at the end."""
    try:
        return await reader.readuntil()
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await reader.read(error.consumed or LINE_MAX)


class HasPipes:
    """The properties that give the pipes of a container or a process."""

    _pipes: Pipes

    @property
    def stdin(self) -> asyncio.StreamWriter:
        """A stream for what the process reads as its standard input.

        :raises RequestError: standard input is no pipe; ``stdin=ocirt.PIPE`` asks for one. The same holds for the
            outputs.
        """
        if self._pipes.writer is None:
            raise no_pipe(0)
        return self._pipes.writer

    @property
    def stdout(self) -> asyncio.StreamReader:
        """A stream with what the process writes to its standard output."""
        return self._reader(1)

    @property
    def stderr(self) -> asyncio.StreamReader:
        """A stream with what the process writes to its standard error."""
        return self._reader(2)

    def _reader(self, number: int) -> asyncio.StreamReader:
        if number not in self._pipes.readers:
            raise no_pipe(number)
        return self._pipes.readers[number]
