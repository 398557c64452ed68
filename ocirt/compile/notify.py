"""What a service manager passes to the container, as in runc: descriptors (sd_listen_fds(3)) and the socket for the
container to say that it is ready (sd_notify(3)).

The container does not get the manager's socket, because the manager accepts messages of the runtime's process only. The
container gets a socket of its own, in the state directory, and the runtime passes on its messages.
"""

from ..plan.steps import NODEV, NOEXEC, NOSUID, RDONLY, ListenNotify, MakeNotifyDirectory, RelayNotify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.request import Request
    from ..model.text import Template, Trace
    from ..plan.steps import Step

AT = "NOTIFY_SOCKET"
INSIDE = "/run/notify"
SOCKET = "notify.sock"
ATTRIBUTES = RDONLY | NOSUID | NODEV | NOEXEC


def environment(request: "Request") -> list[str]:
    """The variables for the environment of the process."""
    found = []
    if request.listen_fds:
        # A container's first process has pid 1 in its pid namespace.
        found += [f"LISTEN_FDS={request.listen_fds}", "LISTEN_PID=1"]
    if request.notify_socket is not None:
        found.append(f"{AT}={INSIDE}/{SOCKET}")
    return found


def prepare(request: "Request") -> "list[Step]":
    """Steps of the host, before a mount needs the directory."""
    return [MakeNotifyDirectory(AT, "")] if request.notify_socket is not None else []


def source(request: "Request", trace: "Trace") -> "Template | None":
    """The directory to bind at INSIDE with ATTRIBUTES, a host path; ``None`` if the caller has no NOTIFY_SOCKET."""
    if request.notify_socket is None:
        return None
    return request.text("root", trace) + "/" + request.text("id", trace) + "/notify"


def listen(request: "Request") -> "list[Step]":
    """Steps of the process that starts the container, before the program runs."""
    return [ListenNotify(AT, "")] if request.notify_socket is not None else []


def relay(request: "Request") -> "list[Step]":
    """Steps at the end of ``start`` and of a detached ``run``. A ``run`` in the foreground passes messages on while it
    waits.
    """
    return [RelayNotify(AT, "")] if request.notify_socket is not None and request.is_detached else []
