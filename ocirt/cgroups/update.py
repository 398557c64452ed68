"""``update``: the steps that change a container's limits, and those that go back, by the driver that it has.

What order the kernel accepts depends on what the files hold now: :mod:`.change_v1` and :mod:`.change_v2` read them.
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
    """The steps of an update to ``resources``: those of :meth:`~ocirt.cgroups.Driver.limit` but for device rules, which stay as
    they are, in an order that the kernel accepts.

    :raises ConfigError: as ``limit``.
    :raises HostError: as ``limit``, or the container has no cgroups of its own.
    """
    # Unlike create, update fails if a limit cannot be written: somebody has asked for just that.
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
    """The steps that undo ``steps``, what :func:`change` has given for ``resources``: one for each, the last first, by what the files
    hold now.

    :param before: Resources as create or an earlier update was given them.
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
    """The kernel refuses values, so files come first. Then systemd is told, and writes all that it knows of the unit anew, quotas in
    whole percents: so the files are written again."""
    if not properties:
        return steps
    writes: list[Step] = [step for step in steps if isinstance(step, WriteCgroup)]
    if not any([step.file == driver.QUOTA for step in writes]):
        writes += _present_quota(driver)
    return [*steps, _told(driver, properties), *writes]


def _present_quota(driver: Scope) -> "list[Step]":
    """The step that writes the quota as it is now, in a list; none where there is no such file."""
    hierarchy = driver._hierarchy("cpu", driver.at)
    try:
        with open(f"{hierarchy.mount}{bound(driver.path(hierarchy))}/{driver.QUOTA}") as file:
            return [driver._step(WriteCgroup, hierarchy, spec="", file=driver.QUOTA, value=file.read().strip())]
    except OSError:
        return []


def _told(driver: Scope, properties: "Sequence[Property]") -> SetUnitProperties:
    return SetUnitProperties(driver.at, "", body=dbus.change(driver.unit, properties), **driver.call())


def _earlier(driver: Scope, resources: "Resources", before: "Resources") -> "list[Property]":
    """What systemd was told, or has by default, of each property that ``resources`` set."""
    # Plain text: a slot has one value in a program, and that is the new one.
    earlier: dict[str, Property] = {
        _name(each): [str(item) for item in bound(each)] for each in driver.properties(before)
    }
    return [earlier.get(_name(each)) or unset(_name(each)) for each in driver.properties(resources)]


def _name(property: "Property") -> str:
    name: str = bound(property[NAME])
    return name
