"""Which driver of cgroups a container gets."""

from ..errors import HostError
from ..model.config import is_before_1_3
from . import Driver, is_rootless

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Config
    from ..model.host import Host
    from ..model.request import Request
    from ..plan import Plan


def choose(config: "Config", request: "Request", host: "Host", plan: "Plan") -> Driver:
    """The driver for a container.

    :param plan: the :class:`~ocirt.plan.Plan` that gives descriptor registers.
    :raises HostError: the driver that the caller asks for cannot work on this host.
    :raises ConfigError: ``linux.cgroupsPath`` cannot be used.
    """
    driver = _driver(config, request, host, plan)
    driver.zero_is_a_limit = not is_before_1_3(config.oci_version)
    return driver


def _needs_session(config: "Config", request: "Request", host: "Host", plan: "Plan") -> bool:
    """Does a caller without root's rights ask for limits for which only the user's own systemd can make a cgroup?"""
    unified, session, path = host.cgroups.unified, request.runtime_dir, config.linux.cgroups_path
    if not (is_rootless(request, host) and session and unified and host.cgroups.is_v2 and host.has_systemd):
        return False
    if path is not None and not path.is_empty() and path.unit() is None:
        return False  # the caller has chosen the cgroup
    from .v2 import V2

    cgroupfs = V2(config, request, host, plan)
    if not cgroupfs.has_limits(config.linux.resources) or host.may_write(unified.mount + cgroupfs.beneath(unified.own)):
        return False
    return host.has_file(f"{session}/systemd/private") or host.has_file(f"{session}/bus")


def _driver(config: "Config", request: "Request", host: "Host", plan: "Plan") -> Driver:
    if request.cgroup_manager == "disabled":
        return Driver(host)
    if request.cgroup_manager == "auto":
        request.cgroup_manager = "systemd" if _needs_session(config, request, host, plan) else "cgroupfs"
    if request.cgroup_manager == "systemd":
        flag = "--systemd-cgroup" if request.systemd_cgroup else "--cgroup-manager systemd"
        if not host.has_systemd:
            raise HostError(flag, "systemd does not run on this host (/run/systemd/system is missing)")
        if not host.cgroups.is_v2:
            from .systemd_v1 import SystemdV1

            return SystemdV1(config, request, host, plan, flag)
        from .systemd import Systemd

        return Systemd(config, request, host, plan, flag)
    if host.cgroups.is_v2:
        from .v2 import V2

        return V2(config, request, host, plan)
    from .v1 import V1

    return V1(config.linux, request, host, plan)
