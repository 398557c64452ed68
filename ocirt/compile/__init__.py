"""Config, Request, Host -> Plan: what to do for a bundle, decided once.

Compiling changes nothing, needs no rights and looks at nothing but its arguments. Each module gives the steps
of one part of the spec; their order, which is the process structure of docs/architecture.md, stands here.
"""

from ..model import crun
from ..plan.steps import (
    EVENTS,
    Commit,
    OpenSocket,
    PreparePidFile,
    Receive,
    Send,
    SendPidfd,
    WritePidFile,
)
from . import devices, hooks, notify, paths, sysctl
from .container import Container, warn_of_doubts
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

HOOKS_BEFORE_PIVOT = ("prestart", "create_runtime", "create_container")
"""Points between the mounts and pivot_root."""


def compile(config: "Config", request: "Request", host: "Host", kept: "Filters | None" = None) -> "Plan":
    """The plan of a container.

    :param config: :class:`ocirt.model.config.Config`; the plan's trace is its trace.
    :param request: :class:`ocirt.model.request.Request` to create or run the container.
    :param host: :class:`ocirt.model.host.Host`.
    :param kept: the seccomp filters that the cache keeps, if there is a cache.
    :raises ConfigError: the config cannot be applied, or not by this build.
    :raises RequestError: the flags contradict the config.
    :raises HostError: the host cannot do what is asked for.
    """
    check_terminal(config.process.terminal, request)
    return _New(config, request, host, kept).compile()


class _New(Container):
    """A container that create or run makes."""

    def __init__(self, config: "Config", request: "Request", host: "Host", kept: "Filters | None") -> None:
        super().__init__(config, request, host)
        plan, namespaces = self.plan, self.namespaces
        self.process = self.filters = None
        if config.has("process"):
            self.process = Process(config.process, config, request, host, plan, namespaces)
        self.network = self._net_devices()
        self.rdt = self.resctrl()
        if self.process:
            self.filters = Seccomp(config, config.process.no_new_privileges, host, plan, kept)
        self.hooks = hooks.Hooks(config, plan)
        self.outside = None if self.mounts.has_own_dev else devices.Outside(config.linux, namespaces, plan)
        self.receivers = self._pidfd_receivers()

    def compile(self) -> "Plan":
        sections = self.plan.sections
        sections["host"] = self._host()
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

    def _host(self) -> "list[Step]":
        return [
            *self.check_annotations(),
            *self.mounts.warn(),
            *self.cgroup.before(self.resources),
            *(self.rdt.make() if self.rdt else []),
            *self._open(),
            # From here on init is at work, too: see _init.
            *self.namespaces.spawn(self.cgroup, self.cgroup.place(self.resources, self.mounts.may_open_devices)),
            *(self.rdt.join() if self.rdt else []),
            *(self.filters.leave() if self.filters else []),
            *self.mounts.hand(),
            *self._run_hooks(),
            *self._commit(),
        ]

    def _open(self) -> "list[Step]":
        """What init could not open."""
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
        return [
            _receive("mounted"),
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
            *[SendPidfd(at, "", fd=fd) for at, fd, _ in self.receivers],
            Commit("create", "runtime.md#create"),
            *(self.network.keep() if self.network else []),
        ]
        # The pid file comes last: its existence means that the container exists.
        return steps if named is None else [*steps, WritePidFile("--pid-file", "", path=named)]

    def _pidfd_receivers(self) -> "list[tuple[str, int, AnyText]]":
        """Who gets init's pidfd: the JSON path or flag that asks, a register for the connection, the path of the socket."""
        found: list[tuple[str, int, AnyText]] = []
        if self.request.pidfd_socket is not None:
            found.append(("--pidfd-socket", self.plan.register(), self.request.text("pidfd-socket", self.plan.trace)))
        path = crun.pidfd_receiver(self.config)
        if path is not None:
            found.append((path.path, self.plan.register(), path))
        return found

    # ---- the stage, and init ----

    def _first(self) -> "list[Step]":
        """What the first child does, be it the stage or init, while it is the caller's still."""
        return every_cpu() + (self.process.oom_score() if self.process else [])

    def _stage(self) -> "list[Step]":
        return self._first() + self.namespaces.stage(self.cgroup.wait()) if self.namespaces.has_stage else []

    def _init(self) -> "list[Step]":
        config, process, filters = self.config, self.process, self.filters
        has_stage = self.namespaces.has_stage
        # Init makes its namespaces, and those mounts that are the same in any cgroup, while the runtime (or systemd) makes the
        # cgroup and limits it (Driver.place). It waits for that where the first step needs it.
        placed = (
            ([] if has_stage else self.cgroup.wait())
            + self.cgroup.join()
            + self.namespaces.enter_cgroup()
            + self.cgroup.settle()
            + (filters.wait() if filters else [])
        )
        steps = ([] if has_stage else self._first()) + self.namespaces.enter() + self.rootfs.open()
        steps += self.mounts.make(self.namespaces.enter_network(), placed) + self._devices()
        steps += process.prepare() if process else []
        if self._waits_before_pivot():
            steps += [_send("mounted"), _receive("hooked"), *self.hooks.run("create_container")]
        steps += self.rootfs.enter(
            self.mounts.finish()
            + self.rootfs.finish()
            + self.namespaces.names()
            + sysctl.write(config, self.namespaces)
            + paths.restrict(config.linux, self.request)
        )
        if process and filters:
            steps += process.become(filters.lends, filters.register, *self.hooks.kept())
            if filters.loads_at_create:  # it says ready, too
                return [*steps, *process.restore_limits(), *process.prepare_execute(), *filters.load()]
        return [*steps, Send("create", "runtime.md#create", event=EVENTS.index("ready"))]

    def _devices(self) -> "list[Step]":
        if self.mounts.has_own_dev:
            return []
        bind = self.namespaces.has_user or self.host.in_user_namespace
        return devices.make(self.config.linux.devices, bind=bind, outside=self.outside)

    def _exec_program(self, process: Process, filters: Seccomp) -> "list[Step]":
        started = self.hooks.run("start_container", process.env)
        if filters.loads_at_create:
            return [*started, *process.keep_init(filters.lends), *process.execute()]
        return [
            *process.restore_limits(),
            *(filters.for_hooks() if started else []),
            *started,
            *process.prepare_execute(),
            *filters.load(),
            *process.keep_init(filters.lends),
            *process.execute(),
        ]

    # ---- of several ----

    def _waits_before_pivot(self) -> bool:
        """Has the runtime something to do between the mounts and pivot_root?"""
        return bool(self.config.linux.net_devices) or any(
            [getattr(self.config.hooks, point) for point in HOOKS_BEFORE_PIVOT]
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
