"""Steps on resctrl groups.

``root`` is the mount point of resctrl, ``path`` a group's directory beneath it (``.`` for the default group).
"""

from .base import Step


class MakeResctrlGroup(Step):
    """Make the group, and journal that, unless the group exists. With ``make`` 0 a missing group is an
    error."""

    sections = ("host",)
    fields = {"root": "text", "path": "text", "make": "number"}
    sentence = "make the resctrl group {root}/{path}"


class WriteResctrlSchema(Step):
    """Write the line ``value`` into the group's file schemata."""

    sections = ("host", "update", "restore")
    fields = {"root": "text", "path": "text", "value": "text"}
    sentence = "write {value} to {root}/{path}/schemata"


class JoinResctrlGroup(Step):
    """Write init's pid into the group's file tasks."""

    sections = ("host",)
    fields = {"root": "text", "path": "text"}
    sentence = "add the container's first process to {root}/{path}/tasks"


class RemoveResctrlGroup(Step):
    """Remove the group if the journal says that this container made it. With ``keep`` 1 the step does so only
    after a failed create, and only if the group holds no process."""

    sections = ("delete",)
    fields = {"root": "text", "path": "text", "keep": "number"}
    sentence = "remove the resctrl group {root}/{path}"
