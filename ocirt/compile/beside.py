"""What the runtime does for init while init is at work, where it makes the cgroups beside init (cgroup v1, :mod:`.namespaces`).

Init has the most to do of the two, so whatever can be done from outside its namespaces is better done there: the runtime
opens the rootfs, makes the mounts with which ``mounts`` begins, none of them attached yet, and brings the loopback device up. What
belongs to a namespace (a socket, the contexts of some file systems) init opens for it.

The mounts are made in the order of the config, from the first on, because that is the order in which mountinfo lists them since
Linux 6.8 (config.md, Mounts). That of the cgroups is filled last, and sent in a message of its own: init attaches the others meanwhile.
"""

from ..cgroups import HIERARCHIES_TOP, TMPFS
from ..plan.steps import EVENTS, PASSED, LoopbackUp, Mount, OpenFilesystem, OpenNetwork, Receive, RememberInit, Send
from .mount_options import SPEC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroups import Driver
    from ..plan import Plan
    from ..plan.steps import Step
    from .mount_options import Parsed
    from .mounts import Mounts
    from .namespaces import Namespaces
    from .rootfs import Rootfs

AT, NAMESPACES = "linux.namespaces", "config-linux.md#namespaces"
INNER = ("proc", "mqueue", "sysfs")
"""File systems that belong to the namespaces of whoever opens them."""
OUTER = ("tmpfs", "devpts")
"""Those that belong to none but the user's."""
CGROUP = ("cgroup",)


class Beside:
    """The work that is shared out so; none where the runtime does not make the cgroups beside init."""

    def __init__(
        self, plan: "Plan", namespaces: "Namespaces", rootfs: "Rootfs", cgroup: "Driver", mounts: "Mounts"
    ) -> None:
        self.is_on, self.before = namespaces.later != 0, rootfs.before
        self.cgroup, self.mounts = cgroup, mounts
        self.entries: list[Parsed] = []
        self.ordinary: list[Parsed] = []
        self.cgroups: list[Parsed] = []
        self.root: list[Step] | None = None
        if not self.is_on:
            return
        self.register = plan.register()
        self.root = rootfs.opened_by_host(self.register)
        if self.root is not None:
            self.entries = self._first((*INNER, *OUTER, *(CGROUP if cgroup.fills_detached() else ())))
        self.ordinary, self.cgroups = [
            [each for each in self.entries if (each.fstype in CGROUP) == is_cgroup] for is_cgroup in (False, True)
        ]
        # What goes along with one event is next to each other.
        mounts.made = {id(each): plan.register() for each in [*self.ordinary, *self.cgroups]}
        self.socket = plan.register()
        self.contexts = {
            id(each): plan.register() for kinds in (INNER, OUTER) for each in self.ordinary if each.fstype in kinds
        }

    def _first(self, kinds: tuple[str, ...]) -> "list[Parsed]":
        found = []
        for each in self.mounts.parsed[: PASSED - 1]:
            if each.is_remount or each.fstype not in kinds:
                break
            found.append(each)
        return found

    # ---- steps of init ----

    def lend(self) -> "list[Step]":
        """Before it waits for its cgroups."""
        return (
            [OpenNetwork(AT, NAMESPACES, fd=self.socket), *self._open(INNER), self._unshared(Send)]
            if self.is_on
            else []
        )

    def receive(self) -> "list[Step]":
        """Before the rootfs."""
        return [] if self.root is None else [self._opened(Receive)]

    def receive_for(self, entry: "Parsed") -> "list[Step]":
        """Before the mount of an entry."""
        return [self._filled(Receive)] if self.cgroups[:1] == [entry] else []

    # ---- steps of the host, once the cgroups are there ----

    def begin(self) -> "list[Step]":
        """What init need not be waited for."""
        return self._open(OUTER)

    def remember(self) -> "list[Step]":
        """Init's pid into the journal: Spawn has left that out, because it takes as long as init has to wait for its cgroups."""
        return [RememberInit(AT, NAMESPACES)] if self.is_on else []

    def mount(self) -> "list[Step]":
        """The mounts, and the loopback device."""
        if not self.is_on:
            return []
        steps: list[Step] = [self._unshared(Receive)]
        if self.root is not None:
            steps += [*self.root, *[self._mount(each) for each in self.entries], self._opened(Send)]
        if self.cgroups:
            steps += [
                self.cgroup.mount_hierarchies(
                    each, detached=1, mount=self.mounts.made[id(each)], propagation=self.before
                )
                for each in self.cgroups
            ]
            steps.append(self._filled(Send))
        return [*steps, LoopbackUp(AT, NAMESPACES, socket=self.socket)]

    def _open(self, kinds: tuple[str, ...]) -> "list[Step]":
        return [
            OpenFilesystem(each.at, SPEC, fd=self.contexts[id(each)], **self.mounts.filesystem(each))
            for each in self.ordinary
            if each.fstype in kinds
        ]

    def _mount(self, each: "Parsed") -> Mount:
        register = self.mounts.made[id(each)]
        if each.fstype in CGROUP:
            return Mount(each.at, SPEC, detached=1, mount=register, target=each.target, set=HIERARCHIES_TOP, **TMPFS)
        return Mount(
            each.at,
            SPEC,
            context=self.contexts[id(each)],
            detached=1,
            mount=register,
            set=self.mounts.first_attributes(each),
            **self.mounts.filesystem(each),
        )

    def _unshared(self, kind: "type[Send] | type[Receive]") -> "Step":
        inner = [each for each in self.ordinary if each.fstype in INNER]
        return kind(AT, NAMESPACES, event=EVENTS.index("unshared"), first=self.socket, count=1 + len(inner))

    def _opened(self, kind: "type[Send] | type[Receive]") -> "Step":
        return kind("mounts", SPEC, event=EVENTS.index("opened"), first=self.register, count=1 + len(self.ordinary))

    def _filled(self, kind: "type[Send] | type[Receive]") -> "Step":
        return kind(
            "mounts",
            SPEC,
            event=EVENTS.index("filled"),
            first=self.mounts.made[id(self.cgroups[0])],
            count=len(self.cgroups),
        )
