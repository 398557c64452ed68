"""Containers for asyncio: the same as :class:`ocirt.Container`, :class:`ocirt.Process` and :func:`ocirt.run`, awaited.

    async with ocirt.aio.Container.create(config=config, rootfs="/srv/python", stdout=ocirt.PIPE) as container:
        await container.start()
        print(await container.stdout.read())

No thread waits: the event loop watches pidfds and pipes. A task that is cancelled leaves nothing behind: it ends when
what it was doing has been brought to its end (a start, a delete) or undone (a create, a run).

This module is the source of :mod:`ocirt.container`, which hack/unasync makes from it.
"""

from __future__ import annotations

import signal as signals
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from .errors import StateError
from .failures import TimeoutExpired
from .library import lifecycle, observe
from .library.arguments import Size, optional_size
from .library.eventloop import Coming, HasPipes, Pipes, coming, drive
from .library.lifecycle import Bundle, Lifecycle, Path
from .library.limits import Limits
from .library.observe import Event, Stats
from .library.outcome import MAX_OUTPUT, encoded, result_of
from .library.runtime import Runtime
from .library.streams import DEVNULL, PIPE, Output, Stream, Streams
from .library.supervisor import Supervisor
from .library.waiting import deadline_in
from .model.request import checked_id
from .result import Result
from .state_dir import State

__all__ = ["Coming", "Container", "Process", "run"]


class Process(HasPipes):
    """A process that ``Container.exec`` has started. Leaving its ``async with`` block kills it and waits for its end.

    The tasks of one event loop may use it.

    :ivar args: its command line.
    """

    args: tuple[str, ...]

    def __init__(self, args: Sequence[str], supervisor: Supervisor, pipes: Pipes) -> None:
        self.args, self._supervisor, self._pipes = tuple(args), supervisor, pipes

    def __repr__(self) -> str:
        return f"<ocirt.aio.Process {self.pid} of {self._supervisor.id}: {' '.join(self.args)}>"

    @property
    def pid(self) -> int:
        """Its number, as the caller sees it. Signals are sent by :meth:`kill`, which cannot hit another."""
        assert self._supervisor.began is not None
        return self._supervisor.began.pid

    @property
    def pidfd(self) -> int | None:
        """A descriptor of it, ready to read once it has ended; ``None`` after :meth:`close`."""
        return self._supervisor.pidfd

    @property
    def returncode(self) -> int | None:
        """Its return code; ``None`` before :meth:`wait` has seen its end."""
        ended = self._supervisor.ended
        return None if ended is None else ended.returncode

    async def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. One that writes more to a pipe than it holds waits for a reader.

        :param timeout: seconds; ``None``: no limit. It goes on after that.
        :returns: its return code: the exit status; 128 and the signal's number if a signal has ended it.
        :raises TimeoutExpired: it has not ended by then.
        """
        end = await drive(lifecycle.wait(self._supervisor, timeout))
        return end.returncode

    def kill(self, signal: int = signals.SIGKILL) -> bool:
        """Send it a signal, by pidfd.

        :returns: False if it has ended.
        """
        return lifecycle.kill(self._supervisor, signal)

    async def close(self) -> None:
        """Kill it if it runs, wait for its end, and close the pipes."""
        self.kill()
        await drive(self._supervisor.end(None))
        self._pipes.close()
        self._supervisor.release()

    async def __aenter__(self) -> Process:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


class Container(HasPipes):
    """A container. Leaving its ``async with`` block kills and deletes it, whatever happened in it.

    Made by :meth:`create`, or found by :meth:`load`. The tasks of one event loop may use it.

    One that was made here lives no longer than this object and this process: its end, however it comes, is the
    container's, which is killed and deleted by the process that supervises it. (What shall outlive us is made by
    ``ocirt create``, and found by :meth:`load`.)

    :ivar id: its id.
    :ivar runtime: the runtime that it belongs to.
    """

    id: str
    runtime: Runtime

    def __init__(self, life: Lifecycle, pipes: Pipes) -> None:
        self._life, self._pipes, self.id, self.runtime = life, pipes, life.id, life.runtime

    def __repr__(self) -> str:
        return f"<ocirt.aio.Container {self.id}>"

    @classmethod
    @coming
    async def create(
        cls,
        bundle: Path | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        rootfs: Path | None = None,
        id: str | None = None,
        stdin: Stream = DEVNULL,
        stdout: Stream = DEVNULL,
        stderr: Stream = DEVNULL,
        pass_fds: Sequence[int] = (),
        init: bool = False,
        limits: Limits = "required",
        runtime: Runtime | None = None,
    ) -> Container:
        """Make a container, of a bundle or of a config in Python. Its program is run by :meth:`start`.

        Await it, or use it as the head of an ``async with`` block.

        :param bundle: a directory with config.json.
        :param config: what config.json would hold, as :func:`ocirt.sandbox` makes it; instead of the bundle's. No
            file is written.
        :param rootfs: the directory of its root file system, in place of the config's ``root.path``.
        :param id: letters, digits and ``_+-.``; by default one that is new.
        :param stdin: ``PIPE``, ``DEVNULL``, a descriptor or a file.
        :param stdout: the same.
        :param stderr: the same, or ``STDOUT``: where standard output goes.
        :param pass_fds: descriptors that its program gets, as 3, 4...
        :param init: put a small init before the program, which is its child then: a signal ends a program that has no
            handler for it, orphaned processes are reaped, the exit status is the program's. It is one process more.
        :param limits: of a caller without root's rights, who cannot have them everywhere: ``"required"``, what cannot be
            limited is not run; ``"best-effort"``, it is run without, and a ``RuntimeWarning`` says so.
        :param runtime: where containers are kept and by which executable they are made; by default the installed one.
        :raises ConfigError: the config is wrong, or there is none, or no root file system.
        :raises RequestError: an argument is of no use.
        :raises HostError: the host lacks what the config asks for, or may not limit it for this user.
        :raises ContainerExists: there is one of that id.
        :raises OcirtError: it cannot be made. Nothing is left of it.
        """
        found = runtime or Runtime()
        name = lifecycle.new_id() if id is None else checked_id(id)
        made, streams = Bundle(bundle, config, rootfs), Streams.open(stdin, stdout, stderr)
        life = await drive(Lifecycle.create(found, made, name, streams, pass_fds, lifecycle.Flags(init, limits)))
        pipes = Pipes()
        try:
            await pipes.open(streams)
        except BaseException:
            await drive(life.delete(True))
            raise
        return cls(life, pipes)

    @classmethod
    def load(cls, id: str, *, runtime: Runtime | None = None) -> Container:
        """The container ``id``, whoever made it.

        :param id: its id.
        :param runtime: whose it is; by default that of the command line.
        :raises NoContainer: there is none.
        :raises StateError: its state directory is broken.
        """
        return cls(Lifecycle.load(runtime or Runtime(), id), Pipes())

    # ---- its life ----

    async def start(self) -> None:
        """Run its program.

        :raises ProgramError: the program is not there or cannot be executed; the container has ended then.
        :raises WrongState: it runs already, or has ended.
        """
        await drive(self._life.start())

    async def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end of its program. One that writes more to a pipe than it holds waits for a reader.

        :param timeout: seconds; ``None``: no limit. It goes on after that.
        :returns: its exit status, 128 and the signal's number if a signal has ended it; ``None`` if it was found by
            :meth:`load` and the kernel does not tell (it does since Linux 6.15).
        :raises TimeoutExpired: it has not ended by then.
        """
        await drive(self._life.wait(timeout))
        return self.returncode

    async def kill(self, signal: int = signals.SIGKILL, *, all: bool = False) -> None:
        """Send a signal to its program, or to ``all`` of its processes.

        The first process of a pid namespace ignores every signal but SIGKILL (and SIGSTOP) for which it has installed no
        handler: SIGTERM does nothing to a ``sleep`` that is the container's program, unless it was made with ``init=True``.
        A ``RuntimeWarning`` tells where it is so at this moment.

        :param signal: its number, as ``signal.SIGTERM``.
        :param all: each process of the container gets it.
        :raises WrongState: it does not run.
        """
        await drive(self._life.kill(signal, all))

    async def pause(self) -> None:
        """Freeze its processes.

        :raises WrongState: it does not run.
        """
        await drive(self._life.pause())

    async def resume(self) -> None:
        """Let them go on.

        :raises WrongState: it is not paused.
        """
        await drive(self._life.resume())

    async def update(self, resources: Mapping[str, Any]) -> None:
        """Change its limits, all of those given or none.

        :param resources: like ``linux.resources`` of config.json: ``{"memory": {"limit": "64m"}, "pids": {"limit": 9}}``.
            Sizes are in bytes, as numbers or text with a unit.
        :raises RequestError: one of them cannot be used.
        """
        await drive(self._life.update(resources))

    async def delete(self, *, force: bool = False) -> None:
        """Remove it.

        :param force: kill it first if it runs; and that there is none is no error.
        :raises WrongState: it has not ended.
        """
        await drive(self._life.delete(force))
        self._pipes.close()

    # ---- further processes ----

    @coming
    async def exec(
        self,
        args: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | int | None = None,
        additional_gids: Iterable[int] = (),
        capabilities: Iterable[str] = (),
        no_new_privileges: bool = False,
        stdin: Stream = DEVNULL,
        stdout: Stream = DEVNULL,
        stderr: Stream = DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start a further process in it, which has been executed when this returns.

        Await it, or use it as the head of an ``async with`` block.

        :param args: the program and its arguments, as a list.
        :param cwd: its directory; by default that of the container's program, like all that follows.
        :param env: further environment variables.
        :param user: a number, or text: ``"UID"`` or ``"UID:GID"``.
        :param additional_gids: numbers of further groups.
        :param capabilities: further capabilities, as ``"CAP_KILL"``.
        :param no_new_privileges: set no_new_privs.
        :param stdin: ``PIPE``, ``DEVNULL``, a descriptor or a file.
        :param stdout: the same.
        :param stderr: the same, or ``STDOUT``.
        :param pass_fds: descriptors that it gets, as 3, 4...
        :raises RequestError: an argument is of no use.
        :raises ProgramError: the program is not there or cannot be executed.
        :raises WrongState: the container does not run, or is paused.
        """
        flags = lifecycle.exec_flags(cwd, env, user, additional_gids, capabilities, no_new_privileges)
        streams, pipes = Streams.open(stdin, stdout, stderr), Pipes()
        process = Process(args, await drive(self._life.exec(args, flags, streams, pass_fds)), pipes)
        try:
            await pipes.open(streams)
        except BaseException:
            await process.close()
            raise
        return process

    async def run(
        self,
        args: Sequence[str],
        *,
        input: bytes | str = b"",
        timeout: float | None = None,
        check: bool = False,
        max_output: Size | None = MAX_OUTPUT,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | int | None = None,
    ) -> Result:
        """Run a further process in it to its end.

        :param args: the program and its arguments, as a list.
        :param input: its standard input; text is written as UTF-8.
        :param timeout: seconds; it is killed after that. ``None``: no limit.
        :param check: raise :class:`CommandFailed` if it does not end with 0.
        :param max_output: bytes of both outputs, a number or text like ``"1m"``; it is killed if there is more.
            ``None``: no limit.
        :param cwd: its directory; by default that of the container's program.
        :param env: further environment variables.
        :param user: a number, or text: ``"UID"`` or ``"UID:GID"``; by default that of the container's program.
        :raises ProgramError: the program is not there or cannot be executed.
        :raises WrongState: the container does not run, or is paused.
        :raises TimeoutExpired: the time was up: ``stdout`` and ``stderr`` are what came until then.
        """
        flags = lifecycle.exec_flags(cwd, env, user, (), (), False)
        output = Output(optional_size("max_output", max_output))
        streams = Streams.open(PIPE, PIPE, PIPE)
        supervisor = await drive(self._life.exec(args, flags, streams, ()))
        try:
            end = await drive(lifecycle.communicate(supervisor, encoded(input), timeout, output))
        finally:
            streams.close()
            supervisor.release()
        result = result_of(args, supervisor.began, end, output)
        return result.check() if check else result

    # ---- what is known of it ----

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
        """Of its first process, as the caller sees it; 0 when there is none. Use :attr:`pidfd` to act on it."""
        return self.state.pid

    @property
    def pidfd(self) -> int | None:
        """A descriptor of its first process, ready to read once that has ended: for select, poll or an event loop of
        the caller's. It is this object's, until the container is deleted; ``None`` where it had ended before we could
        look."""
        return self._life.pidfd

    @property
    def returncode(self) -> int | None:
        """What :meth:`wait` has returned, ``None`` before."""
        ended = self._life.ended
        return None if ended is None else ended.returncode

    @property
    def oom(self) -> bool:
        """Has the kernel killed any of its processes for want of memory? Known as long as it is there; of one that
        was made here also later.

        :raises NoContainer: it was found by :meth:`load`, and has been deleted.
        """
        return observe.has_oom(self._life)

    def stats(self) -> Stats:
        """What it uses at this moment: files of the kernel are read, nothing is waited for.

        :raises HostError: it has no cgroups of its own.
        """
        return observe.stats(self.runtime.root, self.id)

    def events(self, timeout: float | None = None) -> AsyncIterator[Event]:
        """What happens to it from now on, as it happens, until its first process has ended.

        :param timeout: seconds for all of it.
        :raises StateError: it has ended.
        :raises HostError: it has no memory cgroup.
        :raises TimeoutExpired: the time was up.
        """
        watching = observe.Watching(self.runtime.root, self.id, observe.check_alive(self.id, self.pidfd))
        deadline = deadline_in(timeout)

        async def follow() -> AsyncIterator[Event]:
            try:
                while isinstance(event := await drive(watching.next(deadline)), Event):
                    yield event
                if event is False:
                    assert timeout is not None
                    raise TimeoutExpired(f"events of {self.id}", timeout)
            finally:
                watching.close()

        return follow()

    @classmethod
    def list(cls, *, runtime: Runtime | None = None) -> Sequence[Container]:
        """All containers of a runtime, by their ids; one that is broken, or goes just now, is left out.

        :param runtime: whose; by default that of the command line.
        :raises HostError: the directory of their states cannot be read.
        """
        runtime = runtime or Runtime()
        found = []
        for id in lifecycle.ids_of(runtime):
            try:
                found.append(cls.load(id, runtime=runtime))
            except StateError:
                continue
        return found

    async def __aenter__(self) -> Container:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.delete(force=True)


async def run(
    bundle: Path | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    rootfs: Path | None = None,
    id: str | None = None,
    input: bytes | str = b"",
    timeout: float | None = None,
    check: bool = False,
    max_output: Size | None = MAX_OUTPUT,
    stdout: Stream = PIPE,
    stderr: Stream = PIPE,
    pass_fds: Sequence[int] = (),
    init: bool = False,
    limits: Limits = "required",
    runtime: Runtime | None = None,
) -> Result:
    """Run a container from its creation to its removal, with one process of the executable.

    :param bundle: a directory with config.json.
    :param config: what config.json would hold, as :func:`ocirt.sandbox` makes it; instead of the bundle's. No file is
        written.
    :param rootfs: the directory of its root file system, in place of the config's ``root.path``.
    :param id: letters, digits and ``_+-.``; by default one that is new.
    :param input: its standard input; text is written as UTF-8.
    :param timeout: seconds for all of it; it is killed after that. ``None``: no limit.
    :param check: raise :class:`CommandFailed` if it does not end with 0.
    :param max_output: bytes of both outputs, a number or text like ``"1m"``; it is killed if there is more. ``None``: no
        limit.
    :param stdout: where its output goes instead of into the result: ``DEVNULL``, a descriptor or a file.
    :param stderr: the same, or ``STDOUT``: where standard output goes.
    :param pass_fds: descriptors that its program gets, as 3, 4...
    :param init: put a small init before the program, which is its child then: a signal ends a program that has no
        handler for it, orphaned processes are reaped, the exit status is the program's. It is one process more.
    :param limits: of a caller without root's rights, who cannot have them everywhere: ``"required"``, what cannot be
        limited is not run; ``"best-effort"``, it is run without, and a ``RuntimeWarning`` says so.
    :param runtime: where containers are kept and by which executable they are made; by default the installed one.
    :raises ConfigError: the config is wrong, or there is none, or no root file system.
    :raises RequestError: an argument is of no use.
    :raises HostError: the host lacks what the config asks for, or may not limit it for this user.
    :raises ProgramError: the program is not there or cannot be executed.
    :raises OcirtError: it cannot be made or started.
    :raises TimeoutExpired: the time was up: ``stdout`` and ``stderr`` are what came until then.
    :raises CommandFailed: with ``check``, it has not ended with 0.

    Whatever is raised, nothing is left of it.
    """
    runtime = runtime or Runtime()
    name = lifecycle.new_id() if id is None else checked_id(id)
    output, found = Output(optional_size("max_output", max_output)), Bundle(bundle, config, rootfs)
    streams = Streams.open(PIPE, stdout, stderr)
    begin, end = await drive(
        lifecycle.run(
            runtime, found, name, streams, pass_fds, encoded(input), timeout, output, lifecycle.Flags(init, limits)
        )
    )
    result = result_of(found.args, begin, end, output)
    return result.check() if check else result
