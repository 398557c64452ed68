"""Containers for asyncio: the same as :class:`ocirt.Container`, :class:`ocirt.Process` and :func:`ocirt.run`, awaited.

    async with ocirt.aio.Container.create(config=config, rootfs="/srv/python", stdout=ocirt.PIPE) as container:
        await container.start()
        print(await container.stdout.read())

No thread waits: the event loop watches pidfds and pipes. A task that is cancelled leaves nothing behind: it ends when
what it was doing has been brought to its end (a start, a delete) or undone (a create, a run).
"""

from __future__ import annotations

import asyncio
import select
import signal as signals
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from .errors import StateError
from .library import lifecycle, observe
from .library.attendant import Attendant
from .library.lifecycle import Bundle, Lifecycle, Path
from .library.observe import Event, Stats
from .library.runtime import Runtime
from .library.streams import DEVNULL, PIPE, Output, Stream, Streams
from .library.waiting import Operation, Ready, Wait
from .model.request import checked_id
from .process import MAX_OUTPUT, Result, encoded, result_of
from .state import State
from .state import ids as state_ids

Value = TypeVar("Value")


class _Closing(Protocol):
    async def __aenter__(self) -> Any: ...

    async def __aexit__(self, *exception: object) -> None: ...


Owner = TypeVar("Owner", bound=_Closing)


class Coming(Generic[Owner]):
    """A container or process on its way: to be awaited, or the head of an ``async with`` block."""

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


async def drive(operation: Operation[Value]) -> Value:
    """Carry out an operation of the library in the running event loop."""
    go_on: Callable[[], Wait] = partial(next, operation)
    while True:
        try:
            while True:
                go_on = partial(operation.send, await _poll(go_on()))
        except StopIteration as stop:
            value: Value = stop.value
            return value
        except BaseException as error:
            if getattr(operation, "gi_frame", None) is None:  # it has ended by this itself
                raise
            go_on = partial(operation.throw, error)


async def _poll(wait: Wait) -> Ready:
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()
    # An epoll of its own: several tasks may wait for one descriptor, and for events that a loop knows nothing of.
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


class _Pipes:
    """Our ends of the pipes of a process, as streams of asyncio."""

    def __init__(self) -> None:
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._transports: list[asyncio.BaseTransport] = []

    async def open(self, streams: Streams) -> None:
        loop = asyncio.get_running_loop()
        if (file := streams.file(0)) is not None:
            protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader())
            transport, _ = await loop.connect_write_pipe(lambda: protocol, file)
            self.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
            self._transports.append(transport)
        self.stdout, self.stderr = await self._reader(streams, 1), await self._reader(streams, 2)

    async def _reader(self, streams: Streams, number: int) -> asyncio.StreamReader | None:
        if (file := streams.file(number)) is None:
            return None
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, file)
        self._transports.append(transport)
        return reader

    def close(self) -> None:
        for transport in self._transports:
            transport.close()
        self._transports.clear()


class Process:
    """A process that ``Container.exec`` has started, see :class:`ocirt.Process`. Leaving its ``async with`` block
    kills it.

    :ivar stdin: our end of the pipe as a stream; ``None`` where it is no pipe. The same of ``stdout``, ``stderr``.
    """

    args: tuple[str, ...]
    stdin: asyncio.StreamWriter | None
    stdout: asyncio.StreamReader | None
    stderr: asyncio.StreamReader | None

    def __init__(self, args: Sequence[str], attendant: Attendant, pipes: _Pipes) -> None:
        self.args, self._attendant, self._pipes = tuple(args), attendant, pipes
        self.stdin, self.stdout, self.stderr = pipes.stdin, pipes.stdout, pipes.stderr

    def __repr__(self) -> str:
        return f"<ocirt.aio.Process {self.pid} of {self._attendant.id}: {' '.join(self.args)}>"

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
        """Its return code; ``None`` before :meth:`wait` has seen its end."""
        ended = self._attendant.ended
        return None if ended is None else ended.returncode

    async def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        :returns: its return code.
        :raises TimeoutExpired: it has not ended by then. It goes on.
        """
        return (await drive(lifecycle.wait(self._attendant, timeout))).returncode

    def kill(self, signal: int = signals.SIGKILL) -> bool:
        """Send it a signal, by pidfd.

        :returns: False if it has ended.
        """
        return lifecycle.kill(self._attendant, signal)

    async def close(self) -> None:
        """Kill it if it runs, wait for its end, and close the pipes."""
        self.kill()
        await drive(self._attendant.end(None))
        self._pipes.close()
        self._attendant.release()

    async def __aenter__(self) -> Process:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


class Container:
    """A container, see :class:`ocirt.Container`. Leaving its ``async with`` block kills and deletes it.

    :ivar id: its id.
    :ivar runtime: the runtime that it belongs to.
    :ivar stdin: our end of the pipe as a stream; ``None`` where it is no pipe. The same of ``stdout``, ``stderr``.
    """

    id: str
    runtime: Runtime
    stdin: asyncio.StreamWriter | None
    stdout: asyncio.StreamReader | None
    stderr: asyncio.StreamReader | None

    def __init__(self, life: Lifecycle, pipes: _Pipes) -> None:
        self._life, self._pipes, self.id, self.runtime = life, pipes, life.id, life.runtime
        self.stdin, self.stdout, self.stderr = pipes.stdin, pipes.stdout, pipes.stderr

    def __repr__(self) -> str:
        return f"<ocirt.aio.Container {self.id}>"

    @classmethod
    def create(cls, bundle: Path | None = None, *, config: Mapping[str, Any] | None = None, rootfs: Path | None = None,
               id: str | None = None, stdin: Stream = DEVNULL, stdout: Stream = DEVNULL, stderr: Stream = DEVNULL,
               pass_fds: Sequence[int] = (), runtime: Runtime | None = None) -> Coming[Container]:
        """Make a container; parameters and errors are those of :meth:`ocirt.Container.create`.

        :returns: what is to be awaited, or the head of an ``async with`` block.
        """
        async def make() -> Container:
            found = runtime or Runtime()
            name = lifecycle.new_id() if id is None else checked_id(id)
            made, streams = Bundle(bundle, config, rootfs), Streams.open(stdin, stdout, stderr)
            life = await drive(Lifecycle.create(found, made, name, streams, pass_fds))
            pipes = _Pipes()
            try:
                await pipes.open(streams)
            except BaseException:
                await drive(life.delete(True))
                raise
            return cls(life, pipes)
        return Coming(make)

    @classmethod
    def load(cls, id: str, *, runtime: Runtime | None = None) -> Container:
        """The container ``id``, whoever made it.

        :raises NoContainer: there is none.
        :raises StateError: its state directory is broken.
        """
        return cls(Lifecycle.load(runtime or Runtime(), id), _Pipes())

    async def start(self) -> None:
        """Run its program; see :meth:`ocirt.Container.start`."""
        await drive(self._life.start())

    async def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end of its program; see :meth:`ocirt.Container.wait`."""
        await drive(self._life.wait(timeout))
        return self.returncode

    async def kill(self, signal: int = signals.SIGKILL, *, all: bool = False) -> None:
        """Send a signal to its program, or to ``all`` of its processes; see :meth:`ocirt.Container.kill`."""
        await drive(self._life.kill(signal, all))

    async def pause(self) -> None:
        """Freeze its processes."""
        await drive(self._life.pause())

    async def resume(self) -> None:
        """Let them go on."""
        await drive(self._life.resume())

    async def update(self, resources: Mapping[str, Any]) -> None:
        """Change its limits; see :meth:`ocirt.Container.update`."""
        await drive(self._life.update(resources))

    async def delete(self, *, force: bool = False) -> None:
        """Remove it; see :meth:`ocirt.Container.delete`."""
        await drive(self._life.delete(force))
        self._pipes.close()

    def exec(self, args: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None,
             user: str | int | None = None, additional_gids: Iterable[int] = (), capabilities: Iterable[str] = (),
             no_new_privileges: bool = False, stdin: Stream = DEVNULL, stdout: Stream = DEVNULL,
             stderr: Stream = DEVNULL, pass_fds: Sequence[int] = ()) -> Coming[Process]:
        """Start a further process in it; parameters and errors are those of :meth:`ocirt.Container.exec`.

        :returns: what is to be awaited, or the head of an ``async with`` block.
        """
        flags = lifecycle.exec_flags(cwd, env, user, additional_gids, capabilities, no_new_privileges)

        async def make() -> Process:
            streams, pipes = Streams.open(stdin, stdout, stderr), _Pipes()
            process = Process(args, await drive(self._life.exec(args, flags, streams, pass_fds)), pipes)
            try:
                await pipes.open(streams)
            except BaseException:
                await process.close()
                raise
            process.stdin, process.stdout, process.stderr = pipes.stdin, pipes.stdout, pipes.stderr
            return process
        return Coming(make)

    async def run(self, args: Sequence[str], *, input: bytes | str = b"", timeout: float | None = None,
                  check: bool = False, max_output: int | None = MAX_OUTPUT, cwd: str | None = None,
                  env: Mapping[str, str] | None = None, user: str | int | None = None) -> Result:
        """Run a further process in it to its end; see :meth:`ocirt.Container.run`."""
        streams, output = Streams.open(PIPE, PIPE, PIPE), Output(max_output)
        flags = lifecycle.exec_flags(cwd, env, user, (), (), False)
        attendant = await drive(self._life.exec(args, flags, streams, ()))
        try:
            end = await drive(lifecycle.communicate(attendant, encoded(input), timeout, output))
        finally:
            streams.close()
            attendant.release()
        result = result_of(args, end, output)
        return result.check() if check else result

    @property
    def state(self) -> State:
        """What it is at this moment.

        :raises NoContainer: it has been deleted.
        """
        return self._life.state()

    @property
    def status(self) -> str:
        """``creating``, ``created``, ``running``, ``paused`` or ``stopped``."""
        return self.state.status

    @property
    def pid(self) -> int:
        """Of its first process, as the caller sees it; 0 when there is none."""
        return self.state.pid

    @property
    def pidfd(self) -> int | None:
        """A descriptor of its first process; see :attr:`ocirt.Container.pidfd`."""
        return self._life.pidfd

    @property
    def returncode(self) -> int | None:
        """What :meth:`wait` has returned, ``None`` before."""
        ended = self._life.ended
        return None if ended is None else ended.returncode

    @property
    def oom(self) -> bool:
        """Has the kernel killed any of its processes for want of memory? See :attr:`ocirt.Container.oom`."""
        return observe.has_oom(self._life)

    def stats(self) -> Stats:
        """What it uses at this moment: files of the kernel are read, nothing is waited for."""
        return observe.stats(self.runtime.root, self.id)

    async def events(self) -> AsyncIterator[Event]:
        """What happens to it from now on, as it happens, until its first process has ended; see
        :meth:`ocirt.Container.events`. A time-out is asyncio's to give."""
        watching = observe.Watching(self.runtime.root, self.id, observe.check_alive(self.id, self.pidfd))
        try:
            while isinstance(event := await drive(watching.next()), Event):
                yield event
        finally:
            watching.close()

    @classmethod
    def list(cls, *, runtime: Runtime | None = None) -> Sequence[Container]:
        """All containers of the runtime, by their ids; one that is broken, or goes just now, is left out."""
        found, runtime = [], runtime or Runtime()
        for id in state_ids(runtime.root):
            try:
                found.append(cls.load(id, runtime=runtime))
            except StateError:
                continue
        return found

    async def __aenter__(self) -> Container:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.delete(force=True)


async def run(bundle: Path | None = None, *, config: Mapping[str, Any] | None = None, rootfs: Path | None = None,
              id: str | None = None, input: bytes | str = b"", timeout: float | None = None, check: bool = False,
              max_output: int | None = MAX_OUTPUT, stdout: Stream = PIPE, stderr: Stream = PIPE,
              pass_fds: Sequence[int] = (), runtime: Runtime | None = None) -> Result:
    """Run a container from its creation to its removal; parameters and errors are those of :func:`ocirt.run`."""
    runtime = runtime or Runtime()
    name = lifecycle.new_id() if id is None else checked_id(id)
    output, found = Output(max_output), Bundle(bundle, config, rootfs)
    streams = Streams.open(PIPE, stdout, stderr)
    end = await drive(lifecycle.run(runtime, found, name, streams, pass_fds, encoded(input), timeout, output))
    result = result_of(found.args, end, output)
    return result.check() if check else result
