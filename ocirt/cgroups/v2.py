"""Cgroup v2 as the only hierarchy.

config-linux.md, "Control groups"; the kernel's Documentation/admin-guide/cgroup-v2.rst. The specification's limits are
those of v1. This driver converts them as runc 1.4's fs2 driver does:

==================  =======================================================================================
cpu.shares          ``cpu.weight``, by the quadratic function of runc 1.4 and crun 1.23: 2 is 1, 1024 is 100
cpu.quota, period   ``cpu.max``, and burst ``cpu.max.burst``
memory.swap         ``memory.swap.max``: swap alone; the specification's is memory and swap together
memory.reservation  ``memory.low``
blockIO.weight      ``io.bfq.weight`` unchanged, or without BFQ ``io.weight``, linearly: 10 is 1, 1000 is 10000
blockIO.throttle*   ``io.max``
devices             a BPF program (:mod:`ocirt.cgroups.filter`)
==================  =======================================================================================

A relative path, or the id if the config has no path, is a sibling of the caller's own cgroup. On v1 it is a child, but
on v2 a cgroup with processes cannot have children with controllers.
"""

from ..errors import ConfigError, RequestError
from ..model.config import ANY
from ..model.text import Table, Template, bound, quote
from ..plan.steps import (
    AssertThawed,
    CheckMemoryUsage,
    DelegateCgroup,
    FreezeCgroup,
    LoadDeviceFilter,
    MakeCgroup,
    OpenCgroup,
    RemoveCgroup,
    SignalCgroup,
    ThawCgroup,
    Warn,
    WriteCgroup,
    WriteCgroupDifference,
    WriteEitherCgroup,
)
from . import PAUSED
from .cgroupfs import INT64_MAX, NO_LIMIT, Cgroupfs, bandwidth, is_no_limit, page_size, shares
from .devices import allow_everything, rules
from .filter import program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..model.config import BlockIo, Config, Cpu, HugepageLimit, Memory, Network, Resources
    from ..model.host import Hierarchy, Host
    from ..model.request import Request
    from ..model.text import AnyText, Number, Text
    from ..plan import Plan
    from ..plan.steps import Step

THROTTLES = {
    "throttle_read_bps": "rbps",
    "throttle_write_bps": "wbps",
    "throttle_read_iops": "riops",
    "throttle_write_iops": "wiops",
}
"""Attribute of BlockIo -> key of io.max."""

NO_SETTINGS = (
    "cgroup.procs",
    "cgroup.threads",
    "cgroup.type",
    "cgroup.subtree_control",
    "cgroup.freeze",
    "cgroup.kill",
)
"""Files that move, end or stop processes: only the runtime may write them."""

MOUNTS = Table("cgroup mounts", ("cgroup", "cgroup2"))


class V2(Cgroupfs):
    """The driver for one container."""

    ALLOWED_SETS = ".effective"

    def __init__(self, config: "Config", request: "Request", host: "Host", plan: "Plan") -> None:
        unified = host.cgroups.unified
        assert unified is not None  # choose() has checked it
        self.unified = unified
        super().__init__(config.linux, request, host, plan, [self.unified])
        self.config = config
        self.is_rootless = bool(self.skip_unwritable)
        # As in runc: a caller without root's rights needs no cgroup if it names no path and asks for no limit, or if it
        # has given --rootless true.
        self.skip_unwritable = int(self.is_rootless and (not self.has_path or bool(self.without)))
        self.register = plan.register()

    def beneath(self, own: str) -> str:
        return own.rpartition("/")[0] or "/"

    # ---- making, entering, leaving ----

    def make(self) -> "list[Step]":
        return [self._step(MakeCgroup, self.unified, unified=1, skip_unwritable=self.skip_unwritable)]

    def open(self) -> "list[Step]":
        return [
            *self._delegate(),
            self._step(OpenCgroup, self.unified, fd=self.register, file="", skip_unwritable=self.skip_unwritable),
        ]

    def place(self, resources: "Resources", first: bool) -> "list[Step]":
        return self.release(resources, first)  # the child is cloned into the cgroup

    def _delegate(self) -> "list[Step]":
        """The step that gives the container its cgroup, if the config mounts cgroups writable: config-linux.md, "Cgroup
        ownership".
        """
        namespaces = [each.file for each in self.config.linux.namespaces if each.type.equals("cgroup")]
        if not (namespaces and (namespaces[0] is None or namespaces[0].is_empty()) and self._is_mounted_writable()):
            return []
        owner = self._owner()
        if owner is None or owner == self.host.euid:
            return []
        return [
            self._step(
                DelegateCgroup,
                self.unified,
                spec="config-linux.md#cgroup-ownership",
                uid=owner,
                skip_unwritable=int(self.is_rootless),
            )
        ]

    def _is_mounted_writable(self) -> bool:
        return any(
            [
                each.destination.is_path("/sys/fs/cgroup")
                and each.type is not None
                and each.type.within(MOUNTS)
                and not any([option.equals("ro") for option in each.options])
                for each in self.config.mounts
            ]
        )

    def _owner(self) -> int | None:
        """The host's uid for ``process.user.uid``; ``None`` if it is not mapped, or the compiler does not know the
        maps.
        """
        if not self.config.has("process"):
            return None
        asked = self.config.process.user.uid
        uid = 0 if asked is None else asked.read()
        spaces = [each.file for each in self.config.linux.namespaces if each.type.equals("user")]
        if not spaces:
            return uid
        for each in self.config.linux.uid_mappings:
            first, size = each.container_id.read(), each.size.read()
            if first <= uid < first + size:
                return each.host_id.read() + uid - first
        return None

    def assert_thawed(self) -> "list[Step]":
        return [self._step(AssertThawed, self.unified, spec="", file="cgroup.freeze", thawed="0", refusal=PAUSED)]

    def open_for(self, beneath: "Mapping[str, str]") -> "list[Step]":
        for controller in beneath:
            if controller:
                raise RequestError(f"--cgroup {controller}: on cgroup v2 all controllers are in one hierarchy")
        inner = beneath.get("")
        path = self.path(self.unified)
        return [
            OpenCgroup(
                "--cgroup" if inner else self.at,
                "config-linux.md#cgroups-path",
                fd=self.register,
                hierarchy=self.unified.mount,
                path=path + "/" + inner if inner else path,
                file="",
                skip_unwritable=self.skip_unwritable,
                optional=0 if inner else self.skip_unwritable,
            )
        ]

    def mount_point(self) -> str:
        return self.unified.mount

    def signal(self, outlive: bool) -> "list[Step]":
        return [self._step(SignalCgroup, self.unified, spec="runtime.md#kill", outlive=int(outlive))]

    def thaw(self) -> "list[Step]":
        return [self._step(ThawCgroup, self.unified, spec="runtime.md#delete")]

    def pause(self) -> "list[Step]":
        return [
            self._step(
                FreezeCgroup, self.unified, spec="", file="cgroup.freeze", value="1", undo="0", events="cgroup.events"
            )
        ]

    def resume(self) -> "list[Step]":
        return [self._step(WriteCgroup, self.unified, spec="", file="cgroup.freeze", value="0")]

    def facts(self) -> "dict[str, AnyText]":
        return (
            self._files("freezer", self.unified, paused_file="cgroup.freeze")
            | self._files("memory", self.unified, oom_file="memory.events", oom_key="oom_kill", peak_file="memory.peak")
            | self._files("cpu", self.unified, cpu_file="cpu.stat")
            | self._files("pids", self.unified, pids_file="pids.events")
        )

    def directory(self) -> str:
        path: str = bound(self.path(self.unified))
        return self.unified.mount + path

    def freezer(self) -> str:
        return self.directory()

    def delete(self) -> "list[Step]":
        return [self._step(RemoveCgroup, self.unified, spec="runtime.md#delete")]

    # ---- limits ----

    def limit(self, resources: "Resources") -> "list[Step]":
        steps = self.settings(resources)
        # A child that may not enter its cgroup would run without these limits.
        self.allow_caller_cgroup = int(self.skip_unwritable and (bool(self.without) or not _are_limits(steps)))
        return steps

    def has_limits(self, resources: "Resources") -> bool:
        """Does ``resources`` ask for anything that cgroup v2 has, other than device rules?"""
        return _are_limits(self.settings(resources))

    def settings(self, resources: "Resources") -> "list[Step]":
        """The steps of :meth:`limit` without device rules."""
        self._refuse_network(resources.network)
        return [
            *self._pids(resources.pids, zero="1"),
            *self._memory(resources.memory),
            *self._io(resources.block_io),
            *self._cpu(resources.cpu),
            *self._cpuset(resources.cpu),
            *self._hugepages(resources.hugepage_limits),
            *self._rdma(resources.rdma),
            *self._unified(resources.unified),
        ]

    def _hierarchy(self, controller: str, at: str) -> "Hierarchy":
        # Whether the controller exists and is enabled shows when the executor writes its file.
        return self.unified

    def _either(
        self,
        file: str,
        value: str | Template,
        at: str,
        spec: str,
        other_file: str = "",
        other_value: str | Template = "",
    ) -> WriteEitherCgroup:
        return self._step(
            WriteEitherCgroup,
            self.unified,
            at,
            f"config-linux.md#{spec}",
            file=file,
            value=value,
            other_file=other_file,
            other_value=other_value,
            skip_unwritable=self._if_unwritable(value),
        )

    def _ignored(self, at: str, what: str) -> Warn:
        return Warn(at, "", message=f"{at}: cgroup v2 has no {what}: the value is ignored")

    def _memory(self, memory: "Memory") -> "list[Step]":
        _ = memory.use_hierarchy  # only checked: v2 always does this
        limit, swap = _or_none(memory.limit), _or_none(memory.swap)
        for number in (limit, swap, memory.reservation):
            if number is not None:
                number.checked(-1, INT64_MAX, "-1 (no limit) or more")
        steps: list[Step] = []
        first = swap if limit is None else limit
        if memory.check_before_update and first is not None:
            steps.append(
                self._step(
                    CheckMemoryUsage,
                    self.unified,
                    first.path,
                    "config-linux.md#memory",
                    limit=0 if limit is None else limit,
                    swap=0 if swap is None else swap,
                )
            )
        steps += self._swap(limit, swap)
        for file, number in (("memory.max", limit), ("memory.low", _or_none(memory.reservation))):
            if number is not None:
                steps.append(self._write("memory", file, _or_max(number), number.path, "memory"))
        return steps + self._not_of_v2(memory)

    def _swap(self, limit: "Number | None", swap: "Number | None") -> "list[Step]":
        file = "memory.swap.max"
        if swap is None:
            # Unlimited memory without a value for swap means unlimited swap too, as on v1.
            return [self._either(file, "max", limit.path, "memory")] if limit is not None and limit.equals(-1) else []
        if swap.equals(-1):
            return [self._either(file, "max", swap.path, "memory")]
        if limit is None:
            raise ConfigError(swap.path, quote(swap.bound()), "memory.limit as well, which memory.swap includes")
        if limit.equals(-1):
            return [self._write("memory", file, swap, swap.path, "memory")]
        return [
            self._step(
                WriteCgroupDifference,
                self.unified,
                swap.path,
                "config-linux.md#memory",
                file=file,
                value=swap,
                less=limit,
                skip_unwritable=self.without,
            )
        ]

    def _not_of_v2(self, memory: "Memory") -> "list[Step]":
        steps: list[Step] = [
            self._ignored(number.path, what)
            for number, what in (
                (_or_none(memory.kernel), "limit on kernel memory"),
                (_or_none(memory.kernel_tcp), "limit on TCP buffers"),
                (
                    None if memory.swappiness is None or memory.swappiness.equals((1 << 64) - 1) else memory.swappiness,
                    "swappiness",
                ),
            )
            if number is not None
        ]
        if memory.disable_oom_killer:
            steps.append(self._ignored(memory.at("disableOOMKiller"), "way to disable the OOM killer"))
        return steps

    def _cpu(self, cpu: "Cpu") -> "list[Step]":
        for number in (_or_none(cpu.realtime_runtime), _or_none(cpu.realtime_period)):
            if number is not None:
                raise ConfigError(number.path, quote(number.bound()), "nothing: cgroup v2 has no realtime limits")
        steps: list[Step] = []
        weight, idle = shares(cpu), cpu.idle
        if idle is not None:
            steps.append(self._write("cpu", "cpu.idle", idle, idle.path, "cpu"))
        # The kernel refuses a weight while a cgroup is idle.
        if weight is not None and (idle is None or not idle.equals(1)):
            steps.append(self._write("cpu", "cpu.weight", str(cpu_weight(weight.read())), weight.path, "cpu"))
        quota, period = bandwidth(cpu)
        first = period if quota is None else quota
        if first is not None:
            value = "max" if quota is None else _or_max(quota)
            if period is not None:
                value = value + " " + period if isinstance(value, Template) else Template(value + " ") + period
            steps.append(self._write("cpu", "cpu.max", value, first.path, "cpu"))
        return [*steps, *self._numbers("cpu", "cpu", ("cpu.max.burst", cpu.burst))]

    def _io(self, block_io: "BlockIo") -> "list[Step]":
        steps: list[Step] = []
        weight = _or_none(block_io.weight)
        if weight is not None:
            steps.append(self._weight("", weight))
        steps += [
            self._ignored(number.path, "weight against child cgroups")
            for number in [_or_none(block_io.leaf_weight)]
            if number is not None
        ]
        for device in block_io.weight_device:
            if device.weight is None and device.leaf_weight is None:
                raise ConfigError(device.path, "neither weight nor leafWeight", "one of them")
            if device.leaf_weight is not None:
                steps.append(self._ignored(device.leaf_weight.path, "weight against child cgroups"))
            if device.weight is not None:
                steps.append(self._weight(device.major + ":" + device.minor + " ", device.weight))
        for name, key in THROTTLES.items():
            steps += [
                self._write(
                    "io",
                    "io.max",
                    device.major + ":" + device.minor + f" {key}=" + ("max" if device.rate.equals(0) else device.rate),
                    device.path,
                    "block-io",
                )
                for device in getattr(block_io, name)
            ]
        return steps

    def _weight(self, device: str | Template, weight: "Number") -> WriteEitherCgroup:
        weight.checked(10, 1000)
        return self._either(
            "io.bfq.weight",
            device + Template(weight),
            weight.path,
            "block-io",
            "io.weight",
            device + Template(str(io_weight(weight.read()))),
        )

    def _hugepages(self, limits: "list[HugepageLimit]") -> "list[Step]":
        steps: list[Step] = []
        for each in limits:
            size = page_size(each)
            steps.append(self._write("hugetlb", f"hugetlb.{size}.max", each.limit, each.path, "huge-page-limits"))
            steps.append(self._either(f"hugetlb.{size}.rsvd.max", Template(each.limit), each.path, "huge-page-limits"))
        return steps

    @staticmethod
    def _refuse_network(network: "Network") -> None:
        for path in [
            network.at(name)
            for name, there in (("classID", _or_none(network.class_id) is not None), ("priorities", network.priorities))
            if there
        ]:
            raise ConfigError(path, "a setting of cgroup v1", "nothing, because cgroup v2 has no network controller")

    def _unified(self, settings: "dict[str, Text]") -> list[WriteCgroup]:
        for file, value in settings.items():
            controller, dot, name = file.partition(".")
            if "/" in file or not (controller and dot and name):
                raise ConfigError(value.path, f"the file {quote(file)}", 'one like "memory.max", without /')
            if file in NO_SETTINGS:
                raise ConfigError(value.path, f"the file {quote(file)}", "a setting of the cgroup")
        return [
            self._write(file.partition(".")[0], file, value, value.path, "unified") for file, value in settings.items()
        ]

    # ---- devices ----

    def filter_devices(self, resources: "Resources") -> "list[Step]":
        given = rules(resources.devices)
        # Without the filter the container could open every device. It goes without only if device nodes do not work
        # anyway (in a user namespace, or for a user without root's rights), or if the filter would allow everything.
        skip_unwritable = self.host.in_user_namespace or self.host.euid != 0 or allow_everything(given)
        at = resources.at("devices") if given else "default devices"
        return [
            self._step(
                LoadDeviceFilter,
                self.unified,
                at,
                "config-linux.md#allowed-device-list",
                filter=program(given),
                skip_unwritable=int(skip_unwritable),
            )
        ]


def _are_limits(steps: "Sequence[Step]") -> bool:
    return any([type(step) is not Warn and not is_no_limit(getattr(step, "value", None)) for step in steps])


def _or_none(number: "Number | None") -> "Number | None":
    """The number, ``None`` if it is 0: engines write 0 for a value that is not set, and runc reads it so."""
    return None if number is None or number.equals(0) else number


def _or_max(number: "Number") -> str | Template:
    return NO_LIMIT if number.equals(ANY) else Template(number)


def cpu_weight(shares: int) -> int:
    """``cpu.weight`` for the ``shares`` of v1, 2 to 262144: a quadratic function of the logarithm, which maps both ends
    of the range onto each other, and the default 1024 onto the default 100.
    """
    from math import ceil, log2

    if shares <= 2:
        return 1
    if shares >= 1 << 18:
        return 10000
    power = log2(shares)
    return ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def io_weight(weight: int) -> int:
    """``io.weight`` for the ``weight`` of v1, 10 to 1000."""
    return 1 + (weight - 10) * 9999 // 990
