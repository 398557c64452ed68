"""Pools of containers, for programs that block: :class:`Pool`. :mod:`ocirt.aio` has the same
for asyncio.

hack/unasync has made this module from ocirt/aio/pools.py: change that one, and run hack/format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

from .library import lifecycle
from .library.arguments import Size, optional_size
from .library.blocking import drive
from .library.changes import Changes
from .library.description import Description
from .library.lifecycle import Path
from .library.limits import Limits
from .library.network import Networking
from .library.outcome import MAX_OUTPUT, encoded, result_of
from .library.pool import Reserve
from .library.runtime import Runtime
from .library.streams import PIPE, Lines, Output, Stream
from .result import Result, SandboxResult

__all__ = ["Pool"]


Kind = TypeVar("Kind", Result, SandboxResult)


class Pool(Generic[Kind]):
    """Containers that are ready before their programs are known: :meth:`run` costs only the start of the program.

    Each container runs one program and is then removed. Processes of the executable make and remove the containers
    beside the caller: :meth:`run` starts one in the place of each that it uses. If this process ends, for whatever
    reason, all its containers end and are removed. A process that comes from a fork cannot use the pool.

    Any thread may use it, several at once.

    :param config: what the containers are made from: an :class:`ocirt.Sandbox`, or a config like that of
        :func:`ocirt.sandbox`. A cgroup in it is the parent of the cgroups of the containers.
    :param rootfs: the directory of the root file system, instead of the config's ``root.path``. Not for a sandbox, which
        has its own.
    :param size: how many containers wait.
    :param warm: keep Python interpreters that have run a first program: ``["python3", "-c", "import numpy"]``.
    :param init: as for :func:`run`.
    :param limits: as for :func:`run`; by default what the sandbox says, or ``"required"``.
    :param net: ``"none"``, ``"host"`` or an :class:`ocirt.Net`, as for :func:`run`. The container is connected when its
        program starts, which costs what it costs :func:`run`; in a warm pool the first program runs before that. Not for
        a sandbox, which has its own.
    :param runtime: the executable, and where it keeps containers; by default that of the sandbox, or the installed one.
    :raises RequestError: an argument cannot be used.
    """

    @overload
    def __init__(
        self: Pool[SandboxResult],
        config: Description,
        *,
        size: int = 8,
        warm: Sequence[str] | None = None,
        init: bool = False,
        limits: Limits | None = None,
        runtime: Runtime | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self: Pool[Result],
        config: Mapping[str, Any],
        *,
        rootfs: Path | None = None,
        size: int = 8,
        warm: Sequence[str] | None = None,
        init: bool = False,
        limits: Limits | None = None,
        net: Networking | None = None,
        runtime: Runtime | None = None,
    ) -> None: ...

    def __init__(
        self,
        config: Mapping[str, Any] | Description,
        *,
        rootfs: Path | None = None,
        size: int = 8,
        warm: Sequence[str] | None = None,
        init: bool = False,
        limits: Limits | None = None,
        net: Networking | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        sandbox = config if isinstance(config, Description) else None
        found = runtime or (sandbox and sandbox.runtime) or Runtime()
        flags = lifecycle.Flags(init, limits or (sandbox.limits if sandbox else "required"))
        self._reserve = Reserve(found, config, rootfs, size, warm, flags, net)

    def run(
        self,
        args: Sequence[str],
        *,
        input: bytes | str = b"",
        timeout: float | None = None,
        check: bool = False,
        on_output: Callable[[str], object] | None = None,
        max_output: Size | None = MAX_OUTPUT,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdout: Stream = PIPE,
        stderr: Stream = PIPE,
    ) -> Kind:
        """Run a program in a container of the pool until it ends.

        :param args: the program and its arguments, as a list. In a warm pool ``[python, "-c", CODE, ...]``, with the
            interpreter of ``warm``: CODE finds in its namespace what the first program has left there.
        :param input: the standard input; text is written as UTF-8.
        :param timeout: seconds for the whole call, after which the container is killed; by default that of the sandbox,
            or no limit.
        :param check: raise :class:`CommandFailed` if the program does not end with 0.
        :param on_output: is called with each line of both outputs while the program runs. If it raises an error, the
            container is killed.
        :param max_output: bytes of both outputs together, a number or text like ``"1m"``. If the program writes more,
            the container is killed. ``None``: no limit.
        :param env: further environment variables.
        :param cwd: the working directory; by default that of the config.
        :param stdout: where the output goes instead of into the result: ``DEVNULL``, a descriptor or a file. Not in a
            warm pool.
        :param stderr: the same, or ``STDOUT``.
        :raises RequestError: an argument cannot be used.
        :raises ProgramError: the program does not exist or cannot be executed.
        :raises OcirtError: no container can be made; or the pool is closed, or belongs to another process.
        :raises TimeoutExpired: the time was up. Its ``stdout`` and ``stderr`` have the output until then.
        :raises FileError: in a pool of a sandbox, a file of its ``files`` cannot be put into the container.
        :raises CommandFailed: with ``check``, the program has not ended with 0.
        """
        sandbox = self._reserve.sandbox
        limit = sandbox.timeout if sandbox and timeout is None else timeout
        output = Output(optional_size("max_output", max_output), Lines(on_output) if on_output else None)
        begin, end, denied, session = drive(
            self._reserve.run(args, env, cwd, stdout, stderr, encoded(input), limit, output)
        )
        output.finish()
        reached = session.reached_limit() if session is not None else 0
        result: Any = result_of(args, begin, end, output, denied, self._reserve.resources, reached)
        if session is not None:
            result = SandboxResult.of(result, session.files, Changes(session))
        found: Kind = result.check() if check else result
        return found

    def close(self) -> None:
        """End the containers that wait, and wait until all containers of the pool are removed."""
        drive(self._reserve.close())

    def __enter__(self) -> Pool[Kind]:
        drive(self._reserve.fill())
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
