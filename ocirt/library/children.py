"""Processes of the executable: posix_spawn(3) starts them, a pidfd holds them, and they are reaped once.

posix_spawn makes the child share the caller's memory, and stops only the calling thread until the child has executed
its program (vfork). So no fork handler runs, the kernel copies no page table, no lock of another thread can block the
child, and only the C library's own code runs in between.
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

from ..descriptor import Descriptor
from ..errors import reason
from ..failures import InstallationError
from .runtime import Runtime
from .waiting import Operation, Wait

DEFAULTS = sorted(set(map(int, signal.valid_signals())) - {signal.SIGKILL, signal.SIGSTOP})
"""Signals that the child resets. If it inherited that the caller ignores SIGCHLD, it could not wait for its own
children."""


class Child:
    """A process that this process has started, or will start. Any thread may use it.

    :ivar was_killed: has a signal ended it? ``False`` as long as nobody has reaped it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: list[int] = []
        self._pidfd: Descriptor | None = None
        self._reaped = False
        self.was_killed = False

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing():  # the kernel closes what is open
            return
        if not self.reap():  # the process still runs, so another Child must reap it
            heir = Child()
            heir._made, heir._pidfd = self._made, self._pidfd
            _abandoned.append(heir)

    def start(self, runtime: Runtime, words: Sequence[str], fds: Mapping[int, int]) -> None:
        """Start the executable.

        :param words: the command line, the program's name first.
        :param fds: the descriptors of the child: number in the child -> descriptor of the caller. The child gets no
            others: Python makes all descriptors close-on-exec, and the executable closes the rest before it makes a
            container.
        :raises InstallationError: the executable cannot be started.
        """
        _reap_abandoned()
        moved: list[Descriptor] = []
        try:
            # No action may overwrite a descriptor that a later action copies.
            sources = {target: _above(source, max(fds), moved) for target, source in fds.items()}
            spawn = partial(
                os.posix_spawn,
                file_actions=[(os.POSIX_SPAWN_DUP2, source, target) for target, source in sources.items()],
                # A process group of its own: Ctrl-C at the caller's terminal is for the caller.
                setpgroup=0,
                setsigmask=[],
                setsigdef=DEFAULTS,
            )
            # Python runs its signal handlers, which may raise, between two calls. extend(map()) starts the process and
            # keeps its pid in one call, so that the pid cannot get lost.
            self._made.extend(map(spawn, [runtime.executable], [list(words)], [runtime.environment]))
        except OSError as error:
            failure = InstallationError(f"start {runtime.executable}: {reason(error)}")
            failure.errno = error.errno
            raise failure from None
        finally:
            close_all(moved)  # also while the exception of a failure refers to them
        with self._lock:
            self._open()

    @property
    def is_started(self) -> bool:
        return bool(self._made)

    def _open(self) -> None:
        if self._pidfd is None and not self._reaped and self._made:
            try:
                self._pidfd = Descriptor.of_process(self._made[0])
            except ProcessLookupError:
                # The child has ended, and another part of the program has reaped it, by ignoring SIGCHLD or waiting for
                # any child.
                self._reaped = True

    @contextmanager
    def watched(self) -> Iterator[int]:
        """A descriptor that becomes ready once the process has ended, and stays open until the end of the block."""
        with self._lock:
            self._open()
            held = self._pidfd or ended()
        try:
            yield held.fileno()
        finally:
            del held  # which closes it, if the process has been reaped and nobody else watches

    def reap(self) -> bool:
        """Reap the process if it has ended. May be called any number of times.

        :returns: whether the process has ended, or has never been started.
        """
        with self._lock:
            self._open()
            if self._pidfd is None:
                return True
            if not is_ready(self._pidfd.fileno()):
                return False
            try:
                found = os.waitid(os.P_PIDFD, self._pidfd.fileno(), os.WEXITED | os.WNOHANG)
                self.was_killed = found is not None and found.si_code != os.CLD_EXITED
            except ChildProcessError:  # another part of the program has reaped it
                pass
            self._reaped, self._pidfd = True, None
            return True

    def kill(self) -> None:
        with self._lock:
            self._open()
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd.fileno(), signal.SIGKILL)

    def window_changed(self) -> None:
        """Tell the executable that its terminal has another size."""
        with self._lock:
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd.fileno(), signal.SIGWINCH)

    def end(self, deadline: float | None) -> Operation[bool]:
        """Wait until the process ends, and reap it.

        :returns: False if the deadline comes first.
        """
        with self.watched() as pidfd:
            while not self.reap():
                ready = yield Wait({pidfd: select.POLLIN}, deadline)
                if not ready:
                    return self.reap()
        return True


def ended() -> Descriptor:
    """A descriptor that is ready, like the pidfd of a process that has ended."""
    reading, writing = Descriptor.pipe()
    writing.close()
    return reading


def is_ready(fd: int) -> bool:
    """Is there anything to read? For a pidfd: has the process ended?"""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


_abandoned: deque[Child] = deque()
"""Processes that nobody waits for any more. They are reaped when the library starts others."""


def _reap_abandoned() -> None:
    for _ in range(len(_abandoned)):
        try:
            child = _abandoned.popleft()
        except IndexError:  # another thread has taken the last one
            return
        if not child.reap():
            _abandoned.append(child)


def _above(fd: int, limit: int, moved: list[Descriptor]) -> int:
    """The descriptor, or a copy of it with a number above ``limit``, which is added to ``moved``."""
    if fd > limit:
        return fd
    moved.append(Descriptor(fcntl.fcntl, fd, fcntl.F_DUPFD_CLOEXEC, limit + 1))
    return moved[-1].fileno()


def close_all(descriptors: Iterable[Descriptor]) -> None:
    for each in descriptors:
        each.close()
