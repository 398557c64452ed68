"""What the state says of a container, and steps that keep it or only say something."""

from .base import Record, Step


class Nothing(Step):
    """Do nothing: this undoes a step that changes nothing."""

    sections = ("restore",)
    fields = {}
    sentence = "do nothing"


class Warn(Step):
    """Log ``message`` at level warning."""

    sections = ("host", "update")
    fields = {"message": "text"}
    sentence = "warn"


class StoreContainer(Step):
    """Write config.json and the program into the state directory. Delete undoes with them what the following steps do, so this
    step comes before the first effect on the host. With ``listen`` 1 it also opens start.sock, on which init waits for ``start``;
    ``run`` starts init over the socket that the two share."""

    sections = ("host",)
    fields = {"listen": "number"}
    sentence = "write the state of the container"


class Facts(Record):
    """What a program knows of its container: no step, but a record of the program itself.

    The first six fields say what ``state`` prints and hooks get. ``annotations`` is raw JSON text, ``{}``
    without annotations. ``request`` is one JSON object: what a later build needs to compile the container again.

    The others name files of cgroups. The container is paused while ``paused_file`` of the cgroup ``freezer_path`` says 1.
    In ``oom_file`` of the cgroup ``memory_path``, the number after the word ``oom_key`` says how many processes the kernel
    has killed because memory ran out. ``peak_file`` says how much memory was in use at most. ``cpu_file`` of the cgroup
    ``cpu_path`` says how often a quota has held the container back. After the word
    ``max``, ``pids_file`` of the cgroup ``pids_path`` says how often the limit of processes has refused a new one. A file
    that is empty does not exist.
    """

    fields = dict.fromkeys(
        (
            "oci_version",
            "id",
            "bundle",
            "rootfs",
            "annotations",
            "request",
            "freezer_hierarchy",
            "freezer_path",
            "paused_file",
            "memory_hierarchy",
            "memory_path",
            "oom_file",
            "oom_key",
            "peak_file",
            "cpu_hierarchy",
            "cpu_path",
            "cpu_file",
            "pids_hierarchy",
            "pids_path",
            "pids_file",
        ),
        "text",
    )
    defaults = dict.fromkeys(fields, "")


class KeepResources(Step):
    """Write ``data`` (JSON) to resources.json in the state directory, by rename."""

    sections = ("update",)
    fields = {"data": "text"}
    sentence = "store the resources"
