"""What a caller does to a further process of a container without waiting, with asyncio and without."""

from __future__ import annotations

import signal as signals

from ..errors import RequestError
from . import lifecycle, terminal
from .supervisor import Supervisor


class Controls:
    """A process's signals and its terminal, if it has one."""

    _supervisor: Supervisor

    def kill(self, signal: int = signals.SIGKILL) -> bool:
        """Send the process a signal, by pidfd.

        :param signal: the number of the signal.
        :returns: False if the process has ended.
        """
        return lifecycle.kill(self._supervisor, signal)

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of the process's terminal. Its programs get SIGWINCH.

        :raises RequestError: it has no terminal, or cannot have this size.
        """
        size, streams = terminal.checked((rows, columns)), self._supervisor.streams
        if streams.master is None:
            raise RequestError("resize: found no terminal, expected terminal=True in the call that made the process")
        terminal.resize(streams.master.fileno(), size)
        self._supervisor.child.window_changed()

    def _text(self, line: bytes) -> str:
        """A line of the output without its end, which is another one at a terminal."""
        text = line.decode("utf-8", "replace").removesuffix("\n")
        return text if self._supervisor.streams.master is None else text.removesuffix("\r")
