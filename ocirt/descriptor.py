"""Descriptors that do not get lost, whatever interrupts the program.

A signal handler of the program (Ctrl-C) may raise an exception between any two calls. A number that a call has just
returned is lost then, and its file stays open. So the descriptor gets its owner in the same call that opens it, and the
owner closes it when nobody refers to the owner any more: the interpreter does that itself, and runs no code of Python's
for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from errno import EINVAL, ENOENT, ESRCH
from io import FileIO
from itertools import chain, starmap
from select import epoll


class Descriptor:
    """A descriptor that this object closes, at the latest when nobody refers to it any more.

    :param open: a function of the interpreter's own, such as :func:`os.open`. It returns the descriptor.
    :param arguments: those of ``open``.
    :raises OSError: ``open`` fails.
    """

    __slots__ = ("_owner",)

    def __init__(self, open: Callable[..., int], *arguments: object) -> None:
        (self._owner,) = _owners(starmap(open, [arguments]))

    @classmethod
    def of_process(cls, pid: int) -> Descriptor:
        """A pidfd.

        :raises ProcessLookupError: the process has ended, also where the kernel says EINVAL, or ENOENT since Linux 6.15:
            it is being reaped, or a thread of another process has its pid by now.
        """
        try:
            return cls(os.pidfd_open, pid)
        except OSError as error:
            if error.errno in (EINVAL, ENOENT):
                raise ProcessLookupError(ESRCH, os.strerror(ESRCH)) from None
            raise

    @classmethod
    def pipe(cls) -> tuple[Descriptor, Descriptor]:
        """The reading end and the writing end of a pipe."""
        return cls._pair(os.pipe2, os.O_CLOEXEC)

    @classmethod
    def terminal(cls) -> tuple[Descriptor, Descriptor]:
        """The master of a new terminal, and the terminal."""
        return cls._pair(os.openpty)

    @classmethod
    def _pair(cls, open: Callable[..., tuple[int, int]], *arguments: object) -> tuple[Descriptor, Descriptor]:
        first, second = cls.__new__(cls), cls.__new__(cls)
        first._owner, second._owner = _owners(chain.from_iterable(starmap(open, [arguments])))
        return first, second

    def fileno(self) -> int:
        """The number of the descriptor; -1 once it is closed."""
        return -1 if self._owner.closed else self._owner.fileno()

    def file(self, mode: str) -> FileIO:
        """A file that has a copy of the descriptor, which this object closes."""
        file = next(map(FileIO, map(os.dup, [self.fileno()]), [mode]))
        self.close()
        return file

    def close(self) -> None:
        """Close the descriptor, unless it is closed."""
        self._owner.close()


def _owners(fds: Iterable[int]) -> list[epoll]:
    """An owner for each descriptor. Of the interpreter's own classes, epoll's takes a descriptor of any kind: a file object
    refuses directories, and warns of a descriptor that it must close by itself.
    """
    return list(map(epoll.fromfd, fds))
