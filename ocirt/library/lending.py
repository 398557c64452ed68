"""How the library gets at a container's files: the runtime lends it the place for what the container writes, with the
root in it, before the program starts (``org.ocirt.rootfs.receiver``). The library puts files there, and answers.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress

from .children import Child
from .runtime import Runtime
from .waiting import Operation, Wait

GO_ON = b"\n"


class Lender:
    """A unix socket in the runtime's directory, to which the executable connects once.

    :param receive: gets the descriptor, which belongs to it, and puts the files there.
    :ivar path: of the socket. Only this user can reach it.
    """

    def __init__(self, runtime: Runtime, receive: Callable[[int], None]) -> None:
        os.makedirs(runtime.root, 0o700, exist_ok=True)
        self._receive = receive
        self._folder = os.open(runtime.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._name = f",{os.urandom(8).hex()}"  # no id of a container has a comma
        self.path = os.path.join(runtime.root, self._name)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            # The address of a socket is short; runtime.root may be longer.
            self._socket.bind(f"/proc/self/fd/{self._folder}/{self._name}")
            os.chmod(self._name, 0o600, dir_fd=self._folder)
            self._socket.listen(1)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the socket. An executable that waits for the answer then fails."""
        self._socket.close()
        if self._folder >= 0:
            with suppress(OSError):
                os.unlink(self._name, dir_fd=self._folder)
            os.close(self._folder)
            self._folder = -1

    def lend(self, child: Child, deadline: float | None) -> Operation[bool]:
        """Take what the executable lends, put the files there, and let it go on.

        :param child: the executable. If it ends, it has failed before.
        :returns: False if the deadline came first.
        """
        try:
            if not (yield from self._until(self._socket, child, deadline)):
                return False
            with suppress(BlockingIOError):
                peer, _ = self._socket.accept()
                with peer:
                    peer.setblocking(False)
                    if not (yield from self._until(peer, child, deadline)):
                        return False
                    _, fds, _, _ = socket.recv_fds(peer, 64, 1)
                    for fd in fds:
                        self._receive(fd)
                    with suppress(BrokenPipeError):
                        peer.send(GO_ON)
            return True
        finally:
            self.close()

    def _until(self, readable: socket.socket, child: Child, deadline: float | None) -> Operation[bool]:
        with child.watched() as end:
            ready = yield Wait({readable.fileno(): select.POLLIN, end: select.POLLIN}, deadline)
        return bool(ready)
