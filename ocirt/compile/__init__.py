"""Config, Request, Host -> Plan: the compiler decides here, once, what to do for a bundle.

Compiling changes nothing, needs no rights and reads nothing but its arguments. Each module of this package gives the
steps of one part of the specification. This module puts the steps in their order, which is the process structure of
docs/architecture.md.
"""

from ..errors import RequestError
from ..model import crun
from ..plan.steps import (
    EVENTS,
    Commit,
    OpenSocket,
    PreparePidFile,
    Receive,
    Send,
    SendPidfd,
    StoreContainer,
    WritePidFile,
)
from . import devices, hooks, notify, paths, sysctl
from .container import Container, further_restrictions, warn_of_doubts
from .namespaces import MOUNT, PID
from .process import Process, check_terminal, every_cpu
from .seccomp import Seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Config
    from ..model.host import Host
    from ..model.request import Request
    from ..model.text import AnyText
    from ..plan import Plan
    from ..plan.filters import Filters
    from ..plan.steps import Step
    from .netdevices import NetDevices

LINUX_7 = (7, 0)
"""The first kernel that makes a mount namespace of one tree (OPEN_TREE_NAMESPACE)."""
HOOKS_BEFORE_PIVOT = ("prestart", "create_runtime", "create_container")
"""Points of hooks between the mounts and pivot_root."""


def compile(config: "Config", request: "Request", host: "Host", kept: "Filters | None" = None) -> "Plan":
    """Compile the plan of a container.

    :param config: :class:`ocirt.model.config.Config`; the plan's trace is the trace of this config.
    :param request: :class:`ocirt.model.request.Request` to create or run the container.
    :param host: :class:`ocirt.model.host.Host`.
    :param kept: the seccomp filters that the cache keeps, if a cache exists.
    :raises ConfigError: the config cannot be applied, or this build cannot apply it.
    :raises RequestError: the flags contradict the config.
    :raises HostError: the host cannot do what the config asks for.
    """
    check_terminal(config.process.terminal, request)
    return _New(config, request, host, kept).compile()


class _New(Container):
    """A container that create or run makes."""

    def __init__(self, config: "Config", request: "Request", host: "Host", kept: "Filters | None") -> None:
        super().__init__(config, request, host)
        plan, namespaces = self.plan, self.namespaces
        self.process = self.filters = self.hardening = None
        if config.has("process"):
            self.process = Process(config.process, config, request, host, plan, namespaces)
        self.network = self._net_devices()
        self.rdt = self.resctrl()
        if self.process:
            self.filters = Seccomp(config, config.process.no_new_privileges, host, plan, kept)
            self.hardening = further_restrictions(config, request, host, plan)
            if request.renew and not request.late:
                raise RequestError("--renew: found no --late, expected both: each container gets a program of its own")
            if request.late and self.filters.loads_at_create:
                raise RequestError(
                    "--late: linux.seccomp: found SCMP_ACT_NOTIFY, expected a profile without it: create loads such a "
                    "filter, and init could not take from start what create has left open"
                )
        self.hooks = hooks.Hooks(config, plan)
        self.outside = None if self.mounts.has_own_dev else devices.Outside(config.linux, namespaces, plan)
        self.receivers = self._pidfd_receivers()
        if self._may_be_alone():
            self.namespaces.of_rootfs = MOUNT
            self.rootfs.be_alone(host)
            if self.outside and self.namespaces.hides_paths:
                self.outside.open_others(config.linux, self.rootfs.before)

    def compile(self) -> "Plan":
        sections = self.plan.sections
        making = self._make()
        sections["host"] = self._host(making)
        sections["renew"] = self._renew(making)
        sections["stage"] = self._stage()
        sections["init"] = self._init()
        if self.process and self.filters:
            sections["before_start"] = notify.listen(self.request)
            sections["exec_program"] = self._exec_program(self.process, self.filters)
        sections["after_start"] = self.hooks.open("poststart") + self.hooks.run("poststart")
        if self.process:
            sections["after_start"] += notify.relay(self.request)
        self.lifecycle_sections(self.rdt, self.hooks)
        sections["host"][:0] = warn_of_doubts(self.plan)
        return self.plan

    # ---- the runtime ----

    def _host(self, making: "list[Step]") -> "list[Step]":
        # With --renew the program comes over the socket of --status-fd.
        listens = self.request.verb == "create" and not self.request.renew
        return [
            *self.namespaces.begin_network(),
            StoreContainer("create", "runtime.md#create", listen=int(listens)),
            *self.check_annotations(),
            *self.mounts.warn(),
            *making,
        ]

    def _renew(self, making: "list[Step]") -> "list[Step]":
        """The next container in the same state directory. What the last one could have left is made anew: all that its
        processes have seen, and the cgroups that count or limit over time.
        """
        return [*self.namespaces.begin_network(), *self.cgroup.renew(), *making] if self._is_renewed else []

    @property
    def _is_renewed(self) -> bool:
        """Can the runtime make the next container when this one has ended? All of its processes must have ended with
        its init, and delete must have nothing to do but to remove cgroups.
        """
        request = self.request
        return (
            request.renew
            and bool(self.namespaces.new & PID)
            and self.cgroup.can_renew
            and not (self.rdt or self.network or self.config.has("hooks"))
            and not (self.rootfs.is_on_disk or self.namespaces.is_lent or self.mounts.show_cgroups)
            and (request.pid_file, request.notify_socket) == (None, None)
        )

    def _make(self) -> "list[Step]":
        """The steps of the host that make the container, once its state directory exists."""
        return [
            *self.cgroup.before(self.resources),
            *(self.rdt.make() if self.rdt else []),
            *self._open(),
            # From here on init runs beside the runtime: see _init.
            *self.namespaces.spawn(
                self.cgroup,
                self.cgroup.begin(self.resources),
                self.cgroup.place(self.resources, self.mounts.may_open_devices),
                self._raised_limits(),
            ),
            *(self.rdt.join() if self.rdt else []),
            *(self.filters.leave() if self.filters else []),
            *self.mounts.hand(),
            *self._run_hooks(),
            *self._commit(),
        ]

    def _open(self) -> "list[Step]":
        """Steps of the host that open for init what init could not open in its own namespaces."""
        process, request = self.process, self.request
        steps = notify.prepare(request) if process else []
        steps += self.namespaces.open() + sysctl.guard(self.config, self.namespaces)
        steps += self.rootfs.reach() + self.mounts.open() + (self.outside.steps if self.outside else [])
        steps += self.network.guard() if self.network else []
        steps += process.sockets() if process else []
        steps += [OpenSocket(at, "", fd=fd, path=path) for at, fd, path in self.receivers]
        if process and self.filters:
            steps += process.capabilities.warn() + self.filters.open()
        return steps + self.hooks.open(*HOOKS_BEFORE_PIVOT, "start_container")

    def _run_hooks(self) -> "list[Step]":
        if not self._waits_before_pivot():
            return []
        scratch = self.rootfs.scratch
        return [
            *(scratch.lend() if scratch and scratch.is_lent else [_receive("mounted")]),
            *(self.network.move() if self.network else []),
            *self.hooks.run("prestart"),
            *self.hooks.run("create_runtime"),
            _send("hooked"),
        ]

    def _commit(self) -> "list[Step]":
        named = self.request.text("pid-file", self.plan.trace) if self.request.pid_file is not None else None
        steps: list[Step] = [] if named is None else [PreparePidFile("--pid-file", "", path=named)]
        steps += [
            Receive("create", "runtime.md#create", event=EVENTS.index("ready")),
            *self.namespaces.await_receiver(),
            *[SendPidfd(at, "", fd=fd) for at, fd, _ in self.receivers],
            Commit("create", "runtime.md#create"),
            *(self.network.keep() if self.network else []),
        ]
        # The pid file comes last: its existence means that the container exists.
        return steps if named is None else [*steps, WritePidFile("--pid-file", "", path=named)]

    def _pidfd_receivers(self) -> "list[tuple[str, int, AnyText]]":
        """The sockets that get init's pidfd: the JSON path or flag that asks, a register for the connection, the
        socket's path.
        """
        found: list[tuple[str, int, AnyText]] = []
        if self.request.pidfd_socket is not None:
            found.append(("--pidfd-socket", self.plan.register(), self.request.text("pidfd-socket", self.plan.trace)))
        path = crun.pidfd_receiver(self.config)
        if path is not None:
            found.append((path.path, self.plan.register(), path))
        return found

    # ---- the stage, and init ----

    def _first(self) -> "list[Step]":
        """Steps of the first child, the stage or init, before it enters any namespace or cgroup."""
        return every_cpu() + (self.process.oom_score() if self.process else [])

    def _stage(self) -> "list[Step]":
        if not self.namespaces.has_stage:
            return []
        return self._first() + self.namespaces.stage(self.cgroup.wait(), self._raised_limits())

    def _raised_limits(self) -> "list[Step]":
        return self.process.raise_limits() if self.process else []

    def _init(self) -> "list[Step]":
        config, process, filters = self.config, self.process, self.filters
        has_stage = self.namespaces.has_stage
        # Init makes its namespaces, and the mounts that are the same in any cgroup, while the runtime (or systemd)
        # makes the cgroup and limits it (Driver.place). Init waits for its cgroup before the first step that needs the
        # cgroup.
        placed = (
            ([] if has_stage else self.cgroup.wait())
            + self.cgroup.join()
            + self.namespaces.enter_cgroup()
            + self.cgroup.settle()
        )
        last = filters.wait() if filters else []
        steps = ([] if has_stage else self._first()) + self.namespaces.enter() + self.rootfs.open()
        network = self.namespaces.enter_network()
        before = [placed + network + last, []] if network and self.cgroup.is_first else [network, placed + last]
        steps += self.mounts.make(*before) + self._devices()
        steps += process.prepare() if process else []
        if self._waits_before_pivot():
            scratch = self.rootfs.scratch
            steps += scratch.send() if scratch and scratch.is_lent else [_send("mounted")]
            steps += [_receive("hooked"), *self.hooks.run("create_container")]
        steps += self.rootfs.enter(
            self.mounts.finish()
            + self.rootfs.finish()
            + self.namespaces.names()
            + sysctl.write(config, self.namespaces)
            + paths.restrict(config.linux, self.request)
            + self.rootfs.propagate()
        )
        if process and filters:
            steps += process.leave_runtime(filters.register, *self.hooks.kept())
            steps += self.hardening.cores() if self.hardening else []
            steps += process.reap()
            steps += [] if self.request.late else process.become(filters.lends)
            if filters.loads_at_create:  # loading sends "ready" too
                steps += [*process.restore_limits(), *process.prepare_execute()]
                return [*steps, *self._restrict(), *filters.load()]
        return [*steps, Send("create", "runtime.md#create", event=EVENTS.index("ready"))]

    def _devices(self) -> "list[Step]":
        if self.mounts.has_own_dev:
            return []
        bind = self.namespaces.has_user or self.host.in_user_namespace
        return devices.make(self.config.linux.devices, bind=bind, outside=self.outside)

    def _exec_program(self, process: Process, filters: Seccomp) -> "list[Step]":
        started = process.beside(self.hooks.run("start_container", process.env))
        late = [*process.bind_late(), *process.become(filters.lends)] if self.request.late else []
        if filters.loads_at_create:
            return [*started, *process.keep_init(filters.lends), *process.execute()]
        return [
            *late,
            *process.restore_limits(),
            *(filters.for_hooks() if started else []),
            *started,
            *process.prepare_execute(),
            *self._restrict(),
            *filters.load(),
            *process.keep_init(filters.lends),
            *process.execute(),
        ]

    def _restrict(self) -> "list[Step]":
        return self.hardening.restrict() if self.hardening else []

    # ---- shared by several sections ----

    def _may_be_alone(self) -> bool:
        """May the new mount namespace have nothing but the rootfs in it from the beginning (OpenRootfs)?

        Hooks that run before pivot_root find files by their host paths in the container's mount namespace, an overlay
        has its layers on the host, and --no-pivot says how to leave the host's mounts. In a user namespace init cannot
        go back to the host's mounts. The runtime opens for it what it needs, if the runtime is not a user's.
        """
        return (
            self.host.kernel >= LINUX_7
            and bool(self.namespaces.new & MOUNT)
            and not self.request.no_pivot
            and not self.hooks.need_host()
            and not self.rootfs.has_overlay
            and (not self.namespaces.has_user or (self.namespaces.hides_paths and not self.host.in_user_namespace))
            and not self.mounts.needs_host()
        )

    def _waits_before_pivot(self) -> bool:
        """Must the runtime do something between the mounts and pivot_root?"""
        is_lent = self.rootfs.scratch is not None and self.rootfs.scratch.is_lent
        return (
            is_lent
            or bool(self.config.linux.net_devices)
            or any([getattr(self.config.hooks, point) for point in HOOKS_BEFORE_PIVOT])
        )

    def _net_devices(self) -> "NetDevices | None":
        if not self.config.linux.net_devices:
            return None
        from .netdevices import NetDevices  # rare

        return NetDevices(self.config, self.host, self.plan, self.namespaces)


def _send(event: str) -> Send:
    return Send("hooks", hooks.SPEC, event=EVENTS.index(event))


def _receive(event: str) -> Receive:
    return Receive("hooks", hooks.SPEC, event=EVENTS.index(event))
