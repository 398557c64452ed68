"""Steps that call systemd.

``socket`` is a socket of the systemd manager, or of a message bus to which the manager is connected. The steps send
``greeting`` and then the ``calls`` (see ocirt/cgroups/dbus.py). ``timeout`` is in seconds.
"""

from .base import Step


class StartUnit(Step):
    """Make the ``calls``, of which the last one is StartTransientUnit, for the child that Spawn has made. Systemd works while
    the following steps run. The step journals the unit as intended."""

    sections = ("host",)
    fields = {
        "socket": "text",
        "greeting": "text",
        "calls": "texts",
        "unit": "text",
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
    """Make the ``calls``, of which the last one is StopUnit, if the journal says that this container has started the
    unit, and wait for the end of the job. A failure is only a warning: the cgroup is empty by then, and systemd stops an empty scope."""

    sections = ("delete",)
    fields = {
        "socket": "text",
        "greeting": "text",
        "calls": "texts",
        "unit": "text",
        "hierarchy": "text",
        "path": "text",
        "timeout": "number",
    }
    sentence = "stop the systemd unit {unit}"
    doing = "wait"


class SetUnitProperties(Step):
    """Make the ``calls``, SetUnitProperties and one more, if the unit still exists, and wait until systemd has written the
    resulting values into the unit's cgroup."""

    sections = ("update", "restore")
    fields = {
        "socket": "text",
        "greeting": "text",
        "calls": "texts",
        "unit": "text",
        "timeout": "number",
    }
    sentence = "change the systemd unit {unit}"
    doing = "wait"
