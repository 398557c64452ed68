"""The statistics of a container that ``events`` reports, for every driver."""

from ..errors import HostError
from . import NONE_OF_ITS_OWN, stats_v1, stats_v2
from .v1 import V1
from .v2 import V2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import Driver


def stats(driver: "Driver") -> "dict[str, Any]":
    """The statistics of the container of ``driver``, in the form of :mod:`.counters`.

    :raises HostError: the container has no cgroups of its own, or they cannot be read.
    """
    if isinstance(driver, V1):
        return stats_v1.stats(driver)
    if isinstance(driver, V2):
        return stats_v2.stats(driver.directory())
    raise HostError("--cgroup-manager disabled", NONE_OF_ITS_OWN)
