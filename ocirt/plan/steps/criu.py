"""Steps of the verb restore, with criu."""

from .base import Step


class PlaceCriuRoot(Step):
    """Make the directory ``path`` and mount a clone of the rootfs there, in the mount namespace of this process
    only. criu needs a rootfs over which nothing is mounted."""

    sections = ("stage",)
    fields = {"path": "text"}
    sentence = "mount the rootfs at {path} for criu"


class ExecCriu(Step):
    """Execute criu, the executable ``path`` with the environment ``env``, as a server on a socket (``criu
    swrk``); the other end of the socket goes to the runtime. The step opens the directories ``images`` and
    ``work`` as the descriptors ``images_fd`` and ``work_fd`` (-1 for none), because criu looks for these in the
    process that has made the socket."""

    sections = ("stage",)
    fields = {
        "path": "text",
        "env": "texts",
        "images": "text",
        "images_fd": "number",
        "work": "text",
        "work_fd": "number",
    }
    sentence = "execute criu ({path})"


class MeetCriu(Step):
    """Receive the socket to criu, which ExecCriu has made, into ``fd``."""

    sections = ("host",)
    fields = {"fd": "fills"}
    sentence = "have criu restore the processes"
    doing = "wait"


class TalkToCriu(Step):
    """Have a helper (ocirt/helpers/criu.py) speak with criu on the socket ``criu``, until criu has come to the point ``until``
    and waits, or, if that is empty, until it has restored the container. ``data`` is JSON: the request with which the
    conversation begins, if it begins here, and the path of criu's log.

    At a point the journal gets the pid of the container's first process from criu. The helper sends the master of the
    container's terminal over the socket ``console``, or, if that is none, to the runtime.
    """

    sections = ("host",)
    fields = {"criu": "fd", "console": "fd", "until": "text", "data": "text"}
    sentence = "have criu restore the processes"
    doing = "helper"


class RunWithin(Step):
    """Run ``section`` in a child, and wait for its end."""

    sections = ("host",)
    fields = {"section": "section"}
    sentence = "run the steps of {section}"
    doing = "wait"


class FinishRestore(Step):
    """Wait for the end of criu, which is the child and writes the log ``log``, remove the directory ``root``, which PlaceCriuRoot has made, write
    state.json and set the journal's phase to running."""

    sections = ("host",)
    fields = {"root": "text", "log": "text"}
    sentence = "have criu restore the processes"
