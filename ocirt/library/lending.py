"""How the library gets at what belongs to a container before its program starts. The runtime lends it the place for what
the container writes, with the root in it (``org.ocirt.rootfs.receiver``): the library puts files there, and answers. It
also lends the network namespace (``org.ocirt.network.receiver``): the library connects it, and answers.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from errno import ECONNREFUSED
from typing import Protocol

from .children import Child
from .runtime import Runtime
from .waiting import Operation, Wait

GO_ON = b"\n"
PREFIX = ","
"""How the names of the sockets begin. No id of a container has a comma."""
Receive = Callable[[Sequence[int]], None]
"""Gets the descriptors, which belong to it, and puts the files there."""

_swept: set[str] = set()
"""The runtimes' directories in which this process has removed what killed ones have left."""


class Lending(Protocol):
    """A part of what the library does while the executable makes a container."""

    def lend(self, child: Child, deadline: float | None) -> Operation[bool]:
        """Do it, or wait for it. If the executable, ``child``, ends, it has failed before.

        :returns: False if the deadline came first.
        """

    def go_on(self) -> bool:
        """Do what is possible without waiting. Errors are kept for :meth:`lend`.

        :returns: is all done?
        """

    def close(self) -> None:
        """Give up. An executable that waits for the answer then fails."""


class Lender:
    """A unix socket in the runtime's directory, to which the executable connects once, or once for each container that
    it makes (``create --renew``).

    :param receive: of the first container.
    :param count: how many descriptors the executable lends.
    :param answers: does the executable get its answer when ``receive`` returns? Otherwise by :meth:`answer`.
    :param is_kept: may :meth:`renew` follow? Otherwise the socket is removed once it has served.
    :ivar path: of the socket. Only this user can reach it.
    """

    def __init__(
        self,
        runtime: Runtime,
        receive: Receive,
        count: int = 1,
        answers: bool = True,
        is_kept: bool = False,
    ) -> None:
        os.makedirs(runtime.root, 0o700, exist_ok=True)
        self._answers, self._is_kept = answers, is_kept
        self._receive: Receive | None = receive
        self._count = count
        self._lock, self._lent = threading.Lock(), list[int]()
        self._failure: Exception | None = None
        self._folder = os.open(runtime.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if runtime.root not in _swept:
            _swept.add(runtime.root)
            _sweep(runtime.root, self._folder)
        self._name = f"{PREFIX}{os.urandom(8).hex()}"
        self.path = os.path.join(runtime.root, self._name)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._peer: socket.socket | None = None
        try:
            self._socket.bind(_address(self._folder, self._name))
            os.chmod(self._name, 0o600, dir_fd=self._folder)
            self._socket.listen(1)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the socket. An executable that waits for the answer then fails."""
        with self._lock:
            self._close()
            self._hang_up()

    def _hang_up(self) -> None:
        if self._peer is not None:
            self._peer.close()

    def _close(self) -> None:
        self._end_turn()
        self._socket.close()
        folder, self._folder = self._folder, -1
        if folder >= 0:
            with suppress(OSError):
                os.unlink(self._name, dir_fd=folder)
            os.close(folder)

    def _end_turn(self) -> None:
        while self._lent:
            os.close(self._lent.pop())
        self._receive = None  # the files end with who has received them

    def renew(self, receive: Receive) -> None:
        """Serve the next container of the same executable."""
        with self._lock:
            self._end_turn()
            self._hang_up()
            self._peer, self._receive = None, receive

    def lend(self, child: Child, deadline: float | None) -> Operation[bool]:
        """Take what the executable lends, put the files there, and let it go on.

        :param child: the executable. If it ends, it has failed before.
        :returns: False if the deadline came first.
        """
        is_done = False
        try:
            while not self.go_on():
                with child.watched() as end:
                    waited = self._socket if self._peer is None else self._peer
                    ready = yield Wait({waited.fileno(): select.POLLIN, end: select.POLLIN}, deadline)
                if not ready:
                    return False
                if end in ready:
                    self.go_on()
                    break
            if self._failure is not None:
                raise self._failure
            is_done = True
        finally:
            self._failure = None  # its traceback has this frame, which refers to this object
            if not is_done:
                self.close()
        return True

    def answer(self) -> None:
        """Let the executable go on."""
        with self._lock, suppress(OSError):  # the executable has ended
            if self._peer is not None:
                self._peer.send(GO_ON)
                self._peer.close()

    def go_on(self) -> bool:
        """Do what is possible without waiting. Errors are kept for :meth:`lend`.

        :returns: is all done?
        """
        with self._lock:
            if self._receive is None:
                return True
            try:
                done = self._take()
            except Exception as error:
                self._failure, done = error, True
            if done:
                (self._end_turn if self._is_kept else self._close)()
                if self._answers or self._failure is not None:
                    self._hang_up()
            return done

    def _take(self) -> bool:
        try:
            if self._peer is None:
                self._peer, _ = self._socket.accept()
                self._peer.setblocking(False)
            while len(self._lent) < self._count:
                _, fds, _, _ = socket.recv_fds(self._peer, 64, 1)
                if not fds:  # the executable has failed
                    return True
                self._lent += fds
        except BlockingIOError:
            return False
        lent, self._lent = self._lent, []
        assert self._receive is not None
        self._receive(lent)
        if self._answers:
            with suppress(BrokenPipeError):
                self._peer.send(GO_ON)
        return True


def _address(folder: int, name: str) -> str:
    """The path of a socket by the descriptor of its directory: an address is short, and the directory's path may be long."""
    return f"/proc/self/fd/{folder}/{name}"


def _sweep(root: str, folder: int) -> None:
    """Remove the sockets of processes that were killed before they could.

    :param folder: a descriptor of the directory ``root``.
    """
    for name in os.listdir(root):
        if name.startswith(PREFIX) and not _has_owner(folder, name):
            with suppress(FileNotFoundError):  # another process does so, too
                os.unlink(name, dir_fd=folder)


def _has_owner(folder: int, name: str) -> bool:
    """Does a process hold this socket? bind(2) makes the file first, and then joins it with the socket, while it holds the
    directory's lock. rename(2) to the same name waits for that lock, and does nothing else.
    """
    try:
        if _is_held(folder, name):
            return True
        os.rename(name, name, src_dir_fd=folder, dst_dir_fd=folder)
        return _is_held(folder, name)
    except OSError:  # another process has removed it
        return True


def _is_held(folder: int, name: str) -> bool:
    """The kernel refuses a connection of the wrong type, which nobody notices, only after it has found the holder."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        return asking.connect_ex(_address(folder, name)) != ECONNREFUSED
