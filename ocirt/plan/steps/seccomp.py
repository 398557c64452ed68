"""Steps that install the seccomp filter."""

from .base import Step


class LoadSeccomp(Step):
    """Load the BPF program ``filter`` with ``flags`` (SECCOMP_FILTER_FLAG_*) by seccomp(2). From now on the
    filter applies to what the executor itself does, so only Exec may follow."""

    sections = ("init", "exec_program")
    fields = {"filter": "bytes", "flags": "number"}
    sentence = "load the seccomp filter"


class FilterHooks(Step):
    """Have each hook of this section load the filter, as LoadSeccomp does, right before it is executed."""

    sections = ("exec_program",)
    fields = {"filter": "bytes", "flags": "number"}
    sentence = "have hooks load the seccomp filter"


class LoadNotifyingSeccomp(Step):
    """Load a filter that notifies an agent, as LoadSeccomp does, with SECCOMP_FILTER_FLAG_NEW_LISTENER among
    ``flags``.

    The step sends the filter's descriptor over ``socket`` with the container process state, which contains
    ``metadata`` (empty for none) and the container's ``status``; then both descriptors are closed. A thread to
    which the filter does not apply sends them, so that a profile may notify of, or forbid, any system call.
    With ``ready`` 1 the thread also sends the event ``ready`` afterwards.
    """

    sections = ("init",)
    fields = {
        "filter": "bytes",
        "flags": "number",
        "socket": "takes",
        "metadata": "text",
        "status": "text",
        "ready": "number",
    }
    defaults = {"ready": 0}
    sentence = "load the seccomp filter and send its descriptor to the agent"
