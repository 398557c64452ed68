"""``update``: the steps that change a container's limits, and the steps that undo the change, for every driver.

Which order the kernel accepts depends on what the files contain now. :mod:`.change_v1` and
:mod:`.change_v2` read them.
"""

from ..errors import HostError
from ..model.text import bound
from ..plan.steps import SetUnitProperties, WriteCgroup
from . import NONE_OF_ITS_OWN, change_v1, change_v2, dbus
from .properties import unset
from .systemd import NAME, Scope, Systemd
from .v1 import V1
from .v2 import V2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.config import Resources
    from ..plan.steps import Step
    from . import Driver
    from .dbus import Property


def change(driver: "Driver", resources: "Resources") -> "list[Step]":
    """The steps of an update to ``resources``: those of :meth:`~ocirt.cgroups.Driver.limit` except the device rules,
    which do not change, in an order that the kernel accepts.

    :raises ConfigError: as ``limit``.
    :raises HostError: as ``limit``, or the container has no cgroups of its own.
    """
    # Unlike create, update fails if a limit cannot be written, because the caller has asked for exactly this limit.
    if isinstance(driver, V1):
        driver.skip_unwritable = driver.without = 0
        steps = change_v1.change(driver.settings(resources), driver, resources)
    elif isinstance(driver, V2):
        driver.without = 0
        steps = change_v2.change(driver.settings(resources), driver, resources)
    else:
        raise HostError("--cgroup-manager disabled", NONE_OF_ITS_OWN)
    if isinstance(driver, Scope):
        steps = _with_systemd(driver, steps, driver.properties(resources))
    return [*driver.enable(resources), *steps] if isinstance(driver, Systemd) else steps


def restore(driver: "Driver", steps: "Sequence[Step]", resources: "Resources", before: "Resources") -> "list[Step]":
    """The steps that undo ``steps``: one for each step, the last first, with what the files contain now.

    :param steps: what :func:`change` returned for ``resources``.
    :param before: Resources as create or an earlier update applied them.
    """
    writes = [step for step in steps if not isinstance(step, SetUnitProperties)]
    if isinstance(driver, V1):
        back = iter(change_v1.restore(writes))
    else:
        back = iter(change_v2.restore(writes))
    return [
        _told(driver, _earlier(driver, resources, before))
        if isinstance(step, SetUnitProperties) and isinstance(driver, Scope)
        else next(back)
        for step in reversed(steps)
    ]


# ---- systemd ----


def _with_systemd(driver: Scope, steps: "list[Step]", properties: "list[Property]") -> "list[Step]":
    """The steps on files and on the unit. The files come first, because the kernel refuses wrong values. Systemd then
    rewrites all that it has properties for, with quotas in whole percents, so the files are written a second time.
    """
    if not properties:
        return steps
    writes: list[Step] = [step for step in steps if isinstance(step, WriteCgroup)]
    if not any([step.file == driver.QUOTA for step in writes]):
        writes += _present_quota(driver)
    return [*steps, _told(driver, properties), *writes]


def _present_quota(driver: Scope) -> "list[Step]":
    """The step that writes the present quota, in a list; empty if the file does not exist."""
    hierarchy = driver._hierarchy("cpu", driver.at)
    try:
        with open(f"{hierarchy.mount}{bound(driver.path(hierarchy))}/{driver.QUOTA}") as file:
            return [driver._step(WriteCgroup, hierarchy, spec="", file=driver.QUOTA, value=file.read().strip())]
    except OSError:
        return []


def _told(driver: Scope, properties: "Sequence[Property]") -> SetUnitProperties:
    return SetUnitProperties(driver.at, "", **driver.call(dbus.change(driver.unit, properties)))


def _earlier(driver: Scope, resources: "Resources", before: "Resources") -> "list[Property]":
    """For each property that ``resources`` sets, the value that systemd had before, or its default."""
    # Plain text, because a slot has one value in a program, and that is the new one.
    earlier: dict[str, Property] = {
        _name(each): [str(item) for item in bound(each)] for each in driver.properties(before)
    }
    return [earlier.get(_name(each)) or unset(_name(each)) for each in driver.properties(resources)]


def _name(property: "Property") -> str:
    name: str = bound(property[NAME])
    return name
