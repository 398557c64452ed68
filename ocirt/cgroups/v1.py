"""Cgroups v1, and the hybrid layout: v1 hierarchies and a unified one without controllers.

config-linux.md, "Control groups"; the kernel's Documentation/admin-guide/cgroup-v1. If the specification leaves a
choice, this driver does as runc's cgroupfs driver: paths, which zeros mean "do not change", and the device rules around
the config's.
"""

from ..errors import ConfigError, HostError, RequestError
from ..model.text import Template, bound
from ..plan.steps import (
    EVENTS,
    PASSED,
    AssertThawed,
    FreezeCgroup,
    JoinCgroup,
    MakeCgroup,
    OpenCgroup,
    Receive,
    RemoveCgroup,
    Send,
    SignalCgroup,
    ThawCgroup,
    WriteCgroup,
)
from . import NONE_OF_ITS_OWN, PAUSED
from .cgroupfs import Cgroupfs, bandwidth, missing, page_size, shares
from .devices import ALLOWED, allow_everything, rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..model.config import BlockIo, Cpu, HugepageLimit, Linux, Memory, Network, Resources
    from ..model.host import Hierarchy, Host
    from ..model.request import Request
    from ..model.text import AnyText, Field, Number
    from ..plan import Plan
    from ..plan.steps import Step
    from .devices import Rule

INHERITED = {"cpuset": ("cpuset.cpus", "cpuset.mems")}
"""Files that a new cgroup must copy from its parent before a process can join it."""

SPEC, PLACED = "config-linux.md#cgroups-path", EVENTS.index("placed")
LIMIT, SWAP = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
UNSET = (1 << 64) - 1
"""-1 as engines write it into the unsigned ``swappiness``."""

KEPT = {"cpuacct", "cpuset", "devices", "freezer", "net_cls", "net_prio", "perf_event"}
"""Controllers in whose cgroup nothing that processes have done limits later ones, or counts against them."""

THROTTLES = {
    "throttle_read_bps": "read_bps",
    "throttle_write_bps": "write_bps",
    "throttle_read_iops": "read_iops",
    "throttle_write_iops": "write_iops",
}
"""Attribute of BlockIo -> part of the file's name."""


class V1(Cgroupfs):
    """The driver for one container. A relative path begins at the caller's own cgroup of each hierarchy."""

    is_first = True

    def __init__(self, linux: "Linux", request: "Request", host: "Host", plan: "Plan") -> None:
        self.hierarchies = sorted(host.cgroups.hierarchies, key=lambda each: "freezer" in each.controllers)
        self.unified = host.cgroups.unified
        super().__init__(linux, request, host, plan, [*self.hierarchies, *([self.unified] if self.unified else [])])
        self.registers = [plan.register() for _ in self.hierarchies]
        if self.unified:
            self.register = plan.register()
            # A cgroup of this name that is another user's takes no child; the hierarchy has no limits to lose.
            self.allow_caller_cgroup = 2 * self.skip_unwritable

    # ---- making, entering, leaving ----

    @property
    def _is_passed(self) -> bool:
        """Does the runtime make the cgroups while the first child runs, and send it the descriptors by which it joins
        them? If the runtime may skip a hierarchy, it has no descriptor to send.
        """
        return 0 < len(self.hierarchies) <= PASSED and not self.skip_unwritable

    def before(self, resources: "Resources") -> "list[Step]":
        return (
            self._make_unified() if self._is_passed else [*self._make(), *self._make_unified(), *self.limit(resources)]
        )

    def place(self, resources: "Resources", first: bool) -> "list[Step]":
        if not self._is_passed:
            return []
        return [*self._make(), *self.limit(resources), *self.release(resources, first)]

    def wait(self) -> "list[Step]":
        return super().wait() if self._is_passed else []

    def placed(self, kind: "type[Send] | type[Receive]") -> "Send | Receive":
        # In a user namespace the child may not open the files by which it joins, so the runtime sends their
        # descriptors.
        return kind(self.at, SPEC, event=PLACED, first=self.registers[0], count=len(self.registers))

    def _make(self) -> "list[Step]":
        steps: list[Step] = [
            self._step(
                MakeCgroup,
                each,
                fd=fd,
                file="tasks",
                skip_unwritable=self.skip_unwritable,
                inherit=tuple([file for name in each.controllers for file in INHERITED.get(name, ())]),
            )
            for each, fd in zip(self.hierarchies, self.registers)
        ]
        # SIGKILL does not end a frozen process, so the caller would wait for it forever.
        return steps + self._assert_thawed(f"{self.at}: a cgroup above the container's is frozen (freezer.state)")

    def _make_unified(self) -> "list[Step]":
        # The first child is cloned into this cgroup.
        return (
            [self._step(MakeCgroup, self.unified, fd=self.register, skip_unwritable=self.skip_unwritable)]
            if self.unified
            else []
        )

    def open_for(self, beneath: "Mapping[str, str]") -> "list[Step]":
        for controller in beneath:
            if controller and self.host.cgroups.hierarchy(controller) is None:
                raise RequestError(f"--cgroup: this host has no cgroup hierarchy with the controller {controller}")

        def step(each: "Hierarchy", **fields: "Field") -> OpenCgroup:
            inner = [beneath[name] for name in ("", *each.controllers) if name in beneath]
            path = self.path(each)
            # Create may have skipped hierarchies that the caller may not write.
            return OpenCgroup(
                "--cgroup" if inner else self.at,
                "config-linux.md#cgroups-path",
                hierarchy=each.mount,
                path=path + "/" + inner[-1] if inner else path,
                skip_unwritable=self.skip_unwritable,
                optional=0 if inner else self.skip_unwritable,
                **fields,
            )

        steps: list[Step] = [step(each, fd=fd, file="tasks") for each, fd in zip(self.hierarchies, self.registers)]
        if self.unified:
            # The unified hierarchy has no controllers here, so a path without a controller need not exist in it.
            steps.append(
                self._step(
                    OpenCgroup,
                    self.unified,
                    fd=self.register,
                    file="",
                    skip_unwritable=self.skip_unwritable,
                    optional=self.skip_unwritable,
                )
            )
        return steps

    def assert_thawed(self) -> "list[Step]":
        return self._assert_thawed(PAUSED)

    def _assert_thawed(self, refusal: str) -> "list[Step]":
        freezer = self.host.cgroups.hierarchy("freezer")
        if freezer is None:
            return []
        return [self._step(AssertThawed, freezer, spec="", file="freezer.state", thawed="THAWED", refusal=refusal)]

    def join(self) -> "list[Step]":
        return [JoinCgroup(self.at, "config-linux.md#cgroups-path", fd=fd) for fd in self.registers]

    def signal(self, outlive: bool) -> "list[Step]":
        # Every hierarchy has the same processes.
        chosen = self._cgroup_of_all()
        return [self._step(SignalCgroup, chosen, spec="runtime.md#kill", outlive=int(outlive))] if chosen else []

    def thaw(self) -> "list[Step]":
        # A frozen process cannot be killed.
        freezer = self.host.cgroups.hierarchy("freezer")
        if freezer is None:
            return []
        return [self._step(ThawCgroup, freezer, spec="runtime.md#delete")]

    def pause(self) -> "list[Step]":
        return self._freezer(FreezeCgroup, "FROZEN", undo="THAWED")

    def resume(self) -> "list[Step]":
        return self._freezer(WriteCgroup, "THAWED")

    def _freezer(self, kind: "type[Step]", value: str, **more: str) -> "list[Step]":
        freezer = self.host.cgroups.hierarchy("freezer")
        return [self._step(kind, freezer, spec="", file="freezer.state", value=value, **more)] if freezer else []

    def facts(self) -> "dict[str, AnyText]":
        find = self.host.cgroups.hierarchy
        freezer, memory, cpu, pids = find("freezer"), find("memory"), find("cpu"), find("pids")
        found: dict[str, AnyText] = {}
        if freezer:
            # This file tells whether this cgroup itself is frozen. A frozen parent does not make the container paused.
            found |= self._files("freezer", freezer, paused_file="freezer.self_freezing")
        if memory:
            found |= self._files(
                "memory",
                memory,
                oom_file="memory.oom_control",
                oom_key="oom_kill",
                peak_file="memory.max_usage_in_bytes",
            )
        if cpu:
            found |= self._files("cpu", cpu, cpu_file="cpu.stat")
        if pids:
            found |= self._files("pids", pids, pids_file="pids.events")
        return found

    def delete(self) -> "list[Step]":
        first = self._cgroup_of_all()
        return [
            self._step(RemoveCgroup, each, spec="runtime.md#delete")
            for each in sorted(self.all, key=lambda each: each is not first)
        ]

    def renew(self) -> "list[Step]":
        return [
            self._step(RemoveCgroup, each, spec="runtime.md#delete")
            for each in self.hierarchies
            if any([name not in KEPT and not name.startswith("name=") for name in each.controllers])
        ]

    def _cgroup_of_all(self) -> "Hierarchy | None":
        find = self.host.cgroups.hierarchy
        # Prefer the freezer, because a kill in its cgroups can thaw them.
        return find("freezer") or find("pids") or next(iter(self.all), None)

    # ---- for the verbs of Python ----

    def directory(self, controller: str | None = None) -> str:
        hierarchy = self.host.cgroups.hierarchy(controller) if controller else self._cgroup_of_all()
        if hierarchy is None:
            raise HostError(
                self.at, f"no cgroup hierarchy has the controller {controller}" if controller else NONE_OF_ITS_OWN
            )
        path: str = bound(self.path(hierarchy))
        return hierarchy.mount + path

    def freezer(self) -> str | None:
        return self.directory("freezer") if self.host.cgroups.hierarchy("freezer") else None

    # ---- limits ----

    def limit(self, resources: "Resources") -> "list[Step]":
        return [*self._devices(resources), *self.settings(resources)]

    def settings(self, resources: "Resources") -> list[WriteCgroup]:
        """The steps of :meth:`limit` without device rules."""
        for path in [text.path for text in resources.unified.values()]:
            raise HostError(path, "a setting of cgroup v2, and this host's controllers are v1")
        return [
            *self._cpuset(resources.cpu),
            *self._memory(resources.memory),
            *self._cpu(resources.cpu),
            *self._pids(resources.pids),
            *self._block_io(resources.block_io),
            *self._hugepages(resources.hugepage_limits),
            *self._network(resources.network),
            *self._rdma(resources.rdma),
        ]

    def _hierarchy(self, controller: str, at: str) -> "Hierarchy":
        hierarchy = self.host.cgroups.hierarchy(controller)
        if hierarchy is None:
            raise missing(at, controller)
        return hierarchy

    def _memory(self, memory: "Memory") -> list[WriteCgroup]:
        # These values are read to check their types, and have no effect: memory is always accounted hierarchically
        # (Linux 5.11), and the kernel always refuses a limit below the use.
        _ = memory.use_hierarchy, memory.check_before_update
        limit = self._numbers("memory", "memory", (LIMIT, memory.limit))
        # The limit on memory and swap must be at least the limit on memory, after each write.
        swap = self._numbers("memory", "memory", (SWAP, memory.swap), usage=LIMIT)
        first = memory.swap is not None and memory.swap.equals(-1)
        steps = [
            *(swap + limit if first else limit + swap),
            *self._numbers(
                "memory",
                "memory",
                ("memory.kmem.limit_in_bytes", memory.kernel),
                ("memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp),
                ("memory.soft_limit_in_bytes", memory.reservation),
            ),
        ]
        if memory.disable_oom_killer:
            steps.append(self._write("memory", "memory.oom_control", "1", memory.at("disableOOMKiller"), "memory"))
        swappiness = memory.swappiness
        if swappiness is not None and not swappiness.equals(UNSET):
            swappiness.checked(0, 100)
            steps.append(self._write("memory", "memory.swappiness", swappiness, swappiness.path, "memory"))
        return steps

    def _cpu(self, cpu: "Cpu") -> list[WriteCgroup]:
        quota, period = bandwidth(cpu)
        steps = self._numbers(
            "cpu",
            "cpu",
            ("cpu.shares", shares(cpu)),
            ("cpu.cfs_period_us", period),
            ("cpu.cfs_quota_us", quota),
            ("cpu.cfs_burst_us", cpu.burst),
            ("cpu.rt_period_us", cpu.realtime_period),
            ("cpu.rt_runtime_us", cpu.realtime_runtime),
        )
        if cpu.idle is not None:
            steps.append(self._write("cpu", "cpu.idle", cpu.idle, cpu.idle.path, "cpu"))
        return steps

    # ---- devices ----

    def _devices(self, resources: "Resources") -> list[WriteCgroup]:
        given = rules(resources.devices)
        if self.host.in_user_namespace:
            return []  # only the initial user namespace may write device rules; device nodes do not work in others
        if self.host.cgroups.hierarchy("devices") is None:
            # This is an error even if the config has no rules: the container could open every device.
            if (self.hierarchies or given) and not self.skip_unwritable and not allow_everything(given):
                raise missing(resources.at("devices"), "devices")
            return []
        steps = [step for rule in given for step in self._configured_rule(rule)]
        if not steps or (steps[0].file, steps[0].value) != ("devices.deny", "a"):
            steps.insert(0, self._device_rule("deny", "a", "default devices"))
        return [*steps, self._device_rule("allow", "\n".join(ALLOWED), "default devices")]

    def _device_rule(self, verb: str, value: "AnyText", at: str) -> WriteCgroup:
        return self._write(
            "devices", f"devices.{verb}", value, at, "allowed-device-list", skip_unwritable=self.skip_unwritable
        )

    def _configured_rule(self, rule: "Rule") -> list[WriteCgroup]:
        verb = "allow" if rule.allow else "deny"
        if rule.is_whole:
            return [self._device_rule(verb, "a", rule.at)]
        # The kernel reads "a" as everything, and ignores the rest of the line.
        numbers = _number(rule.major) + ":" + _number(rule.minor)
        return [self._device_rule(verb, f"{kind} " + numbers + f" {rule.access}", rule.at) for kind in rule.kinds]

    # ---- the rarer controllers ----

    def _block_io(self, block_io: "BlockIo") -> list[WriteCgroup]:
        def write(file: str, value: "AnyText | Number", at: str) -> WriteCgroup:
            return self._write("blkio", file, value, at, "block-io")

        weight = block_io.weight
        steps: list[WriteCgroup] = []
        if weight is not None and not weight.equals(0):
            steps.append(write(self._blkio("weight"), weight, weight.path))
        steps += self._numbers("blkio", "block-io", ("blkio.leaf_weight", block_io.leaf_weight))
        for device in block_io.weight_device:
            if device.weight is None and device.leaf_weight is None:
                raise ConfigError(device.path, "neither weight nor leafWeight", "one of them")
            for file, number in (
                (self._blkio("weight_device"), device.weight),
                ("blkio.leaf_weight_device", device.leaf_weight),
            ):
                if number is not None:
                    steps.append(write(file, device.major + ":" + device.minor + " " + number, number.path))
        for name, file in THROTTLES.items():
            steps += [
                write(
                    f"blkio.throttle.{file}_device", device.major + ":" + device.minor + " " + device.rate, device.path
                )
                for device in getattr(block_io, name)
            ]
        return steps

    def _blkio(self, file: str) -> str:
        """The file of a weight: CFQ's if the kernel still has it, otherwise BFQ's."""
        return f"blkio.{file}" if self._has("blkio", f"blkio.{file}") else f"blkio.bfq.{file}"

    def _has(self, controller: str, file: str) -> bool:
        hierarchy = self.host.cgroups.hierarchy(controller)
        return hierarchy is not None and self.host.has_file(f"{hierarchy.mount}/{file}")

    def _hugepages(self, limits: "list[HugepageLimit]") -> list[WriteCgroup]:
        steps = []
        for each in limits:
            size = page_size(each)
            used, reserved = f"hugetlb.{size}.limit_in_bytes", f"hugetlb.{size}.rsvd.limit_in_bytes"
            steps.append(self._write("hugetlb", used, each.limit, each.path, "huge-page-limits"))
            if not self._has("hugetlb", used):
                raise HostError(each.page_size.path, f"this kernel has no huge pages of {size}")
            # Limit reservations as well, if the kernel counts them. As in runc both are written: a page that was used
            # without a reservation counts against either.
            if self._has("hugetlb", reserved):
                steps.append(self._write("hugetlb", reserved, each.limit, each.path, "huge-page-limits"))
        return steps

    def _network(self, network: "Network") -> list[WriteCgroup]:
        steps = self._numbers("net_cls", "network", ("net_cls.classid", network.class_id))
        return steps + [
            self._write("net_prio", "net_prio.ifpriomap", each.name + " " + each.priority, each.path, "network")
            for each in network.priorities
        ]


def _number(number: "Number | int | None") -> Template:
    """A device number in a rule."""
    return Template("*" if number is None else str(number) if isinstance(number, int) else number)
