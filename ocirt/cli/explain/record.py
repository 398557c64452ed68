"""The smallest seccomp profile that a run needed."""

from ...compile.libseccomp import arch_name
from .calls import call_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...model.json import Json, Members
    from .agent import Call

EPERM = 1
ALWAYS = "execve"
"""The system call by which the runtime executes the program. The filter holds for it."""
Key = tuple[str, int, tuple[tuple[int, int], ...]]
"""A name; 0 or the error of a call that is refused; the arguments that the profile looks at, by index."""


class Recorder:
    """Collects what is allowed, and what is refused with another error than EPERM, which the recorded profile gives to
    everything else.

    :param profile: the profile of the run. If it decides by arguments of a call, so does the recorded one: by the
        values that were used.
    """

    def __init__(self, profile: "Members") -> None:
        self._looked_at: dict[str, set[int]] = {}
        for rule in profile.get("syscalls") or []:
            for name in rule["names"]:
                self._looked_at.setdefault(name, set()).update(each["index"] for each in rule.get("args") or [])
        self._found: set[Key] = set()
        self._arches: set[str] = set()

    @property
    def has_seen(self) -> bool:
        """Has the program made a system call?"""
        return bool(self._arches)

    def take(self, call: "Call") -> None:
        if call.is_of_runtime:
            return
        self._arches.add(arch_name(call.arch))
        error = call.errno if call.is_refused else 0
        if call.is_refused and error in (0, EPERM):
            return
        name = call_name(call.arch, call.number)
        indices = sorted(self._looked_at.get(name, ()))
        self._found.add((name, error, tuple([(index, call.arguments[index]) for index in indices])))

    def profile(self) -> "Members":
        """The recorded ``linux.seccomp``."""
        always = () if self._looked_at.get(ALWAYS) else ((ALWAYS, 0, ()),)
        groups: dict[int, list[str]] = {}
        rules: list[Members] = []
        for name, error, values in sorted(self._found | set(always)):
            if values:
                args: Json = [{"index": index, "value": value, "op": "SCMP_CMP_EQ"} for index, value in values]
                rules.append({"names": [name], **_action(error), "args": args})
            else:
                groups.setdefault(error, []).append(name)
        plain = [{"names": names, **_action(error)} for error, names in sorted(groups.items())]
        return {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": EPERM,
            "architectures": sorted([f"SCMP_ARCH_{name}" for name in self._arches]),
            "syscalls": [*plain, *rules],
        }


def _action(error: int) -> "Members":
    return {"action": "SCMP_ACT_ERRNO", "errnoRet": error} if error else {"action": "SCMP_ACT_ALLOW"}
