"""Limits and rights that a config.json asks for: more than the caller or the host has, and cgroups that nobody may write."""

import os
import resource
import time

from ...compile.capabilities import BITS
from ...model.text import bound
from ...plan.steps import MakeCgroup, WriteCgroup
from .asked import existing, read
from .finding import Finding, fault, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .asked import Asked

ENOUGH = 1 << 20
"""Bytes of memory with which a container lives until its program starts."""
LEAST = 64 << 10
"""Bytes of memory with which no container lives so long."""
LEAST_RUNTIME = 1024
"""Nanoseconds: the shortest runtime of SCHED_DEADLINE, sched(7)."""
CLOCKS = {"monotonic": time.CLOCK_MONOTONIC, "boottime": time.CLOCK_BOOTTIME}
LATEST = ((1 << 63) - 1) // 10**9
"""KTIME_SEC_MAX: the seconds that 63 bits of nanoseconds hold. A clock may be set to half of them."""
MOST_FILES = "/proc/sys/fs/nr_open"
"""The most that RLIMIT_NOFILE may be, getrlimit(2)."""
CPUS, NODES = "/sys/devices/system/cpu", "/sys/devices/system/node"
NUMBERS = (
    ("linux.resources.cpu.cpus", f"{CPUS}/online", f"{CPUS}/possible", False),
    ("linux.resources.cpu.mems", f"{NODES}/has_memory", f"{NODES}/possible", False),
    ("linux.memoryPolicy.nodes", f"{NODES}/has_memory", f"{NODES}/has_memory", True),
    ("process.execCPUAffinity.initial", f"{CPUS}/online", f"{CPUS}/online", True),
    ("process.execCPUAffinity.final", f"{CPUS}/online", f"{CPUS}/online", True),
)
"""Properties with a list of processors or memory nodes; the file with those that the kernel takes on cgroup v1 and the
one on v2; and whether one of them is enough, because the kernel ignores the others."""
REALTIME = ("SCHED_FIFO", "SCHED_RR", "SCHED_DEADLINE")
RIGHTS = (
    ("process.oomScoreAdj", "CAP_SYS_RESOURCE", lambda value: value < int(read("/proc/self/oom_score_adj") or 0)),
    ("process.scheduler.nice", "CAP_SYS_NICE", lambda value: value < os.getpriority(os.PRIO_PROCESS, 0)),
    ("process.scheduler.policy", "CAP_SYS_NICE", lambda value: value in REALTIME and not _rtprio()),
    ("process.ioPriority.class", "CAP_SYS_NICE", lambda value: value == "IOPRIO_CLASS_RT"),
)
"""Properties, the capability without which the kernel refuses some values, and whether a value is one of these."""


def _rlimits(asked: "Asked") -> "Iterator[Finding]":
    host = asked.host
    may_raise = host.permitted & BITS["CAP_SYS_RESOURCE"] and not host.in_user_namespace
    for index, limit in enumerate(asked.process.get("rlimits", [])):
        number = getattr(resource, limit.get("type", ""), None)
        if limit.get("type") == "RLIMIT_NOFILE" and limit.get("hard", 0) > int(host.text(MOST_FILES)):
            yield fault(
                f"process.rlimits[{index}]: RLIMIT_NOFILE of {limit['hard']} is above the kernel's fs.nr_open of "
                f"{host.text(MOST_FILES).strip()}, which binds root, too",
                f"ask for less, or as root: sysctl fs.nr_open={limit['hard']}",
            )
            continue
        if number is None or may_raise:
            continue
        hard = resource.getrlimit(number)[1]
        if hard != resource.RLIM_INFINITY and limit.get("hard", 0) > hard:
            yield fault(
                f"process.rlimits[{index}]: {limit['type']} of {limit['hard']} is above this process's hard limit of "
                f"{hard}, and the caller lacks CAP_SYS_RESOURCE",
                f"ask for at most {hard}, or raise the hard limit of the caller (limits.conf, LimitNOFILE=)",
            )


def _rtprio() -> int:
    return resource.getrlimit(resource.RLIMIT_RTPRIO)[0]


def _numbers(asked: "Asked") -> "Iterator[Finding]":
    for path, of_v1, of_v2, one_is_enough in NUMBERS:
        text, file = asked.get(path), of_v2 if asked.host.cgroups.is_v2 else of_v1
        wanted = expanded(text) if isinstance(text, str) else set()
        if not wanted:
            continue
        known = read(file)
        if known is None:
            yield note(f"{path}: {file} is hidden here, so it is unknown whether this host has {text}")
            continue
        beyond = wanted - expanded(known)
        if beyond and not (one_is_enough and beyond < wanted):
            # create succeeds without the affinity of exec
            level = note if path.startswith("process.execCPUAffinity") else fault
            yield level(f'{path}: found "{text}", and this host has {known} ({file})', "ask for some of these")


def expanded(text: str) -> set[int]:
    """The numbers of a list like ``0-3,8``, cpuset(7); none if the text is no list."""
    numbers: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal() or int(last or first) > 1 << 16:
            return set()
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def _rights(asked: "Asked") -> "Iterator[Finding]":
    host = asked.host
    for path, capability, is_refused in RIGHTS:
        value = asked.get(path)
        held = host.permitted & BITS[capability] and not host.in_user_namespace
        if value is not None and not held and is_refused(value):
            yield fault(f"{path}: found {value}, for which the caller lacks {capability}", "ask for less, or be root")


def _realtime(asked: "Asked") -> "Iterator[Finding]":
    """With RT_GROUP_SCHED a new cgroup of v1 has no time for real-time processes, and the kernel refuses them."""
    policy, cpu = asked.get("process.scheduler.policy"), asked.host.cgroups.hierarchy("cpu")
    if cpu is None or not os.path.exists(f"{cpu.mount}/cpu.rt_runtime_us"):
        return
    wanted = asked.get("linux.resources.cpu.realtimeRuntime") or 0
    above = cpu.mount + os.path.dirname(asked.linux.get("cgroupsPath", "/x"))
    allowed = int(read(f"{above}/cpu.rt_runtime_us") or 0)  # a cgroup that create makes above allows nothing
    if wanted > allowed:
        yield fault(
            f"linux.resources.cpu.realtimeRuntime: found {wanted}, and the cgroup above allows {allowed}",
            "allow it there (cpu.rt_runtime_us)",
        )
    if policy in REALTIME[:2] and not wanted:
        yield fault(
            f"process.scheduler.policy: found {policy}, and a new cgroup has no real-time runtime on this host",
            "set linux.resources.cpu.realtimeRuntime, and allow it in the cgroups above (cpu.rt_runtime_us)",
        )


def _too_little(asked: "Asked") -> "Iterator[Finding]":
    limit = asked.get("linux.resources.memory.limit")
    if limit is not None and 0 < limit < LEAST:
        yield fault(f"linux.resources.memory.limit: with {limit} bytes the container dies before its program starts")
    elif limit is not None and 0 < limit < ENOUGH:
        yield note(f"linux.resources.memory.limit: with {limit} bytes the container may die before its program starts")


def _deadline(asked: "Asked") -> "Iterator[Finding]":
    """What the kernel asks of SCHED_DEADLINE, sched(7)."""
    scheduler = asked.process.get("scheduler", {})
    if scheduler.get("policy") != "SCHED_DEADLINE":
        return
    runtime, deadline = scheduler.get("runtime", 0), scheduler.get("deadline", 0)
    period = scheduler.get("period", 0) or deadline
    if not LEAST_RUNTIME <= runtime <= deadline <= period:
        yield fault(
            f"process.scheduler: found runtime {runtime}, deadline {deadline} and period {period}, expected a runtime of at "
            f"least {LEAST_RUNTIME}, a deadline that is not shorter, and a period that is not shorter than the deadline"
        )


def _offsets(asked: "Asked") -> "Iterator[Finding]":
    """A clock of a time namespace is neither negative nor so late that its nanoseconds could overflow."""
    for name, number in CLOCKS.items():
        offset = asked.linux.get("timeOffsets", {}).get(name, {})
        seconds, now = offset.get("secs", 0), time.clock_gettime(number)
        if not (abs(seconds) <= LATEST and 0 <= now + seconds + offset.get("nanosecs", 0) / 1e9 <= LATEST // 2):
            yield fault(
                f"linux.timeOffsets.{name}.secs: found {seconds}, expected a number from {-int(now)} to "
                f"{LATEST // 2 - int(now) - 1}: the clock is at {int(now)} s"
            )


def _cgroups(asked: "Asked") -> "Iterator[Finding]":
    """Limits in cgroups that the caller may not make, and those for which the kernel has no file."""
    steps = asked.plan.sections.get("host", [])
    made = {bound(step.hierarchy): bound(step.path) for step in steps if isinstance(step, MakeCgroup)}
    files = [file for hierarchy, path in made.items() if (file := _file_in_the_way(hierarchy, path))]
    if files:
        yield fault(f"linux.cgroupsPath: {files[0]} is a file, expected a cgroup", "name another path")
        return
    for step in steps:
        hierarchy = bound(step.hierarchy) if isinstance(step, WriteCgroup) else ""
        if hierarchy not in made or not isinstance(step, WriteCgroup) or step.skip_unwritable == 1:
            continue
        place = existing(hierarchy + made[hierarchy])
        if not asked.host.may_write(place):
            yield (note if step.skip_unwritable else fault)(
                f"{step.at}: the caller may not write {place}: this limit "
                + ("is not applied" if step.skip_unwritable else "is an error"),
                "have a cgroup of v2 delegated to the caller, or go without: ocirt --rootless true",
            )
        elif not _has(hierarchy, bound(step.file)):
            yield fault(f"{step.at}: the cgroups of this kernel have no {bound(step.file)}", "remove the property")


def _file_in_the_way(hierarchy: str, path: str) -> str:
    """The file that stands where the path needs a cgroup, or will when the cgroup above is made: all have files of the
    same names. Empty if it does not exist.
    """
    place = hierarchy
    for part in [each for each in path.split("/") if each]:
        place = f"{place}/{part}"
        if os.path.isfile(place) or os.path.isfile(f"{hierarchy}/{part}"):
            return place
    return ""


def _has(hierarchy: str, file: str) -> bool:
    """Do cgroups of this hierarchy have the file? The root lacks some, so another cgroup that has the controller answers.
    Without such a cgroup the question stays open, and the file counts as one that exists.
    """
    with os.scandir(hierarchy) as entries:
        places = [hierarchy, *[entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]]
    controller = file.partition(".")[0] + "."
    for place in places[1:]:
        try:
            files = os.listdir(place)
        except OSError:
            continue
        if any([each.startswith(controller) for each in files]):
            return file in files
    return True


CHECKS = (_rlimits, _numbers, _rights, _realtime, _deadline, _offsets, _too_little, _cgroups)
