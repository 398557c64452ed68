"""The conversation of restore with criu (TalkToCriu), which continues from one step to the next.

criu is no child of this process, and need not be: it looks for descriptors in the process that has made the socket.
"""

import os
import socket

from ..criu.message import NOTIFY, REQUEST, RESPONSE, RESTORE, decode, encode
from ..criu.talk import SECONDS, SIZE, logged
from ..errors import OcirtError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CAPABILITIES = ()
CRIU, CONSOLE = 3, 4
"""Descriptors of the step: the socket to criu, and the one that gets the master of the container's terminal."""
GO_ON = {"type": NOTIFY, "notify_success": True}


def run(data: "dict[str, Any]") -> int:
    """Send criu the request, or its permission to continue, and receive the answer.

    :param data: ``request`` (if the conversation begins), ``until``, the name of the point at which criu must wait
        (empty for its end), and ``log``, the path of criu's log.
    :returns: the pid of the container's first process, which criu reports at that point.
    :raises OcirtError: criu has failed.
    """
    with socket.socket(fileno=CRIU) as criu:
        criu.settimeout(SECONDS)
        _say(criu, data.get("request", GO_ON))
        while True:
            answer, descriptors = _hear(criu, data["log"])
            if answer["type"] == RESTORE:
                return 0
            if answer["type"] != NOTIFY:
                raise OcirtError(f"criu: its answer has the unexpected type {answer['type']}")
            notify = answer.get("notify", {})
            if data["until"] and notify.get("script") == data["until"]:
                return int(notify.get("pid", 0))
            if notify.get("script") == "orphan-pts-master" and descriptors:
                _send_terminal(descriptors)
            for fd in descriptors:
                os.close(fd)
            _say(criu, GO_ON)


def _send_terminal(descriptors: list[int]) -> None:
    try:
        with socket.socket(fileno=os.dup(CONSOLE)) as console:
            socket.send_fds(console, [b"terminal"], descriptors)
    except OSError as error:
        raise OcirtError(f"--console-socket: send the terminal: {reason(error)}") from None


def _say(criu: socket.socket, message: "dict[str, Any]") -> None:
    try:
        criu.send(encode(REQUEST, message))
    except (BrokenPipeError, ConnectionResetError):
        pass  # criu has left an answer, or has ended


def _hear(criu: socket.socket, log: str) -> "tuple[dict[str, Any], list[int]]":
    """criu's next answer, and the descriptors that come with it."""
    try:
        data, descriptors, *_ = socket.recv_fds(criu, SIZE, 1)
        answer = decode(RESPONSE, data) if data else None
    except ConnectionResetError:  # criu has not read everything
        return _hear(criu, log)
    except TimeoutError:
        raise OcirtError(f"criu: no answer for {SECONDS} s (see {log})") from None
    except ValueError as error:
        raise OcirtError(f"criu: {error} (see {log})") from None
    if answer and answer.get("success"):
        return answer, descriptors
    said = (answer or {}).get("cr_errmsg", "").partition("\n")[0] or logged(log)
    raise OcirtError(f"criu: {said or ('it failed' if answer else 'it died')} (see {log})")
