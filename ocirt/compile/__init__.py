"""Config, Request, Host -> Plan: what to do for a bundle, decided once.

Compiling changes nothing, needs no rights and looks at nothing but its three arguments. Each module gives the steps
of one part of the spec; their order, which is the process structure of docs/architecture.md, stands here.
"""

from ..cgroups.choose import choose
from ..model import crun
from ..model.config import SPEC_VERSION
from ..plan import Plan
from ..plan.steps import (
    EVENTS,
    Commit,
    Facts,
    KillInit,
    OpenSocket,
    PreparePidFile,
    Receive,
    Send,
    SendPidfd,
    Warn,
    WritePidFile,
)
from . import devices, hooks, notify, paths, sysctl
from .mounts import Mounts
from .namespaces import Namespaces
from .process import Process, check_terminal, every_cpu
from .rootfs import Rootfs
from .seccomp import Seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroups import Driver
    from ..model.config import Config
    from ..model.host import Host
    from ..model.request import Request
    from ..model.text import AnyText
    from ..plan.filters import Filters
    from ..plan.steps import Step
    from .netdevices import NetDevices
    from .rdt import Rdt

HOOKS_BEFORE_PIVOT = ("prestart", "create_runtime", "create_container")
"""Points between the mounts and pivot_root."""


def compile(config: "Config", request: "Request", host: "Host", kept: "Filters | None" = None) -> Plan:
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
    plan = Plan(config.trace)
    namespaces = Namespaces(config, request, host, plan)
    rootfs = Rootfs(config, request, plan, namespaces)
    cgroup = choose(config, request, host, plan)
    namespaces.share(cgroup)
    mounts = Mounts(config, request, host, plan, namespaces, rootfs, cgroup)
    process = Process(config.process, config, request, host, plan, namespaces) if config.has("process") else None
    network = _net_devices(config, host, plan, namespaces)
    rdt = rdt_of(config, request, host, plan)
    filters = Seccomp(config, config.process.no_new_privileges, host, plan, kept) if process else None
    life = hooks.Hooks(config, plan)
    outside = None if mounts.has_own_dev else devices.Outside(config.linux, namespaces, plan)

    plan.sections["host"] = _host(
        config, request, plan, namespaces, rootfs, cgroup, mounts, process, filters, network, rdt, life, outside
    )
    score, stage = every_cpu() + (process.oom_score() if process else []), namespaces.stage(cgroup.wait())
    plan.sections["stage"] = score + stage if stage else []
    plan.sections["init"] = _init(
        config,
        host,
        [] if stage else score,
        namespaces,
        rootfs,
        cgroup,
        mounts,
        process,
        filters,
        life,
        outside,
    )
    if process and filters:
        plan.sections["before_start"] = notify.listen(request)
        after_start = life.run("start_container", process.env)
        plan.sections["exec_program"] = (
            [*after_start, *process.keep_init(filters.lends), *process.execute()]
            if filters.loads_at_create
            else [
                *process.restore_limits(),
                *(filters.for_hooks() if after_start else []),
                *after_start,
                *process.prepare_execute(),
                *filters.load(),
                *process.keep_init(filters.lends),
                *process.execute(),
            ]
        )
    plan.sections["after_start"] = (
        life.open("poststart") + life.run("poststart") + (notify.relay(request) if process else [])
    )
    lifecycle_sections(config, request, plan, rootfs, cgroup, rdt, life)
    plan.sections["host"][:0] = warn_of_doubts(plan)
    return plan


def warn_of_doubts(plan: Plan, beneath: str = "") -> "list[Step]":
    """Steps of the host: a warning for each thing that is accepted because every peer accepts it.

    :param beneath: leave out those of other paths.
    """
    return [
        Warn(at, "", message=f"{at}: found {found}, expected {expected}: {instead}")
        for at, (found, expected, instead) in plan.trace.doubts.items()
        if at.startswith(beneath)
    ]


def lifecycle_sections(
    config: "Config",
    request: "Request",
    plan: Plan,
    rootfs: Rootfs,
    cgroup: "Driver",
    rdt: "Rdt | None",
    life: hooks.Hooks,
) -> None:
    """Fill the sections of the verbs that act on a container which is there."""
    own_pids = any(
        [
            entry.type.equals("pid") and (entry.file is None or entry.file.is_empty())
            for entry in config.linux.namespaces
        ]
    )
    plan.sections["signal"] = cgroup.signal(outlive=not own_pids)
    plan.sections["pause"] = cgroup.pause()
    plan.sections["resume"] = cgroup.resume()
    plan.sections["delete"] = [
        *cgroup.thaw(),
        KillInit("delete", "runtime.md#delete"),
        *cgroup.delete(),
        *(rdt.remove() if rdt else []),
        *life.open("poststop", warn=True),
        *life.run("poststop"),
    ]
    plan.facts = facts(config, request, plan, rootfs, cgroup, cgroup.facts())


def _host(
    config: "Config",
    request: "Request",
    plan: Plan,
    namespaces: Namespaces,
    rootfs: Rootfs,
    cgroup: "Driver",
    mounts: Mounts,
    process: Process | None,
    filters: Seccomp | None,
    network: "NetDevices | None",
    rdt: "Rdt | None",
    life: hooks.Hooks,
    outside: devices.Outside | None,
) -> "list[Step]":
    receivers = _pidfd_receivers(config, request, plan)
    steps = check_annotations(config, request, cgroup) + mounts.warn() + cgroup.before(config.linux.resources)
    if rdt:
        steps += rdt.make()
    if process:
        steps += notify.prepare(request)
    steps += (
        namespaces.open()
        + sysctl.guard(config, namespaces)
        + rootfs.reach()
        + mounts.open()
        + (outside.steps if outside else [])
    )
    if network:
        steps += network.guard()
    if process:
        steps += process.sockets()
    steps += [OpenSocket(at, "", fd=fd, path=path) for at, fd, path in receivers]
    if process and filters:
        steps += process.capabilities.warn() + filters.open()
    steps += life.open(*HOOKS_BEFORE_PIVOT, "start_container")
    # From here on init is at work, too: see _init.
    steps += namespaces.spawn(cgroup, cgroup.place(config.linux.resources, mounts.may_open_devices))
    steps += (rdt.join() if rdt else []) + (filters.leave() if filters else [])
    steps += mounts.hand()
    if _waits_before_pivot(config):
        steps.append(_receive("mounted"))
        if network:
            steps += network.move()
        steps += life.run("prestart") + life.run("create_runtime")
        steps.append(_send("hooked"))
    if request.pid_file is not None:
        steps.append(PreparePidFile("--pid-file", "", path=request.text("pid-file", plan.trace)))
    steps.append(Receive("create", "runtime.md#create", event=EVENTS.index("ready")))
    steps += [SendPidfd(at, "", fd=fd) for at, fd, _ in receivers]
    steps.append(Commit("create", "runtime.md#create"))
    if network:
        steps += network.keep()
    # Last of all: who finds a pid file finds a container.
    if request.pid_file is not None:
        steps.append(WritePidFile("--pid-file", "", path=request.text("pid-file", plan.trace)))
    return steps


def _pidfd_receivers(config: "Config", request: "Request", plan: Plan) -> "list[tuple[str, int, AnyText]]":
    """Who gets init's pidfd: the JSON path or flag that asks, a register for the connection, the path of the socket."""
    found: list[tuple[str, int, AnyText]] = []
    if request.pidfd_socket is not None:
        found.append(("--pidfd-socket", plan.register(), request.text("pidfd-socket", plan.trace)))
    path = crun.pidfd_receiver(config)
    if path is not None:
        found.append((path.path, plan.register(), path))
    return found


def _init(
    config: "Config",
    host: "Host",
    score: "list[Step]",
    namespaces: Namespaces,
    rootfs: Rootfs,
    cgroup: "Driver",
    mounts: Mounts,
    process: Process | None,
    filters: Seccomp | None,
    life: hooks.Hooks,
    outside: devices.Outside | None,
) -> "list[Step]":
    # Init makes its namespaces, and those mounts that are the same in any cgroup, while the runtime (or systemd) makes the cgroup
    # and limits it (Driver.place). It waits for that where the first step needs it.
    placed = (
        ([] if namespaces.has_stage else cgroup.wait())
        + cgroup.join()
        + namespaces.enter_cgroup()
        + cgroup.settle()
        + (filters.wait() if filters else [])
    )
    steps = score + namespaces.enter() + rootfs.open() + mounts.make(namespaces.enter_network(), placed)
    if not mounts.has_own_dev:
        steps += devices.make(config.linux.devices, bind=namespaces.has_user or host.in_user_namespace, outside=outside)
    if process:
        steps += process.prepare()
    if _waits_before_pivot(config):
        steps += [_send("mounted"), _receive("hooked"), *life.run("create_container")]
    steps += rootfs.enter(
        mounts.finish()
        + rootfs.finish()
        + namespaces.names()
        + sysctl.write(config, namespaces)
        + paths.restrict(config.linux, namespaces.request)
    )
    if process and filters:
        steps += process.become(filters.lends, filters.register, *life.kept())
        if filters.loads_at_create:  # it says ready, too
            return [*steps, *process.restore_limits(), *process.prepare_execute(), *filters.load()]
    return [*steps, Send("create", "runtime.md#create", event=EVENTS.index("ready"))]


def _waits_before_pivot(config: "Config") -> bool:
    """Has the runtime something to do between the mounts and pivot_root?"""
    return bool(config.linux.net_devices) or any([getattr(config.hooks, point) for point in HOOKS_BEFORE_PIVOT])


def _net_devices(config: "Config", host: "Host", plan: Plan, namespaces: Namespaces) -> "NetDevices | None":
    if not config.linux.net_devices:
        return None
    from .netdevices import NetDevices  # rare

    return NetDevices(config, host, plan, namespaces)


def check_annotations(config: "Config", request: "Request", cgroup: "Driver") -> "list[Step]":
    if not config.has("annotations"):
        return []
    from .annotations import check  # none in many configs

    return check(config, request, cgroup)


def rdt_of(config: "Config", request: "Request", host: "Host", plan: Plan) -> "Rdt | None":
    if not config.linux.has("intelRdt"):
        return None
    from .rdt import Rdt  # rare

    return Rdt(config, request, host, plan)


def _send(event: str) -> Send:
    return Send("hooks", hooks.SPEC, event=EVENTS.index(event))


def _receive(event: str) -> Receive:
    return Receive("hooks", hooks.SPEC, event=EVENTS.index(event))


def facts(
    config: "Config", request: "Request", plan: Plan, rootfs: Rootfs, cgroup: "Driver", files: "dict[str, AnyText]"
) -> Facts:
    """What the program knows of the container.

    :param files: the fields that name files of cgroups.
    """
    _ = config.annotations  # looked at for their types; passed on as they stand
    annotations = config.raw("annotations") if config.has("annotations") else "{}"
    return Facts(
        "state",
        "runtime.md#state",
        oci_version=SPEC_VERSION,
        id=request.text("id", plan.trace),
        bundle=request.text("bundle", plan.trace),
        rootfs=rootfs.path,
        annotations=annotations,
        request=request.to_json(cgroup.own()),
        **files,
    )
