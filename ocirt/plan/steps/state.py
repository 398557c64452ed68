"""Steps that say what the state holds, keep it, or only say something."""

from .base import Step


class Nothing(Step):
    """Do nothing: this undoes a step that changes nothing."""

    sections = ("restore",)
    fields = {}
    sentence = "do nothing"


class Warn(Step):
    """Log ``message`` at level warning."""

    sections = ("host",)
    fields = {"message": "text"}
    sentence = "warn"


class WriteState(Step):
    """State section, always its first step: what the state says of this container. ``annotations`` is raw JSON
    text, ``{}`` if there are no annotations. ``request`` is one JSON object: what a later build needs to
    compile the container again."""

    sections = ("state",)
    fields = {
        "oci_version": "text",
        "id": "text",
        "bundle": "text",
        "rootfs": "text",
        "annotations": "text",
        "request": "text",
    }
    sentence = "write the state"


class TellPaused(Step):
    """State section: the container is paused while ``file`` of the cgroup says 1."""

    sections = ("state",)
    fields = {"hierarchy": "text", "path": "text", "file": "text"}
    sentence = "tell if the container is paused"


class TellOomKills(Step):
    """State section: in ``file`` of the cgroup, the number after the word ``key`` says how many processes the
    kernel has killed because memory ran out; the file ``peak`` (empty for none) says how much memory was in use
    at most."""

    sections = ("state",)
    fields = {"hierarchy": "text", "path": "text", "file": "text", "key": "text", "peak": "text"}
    defaults = {"peak": ""}
    sentence = "tell what the kernel has killed for want of memory"


class KeepResources(Step):
    """Write ``data`` (JSON) to resources.json in the state directory, by rename."""

    sections = ("update",)
    fields = {"data": "text"}
    sentence = "keep the resources"
