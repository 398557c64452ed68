"""Steps of the verb restore, with criu."""

from .base import Step


class PlaceCriuRoot(Step):
    """Make the directory ``path`` and mount a clone of the rootfs there, in the mount namespace of this process
    only. criu needs a rootfs over which nothing is mounted."""

    sections = ("stage",)
    fields = {"path": "text"}
    sentence = "mount the rootfs at {path} for criu"


class MakeMountPoint(Step):
    """Make the directory ``path`` in the rootfs if it is missing: criu mounts there."""

    sections = ("stage",)
    fields = {"path": "text"}
    sentence = "make the mount point {path}"


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


class RestoreProcesses(Step):
    """Have the child, which is criu, carry out the request ``message`` (ocirt/criu/message.py), until it has
    restored the container.

    When criu has made the namespaces, the executor runs the sections in_criu_netns and at_criu_namespaces; when criu has
    restored everything, it runs the section in_restored_mntns. It sends the master of the container's terminal over the
    socket ``console``, if there is one, and then sets the journal's phase to running. ``log`` is criu's log,
    ``root`` the directory that PlaceCriuRoot has made.
    """

    sections = ("host",)
    fields = {"message": "bytes", "log": "text", "console": "fd", "root": "text"}
    sentence = "restore the processes with criu"
