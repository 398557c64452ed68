"""Steps that run other programs: hooks and helpers."""

from .base import NONE, Step


class RunHook(Step):
    """Run a hook with the state on standard input and wait for it, in the namespaces of the section's process.

    ``status`` is the state's status, ``timeout`` is in seconds (0 for none), and ``warn`` 1 makes a failure a
    warning (poststop). With empty ``args`` argv is only ``path``. ``env`` is the whole environment; with
    ``inherit`` 1 it is the runtime's own. The registers ``stdout`` and ``stderr`` hold files for the hook's
    output; without these files the error quotes the end of the output.
    """

    sections = ("host", "init", "exec_program", "after_start", "delete")
    fields = {
        "path": "text",
        "args": "texts",
        "env": "texts",
        "timeout": "number",
        "status": "text",
        "warn": "number",
        "inherit": "number",
        "stdout": "fd",
        "stderr": "fd",
    }
    defaults = {"warn": 0, "inherit": 0, "stdout": NONE, "stderr": NONE}
    sentence = "run hook {path}"
    doing = "hook"


class OpenHookOutput(Step):
    """Open the file ``path`` for appending into ``fd``, and create it if it is missing: hooks print to it. With
    ``warn`` 1 a failure is only a warning (delete)."""

    sections = ("host", "after_start", "delete")
    fields = {"fd": "fills", "path": "text", "warn": "number"}
    defaults = {"warn": 0}
    sentence = "open {path} for what hooks print"


class OpenInitNamespace(Step):
    """Open the namespace /proc/PID/ns/``file`` of init into ``fd``."""

    sections = ("host",)
    fields = {"fd": "fills", "file": "text"}
    sentence = "open the {file} namespace of the container"


class RunHelper(Step):
    """Run the helper ``helper``, a module of ocirt/helpers, with ``data`` (JSON) on standard input, and wait
    for it.

    The register ``record`` keeps what the helper prints. If the create fails at a later step, the executor runs
    the helper again, with this record as its input, to undo what it did. With a register ``network``, which
    holds a network namespace, the helper has four descriptors from 3 on: that namespace, the runtime's own, a
    netlink route socket in the runtime's, and one in the container's. With a register ``guard`` it has two
    more: one end of a socket, whose other end comes into the register, and the locked state directory. A
    process that the helper leaves behind undoes everything if the other end closes before the container is
    created.
    """

    sections = ("host",)
    fields = {"helper": "text", "data": "text", "record": "fills", "network": "fd", "guard": "fills"}
    defaults = {"network": NONE, "guard": NONE}
    sentence = "run the helper {helper}"
    doing = "helper"
