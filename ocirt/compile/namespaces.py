"""Namespaces: which ones the container has, and which process enters them when (config-linux.md, "Namespaces").

The runtime stays in its own namespaces: hooks and helpers run from them. Init is born in new pid and user namespaces and
makes the others, except for the network namespace, which a thread of the runtime makes before init exists
(BeginNetwork). Joining by path and time offsets happen in an intermediate child, the stage, which then starts init. Init
makes the cgroup namespace itself, because that namespace shows what is below the cgroup of the process that makes it.

A caller that gives --rootfs-annotations may name a unix socket by the annotation ``org.ocirt.network.receiver``. It gets a
descriptor of the container's new network namespace as soon as that exists. The container is created once the receiver has
answered with a byte, or without an answer if there is the annotation ``org.ocirt.network.later``. Only root could open the
namespace by init's /proc directory, because init is not dumpable.
"""

from ..errors import ConfigError, HostError
from ..model import crun
from ..model.peers import MAPS_IDS
from ..model.text import Template, quote
from ..plan.steps import (
    EVENTS,
    NONE,
    BecomeRoot,
    BeginNetwork,
    Close,
    DenySetgroups,
    JoinNamespace,
    Lend,
    LoopbackUp,
    NewKeyring,
    OpenNamespace,
    OpenSocket,
    Receive,
    RunMapHelper,
    Send,
    SetDomainname,
    SetDumpable,
    SetHostname,
    Spawn,
    TakeNetwork,
    Unshare,
    WriteIdMap,
    WriteTimeOffsets,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroups import Driver
    from ..model.config import Config, IdMapping
    from ..model.config import Namespace as Entry
    from ..model.host import Host
    from ..model.request import Request
    from ..model.text import Number, Text
    from ..plan import Plan
    from ..plan.steps import Step

TIME, MOUNT, CGROUP, UTS, IPC, USER, PID, NETWORK = (
    0x80,
    0x20000,
    0x02000000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
"""CLONE_NEW*, clone(2)."""
KINDS = {
    "pid": PID,
    "network": NETWORK,
    "mount": MOUNT,
    "ipc": IPC,
    "uts": UTS,
    "user": USER,
    "cgroup": CGROUP,
    "time": TIME,
}
CLOCKS = ("monotonic", "boottime")
"""Clocks that time namespaces shift, time_namespaces(7)."""
HELPER_FOLDERS = ("/usr/bin/", "/bin/", "/usr/local/bin/", "/usr/sbin/", "/sbin/")
"""Where the compiler expects newuidmap and newgidmap. It ignores the caller's PATH, because they run with root's
rights."""
NAME_MAX = 64
"""The most bytes of a hostname or domainname, uname(2)."""

RECEIVER, LATER = "org.ocirt.network.receiver", "org.ocirt.network.later"

SPEC = "config-linux.md#namespaces"
MAPPINGS = "config-linux.md#user-namespace-mappings"
OFFSETS = "config-linux.md#offset-for-time-namespace"


class Namespaces:
    """The namespaces of a container.

    :ivar new: CLONE_NEW* bits of the namespaces to make.
    :ivar joined: CLONE_NEW* bit -> path (Text) of each namespace to join.
    :ivar network: the register of the network namespace if the runtime makes it, otherwise ``NONE``.
    :ivar receiver: the path of the socket that gets the network namespace, ``None`` if nobody does.
    """

    def __init__(self, config: "Config", request: "Request", host: "Host", plan: "Plan") -> None:
        self.linux, self.request, self.host = config.linux, request, host
        self.config, self.plan = config, plan
        self.new, self.network, self.of_rootfs = 0, NONE, 0
        self.joined: dict[int, Text] = {}
        self.registers: dict[int, int] = {}
        for entry in self.linux.namespaces:
            self._add(entry)
        self._check()
        for kind in self.joined:
            self.registers[kind] = plan.register()
        self.receiver = self.config.annotation(RECEIVER) if request.rootfs_annotations else None
        if self.receiver is not None:
            if not self.new & NETWORK:
                raise ConfigError(self.receiver.path, "a socket", "a new network namespace, which it gets")
            self._socket, self._lent = plan.register(), plan.register()

    def _add(self, entry: "Entry") -> None:
        name, path = entry.type.read(), entry.file
        kind = KINDS.get(name)
        if kind is None:
            raise ConfigError(entry.type.path, quote(name), f"one of {', '.join(KINDS)}")
        if self.has(kind):
            raise ConfigError(entry.type.path, f"{quote(name)} a second time", "each type once")
        if path is None or path.is_empty():
            self.new |= kind
        else:
            self.joined[kind] = path.checked(absolute=True)

    def has(self, kind: int) -> bool:
        """Does the container have another namespace of ``kind`` than the runtime?"""
        return bool(self.new & kind) or kind in self.joined

    def _check(self) -> None:
        linux = self.linux
        if self.has_user and not self.has_mount:
            raise ConfigError("linux.namespaces", "a user namespace alone", "a mount namespace as well, to mount in")
        if self.host.euid != 0 and not self.has(USER):
            raise HostError(
                "linux.namespaces",
                "found no user namespace, which every user but root needs; "
                "ocirt spec --rootless writes a config.json that has one",
            )
        for name, mappings in (("uidMappings", linux.uid_mappings), ("gidMappings", linux.gid_mappings)):
            if mappings and not self.has(USER):
                linux.trace.doubt(
                    linux.at(name), "an array", "nothing without a user namespace in linux.namespaces", "it is ignored"
                )
            if not mappings and self.new & USER and not self.request.does(MAPS_IDS):
                raise ConfigError(linux.at(name), "nothing", "at least one mapping for the new user namespace")
        if linux.time_offsets and not self.new & TIME:
            raise ConfigError(
                "linux.timeOffsets", "an object", "nothing without a new time namespace in linux.namespaces"
            )
        self.time_offset = crun.time_offset(self.config)
        if self.time_offset and not self.new & TIME:
            raise ConfigError(
                crun.at(crun.TIME_OFFSET),
                quote(self.time_offset.strip()),
                "nothing without a new time namespace in linux.namespaces",
            )
        for name in linux.time_offsets:
            if name not in CLOCKS:
                raise ConfigError("linux.timeOffsets", f"the clock {quote(name)}", f"only {' and '.join(CLOCKS)}")
        for name in ("hostname", "domainname"):
            value = getattr(self.config, name)
            if value is not None and not value.checked(max_length=NAME_MAX).is_empty() and not self.has(UTS):
                raise ConfigError(name, quote(value.bound()), "nothing without a uts namespace in linux.namespaces")

    @property
    def is_lent(self) -> bool:
        """Does somebody get the network namespace?"""
        return self.receiver is not None

    @property
    def has_mount(self) -> bool:
        """Does the container have another mount namespace than the runtime?"""
        return self.has(MOUNT)

    @property
    def has_user(self) -> bool:
        """Does the container have another user namespace than the runtime, new or joined?"""
        return self.has(USER)

    @property
    def hides_paths(self) -> bool:
        """Can the runtime reach paths that init cannot? In a user namespace init does not have the rights of the
        runtime's root: that of the host, or of the user namespace in which a user's engine has started the runtime.
        """
        return self.has_user and self.host.euid == 0

    @property
    def leave_refused(self) -> int:
        """Does OpenMount leave to init what the kernel refuses to the runtime (1), or is that an error (0)? In a user
        namespace the runtime's mount namespace may be one of the host's, in which it may clone no mounts.
        """
        return int(self.host.in_user_namespace)

    @property
    def denies_setgroups(self) -> bool:
        """Will the kernel refuse setgroups(2) in the container? It does if a user without privileges maps only its own
        gid.
        """
        if self.new & USER:
            return self.host.euid != 0 and (
                not self.linux.gid_mappings or self._is_own(self.linux.gid_mappings, self.host.egid)
            )
        return self.host.in_user_namespace and self.host.denies_setgroups

    @property
    def has_stage(self) -> bool:
        """Does a child join namespaces before it makes the first process of the container?"""
        return bool(self.joined) or bool(self.new & TIME)

    @property
    def _stage_has_user(self) -> bool:
        """Does the stage make the new user namespace? Without root's rights only a process in that namespace can make a
        time namespace.
        """
        return bool(self.new & USER and self.new & TIME) and self.host.euid != 0

    @property
    def own(self) -> int:
        """CLONE_NEW* bits of the namespaces that init makes itself while the runtime goes on: all except those that
        init must be born in, and the cgroup namespace (:meth:`enter_cgroup`). Otherwise the runtime would wait for
        them in clone3, above all for the network namespace. If a stage starts init, init is born in all of them,
        because the runtime waits for the stage anyway.
        """
        return 0 if self.has_stage else self.new & ~(USER | PID | CGROUP | self._of_runtime | self.of_rootfs)

    @property
    def _of_runtime(self) -> int:
        return 0 if self.network == NONE else NETWORK

    def share(self) -> None:
        """Let a thread of the runtime make the network namespace. That takes half as long as all of init's mounts, and the
        thread can begin before the cgroup and init exist. In a user namespace only init can make it, and a stage starts
        an init that is born in it.
        """
        if self.new & NETWORK and not self.has_stage and not self.has_user:
            self.network = self.plan.register()

    # ---- steps ----

    def open(self) -> "list[Step]":
        steps: list[Step] = [
            OpenNamespace(path.path, SPEC, fd=self.registers[kind], path=path, kind=kind)
            for kind, path in self.joined.items()
        ]
        if self.receiver is not None:
            steps.append(OpenSocket(self.receiver.path, "", fd=self._socket, path=self.receiver))
        return steps

    def spawn(
        self, cgroup: "Driver", asking: "list[Step]", placing: "list[Step]", limits: "list[Step]"
    ) -> "list[Step]":
        """Steps of the host that start the stage or init, and write the id maps of a new user namespace.

        :param cgroup: :class:`ocirt.cgroups.Driver`, whose register has the cgroup to clone the child into.
        :param asking: steps that ask another process to put the child into its cgroup, once the child exists.
        :param placing: steps that put it there, or wait for that process.
        :param limits: steps that raise limits, before init may use a new user namespace.
        """
        section, flags = ("stage", USER if self._stage_has_user else 0) if self.has_stage else ("init", self._flags())
        steps: list[Step] = [
            Spawn(
                "linux.namespaces",
                SPEC,
                section=section,
                flags=flags,
                cgroup=cgroup.register,
                allow_caller_cgroup=cgroup.allow_caller_cgroup,
            ),
            *asking,
        ]
        if not self.has_stage:
            network = self._take_network()
            return [*steps, *self._map(limits), *(placing + network if cgroup.is_first else network + placing)]
        spawned: list[Step] = [Receive("linux.namespaces", SPEC, event=EVENTS.index("spawned"))]
        if self._stage_has_user:
            return [*steps, *self._map(limits), *placing, *spawned]
        return [*steps, *placing, *spawned, *self._map(limits)]

    def begin_network(self) -> "list[Step]":
        """Steps of the host that begin to make the network namespace."""
        return [] if self.network == NONE else [BeginNetwork("linux.namespaces", SPEC)]

    def _take_network(self) -> "list[Step]":
        if self.network == NONE:
            return []
        return [
            TakeNetwork("linux.namespaces", SPEC, fd=self.network),
            *self._lend(self.network),
            self._pass_network(Send),
        ]

    def _lend(self, network: int) -> "list[Step]":
        """The step that lends the receiver the network namespace in this register."""
        return [] if self.receiver is None else [Lend(self.receiver.path, "", fd=self._socket, lent=network, waits=0)]

    def await_receiver(self) -> "list[Step]":
        """The step of the host that waits until the receiver has connected the network namespace."""
        if self.receiver is None or self.config.annotation(LATER) is not None:
            return []
        return [Lend(self.receiver.path, "", fd=self._socket, lent=NONE, waits=1)]

    def _lend_own(self) -> "list[Step]":
        """Steps of init that lend the receiver the network namespace in which it is."""
        if self.receiver is None or self._of_runtime:
            return []
        return [
            OpenNamespace(self.receiver.path, "", fd=self._lent, path="/proc/self/ns/net", kind=NETWORK),
            *self._lend(self._lent),
            Close(self.receiver.path, "", fd=self._lent),
            Close(self.receiver.path, "", fd=self._socket),
        ]

    def _pass_network(self, kind: "type[Send] | type[Receive]") -> "Send | Receive":
        return kind("linux.namespaces", SPEC, event=EVENTS.index("network"), first=self.network, count=1)

    def enter_network(self) -> "list[Step]":
        """Steps of init that enter the network namespace, if the runtime makes it."""
        if self.network == NONE:
            return []
        return [
            self._pass_network(Receive),
            JoinNamespace("linux.namespaces", SPEC, fd=self.network, kind=NETWORK),
        ]

    def _flags(self) -> int:
        others = self._of_runtime | self.of_rootfs | (USER if self._stage_has_user else 0)
        return self.new & ~(CGROUP | TIME | self.own | others)

    def stage(self, waiting: "list[Step]", limits: "list[Step]") -> "list[Step]":
        """Steps of the stage, if the container needs one.

        :param waiting: steps that bring the stage into the cgroup in which init is to be born.
        :param limits: steps that raise limits, before the stage joins a user namespace.
        """
        if not self.has_stage:
            return []
        at = "linux.namespaces"
        if self._stage_has_user:
            # The caller may map the ids of this process only while the process is dumpable, so dumpable is cleared
            # later.
            steps: list[Step] = [Receive(at, MAPPINGS, event=EVENTS.index("mapped")), BecomeRoot(at, MAPPINGS)]
        else:
            steps = [SetDumpable("not dumpable", "", value=0)]
        steps += (limits if USER in self.joined else []) + self._joins()
        if self.new & TIME:
            steps.append(Unshare(at, SPEC, flags=TIME))
            steps += self._offsets()
        return [*steps, *waiting, Spawn(at, SPEC, section="init", flags=self._flags())]

    def _joins(self) -> "list[Step]":
        others = [kind for kind in self.joined if kind not in (USER, MOUNT)] + [MOUNT] * (MOUNT in self.joined)

        def join(kind: int, retry_later: int = 0) -> JoinNamespace:
            return JoinNamespace(
                self.joined[kind].path, SPEC, fd=self.registers[kind], kind=kind, retry_later=retry_later
            )

        if USER not in self.joined:
            return [join(kind) for kind in others]
        # A namespace of the runtime's user namespace can be joined only before leaving that, a namespace of the
        # container's user namespace only after joining that. So try each one before, and again after.
        return [*[join(kind, retry_later=1) for kind in others], join(USER), *[join(kind) for kind in others]]

    def _offsets(self) -> "list[Step]":
        lines = Template()
        for name, offset in self.linux.time_offsets.items():
            lines = lines + f"{name} " + _or_zero(offset.secs) + " " + _or_zero(offset.nanosecs) + "\n"
        if self.time_offset:
            lines = lines + self.time_offset
        if not lines.pieces:
            return []
        at = "linux.timeOffsets" if self.linux.time_offsets else crun.at(crun.TIME_OFFSET)
        steps: list[Step] = [WriteTimeOffsets(at, OFFSETS, offsets=lines)]
        if self.host.euid != 0:
            # The /proc directory of a process that is not dumpable belongs to root, and this process is not root.
            steps = [
                SetDumpable("linux.timeOffsets", OFFSETS, value=1),
                *steps,
                SetDumpable("not dumpable", "", value=0),
            ]
        return steps

    def _map(self, limits: "list[Step]") -> "list[Step]":
        if not self.new & USER:
            return []
        linux, host = self.linux, self.host
        steps: list[Step] = []
        for name, mappings, own, file, helper in (
            ("uidMappings", linux.uid_mappings, host.euid, "uid_map", "newuidmap"),
            ("gidMappings", linux.gid_mappings, host.egid, "gid_map", "newgidmap"),
        ):
            # Without privileges the kernel lets a process map only its own id, and its gid only if setgroups is denied,
            # because a process could otherwise drop a group. All other maps need a set-uid helper.
            at = linux.at(name)
            if file == "gid_map" and self.denies_setgroups:
                steps.append(DenySetgroups(at, MAPPINGS))
            if host.euid != 0 and mappings and not self._is_own(mappings, own):
                ranges = [Template() + id for each in mappings for id in (each.container_id, each.host_id, each.size)]
                steps.append(RunMapHelper(at, MAPPINGS, helper=helper, folders=HELPER_FOLDERS, ranges=tuple(ranges)))
                continue
            lines = map_lines(mappings) if mappings else self._default_map(name, own)
            steps.append(WriteIdMap(at, MAPPINGS, file=file, map=lines))
        return [*steps, *limits, Send("linux.namespaces", MAPPINGS, event=EVENTS.index("mapped"))]

    def _default_map(self, name: str, own: int) -> Template:
        """crun's map for a user namespace if the config has no map."""
        if self.host.euid != 0:
            return Template() + f"0 {own} 1\n"
        user = self.config.process.user if self.config.has("process") else None
        most = None if user is None else user.uid if name == "uidMappings" else user.gid
        return Template() + f"0 0 {1 if most is None else most.read() + 1}\n"

    @staticmethod
    def _is_own(mappings: "list[IdMapping]", own: int) -> bool:
        return len(mappings) == 1 and mappings[0].host_id.equals(own) and mappings[0].size.equals(1)

    def enter(self) -> "list[Step]":
        """Steps of init that make the namespaces that need no cgroup, and take over the ids of its user namespace."""
        at = "linux.namespaces"
        steps: list[Step] = []
        if self.host.euid == 0 or not self.new & USER or self._stage_has_user:
            steps.append(SetDumpable("not dumpable", "", value=0))
        if self.own:
            steps.append(Unshare(at, SPEC, flags=self.own))
        if self.new & NETWORK and not self._of_runtime:
            steps.append(LoopbackUp(at, SPEC))
        if self.new & USER and not self._stage_has_user:
            steps.append(Receive(at, MAPPINGS, event=EVENTS.index("mapped")))
        if self.has(USER) and not self._stage_has_user:
            steps += [BecomeRoot(at, MAPPINGS), SetDumpable("not dumpable", "", value=0)]
        return steps + self._lend_own() + self.keyring()

    def enter_cgroup(self) -> "list[Step]":
        """Steps of init that make the cgroup namespace, which shows what is below init's cgroup."""
        return [Unshare("linux.namespaces", SPEC, flags=CGROUP)] if self.new & CGROUP else []

    def keyring(self) -> "list[Step]":
        """The step that gives a process of the container a session keyring of its own."""
        if self.request.no_new_keyring:
            return []
        return [NewKeyring("session keyring", "", name="_ses." + self.request.text("id", self.plan.trace))]

    def all(self) -> int:
        """CLONE_NEW* bits of all namespaces of the container, new or joined."""
        bits = self.new
        for kind in self.joined:
            bits |= kind
        return bits

    def names(self) -> "list[Step]":
        """Steps of init that set hostname and domainname."""
        steps: list[Step] = []
        for name, kind in (("hostname", SetHostname), ("domainname", SetDomainname)):
            value = getattr(self.config, name)
            if value is not None and not value.is_empty():
                steps.append(kind(name, f"config.md#{name}", name=value.checked(max_length=NAME_MAX)))
        return steps


def _or_zero(number: "Number | None") -> "Number | str":
    return "0" if number is None else number


def map_lines(mappings: "list[IdMapping]") -> Template:
    """The text for uid_map or gid_map, user_namespaces(7)."""
    lines = Template()
    for each in mappings:
        lines = lines + each.container_id + " " + each.host_id + " " + each.size + "\n"
    return lines
