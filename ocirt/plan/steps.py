"""The steps a plan is made of: the one definition.

Each class below is one step. Its ``fields`` are, in order, what the executor gets; ``steps.h``
(:mod:`ocirt.generate`) and the encoder (:mod:`ocirt.plan.encode`) are derived from them, the
docstrings are what ``docs/steps.md`` and the C handlers follow. Kinds of fields:

``text``     one string: ``str``, :class:`~ocirt.model.text.Text` or ``Template``
``texts``    a list of strings, in which a ``Texts`` (list slot) may stand among plain ones
``number``   a signed 64-bit integer: ``int`` or :class:`~ocirt.model.text.Number`
``fd``       the number of a descriptor register (below REGISTERS), filled by an earlier step
``fills``    the number of a register that this step fills
``takes``    the number of a register that is empty after this step: the descriptor has been used up
``section``  the name of a section of the plan
``bytes``    data of any length, as it is

A step carries the decision already made: a new step that has to decide something is a sign that
the compiler should have decided it. A step's number is its place in this file's order, and the
build id covers this file, so order may change from build to build.

No imports: this module is on the path of every create that misses the cache.
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
"""Sections, by who runs them and when.

host     the runtime's process at create, in the runtime's namespaces
stage    the intermediate child that joins namespaces (only where there are any to join)
init     the process that becomes the container, before ``start``; of an exec program the process that is added, whose
         last step executes it
starting the process that runs ``start`` (or ``run``), before init is told
begin    the same process as init, when ``start`` has come
started  the process that runs ``start``, once the program has been executed
signal   ``kill --all``
pause    ``pause``
resume   ``resume``, and ``kill`` with SIGKILL
update   ``update``, in a program of its own
restore  what undoes an update that failed: for each step of that one, the last first (but KeepResources, which ends it)
delete   ``delete``, and what undoes a create that failed
state    what ``state`` prints and hooks get, and where it looks
entered  the verb ``restore``, a process of its own that enters namespaces which criu has just made
namespaces  the verb ``restore``, when criu has made the namespaces, and the first process in them
restored a process of its own that enters the container's mount namespace, when criu has restored all but lets nobody go on yet
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
"""What the runtime and its child (the stage, then init) tell each other, each at most once, but for lent and handed.

spawned    stage to host: init exists (the message carries its pid and pidfd); the stage sends it by itself
mapped     host to the child: the id maps of the user namespace are written
mounted    init to host: the mounts stand, pivot_root is still to come (prestart, createRuntime)
hooked     host to init: those hooks have run
ready      init to host: everything but the program itself has been applied
committed  host to init, of an exec program: execute it
known      host to init: the journal holds init's pid in the runtime's pid namespace; the message carries the pid
placed     host to the child: its cgroups are there, or systemd has put it into its own, and the limits are written
unshared   init to host: it has its namespaces; a socket of its network and file systems that belong to them go along
opened     host to init: the mounts that it has made go along
filled     host to init: those go along into which it has bound cgroups
lent       init to host, once for each mount of which the host is to map the ids: it goes along
handed     host to init, once for each of many mounts: one that it has opened, or has got by lent, goes along
made       host to the child: systemd has put it into its scope, and the cgroup beneath the scope is there
moved      the child to host: it is in that cgroup
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
"""How many descriptors may go along with one event."""

NONE = -1
"""In an ``fd`` field: no descriptor."""


class Step:
    """One step. ``at`` is the JSON path, flag or rule that asked for it, ``spec`` the section it follows."""

    __slots__ = ("at", "spec", "values")
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
    """Make the directory ``path`` beneath the cgroup mount ``hierarchy``, parents included.

    Every directory made is journalled under its full path, so that delete removes it and no other.
    The files named in ``inherit`` are copied from the parent into each level that has them empty
    (a v1 cpuset takes no process before). If the last directory exists already it must hold no
    process and not be frozen. With a register ``fd`` its ``file`` is opened into that, for writing; an empty ``file``
    is the directory. With ``tolerate`` 1 a hierarchy that may not be written (EACCES,
    EPERM, EROFS) is passed over, and so are later steps on it that tolerate it too. With ``held`` 1 the last directory may
    hold the child: systemd has made it.

    With ``unified`` 1 (cgroup v2) every controller that a cgroup above has is enabled for its children, as far as
    the kernel allows it: a step that needs a file of another one says why it is missing. The last directory must be
    a domain, with no process anywhere below.
    """

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
    """Write ``value``, each line of it with one write, into ``file`` of the cgroup. Passed over like MakeCgroup's, with
    ``tolerate`` 2 after a warning that this limit is not applied. The error names what the file ``usage`` says, if there is one."""

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
    """Write ``value`` into ``file`` of the cgroup, or where there is no such file ``other_value`` into ``other_file``.
    With an empty ``other_file`` a missing file is passed over. Passed over like WriteCgroup's."""

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
    """Write ``value`` - ``less`` into ``file`` of the cgroup. Less than 0 is an error; 0 is what a missing file
    means anyway. Passed over like WriteCgroup's."""

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
    """Fail if the memory that the v2 cgroup uses is not below ``limit`` and ``swap`` (memory and swap together); what
    is not positive sets no bound. A cgroup of which that cannot be read is passed over."""

    fields = {"hierarchy": "text", "path": "text", "limit": "number", "swap": "number"}
    defaults = {"limit": 0, "swap": 0}
    sentence = "find the memory in use below the new limit"


class LoadDeviceFilter(Step):
    """Load the BPF program ``filter`` (BPF_PROG_TYPE_CGROUP_DEVICE) and attach it to the v2 cgroup, in place of the one
    that an earlier LoadDeviceFilter has attached; programs of others stay. With ``tolerate`` 1 a failure is
    passed over, and so is a hierarchy that MakeCgroup has passed over."""

    fields = {"hierarchy": "text", "path": "text", "filter": "bytes", "tolerate": "number"}
    defaults = {"tolerate": 0}
    sentence = "attach the device filter to {hierarchy}{path}"


class DelegateCgroup(Step):
    """Give the v2 cgroup to ``uid``: the directory and those of its files that /sys/kernel/cgroup/delegate lists.
    Passed over like MakeCgroup's."""

    fields = {"hierarchy": "text", "path": "text", "uid": "number", "tolerate": "number"}
    defaults = {"tolerate": 0}
    sentence = "give {hierarchy}{path} to user {uid}"


class OpenCgroup(Step):
    """Open ``file`` of the cgroup for writing into register ``fd``; an empty ``file`` opens the directory. ``optional``
    1: one that does not exist is passed over."""

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
    """Fail unless ``file`` of the cgroup has the line ``thawed``: what joins a frozen cgroup stops until it is thawed. One
    that does not exist is passed over. ``refusal`` is all that the error says."""

    fields = {"hierarchy": "text", "path": "text", "file": "text", "thawed": "text", "refusal": "text"}
    sentence = "look whether {hierarchy}{path} is frozen"


class AssertEmptyCgroup(Step):
    """Fail if a process lives in the cgroup or below it. One that does not exist is passed over."""

    fields = {"hierarchy": "text", "path": "text"}
    sentence = "look whether {hierarchy}{path} has processes"


class ThawCgroup(Step):
    """Thaw the cgroup and those below it, if the container's first process lives, which is to be killed."""

    fields = {"hierarchy": "text", "path": "text"}
    sentence = "thaw {hierarchy}{path}"


class FreezeCgroup(Step):
    """Freeze the cgroup: write ``value`` into ``file`` until it is what the file says, again and again because a v1
    kernel can miss processes that keep coming; then, on v2, wait until the file ``events`` says that all are frozen. After ten
    seconds ``undo`` is written, and the step fails. It fails, too, where others have processes in a child cgroup that was
    there before the container."""

    fields = {"hierarchy": "text", "path": "text", "file": "text", "value": "text", "undo": "text", "events": "text"}
    defaults = {"events": ""}
    sentence = "freeze {hierarchy}{path}"


class SignalCgroup(Step):
    """Send the signal of the command line to every process in the cgroup and below it, but not in child cgroups that
    were there before the container.

    Each process is held by a pidfd and looked up in the cgroup again before it is signalled. With SIGKILL cgroup.kill comes
    first, where there is that file, and the step thaws and signals until all have ended; after ten seconds it fails and
    says which have not. ``outlive`` 1: processes may outlive the first one, whose pid namespace is not the container's own, and
    `kill` with SIGKILL means all of them.
    """

    fields = {"hierarchy": "text", "path": "text", "outlive": "number"}
    defaults = {"outlive": 0}
    sentence = "signal the processes of {hierarchy}{path}"


class KillInit(Step):
    """Kill the container's first process and wait for its end, after what keeps it from dying has been taken away."""

    fields = {}
    sentence = "kill the container's first process"


class RemoveCgroup(Step):
    """Kill what is left in the cgroup, remove its child cgroups and, where the journal says that
    this container made them, the directory and its parents (a parent in use stays)."""

    fields = {"hierarchy": "text", "path": "text"}
    sentence = "remove cgroup {hierarchy}{path}"


class EnableControllers(Step):
    """Enable every controller for the children of each v2 cgroup above ``path``, as MakeCgroup does on its way."""

    fields = {"hierarchy": "text", "path": "text"}
    sentence = "enable controllers above {hierarchy}{path}"


# ---- the runtime's side: systemd ----
# ``socket`` is where a systemd manager listens: its own, or with ``bus`` 1 a message bus that it is on; ``owner`` is this
# user's uid in the manager's user namespace. ``timeout`` is in seconds.


class StartUnit(Step):
    """Call StartTransientUnit with ``body`` (see ocirt/cgroups/dbus.py) for the child that Spawn has made, which waits,
    and wait until systemd has put it into the unit's cgroup, which ``path`` is.

    The unit is journalled, the cgroup as one that was there before: it is systemd's.
    """

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
    """Call StopUnit, if the journal says that this container has started the unit, and wait for the job's end. Only
    ever a warning: the cgroup is empty by then, and systemd stops what is empty."""

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
    """Call SetUnitProperties with ``body``, for as long as the unit lives, and wait until systemd has written what
    follows from it into the unit's cgroup."""

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
# ``root`` is where resctrl is mounted, ``path`` a group's directory beneath it (``.``: the default group).


class MakeResctrlGroup(Step):
    """Make the group, journalled, unless it is there; with ``make`` 0 it must be."""

    fields = {"root": "text", "path": "text", "make": "number"}
    sentence = "make the resctrl group {root}/{path}"


class WriteResctrlSchema(Step):
    """Write the line ``value`` into the group's file schemata."""

    fields = {"root": "text", "path": "text", "value": "text"}
    sentence = "write {value} to {root}/{path}/schemata"


class JoinResctrlGroup(Step):
    """Write init's pid into the group's file tasks."""

    fields = {"root": "text", "path": "text"}
    sentence = "add the container's first process to {root}/{path}/tasks"


class RemoveResctrlGroup(Step):
    """Remove the group if the journal says that this container made it. With ``keep`` 1 only after a create that
    failed, and if no process is in it."""

    fields = {"root": "text", "path": "text", "keep": "number"}
    sentence = "remove the resctrl group {root}/{path}"


# ---- the runtime's side: the child ----


class OpenNamespace(Step):
    """Open the namespace file ``path`` into ``fd`` and check that it is one of kind ``kind`` (a CLONE_NEW* flag)."""

    fields = {"fd": "fills", "path": "text", "kind": "number"}
    sentence = "open namespace {path}"


class AssertNotHostNamespace(Step):
    """Fail if the register's namespace is the runtime's own, which /proc/self/ns/``file`` is: what the container sets
    in it would be set on the host."""

    fields = {"fd": "fd", "file": "text"}
    sentence = "set it in the container's namespace only"


class MakeIdMapping(Step):
    """Open into ``fd`` a user namespace whose maps are ``uids`` and ``gids`` (lines of container id, host id, size).
    No process is left in it: it is a mapping for mounts."""

    fields = {"fd": "fills", "uids": "text", "gids": "text"}
    sentence = "make the id mapping of a mount"


class OpenMount(Step):
    """Clone the mounts at ``source`` (host path) into ``fd``, where init cannot: it may not reach the path, or not map
    its ids, or would get no peer of the host's mount. ``recursive`` clones what is mounted beneath too, ``nofollow`` 1
    a symlink itself. With ``leave`` 1 a source beneath the rootfs is left to Bind, when the mounts before it are there.
    ``propagation`` (one MS_* flag, 0: as it is) goes to the whole tree. ``mapping`` is a register with
    the user namespace whose maps the mount gets, the mounts below too with ``mapping_recursive`` 1."""

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
    """If the ``source`` of a Bind lies beneath the rootfs, wait until init lends the tree that it has opened there, map its ids as
    OpenMount does, and hand it back; it is in ``fd`` meanwhile. Otherwise OpenMount has done that."""

    fields = {"fd": "fills", "source": "text", "mapping": "fd", "mapping_recursive": "number"}
    sentence = "map the ids of {source}"


class OpenFilesystem(Step):
    """Make the new file system of a Mount to come: its context (fsopen(2)) comes into ``fd``."""

    fields = {"fd": "fills", "fstype": "text", "source": "text", "target": "text", "options": "texts"}
    sentence = "mount {fstype} at {target}"


class OpenSocket(Step):
    """Connect to the unix stream socket ``path`` (``--console-socket``, ``--pidfd-socket``)."""

    fields = {"fd": "fills", "path": "text"}
    sentence = "connect to {path}"


class Close(Step):
    """Close the register's descriptor in this process; a child made before has its own."""

    fields = {"fd": "takes"}
    sentence = "close a descriptor"


class Spawn(Step):
    """clone3 a child that runs ``section``; ``flags`` are CLONE_NEW*, ``cgroup`` a v2 directory for
    CLONE_INTO_CGROUP; with ``stay`` 1 a child that has none, because it was passed over, or that may not enter it
    (EACCES) stays in the caller's, with a warning. Where it takes no process (EBUSY: the container has handed on its
    controllers) one that joins a container is made in the cgroup in which that one's first process is, beneath the
    cgroup mount ``hierarchy``.
    Section init is the container's first process (its pid goes into the journal, with ``later`` 1 by RememberInit),
    whether the host or the stage spawns it."""

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

    fields = {}
    sentence = "remember the container's first process"


class DenySetgroups(Step):
    """Write ``deny`` to /proc/PID/setgroups of the child."""

    fields = {}
    sentence = "deny setgroups in the user namespace"


class WriteIdMap(Step):
    """Write ``map`` (lines of container id, host id, size) to ``file`` (uid_map or gid_map) of the
    child, or have the program ``helper`` (newuidmap, newgidmap) on PATH do it."""

    fields = {"file": "text", "map": "text", "helper": "text"}
    defaults = {"helper": ""}
    sentence = "write the {file} of the user namespace"


class Send(Step):
    """Tell the other side (init or host) ``event``, an index into EVENTS. The descriptors in ``count`` registers from
    ``first`` on go along, and are closed on this side. With ``optional`` 1 the last of these registers may be empty."""

    fields = {"event": "number", "first": "fd", "count": "number", "optional": "number"}
    defaults = {"first": NONE, "count": 0, "optional": 0}
    sentence = "tell the other side"


class Receive(Step):
    """Wait for ``event`` from the other side; its failure or its end is this step's failure. The descriptors that come
    along fill ``count`` registers from ``first`` on. With ``optional`` 1 the last one may not come: its register is then empty."""

    fields = {"event": "number", "first": "fd", "count": "number", "optional": "number"}
    defaults = {"first": NONE, "count": 0, "optional": 0}
    sentence = "wait for the other side"


class RunHook(Step):
    """Run a hook with the state on standard input and wait for it.

    ``status`` is the state's status, ``timeout`` in seconds (0: none), ``warn`` 1 where failure is
    only a warning (poststop). Runs in the namespaces of the section's process. With empty ``args``
    argv is just ``path``; ``env`` is the whole environment, but with ``inherit`` 1 that is the runtime's own. The registers
    ``stdout`` and ``stderr`` hold files that get what it prints; without them the end of it stands in the error.
    """

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
    """Open the file ``path`` for appending into ``fd``, and create it if it is missing: what hooks print goes there. With ``warn`` 1
    a failure is only a warning (delete)."""

    fields = {"fd": "fills", "path": "text", "warn": "number"}
    defaults = {"warn": 0}
    sentence = "open {path} for what hooks print"


class OpenInitNamespace(Step):
    """Open the namespace of init that /proc/PID/ns/``file`` is into ``fd``."""

    fields = {"fd": "fills", "file": "text"}
    sentence = "open the {file} namespace of the container"


class RunHelper(Step):
    """Run the helper ``helper``, a module of ocirt/helpers, with ``data`` (JSON) on standard input, and wait for it.

    What it prints is kept in register ``record``: if the create fails at a later step, the helper is run again to undo
    what it has done, with that as its input. With a register ``network`` of a network namespace the helper has four
    descriptors from 3 on: that namespace, the runtime's own, a netlink route socket in the runtime's, and one in the
    container's. With a register ``guard`` it has two more, the end of a socket whose other end comes into that register, and the
    locked state directory: a process that it leaves behind undoes all if that end is closed before the container is created.
    """

    fields = {"helper": "text", "data": "text", "record": "fills", "network": "fd", "guard": "fills"}
    defaults = {"network": NONE, "guard": NONE}
    sentence = "run the helper {helper}"


class SendPidfd(Step):
    """Send init's pidfd over the socket in ``fd`` (``--pidfd-socket``)."""

    fields = {"fd": "fd"}
    sentence = "send the pidfd of init"


class PreparePidFile(Step):
    """Write init's pid into a file without a name where ``path`` will be, if such a file can be had."""

    fields = {"path": "text"}
    sentence = "write the pid file {path}"


class WritePidFile(Step):
    """Give the file with init's pid the name ``path`` (``--pid-file``): the one that PreparePidFile has made, or it is made now."""

    fields = {"path": "text"}
    sentence = "write the pid file {path}"


class MakeNotifyDirectory(Step):
    """Make the directory ``notify`` in the state directory, for a container that gets it bound."""

    fields = {}
    sentence = "make the directory of the notify socket"


class ListenNotify(Step):
    """Listen on the socket ``notify/notify.sock`` of the state directory, which the container's processes may write to.
    Passed over where the caller has no NOTIFY_SOCKET (by now)."""

    fields = {}
    sentence = "listen on the notify socket"


class RelayNotify(Step):
    """Wait until the container has said READY=1 or ended; pass it on to the caller's NOTIFY_SOCKET with the container's
    pid as MAINPID, and wait until that has been read (sd_notify(3), BARRIER=1)."""

    fields = {}
    sentence = "pass the container's readiness on"


class Nothing(Step):
    """What undoes a step that changes nothing."""

    fields = {}
    sentence = "do nothing"


class Warn(Step):
    """Log ``message`` at level warning."""

    fields = {"message": "text"}
    sentence = "warn"


class Commit(Step):
    """The container is created: write state.json, set the journal's phase. From here on the runtime's end is not init's."""

    fields = {}
    sentence = "commit the container"


class PlaceCriuRoot(Step):
    """Make the directory ``path`` and mount a clone of the rootfs there, as it was opened: criu wants one that nothing is
    mounted over. Only in this process' mount namespace."""

    fields = {"path": "text"}
    sentence = "mount the rootfs at {path} for criu"


class MakeMountPoint(Step):
    """Make the directory ``path`` in the rootfs, where it is missing: criu mounts there."""

    fields = {"path": "text"}
    sentence = "make the mount point {path}"


class ExecCriu(Step):
    """Become criu, the executable ``path`` with the environment ``env``, in the mode in which it serves a socket (``criu
    swrk``), whose other end goes to the runtime. The directories ``images`` and ``work`` are opened as the descriptors
    ``images_fd`` and ``work_fd`` (-1: none), which criu looks for in the process that has made the socket, and mounts in."""

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
    """Have the child, which is criu, do what ``message`` says (ocirt/criu/message.py), until it has restored the container.
    When it has made the namespaces, sections entered and namespaces are run, at its end section restored. The master of the container's terminal goes over the socket
    ``console``, where there is one. Then the journal's phase is running. ``log`` is criu's log, ``root`` what PlaceCriuRoot
    has made."""

    fields = {"message": "bytes", "log": "text", "console": "fd", "root": "text"}
    sentence = "have criu restore the processes"


class OpenContainerRoot(Step):
    """Open the root directory of the container's first process into ``fd``."""

    fields = {"fd": "fills"}
    sentence = "open the root directory of the container"


class Release(Step):
    """Let the child execute its program (event committed), and wait until it has: its end of the socket closes. With
    ``relay`` 1 signals that come from here on are kept for the process."""

    fields = {"relay": "number"}
    sentence = "wait for the program"


class WriteState(Step):
    """What the state says of this container (state section, the first step there). ``annotations`` is raw
    JSON text, ``{}`` where there are none; ``request`` is one JSON object: what a later build needs
    to compile the container anew."""

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

    fields = {"hierarchy": "text", "path": "text", "file": "text"}
    sentence = "tell if the container is paused"


class TellOomKills(Step):
    """State section: after the word ``key``, ``file`` of the cgroup says how many processes the kernel has killed for
    want of memory; and the file ``peak`` (empty: none) how much of it there was at most."""

    fields = {"hierarchy": "text", "path": "text", "file": "text", "key": "text", "peak": "text"}
    defaults = {"peak": ""}
    sentence = "tell what the kernel has killed for want of memory"


class KeepResources(Step):
    """Write ``data`` (JSON) to resources.json in the state directory, by rename."""

    fields = {"data": "text"}
    sentence = "keep the resources"


# ---- the container's side: identity ----


class JoinCgroup(Step):
    """Write ``0`` to the register's file: this process moves itself, without a grace period."""

    fields = {"fd": "takes"}
    sentence = "join the cgroup"


class JoinNamespace(Step):
    """setns into the register's namespace, which is of kind ``kind``. With ``early`` 1, EPERM is left for a later
    JoinNamespace of the same register (after the user namespace has been joined); one that is done is not repeated."""

    fields = {"fd": "fd", "kind": "number", "early": "number"}
    defaults = {"early": 0}
    sentence = "join the namespace"


class SetOomScore(Step):
    """Write ``value`` to /proc/self/oom_score_adj, as a process does that is the caller's still. Its children have it
    too."""

    fields = {"value": "text"}
    sentence = "set oom_score_adj to {value}"


class OpenProc(Step):
    """Use the procfs at /proc of this process' mount namespace for WriteProc, in its children too."""

    fields = {}
    sentence = "open /proc"


class JoinContainer(Step):
    """setns(2) into the namespaces ``flags`` (CLONE_NEW*) of the container's first process, all of them at once, by its
    pidfd. Of the pid namespace that is for children."""

    fields = {"flags": "number"}
    sentence = "join the namespaces of the container"


class AssertRunning(Step):
    """Fail if the container's first process has ended."""

    fields = {}
    sentence = "look whether the container lives"


class SetAffinity(Step):
    """sched_setaffinity(2) of this process to the bit mask ``cpus``, in words of 64 bits."""

    fields = {"cpus": "bytes"}
    sentence = "set the CPU affinity"


class ResetAffinity(Step):
    """sched_setaffinity(2) of this process to every CPU, of which the kernel leaves those of the cpuset. Where it is forbidden the
    affinity stays as it is."""

    fields = {}
    sentence = "reset the CPU affinity"


class Unshare(Step):
    """unshare(2) ``flags``."""

    fields = {"flags": "number"}
    sentence = "unshare"


class WriteTimeOffsets(Step):
    """Write ``offsets`` (lines of clock, seconds, nanoseconds) to the procfs file timens_offsets of this process."""

    fields = {"offsets": "text"}
    sentence = "set the offsets of the time namespace"


class SetDumpable(Step):
    """PR_SET_DUMPABLE."""

    fields = {"value": "number"}
    sentence = "set dumpable"


class BecomeRoot(Step):
    """Become uid 0 and gid 0 of the user namespace, with no supplementary group where setgroups is allowed."""

    fields = {}
    sentence = "become root of the user namespace"


class NewKeyring(Step):
    """Join a new session keyring called ``name``; in exec the container's, which create has called so. One that somebody else has made
    under that name is never joined: then the new one has no name. A kernel without keyrings is passed over."""

    fields = {"name": "text"}
    sentence = "make the session keyring {name}"


class SetHostname(Step):
    fields = {"name": "text"}
    sentence = "set the hostname to {name}"


class SetDomainname(Step):
    fields = {"name": "text"}
    sentence = "set the domainname to {name}"


class OpenNetwork(Step):
    """Open a socket of this network namespace into ``fd``."""

    fields = {"fd": "fills"}
    sentence = "open a socket in the network namespace"


class LoopbackUp(Step):
    """Bring the interface ``lo`` of this network namespace up, or of the one that the socket in ``socket`` is of."""

    fields = {"socket": "takes"}
    defaults = {"socket": NONE}
    sentence = "bring the loopback interface up"


# ---- the container's side: rootfs ----
# Every ``target`` and every ``path`` of a step that acts in the rootfs is resolved with openat2
# (RESOLVE_IN_ROOT, no magic links) beneath the rootfs fd, before and after pivot_root alike, and what is
# missing of it is made. ``set`` and ``clear`` are MOUNT_ATTR_* bits; where clear holds an access
# time bit it is the whole MOUNT_ATTR__ATIME mask. A procfs or sysfs, new or bound, is pinned when it is mounted: what lies
# beneath it is found from the mount, whatever has become of the way there meanwhile, and no link may be on the way to a whole one.
# Inside of a procfs nothing is mounted but on the files that Bind's ``on_proc`` is for. ``propagation`` is 0 or one MS_* flag;
# ``propagation_recursive`` says whether it goes to the mounts below too.


class SetPropagation(Step):
    """Set the propagation of ``/`` of this mount namespace, and below it where ``recursive``."""

    fields = {"propagation": "number", "recursive": "number"}
    sentence = "set the propagation of /"


class OpenRootfs(Step):
    """Clone the mounts at ``path`` (host path) and attach the clone over it: the rootfs. With ``recursive`` 1
    mounts beneath come along; with ``aside`` 1 all that happens in a new mount namespace, until ChangeRoot. Or the clone is what OpenMount has put
    into the register ``tree``; where init cannot reach ``path`` to attach it there, it goes over ``/``."""

    fields = {"path": "text", "tree": "takes", "recursive": "number", "aside": "number"}
    defaults = {"tree": NONE, "recursive": 1, "aside": 0}
    sentence = "open the rootfs {path}"


class OverlayRootfs(Step):
    """Mount an overlay of the read-only directories ``lower`` (host paths, topmost first) with ``options`` (upperdir and
    workdir, none for a read-only overlay) at ``path`` (host path): the rootfs. None of these directories is made. ``aside`` as with OpenRootfs."""

    fields = {"lower": "texts", "options": "texts", "path": "text", "aside": "number"}
    defaults = {"options": (), "aside": 0}
    sentence = "mount the overlay rootfs at {path}"


class Mount(Step):
    """Mount a new file system of type ``fstype`` at ``target``.

    ``options`` go to fsconfig one by one, ``key=value`` or a bare flag; ``source`` is its source;
    ``set`` are the mount's MOUNT_ATTR_* bits. With ``tmpcopyup`` 1 the content of the directory
    beneath is copied into it, with ``keep_mode`` 1 its permissions are that directory's. A target that is missing
    is made a directory; / is the rootfs itself, and what is mounted there is the rootfs from then on.

    With a register ``context`` the file system is what OpenFilesystem has put there. With ``detached`` 1 the mount is not
    attached yet and comes into ``mount``; else, where that is a register, the mount is what is in it.
    """

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
    """Bind-mount ``source`` (host path) at ``target``, or what OpenMount has put into the register ``tree``.

    ``recursive`` binds what is mounted beneath too. ``set``/``clear`` change this mount, ``implied`` are bits to clear
    of it too, but for those that a user namespace has locked; ``recursive_set``/``recursive_clear`` change the whole tree (the r* options). A target that is missing
    is made a directory or an empty file, as the source is; with ``on_proc`` 1 it is one of the files of /proc that may be covered. Where the source is missing ``otherwise`` is bound, if
    that is not empty; with ``optional`` 1 it is passed over. With ``source_nofollow`` or ``target_nofollow`` 1 a symlink there is meant itself; with
    ``copy_symlink`` 1 a source that is one is made anew at the target instead. ``mapping`` and ``mapping_recursive`` are
    OpenMount's, for a source that it has left; with ``lend`` 1 the runtime maps that (MapLent).
    """

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
    """Mount cgroup v2 (``fstype``) at ``target``, as Mount does: in a cgroup namespace that shows its root. Where it is
    not permitted (EPERM, EBUSY) ``bind``, the directory of that cgroup, is bound instead, as Bind does."""

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
    """mount_setattr of the mount at ``target`` (``/`` is the rootfs itself)."""

    fields = {"target": "text", "set": "number", "clear": "number", "recursive": "number", "propagation": "number"}
    defaults = {"clear": 0, "recursive": 0, "propagation": 0}
    sentence = "change the mount at {target}"


class MountHierarchies(Step):
    """Mount a file system as Mount does, with the MOUNT_ATTR_* bits ``top``, and in it, each in a directory of its name in ``names``,
    what is at the host paths ``sources``. Where one is missing what is at the same place of ``otherwise``, if that is not
    empty, is bound; with ``optional`` 1 it is passed over. Each of ``links`` becomes a symlink to what stands in the same place of
    ``to``. Then ``set``, ``clear`` and ``propagation`` change all of these mounts; the first keeps ``top``. With ``detached`` 1
    the file system is the mount in ``mount``, which is not attached yet and has ``top``: that is possible since Linux 6.15."""

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

    fields = {"target": "text", "options": "texts"}
    sentence = "reconfigure the file system at {target}"


class MakeDirectory(Step):
    """Make ``path`` and its parents, mode ``mode`` for what is made. One that exists is left as it is."""

    fields = {"path": "text", "mode": "number"}
    sentence = "make directory {path}"


class MakeSymlink(Step):
    """Make ``path`` a link to ``to``. With a non-empty ``needs`` only if that path exists in the rootfs. A
    path that exists is left as it is, unless ``replace`` is 1 (then a file or link there is replaced)."""

    fields = {"to": "text", "path": "text", "needs": "text", "replace": "number"}
    defaults = {"needs": "", "replace": 0}
    sentence = "link {path} to {to}"


class MakeNode(Step):
    """Make the device node ``path``. ``kind`` is S_IFCHR, S_IFBLK or S_IFIFO, ``mode`` its permissions under any
    umask. A node that exists must be the same device. With ``bind`` 1 the host's node at the same path is
    bound there instead (user namespaces may not mknod).

    With a register ``outside`` and ``bind`` 0 the runtime makes the node in a file system that is attached nowhere, whose mount comes
    into that register; with ``bind`` 1 that node is bound. Where the runtime may not make it either (EPERM) the register stays
    empty, and the host's node is bound."""

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
    """Take a new pseudoterminal from the container's /dev/pts (ONLCR off, ``height`` by ``width`` unless 0), bind
    it over /dev/console where ``device`` is 1, send its master over the socket in ``fd`` (NONE: to the runtime, for a
    foreground run), give it to ``uid`` and make it the controlling terminal and standard streams."""

    fields = {"fd": "takes", "uid": "number", "height": "number", "width": "number", "device": "number"}
    sentence = "set the terminal up"


class MaskPath(Step):
    """Cover ``path`` with an empty read-only tmpfs (a directory) or with /dev/null (anything else). A missing
    path is passed over."""

    fields = {"path": "text"}
    sentence = "mask {path}"


class ReadonlyPath(Step):
    """Make ``path`` read-only by a bind over itself. A missing path is passed over."""

    fields = {"path": "text"}
    sentence = "make {path} read-only"


class PivotRoot(Step):
    """Make the rootfs the root of this mount namespace and detach the old one."""

    fields = {}
    sentence = "pivot_root"


class MoveRoot(Step):
    """``--no-pivot``: move the rootfs over /, unmount all that is mounted beneath it, or cover each procfs and sysfs that
    cannot be unmounted, and chroot into it."""

    fields = {}
    sentence = "move the rootfs over /"


class ChangeRoot(Step):
    """Without a mount namespace: clone the rootfs with its mounts, go back to the runtime's mount namespace and chroot into
    the clone, which is attached nowhere and goes with its last process."""

    fields = {}
    sentence = "chroot into the rootfs"


class EnterRoot(Step):
    """Take ``/`` of this process for the rootfs; before, chroot into the directory ``fd`` unless that is NONE."""

    fields = {"fd": "fd"}
    defaults = {"fd": NONE}
    sentence = "enter the root directory of the container"


class WriteProc(Step):
    """Write ``value`` to ``file`` (``sys/...``, ``self/attr/exec``) of OpenProc's procfs, or of one of our own."""

    fields = {"file": "text", "value": "text"}
    sentence = "write {value} to /proc/{file}"


# ---- the container's side: the process ----


class SetRlimit(Step):
    """prlimit; ``soft`` and ``hard`` as 64-bit patterns (-1 is no limit)."""

    fields = {"resource": "number", "soft": "number", "hard": "number", "name": "text"}
    sentence = "set {name}"


class RestoreOpenFiles(Step):
    """Give this process the soft RLIMIT_NOFILE that the runtime was started with, and has raised for itself."""

    fields = {}
    sentence = "restore the caller's RLIMIT_NOFILE"


class SetScheduler(Step):
    """sched_setattr(2) with a struct sched_attr of these fields."""

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
    """ioprio_set(2) of this process; ``value`` holds class and priority, IOPRIO_PRIO_VALUE."""

    fields = {"value": "number"}
    sentence = "set the I/O priority"


class SetPersonality(Step):
    """personality(2)."""

    fields = {"domain": "number"}
    sentence = "set the execution domain"


class SetUmask(Step):
    fields = {"mask": "number"}
    sentence = "set the umask"


class SetMemoryPolicy(Step):
    """set_mempolicy(2) with ``mode`` (MPOL_*, called ``name``, and MPOL_F_* flags) and the bit mask ``nodes``, in words
    of 64 bits; empty is no node."""

    fields = {"mode": "number", "nodes": "bytes", "name": "text"}
    sentence = "set the memory policy {name}"


class DropBounding(Step):
    """Drop every capability from the bounding set that is not a bit of ``keep``."""

    fields = {"keep": "number"}
    sentence = "drop capabilities from the bounding set"


class SetUser(Step):
    """Give the standard streams to ``uid``, then set supplementary groups (decimal ``groups``), gid and uid,
    keeping capabilities for SetCapabilities. ``setgroups`` 0: the groups stay as they are."""

    fields = {"uid": "number", "gid": "number", "groups": "texts", "setgroups": "number"}
    defaults = {"setgroups": 1}
    sentence = "become the container's user"


class SetCapabilities(Step):
    """capset and the ambient set; each field is a bit set."""

    fields = {"effective": "number", "permitted": "number", "inheritable": "number", "ambient": "number"}
    sentence = "set capabilities"


class SetNoNewPrivileges(Step):
    fields = {}
    sentence = "set no_new_privs"


class LoadSeccomp(Step):
    """seccomp(2): install the BPF program ``filter`` with ``flags`` (SECCOMP_FILTER_FLAG_*). From here on it holds for
    what the executor does itself: only Exec may follow."""

    fields = {"filter": "bytes", "flags": "number"}
    sentence = "install the seccomp filter"


class FilterHooks(Step):
    """Have the hooks of this section install the filter, as LoadSeccomp does, right before they are executed."""

    fields = {"filter": "bytes", "flags": "number"}
    sentence = "have hooks install the seccomp filter"


class LoadNotifyingSeccomp(Step):
    """As LoadSeccomp, with SECCOMP_FILTER_FLAG_NEW_LISTENER among ``flags``: the filter's descriptor goes over
    ``socket`` with the container process state, in which ``metadata`` (empty: none) and the container's ``status``
    stand; then both are closed. A thread that the filter does not hold for sends it, so a profile may notify of, or
    forbid, any syscall. With ``ready`` 1 that thread sends the event ``ready`` afterwards, too."""

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
    """Close all descriptors from 3 + ``preserve`` on, but for those that bring word to the runtime, the rootfs and the
    registers ``keep``, ``stdout`` and ``stderr``."""

    fields = {"preserve": "number", "keep": "fd", "stdout": "fd", "stderr": "fd"}
    defaults = {"keep": NONE, "stdout": NONE, "stderr": NONE}
    sentence = "close what the program does not get"


class ChangeDirectory(Step):
    """chdir to ``path`` and check that the directory lies inside the root. With ``early`` 1, permission denied is
    left for the later ChangeDirectory, which runs as the container's user; that one may be denied if the early one was not."""

    fields = {"path": "text", "early": "number"}
    defaults = {"early": 0}
    sentence = "change to the directory {path}"


class FindHome(Step):
    """Find HOME of ``uid`` in /etc/passwd where ``env`` has none, or an empty one."""

    fields = {"uid": "number", "env": "texts"}
    sentence = "find the user's home"


class FindExecutable(Step):
    """Find ``args``' first entry on the PATH of ``env``, so that create fails where start would, and make the program's environment:
    of several entries of ``env`` for one variable the last counts, and HOME is what FindHome has found."""

    fields = {"args": "texts", "env": "texts"}
    sentence = "find the program"


class KeepInit(Step):
    """Fork. The child goes on with the next step and becomes the program; this process stays as an init that passes signals
    on to it, reaps orphans and ends with its status."""

    fields = {}
    sentence = "keep an init before the program"


class PrepareExec(Step):
    """Do what Exec would have to do by system calls, which a seccomp filter may forbid by then: reset signals, and have execve close
    what is not preserved (descriptors from 3 + ``preserve`` on)."""

    fields = {"preserve": "number"}
    sentence = "prepare to execute the program"


class Exec(Step):
    """Set the phase (the journal's; of an exec program one of its own) to running, and execute what FindExecutable found with the
    environment that it has made. execve is the only system call."""

    fields = {"args": "texts"}
    sentence = "execute the program"


STEPS = tuple(Step.__subclasses__())
