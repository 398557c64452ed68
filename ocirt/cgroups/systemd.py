"""Cgroups that systemd makes: the container is a scope, which is a unit whose processes systemd has not started itself.

``linux.cgroupsPath`` is ``slice:prefix:name``, and asks for the unit ``prefix-name.scope`` (``name.scope`` if the
prefix is empty) in that slice; without the property the unit is ``ocirt-ID.scope``. An empty slice means system.slice,
or user.slice of the user's own manager.

Systemd places a child that waits, and gets the limits that it has properties for, as from runc's driver: otherwise it
would overwrite them with its own the next time it writes the cgroup. Then the executor writes the limits as
:mod:`ocirt.cgroups.v2` does, which covers more limits, and more exactly. Systemd gets no device rules
    (DevicePolicy=auto without a list is no filter), so that only ocirt's filter decides. :mod:`.systemd_v1` is for
    hosts with cgroup v1.
"""

from ..errors import ConfigError, HostError
from ..model.text import Template, quote
from ..plan.steps import (
    EVENTS,
    NONE,
    AssertEmptyCgroup,
    AwaitUnit,
    DelegateCgroup,
    EnableControllers,
    JoinCgroup,
    MakeCgroup,
    OpenCgroup,
    Receive,
    RemoveCgroup,
    Send,
    StartUnit,
    StopUnit,
)
from . import dbus, is_rootless
from .cgroupfs import Cgroupfs
from .properties import UNLIMITED, annotated, cpu_limits, memory_limits, or_unlimited, unified
from .v2 import V2, io_weight

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..model.config import Config, Pids, Resources
    from ..model.host import Hierarchy, Host
    from ..model.request import Request
    from ..model.text import AnyText, Field, Text
    from ..plan import Plan
    from ..plan.steps import Step
    from .cgroupfs import Made
    from .dbus import Items, Property

SPEC = "config-linux.md#cgroups-path"
TIMEOUT = 30
"""Seconds that systemd may take for one call, as in runc."""
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
"""The controllers that systemd itself enables in the cgroups above a delegated one."""
NAME = 2
"""The index of the name in the items of a property."""
PREFIX = "org.systemd.property."
"""Annotations that set properties of the unit; their values are in GVariant's text format."""


class Manager:
    """The systemd that the runtime asks: that of the machine, or the user's own for a user without root's rights.

    :ivar socket: the path of its socket.
    :ivar bus: 1 if that is the socket of a message bus.
    :ivar owner: the caller's uid as the manager sees it.
    :ivar top: the cgroup that has the manager's slices.
    :ivar slice: the slice of a unit that names none.
    """

    __slots__ = ("socket", "bus", "owner", "top", "slice")

    def __init__(self, request: "Request", host: "Host", is_rootless: bool, flag: str) -> None:
        # Root in a user namespace is either root of a container with a systemd of its own, or a user who has entered
        # the namespace; such a user has a session directory.
        if is_rootless and (host.euid != 0 or request.runtime_dir is not None):
            if request.runtime_dir is None:
                raise HostError(flag, "XDG_RUNTIME_DIR is not set: the user's own systemd cannot be found")
            base, bus = request.runtime_dir, f"{request.runtime_dir}/bus"
            self.owner = _uid_outside(host)
            self.top, self.slice = f"/user.slice/user-{self.owner}.slice/user@{self.owner}.service", "user.slice"
        else:
            base, bus = "/run", "/run/dbus/system_bus_socket"
            self.owner, self.top, self.slice = host.euid, "", "system.slice"
        # Root and systemd's own user may use its private socket, and need no message bus then.
        own = f"{base}/systemd/private"
        self.bus = int(not host.has_file(own))
        self.socket = bus if self.bus else own


def _uid_outside(host: "Host") -> int:
    """The caller's uid in the parent of its user namespace."""
    if not host.in_user_namespace:
        return host.euid
    for line in host.text("/proc/self/uid_map").splitlines():
        first, outside, size = map(int, line.split())
        if first <= host.euid < first + size:
            return outside + host.euid - first
    return host.euid


class Scope(Cgroupfs):
    """What the systemd drivers of both versions of cgroups share. It precedes the driver that makes cgroups itself.

    :ivar home: the hierarchy of systemd itself.
    :ivar mark: what its lines in /proc/PID/cgroup have after the number.
    :param flag: the flag that asked for systemd.
    :raises ConfigError: ``linux.cgroupsPath`` does not have the form that systemd needs.
    :raises HostError: no manager can be asked.
    """

    QUOTA: str
    """The file with the quota."""
    BLOCKS: str
    """Systemd's name for the controller of block devices."""
    home: "Hierarchy"
    is_first, can_renew, mark = False, False, "::"

    def prepare(self, config: "Config", request: "Request", host: "Host", plan: "Plan", flag: str) -> None:
        """Set what the constructor of the other driver needs."""
        self.manager = Manager(request, host, is_rootless(request, host), flag)
        self.id = request.text("id", plan.trace)
        self.config, self.plan = config, plan

    def locate(self, path: "Text | None", id: "Text") -> "tuple[AnyText, bool]":
        self.slice: str | Text = self.manager.slice
        beneath: str | Text = "/" + self.manager.slice
        before, name = Template("ocirt-"), id
        if path is not None:
            parts = path.unit()
            if parts is None:
                raise ConfigError(
                    path.path, quote(path.bound()), "slice:prefix:name, the slice empty or like a-b.slice"
                )
            slice, prefix, name, its_cgroup = parts
            if name.ends_with(".slice"):
                raise ConfigError(
                    path.path, quote(path.bound()), "the name of a scope: systemd lets no process into a slice"
                )
            if not slice.is_empty():
                self.slice, beneath = slice, its_cgroup
            before = Template() if prefix.is_empty() else Template(prefix, "-")
        self.unit = before + name + ".scope"
        return Template(self.manager.top, beneath, "/") + self.unit, False

    # ---- entering, leaving ----

    def before(self, resources: "Resources") -> "list[Step]":
        return []

    def begin(self, resources: "Resources") -> "list[Step]":
        # A cgroup of this name may exist without a unit, and systemd would use it.
        return [
            *[AssertEmptyCgroup(self.at, SPEC, hierarchy=each.mount, path=self.unit_path(each)) for each in self.all],
            StartUnit(self.at, SPEC, **self.job(dbus.start(self.unit, self._properties(resources)))),
        ]

    def place(self, resources: "Resources", first: bool) -> "list[Step]":
        return [
            AwaitUnit(self.at, SPEC, unit=self.unit, mark=self.mark, **self._place()),
            *self.besides(resources),
            *self.limit(resources),
            *self.hand_over(),
            *self.release(resources, first),
        ]

    def unit_path(self, hierarchy: "Hierarchy") -> "AnyText":
        """The path of the unit's cgroup below the mount of ``hierarchy``."""
        return self.path(hierarchy)

    def besides(self, resources: "Resources") -> "list[Step]":
        """Steps that make what systemd does not make, once it has placed the child."""
        raise NotImplementedError

    def hand_over(self) -> "list[Step]":
        """Steps that delegate its cgroups to the container."""
        return []

    def open_for(self, beneath: "Mapping[str, str]") -> "list[Step]":
        # Systemd only makes new scopes. A process that joins a scope is cloned into the scope's cgroup.
        if self.host.cgroups.unified:
            self.register = self.plan.register()
        return super().open_for(beneath)

    def delete(self) -> "list[Step]":
        return [*super().delete(), self._stop()]

    def _stop(self) -> StopUnit:
        return StopUnit(self.at, "runtime.md#delete", **self.job(dbus.stop(self.unit)), **self._place())

    def _place(self) -> "dict[str, Field]":
        return {"hierarchy": self.home.mount, "path": self.unit_path(self.home)}

    def call(self, items: "Items") -> "dict[str, Field]":
        """The fields of a step that makes the calls ``items``."""
        manager = self.manager
        return {
            "socket": manager.socket,
            "greeting": dbus.greeting(manager.owner),
            "calls": dbus.hello(manager.bus) + items,
            "unit": self.unit,
            "timeout": TIMEOUT,
        }

    def job(self, items: "Items") -> "dict[str, Field]":
        """The fields of a step that waits for the end of the job of the call ``items``."""
        return self.call(dbus.prepare(self.manager.bus, self.unit) + items)

    # ---- properties ----

    def _properties(self, resources: "Resources") -> "list[Property]":
        given = [
            dbus.text("Description", "ocirt container " + self.id),
            dbus.text("Slice", self.slice),
            dbus.flag("Delegate", True),
            dbus.child("PIDs"),
            *[dbus.flag(f"{name}Accounting", True) for name in ("Memory", "CPU", self.BLOCKS, "Tasks")],
            dbus.flag("DefaultDependencies", False),
            # A failed unit would otherwise keep its name until somebody resets it.
            dbus.text("CollectMode", "inactive-or-failed"),
            *self.properties(resources),
        ]
        annotations = self.config.annotations_with(PREFIX)
        if annotations:
            given += annotated(annotations)
        return given

    def properties(self, resources: "Resources") -> "list[Property]":
        """Properties for those of ``resources`` for which systemd has a property."""
        raise NotImplementedError

    def tasks(self, pids: "Pids") -> "list[Property]":
        limit = pids.limit
        if limit is None:
            return []
        zero = "1" if self.zero_is_a_limit else UNLIMITED
        return [dbus.number("TasksMax", zero if limit.equals(0) else or_unlimited(limit))]


class Systemd(Scope, V2):
    """The driver for one container, on cgroup v2.

    With crun's annotation ``run.oci.systemd.subgroup`` the container's cgroup is a child of the unit's, and all steps
    act on the child, except those on the unit. A cgroup with processes cannot enable controllers for its children, so
    init first leaves the unit's cgroup: it moves itself, and the runtime waits for that.

    :ivar inner: the path of the container's cgroup below the unit's, empty without the annotation.
    :ivar delegated: the path, below that cgroup, of the cgroup in which the container's process begins, empty if it
        begins in that cgroup itself.
    """

    QUOTA, BLOCKS = "cpu.max", "IO"
    takes_subgroup = True

    def __init__(self, config: "Config", request: "Request", host: "Host", plan: "Plan", flag: str) -> None:
        self.prepare(config, request, host, plan, flag)
        super().__init__(config, request, host, plan)
        self.home, self.register, self.skip_unwritable, self.without = self.unified, NONE, 0, 0
        self.scope = self.path(self.unified)
        self.inner = self.delegated = ""
        if config.has("annotations"):
            self._read_annotations(config)

    def _read_annotations(self, config: "Config") -> None:
        from ..model import crun  # none in many configs

        self.inner = crun.subgroup(config)
        if not self.inner:
            return
        self._paths[self.unified.mount] = self.scope + "/" + self.inner
        self.delegated = crun.delegated(config)
        self.inner_register = self.plan.register()
        if self.delegated:
            self.delegated_register = self.plan.register()

    def unit_path(self, hierarchy: "Hierarchy") -> "AnyText":
        return self.scope

    def besides(self, resources: "Resources") -> "list[Step]":
        if not self.inner:
            return self.enable(resources)
        steps: list[Step] = [
            self._step(MakeCgroup, self.unified, unified=1, fd=self.inner_register, file="cgroup.procs")
        ]
        if self.delegated:
            steps.append(self._beneath(MakeCgroup, unified=1, fd=self.delegated_register, file="cgroup.procs"))
        return [
            *steps,
            self._made(Send),
            Receive(self.at, SPEC, event=EVENTS.index("moved")),
            self._step(EnableControllers, self.unified),
        ]

    def _made(self, kind: "type[Send] | type[Receive]") -> "Send | Receive":
        # In a user namespace the child may not open the files by which it joins, so the runtime sends their
        # descriptors.
        return kind(
            self.at, SPEC, event=EVENTS.index("made"), first=self.inner_register, count=2 if self.delegated else 1
        )

    def wait(self) -> "list[Step]":
        if not self.inner:
            return super().wait()
        return [
            self._made(Receive),
            JoinCgroup(self.at, SPEC, fd=self.inner_register),
            Send(self.at, SPEC, event=EVENTS.index("moved")),
            *super().wait(),
        ]

    def settle(self) -> "list[Step]":
        return [JoinCgroup(self.at, SPEC, fd=self.delegated_register)] if self.delegated else []

    def hand_over(self) -> "list[Step]":
        steps = self._delegate()
        if not self.delegated:
            return steps
        return [*steps, *[self._beneath(DelegateCgroup, uid=step.uid) for step in steps]]

    def _beneath(self, kind: "type[Made]", **fields: "Field") -> "Made":
        """A step on the cgroup in which the container's process begins."""
        return kind(
            self.at, SPEC, hierarchy=self.unified.mount, path=self.path(self.unified) + "/" + self.delegated, **fields
        )

    def open_for(self, beneath: "Mapping[str, str]") -> "list[Step]":
        # A process in the container's cgroup itself would keep the container from enabling controllers there.
        steps = super().open_for(beneath)
        return [self._beneath(OpenCgroup, fd=self.register, file="")] if self.delegated and not beneath else steps

    def delete(self) -> "list[Step]":
        inner: list[Step] = [self._beneath(RemoveCgroup)] if self.delegated else []
        if self.inner:
            inner.append(self._step(RemoveCgroup, self.unified, spec="runtime.md#delete"))
        return [
            *inner,
            RemoveCgroup(self.at, "runtime.md#delete", hierarchy=self.unified.mount, path=self.scope),
            self._stop(),
        ]

    def enable(self, resources: "Resources") -> "list[Step]":
        return [self._step(EnableControllers, self.unified)] if self._needs_more(resources) else []

    @staticmethod
    def _needs_more(resources: "Resources") -> bool:
        return bool(resources.hugepage_limits or resources.rdma) or any(
            [file.partition(".")[0] not in CONTROLLERS for file in resources.unified]
        )

    def properties(self, resources: "Resources") -> "list[Property]":
        given = [*memory_limits(resources.memory), *cpu_limits(resources.cpu), *self.tasks(resources.pids)]
        weight = resources.block_io.weight
        if weight is not None and not weight.equals(0):
            given.append(dbus.number("IOWeight", str(io_weight(weight.checked(10, 1000).read()))))
        if resources.unified:
            given += unified(resources.unified)
        return given
