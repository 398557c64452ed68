"""Config, ExecRequest, Host -> Plan: a further process in an existing container.

The plan depends on config.json and the request as create has stored them, on exec's flags and process file, and on the
Host. It does not depend on the state of the container: the steps look at that. The plan has the sections of create: the
host's, the stage's, which joins the container, and init's, which becomes the process.
"""

from ..cgroups.choose import choose
from ..model.exec import ExecProcess
from ..model.json import AT_PROCESS
from ..plan import Plan
from ..plan.steps import (
    EVENTS,
    NONE,
    AssertRunning,
    BecomeRoot,
    EnterRoot,
    Facts,
    JoinContainer,
    OpenContainerRoot,
    OpenProc,
    OpenSocket,
    Receive,
    Release,
    Send,
    SendPidfd,
    SetAffinity,
    SetDumpable,
    Spawn,
    WritePidFile,
)
from . import bits
from .container import facts, further_restrictions, warn_of_doubts
from .namespaces import MAPPINGS, TIME, Namespaces
from .process import LINUX, Process, check_terminal, every_cpu
from .rootfs import Rootfs
from .seccomp import Seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroups import Driver
    from ..model.config import Config, ExecCpuAffinity
    from ..model.exec import ExecRequest
    from ..model.host import Host
    from ..model.json import Members
    from ..model.request import Request
    from ..model.text import Text
    from ..plan.filters import Filters
    from ..plan.steps import Step

CPUS = 8192
"""The most CPUs that a kernel can have."""
EXPLAINING = ("memory_hierarchy", "memory_path", "oom_file", "oom_key", "cpu_hierarchy", "cpu_path", "cpu_file")
"""The facts that tell whether a process was killed because memory ran out, or held back by a quota."""


def compile(
    config: "Config",
    container: "Request",
    own: "Members | None",
    request: "ExecRequest",
    host: "Host",
    kept: "Filters | None" = None,
) -> Plan:
    """Compile the plan of a process.

    :param config: the container's :class:`~ocirt.model.config.Config`.
    :param container: the :class:`~ocirt.model.request.Request` that created the container.
    :param own: the members of the process file, ``None`` without a process file.
    :param request: :class:`~ocirt.model.exec.ExecRequest`.
    :raises ConfigError: config.json or the process file (paths that begin with ``--process``) cannot be applied.
    :raises RequestError: a flag cannot be used.
    :raises HostError: the host cannot do what the process asks for.
    """
    asked = ExecProcess(config, own, request)
    check_terminal(asked.terminal, request)
    plan = Plan(config.trace)
    namespaces = Namespaces(config, container, host, plan)
    cgroup = choose(config, container, host, plan)
    process = Process(asked, config, request, host, plan, namespaces)
    filters = Seccomp(config, asked.no_new_privileges, host, plan, kept, added=True)
    restricted = further_restrictions(config, container, host, plan)
    root = NONE if namespaces.has_mount else plan.register()
    affinity = asked.exec_cpu_affinity

    host_steps = _host(request, plan, cgroup, process, filters, root)
    plan.sections["stage"] = [
        *process.oom_score(),
        *(restricted.share_cores() if restricted else []),
        *_open_proc(asked),
        *_initial_affinity(affinity),
        SetDumpable("not dumpable", "", value=0),
        *process.raise_limits(),
        *_join(namespaces, container),
        Spawn("exec", "", section="init", flags=0),
    ]
    # After "ready" init still reports failures. It reports success too: execve closes the socket.
    plan.sections["init"] = [
        *cgroup.join(),
        AssertRunning("exec", ""),
        *_affinity(affinity.final),
        *_become_root(namespaces),
        EnterRoot("exec", "", fd=root),
        *namespaces.keyring(),
        *filters.wait(),
        *process.terminal(device=0),
        Send("exec", "", event=EVENTS.index("ready")),
        Receive("exec", "", event=EVENTS.index("committed")),
        *process.leave_runtime(filters.register),
        *process.become(filters.lends),
        *process.restore_limits(),
        *process.prepare_execute(),
        *(restricted.restrict() if restricted else []),
        *filters.load(),
        *process.execute(),
    ]
    # These files explain why a process could not be started, or started slowly. The peak of memory is left out: it is the container's, not
    # the process's.
    files = {name: text for name, text in cgroup.facts().items() if name in EXPLAINING}
    if filters.register != NONE:  # the seccomp agent gets the container's state
        plan.facts = facts(config, container, plan, Rootfs(config, container, plan, namespaces), cgroup, files)
    else:
        plan.facts = Facts("exec", "", **files)
    plan.sections["host"] = warn_of_doubts(plan, AT_PROCESS) + host_steps
    return plan


def _host(
    request: "ExecRequest", plan: Plan, cgroup: "Driver", process: Process, filters: Seccomp, root: int
) -> "list[Step]":
    steps = [] if request.ignore_paused else cgroup.assert_thawed()
    steps += cgroup.open_for(request.beneath()) + process.sockets()
    pidfd = NONE
    if request.pidfd_socket is not None:
        pidfd = plan.register()
        steps.append(OpenSocket("--pidfd-socket", "", fd=pidfd, path=request.text("pidfd-socket", plan.trace)))
    steps += process.capabilities.warn() + filters.open()
    if root != NONE:
        steps.append(OpenContainerRoot("exec", "", fd=root))
    steps += [
        Spawn("exec", "", section="stage", flags=0, cgroup=cgroup.register, hierarchy=cgroup.mount_point()),
        Receive("exec", "", event=EVENTS.index("spawned")),
        *filters.leave(),
        Receive("exec", "", event=EVENTS.index("ready")),
        Release("exec", "", relay=int(not request.detach)),
    ]
    if pidfd != NONE:
        steps.append(SendPidfd("--pidfd-socket", "", fd=pidfd))
    if request.pid_file is not None:
        steps.append(WritePidFile("--pid-file", "", path=request.text("pid-file", plan.trace)))
    return steps


def _join(namespaces: Namespaces, container: "Request") -> "list[Step]":
    # criu gives a restored container a time namespace, so that its clocks continue from the checkpoint.
    flags = namespaces.all() | (TIME if container.verb == "restore" else 0)
    return [JoinContainer("linux.namespaces", "", flags=flags)] if flags else []


def _become_root(namespaces: Namespaces) -> "list[Step]":
    if not namespaces.has_user:
        return []
    at = "linux.namespaces"
    return [BecomeRoot(at, MAPPINGS), SetDumpable("not dumpable", "", value=0)]


def _open_proc(asked: ExecProcess) -> "list[Step]":
    """The step that opens the runtime's procfs, through which labels are written. The container decides what is mounted
    at its own /proc, so the runtime does not trust it.
    """
    return [OpenProc("exec", "")] if asked.has("apparmorProfile") or asked.has("selinuxLabel") else []


def _initial_affinity(affinity: "ExecCpuAffinity") -> "list[Step]":
    """The CPUs until the process joins the container's cgroups: those that the config asks for, or all if it asks for
    no affinity.
    """
    asked = [cpus for cpus in (affinity.initial, affinity.final) if cpus is not None and not cpus.is_empty()]
    return _affinity(affinity.initial) if asked else every_cpu()


def _affinity(cpus: "Text | None") -> "list[Step]":
    if cpus is None or not (text := cpus.read()):
        return []
    return [SetAffinity(cpus.path, LINUX, cpus=bits.mask(bits.parse(text, cpus.path, "CPUs", CPUS)))]
