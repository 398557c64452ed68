"""A process of the executable that supervises a container, or a process in one, until it ends.

The supervisor is the parent of the container's process. On a kernel whose pidfds do not tell exit statuses, no other
process can wait for it. Over a pipe (``--status-fd``) the supervisor reports that the process exists, what failed, and
how the process ended. The pipe also tells the supervisor whether the library's process lives: once the pipe has no
reader, the supervisor kills what it supervises, and removes the container.
"""

from __future__ import annotations

import _socket
import os
import select
import signal
import socket
import sys
import threading
import weakref
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from ..descriptor import Descriptor
from ..errors import OcirtError
from ..failures import InstallationError, TimeoutExpired
from . import pidfd, report
from .children import Child
from .lending import Lending
from .report import Begin, End
from .runtime import Runtime
from .streams import Streams
from .waiting import Operation, Wait, deadline_in

OWN = "this process"
"""Who has sent a signal that a supervisor has sent."""

_all: weakref.WeakSet[Supervisor] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """Close in the child of a fork what tells supervisors that the library's process lives: otherwise the containers
    would live as long as both processes. Another thread may have held a lock at the fork, so this takes none.
    """
    for each in list(_all):
        each.leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)


def _end_of(line: report.Line, sent: int) -> End | None:
    """The end of a process that the line reports.

    :param sent: the last signal that its supervisor has sent to it.
    """
    end = report.end_of(line)
    is_own = end is not None and end.signal and end.signal == sent and not end.sender
    return replace(end, sender=OWN) if end is not None and is_own else end


class Supervisor:
    """A supervisor.

    :ivar id: of the container.
    :ivar streams: those of the process.
    :ivar child: the process that supervises.
    :ivar lenders: what this process does while the executable makes the container, in this order.
    :ivar began: the supervised process, once it exists.
    :ivar started: the same process, once it runs the program that :meth:`send_program` has brought.
    :ivar pidfd: of the supervised process; ``None`` before it exists, and if it ended too early. This object closes it.
    :ivar ended: how the supervised process has ended, once that is known.
    :ivar sent: the last signal that this object has sent to the supervised process; 0 if it has sent none.
    :ivar lines: all reports so far.
    """

    def __init__(
        self,
        runtime: Runtime,
        id: str,
        words: Sequence[str],
        streams: Streams,
        pass_fds: Sequence[int] = (),
        config: Descriptor | None = None,
        options: Sequence[str] = (),
        lenders: Sequence[Lending] = (),
        late: bool = False,
    ) -> None:
        """:param words: the verb and its arguments, without the flags that this class adds.
        :param pass_fds: further descriptors for the process, from 3 on.
        :param config: a memfd for ``--config``. The caller closes it, once this object has started.
        :param options: flags before the verb.
        :param late: :meth:`send_program` will bring the program, over a socket instead of the pipe.
        """
        self.runtime, self.id, self.streams = runtime, id, streams
        self.began: Begin | None = None
        self.started: Begin | None = None
        self.ended: End | None = None
        self._pidfd: Descriptor | None = None
        self.sent = 0
        self._lock = threading.Lock()
        self.lines: list[report.Line] = []
        self._unread = b""
        self._status: Descriptor | socket.SocketType | None = None
        self._late = late
        self._words, self._pass_fds, self._config, self._options = words, pass_fds, config, options
        self.child, self.lenders = Child(), lenders
        _all.add(self)

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing():  # the kernel closes what is open
            return
        self.release()

    def start(self) -> None:
        """Start the supervisor. In any case the streams are given away.

        :raises InstallationError: the supervisor cannot be started.
        """
        # The sockets of _socket own their descriptors from the first moment on, unlike those that socket makes of them.
        self._status, writing = _socket.socketpair() if self._late else Descriptor.pipe()
        os.set_blocking(self._status.fileno(), False)
        fds = dict(enumerate([*self.streams.given, *self._pass_fds, writing.fileno()]))
        verb, *rest = self._words
        flags = ["--status-fd", str(len(fds) - 1), "--preserve-fds", str(len(self._pass_fds))]
        if self._config is not None:
            fds[len(fds)] = self._config.fileno()
            flags += ["--config", f"/proc/self/fd/{len(fds) - 1}"]
        try:
            self.child.start(self.runtime, self.runtime.command(*self._options, verb, *flags, *rest), fds)
        finally:
            writing.close()
            self._config = None
            self.streams.given_away()

    def lend(self, deadline: float | None) -> Operation[bool]:
        """Let the lenders get what the executable lends, and put files into the container. A supervisor that fails before
        that has ended then.

        :returns: False if the deadline came first.
        """
        for each in self.lenders:
            if not (yield from each.lend(self.child, deadline)):
                return False
        return True

    def begin(self, deadline: float | None = None) -> Operation[None]:
        """Start the supervisor, unless it has been started, and wait until the supervised process exists.

        :param deadline: when to give up; by default after the runtime's time-out.
        :raises OcirtError: starting failed. Nothing of the process remains.
        :raises TimeoutExpired: starting took more than the runtime's time-out. The library has killed the
        supervisor.
        """
        deadline = deadline_in(self.runtime.timeout) if deadline is None else deadline
        try:
            if not self.child.is_started:
                self.start()
            if not (yield from self.lend(deadline)):
                raise TimeoutExpired(f"container {self.id}", self.runtime.timeout)
            while self.take() and self.began is None:
                ready = yield self._next_report(deadline)
                if not ready:
                    raise TimeoutExpired(f"container {self.id}", self.runtime.timeout)
            if self.began is None:
                yield from self.child.end(None)
                raise self.failure()
        except BaseException:
            self.child.kill()
            yield from self.child.end(None)
            self.release()
            self.streams.close()
            raise
        with self._lock:
            if self._pidfd is None:
                self._pidfd = pidfd.hold(self.began.pid, self.began.start_time)

    def failure(self) -> OcirtError:
        """The reason of the failure."""
        return report.error_in(self.lines, self.id) or InstallationError(
            f"{self.runtime.executable}: ended without a report about container {self.id}"
        )

    def end(self, deadline: float | None) -> Operation[bool]:
        """Wait until the supervised process and the supervisor have ended; see ``ended``.

        :returns: False if the deadline comes first.
        """
        if not (yield from self.child.end(deadline)):
            return False
        self.take()
        return True

    def send_program(self, message: bytes, texts: Descriptor) -> None:
        """Let the supervisor run a program in its late container, with the streams of this object. They are not given
        away before :meth:`renew`: if the program's end closed the pipes, the library would wake up for that as well.

        :param message: and ``texts``, a memfd: what ``start`` tells the container's first process
            (core/executor/start_protocol.h).
        """
        with self._lock, suppress(BrokenPipeError):  # a supervisor that has ended has reported why
            if isinstance(self._status, socket.SocketType):
                given = array("i", [*self.streams.given, texts.fileno()])
                self._status.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, given)])

    def report(self, deadline: float | None) -> Operation[bool]:
        """Wait until the supervised process has ended; the supervisor may still have to remove the container.

        :returns: False if the deadline comes first.
        """
        while self.take() and self.ended is None:
            if not (yield self._next_report(deadline)):
                return False
        return True

    def _next_report(self, deadline: float | None) -> Wait:
        """Wait for the next report. :meth:`take` has said that one will follow."""
        return Wait({} if self._status is None else {self._status.fileno(): select.POLLIN}, deadline)

    @property
    def pidfd(self) -> int | None:
        held = self._pidfd
        return None if held is None else held.fileno()

    def kill(self, number: int) -> None:
        """Send a signal to the supervised process.

        :raises ProcessLookupError: the process has ended.
        """
        with self._lock:
            if self._pidfd is None:
                raise ProcessLookupError
            signal.pidfd_send_signal(self._pidfd.fileno(), number)
            self.sent = number

    @property
    def renews(self) -> bool:
        """Has the program of a late container ended, and does the supervisor make another container in its place?"""
        return self.ended is not None and self.started is not None and self.started.renews

    def renew(self) -> None:
        """Forget the container that has ended. :meth:`begin` then waits for the next one."""
        self.streams.close()
        with self._lock:
            self._pidfd = None
            self.began = self.started = self.ended = None
            self.sent = 0
            self.lines.clear()

    def leave_to_parent(self) -> None:
        """Forget the supervised process, in a process that a fork has made: only the parent can wait for it."""
        self._lock = threading.Lock()
        self._close()

    def release(self) -> None:
        """Close the descriptors of this object, except those of the streams. If the process still runs, the supervisor
        kills it.
        """
        with self._lock:
            self._close()
        for each in self.lenders:
            each.close()

    def _close(self) -> None:
        if self._status is not None:
            self._status.close()
        self._status = self._pidfd = None

    def take(self) -> bool:
        """Read the reports that have arrived, but none about the next container (:meth:`renew`).

        :returns: False at the end: no report will follow.
        """
        with self._lock:
            while self._status is not None:
                if self.renews:
                    return True
                line, end, rest = self._unread.partition(b"\n")
                if end:
                    self._unread = rest
                    self._note(line)
                    continue
                try:
                    data = os.read(self._status.fileno(), 1 << 16)
                except BlockingIOError:
                    return True
                except ConnectionResetError:  # once, because the supervisor has not read the program; then its reports
                    continue
                if not data:
                    rest, self._unread = self._unread, b""
                    self._note(rest)
                    return False
                self._unread += data
            return False

    def _note(self, text: bytes) -> None:
        for line in report.parse(text):
            self.lines.append(line)
            begin = report.begin_of(line)
            if begin is not None:
                self.began, self.started = self.began or begin, begin if self.began else None
            self.ended = self.ended or _end_of(line, self.sent)
