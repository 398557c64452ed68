"""The terminal of a further process of a container, as the library has it: the executable copies between it and the
terminal in the container.
"""

from __future__ import annotations

import fcntl
import io
import os
import struct
import termios
from errno import EIO
from typing import Any

from ..descriptor import Descriptor
from .arguments import count, wrong

Terminal = bool | tuple[int, int]
"""Does a process get a terminal? With its size in rows and columns, or 24 and 80."""
SIZE = (24, 80)


def checked(wanted: Terminal) -> tuple[int, int]:
    """The rows and columns of a terminal.

    :raises RequestError: a terminal cannot have this size.
    """
    if wanted is True:
        return SIZE
    if not isinstance(wanted, tuple) or len(wanted) != 2:
        raise wrong("terminal", wanted, "True, or its rows and columns, like (24, 80)")
    for index, value in enumerate(wanted):
        if not 0 < count(f"terminal[{index}]", value) < 1 << 16:
            raise wrong(f"terminal[{index}]", value, "a number from 1 to 65535")
    return wanted


def resize(master: int, size: tuple[int, int]) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))


class TerminalOutput(io.RawIOBase):
    """What is printed at a terminal, whose end the kernel reports as an error (EIO).

    :param master: of the terminal, which this object closes.
    """

    def __init__(self, master: Descriptor) -> None:
        self._master = master

    def fileno(self) -> int:
        return self._master.fileno()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        try:
            return os.readv(self._master.fileno(), [buffer])
        except OSError as error:
            if error.errno != EIO:
                raise
            return 0

    def close(self) -> None:
        self._master.close()
        super().close()
