"""Steps that pass on what the container tells the service manager."""

from .base import Step


class MakeNotifyDirectory(Step):
    """Make the directory ``notify`` in the state directory, which the container gets as a bind mount."""

    sections = ("host",)
    fields = {}
    sentence = "make the directory of the notify socket"


class ListenNotify(Step):
    """Listen on the socket ``notify/notify.sock`` of the state directory, to which the container's processes
    may write. Skipped if the caller has no NOTIFY_SOCKET at this time."""

    sections = ("before_start",)
    fields = {}
    sentence = "listen on the notify socket"


class RelayNotify(Step):
    """Wait until the container has sent READY=1 or ended. Pass the message on to the caller's NOTIFY_SOCKET
    with the container's pid as MAINPID, and wait until the service manager has read it (sd_notify(3),
    BARRIER=1)."""

    sections = ("after_start",)
    fields = {}
    sentence = "pass the container's READY=1 on"
