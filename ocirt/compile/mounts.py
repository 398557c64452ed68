"""Mounts: config.md, "Mounts". :mod:`.mount_options` reads the options of an entry."""

from ..errors import ConfigError
from ..model.text import quote
from ..plan.steps import (
    EVENTS,
    NONE,
    RDONLY,
    SHARED,
    Bind,
    Close,
    MapLent,
    Mount,
    OpenMount,
    Receive,
    ReconfigureMount,
    Send,
    SetMountAttributes,
    Warn,
)
from . import notify
from .mount_options import IDMAP, NOFOLLOW, SPEC, VIRTUAL, Parsed, is_mapping, meant_option, starts_with
from .namespaces import CGROUP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroups import Driver
    from ..model.config import Config
    from ..model.host import Host
    from ..model.request import Request
    from ..model.text import AnyText, Field, Template, Text
    from ..plan import Plan
    from ..plan.steps import Step
    from .namespaces import Namespaces
    from .rootfs import Rootfs

AHEAD = 128
"""How many mounts the runtime opens before it starts init. Each needs a descriptor in both processes until init has
attached it. The runtime opens further mounts while init runs and sends them one at a time, so that their number has no
limit."""


class Mounts:
    """The mounts of a container, in their order.

    Init makes most mounts alone. The runtime opens the source of a bind before it starts init (:meth:`open`) if init
    could not: in a user namespace init may not reach the path; only a process that is privileged over the file system
    may map its ids; and only the runtime's mount namespace has the peer of the host's mount that a shared volume needs.

    :param inside: is init in the container's user namespace, if the container has one? Init may not map ids there.
    :ivar _one: two neighbouring registers, for the id mapping and the tree of the one mount that the runtime sends.
    :ivar _handed: id of a Parsed that the runtime sends -> the first of these registers, and how many of them it sends.
    """

    def __init__(
        self,
        config: "Config",
        request: "Request",
        host: "Host",
        plan: "Plan",
        namespaces: "Namespaces",
        rootfs: "Rootfs",
        cgroup: "Driver",
        inside: bool = True,
    ) -> None:
        self.config, self.host, self.plan, self.namespaces = config, host, plan, namespaces
        self.rootfs, self.cgroup = rootfs, cgroup
        self._lends = inside and namespaces.has_user
        self.parsed = [Parsed(entry) for entry in config.mounts]
        self._opened: list[Step] = []
        self._ahead = 0
        self._handing: list[Step] = []
        self._handed: dict[int, tuple[int, int]] = {}
        self._one: tuple[int, ...] = ()
        self._notify = self._notify_bind(request) if config.has("process") else []
        self._binds = {id(each): self._bind(each) for each in self.parsed if each.is_bind and not each.is_remount}

    @property
    def has_own_dev(self) -> bool:
        """Does the config bind a directory of the host at /dev? The runtime makes no devices in such a directory."""
        return any([each.at_dev() for each in self.parsed if each.is_bind and not each.is_remount])

    @property
    def may_open_devices(self) -> bool:
        """May one of the file systems be on a block device? The device rules must then allow that device."""
        return any([not each.is_bind and not each.is_remount and each.fstype not in VIRTUAL for each in self.parsed])

    @property
    def show_cgroups(self) -> bool:
        return any([each.fstype.startswith("cgroup") for each in self.parsed])

    def needs_host(self) -> bool:
        """Must init reach files of the host while it makes the mounts? Sources of binds do not count: init opens them
        in the runtime's mount namespace, or the runtime has opened them. But a file system on a device, an overlay and
        a symlink to copy name files of the host, and so does the bind of a cgroup: init cannot go back from a user
        namespace. What is mounted at / counts, too, because only pivot_root removes the root beneath.
        """
        binds_cgroup = self.namespaces.has_user and not (self.namespaces.new & CGROUP and self.host.cgroups.is_v2)
        return self.may_open_devices or any(
            [
                "copy-symlink" in each.flags
                or (binds_cgroup and each.fstype.startswith("cgroup"))
                or each.entry.destination.is_path("/")
                for each in self.parsed
            ]
        )

    def warn(self) -> "list[Step]":
        """Steps of the host: a warning for each option that has no meaning for a bind. The author may have meant a
        safer option, ``ro`` for example.
        """
        steps: list[Step] = []
        for each in self.parsed:
            for at, option in zip(each.places, each.options) if each.is_bind and not each.is_remount else ():
                if is_mapping(option):
                    continue
                text = option if isinstance(option, str) else option.read()
                meant = meant_option(text)
                hint = f"; did you mean {meant}?" if meant else ""
                steps.append(Warn(at, SPEC, message=f"{at}: a bind mount has no option {text}: it is ignored{hint}"))
        return steps

    def open(self) -> "list[Step]":
        """Steps of the host, after it has opened the namespaces to join and before it starts init."""
        return self._opened

    def hand(self) -> "list[Step]":
        """Steps of the host, while init runs: they open and send the mounts beyond AHEAD."""
        return self._handing

    def pass_over(self, each: Parsed) -> "list[Step]":
        """Steps of init for an entry that it does not mount: the runtime still sends the mount, so init receives and
        closes it.
        """
        return [*self._receive(each), *[Close(each.at, SPEC, fd=fd) for fd in self._one if id(each) in self._handed]]

    def make(self, *before: "list[Step]") -> "list[Step]":
        """Steps of init that make the mounts. A mount that must be writable during the setup stays writable until
        :meth:`finish`.

        :param before: the steps that bring init into its network namespace, and the steps that bring it into its
            cgroup. Each list comes before the first entry that may need it (:meth:`Parsed.needs`).
        """
        steps: list[Step] = []
        done = 0
        for each, own in self.each():
            steps += [step for first in before[done : each.needs()] for step in first] + own
            done = max(done, each.needs())
        return steps + [step for first in before[done:] for step in first] + self._notify

    def each(self) -> "list[tuple[Parsed, list[Step]]]":
        """The entries (:class:`Parsed`), each with its steps."""
        return [(each, self._steps(each)) for each in self.parsed]

    def _steps(self, each: Parsed) -> "list[Step]":
        if each.is_remount:
            return self._remount(each)
        if each.is_bind:
            steps: list[Step] = [*self._receive(each), self._binds[id(each)], *self._close_mapping(each)]
        elif each.fstype in ("cgroup", "cgroup2"):
            self._only_binds(each)
            steps = self.cgroup.mount(each, self.namespaces.has(CGROUP))
        else:
            steps = [self._mount(each)]
        return steps + each.propagate(each.propagations[1:])

    def _receive(self, each: Parsed) -> "list[Step]":
        return [self._event(Receive, each)] if id(each) in self._handed else []

    def _event(self, kind: "type[Send] | type[Receive]", each: Parsed) -> "Step":
        first, count = self._handed[id(each)]
        # The tree is optional: if OpenMount leaves the source to Bind, no tree exists.
        return kind(each.at, SPEC, event=EVENTS.index("handed"), first=first, count=count, optional=1)

    def _close_mapping(self, each: Parsed) -> "list[Step]":
        return [Close(each.at, SPEC, fd=self._one[0])] if self._handed.get(id(each), (0, 0))[1] == 2 else []

    def _notify_bind(self, request: "Request") -> "list[Step]":
        source = notify.source(request, self.plan.trace)
        if source is None:
            return []
        tree = NONE
        if self.namespaces.hides_paths:
            tree = self.plan.register()
            self._opened.append(
                OpenMount(
                    notify.AT,
                    "",
                    fd=tree,
                    source=source,
                    propagation=self.rootfs.before,
                    leave_refused=self.namespaces.leave_refused,
                )
            )
        return [Bind(notify.AT, "", source=source, target=notify.INSIDE, tree=tree, set=notify.ATTRIBUTES)]

    def finish(self) -> "list[Step]":
        """Steps of init after the setup: they make mounts read-only."""
        return [
            SetMountAttributes(each.at, SPEC, target=each.target, set=RDONLY)
            for each in self.parsed
            if not each.is_remount and each.is_readonly_late()
        ]

    def _filesystem(self, each: Parsed) -> "dict[str, Field]":
        """The fields of the step that makes the new file system of an entry."""
        options: list[AnyText] = [*each.superblock, *each.options]
        if self.config.linux.has("mountLabel"):
            from .labels import mount_option

            options += mount_option(self.config, self.host, each.fstype)
        if each.set & RDONLY and not each.is_readonly_late() and each.fstype not in VIRTUAL:
            options.insert(0, "ro")
        source = each.entry.source
        return {
            "fstype": each.fstype,
            "source": each.fstype if source is None else source,
            "target": each.target,
            "options": options,
        }

    def _mount(self, each: Parsed) -> Mount:
        if not each.fstype:
            raise ConfigError(each.entry.at("type"), "nothing", "a file system, or bind or rbind among the options")
        if each.fstype == "none":
            raise ConfigError(each.entry.at("type"), '"none"', "a file system, or bind or rbind among the options")
        self._only_binds(each)
        is_tmpfs = each.fstype == "tmpfs"
        if "tmpcopyup" in each.flags and not is_tmpfs:
            raise ConfigError(each.flags["tmpcopyup"], '"tmpcopyup"', "tmpcopyup only on a tmpfs")
        # As in runc: a tmpfs without the option mode= gets the mode of the directory that it covers.
        keeps = is_tmpfs and not any([starts_with(option, "mode=") for option in each.options])
        return Mount(
            each.at,
            SPEC,
            set=each.first_attributes(),
            tmpcopyup=int("tmpcopyup" in each.flags),
            keep_mode=int(keeps),
            **each.first_propagation(),
            **self._filesystem(each),
        )

    @staticmethod
    def _only_binds(each: Parsed) -> None:
        for name in (*IDMAP, *NOFOLLOW):
            if name in each.flags:
                raise ConfigError(each.flags[name], quote(name), f"{name} only on a bind mount")
        for name in ("uidMappings", "gidMappings"):
            if each.entry.value.get(name):
                raise ConfigError(each.entry.at(name), "an array", "nothing, because this is no bind mount")

    def _bind(self, each: Parsed) -> Bind:
        given = each.entry.source
        if given is None or given.is_empty():
            raise ConfigError(each.entry.at("source"), "nothing", "the file or directory to bind")
        if "tmpcopyup" in each.flags:
            raise ConfigError(each.flags["tmpcopyup"], '"tmpcopyup"', "tmpcopyup only on a tmpfs")
        if "copy-symlink" in each.flags and self._is_mapped(each):
            raise ConfigError(
                each.flags["copy-symlink"],
                '"copy-symlink"',
                "copy-symlink only without an id mapping (uidMappings, gidMappings, idmap or ridmap)",
            )
        if "copy-symlink" in each.flags and ("src-nofollow" in each.flags or "dest-nofollow" in each.flags):
            raise ConfigError(
                each.flags["copy-symlink"], '"copy-symlink"', "copy-symlink only without src-nofollow and dest-nofollow"
            )
        source = self.rootfs.beneath_bundle(given)
        tree, mapping = self._open(each, source)
        lend = int(self._lends and tree != NONE and mapping != NONE)
        return Bind(
            each.at,
            SPEC,
            source=source,
            target=each.target,
            tree=tree,
            mapping=NONE if lend else mapping,
            lend=lend,
            mapping_recursive=int(mapping != NONE and not lend and "ridmap" in each.flags),
            implied=each.implied(),
            recursive=int("rbind" in each.flags),
            source_nofollow=int("src-nofollow" in each.flags),
            target_nofollow=int("dest-nofollow" in each.flags),
            copy_symlink=int("copy-symlink" in each.flags),
            on_proc=int(each.on_proc()),
            set=each.first_attributes(),
            clear=each.clear,
            recursive_set=each.recursive.set,
            recursive_clear=each.recursive.clear,
            **each.first_propagation(),
        )

    def _open(self, each: Parsed, source: "Text | Template") -> tuple[int, int]:
        """The registers of the tree that the runtime opens for a bind (NONE if init opens it) and of the tree's id
        mapping.
        """
        is_mapped = self._is_mapped(each)
        shared = self.rootfs.is_shared and SHARED in [flag for flag, _ in each.propagations]
        is_opened = (is_mapped or shared or self.namespaces.hides_paths) and "copy-symlink" not in each.flags
        is_handed = is_opened and self._ahead == AHEAD
        if is_handed and not self._one:
            self._one = self.plan.register(), self.plan.register()
        mapping = NONE
        steps: list[Step] = []
        if is_mapped:
            from .idmap import mapping_of

            mapping, steps = mapping_of(
                each, self.config.linux, self.namespaces, (lambda: self._one[0]) if is_handed else self.plan.register
            )
        tree = self._one[1] if is_handed else self.plan.register() if is_opened else NONE
        if is_opened:
            steps = [
                *steps,
                OpenMount(
                    each.at,
                    SPEC,
                    fd=tree,
                    source=source,
                    recursive=int("rbind" in each.flags),
                    nofollow=int("src-nofollow" in each.flags),
                    propagation=0 if shared else self.rootfs.before,
                    mapping=mapping,
                    mapping_recursive=int("ridmap" in each.flags),
                    leave=1,
                    leave_refused=0 if is_mapped or shared else self.namespaces.leave_refused,
                ),
            ]
        if is_handed:
            # If several mounts share an id mapping, its register is filled before init starts, and init inherits it.
            self._handed[id(each)] = (mapping, 2) if mapping == self._one[0] and not self._lends else (tree, 1)
            self._handing += [*steps, self._event(Send, each)]
        else:
            self._ahead += is_opened
            self._opened += steps
        if is_opened and mapping != NONE and self._lends:
            self._handing.append(
                MapLent(
                    each.at,
                    SPEC,
                    fd=tree,
                    source=source,
                    mapping=mapping,
                    mapping_recursive=int("ridmap" in each.flags),
                )
            )
            if is_handed and mapping == self._one[0]:
                self._handing.append(Close(each.at, SPEC, fd=mapping))
        return tree, mapping

    @staticmethod
    def _is_mapped(each: Parsed) -> bool:
        return (
            any([name in each.flags for name in IDMAP])
            or bool(each.entry.value.get("uidMappings") or each.entry.value.get("gidMappings"))
            or any([is_mapping(option) for option in each.options])
        )

    def _remount(self, each: Parsed) -> "list[Step]":
        steps: list[Step] = []
        if each.options or each.superblock:
            steps.append(ReconfigureMount(each.at, SPEC, target=each.target, options=[*each.superblock, *each.options]))
        if each.set or each.clear:
            steps.append(SetMountAttributes(each.at, SPEC, target=each.target, set=each.set, clear=each.clear))
        if each.recursive.set or each.recursive.clear:
            steps.append(
                SetMountAttributes(
                    each.at, SPEC, target=each.target, set=each.recursive.set, clear=each.recursive.clear, recursive=1
                )
            )
        return steps + each.propagate(each.propagations)
