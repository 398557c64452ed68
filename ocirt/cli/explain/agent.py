"""The agent of a filter that asks: it answers as the profile does, and shows what it sees to a listener.

The registers of a call cannot change while it waits, and a profile decides by nothing else. So letting a call continue
(SECCOMP_USER_NOTIF_FLAG_CONTINUE) gives the program nothing that the profile's own filter would not give.
"""

import errno
import os
import select
import signal
import socket
import struct
from fcntl import ioctl

from ...model.json import parse
from .filter import ACTION, DATA, ERRNO, TRACE, answer, refuses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Executed = tuple[int, int, int]
    Seen = Callable[["Call"], None]

RECEIVE, SEND = 0xC0502100, 0xC0182101
"""SECCOMP_IOCTL_NOTIF_RECV and _SEND, linux/seccomp.h."""
NOTIFICATION = struct.Struct("<QII")
"""struct seccomp_notif: a number, the pid, flags; then struct seccomp_data."""
SIZE = 80
CALL = struct.Struct("<iIQ6Q")
"""struct seccomp_data: the system call, the architecture, the place in the program, the arguments."""
RESPONSE = struct.Struct("<QqiI")
"""struct seccomp_notif_resp: the number, the result, the error, flags."""
CONTINUE = 1
STATE_MAX = 1 << 20


class Call:
    """A system call about which the filter asks.

    :ivar returned: what the profile's filter returns for it.
    :ivar is_of_runtime: is the runtime the caller, because it has not yet executed the container's program?
    """

    __slots__ = ("pid", "arch", "number", "arguments", "returned", "is_of_runtime")

    def __init__(self, pid: int, data: bytes, returned: int, is_of_runtime: bool) -> None:
        self.pid, self.returned, self.is_of_runtime = pid, returned, is_of_runtime
        self.number, self.arch, _, *arguments = CALL.unpack(data)
        self.arguments = tuple(arguments)

    @property
    def is_refused(self) -> bool:
        return not self.is_of_runtime and refuses(self.returned)

    @property
    def errno(self) -> int:
        """The error of a call that is refused; 0 if a signal ends the program."""
        action = self.returned & ACTION
        return self.returned & DATA if action == ERRNO else errno.ENOSYS if action == TRACE else 0


class Filtered:
    """The processes of one filter: the container's, or one that exec adds.

    :param fd: the filter's descriptor, which this object closes.
    :param pid: of the process that has loaded the filter.
    :param runtime: the file that ``ocirt run`` executes.
    """

    def __init__(self, fd: int, pid: int, program: bytes, runtime: "Executed | None") -> None:
        self.fd, self._pid, self._program, self._runtime = fd, pid, program, runtime
        self._has_begun = False

    def take(self, seen: "Seen") -> bool:
        """Take one notification and answer it.

        :returns: False if no process is left.
        """
        notification = bytearray(SIZE)
        try:
            ioctl(self.fd, RECEIVE, notification)
        except OSError as error:
            return error.errno in (errno.ENOENT, errno.EINTR)  # ENOENT: the caller has gone, or was interrupted
        identity, pid, _ = NOTIFICATION.unpack_from(notification)
        data = bytes(notification[NOTIFICATION.size :])
        call = Call(pid, data, answer(self._program, data), self._is_runtime(pid))
        seen(call)
        self._respond(identity, call)
        return True

    def _respond(self, identity: int, call: Call) -> None:
        if call.is_refused and not call.errno:
            _kill(call.pid)
        try:
            ioctl(
                self.fd,
                SEND,
                RESPONSE.pack(identity, 0, -call.errno, 0)
                if call.is_refused
                else RESPONSE.pack(identity, 0, 0, CONTINUE),
            )
        except OSError as error:
            if error.errno != errno.ENOENT:  # the caller has gone
                raise

    def _is_runtime(self, pid: int) -> bool:
        """Is the process still the runtime's own? An ordinary filter is loaded right before the program is executed, but
        one that asks is loaded earlier, and what the runtime does in between is not the profile's matter. Once the
        process that has loaded the filter executes the program, everything is.
        """
        own = _executed(self._pid)
        self._has_begun = self._has_begun or (own is not None and not self._is_ours(own))
        if self._has_begun:
            return False
        found = _executed(pid)
        return pid == self._pid or (found is not None and self._is_ours(found))

    def _is_ours(self, file: "Executed") -> bool:
        """The runtime has put an empty file in the place of its executable (core/launch/detach.c), or where the kernel
        does not let it, a copy.
        """
        return not file[2] or file == self._runtime


def _executed(pid: int) -> "Executed | None":
    """The identity and the size of the file that a process executes; ``None`` if the caller may not look, as for the
    runtime's process in a user namespace.
    """
    try:
        status = os.stat(f"/proc/{pid}/exe")
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size


def _kill(pid: int) -> None:
    """Kill a process that waits for the answer to its call, and so still has this pid."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def serve(listener: socket.socket, pid: int, program: bytes, seen: "Seen") -> None:
    """Answer for all filters that come, until ``ocirt run`` has ended.

    :param pid: of ``ocirt run``, a child of this process.
    :param program: the profile's filter.
    """
    filters: dict[int, Filtered] = {}
    child, poll = os.pidfd_open(pid), select.poll()
    poll.register(child, select.POLLIN)
    poll.register(listener, select.POLLIN)
    try:
        while True:
            ready = dict(poll.poll())
            for fd, events in ready.items():
                if fd in filters and not (events & select.POLLIN and filters[fd].take(seen)):
                    poll.unregister(fd)
                    os.close(filters.pop(fd).fd)
            if listener.fileno() in ready:
                for each in _receive(listener, program, _executed(pid)):
                    filters[each.fd] = each
                    poll.register(each.fd, select.POLLIN)
            if child in ready and not any(fd in filters for fd in ready):
                return
    finally:
        for fd in [child, *filters]:
            os.close(fd)


def _receive(listener: socket.socket, program: bytes, runtime: "Executed | None") -> "list[Filtered]":
    """The filter whose descriptor the runtime sends with the container process state."""
    connection, _ = listener.accept()
    with connection:
        text, fds, _, _ = socket.recv_fds(connection, STATE_MAX, 1)
        while fds and (part := connection.recv(STATE_MAX)):
            text += part
    state = parse(text.decode())[0] if fds else {}
    return [Filtered(fd, state["pid"], program, runtime) for fd in fds]
