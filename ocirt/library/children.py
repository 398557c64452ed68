"""Processes of the executable: started by posix_spawn(3), held by pidfd, reaped once.

posix_spawn makes the child share the caller's memory and stops the calling thread alone until the child has executed
its program (vfork): no fork handler runs, no page table is copied, no lock of another thread is in the way, and between
the two there is nothing but the C library's own code.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from ..errors import reason
from ..failures import InstallationError
from .runtime import Runtime
from .waiting import Operation, Wait

DEFAULTS = sorted(set(map(int, signal.valid_signals())) - {signal.SIGKILL, signal.SIGSTOP})
"""What the caller ignores is nothing to the child: with SIGCHLD ignored it could not wait for its own."""


class Child:
    """A process that this one has started, or will start. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers = 0
        self._made: list[int] = []
        self._pidfd, self._reaped = -1, False

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing():  # the kernel closes what is open
            return
        if not self.reap():  # nobody has waited for it
            heir = Child()
            heir._made, heir._pidfd, self._pidfd = self._made, self._pidfd, -1
            _abandoned.append(heir)
        self._close()

    def start(self, runtime: Runtime, words: Sequence[str], fds: Mapping[int, int]) -> None:
        """Start the executable.

        :param words: its command line, the program's name first.
        :param fds: the descriptors that it gets: its number there -> the caller's. It gets no others: all that Python
            makes are close-on-exec, and what is not it closes itself before it makes a container.
        :raises InstallationError: it cannot be started.
        """
        _reap_abandoned()
        moved: list[int] = []
        try:
            # One action must not overwrite what a later one is to copy.
            sources = {target: _above(source, max(fds), moved) for target, source in fds.items()}
            spawn = partial(
                os.posix_spawn,
                file_actions=[(os.POSIX_SPAWN_DUP2, source, target) for target, source in sources.items()],
                # A process group of its own: Ctrl-C at the caller's terminal is for the caller.
                setpgroup=0,
                setsigmask=[],
                setsigdef=DEFAULTS,
            )
            # The pid is kept before a signal handler of Python's can run, and raise: it does so between two calls.
            self._made.extend(map(spawn, [runtime.executable], [list(words)], [runtime.environment]))
        except OSError as error:
            failure = InstallationError(f"start {runtime.executable}: {reason(error)}")
            failure.errno = error.errno
            raise failure from None
        finally:
            close_all(moved)
        with self._lock:
            self._open()

    @property
    def is_started(self) -> bool:
        return bool(self._made)

    def _open(self) -> None:
        if self._pidfd < 0 and not self._reaped and self._made:
            try:
                self._pidfd = os.pidfd_open(self._made[0])
            except ProcessLookupError:
                # It has ended, and was reaped by others, who ignore SIGCHLD or wait for any child.
                self._reaped = True

    def _close(self) -> None:
        held, self._pidfd = self._pidfd, -1
        if held >= 0:
            os.close(held)

    @contextmanager
    def watched(self) -> Iterator[int]:
        """A descriptor that is ready once the process has ended, and stays open until the end of the block."""
        with self._lock:
            self._open()
            self._watchers += 1
            held = self._pidfd if self._pidfd >= 0 else ended()
        try:
            yield held
        finally:
            with self._lock:
                self._watchers -= 1
                if held != self._pidfd:
                    os.close(held)
                elif self._reaped and not self._watchers:
                    self._close()

    def reap(self) -> bool:
        """Take notice of its end, if it has ended: whether it has, or never began. Any number of times."""
        with self._lock:
            self._open()
            if self._reaped or not self._made:
                return True
            if not is_ready(self._pidfd):
                return False
            try:
                os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
            except ChildProcessError:  # others have
                pass
            self._reaped = True
            if not self._watchers:
                self._close()
            return True

    def kill(self) -> None:
        with self._lock:
            self._open()
            if self._made and not self._reaped:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def end(self, deadline: float | None) -> Operation[bool]:
        """Until it ends, and reap it: False if the deadline comes first."""
        with self.watched() as pidfd:
            while not self.reap():
                ready = yield Wait({pidfd: select.POLLIN}, deadline)
                if not ready:
                    return self.reap()
        return True


def ended() -> int:
    """A descriptor that is as ready as the pidfd of a process that has ended."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.close(writing)
    return reading


def is_ready(pidfd: int) -> bool:
    """Has the process ended?"""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


_abandoned: deque[Child] = deque()
"""Left without being waited for: they are reaped when others are started."""


def _reap_abandoned() -> None:
    for _ in range(len(_abandoned)):
        try:
            child = _abandoned.popleft()
        except IndexError:  # another thread is at it
            return
        if not child.reap():
            _abandoned.append(child)


def _above(fd: int, limit: int, moved: list[int]) -> int:
    """The descriptor, or a copy of it with a number above ``limit``, which is added to ``moved``."""
    if fd > limit:
        return fd
    moved.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, limit + 1))
    return moved[-1]


def close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
