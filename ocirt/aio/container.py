"""Containers for asyncio. This module is the source of :mod:`ocirt.container`, which hack/unasync generates from it."""

from __future__ import annotations

import signal as signals
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from ..errors import RequestError, StateError
from ..failures import TimeoutExpired
from ..library import connection, lifecycle, network, observe
from ..library.arguments import Size, optional_size, size
from ..library.controls import Controls
from ..library.eventloop import Coming, HasPipes, Pipes, coming, drive, read_line
from ..library.lifecycle import Bundle, Lifecycle, Path
from ..library.limits import Limits
from ..library.network import Networking
from ..library.observe import Event, Stats
from ..library.outcome import MAX_OUTPUT, encoded, result_of
from ..library.program import Program, User
from ..library.runtime import Runtime
from ..library.sandbox import hardened
from ..library.streams import DEVNULL, PIPE, Output, Stream, Streams
from ..library.supervisor import Supervisor
from ..library.terminal import Terminal
from ..library.waiting import deadline_in
from ..model.request import checked_id
from ..result import Result
from ..state_dir import State

if TYPE_CHECKING:  # the modules of images are imported when they are used
    from ..images.compress import Compression
    from ..images.image import Image
    from ..images.overlay import Change
    from ..images.store import Store

__all__ = ["Coming", "Container", "Process", "run"]


class Process(Controls, HasPipes):
    """A process that ``Container.exec`` has started. Leaving its ``with`` block kills the process and waits for its
    end.

    The tasks of one event loop may use it.

    :ivar args: the command line of the process.
    """

    args: tuple[str, ...]

    def __init__(self, args: Sequence[str], supervisor: Supervisor, pipes: Pipes) -> None:
        self.args, self._supervisor, self._pipes = tuple(args), supervisor, pipes

    def __repr__(self) -> str:
        return f"<ocirt.aio.Process {self.pid} of {self._supervisor.id}: {' '.join(self.args)}>"

    @property
    def pid(self) -> int:
        """The pid in the caller's pid namespace. To send a signal use :meth:`kill`, which cannot hit another process."""
        assert self._supervisor.began is not None
        return self._supervisor.began.pid

    @property
    def pidfd(self) -> int | None:
        """A descriptor of the process, ready to read once the process has ended; ``None`` after :meth:`close`."""
        return self._supervisor.pidfd

    @property
    def returncode(self) -> int | None:
        """The return code of the process; ``None`` until :meth:`wait` has seen its end."""
        ended = self._supervisor.ended
        return None if ended is None else ended.returncode

    async def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process. If the process writes more to a pipe than the pipe holds, it waits for a
        reader.

        :param timeout: seconds, after which the process continues to run. ``None``: no limit.
        :returns: its return code: the exit status, or 128 and the signal's number if a signal has ended the process.
        :raises TimeoutExpired: the process has not ended in time.
        """
        end = await drive(lifecycle.wait(self._supervisor, timeout))
        return end.returncode

    async def lines(self) -> AsyncIterator[str]:
        """The lines of the standard output, without their ends, as they arrive. What is no UTF-8 becomes U+FFFD, and a line
        of more than a MiB comes in parts.
        """
        while line := await read_line(self.stdout):
            yield self._text(line)

    async def close(self) -> None:
        """Kill the process if it runs, wait for its end, and close the pipes."""
        self.kill()
        await drive(self._supervisor.end(None))
        self._pipes.close()
        self._supervisor.streams.close()
        self._supervisor.release()

    async def __aenter__(self) -> Process:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


class Container(HasPipes):
    """A container. Leaving its ``with`` block kills and deletes the container, whatever happened in the block.

    :meth:`create` makes a container, :meth:`load` finds one. The tasks of one event loop may use it.

    A container that :meth:`create` has made lives no longer than this object and this process. When either ends, for
    whatever reason, the supervisor kills and deletes the container. (To outlive this process, a container must be made
    by ``ocirt create`` and found by :meth:`load`.)

    :ivar id: the id of the container.
    :ivar runtime: the runtime that the container belongs to.
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
        late: bool = False,
        net: Networking | None = None,
        landlock: Sequence[str] = (),
        coresched: bool = False,
        runtime: Runtime | None = None,
    ) -> Container:
        """Make a container from a bundle or a config. :meth:`start` runs its program.

        Await it, or use it as the head of an ``async with`` block.

        :param bundle: a directory with config.json.
        :param config: the content of config.json as a dict, like that of :func:`ocirt.sandbox`, instead of a bundle.
            The library writes no file.
        :param rootfs: the directory of the root file system, instead of the config's ``root.path``.
        :param id: letters, digits and ``_+-.``; by default a new id.
        :param stdin: ``PIPE``, ``DEVNULL``, a descriptor or a file.
        :param stdout: the same.
        :param stderr: the same, or ``STDOUT``: the same as standard output.
        :param pass_fds: descriptors that the program gets as 3, 4...
        :param init: run the program as the child of a small init: a signal ends the program even without a handler, the
            init reaps orphaned processes, and the exit status is the program's. This costs one more process.
        :param limits: for a caller without root's rights, who cannot set limits on every host. ``"required"``: a
            container that cannot be limited does not run; ``"best-effort"``: it runs, and a ``RuntimeWarning`` says so.
        :param late: let :meth:`start` bring the program and its standard streams.
        :param net: ``"none"``: only a loopback of its own; ``"host"``: the host's network; or :class:`ocirt.Net`, which
            says what the container reaches. ``None``: what the config says.
        :param landlock: as for :func:`ocirt.sandbox`.
        :param coresched: as for :func:`ocirt.sandbox`.
        :param runtime: the executable, and where it keeps containers; by default the installed one.
        :raises ConfigError: the config is wrong or missing, or the root file system is missing.
        :raises RequestError: an argument cannot be used.
        :raises HostError: the host lacks what the config asks for, or may not limit the container for this user.
        :raises ContainerExists: a container with that id exists.
        :raises OcirtError: the container cannot be made. Nothing of it remains.
        """
        found = runtime or Runtime()
        name = lifecycle.new_id() if id is None else checked_id(id)
        if late and PIPE in (stdin, stdout, stderr):
            raise RequestError(
                "late: found a stream that is PIPE, expected it in the call of start, which brings streams"
            )
        config = hardened(config, landlock, coresched)
        config = config if net is None else network.applied(net, config)
        made, streams = Bundle(bundle, config, rootfs), Streams.open(stdin, stdout, stderr)
        flags = lifecycle.Flags(init, limits, late)
        life = await drive(connection.create(net, found, made, name, streams, pass_fds, flags))
        pipes = Pipes()
        try:
            await pipes.open(streams)
        except BaseException:
            await drive(life.delete(True))
            raise
        return cls(life, pipes)

    @classmethod
    def load(cls, id: str, *, runtime: Runtime | None = None) -> Container:
        """Find an existing container, whoever made it.

        :param id: the id of the container.
        :param runtime: the runtime of the container; by default that of the command line.
        :raises NoContainer: the container does not exist.
        :raises StateError: its state directory is broken.
        """
        return cls(Lifecycle.load(runtime or Runtime(), id), Pipes())

    # ---- the life of the container ----

    async def start(
        self,
        args: Sequence[str] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: Stream = DEVNULL,
        stdout: Stream = DEVNULL,
        stderr: Stream = DEVNULL,
    ) -> None:
        """Run the container's program. The arguments are for a container that was created with ``late=True``, which
        needs ``args``.

        :param args: the program and its arguments, as a list.
        :param env: further environment variables.
        :param cwd: the working directory; by default that of the config.
        :param stdin: ``PIPE``, ``DEVNULL``, a descriptor or a file.
        :param stdout: the same.
        :param stderr: the same, or ``STDOUT``.
        :raises RequestError: an argument cannot be used.
        :raises ProgramError: the program does not exist or cannot be executed. The container has then ended.
        :raises WrongState: the program runs already, or has ended; or only one of ``late`` and ``args`` was given.
        """
        if args is None:
            if env is not None or cwd is not None or (stdin, stdout, stderr) != (DEVNULL, DEVNULL, DEVNULL):
                raise RequestError("args: found none, expected the program to which the other arguments belong", "args")
            await drive(self._life.start())
            return
        program, streams = Program.of(args, cwd, env), Streams.open(stdin, stdout, stderr)
        await drive(self._life.start(program, streams))
        await self._pipes.open(streams)

    async def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end of the program. If the program writes more to a pipe than the pipe holds, it waits for a
        reader.

        :param timeout: seconds, after which the program continues to run. ``None``: no limit.
        :returns: its exit status, or 128 and the signal's number if a signal has ended it; ``None`` if :meth:`load`
            found the container and the kernel does not tell (it does since Linux 6.15).
        :raises TimeoutExpired: the program has not ended in time.
        """
        await drive(self._life.wait(timeout))
        return self.returncode

    async def kill(self, signal: int = signals.SIGKILL, *, all: bool = False) -> None:
        """Send a signal to the program, or to ``all`` processes of the container.

        The kernel drops a signal for the first process of a pid namespace if that has no handler for the signal, except
        SIGKILL and SIGSTOP: SIGTERM does nothing to a ``sleep`` that is the container's program, unless the container
        was made with ``init=True``. A ``RuntimeWarning`` says if this is so at the moment of the call.

        :param signal: its number, like ``signal.SIGTERM``.
        :param all: send it to each process of the container.
        :raises WrongState: the container does not run.
        """
        await drive(self._life.kill(signal, all))

    async def pause(self) -> None:
        """Freeze the processes of the container.

        :raises WrongState: the container does not run.
        """
        await drive(self._life.pause())

    async def resume(self) -> None:
        """Let the processes of the container continue.

        :raises WrongState: the container is not paused.
        """
        await drive(self._life.resume())

    async def update(self, resources: Mapping[str, Any]) -> None:
        """Change the container's limits: all that are given, or none.

        :param resources: like ``linux.resources`` of config.json: ``{"memory": {"limit": "64m"}, "pids": {"limit":
            9}}``. Sizes are in bytes, as numbers or text with a unit.
        :raises RequestError: a limit cannot be used.
        """
        await drive(self._life.update(resources))

    async def delete(self, *, force: bool = False) -> None:
        """Remove the container.

        :param force: kill the container first if it runs, and accept that it does not exist.
        :raises WrongState: the container has not ended.
        """
        await drive(self._life.delete(force))
        self._pipes.close()

    async def denied(self) -> tuple[str, ...]:
        """What the container has wanted to reach so far and may not, as :class:`ocirt.Net` writes it; empty if it was not
        created with one.

        :raises NoContainer: the container has been deleted.
        """
        return await drive(self._life.refused())

    # ---- further processes ----

    @coming
    async def exec(
        self,
        args: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: User | None = None,
        additional_gids: Iterable[int] = (),
        capabilities: Iterable[str] = (),
        no_new_privileges: bool = False,
        stdin: Stream = DEVNULL,
        stdout: Stream = DEVNULL,
        stderr: Stream = DEVNULL,
        terminal: Terminal = False,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start a further process in the container. Its program has been executed when this returns.

        Await it, or use it as the head of an ``async with`` block.

        :param args: the program and its arguments, as a list.
        :param cwd: the working directory; this and the following arguments are by default those of the container's
            program.
        :param env: further environment variables.
        :param user: the number of the user, or of user and group: ``1000``, ``(1000, 100)`` or ``"1000:100"``.
        :param additional_gids: numbers of further groups.
        :param capabilities: further capabilities, like ``"CAP_KILL"``.
        :param no_new_privileges: set no_new_privs.
        :param stdin: ``PIPE``, ``DEVNULL``, a descriptor or a file.
        :param stdout: the same.
        :param stderr: the same, or ``STDOUT``.
        :param terminal: a terminal instead, ``True`` or its rows and columns, ``(24, 80)``: ``stdin`` is what is typed
            there, ``stdout`` what is printed. No other streams can be given with it. The container must have a
            devpts at /dev/pts.
        :param pass_fds: descriptors that the process gets as 3, 4...
        :raises RequestError: an argument cannot be used.
        :raises ProgramError: the program does not exist or cannot be executed.
        :raises WrongState: the container does not run, or is paused.
        """
        if self._life.network is not None:
            network.check_harmless("capabilities", capabilities := list(capabilities))
        program = Program.of(args, cwd, env, user, terminal)
        flags = lifecycle.exec_flags(additional_gids, capabilities, no_new_privileges)
        streams, pipes = Streams.of_exec(program.terminal, stdin, stdout, stderr), Pipes()
        process = Process(args, await drive(self._life.exec(program, flags, streams, pass_fds)), pipes)
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
        user: User | None = None,
        stdout: Stream = PIPE,
        stderr: Stream = PIPE,
        terminal: Terminal = False,
    ) -> Result:
        """Run a further process in the container until it ends.

        :param args: the program and its arguments, as a list.
        :param input: the standard input; text is written as UTF-8.
        :param timeout: seconds, after which the process is killed. ``None``: no limit.
        :param check: raise :class:`CommandFailed` if the process does not end with 0.
        :param max_output: bytes of both outputs together, a number or text like ``"1m"``. If the process writes more,
            it is killed. ``None``: no limit.
        :param cwd: the working directory; by default that of the container's program.
        :param env: further environment variables.
        :param user: the number of the user, or of user and group: ``1000``, ``(1000, 100)`` or ``"1000:100"``; by default
            the user of the container's program.
        :param stdout: where the output goes instead of into the result: ``DEVNULL``, a descriptor or a file.
        :param stderr: the same, or ``STDOUT``.
        :param terminal: a terminal instead of these streams, as for :meth:`exec`: ``input`` is typed there, then its end.
        :raises RequestError: an argument cannot be used.
        :raises ProgramError: the program does not exist or cannot be executed.
        :raises WrongState: the container does not run, or is paused.
        :raises TimeoutExpired: the time was up. Its ``stdout`` and ``stderr`` have the output until then.
        """
        output = Output(optional_size("max_output", max_output))
        program = Program.of(args, cwd, env, user, terminal)
        streams = Streams.of_run(program.terminal, stdout, stderr)
        result = await self._run(output, program, input, timeout, streams)
        return result.check() if check else result

    async def _run(
        self, output: Output, program: Program, input: bytes | str, timeout: float | None, streams: Streams
    ) -> Result:
        data, _ = encoded(input), deadline_in(timeout)  # what is wrong is an error before the process runs
        supervisor = await drive(self._life.exec(program, (), streams, ()))
        try:
            end = await drive(lifecycle.communicate(supervisor, data, timeout, output))
        finally:
            streams.close()
            supervisor.release()
        return result_of(program.args, supervisor.began, end, output, await self.denied())

    # ---- what it has written ----

    async def commit(
        self,
        image: str,
        *,
        message: str = "",
        author: str = "",
        changes: Sequence[str] = (),
        compression: Compression = "gzip",
        timestamp: int | None = None,
        pause: bool = True,
        store: Store | Path | None = None,
        max_size: Size | None = None,
    ) -> Image:
        """Make an image of the container: its own image, and a layer of what the container has written.

        :param image: the name of the new image.
        :param message: a comment in its history.
        :param author: who has made it.
        :param changes: instructions of a Dockerfile for its config: ``'CMD ["python3"]'``, ``"ENV LANG=C.UTF-8"``.
        :param compression: of the layer: ``"gzip"``, ``"zstd"`` (needs the package zstandard) or ``"none"``.
        :param timestamp: the time of the image in seconds since the epoch; by default now. Files that are newer get
            this time too, so that the same change always gives the same image.
        :param pause: freeze the container meanwhile, if it runs.
        :param store: the content store with the container's image, or its directory; by default that of the command
            line.
        :param max_size: the most bytes of the layer, a number or text like ``"4g"``; by default 64 GiB.
        :raises StateError: the container has not been made from an image of the store.
        :raises ImageError: a layer cannot have one of the files, or the store cannot be written.
        """
        from ..images import operations, unpack

        limit = unpack.SIZE_MAX if max_size is None else size("max_size", max_size)
        return await drive(
            operations.commit(
                self._life,
                image,
                pause,
                store=operations.store_of(store),
                message=message,
                author=author,
                changes=changes,
                compression=compression,
                timestamp=timestamp,
                max_size=limit,
            )
        )

    async def changes(self, *, pause: bool = False) -> list[Change]:
        """What the container has added, changed and removed in its root, in the order of the paths.

        :param pause: freeze the container meanwhile, if it runs.
        :raises StateError: its root is no overlay that ocirt mounts, so that its changes are not apart.
        """
        from ..images import operations

        return await drive(operations.changes(self._life, pause))

    async def export(self, file: IO[bytes], *, pause: bool = False) -> None:
        """Write the whole root of the container as a tar archive, without what is mounted in it.

        :param file: gets the archive.
        :param pause: freeze the container meanwhile, if it runs.
        """
        from ..images import operations

        await drive(operations.export(self._life, file, pause))

    # ---- the state of the container ----

    @property
    def state(self) -> State:
        """The state of the container at this moment.

        :raises NoContainer: the container has been deleted.
        """
        return self._life.state()

    @property
    def status(self) -> str:
        """``creating``, ``created``, ``running``, ``paused`` or ``stopped``."""
        return self.state.status

    @property
    def pid(self) -> int:
        """The pid of the container's first process in the caller's pid namespace; 0 if that has ended. To act on it use
        :attr:`pidfd`.
        """
        return self.state.pid

    @property
    def pidfd(self) -> int | None:
        """A descriptor of the container's first process, ready to read once that has ended: for select, poll or an
        event loop of the caller's. This object owns the descriptor until the container is deleted. ``None`` if the
        process had already ended.
        """
        return self._life.pidfd

    @property
    def returncode(self) -> int | None:
        """What :meth:`wait` has returned; ``None`` before."""
        ended = self._life.ended
        return None if ended is None else ended.returncode

    @property
    def oom(self) -> bool:
        """Has the kernel killed any process of the container because memory ran out? The answer is available while the
        container exists, and after that for a container that :meth:`create` made.

        :raises NoContainer: :meth:`load` found the container, and it has been deleted.
        """
        return observe.has_oom(self._life)

    def stats(self) -> Stats:
        """What the container uses at this moment. The call reads files of the kernel, and does not wait.

        :raises HostError: the container has no cgroups of its own.
        """
        return observe.stats(self.runtime.root, self.id)

    def events(self, timeout: float | None = None) -> AsyncIterator[Event]:
        """The events of the container from now on, as they happen, until its first process has ended.

        :param timeout: seconds for all events.
        :raises StateError: the first process has ended.
        :raises HostError: the container has no memory cgroup.
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
        """All containers of a runtime, in the order of their ids. Broken containers, and those deleted during the call,
        are left out.

        :param runtime: the runtime; by default that of the command line.
        :raises HostError: the directory of the containers' states cannot be read.
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
    net: Networking | None = None,
    landlock: Sequence[str] = (),
    coresched: bool = False,
    runtime: Runtime | None = None,
) -> Result:
    """Run a container from its creation to its removal, with one process of the executable.

    :param bundle: a directory with config.json.
    :param config: the content of config.json as a dict, like that of :func:`ocirt.sandbox`, instead of a bundle. The
        library writes no file.
    :param rootfs: the directory of the root file system, instead of the config's ``root.path``.
    :param id: letters, digits and ``_+-.``; by default a new id.
    :param input: the standard input; text is written as UTF-8.
    :param timeout: seconds for the whole call, after which the container is killed. ``None``: no limit.
    :param check: raise :class:`CommandFailed` if the program does not end with 0.
    :param max_output: bytes of both outputs together, a number or text like ``"1m"``. If the program writes more, the
        container is killed. ``None``: no limit.
    :param stdout: where the output goes instead of into the result: ``DEVNULL``, a descriptor or a file.
    :param stderr: the same, or ``STDOUT``: the same as standard output.
    :param pass_fds: descriptors that the program gets as 3, 4...
    :param init: run the program as the child of a small init: a signal ends the program even without a handler, the
        init reaps orphaned processes, and the exit status is the program's. This costs one more process.
    :param limits: for a caller without root's rights, who cannot set limits on every host. ``"required"``: a container
        that cannot be limited does not run; ``"best-effort"``: it runs, and a ``RuntimeWarning`` says so.
    :param net: ``"none"``: only a loopback of its own; ``"host"``: the host's network; or :class:`ocirt.Net`, which
        says what the container reaches. ``None``: what the config says.
    :param landlock: as for :func:`ocirt.sandbox`.
    :param coresched: as for :func:`ocirt.sandbox`.
    :param runtime: the executable, and where it keeps containers; by default the installed one.
    :raises ConfigError: the config is wrong or missing, or the root file system is missing.
    :raises RequestError: an argument cannot be used.
    :raises HostError: the host lacks what the config asks for, or may not limit the container for this user.
    :raises ProgramError: the program does not exist or cannot be executed.
    :raises OcirtError: the container cannot be made or started.
    :raises TimeoutExpired: the time was up. Its ``stdout`` and ``stderr`` have the output until then.
    :raises CommandFailed: with ``check``, the program has not ended with 0.

    In every case nothing of the container remains.
    """
    runtime = runtime or Runtime()
    name = lifecycle.new_id() if id is None else checked_id(id)
    config = hardened(config, landlock, coresched)
    config = config if net is None else network.applied(net, config)
    output, found = Output(optional_size("max_output", max_output)), Bundle(bundle, config, rootfs)
    streams, flags = Streams.open(PIPE, stdout, stderr), lifecycle.Flags(init, limits)
    begin, end, denied = await drive(
        connection.run(net, runtime, found, name, streams, pass_fds, encoded(input), timeout, output, flags)
    )
    result = result_of(found.args, begin, end, output, denied, found.resources)
    return result.check() if check else result
