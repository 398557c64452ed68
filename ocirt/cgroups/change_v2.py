"""``update`` on cgroup v2: the settings of :mod:`.v2` in an order that the kernel accepts, and how to undo them.

This module reads files, while the verb holds the container's lock. Only the executor writes them. As the files are
known here, each step that writes becomes a plain WriteCgroup: of two possible files, the one that exists, and of a
difference its result.
"""

import os

from ..errors import HostError
from ..model.text import bound
from ..plan.steps import Nothing, WriteCgroup, WriteCgroupDifference, WriteEitherCgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.config import Resources
    from ..plan.steps import Step
    from .v2 import V2

MAX, BURST = "cpu.max", "cpu.max.burst"
IDLE, WEIGHT = "cpu.idle", "cpu.weight"

SETS = "cpuset.cpus", "cpuset.mems"

UNSET = {"io.weight": "default", "io.bfq.weight": "default", "io.latency": "target=0"}
"""File with a line for each device -> the value that removes a device's line. Other such files have ``key=value``
pairs, which ``max`` removes; files without either have the value ``max``."""


def change(settings: "Sequence[Step]", driver: "V2", resources: "Resources") -> "list[Step]":
    """The steps of an update.

    :param settings: what :meth:`ocirt.cgroups.v2.V2.settings` gives for ``resources``.
    """
    steps = [plain for step in settings for plain in _plain(step)]
    burst = resources.cpu.burst
    if burst is not None and burst.equals(0):
        steps.append(
            WriteCgroup(
                burst.path,
                "config-linux.md#cpu",
                hierarchy=driver.unified.mount,
                path=driver.path(driver.unified),
                file=BURST,
                value="0",
            )
        )
    idle = _on(steps, IDLE)
    if idle is not None and bound(idle.value) == "1" and _on(steps, WEIGHT) is None and _read(idle) == "0":
        # An idle cgroup has no weight. To undo the update, the runtime must write it, so the update writes the present
        # one.
        weight = _write(idle, file=WEIGHT)
        steps.append(_write(weight, value=_present(weight)))
    return _ordered(_ordered(steps, _cpu_order(steps)), _idle_order(steps))


def restore(steps: "Sequence[Step]") -> "list[Step]":
    """Steps that undo ``steps``: they write what the files contain now, one for each step, the last first."""
    return [
        _write(step, value=_present(step))
        if isinstance(step, WriteCgroup) and _read(step) is not None
        else Nothing(step.at, "")
        for step in reversed(steps)
    ]


def _write(step: "Step", **changes: str) -> WriteCgroup:
    fields = {name: getattr(step, name) for name in ("hierarchy", "path", "file", "value")} | changes
    return WriteCgroup(step.at, step.spec, **fields)


def _plain(step: "Step") -> "list[Step]":
    """The step as a WriteCgroup in a list, which is empty if the step writes nothing."""
    if isinstance(step, WriteEitherCgroup):
        if _exists(step):
            return [_write(step)]
        return [_write(step, file=step.other_file, value=step.other_value)] if step.other_file else []
    if isinstance(step, WriteCgroupDifference):
        left = bound(step.value) - bound(step.less)
        if left < 0:
            raise HostError(step.at, "memory and swap together cannot be less than memory alone")
        return [_write(step, value=str(left))] if left or _exists(step) else []
    return [step]


def _folder(step: "Step") -> str:
    return f"{step.hierarchy}{bound(step.path)}"


def _exists(step: "Step") -> bool:
    return os.access(f"{_folder(step)}/{step.file}", os.F_OK)


def _read(step: "Step") -> str | None:
    """The content of the step's file, ``None`` if it cannot be read."""
    try:
        with open(f"{_folder(step)}/{step.file}") as file:
            return file.read().strip()
    except OSError:
        return None


# ---- order ----


def _on(steps: "Sequence[Step]", file: str) -> WriteCgroup | None:
    """The last step that writes ``file``, or ``None``."""
    return next((step for step in reversed(steps) if isinstance(step, WriteCgroup) and step.file == file), None)


def _ordered(steps: "Sequence[Step]", files: tuple[str, ...]) -> "list[Step]":
    """``steps``, with the steps on ``files`` in the order of ``files``. Other steps keep their places."""
    mine = [step for step in steps if isinstance(step, WriteCgroup) and step.file in files]
    chosen = iter(sorted(mine, key=lambda step: files.index(step.file)))
    return [next(chosen) if step in mine else step for step in steps]


def _cpu_order(steps: "Sequence[Step]") -> tuple[str, ...]:
    """The kernel refuses a burst above the quota."""
    burst = _on(steps, BURST)
    if burst is None:
        return ()
    before, wanted = _read(burst), bound(burst.value)
    return (
        (BURST, MAX)
        if before and before.isdigit() and wanted.isdigit() and int(wanted) <= int(before)
        else (MAX, BURST)
    )


def _idle_order(steps: "Sequence[Step]") -> tuple[str, ...]:
    """The kernel refuses a weight for an idle cgroup."""
    idle = _on(steps, IDLE)
    return (IDLE, WEIGHT) if idle is not None and bound(idle.value) == "0" else (WEIGHT, IDLE)


# ---- back ----


def _present(step: WriteCgroup) -> str:
    """The text that restores the present content of the step's file."""
    file: str = step.file
    wanted: str = bound(step.value)
    text = _read(step) or ""
    if file == WEIGHT and text == "0":
        return wanted  # the cgroup is idle, and undoing makes it idle again
    if file in SETS and not text:
        # The kernel does not let a cgroup with processes go back to an empty set. These are the CPUs or nodes that it
        # inherits.
        return _read(_write(step, file=f"{file}.effective")) or ""
    if ":" not in wanted and "=" not in wanted:
        # In io.weight and similar files the first line is for all devices.
        return text.splitlines()[0] if file in UNSET and text else text
    return "\n".join([_line(file, line.split(), text) for line in wanted.splitlines() if line.strip()])


def _line(file: str, words: list[str], text: str) -> str:
    """The line that undoes ``words`` (the device's name, then settings) in a file with a line for each device."""
    name, *settings = words
    now = next((line.split()[1:] for line in text.splitlines() if line.split()[:1] == [name]), None)
    if not any("=" in each for each in settings) or file in UNSET:
        return " ".join([name, *(now or [UNSET.get(file, "max")])])
    values = dict(each.partition("=")[::2] for each in now or ())
    keys = [each.partition("=")[0] for each in settings]
    return " ".join([name, *[f"{key}={values.get(key, 'max')}" for key in keys]])
