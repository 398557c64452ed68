"""Config, Request, Host -> Plan: what to do for a bundle, decided once.

Compiling changes nothing, needs no rights and looks at nothing but its three arguments. Each module gives the steps
of one part of the spec; their order, which is the process structure of docs/architecture.md, stands here.
"""

from .. import cgroups
from ..model.config import SPEC_VERSION
from ..plan import Plan
from ..plan.steps import EVENTS, Commit, KillInit, OpenSocket, Receive, Send, SendPidfd, WritePidFile, WriteState
from . import devices, hooks, paths, seccomp, sysctl, unsupported
from .mounts import Mounts
from .namespaces import CGROUP, Namespaces
from .process import Process, check_terminal
from .rootfs import Rootfs

EARLY_HOOKS = ("prestart", "create_runtime", "create_container")
"""Points between the mounts and pivot_root."""


def compile(config, request, host, refuse=True):
    """The plan of a container.

    :param config: :class:`ocirt.model.config.Config`; the plan's trace is its trace.
    :param request: :class:`ocirt.model.request.Request` to create or run the container.
    :param host: :class:`ocirt.model.host.Host`.
    :param refuse: is what this build does not apply an error? Without, the plan lacks it: for reading only.
    :raises ConfigError: the config cannot be applied, or not by this build.
    :raises RequestError: the flags contradict the config.
    :raises HostError: the host cannot do what is asked for.
    """
    if refuse:
        unsupported.check(config)
    check_terminal(config.process.terminal, request)
    plan = Plan(config.trace)
    namespaces = Namespaces(config, request, host, plan)
    rootfs = Rootfs(config, request, plan)
    cgroup = cgroups.choose(config, request, host, plan)
    mounts = Mounts(config, rootfs, cgroup, namespaces.has(CGROUP))
    process = Process(config, request, host, plan, namespaces) if config.has("process") else None

    plan.sections["host"] = _host(config, request, plan, namespaces, cgroup, process)
    plan.sections["stage"] = namespaces.stage()
    filters = seccomp.load(config) if process else []
    # As close to the program as can be. Without no_new_privs it takes a capability that the program may not have.
    late = bool(process) and config.process.no_new_privileges
    plan.sections["init"] = _init(config, host, namespaces, rootfs, cgroup, mounts, process, [] if late else filters)
    if process:
        plan.sections["begin"] = [*hooks.run(config.hooks, "start_container"), *(filters if late else []),
                                  *process.execute()]
    plan.sections["started"] = hooks.run(config.hooks, "poststart")
    plan.sections["signal"] = cgroup.signal()
    plan.sections["delete"] = [*cgroup.thaw(), KillInit("delete", "runtime.md#delete"), *cgroup.delete(),
                               *hooks.run(config.hooks, "poststop")]
    plan.sections["state"] = [_state(config, request, plan, rootfs, cgroup)]
    return plan


def _host(config, request, plan, namespaces, cgroup, process):
    pidfd = plan.register() if request.pidfd_socket is not None else None
    steps = cgroup.make() + cgroup.limit(config.linux.resources) + cgroup.open()
    steps += namespaces.open() + sysctl.guard(config, namespaces)
    if process:
        steps += process.sockets()
    if pidfd is not None:
        steps.append(OpenSocket("--pidfd-socket", "", fd=pidfd, path=request.text("pidfd-socket", plan.trace)))
    if process:
        steps += process.capabilities.warn()
    steps += namespaces.spawn(cgroup)
    if _has_early_hooks(config):
        steps.append(_receive("mounted"))
        steps += hooks.run(config.hooks, "prestart") + hooks.run(config.hooks, "create_runtime")
        steps.append(_send("hooked"))
    steps.append(Receive("create", "runtime.md#create", event=EVENTS.index("ready")))
    if pidfd is not None:
        steps.append(SendPidfd("--pidfd-socket", "", fd=pidfd))
    steps.append(Commit("create", "runtime.md#create"))
    # Last of all: who finds a pid file finds a container.
    if request.pid_file is not None:
        steps.append(WritePidFile("--pid-file", "", path=request.text("pid-file", plan.trace)))
    return steps


def _init(config, host, namespaces, rootfs, cgroup, mounts, process, filters):
    steps = cgroup.join() + namespaces.enter() + rootfs.open() + mounts.make()
    if not mounts.has_own_dev:
        steps += devices.make(config.linux.devices, bind=namespaces.has_user or host.in_user_namespace)
    if process:
        steps += process.prepare()
    if _has_early_hooks(config):
        steps += [_send("mounted"), _receive("hooked"), *hooks.run(config.hooks, "create_container")]
    steps += rootfs.enter() + mounts.finish() + rootfs.finish() + namespaces.names()
    steps += sysctl.write(config.linux, namespaces) + paths.restrict(config.linux)
    if process:
        steps += process.become(filters)
    return [*steps, Send("create", "runtime.md#create", event=EVENTS.index("ready"))]


def _has_early_hooks(config):
    return any([getattr(config.hooks, point) for point in EARLY_HOOKS])


def _send(event):
    return Send("hooks", hooks.SPEC, event=EVENTS.index(event))


def _receive(event):
    return Receive("hooks", hooks.SPEC, event=EVENTS.index(event))


def _state(config, request, plan, rootfs, cgroup):
    _ = config.annotations  # looked at for their types; passed on as they stand
    annotations = config.raw("annotations") if config.has("annotations") else "{}"
    return WriteState("state", "runtime.md#state", oci_version=SPEC_VERSION, id=request.text("id", plan.trace),
                      bundle=request.text("bundle", plan.trace), rootfs=rootfs.path, annotations=annotations,
                      request=request.to_json(cgroup.own()))
