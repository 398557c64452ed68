"""How the kernel schedules the process, and its execution domain: config.md, "Linux Process" (``scheduler``,
``ioPriority``); config-linux.md, "Personality".

The compiler imports this module only if a config has one of them.
"""

from ..errors import ConfigError
from ..model.text import choose, quote
from ..plan.steps import SetIoPriority, SetPersonality, SetScheduler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import IoPriority, Linux, Process, Scheduler
    from ..model.exec import ExecProcess
    from ..plan.steps import Step

SPEC, PERSONALITY = "config.md#linux-process", "config-linux.md#personality"

POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
"""By number, linux/sched.h. The kernel reserves SCHED_ISO and refuses it."""
FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
CLASS_SHIFT = 13
"""linux/ioprio.h"""
DOMAINS = {"LINUX": 0, "LINUX32": 8}
"""sys/personality.h"""

NICE = (-20, 19)
"""The lowest and the highest nice value, setpriority(2)."""
NEEDS = {
    "priority": ("SCHED_FIFO", "SCHED_RR"),
    "nice": ("SCHED_OTHER", "SCHED_BATCH"),
    "runtime": ("SCHED_DEADLINE",),
    "deadline": ("SCHED_DEADLINE",),
    "period": ("SCHED_DEADLINE",),
}
"""Property of a scheduler -> the policies with which the kernel uses it. With others only 0 is accepted."""


def schedule(process: "Process | ExecProcess") -> "list[Step]":
    """Steps of init for ``scheduler`` and ``ioPriority``, while it has its privileges.

    :raises ConfigError: a policy, flag or class is unknown, or a property has no meaning for its policy.
    """
    return (_scheduler(process.scheduler) if process.has("scheduler") else []) + (
        _io_priority(process.io_priority) if process.has("ioPriority") else []
    )


def personality(linux: "Linux") -> "list[Step]":
    """The step of init that sets the execution domain. The specification defines no flags; runc and crun ignore any.

    :raises ConfigError: the domain is unknown.
    """
    view = linux.personality
    for flag in view.flags:
        view.trace.doubt(flag.path, quote(flag.read()), "no flag (config-linux.md, Personality)", "it is ignored")
    return [SetPersonality(view.path, PERSONALITY, domain=choose(DOMAINS, view.domain.read(), view.domain.path))]


def _scheduler(view: "Scheduler") -> "list[Step]":
    policy = choose(POLICIES, view.policy.read(), view.policy.path)
    name = view.policy.bound()
    values = {}
    for each, policies in NEEDS.items():
        number = getattr(view, each)
        values[each] = 0
        if number is None:
            continue
        if name in policies:
            values[each] = number.checked(*NICE) if each == "nice" else number
        elif not number.equals(0):
            found, expected = quote(number.read()), f"nothing with {name}, only with {' or '.join(policies)}"
            if each != "nice":
                raise ConfigError(number.path, found, expected)
            # The kernel ignores the value, and every peer accepts it.
            view.trace.doubt(number.path, found, expected, "it is ignored")
    flags = 0
    for flag in view.flags:
        flags |= choose(FLAGS, flag.read(), flag.path)
    return [SetScheduler(view.path, SPEC, policy=policy, flags=flags, name=name, **values)]


def _io_priority(view: "IoPriority") -> "list[Step]":
    kind = choose(CLASSES, view.kind.read(), view.kind.path)
    # The class IDLE has no levels. In other classes a missing level is the highest, 0, as in runc and crun.
    level = 0 if view.priority is None else view.priority.read()
    return [SetIoPriority(view.path, SPEC, value=kind << CLASS_SHIFT | level)]
