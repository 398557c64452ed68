"""The conversation with ``criu swrk`` that Python leads: for checkpoints, and to ask what criu and the kernel support."""

import os
import socket

from ..errors import HostError, OcirtError, reason
from .message import FEATURE_CHECK, NOTIFY, REQUEST, RESPONSE, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .message import Message

SIZE = 40960
"""The largest answer in bytes, as in runc."""
SECONDS = 600
"""How many seconds criu may send nothing; saving a large image takes long."""


class Refused(OcirtError):
    """criu failed. ``said`` is criu's line with the reason, empty if criu printed none."""

    def __init__(self, message: str, said: str) -> None:
        super().__init__(message)
        self.said = said


def ask(criu: str, request: "Message", notified: "Callable[[str], None]" = lambda script: None) -> "dict[str, Any]":
    """Let criu carry out ``request``.

    :param criu: the executable.
    :param notified: called with the name of each point at which criu waits for an answer (``post-dump``, ...).
    :returns: criu's last answer, a mapping.
    :raises Refused: criu failed.
    """
    import subprocess  # heavy

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, os.fdopen(os.memfd_create("criu"), "rb") as output:
        ours.settimeout(SECONDS)
        with theirs:
            try:
                process = subprocess.Popen(
                    [criu, "swrk", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            except OSError as error:
                raise OcirtError(f"criu {criu}: {reason(error)}") from None
        answer = None
        try:
            ours.send(encode(REQUEST, request))
            answer = _answer(ours)
            while answer and answer.get("success") and answer.get("type") == NOTIFY:
                notified(answer.get("notify", {}).get("script", ""))
                ours.send(encode(REQUEST, {"type": NOTIFY, "notify_success": True}))
                answer = _answer(ours)
        except (BrokenPipeError, ConnectionResetError):
            pass  # its end tells the reason
        except TimeoutError:
            process.kill()
            process.wait()
            raise OcirtError(
                f"criu {criu}: process {process.pid} sent nothing for {SECONDS} s and was killed"
            ) from None
        ours.close()
        status = process.wait()
        if answer and answer.get("success"):
            return answer
        output.seek(0)
        said = last_error(output.read()) or (answer or {}).get("cr_errmsg", "").strip()
    if answer is None:
        raise Refused(f"it died: {'signal' if status < 0 else 'exit status'} {abs(status)}", said)
    raise Refused("it failed", said)


def _answer(ours: socket.socket) -> "dict[str, Any] | None":
    """criu's next answer, ``None`` at its end."""
    data = ours.recv(SIZE)
    try:
        return decode(RESPONSE, data) if data else None
    except ValueError as error:
        raise OcirtError(f"criu: {error}") from None


def last_error(data: bytes) -> str:
    """The last line of criu's log, or of its output, that names an error. The line that only says that criu has failed
    does not count if another line exists. Empty without such a line.
    """
    lines = [line[line.index(b"Error (") :] for line in data.splitlines() if b"Error (" in line]
    chosen = [line for line in lines if not line.endswith(b"FAILED.")] or lines
    return chosen[-1].decode(errors="replace").strip() if chosen else ""


def logged(log: str) -> str:
    """The last error in criu's log; empty if it has none, or cannot be read."""
    try:
        with open(log, "rb") as file:
            return last_error(file.read())
    except OSError:
        return ""


def need(criu: str, feature: str, flag: str) -> None:
    """Check that criu and the kernel have ``feature`` (see :data:`.message.FEATURES`), which ``flag`` needs.

    :raises HostError: they do not.
    """
    try:
        features = ask(criu, {"type": FEATURE_CHECK, "features": {feature: True}}).get("features", {})
    except Refused as error:
        raise HostError(flag, f"criu cannot say what it and the kernel support: {error.said or error}") from None
    if not features.get(feature):
        raise HostError(flag, f"criu or the kernel does not support it ({feature})")
