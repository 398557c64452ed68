"""Sandboxes, for programs that block: :class:`Sandbox`, :class:`Live` and :class:`Snapshot`. :mod:`ocirt.aio` has the same
for asyncio.

hack/unasync has made this module from ocirt/aio/sandboxes.py: change that one, and run hack/format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .container import Container, Process
from .library import connection, lifecycle
from .library.arguments import Size, optional_size, seconds
from .library.blocking import Pipes, drive
from .library.changes import Changes
from .library.description import Bind, Copy, Description
from .library.inside import Files
from .library.outcome import MAX_OUTPUT, encoded, result_of
from .library.program import Program, User
from .library.runtime import Runtime
from .library.session import Session
from .library.snapshots import Snapshot as Layers
from .library.snapshots import forks, take
from .library.streams import DEVNULL, PIPE, STDOUT, Lines, Output, Stream, Streams
from .library.terminal import Terminal
from .result import Result, SandboxResult

__all__ = ["Bind", "Copy", "Live", "Sandbox", "Snapshot"]


class Sandbox(Description):
    """A description of a sandbox, which many runs use, also at the same time.

    Each run has a container of its own, whose root is writable, and thrown away: nobody else sees what a run writes. The
    program runs as an unprivileged user, as in :func:`ocirt.sandbox`.
    """

    def run(
        self,
        args: Sequence[str],
        *,
        input: bytes | str = b"",
        timeout: float | None = None,
        check: bool = False,
        on_output: Callable[[str], object] | None = None,
        max_output: Size | None = MAX_OUTPUT,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: User | None = None,
        stdout: Stream = PIPE,
        stderr: Stream = PIPE,
        terminal: Terminal = False,
    ) -> SandboxResult:
        """Run a program in a new container, from its creation to its removal.

        :param args: the program and its arguments, as a list.
        :param input: the standard input; text is written as UTF-8.
        :param timeout: seconds for the whole call, after which the container is killed; by default that of the sandbox.
        :param check: raise :class:`CommandFailed` if the program does not end with 0.
        :param on_output: is called with each line of both outputs while the program runs. If it raises an error, the
            container is killed.
        :param max_output: bytes of both outputs together, a number or text like ``"1m"``. If the program writes more,
            the container is killed. ``None``: no limit.
        :param cwd: the working directory; this and the following two arguments are by default those of the sandbox.
        :param env: further environment variables.
        :param user: the number of the user, and of the group if it is alone: ``1000``, ``(1000, 100)`` or ``"1000:100"``.
        :param stdout: where the output goes instead of into the result: ``DEVNULL``, a descriptor or a file.
        :param stderr: the same, or ``STDOUT``.
        :param terminal: a terminal instead of these streams, ``True`` or its rows and columns, ``(24, 80)``: ``input`` is
            typed there, then its end, and the result's ``stdout`` is what is printed, with the
            echo of what is typed.
        :raises RequestError: an argument cannot be used.
        :raises FileError: a file of ``files`` cannot be put into the sandbox.
        :raises ProgramError: the program does not exist or cannot be executed.
        :raises OcirtError: the container cannot be made or started.
        :raises TimeoutExpired: the time was up. Its ``stdout`` and ``stderr`` have the output until then.

        Only the files of the result remain of the container, until the result is gone.
        """
        runtime, limit = self.runtime or Runtime(), self.timeout if timeout is None else seconds("timeout", timeout)
        output = Output(optional_size("max_output", max_output), Lines(on_output) if on_output else None)
        program = Program.of(args, cwd, env, self.user_of(user), terminal)
        streams, session = Streams.of_run(program.terminal, stdout, stderr), Session(self, program)
        bundle = session.bundle(runtime)
        begin, end, denied = drive(
            connection.run(
                self.net,
                runtime,
                bundle,
                lifecycle.new_id(),
                streams,
                (),
                encoded(input),
                limit,
                output,
                lifecycle.Flags(limits=self.limits),
            )
        )
        output.finish()
        found = result_of(bundle.args, begin, end, output, denied, bundle.resources, session.reached_limit())
        result = SandboxResult.of(found, session.files, Changes(session))
        result.check() if check else None
        return result

    def open(self) -> Live:
        """Open the sandbox for several commands in one container.

        Use it as the head of a ``with`` block, whose end removes the container.

        :raises OcirtError: the container cannot be made.
        """
        runtime, session = self.runtime or Runtime(), Session(self, is_live=True)
        bundle, streams = session.bundle(runtime), Streams.open(DEVNULL, DEVNULL, DEVNULL)
        flags = lifecycle.Flags(limits=self.limits)
        life = drive(connection.create(self.net, runtime, bundle, lifecycle.new_id(), streams, (), flags))
        container = Container(life, Pipes())
        try:
            if session.must_start:
                container.start()
        except BaseException:
            container.delete(force=True)
            raise
        return Live(self, container, session)


class Live:
    """An open sandbox: a container in which several commands run, and whose files are at hand.

    :ivar sandbox: its description.
    :ivar container: the container, for what this class does not have (``stats``, ``pause``, ``update``...).
    :ivar files: the files of the container.
    """

    sandbox: Sandbox
    container: Container
    files: Files

    def __init__(self, sandbox: Sandbox, container: Container, session: Session) -> None:
        self.sandbox, self.container, self._session, self.files = sandbox, container, session, session.files

    def __repr__(self) -> str:
        return f"<ocirt.Live {self.container.id}>"

    def run(
        self,
        args: Sequence[str],
        *,
        input: bytes | str = b"",
        timeout: float | None = None,
        check: bool = False,
        on_output: Callable[[str], object] | None = None,
        max_output: Size | None = MAX_OUTPUT,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: User | None = None,
        stdout: Stream = PIPE,
        stderr: Stream = PIPE,
        terminal: Terminal = False,
    ) -> Result:
        """Run a command in the container until it ends. The arguments are those of :meth:`Container.run` and
        :meth:`Sandbox.run`.

        :param args: the program and its arguments, as a list.
        :param input: the standard input; text is written as UTF-8.
        :param timeout: seconds, after which the command is killed; by default that of the sandbox.
        :param check: raise :class:`CommandFailed` if the command does not end with 0.
        :param on_output: is called with each line of both outputs while the command runs.
        :param max_output: bytes of both outputs together. If the command writes more, it is killed.
        :param cwd: the working directory.
        :param env: further environment variables.
        :param user: as for :meth:`Sandbox.run`. It has no capability, even if it is 0.
        :param stdout: as for :meth:`Sandbox.run`, like the following two.
        :param stderr: the same, or ``STDOUT``.
        :param terminal: a terminal instead of these streams.
        :raises RequestError: an argument cannot be used.
        :raises ProgramError: the program does not exist or cannot be executed.
        :raises TimeoutExpired: the time was up. Its ``stdout`` and ``stderr`` have the output until then.
        """
        limit = self.sandbox.timeout if timeout is None else seconds("timeout", timeout)
        output = Output(optional_size("max_output", max_output), Lines(on_output) if on_output else None)
        program = Program.of(args, cwd, env, self.sandbox.user_of(user), terminal)
        streams = Streams.of_run(program.terminal, stdout, stderr)
        result = self.container._run(output, program, input, limit, streams)
        output.finish()
        return result.check() if check else result

    def exec(
        self,
        args: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: User | None = None,
        stdin: Stream = DEVNULL,
        stdout: Stream = PIPE,
        stderr: Stream = STDOUT,
        terminal: Terminal = False,
    ) -> Process:
        """Start a command in the container. Its program has been executed when this returns.

        :param args: the program and its arguments, as a list.
        :param cwd: the working directory.
        :param env: further environment variables.
        :param user: as for :meth:`run`.
        :param stdin: ``PIPE``, ``DEVNULL``, a descriptor or a file.
        :param stdout: the same.
        :param stderr: the same, or ``STDOUT``, which is the default.
        :param terminal: give it a terminal instead of these streams, with this size in rows and columns: ``True`` or
            ``(24, 80)``. Its ``stdin`` is what is typed there, its ``stdout`` what is printed. No other streams can be
            given with it.
        :raises ProgramError: the program does not exist or cannot be executed.
        """
        return self.container.exec(
            args,
            cwd=cwd,
            env=env,
            user=self.sandbox.user_of(user),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            terminal=terminal,
        )

    @property
    def changes(self) -> Changes:
        """What the commands have written so far."""
        return Changes(self._session)

    def snapshot(self, directory: lifecycle.Path = "/var/tmp") -> Snapshot:
        """Keep what has been written so far as a read-only layer, on which other sandboxes begin. The container is paused
        meanwhile.

        :param directory: where the layer is kept, until the snapshot is closed or gone.
        :raises OcirtError: the files cannot be copied: the disk is full, for example.
        """
        self.container.pause()
        try:
            layers = take(self._session, directory)
        finally:
            self.container.resume()
        return Snapshot(self.sandbox, layers)

    def close(self) -> None:
        """Kill what runs, and remove the container. The files stay readable until this object is gone."""
        self.container.delete(force=True)

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Snapshot:
    """What a sandbox had written at one moment, kept as layers. The sandboxes of :meth:`fork` begin with it. Leaving its
    ``with`` block removes it.
    """

    def __init__(self, sandbox: Sandbox, layers: Layers) -> None:
        self._sandbox, self._layers = sandbox, layers

    def fork(self, count: int = 1) -> list[Sandbox]:
        """Sandboxes like the one that the snapshot is of, each of which begins with its files.

        :param count: how many.
        :raises OcirtError: the snapshot has been closed.
        """
        return forks(self._sandbox, self._layers, count)

    def close(self) -> None:
        """Remove the layers. No sandbox may use them any more."""
        self._layers.close()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
