"""``update`` on cgroup v1: the settings of :mod:`.v1` in an order that the kernel accepts, and how to undo them.

This module reads files, while the verb holds the container's lock. Only the executor writes them.
"""

from ..model.text import Template, bound
from ..plan.steps import WriteCgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.config import Resources
    from ..model.text import Number
    from ..plan.steps import Step
    from .v1 import V1

LIMIT, SWAP = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
PERIOD, QUOTA, BURST = "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.cfs_burst_us"
IDLE, SHARES = "cpu.idle", "cpu.shares"
REALTIME = "cpu.rt_period_us", "cpu.rt_runtime_us"

USAGE = {LIMIT: "memory.usage_in_bytes", SWAP: "memory.memsw.usage_in_bytes"}
"""The limits that the kernel refuses if more is in use, and the file with the use."""

UNSET = (
    # The end of the name of a file with a line for each device; the value that removes a device's line.
    ("weight_device", "default"),
    ("_device", "0"),
    ("ifpriomap", "0"),
    ("rdma.max", "hca_handle=max hca_object=max"),
)


def change(settings: "Sequence[Step]", driver: "V1", resources: "Resources") -> "list[Step]":
    """The steps of an update.

    :param settings: what :meth:`ocirt.cgroups.v1.V1.settings` gives for ``resources``.
    """
    steps = list(settings)
    limit, burst = resources.memory.limit, resources.cpu.burst
    if limit is not None and limit.equals(-1) and resources.memory.swap is None:
        # If memory has no limit, memory and swap together have no limit either, as in runc.
        swap = _write(driver, "memory", SWAP, limit)
        if _read(swap) is not None:
            steps.append(swap)
    if burst is not None and burst.equals(0):
        steps.append(_write(driver, "cpu", BURST, burst))
    step, idle = _wanted(steps, IDLE)
    if step is not None and idle and _wanted(steps, SHARES)[0] is None and _number(step) == 0:
        # An idle cgroup has no shares. To undo the update, the runtime must write them, so the update writes the
        # present ones.
        shares = _copy(step, file=SHARES)
        steps.append(_copy(shares, value=_present(shares)))
    for files in (_memory_order(steps), _cpu_order(steps), _share_order(steps, *REALTIME), _idle_order(steps)):
        steps = _ordered(steps, files)
    return [_copy(step, usage=USAGE[step.file]) if step.file in USAGE else step for step in steps]


def restore(steps: "Sequence[Step]") -> "list[Step]":
    """Steps that write what the files of ``steps`` contain now: one for each step, the last first."""
    return [_copy(step, value=_present(step)) for step in reversed(steps)]


def _write(driver: "V1", controller: str, file: str, number: "Number") -> WriteCgroup:
    hierarchy = driver._hierarchy(controller, number.path)
    return WriteCgroup(
        number.path, "", hierarchy=hierarchy.mount, path=driver.path(hierarchy), file=file, value=Template(number)
    )


def _copy(step: "Step", **changes: str) -> WriteCgroup:
    return WriteCgroup(step.at, step.spec, **{name: getattr(step, name) for name in step.fields} | changes)


def _read(step: "Step") -> str | None:
    """The content of the step's file, ``None`` if it cannot be read."""
    try:
        with open(f"{step.hierarchy}{bound(step.path)}/{step.file}") as file:
            return file.read().strip()
    except OSError:
        return None


def _number(step: "Step") -> int:
    text = _read(step)
    return int(text) if text and text.lstrip("-").isdigit() else 0


# ---- order ----


def _ordered(steps: "Sequence[Step]", files: tuple[str, ...]) -> "list[Step]":
    """``steps``, with the steps on ``files`` in the order of ``files``. Other steps keep their places."""
    of_file = {step.file: step for step in steps}
    chosen = iter([of_file[file] for file in files if file in of_file])
    return [next(chosen) if step.file in files else step for step in steps]


def _wanted(steps: "Sequence[Step]", file: str) -> "tuple[Step, int] | tuple[None, None]":
    """The step on ``file`` and the number that it writes, or ``None`` twice."""
    for step in steps:
        if step.file == file:
            return step, int(bound(step.value))
    return None, None


def _memory_order(steps: "Sequence[Step]") -> tuple[str, ...]:
    """The limit on memory and swap must be at least the limit on memory after each write."""
    limit, _ = _wanted(steps, LIMIT)
    _, swap = _wanted(steps, SWAP)
    if limit is not None and swap is not None and (swap == -1 or _number(limit) < swap):
        return SWAP, LIMIT
    return LIMIT, SWAP


def _share_order(steps: "Sequence[Step]", period: str, runtime: str) -> tuple[str, ...]:
    """Between the writes, the share of the CPU (runtime divided by period) must not exceed both the old share and the
    new one, because a parent cgroup may not allow it.
    """
    step, wanted = _wanted(steps, period)
    if step is None or wanted is None:
        return period, runtime
    return (runtime, period) if wanted < _number(step) else (period, runtime)


def _cpu_order(steps: "Sequence[Step]") -> tuple[str, ...]:
    """The kernel refuses a burst above the quota."""
    order = _share_order(steps, PERIOD, QUOTA)
    burst, wanted = _wanted(steps, BURST)
    if burst is None or wanted is None:
        return *order, BURST
    return (BURST, *order) if wanted <= _number(burst) else (*order, BURST)


def _idle_order(steps: "Sequence[Step]") -> tuple[str, ...]:
    """The kernel refuses shares for an idle cgroup."""
    return (IDLE, SHARES) if _wanted(steps, IDLE)[1] == 0 else (SHARES, IDLE)


# ---- back ----


def _present(step: "Step") -> str:
    """The text that restores the present content of the step's file."""
    wanted: str = bound(step.value)
    text = _read(step)
    if text is None:  # a file that cannot be read cannot be written either
        return wanted
    if step.file == "memory.oom_control":
        return dict([line.split() for line in text.splitlines()])["oom_kill_disable"]
    return _line_of(step.file, wanted.split()[0], text) if " " in wanted else text


def _line_of(file: str, name: str, text: str) -> str:
    """The line in ``text`` about the device ``name``, or a line that removes the device's setting."""
    for line in text.splitlines():
        if line.split()[:1] == [name]:
            return line
    return name + " " + next(value for end, value in UNSET if file.endswith(end))
