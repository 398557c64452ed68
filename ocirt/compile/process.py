"""The container's process: config.md, "Process" and "User"."""

from ..errors import ConfigError, HostError, RequestError
from ..model import crun
from ..model.text import Template, quote
from ..plan.steps import (
    NONE,
    BindLate,
    ChangeDirectory,
    CloseDescriptors,
    Exec,
    FindExecutable,
    FindHome,
    KeepInit,
    MakeConsole,
    MakeDirectory,
    OpenSocket,
    PrepareExec,
    RaiseLimit,
    ResetAffinity,
    RestoreOpenFiles,
    SetChildAction,
    SetNoNewPrivileges,
    SetOomScore,
    SetRlimit,
    SetUmask,
    SetUser,
)
from . import notify
from .capabilities import Capabilities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Config, Rlimit
    from ..model.config import Process as View
    from ..model.exec import ExecProcess
    from ..model.host import Host
    from ..model.request import Request
    from ..model.text import AnyText, Texts
    from ..plan import Plan
    from ..plan.steps import Step
    from .namespaces import Namespaces

SPEC, LINUX, POSIX, USER = "config.md#process", "config.md#linux-process", "config.md#posix-process", "config.md#user"
SIG_DFL, SIG_IGN = 0, 1
REAP = "org.ocirt.rootfs.reap"
RESOURCES = (
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
)
"""By number, asm-generic/resource.h."""


def check_terminal(terminal: bool, request: "Request") -> None:
    """Check ``process.terminal`` against ``--console-socket``, by runc's rules: a caller that detaches must say where
    the terminal goes.

    :raises RequestError: terminal, detaching and the socket contradict each other.
    """
    if terminal and request.is_detached and request.console_socket is None:
        raise RequestError(
            "--console-socket: found none, expected a socket: cannot allocate tty if ocirt will detach "
            "without setting console socket"
        )
    if request.console_socket is not None and not (terminal and request.is_detached):
        raise RequestError(
            "--console-socket: found a socket, expected none: cannot use console socket if ocirt will "
            "not detach or allocate tty"
        )
    if terminal and request.late:
        raise RequestError("--late: process.terminal: found true, expected false: start brings the standard streams")


def every_cpu() -> "list[Step]":
    """The step of the first child that undoes the caller's CPU affinity, which the caller wanted for itself: the
    container runs on the CPUs of its cpuset. As in crun, and in runc since 1.3.1.
    """
    return [ResetAffinity("create", "runtime.md#create")]


class Process:
    """A process of a container: the first one, or one that exec adds.

    :param process: the view of ``process``, or an object with the same fields (:class:`ocirt.model.exec.ExecProcess`).
    :param config: the container's whole config.
    :param request: the request that asks for this process.
    """

    def __init__(
        self,
        process: "View | ExecProcess",
        config: "Config",
        request: "Request",
        host: "Host",
        plan: "Plan",
        namespaces: "Namespaces",
    ) -> None:
        self.process, self.linux, self.request, self.host = process, config.linux, request, host
        self.plan, self.namespaces = plan, namespaces
        self.args = process.args
        env = process.env
        self.env: list[AnyText | Texts] = [
            *([] if env is None else env if isinstance(env, list) else [env]),
            *notify.environment(request),
            # BindLate puts the variables of start in its place.
            *([""] if request.late else []),
        ]
        if self.args.is_empty():
            raise ConfigError(self.args.path, "[]", "at least the program")
        self.cwd = process.cwd.checked(absolute=True)
        user = process.user
        self.uid, self.gid = [0 if number is None else number for number in (user.uid, user.gid)]
        self.keeps_groups = crun.keeps_groups(config)
        self.groups = [] if self.keeps_groups else [Template(group) for group in user.additional_gids]
        if self.groups and namespaces.denies_setgroups:
            raise HostError("process.user.additionalGids", "the user namespace denies setgroups")
        self.capabilities = Capabilities(process.capabilities, host, namespaces.has_user)
        # An init reaps by itself, and waits for the program.
        asked = request.rootfs_annotations and not request.init
        self._reaps = asked and config.annotation(REAP) is not None
        self.console = plan.register() if process.terminal and request.is_detached else NONE
        self.preserve = request.listen_fds + request.preserve_fds
        self.limits = self._limits()

    def sockets(self) -> "list[Step]":
        """Steps of the host that connect to ``--console-socket``."""
        if self.console == NONE:
            return []
        path = self.request.text("console-socket", self.plan.trace)
        return [OpenSocket("--console-socket", SPEC, fd=self.console, path=path)]

    def prepare(self) -> "list[Step]":
        """Steps of init before pivot_root: the terminal and the working directory."""
        return [*self.terminal(device=1), MakeDirectory("process.cwd", SPEC, path=self.cwd, mode=0o755)]

    def terminal(self, device: int) -> "list[Step]":
        """The step that sets up the terminal, if the process has one.

        :param device: 1 if the terminal becomes /dev/console too.
        """
        process = self.process
        if not process.terminal:
            return []
        size = process.console_size
        height, width = (size.height, size.width) if process.has("consoleSize") else (0, 0)
        return [
            MakeConsole(
                "process.terminal", SPEC, fd=self.console, uid=self.uid, height=height, width=width, device=device
            )
        ]

    def oom_score(self) -> "list[Step]":
        """The step of the first child that sets ``oomScoreAdj``; later children inherit it. Once the child is not
        dumpable, its files in /proc belong to root.
        """
        score = self.process.oom_score_adj
        return [] if score is None else [SetOomScore(score.path, LINUX, value=Template(score))]

    def leave_runtime(self, keep: int = NONE, stdout: int = NONE, stderr: int = NONE) -> "list[Step]":
        """Steps of init that set what belongs to the process alone, and close what the program does not get.

        :param keep: register of a descriptor that later steps need.
        :param stdout: register of the file that gets the standard output of the hooks of ``start``.
        :param stderr: register of the file that gets their standard error.
        """
        process = self.process
        steps: list[Step] = []
        if self.linux.has("memoryPolicy"):
            from .memorypolicy import set_policy  # rare

            steps += set_policy(self.linux.memory_policy)
        # With these limits, init of a late container might not get the streams from start: it sets them in become().
        steps += [] if self.request.late else self._set_limits()
        if process.has("scheduler") or process.has("ioPriority"):
            from .scheduling import schedule

            steps += schedule(process)
        if self.linux.has("personality"):
            from .scheduling import personality

            steps += personality(self.linux)
        if process.has("apparmorProfile") or process.has("selinuxLabel"):
            from .labels import process_labels

            steps += process_labels(process, self.host)
        close = CloseDescriptors("process", SPEC, preserve=self.preserve, keep=keep, stdout=stdout, stderr=stderr)
        return [*steps, close]

    def become(self, lend: bool = False) -> "list[Step]":
        """The steps that drop privileges one after the other, and find the program.

        :param lend: leave this process CAP_SYS_ADMIN until it executes the program.
        """
        process, user = self.process, self.process.user
        steps: list[Step] = [
            # Perhaps only root may enter the directory, or (on a network file system) only the user: try as both.
            ChangeDirectory("process.cwd", SPEC, path=self.cwd, retry_later=1),
            # Look for the home directory while still root: the process gets HOME even if its user may not read the
            # passwd file.
            FindHome("process.env", SPEC, uid=self.uid, env=self.env),
            *(self._set_limits() if self.request.late else []),
            *self.capabilities.drop(),
            SetUser(
                "process.user",
                USER,
                uid=self.uid,
                gid=self.gid,
                groups=self.groups,
                setgroups=int(not self.keeps_groups and not self.namespaces.denies_setgroups),
            ),
            *self.capabilities.set(lend),
        ]
        if process.no_new_privileges:
            steps.append(SetNoNewPrivileges("process.noNewPrivileges", LINUX))
        if user.umask is not None:
            steps.append(SetUmask(user.umask.path, USER, mask=user.umask))
        return [
            *steps,
            ChangeDirectory("process.cwd", SPEC, path=self.cwd),
            FindExecutable("process.args", SPEC, args=self.args, env=self.env),
        ]

    def bind_late(self) -> "list[Step]":
        """The steps of a late container's init that take from ``start`` what create has left open, and then do with it
        what :meth:`prepare` and :meth:`leave_runtime` do at create.
        """
        return [
            BindLate("process", "runtime.md#start", args=self.args, env=self.env, cwd=self.cwd),
            MakeDirectory("process.cwd", SPEC, path=self.cwd, mode=0o755),
        ]

    def _limits(self) -> "dict[str, Rlimit]":
        limits: dict[str, Rlimit] = {}
        for limit in self.process.rlimits:
            name = limit.type.read()
            if name not in RESOURCES:
                raise ConfigError(limit.type.path, quote(name), "a resource of getrlimit(2), like RLIMIT_NOFILE")
            if name in limits:
                raise ConfigError(limit.type.path, f"{quote(name)} a second time", "each type once")
            limits[name] = limit
        return limits

    def raise_limits(self) -> "list[Step]":
        """Steps that act outside of the container's user namespace, if it has another one than the runtime. Within it a
        process may lower its limits and not raise the hard ones: this needs CAP_SYS_RESOURCE in the initial user
        namespace. So the runtime, which may have it, raises the hard limits early, which disturbs nothing that init
        does, and init sets the limits where it always sets them.
        """
        if not self.namespaces.has_user:
            return []
        return [
            RaiseLimit(limit.path, POSIX, resource=RESOURCES.index(name), hard=limit.hard, name=name)
            for name, limit in self.limits.items()
        ]

    def _set_limits(self) -> "list[Step]":
        return [
            SetRlimit(limit.path, POSIX, resource=RESOURCES.index(name), soft=limit.soft, hard=limit.hard, name=name)
            for name, limit in self.limits.items()
        ]

    def restore_limits(self) -> "list[Step]":
        """The step that gives the process the caller's RLIMIT_NOFILE, unless the config sets that limit. It comes late
        because this process opens files until then.
        """
        return [] if "RLIMIT_NOFILE" in self.limits else [RestoreOpenFiles("process.rlimits", POSIX)]

    def reap(self) -> "list[Step]":
        """The step by which init, and later its program, leave the reaping of orphans to the kernel."""
        return [SetChildAction(REAP, "", handler=SIG_IGN)] if self._reaps else []

    def beside(self, hooks: "list[Step]") -> "list[Step]":
        """The steps of hooks of init, which waits for them."""
        if not self._reaps or not hooks:
            return hooks
        return [SetChildAction(REAP, "", handler=SIG_DFL), *hooks, *self.reap()]

    def keep_init(self, lent: bool) -> "list[Step]":
        """Steps that put an init before the program, if the caller asks for one (``--init``).

        :param lent: does the process still have the capability that loading a seccomp filter needs? Execve would take
            it away, but this init executes nothing.
        """
        if not self.request.init:
            return []
        return [*(self.capabilities.set() if lent else []), KeepInit("--init", "")]

    def prepare_execute(self) -> "list[Step]":
        """The step before loading a seccomp filter and before :meth:`execute`: the filter may forbid what this step
        does.
        """
        return [PrepareExec("process", SPEC, preserve=self.preserve)]

    def execute(self) -> "list[Step]":
        """The step that executes the program."""
        return [Exec("process.args", SPEC, args=self.args)]
