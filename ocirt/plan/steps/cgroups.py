"""Steps on cgroups: the runtime makes, limits, freezes and removes them, and a process joins them by itself."""

from .base import NONE, Step


class MakeCgroup(Step):
    """Make the directory ``path`` beneath the cgroup mount ``hierarchy``, with its parents.

    The step journals each directory that it makes under the directory's full path, so that delete removes these
    directories and no others. It copies the files named in ``inherit`` from the parent into each level in which
    they are empty, because a v1 cpuset takes no process before. If the last directory exists already, it must
    hold no process and must not be frozen. With a register ``fd`` the step opens the cgroup's ``file`` into the
    register, for writing; an empty ``file`` stands for the directory. With ``skip_unwritable`` 1 the step skips a
    hierarchy that the caller may not write (EACCES, EPERM, EROFS), and so does every later step on this
    hierarchy with ``skip_unwritable``. With ``owned_by_systemd`` 1 the last directory may hold the child, because
    systemd has made the directory.

    With ``unified`` 1 (cgroup v2) the step enables every controller that a cgroup above has for the children of
    that cgroup, as far as the kernel allows it. If a later step needs a file of a controller that could not be
    enabled, the later step says why. The last directory must be a domain, with no process in it or below it.
    """

    sections = ("host",)
    fields = {
        "hierarchy": "text",
        "path": "text",
        "inherit": "texts",
        "unified": "number",
        "skip_unwritable": "number",
        "owned_by_systemd": "number",
        "fd": "fills",
        "file": "text",
    }
    defaults = {"inherit": (), "unified": 0, "skip_unwritable": 0, "owned_by_systemd": 0, "fd": NONE, "file": ""}
    sentence = "make cgroup {hierarchy}{path}"


class WriteCgroup(Step):
    """Write ``value`` into ``file`` of the cgroup, each line with one write.

    Skips as MakeCgroup does; with ``skip_unwritable`` 2 it also warns that the limit is not applied. If the file
    ``usage`` exists, the error quotes its content.
    """

    sections = ("host", "resume", "update", "restore")
    fields = {
        "hierarchy": "text",
        "path": "text",
        "file": "text",
        "value": "text",
        "usage": "text",
        "skip_unwritable": "number",
    }
    defaults = {"usage": "", "skip_unwritable": 0}
    sentence = "write {value} to {hierarchy}{path}/{file}"


class WriteEitherCgroup(Step):
    """Write ``value`` into ``file`` of the cgroup, or, if this file is missing, ``other_value`` into
    ``other_file``. If ``other_file`` is empty, a missing file is no error. Skips as WriteCgroup does."""

    sections = ("host", "update", "restore")
    fields = {
        "hierarchy": "text",
        "path": "text",
        "file": "text",
        "value": "text",
        "other_file": "text",
        "other_value": "text",
        "skip_unwritable": "number",
    }
    defaults = {"other_file": "", "other_value": "", "skip_unwritable": 0}
    sentence = "write {value} to {hierarchy}{path}/{file}"


class WriteCgroupDifference(Step):
    """Write ``value`` - ``less`` into ``file`` of the cgroup. A negative difference is an error. If the
    difference is 0 a missing file is no error, because it means the same. Skips as WriteCgroup does."""

    sections = ("host", "update", "restore")
    fields = {
        "hierarchy": "text",
        "path": "text",
        "file": "text",
        "value": "number",
        "less": "number",
        "skip_unwritable": "number",
    }
    defaults = {"skip_unwritable": 0}
    sentence = "write {value} - {less} to {hierarchy}{path}/{file}"


class CheckMemoryUsage(Step):
    """Fail unless the memory that the v2 cgroup uses is below ``limit``, and its memory and swap together below
    ``swap``. A value that is not positive sets no bound. If the usage cannot be read, the step does nothing."""

    sections = ("host", "update")
    fields = {"hierarchy": "text", "path": "text", "limit": "number", "swap": "number"}
    defaults = {"limit": 0, "swap": 0}
    sentence = "check that the memory in use is below the new limit"


class LoadDeviceFilter(Step):
    """Load the BPF program ``filter`` (BPF_PROG_TYPE_CGROUP_DEVICE) and attach it to the v2 cgroup.

    The program replaces the one that an earlier LoadDeviceFilter attached; programs of others stay. With
    ``skip_unwritable`` 1 a failure is ignored, and a hierarchy that MakeCgroup skipped is skipped.
    """

    sections = ("host",)
    fields = {"hierarchy": "text", "path": "text", "filter": "bytes", "skip_unwritable": "number"}
    defaults = {"skip_unwritable": 0}
    sentence = "attach the device filter to {hierarchy}{path}"


class DelegateCgroup(Step):
    """Delegate the v2 cgroup to ``uid``: give this user the directory, and those of its files that
    /sys/kernel/cgroup/delegate lists. Skips as MakeCgroup does."""

    sections = ("host",)
    fields = {"hierarchy": "text", "path": "text", "uid": "number", "skip_unwritable": "number"}
    defaults = {"skip_unwritable": 0}
    sentence = "give {hierarchy}{path} to user {uid}"


class OpenCgroup(Step):
    """Open ``file`` of the cgroup for writing into register ``fd``; an empty ``file`` opens the directory. With
    ``optional`` 1 a missing file is no error."""

    sections = ("host", "init")
    fields = {
        "fd": "fills",
        "hierarchy": "text",
        "path": "text",
        "file": "text",
        "skip_unwritable": "number",
        "optional": "number",
    }
    defaults = {"skip_unwritable": 0, "optional": 0}
    sentence = "open {hierarchy}{path}/{file}"


class AssertThawed(Step):
    """Fail unless ``file`` of the cgroup has the line ``thawed``: a process that joins a frozen cgroup stops
    until somebody thaws it. A missing file is no error. The error consists of ``refusal`` alone."""

    sections = ("host",)
    fields = {"hierarchy": "text", "path": "text", "file": "text", "thawed": "text", "refusal": "text"}
    sentence = "check that {hierarchy}{path} is not frozen"


class AssertEmptyCgroup(Step):
    """Fail if a process lives in the cgroup or below it. A missing cgroup is no error."""

    sections = ("host",)
    fields = {"hierarchy": "text", "path": "text"}
    sentence = "check that {hierarchy}{path} has no processes"


class ThawCgroup(Step):
    """Thaw the cgroup and those below it if the container's first process lives, because a frozen process
    cannot be killed."""

    sections = ("delete",)
    fields = {"hierarchy": "text", "path": "text"}
    sentence = "thaw {hierarchy}{path}"


class FreezeCgroup(Step):
    """Freeze the cgroup.

    The step writes ``value`` into ``file`` until the file reads ``value``, again and again, because a v1 kernel
    can miss processes that keep being created. On v2 it then waits until the file ``events`` says that all
    processes are frozen. After ten seconds it writes ``undo`` and fails. It also fails if others have processes
    in a child cgroup that existed before the container.
    """

    sections = ("pause",)
    fields = {"hierarchy": "text", "path": "text", "file": "text", "value": "text", "undo": "text", "events": "text"}
    defaults = {"events": ""}
    sentence = "freeze {hierarchy}{path}"


class SignalCgroup(Step):
    """Send the signal of the command line to every process in the cgroup and below it, but not in child cgroups
    that existed before the container.

    The step opens a pidfd for each process, and looks the process up in the cgroup again before it signals.
    With SIGKILL it first writes to cgroup.kill, if that file exists, then thaws and signals until all processes
    have ended; after ten seconds it fails and names those that have not. ``outlive`` 1 says that processes may
    outlive the first one, because the pid namespace is not the container's own; then `kill` with SIGKILL means
    all of them.
    """

    sections = ("signal",)
    fields = {"hierarchy": "text", "path": "text", "outlive": "number"}
    defaults = {"outlive": 0}
    sentence = "signal the processes of {hierarchy}{path}"


class KillInit(Step):
    """Kill the container's first process and wait for its end, after earlier steps have removed what keeps it
    from dying."""

    sections = ("delete",)
    fields = {}
    sentence = "kill the container's first process"
    doing = "wait"


class RemoveCgroup(Step):
    """Kill the processes that remain in the cgroup and remove its child cgroups. If the journal says that this
    container made the directory and its parents, remove these too, except a parent in use."""

    sections = ("delete", "renew")
    fields = {"hierarchy": "text", "path": "text"}
    sentence = "remove cgroup {hierarchy}{path}"


class EnableControllers(Step):
    """Enable every controller for the children of each v2 cgroup above ``path``, as MakeCgroup does on its
    way."""

    sections = ("host", "update")
    fields = {"hierarchy": "text", "path": "text"}
    sentence = "enable controllers above {hierarchy}{path}"


class JoinCgroup(Step):
    """Write ``0`` to the register's file: a single-threaded process that moves itself need not wait for a grace
    period."""

    sections = ("stage", "init")
    fields = {"fd": "takes"}
    sentence = "join the cgroup"
