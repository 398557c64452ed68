"""Steps that call systemd.

``socket`` is a socket of the systemd manager, or, with ``bus`` 1, that of a message bus to which the manager is connected.
``owner`` is this user's uid in the manager's user namespace. ``timeout`` is in seconds.
"""

from .base import Step


class StartUnit(Step):
    """Call StartTransientUnit with ``body`` (see ocirt/cgroups/dbus.py) for the child that Spawn has made. Systemd works while the
    following steps run. The step journals the unit as intended."""

    sections = ("host",)
    fields = {
        "socket": "text",
        "bus": "number",
        "owner": "number",
        "unit": "text",
        "body": "texts",
        "timeout": "number",
    }
    sentence = "start the systemd unit {unit}"


class AwaitUnit(Step):
    """Wait until systemd has put the child into the cgroup of the unit that StartUnit has asked for. That is ``path`` of
    ``hierarchy``, whose lines in /proc/PID/cgroup have ``mark`` after the number.

    The step journals the unit as the container's, but the cgroup as one that existed before, because systemd
    removes it.
    """

    sections = ("host",)
    fields = {"unit": "text", "hierarchy": "text", "path": "text", "mark": "text"}
    sentence = "start the systemd unit {unit}"
    doing = "wait"


class StopUnit(Step):
    """Call StopUnit if the journal says that this container has started the unit, and wait for the end of the
    job. A failure is only a warning: the cgroup is empty by then, and systemd stops an empty scope."""

    sections = ("delete",)
    fields = {
        "socket": "text",
        "bus": "number",
        "owner": "number",
        "unit": "text",
        "hierarchy": "text",
        "path": "text",
        "timeout": "number",
    }
    sentence = "stop the systemd unit {unit}"
    doing = "wait"


class SetUnitProperties(Step):
    """Call SetUnitProperties with ``body`` if the unit still exists, and wait until systemd has written the
    resulting values into the unit's cgroup."""

    sections = ("update", "restore")
    fields = {
        "socket": "text",
        "bus": "number",
        "owner": "number",
        "unit": "text",
        "body": "texts",
        "timeout": "number",
    }
    sentence = "change the systemd unit {unit}"
    doing = "wait"
