"""What all steps share: their sections, the events of which Send and Receive tell, bits in their fields, and their class."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...model.text import Field

SECTIONS = (
    "host",
    "stage",
    "init",
    "before_start",
    "exec_program",
    "after_start",
    "signal",
    "pause",
    "resume",
    "update",
    "restore",
    "delete",
    "renew",
    "in_criu_netns",
    "in_restored_mntns",
)
"""Sections, by the process that runs them and when.

host                the runtime's process at create, in the runtime's namespaces
stage               the intermediate child that joins namespaces; only if there are namespaces to join
init                the process that becomes the container, before ``start``; in the program of an exec, the process that is
                    added, whose last step executes the command
before_start        the process that runs ``start`` (or ``run``), before it sends the request to init
exec_program        the same process as init, after the request of ``start``
after_start         the process that runs ``start``, after init has executed the program
signal              ``kill --all``
pause               ``pause``
resume              ``resume``, and ``kill`` with SIGKILL
update              ``update``, in a program of its own
restore             the undoing of a failed update: one step for each step of ``update``, in reverse order, except
                    KeepResources
delete              ``delete``, and the undoing of a failed create
renew               the process of ``create --late --renew``, once the container has ended: what the next one gets anew. It
                    takes the steps of host as well
in_criu_netns       the verb ``restore``, in a child that enters namespaces which criu has just made
in_restored_mntns   the verb ``restore``, in a child that enters the container's mount namespace after criu has restored
                    everything and before any process continues
"""

EVENTS = (
    "spawned",
    "mapped",
    "mounted",
    "hooked",
    "ready",
    "committed",
    "known",
    "network",
    "placed",
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
network    host to init: the message carries the network namespace that the host has made for the container
placed     host to the child: the child is in its cgroup, which systemd has made, or the message carries what it joins its
           cgroups by; the limits are written
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


class Record:
    """Fields of certain kinds. ``at`` is the JSON path, flag or rule that asked for the record, ``spec`` the section of
    the specification that it follows.

    ``fields`` are the names and kinds of its fields, ``defaults`` the values of fields that a plan may leave out.
    """

    __slots__ = ("at", "spec", "values")
    fields: dict[str, str] = {}
    defaults: "dict[str, Field]" = {}

    def __init__(self, at: str, spec: str = "", **values: "Field") -> None:
        values = {**self.defaults, **values}
        self.at, self.spec = at, spec
        self.values = tuple([values[name] for name in self.fields])
        if len(values) > len(self.values):
            raise TypeError(f"{type(self).__name__} has no field {', '.join(values.keys() - self.fields.keys())}")

    def __getattr__(self, name: str) -> "Any":
        """The value of the field ``name``, of the type that its kind says."""
        if name not in self.fields:
            raise AttributeError(f"{type(self).__name__} has no field {name}")
        return self.values[list(self.fields).index(name)]

    def __eq__(self, other: object) -> bool:
        from ...model.text import bound  # what a create has no need of

        return (
            type(self) is type(other)
            and (self.at, self.spec) == (other.at, other.spec)
            and (list(map(bound, self.values)) == list(map(bound, other.values)))
        )

    __hash__ = None  # type: ignore[assignment]  # equal by value, of which some have no hash

    def __repr__(self) -> str:
        fields = " ".join(f"{name}={value!r}" for name, value in zip(self.fields, self.values))
        return f"<{type(self).__name__} {fields} at={self.at}>"


class Step(Record):
    """One step.

    ``sections`` are the sections in which the step may stand, and ``sentence`` the words with which an error says what
    the step was to do. ``doing`` is its kind in a trace (docs/tracing.md): ``wait`` if others decide how long it takes,
    ``hook`` or ``helper`` if it runs a program.

    A step that is one system call says so in ``call``, and the build writes its handler (:mod:`ocirt.generate`).
    An argument is a field, ``size(FIELD)`` (the bytes of a text or of data), ``bits(FIELD)`` (one more than the
    bits of the data, as set_mempolicy(2) counts), a structure ``{TYPE FIELD, ...}`` in which ``size`` is its own
    size, a string in single quotes, or what C takes unchanged. ``write(/proc/self/FILE, FIELD)`` writes a file of
    this process, ``write(/proc/CHILD/FILE, FIELD)`` one of the child. What the call returns goes
    to the register of a field of the kind ``fills``. ``hints`` has what an error of the call usually means, and if
    ``explained`` is set, a function ``explain_`` in C adds to the error what it can find out.
    """

    __slots__ = ()
    sections: tuple[str, ...] = ()
    sentence = ""
    doing = "step"
    call = ""
    hints: dict[str, str] = {}
    explained = False

    @classmethod
    def may_stand_in(cls, section: str) -> bool:
        return section in cls.sections or (section == "renew" and "host" in cls.sections)
