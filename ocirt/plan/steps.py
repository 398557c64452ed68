"""The steps of which a plan consists: their one definition.

Each class below is one step. ``fields`` are, in order, what the executor gets. ``steps.h`` (:mod:`ocirt.generate`) and the
encoder (:mod:`ocirt.plan.encode`) are derived from these fields, and ``docs/steps.md`` (:mod:`ocirt.plan.document`) from the
classes and their docstrings, which the C handlers implement. A field has one of these kinds:

``text``     one string: ``str``, :class:`~ocirt.model.text.Text` or ``Template``
``texts``    a list of strings, in which a ``Texts`` (list slot) may stand among plain ones
``number``   a signed 64-bit integer: ``int`` or :class:`~ocirt.model.text.Number`
``fd``       the number of a descriptor register (below REGISTERS), which an earlier step fills
``fills``    the number of a register that this step fills
``takes``    the number of a register that this step empties, because it uses the descriptor up
``section``  the name of a section of the plan
``bytes``    data of any length, unchanged

A step carries a decision that the compiler has made. If a new step had to decide something, the compiler should decide it
instead. A step's number is its place in this file. The build id covers this file, so the order may change from build to
build.

This module imports nothing, because every create that misses the cache loads it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..model.text import Field

SECTIONS = (
    "host",
    "stage",
    "init",
    "starting",
    "begin",
    "started",
    "signal",
    "pause",
    "resume",
    "update",
    "restore",
    "delete",
    "state",
    "entered",
    "namespaces",
    "restored",
)
"""Sections, by the process that runs them and when.

host        the runtime's process at create, in the runtime's namespaces
stage       the intermediate child that joins namespaces; only if there are namespaces to join
init        the process that becomes the container, before ``start``; in the program of an exec, the process that is added,
            whose last step executes the command
starting    the process that runs ``start`` (or ``run``), before it sends the request to init
begin       the same process as init, after the request of ``start``
started     the process that runs ``start``, after init has executed the program
signal      ``kill --all``
pause       ``pause``
resume      ``resume``, and ``kill`` with SIGKILL
update      ``update``, in a program of its own
restore     the undoing of a failed update: one step for each step of ``update``, in reverse order, except KeepResources
delete      ``delete``, and the undoing of a failed create
state       what ``state`` prints and hooks get, and which files it reads for that
entered     the verb ``restore``, in a child that enters namespaces which criu has just made
namespaces  the verb ``restore``, when criu has made the namespaces and the first process in them
restored    the verb ``restore``, in a child that enters the container's mount namespace after criu has restored everything
            and before any process continues
"""

EVENTS = (
    "spawned",
    "mapped",
    "mounted",
    "hooked",
    "ready",
    "committed",
    "known",
    "placed",
    "unshared",
    "opened",
    "filled",
    "lent",
    "handed",
    "made",
    "moved",
)
"""The messages between the runtime and its child (first the stage, then init). Each is sent at most once, except lent and
handed.

spawned    stage to host: init exists. The message carries init's pid and pidfd; the stage sends it without a Send step
mapped     host to the child: the id maps of the user namespace are written
mounted    init to host: all mounts are made, pivot_root is not (prestart and createRuntime hooks run now)
hooked     host to init: those hooks have run
ready      init to host: everything is applied except the program itself
committed  host to init, in the program of an exec: execute the command
known      host to init: the journal holds init's pid in the runtime's pid namespace. The message carries the pid
placed     host to the child: its cgroups exist, or systemd has put it into its own, and the limits are written
unshared   init to host: init is in its namespaces. The message carries a socket of its network namespace, and file systems
           that belong to its namespaces
opened     host to init: the message carries the mounts that the host has made
filled     host to init: the message carries the mounts into which the host has bound cgroups
lent       init to host: the message carries a mount whose ids the host is to map
handed     host to init: the message carries one of many mounts, which the host has opened or has got by lent
made       host to the child: systemd has put the child into its scope, and the cgroup beneath the scope exists
moved      the child to host: the child is in that cgroup
"""

RDONLY, NOSUID, NODEV, NOEXEC, NODIRATIME, NOSYMFOLLOW = 0x1, 0x2, 0x4, 0x8, 0x80, 0x200000
"""MOUNT_ATTR_* bits, mount_setattr(2): fields ``set`` and ``clear`` of steps on mounts."""

UNBINDABLE, PRIVATE, SLAVE, SHARED = 1 << 17, 1 << 18, 1 << 19, 1 << 20
"""MS_* flags, mount(2): fields ``propagation``."""

REGISTER_KINDS = ("fd", "fills", "takes")
"""Kinds of fields that are numbers of descriptor registers."""

REGISTERS = 1024
"""How many descriptor registers there are."""

PASSED = 64
"""How many descriptors one event can carry."""

NONE = -1
"""In an ``fd`` field: no descriptor."""


class Step:
    """One step. ``at`` is the JSON path, flag or rule that asked for the step, ``spec`` the section of the
    specification that it follows.

    ``sections`` are the sections in which the step may stand, ``fields`` the names and kinds of its fields,
    ``defaults`` the values of fields that a plan may leave out, and ``sentence`` the words with which an error
    says what the step was to do.
    """

    __slots__ = ("at", "spec", "values")
    sections: tuple[str, ...] = ()
    fields: dict[str, str] = {}
    defaults: "dict[str, Field]" = {}
    sentence = ""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # of a field, as its kind says

    def __init_subclass__(cls) -> None:
        for index, name in enumerate(cls.fields):

            def value(step: Step, index: int = index) -> "Field":
                return step.values[index]

            setattr(cls, name, property(value))

    def __init__(self, at: str, spec: str = "", **values: "Field") -> None:
        for name, default in self.defaults.items():
            values.setdefault(name, default)
        self.at, self.spec = at, spec
        self.values = tuple([values.pop(name) for name in self.fields])
        if values:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(values)}")

    def __eq__(self, other: object) -> bool:
        from ..model.text import bound  # what a create has no need of

        return (
            type(self) is type(other)
            and (self.at, self.spec) == (other.at, other.spec)
            and (list(map(bound, self.values)) == list(map(bound, other.values)))
        )

    __hash__ = None  # type: ignore[assignment]  # equal by value, of which some have no hash

    def __repr__(self) -> str:
        fields = " ".join(f"{name}={value!r}" for name, value in zip(self.fields, self.values))
        return f"<{type(self).__name__} {fields} at={self.at}>"


# ---- the runtime's side: cgroups ----


class MakeCgroup(Step):
    """Make the directory ``path`` beneath the cgroup mount ``hierarchy``, with its parents.

    The step journals each directory that it makes under the directory's full path, so that delete removes these
    directories and no others. It copies the files named in ``inherit`` from the parent into each level in which
    they are empty, because a v1 cpuset takes no process before. If the last directory exists already, it must
    hold no process and must not be frozen. With a register ``fd`` the step opens the cgroup's ``file`` into the
    register, for writing; an empty ``file`` stands for the directory. With ``tolerate`` 1 the step skips a
    hierarchy that the caller may not write (EACCES, EPERM, EROFS), and so does every later step on this
    hierarchy with ``tolerate``. With ``held`` 1 the last directory may hold the child, because systemd has made
    the directory.

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
        "tolerate": "number",
        "held": "number",
        "fd": "fills",
        "file": "text",
    }
    defaults = {"inherit": (), "unified": 0, "tolerate": 0, "held": 0, "fd": NONE, "file": ""}
    sentence = "make cgroup {hierarchy}{path}"


class WriteCgroup(Step):
    """Write ``value`` into ``file`` of the cgroup, each line with one write.

    Skips as MakeCgroup does; with ``tolerate`` 2 it also warns that the limit is not applied. If the file
    ``usage`` exists, the error quotes its content.
    """

    sections = ("host", "resume", "update", "restore")
    fields = {
        "hierarchy": "text",
        "path": "text",
        "file": "text",
        "value": "text",
        "usage": "text",
        "tolerate": "number",
    }
    defaults = {"usage": "", "tolerate": 0}
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
        "tolerate": "number",
    }
    defaults = {"other_file": "", "other_value": "", "tolerate": 0}
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
        "tolerate": "number",
    }
    defaults = {"tolerate": 0}
    sentence = "write {value} - {less} to {hierarchy}{path}/{file}"


class CheckMemoryUsage(Step):
    """Fail unless the memory that the v2 cgroup uses is below ``limit``, and its memory and swap together below
    ``swap``. A value that is not positive sets no bound. If the usage cannot be read, the step does nothing."""

    sections = ("host", "update")
    fields = {"hierarchy": "text", "path": "text", "limit": "number", "swap": "number"}
    defaults = {"limit": 0, "swap": 0}
    sentence = "find the memory in use below the new limit"


class LoadDeviceFilter(Step):
    """Load the BPF program ``filter`` (BPF_PROG_TYPE_CGROUP_DEVICE) and attach it to the v2 cgroup.

    The program replaces the one that an earlier LoadDeviceFilter attached; programs of others stay. With
    ``tolerate`` 1 a failure is ignored, and a hierarchy that MakeCgroup skipped is skipped.
    """

    sections = ("host",)
    fields = {"hierarchy": "text", "path": "text", "filter": "bytes", "tolerate": "number"}
    defaults = {"tolerate": 0}
    sentence = "attach the device filter to {hierarchy}{path}"


class DelegateCgroup(Step):
    """Delegate the v2 cgroup to ``uid``: give this user the directory, and those of its files that
    /sys/kernel/cgroup/delegate lists. Skips as MakeCgroup does."""

    sections = ("host",)
    fields = {"hierarchy": "text", "path": "text", "uid": "number", "tolerate": "number"}
    defaults = {"tolerate": 0}
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
        "tolerate": "number",
        "optional": "number",
    }
    defaults = {"tolerate": 0, "optional": 0}
    sentence = "open {hierarchy}{path}/{file}"


class AssertThawed(Step):
    """Fail unless ``file`` of the cgroup has the line ``thawed``: a process that joins a frozen cgroup stops
    until somebody thaws it. A missing file is no error. The error consists of ``refusal`` alone."""

    sections = ("host",)
    fields = {"hierarchy": "text", "path": "text", "file": "text", "thawed": "text", "refusal": "text"}
    sentence = "look whether {hierarchy}{path} is frozen"


class AssertEmptyCgroup(Step):
    """Fail if a process lives in the cgroup or below it. A missing cgroup is no error."""

    sections = ("host",)
    fields = {"hierarchy": "text", "path": "text"}
    sentence = "look whether {hierarchy}{path} has processes"


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


class RemoveCgroup(Step):
    """Kill the processes that remain in the cgroup and remove its child cgroups. If the journal says that this
    container made the directory and its parents, remove these too, except a parent in use."""

    sections = ("delete",)
    fields = {"hierarchy": "text", "path": "text"}
    sentence = "remove cgroup {hierarchy}{path}"


class EnableControllers(Step):
    """Enable every controller for the children of each v2 cgroup above ``path``, as MakeCgroup does on its
    way."""

    sections = ("host",)
    fields = {"hierarchy": "text", "path": "text"}
    sentence = "enable controllers above {hierarchy}{path}"


# ---- the runtime's side: systemd ----
# ``socket`` is a socket of the systemd manager, or, with ``bus`` 1, that of a message bus to which the manager is connected.
# ``owner`` is this user's uid in the manager's user namespace. ``timeout`` is in seconds.


class StartUnit(Step):
    """Call StartTransientUnit with ``body`` (see ocirt/cgroups/dbus.py) for the child that Spawn has made and
    that waits, then wait until systemd has put the child into the unit's cgroup, which is ``path``.

    The step journals the unit as the container's, but the cgroup as one that existed before, because systemd
    removes it.
    """

    sections = ("host",)
    fields = {
        "socket": "text",
        "bus": "number",
        "owner": "number",
        "unit": "text",
        "body": "texts",
        "hierarchy": "text",
        "path": "text",
        "timeout": "number",
    }
    sentence = "start the systemd unit {unit}"


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


# ---- the runtime's side: resctrl ----
# ``root`` is the mount point of resctrl, ``path`` a group's directory beneath it (``.`` for the default group).


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

    sections = ("host", "namespaces")
    fields = {"root": "text", "path": "text"}
    sentence = "add the container's first process to {root}/{path}/tasks"


class RemoveResctrlGroup(Step):
    """Remove the group if the journal says that this container made it. With ``keep`` 1 the step does so only
    after a failed create, and only if the group holds no process."""

    sections = ("delete",)
    fields = {"root": "text", "path": "text", "keep": "number"}
    sentence = "remove the resctrl group {root}/{path}"


# ---- the runtime's side: the child ----


class OpenNamespace(Step):
    """Open the namespace file ``path`` into ``fd`` and check that it is of kind ``kind`` (a CLONE_NEW*
    flag)."""

    sections = ("host",)
    fields = {"fd": "fills", "path": "text", "kind": "number"}
    sentence = "open namespace {path}"


class AssertNotHostNamespace(Step):
    """Fail if the register's namespace is the runtime's own (/proc/self/ns/``file``), because what the
    container sets in it would be set on the host."""

    sections = ("host",)
    fields = {"fd": "fd", "file": "text"}
    sentence = "set it in the container's namespace only"


class MakeIdMapping(Step):
    """Open into ``fd`` a user namespace whose maps are ``uids`` and ``gids`` (lines of container id, host id,
    size). No process stays in the namespace: it only serves as a mapping for mounts."""

    sections = ("host",)
    fields = {"fd": "fills", "uids": "text", "gids": "text"}
    sentence = "make the id mapping of a mount"


class OpenMount(Step):
    """Clone the mounts at ``source`` (a host path) into ``fd``, if init cannot: init may not be able to reach
    the path or to map its ids, or its clone would be no peer of the host's mount.

    ``recursive`` also clones the mounts beneath the path; ``nofollow`` 1 clones a symlink itself. With
    ``leave`` 1 a source beneath the rootfs is left to Bind, which runs after the mounts before it.
    ``propagation`` (one MS_* flag, 0 for no change) applies to the whole tree. ``mapping`` is a register with
    the user namespace whose maps the mount gets; with ``mapping_recursive`` 1 the mounts below get them too.
    """

    sections = ("host",)
    fields = {
        "fd": "fills",
        "source": "text",
        "recursive": "number",
        "nofollow": "number",
        "propagation": "number",
        "mapping": "fd",
        "mapping_recursive": "number",
        "leave": "number",
    }
    defaults = {"leave": 0, "recursive": 0, "nofollow": 0, "propagation": 0, "mapping": NONE, "mapping_recursive": 0}
    sentence = "bind {source}"


class MapLent(Step):
    """If the ``source`` of a Bind lies beneath the rootfs, wait until init lends the tree that it has opened
    there, map its ids as OpenMount does, and hand the tree back. ``fd`` holds the tree meanwhile. If the source
    lies elsewhere the step does nothing, because OpenMount has mapped the ids."""

    sections = ("host",)
    fields = {"fd": "fills", "source": "text", "mapping": "fd", "mapping_recursive": "number"}
    sentence = "map the ids of {source}"


class OpenFilesystem(Step):
    """Create the context (fsopen(2)) of the new file system that a later Mount attaches, in ``fd``."""

    sections = ("host", "init")
    fields = {"fd": "fills", "fstype": "text", "source": "text", "target": "text", "options": "texts"}
    sentence = "mount {fstype} at {target}"


class OpenSocket(Step):
    """Connect to the unix stream socket ``path`` (``--console-socket``, ``--pidfd-socket``)."""

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

    ``flags`` are CLONE_NEW*, and ``cgroup`` is a v2 directory for CLONE_INTO_CGROUP. With ``stay`` 1 the child
    stays in the caller's cgroup, with a warning, if its own cgroup was skipped or may not be entered (EACCES).
    If the cgroup takes no process (EBUSY, because the container has handed its controllers on), a child that
    joins an existing container is made in the cgroup of that container's first process, beneath the cgroup
    mount ``hierarchy``.

    Section init is the container's first process, whether the host or the stage spawns it. Its pid goes into
    the journal at once, or, with ``later`` 1, by RememberInit.
    """

    sections = ("host", "stage")
    fields = {
        "section": "section",
        "flags": "number",
        "cgroup": "fd",
        "stay": "number",
        "hierarchy": "text",
        "later": "number",
    }
    defaults = {"cgroup": NONE, "stay": 0, "hierarchy": "", "later": 0}
    sentence = "start the {section} process"


class RememberInit(Step):
    """Write the pid and the start time of the child, which is init, into the journal."""

    sections = ("host",)
    fields = {}
    sentence = "remember the container's first process"


class DenySetgroups(Step):
    """Write ``deny`` to /proc/PID/setgroups of the child."""

    sections = ("host",)
    fields = {}
    sentence = "deny setgroups in the user namespace"


class WriteIdMap(Step):
    """Write ``map`` (lines of container id, host id, size) to ``file`` (uid_map or gid_map) of the child. If
    ``helper`` is not empty, that program on PATH (newuidmap, newgidmap) writes the map."""

    sections = ("host",)
    fields = {"file": "text", "map": "text", "helper": "text"}
    defaults = {"helper": ""}
    sentence = "write the {file} of the user namespace"


class Send(Step):
    """Send ``event``, an index into EVENTS, to the other side (init or host). The descriptors in the ``count``
    registers from ``first`` on are sent along and closed on this side. With ``optional`` 1 the last of these
    registers may be empty."""

    sections = ("host", "stage", "init")
    fields = {"event": "number", "first": "fd", "count": "number", "optional": "number"}
    defaults = {"first": NONE, "count": 0, "optional": 0}
    sentence = "tell the other side"


class Receive(Step):
    """Wait for ``event`` from the other side. If the other side fails or ends, the step fails. The descriptors
    of the message fill the ``count`` registers from ``first`` on. With ``optional`` 1 the last descriptor may
    be missing, and its register is then empty."""

    sections = ("host", "stage", "init")
    fields = {"event": "number", "first": "fd", "count": "number", "optional": "number"}
    defaults = {"first": NONE, "count": 0, "optional": 0}
    sentence = "wait for the other side"


class RunHook(Step):
    """Run a hook with the state on standard input and wait for it, in the namespaces of the section's process.

    ``status`` is the state's status, ``timeout`` is in seconds (0 for none), and ``warn`` 1 makes a failure a
    warning (poststop). With empty ``args`` argv is only ``path``. ``env`` is the whole environment; with
    ``inherit`` 1 it is the runtime's own. The registers ``stdout`` and ``stderr`` hold files for the hook's
    output; without these files the error quotes the end of the output.
    """

    sections = ("host", "init", "begin", "started", "delete", "namespaces")
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


class OpenHookOutput(Step):
    """Open the file ``path`` for appending into ``fd``, and create it if it is missing: hooks print to it. With
    ``warn`` 1 a failure is only a warning (delete)."""

    sections = ("host", "started", "delete", "namespaces")
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


class SendPidfd(Step):
    """Send init's pidfd over the socket in ``fd`` (``--pidfd-socket``)."""

    sections = ("host",)
    fields = {"fd": "fd"}
    sentence = "send the pidfd of init"


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


class MakeNotifyDirectory(Step):
    """Make the directory ``notify`` in the state directory, which the container gets as a bind mount."""

    sections = ("host",)
    fields = {}
    sentence = "make the directory of the notify socket"


class ListenNotify(Step):
    """Listen on the socket ``notify/notify.sock`` of the state directory, to which the container's processes
    may write. Skipped if the caller has no NOTIFY_SOCKET at this time."""

    sections = ("starting",)
    fields = {}
    sentence = "listen on the notify socket"


class RelayNotify(Step):
    """Wait until the container has sent READY=1 or ended. Pass the message on to the caller's NOTIFY_SOCKET
    with the container's pid as MAINPID, and wait until the service manager has read it (sd_notify(3),
    BARRIER=1)."""

    sections = ("started",)
    fields = {}
    sentence = "pass the container's readiness on"


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


class Commit(Step):
    """Commit the container as created: write state.json and set the journal's phase. After this step init no
    longer ends with the runtime."""

    sections = ("host",)
    fields = {}
    sentence = "commit the container"


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

    When criu has made the namespaces, the executor runs the sections entered and namespaces; when criu has
    restored everything, it runs the section restored. It sends the master of the container's terminal over the
    socket ``console``, if there is one, and then sets the journal's phase to running. ``log`` is criu's log,
    ``root`` the directory that PlaceCriuRoot has made.
    """

    sections = ("host",)
    fields = {"message": "bytes", "log": "text", "console": "fd", "root": "text"}
    sentence = "have criu restore the processes"


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


# ---- the container's side: identity ----


class JoinCgroup(Step):
    """Write ``0`` to the register's file: a single-threaded process that moves itself need not wait for a grace
    period."""

    sections = ("stage", "init")
    fields = {"fd": "takes"}
    sentence = "join the cgroup"


class JoinNamespace(Step):
    """Join the register's namespace, which is of kind ``kind`` (setns(2)). With ``early`` 1 the step leaves
    EPERM to a later JoinNamespace of the same register, after the user namespace has been joined. A join that
    has succeeded is not repeated."""

    sections = ("stage",)
    fields = {"fd": "fd", "kind": "number", "early": "number"}
    defaults = {"early": 0}
    sentence = "join the namespace"


class SetOomScore(Step):
    """Write ``value`` to /proc/self/oom_score_adj while the process still has the caller's rights. Its children
    inherit the value."""

    sections = ("stage", "init")
    fields = {"value": "text"}
    sentence = "set oom_score_adj to {value}"


class OpenProc(Step):
    """Open the procfs at /proc of this process' mount namespace, for the WriteProc steps of this process and
    its children."""

    sections = ("stage",)
    fields = {}
    sentence = "open /proc"


class JoinContainer(Step):
    """Join the namespaces ``flags`` (CLONE_NEW*) of the container's first process, all at once, by its pidfd
    (setns(2)). The pid namespace applies to children only."""

    sections = ("stage", "entered", "restored")
    fields = {"flags": "number"}
    sentence = "join the namespaces of the container"


class AssertRunning(Step):
    """Fail if the container's first process has ended."""

    sections = ("init",)
    fields = {}
    sentence = "look whether the container lives"


class SetAffinity(Step):
    """Set the CPU affinity of this process to the bit mask ``cpus``, in words of 64 bits
    (sched_setaffinity(2))."""

    sections = ("stage", "init")
    fields = {"cpus": "bytes"}
    sentence = "set the CPU affinity"


class ResetAffinity(Step):
    """Set the CPU affinity of this process to every CPU; the kernel keeps those of the cpuset
    (sched_setaffinity(2)). If that is forbidden, the affinity does not change."""

    sections = ("stage", "init")
    fields = {}
    sentence = "reset the CPU affinity"


class Unshare(Step):
    """Call unshare(2) with ``flags``."""

    sections = ("stage", "init")
    fields = {"flags": "number"}
    sentence = "unshare"


class WriteTimeOffsets(Step):
    """Write ``offsets`` (lines of clock, seconds, nanoseconds) to the procfs file timens_offsets of this
    process."""

    sections = ("stage",)
    fields = {"offsets": "text"}
    sentence = "set the offsets of the time namespace"


class SetDumpable(Step):
    """Set whether this process is dumpable (PR_SET_DUMPABLE)."""

    sections = ("stage", "init")
    fields = {"value": "number"}
    sentence = "set dumpable"


class BecomeRoot(Step):
    """Become uid 0 and gid 0 of the user namespace, without supplementary groups if setgroups is allowed."""

    sections = ("stage", "init")
    fields = {}
    sentence = "become root of the user namespace"


class NewKeyring(Step):
    """Join a new session keyring called ``name``; an exec joins the container's, which create has given this
    name. If another user has made a keyring of this name, the step never joins it: the new keyring then has no
    name. A kernel without keyrings is no error."""

    sections = ("init",)
    fields = {"name": "text"}
    sentence = "make the session keyring {name}"


class SetHostname(Step):
    """Set the hostname (sethostname(2))."""

    sections = ("init",)
    fields = {"name": "text"}
    sentence = "set the hostname to {name}"


class SetDomainname(Step):
    """Set the domain name (setdomainname(2))."""

    sections = ("init",)
    fields = {"name": "text"}
    sentence = "set the domainname to {name}"


class OpenNetwork(Step):
    """Open a socket of this network namespace into ``fd``."""

    sections = ("init",)
    fields = {"fd": "fills"}
    sentence = "open a socket in the network namespace"


class LoopbackUp(Step):
    """Bring the interface ``lo`` of this network namespace up, or that of the network namespace of the socket
    in ``socket``."""

    sections = ("host", "init", "entered")
    fields = {"socket": "takes"}
    defaults = {"socket": NONE}
    sentence = "bring the loopback interface up"


# ---- the container's side: rootfs ----
# openat2 (RESOLVE_IN_ROOT, no magic links) resolves every ``target`` and every ``path`` of a step that acts in the rootfs,
# beneath the rootfs fd, before and after pivot_root alike. The executor makes what is missing of it. ``set`` and ``clear`` are
# MOUNT_ATTR_* bits; if clear holds an access time bit, it holds the whole MOUNT_ATTR__ATIME mask. A procfs or sysfs, new or
# bound, is pinned when it is mounted: the executor finds what lies beneath it from the mount, even if the path to the mount
# has changed meanwhile, and no link may lie on the path to a whole one. Inside a procfs only the files of Bind's ``on_proc``
# can be covered. ``propagation`` is 0 or one MS_* flag; with ``propagation_recursive`` it also applies to the mounts below.


class SetPropagation(Step):
    """Set the propagation of ``/`` of this mount namespace, and with ``recursive`` that of the mounts below."""

    sections = ("stage", "init")
    fields = {"propagation": "number", "recursive": "number"}
    sentence = "set the propagation of /"


class OpenRootfs(Step):
    """Clone the mounts at ``path`` (a host path) and attach the clone over ``path``: the clone is the rootfs.

    With ``recursive`` 1 the clone includes the mounts beneath. With ``aside`` 1 the step works in a new mount
    namespace, which lasts until ChangeRoot. With a register ``tree`` the clone is what OpenMount has put there;
    if init cannot reach ``path``, the step attaches the clone over ``/``.
    """

    sections = ("stage", "init")
    fields = {"path": "text", "tree": "takes", "recursive": "number", "aside": "number"}
    defaults = {"tree": NONE, "recursive": 1, "aside": 0}
    sentence = "open the rootfs {path}"


class OverlayRootfs(Step):
    """Mount an overlay at ``path`` (a host path): the overlay is the rootfs.

    Its read-only directories are ``lower`` (host paths, topmost first), and ``options`` name upperdir and
    workdir, or nothing for a read-only overlay. The step makes none of these directories. ``aside`` is as in
    OpenRootfs.
    """

    sections = ("stage", "init")
    fields = {"lower": "texts", "options": "texts", "path": "text", "aside": "number"}
    defaults = {"options": (), "aside": 0}
    sentence = "mount the overlay rootfs at {path}"


class Mount(Step):
    """Mount a new file system of type ``fstype`` at ``target``.

    ``options`` go to fsconfig one by one, each ``key=value`` or a flag; ``source`` is the file system's source,
    and ``set`` are the mount's MOUNT_ATTR_* bits. With ``tmpcopyup`` 1 the step copies the content of the
    directory beneath into the file system; with ``keep_mode`` 1 the file system's root keeps the permissions of
    that directory. A missing target is made as a directory. If the target is /, what is mounted there becomes
    the rootfs.

    With a register ``context`` the file system is the one that OpenFilesystem has put there. With ``detached``
    1 the mount is not attached yet and comes into the register ``mount``; with ``detached`` 0 and a register
    ``mount``, the step attaches the mount of that register.
    """

    sections = ("host", "init")
    fields = {
        "fstype": "text",
        "source": "text",
        "target": "text",
        "options": "texts",
        "set": "number",
        "propagation": "number",
        "propagation_recursive": "number",
        "tmpcopyup": "number",
        "keep_mode": "number",
        "context": "takes",
        "detached": "number",
        "mount": "takes",
    }
    defaults = {
        "options": (),
        "set": 0,
        "propagation": 0,
        "propagation_recursive": 0,
        "tmpcopyup": 0,
        "keep_mode": 0,
        "context": NONE,
        "detached": 0,
        "mount": NONE,
    }
    sentence = "mount {fstype} at {target}"


class Bind(Step):
    """Bind-mount ``source`` (a host path), or what OpenMount has put into the register ``tree``, at ``target``.

    ``recursive`` includes the mounts beneath the source. ``set`` and ``clear`` change this mount,
    ``recursive_set`` and ``recursive_clear`` the whole tree (the r* options); ``implied`` are further bits to
    clear of this mount, except those that a user namespace has locked. A missing target is made as a directory
    or an empty file, like the source; with ``on_proc`` 1 the target is one of the files of /proc that may be
    covered. If the source is missing, the step binds ``otherwise``, if that is not empty, or, with ``optional``
    1, does nothing. ``source_nofollow`` and ``target_nofollow`` 1 take a symlink itself instead of following
    it; with ``copy_symlink`` 1 a source that is a symlink is created again at the target. ``mapping`` and
    ``mapping_recursive`` are those of OpenMount, for a source that OpenMount has left to this step; with
    ``lend`` 1 the runtime maps the ids (MapLent).
    """

    sections = ("stage", "init")
    fields = {
        "source": "text",
        "target": "text",
        "tree": "takes",
        "recursive": "number",
        "set": "number",
        "clear": "number",
        "recursive_set": "number",
        "recursive_clear": "number",
        "propagation": "number",
        "propagation_recursive": "number",
        "optional": "number",
        "source_nofollow": "number",
        "target_nofollow": "number",
        "copy_symlink": "number",
        "otherwise": "text",
        "on_proc": "number",
        "implied": "number",
        "mapping": "fd",
        "mapping_recursive": "number",
        "lend": "number",
    }
    defaults = {
        "tree": NONE,
        "recursive": 0,
        "set": 0,
        "clear": 0,
        "recursive_set": 0,
        "recursive_clear": 0,
        "propagation": 0,
        "propagation_recursive": 0,
        "optional": 0,
        "source_nofollow": 0,
        "target_nofollow": 0,
        "copy_symlink": 0,
        "otherwise": "",
        "on_proc": 0,
        "implied": 0,
        "mapping": NONE,
        "mapping_recursive": 0,
        "lend": 0,
    }
    sentence = "bind {source} at {target}"


class MountCgroup(Step):
    """Mount cgroup v2 (``fstype``) at ``target``, as Mount does: in a cgroup namespace, this shows the
    namespace's root. If that is not permitted (EPERM, EBUSY), the step binds ``bind``, the directory of that
    cgroup, as Bind does."""

    sections = ("init",)
    fields = {
        "fstype": "text",
        "bind": "text",
        "target": "text",
        "options": "texts",
        "set": "number",
        "clear": "number",
        "propagation": "number",
        "propagation_recursive": "number",
    }
    defaults = {"fstype": "cgroup2", "options": (), "set": 0, "clear": 0, "propagation": 0, "propagation_recursive": 0}
    sentence = "mount {fstype} at {target}"


class SetMountAttributes(Step):
    """Change the mount at ``target`` by mount_setattr(2); ``/`` is the rootfs itself."""

    sections = ("init", "restored")
    fields = {"target": "text", "set": "number", "clear": "number", "recursive": "number", "propagation": "number"}
    defaults = {"clear": 0, "recursive": 0, "propagation": 0}
    sentence = "change the mount at {target}"


class MountHierarchies(Step):
    """Mount a file system as Mount does, with the MOUNT_ATTR_* bits ``top``, and fill it with bind mounts.

    Each directory of ``names`` in the file system shows the host path at the same place of ``sources``. If that
    path is missing, the step binds the one at the same place of ``otherwise``, if that is not empty, or, with
    ``optional`` 1, nothing. Each of ``links`` becomes a symlink to the text at the same place of ``to``. At the
    end ``set``, ``clear`` and ``propagation`` change all of these mounts; the file system itself keeps ``top``.
    With ``detached`` 1 the file system is the mount in the register ``mount``, which is not attached yet and
    has ``top``; that is possible since Linux 6.15.
    """

    sections = ("host", "init")
    fields = {
        "fstype": "text",
        "source": "text",
        "target": "text",
        "options": "texts",
        "top": "number",
        "names": "texts",
        "sources": "texts",
        "otherwise": "texts",
        "optional": "number",
        "links": "texts",
        "to": "texts",
        "set": "number",
        "clear": "number",
        "propagation": "number",
        "detached": "number",
        "mount": "fd",
    }
    defaults = {
        "otherwise": (),
        "optional": 0,
        "links": (),
        "to": (),
        "set": 0,
        "clear": 0,
        "propagation": 0,
        "detached": 0,
        "mount": NONE,
    }
    sentence = "mount cgroups at {target}"


class ReconfigureMount(Step):
    """Give the file system that is mounted at ``target`` further settings, as fsconfig takes them."""

    sections = ("init",)
    fields = {"target": "text", "options": "texts"}
    sentence = "reconfigure the file system at {target}"


class MakeDirectory(Step):
    """Make ``path`` and its parents, with mode ``mode`` for each directory that is made. An existing directory
    is not changed."""

    sections = ("init",)
    fields = {"path": "text", "mode": "number"}
    sentence = "make directory {path}"


class MakeSymlink(Step):
    """Make ``path`` a link to ``to``. If ``needs`` is not empty, the step does so only if that path exists in
    the rootfs. An existing path is not changed; with ``replace`` 1, an existing file or link is replaced."""

    sections = ("init",)
    fields = {"to": "text", "path": "text", "needs": "text", "replace": "number"}
    defaults = {"needs": "", "replace": 0}
    sentence = "link {path} to {to}"


class MakeNode(Step):
    """Make the device node ``path``.

    ``kind`` is S_IFCHR, S_IFBLK or S_IFIFO, and ``mode`` its permissions, whatever the umask is. If the node
    exists, it must be the same device. With ``bind`` 1 the step binds the host's node of the same path there
    instead, because a user namespace may not create devices.

    With a register ``outside`` and ``bind`` 0 the runtime makes the node in a file system that is attached
    nowhere, and puts its mount into the register; with ``bind`` 1 the step binds that node. If the runtime may
    not make the node either (EPERM), the register stays empty, and the step binds the host's node.
    """

    sections = ("host", "init")
    fields = {
        "path": "text",
        "kind": "number",
        "major": "number",
        "minor": "number",
        "mode": "number",
        "uid": "number",
        "gid": "number",
        "bind": "number",
        "outside": "takes",
    }
    defaults = {"bind": 0, "uid": 0, "gid": 0, "outside": NONE}
    sentence = "make device {path}"


class MakeConsole(Step):
    """Set up the terminal of the container.

    The step opens a new pseudoterminal from the container's /dev/pts (ONLCR off, ``height`` by ``width`` unless
    these are 0), and with ``device`` 1 binds it over /dev/console. It sends the master over the socket in
    ``fd`` (NONE: to the runtime, for a run in the foreground), gives the terminal to ``uid``, and makes it the
    controlling terminal and the standard streams.
    """

    sections = ("init",)
    fields = {"fd": "takes", "uid": "number", "height": "number", "width": "number", "device": "number"}
    sentence = "set the terminal up"


class MaskPath(Step):
    """Cover ``path`` with an empty read-only tmpfs if it is a directory, otherwise with /dev/null. A missing
    path is no error."""

    sections = ("init",)
    fields = {"path": "text"}
    sentence = "mask {path}"


class ReadonlyPath(Step):
    """Make ``path`` read-only by a bind over itself. A missing path is no error."""

    sections = ("init",)
    fields = {"path": "text"}
    sentence = "make {path} read-only"


class PivotRoot(Step):
    """Make the rootfs the root of this mount namespace and detach the old root."""

    sections = ("init",)
    fields = {}
    sentence = "pivot_root"


class MoveRoot(Step):
    """``--no-pivot``: move the rootfs over /, unmount what is mounted beneath /, cover each procfs and sysfs
    that cannot be unmounted, and chroot into the rootfs."""

    sections = ("init",)
    fields = {}
    sentence = "move the rootfs over /"


class ChangeRoot(Step):
    """Without a mount namespace: clone the rootfs with its mounts, return to the runtime's mount namespace, and
    chroot into the clone. The clone is attached nowhere and ends with its last process."""

    sections = ("init",)
    fields = {}
    sentence = "chroot into the rootfs"


class EnterRoot(Step):
    """Use ``/`` of this process as the rootfs, after a chroot into the directory in ``fd`` unless that is
    NONE."""

    sections = ("init", "restored")
    fields = {"fd": "fd"}
    defaults = {"fd": NONE}
    sentence = "enter the root directory of the container"


class WriteProc(Step):
    """Write ``value`` to ``file`` (``sys/...``, ``self/attr/exec``) of the procfs that OpenProc has opened, or
    of one that the runtime makes."""

    sections = ("init",)
    fields = {"file": "text", "value": "text"}
    sentence = "write {value} to /proc/{file}"


# ---- the container's side: the process ----


class SetRlimit(Step):
    """Set a resource limit (prlimit(2)); ``soft`` and ``hard`` are 64-bit patterns (-1 is no limit)."""

    sections = ("init",)
    fields = {"resource": "number", "soft": "number", "hard": "number", "name": "text"}
    sentence = "set {name}"


class RestoreOpenFiles(Step):
    """Give this process the soft RLIMIT_NOFILE with which the caller started the runtime. The runtime raises
    its own."""

    sections = ("init", "begin")
    fields = {}
    sentence = "restore the caller's RLIMIT_NOFILE"


class SetScheduler(Step):
    """Call sched_setattr(2) with a struct sched_attr of these fields."""

    sections = ("init",)
    fields = {
        "policy": "number",
        "flags": "number",
        "nice": "number",
        "priority": "number",
        "runtime": "number",
        "deadline": "number",
        "period": "number",
        "name": "text",
    }
    sentence = "set the scheduling policy {name}"


class SetIoPriority(Step):
    """Set the I/O priority of this process (ioprio_set(2)); ``value`` holds class and priority,
    IOPRIO_PRIO_VALUE."""

    sections = ("init",)
    fields = {"value": "number"}
    sentence = "set the I/O priority"


class SetPersonality(Step):
    """Set the execution domain (personality(2))."""

    sections = ("init",)
    fields = {"domain": "number"}
    sentence = "set the execution domain"


class SetUmask(Step):
    """Set the umask."""

    sections = ("init",)
    fields = {"mask": "number"}
    sentence = "set the umask"


class SetMemoryPolicy(Step):
    """Set the memory policy (set_mempolicy(2)) to ``mode`` (MPOL_*, called ``name``, and MPOL_F_* flags) and
    the bit mask ``nodes``, in words of 64 bits; an empty mask has no node."""

    sections = ("init",)
    fields = {"mode": "number", "nodes": "bytes", "name": "text"}
    sentence = "set the memory policy {name}"


class DropBounding(Step):
    """Drop every capability that is not a bit of ``keep`` from the bounding set."""

    sections = ("init",)
    fields = {"keep": "number"}
    sentence = "drop capabilities from the bounding set"


class SetUser(Step):
    """Give the standard streams to ``uid``, then set the supplementary groups (decimal ``groups``), gid and
    uid, and keep the capabilities for SetCapabilities. With ``setgroups`` 0 the groups do not change."""

    sections = ("init",)
    fields = {"uid": "number", "gid": "number", "groups": "texts", "setgroups": "number"}
    defaults = {"setgroups": 1}
    sentence = "become the container's user"


class SetCapabilities(Step):
    """Set the capabilities (capset(2) and the ambient set); each field is a bit set."""

    sections = ("init", "begin")
    fields = {"effective": "number", "permitted": "number", "inheritable": "number", "ambient": "number"}
    sentence = "set capabilities"


class SetNoNewPrivileges(Step):
    """Set no_new_privs (prctl(2))."""

    sections = ("init",)
    fields = {}
    sentence = "set no_new_privs"


class LoadSeccomp(Step):
    """Load the BPF program ``filter`` with ``flags`` (SECCOMP_FILTER_FLAG_*) by seccomp(2). From now on the
    filter applies to what the executor itself does, so only Exec may follow."""

    sections = ("init", "begin")
    fields = {"filter": "bytes", "flags": "number"}
    sentence = "install the seccomp filter"


class FilterHooks(Step):
    """Have each hook of this section load the filter, as LoadSeccomp does, right before it is executed."""

    sections = ("begin",)
    fields = {"filter": "bytes", "flags": "number"}
    sentence = "have hooks install the seccomp filter"


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
    sentence = "install the seccomp filter and send its descriptor to the agent"


class CloseDescriptors(Step):
    """Close all descriptors from 3 + ``preserve`` on, except those by which the process talks to the runtime,
    the rootfs, and the registers ``keep``, ``stdout`` and ``stderr``."""

    sections = ("init",)
    fields = {"preserve": "number", "keep": "fd", "stdout": "fd", "stderr": "fd"}
    defaults = {"keep": NONE, "stdout": NONE, "stderr": NONE}
    sentence = "close what the program does not get"


class ChangeDirectory(Step):
    """Change to the directory ``path`` and check that it lies inside the root. With ``early`` 1, permission
    denied is left to the later ChangeDirectory, which runs as the container's user; the later one may be denied
    if the early one was not."""

    sections = ("init",)
    fields = {"path": "text", "early": "number"}
    defaults = {"early": 0}
    sentence = "change to the directory {path}"


class FindHome(Step):
    """Find HOME of ``uid`` in /etc/passwd if it is missing or empty in ``env``."""

    sections = ("init",)
    fields = {"uid": "number", "env": "texts"}
    sentence = "find the user's home"


class FindExecutable(Step):
    """Find the first entry of ``args`` on the PATH of ``env``, so that create fails if start would, and make
    the program's environment. If ``env`` has several entries for one variable, the last one counts; HOME is
    what FindHome has found."""

    sections = ("init",)
    fields = {"args": "texts", "env": "texts"}
    sentence = "find the program"


class KeepInit(Step):
    """Fork. The child continues with the next step and becomes the program; this process stays as an init that
    forwards signals to the child, reaps orphans and exits with the child's status."""

    sections = ("begin",)
    fields = {}
    sentence = "keep an init before the program"


class PrepareExec(Step):
    """Make the system calls that Exec needs, because a seccomp filter may forbid them later: reset signals, and
    have execve close the descriptors from 3 + ``preserve`` on."""

    sections = ("init", "begin")
    fields = {"preserve": "number"}
    sentence = "prepare to execute the program"


class Exec(Step):
    """Set the phase to running (in the journal; an exec has a phase of its own), and execute the program that
    FindExecutable found, with the environment that it made. execve is the only system call of this step."""

    sections = ("init", "begin")
    fields = {"args": "texts"}
    sentence = "execute the program"


STEPS = tuple(Step.__subclasses__())
