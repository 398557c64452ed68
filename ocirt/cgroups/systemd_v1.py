"""Cgroups v1 on a host with systemd. Systemd makes the scope in its own hierarchy and in those that it uses for
accounting. The executor makes and joins the same path in the other hierarchies, as :mod:`.v1` does.

As in runc's driver, systemd gets the limits of memory, CPU, blocks and tasks, and the unit is delegated, so that
systemd does not move the processes again.
"""

from ..errors import ConfigError, HostError
from ..model.text import Template, quote
from ..plan.steps import NONE, MakeCgroup, OpenCgroup
from . import dbus
from .properties import is_set, or_unlimited, quotas
from .systemd import Scope
from .v1 import INHERITED, V1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Config, Resources
    from ..model.host import Host
    from ..model.request import Request
    from ..plan import Plan
    from ..plan.steps import Step
    from .dbus import Property

HOME = "name=systemd"


class SystemdV1(Scope, V1):
    """The driver for one container. Once systemd has placed the child, the child joins the hierarchies that systemd
    does not use.

    :raises HostError: systemd has no hierarchy on this host, or it is a user's own, which has no controllers.
    """

    QUOTA, BLOCKS, mark = "cpu.cfs_quota_us", "BlockIO", f":{HOME}:"

    def __init__(self, config: "Config", request: "Request", host: "Host", plan: "Plan", flag: str) -> None:
        home = host.cgroups.hierarchy(HOME)
        if home is None:
            raise HostError(flag, f"this host has no cgroup hierarchy {HOME}")
        self.home = home
        self.prepare(config, request, host, plan, flag)
        if self.manager.top:
            raise HostError(flag, "on cgroup v1 a user's own systemd has no controllers")
        if config.has("annotations"):
            _refuse_delegation(config)
        super().__init__(config.linux, request, host, plan)
        self.register, self.skip_unwritable, self.without = NONE, 0, 0

    def besides(self, resources: "Resources") -> "list[Step]":
        # If the host has a unified hierarchy, systemd has placed the child there too, and the runtime opens nothing.
        return [
            self._step(OpenCgroup, each, fd=fd, file="tasks")
            if each is self.home
            else self._step(
                MakeCgroup,
                each,
                owned_by_systemd=1,
                fd=fd,
                file="tasks",
                inherit=tuple([file for name in each.controllers for file in INHERITED.get(name, ())]),
            )
            for each, fd in zip(self.hierarchies, self.registers)
        ]

    def properties(self, resources: "Resources") -> "list[Property]":
        limit, weight, shares = resources.memory.limit, resources.block_io.weight, resources.cpu.shares
        given = [dbus.number("MemoryLimit", or_unlimited(limit))] if is_set(limit) else []
        given += [
            dbus.number(name, Template(value))
            for name, value in (("CPUShares", shares), ("BlockIOWeight", weight))
            if is_set(value)
        ]
        return [*given, *quotas(resources.cpu), *self.tasks(resources.pids)]


def _refuse_delegation(config: "Config") -> None:
    from ..model import crun  # none in many configs

    delegated = crun.delegated(config)
    if crun.subgroup(config) and delegated:
        raise ConfigError(
            crun.at(crun.DELEGATE), quote(delegated), "none on cgroup v1, which delegates no cgroup safely"
        )
