"""Steps by which the runtime and its child, the stage and then init, are made and speak with each other."""

from .base import NONE, Step


class OpenSocket(Step):
    """Connect to the unix stream socket ``path`` (``--console-socket``, ``--pidfd-socket``,
    ``org.ocirt.rootfs.receiver``, ``org.ocirt.network.receiver``)."""

    sections = ("host",)
    fields = {"fd": "fills", "path": "text"}
    sentence = "connect to {path}"


class Close(Step):
    """Close the register's descriptor in this process; a child that was made before has its own."""

    sections = ("host", "stage", "init")
    fields = {"fd": "takes"}
    sentence = "close a descriptor"


class Spawn(Step):
    """Create a child that runs ``section`` (clone3(2)).

    ``flags`` are CLONE_NEW*, and ``cgroup`` is a v2 directory for CLONE_INTO_CGROUP. With ``allow_caller_cgroup`` 1 the child
    stays in the caller's cgroup, with a warning, if its own cgroup was skipped or may not be entered (EACCES);
    with 2 it does so without a warning if its own cgroup was skipped.
    If the cgroup takes no process (EBUSY, because the container has handed its controllers on), a child that
    joins an existing container is made in the cgroup of that container's first process, beneath the cgroup
    mount ``hierarchy``.

    Section init is the container's first process, whether the host or the stage spawns it. Its pid goes into
    the journal.
    """

    sections = ("host", "stage")
    fields = {
        "section": "section",
        "flags": "number",
        "cgroup": "fd",
        "allow_caller_cgroup": "number",
        "hierarchy": "text",
    }
    defaults = {"cgroup": NONE, "allow_caller_cgroup": 0, "hierarchy": ""}
    sentence = "start the {section} process"


class Send(Step):
    """Send ``event``, an index into EVENTS, to the other side (init or host). The descriptors in the ``count``
    registers from ``first`` on are sent along and closed on this side. With ``optional`` 1 the last of these
    registers may be empty."""

    sections = ("host", "stage", "init")
    fields = {"event": "event", "first": "fd", "count": "number", "optional": "number"}
    defaults = {"first": NONE, "count": 0, "optional": 0}
    sentence = "send the event {event}"


class Receive(Step):
    """Wait for ``event`` from the other side. If the other side fails or ends, the step fails. The descriptors
    of the message fill the ``count`` registers from ``first`` on. With ``optional`` 1 the last descriptor may
    be missing, and its register is then empty."""

    sections = ("host", "stage", "init")
    fields = {"event": "event", "first": "fd", "count": "number", "optional": "number"}
    defaults = {"first": NONE, "count": 0, "optional": 0}
    sentence = "wait for the event {event}"
    doing = "wait"


class SendPidfd(Step):
    """Send init's pidfd over the socket in ``fd`` (``--pidfd-socket``)."""

    sections = ("host",)
    fields = {"fd": "fd"}
    sentence = "send the pidfd of init"


class Lend(Step):
    """Send the descriptor in ``lent``, if it is one, over the socket in ``fd``: what OpenScratch has made
    (``org.ocirt.rootfs.receiver``), or the network namespace (``org.ocirt.network.receiver``). With ``waits`` 1 wait for
    the byte with which the receiver says that it has put its files there, or has connected the namespace."""

    sections = ("host", "init")
    fields = {"fd": "fd", "lent": "fd", "waits": "number"}
    sentence = "lend the receiver a descriptor"


class PreparePidFile(Step):
    """Write init's pid into a file without a name in the directory of ``path``, if the file system supports
    such files."""

    sections = ("host",)
    fields = {"path": "text"}
    sentence = "write the pid file {path}"


class WritePidFile(Step):
    """Give the file with init's pid the name ``path`` (``--pid-file``). If PreparePidFile could not make the
    file, this step makes it."""

    sections = ("host",)
    fields = {"path": "text"}
    sentence = "write the pid file {path}"


class Commit(Step):
    """Commit the container as created: write state.json and set the journal's phase. After this step init no
    longer ends with the runtime."""

    sections = ("host",)
    fields = {}
    sentence = "commit the container"


class OpenContainerRoot(Step):
    """Open the root directory of the container's first process into ``fd``."""

    sections = ("host",)
    fields = {"fd": "fills"}
    sentence = "open the root directory of the container"


class Release(Step):
    """Let the child execute its program (event committed), and wait until it has, which closes the child's end
    of the socket. With ``relay`` 1 signals that arrive from now on are kept for the process."""

    sections = ("host",)
    fields = {"relay": "number"}
    sentence = "wait for the program"
    doing = "wait"


class AssertRunning(Step):
    """Fail if the container's first process has ended."""

    sections = ("init",)
    fields = {}
    sentence = "check that the container lives"
