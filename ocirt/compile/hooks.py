"""Hooks: config.md, "POSIX-platform Hooks". runtime.md, "Lifecycle", says when each point runs."""

from ..model import crun
from ..plan.steps import NONE, OpenHookOutput, RunHook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Config
    from ..model.text import AnyNumber, AnyTexts, Number, Text, Texts
    from ..plan import Plan
    from ..plan.steps import Step

SPEC = "config.md#posix-platform-hooks"
STATUS = {
    "prestart": "created",
    "create_runtime": "created",
    "create_container": "created",
    "start_container": "created",
    "poststart": "running",
    "poststop": "stopped",
}
"""Point -> the status in the state that its hooks get. runtime.md, State: `creating` is only step 2 of the lifecycle,
and the first hooks are steps 3 to 5. runtime-tools' hooks_stdin expects the same."""


class Hooks:
    """The hooks of a config.

    :ivar stdout: the register of the file that gets what hooks print, ``NONE`` if no annotation names a file.
    :ivar stderr: the register of the file that gets their standard error, likewise.
    :raises ConfigError: an annotation is no absolute path.
    """

    def __init__(self, config: "Config", plan: "Plan") -> None:
        self.hooks = config.hooks
        self.outputs = crun.hook_outputs(config) if config.has("hooks") else [None, None]
        self.stdout, self.stderr = [NONE if path is None else plan.register() for path in self.outputs]

    def has(self, *points: str) -> bool:
        """Does the config have a hook of one of these points?"""
        return any([getattr(self.hooks, point) for point in points])

    def need_host(self) -> bool:
        """May a hook look for files of the host in the container's mount namespace? Those before pivot_root may
        (NVIDIA's does). Docker's own executable, which it names by its /proc directory, needs only the network
        namespace (libnetwork-setkey).
        """
        return self.has("create_runtime", "create_container") or any(
            [not hook.program.starts_with("/proc/") for hook in self.hooks.prestart]
        )

    def kept(self) -> tuple[int, int]:
        """The registers that init keeps until ``start``, for startContainer hooks."""
        return (self.stdout, self.stderr) if self.has("start_container") else (NONE, NONE)

    def open(self, *points: str, warn: bool = False) -> "list[Step]":
        """Steps that open the files for the output of these points' hooks, in the mount namespace in which their paths
        have meaning.

        :param warn: is a failure only a warning?
        """
        if not self.has(*points):
            return []
        files: list[tuple[int, Text | None]] = [(self.stdout, self.outputs[0]), (self.stderr, self.outputs[1])]
        return [
            OpenHookOutput(path.path, "", fd=fd, path=path, warn=int(warn)) for fd, path in files if path is not None
        ]

    def run(self, point: str, process: "AnyTexts" = ()) -> "list[Step]":
        """Steps that run the hooks of a point, in their order. A hook without ``env`` gets the runtime's own
        environment, as in runc and crun; a startContainer hook gets the environment of the process.

        :param point: one of STATUS.
        :param process: the environment of the container's process.
        :raises ConfigError: a path is not absolute, or a timeout is not greater than zero.
        """
        inside = point == "start_container"
        return [
            RunHook(
                hook.path,
                SPEC,
                path=hook.program.checked(absolute=True),
                args=_or_none(hook.args),
                env=(process if inside else ()) if hook.env is None else hook.env,
                timeout=_seconds(hook.timeout),
                status=STATUS[point],
                warn=int(point == "poststop"),
                inherit=int(hook.env is None and not inside),
                stdout=self.stdout,
                stderr=self.stderr,
            )
            for hook in getattr(self.hooks, point)
        ]


def _seconds(timeout: "Number | None") -> "AnyNumber":
    return 0 if timeout is None else timeout.checked(1, (1 << 31) - 1, "a number of seconds, at least 1")


def _or_none(texts: "Texts | None") -> "AnyTexts":
    return () if texts is None else texts
