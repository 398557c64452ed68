"""Hooks: config.md, "POSIX-platform Hooks"; their places in the life of a container: runtime.md, "Lifecycle"."""

from ..plan.steps import RunHook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Hooks
    from ..model.text import AnyNumber, AnyTexts, Number, Texts
    from ..plan.steps import Step

SPEC = "config.md#posix-platform-hooks"
STATUS = {"prestart": "created", "create_runtime": "created", "create_container": "created",
          "start_container": "created", "poststart": "running", "poststop": "stopped"}
"""Point -> the status in the state that its hooks get. runtime.md, State: `creating` is step 2 of the lifecycle alone,
and the first hooks are steps 3 to 5, as runtime-tools' hooks_stdin has it too."""


def run(hooks: "Hooks", point: str, process: "AnyTexts" = ()) -> "list[Step]":
    """Steps that run the hooks of a point, in their order. A hook without ``env`` has the runtime's own environment, as with runc and
    crun, but for those of startContainer, which have the process'.

    :param hooks: the view of ``hooks``.
    :param point: one of STATUS.
    :param process: the environment of the container's process.
    :raises ConfigError: a path is not absolute, a timeout not greater than zero.
    """
    inside = point == "start_container"
    return [RunHook(hook.path, SPEC, path=hook.program.checked(absolute=True), args=_or_none(hook.args),
                    env=(process if inside else ()) if hook.env is None else hook.env, timeout=_seconds(hook.timeout),
                    status=STATUS[point], warn=int(point == "poststop"), inherit=int(hook.env is None and not inside))
            for hook in getattr(hooks, point)]


def _seconds(timeout: "Number | None") -> "AnyNumber":
    return 0 if timeout is None else timeout.checked(1, (1 << 31) - 1, "a number of seconds, at least 1")


def _or_none(texts: "Texts | None") -> "AnyTexts":
    return () if texts is None else texts
