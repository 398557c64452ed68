"""Pools of containers, for programs that block: :class:`Pool`. :mod:`ocirt.aio` has the same
for asyncio.

hack/unasync has made this module from ocirt/aio/pools.py: change that one, and run hack/format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .library import lifecycle
from .library.arguments import Size, optional_size
from .library.blocking import drive
from .library.lifecycle import Path
from .library.limits import Limits
from .library.network import Networking
from .library.outcome import MAX_OUTPUT, encoded, result_of
from .library.pool import Reserve
from .library.runtime import Runtime
from .library.streams import PIPE, Output, Stream
from .result import Result

__all__ = ["Pool"]


class Pool:
    """Containers that are ready before their programs are known: :meth:`run` costs only the start of the program.

    Each container runs one program and is then removed. Processes of the executable make and remove the containers
    beside the caller: :meth:`run` starts one in the place of each that it uses. If this process ends, for whatever
    reason, all its containers end and are removed. A process that comes from a fork cannot use the pool.

    Any thread may use it, several at once.

    :param config: what the containers are made from, like that of :func:`ocirt.sandbox`. A cgroup in it is the parent of
        the cgroups of the containers.
    :param rootfs: the directory of the root file system, instead of the config's ``root.path``.
    :param size: how many containers wait.
    :param warm: keep Python interpreters that have run a first program: ``["python3", "-c", "import numpy"]``.
    :param init: as for :func:`run`.
    :param limits: as for :func:`run`.
    :param net: ``"none"``, ``"host"`` or an :class:`ocirt.Net`, as for :func:`run`. The container is connected when its
        program starts, which costs what it costs :func:`run`; in a warm pool the first program runs before that.
    :param runtime: the executable, and where it keeps containers; by default the installed one.
    :raises RequestError: an argument cannot be used.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        rootfs: Path | None = None,
        size: int = 8,
        warm: Sequence[str] | None = None,
        init: bool = False,
        limits: Limits = "required",
        net: Networking | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self._reserve = Reserve(runtime or Runtime(), config, rootfs, size, warm, lifecycle.Flags(init, limits), net)

    def run(
        self,
        args: Sequence[str],
        *,
        input: bytes | str = b"",
        timeout: float | None = None,
        check: bool = False,
        max_output: Size | None = MAX_OUTPUT,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdout: Stream = PIPE,
        stderr: Stream = PIPE,
    ) -> Result:
        """Run a program in a container of the pool until it ends.

        :param args: the program and its arguments, as a list. In a warm pool ``[python, "-c", CODE, ...]``, with the
            interpreter of ``warm``: CODE finds in its namespace what the first program has left there.
        :param input: the standard input; text is written as UTF-8.
        :param timeout: seconds for the whole call, after which the container is killed. ``None``: no limit.
        :param check: raise :class:`CommandFailed` if the program does not end with 0.
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
        :raises CommandFailed: with ``check``, the program has not ended with 0.
        """
        output = Output(optional_size("max_output", max_output))
        begin, end, denied = drive(self._reserve.run(args, env, cwd, stdout, stderr, encoded(input), timeout, output))
        result = result_of(args, begin, end, output, denied)
        return result.check() if check else result

    def close(self) -> None:
        """End the containers that wait, and wait until all containers of the pool are removed."""
        drive(self._reserve.close())

    def __enter__(self) -> Pool:
        drive(self._reserve.fill())
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
