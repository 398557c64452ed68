"""Cgroups v1, and the hybrid layout: v1 hierarchies beside a unified one that holds no controllers.

config-linux.md, "Control groups"; the kernel's Documentation/admin-guide/cgroup-v1. Where the spec leaves a
choice we do as runc's cgroupfs driver: paths, which zeros mean "leave it", the device rules around the config's.
"""

from ..errors import ConfigError, HostError
from ..model.config import ANY
from ..model.text import Template, quote
from ..plan.steps import JoinCgroup, MakeCgroup, OpenCgroup, RemoveCgroup, SignalCgroup, ThawCgroup, WriteCgroup
from . import Driver, is_rootless

ALL = "*"
"""Every number, in a device rule as the kernel takes it."""

INHERITED = {"cpuset": ("cpuset.cpus", "cpuset.mems")}
"""Files that a new cgroup must have from its parent before it takes a process."""

UNSET = (1 << 64) - 1
"""-1 as engines write it into the unsigned ``swappiness``."""

ALLOWED = ("c *:* m", "b *:* m", "c 1:3 rwm", "c 1:8 rwm", "c 1:7 rwm", "c 5:0 rwm", "c 1:5 rwm", "c 1:9 rwm",
           "c 136:* rwm", "c 5:2 rwm", "c 10:200 rwm")
"""Device rules after the config's own: mknod of any device, the default devices, pseudoterminals, and tun, which containers
with CAP_NET_ADMIN make themselves (runc took it out once and had to bring it back)."""

THROTTLES = {"throttle_read_bps": "read_bps", "throttle_write_bps": "write_bps", "throttle_read_iops": "read_iops",
             "throttle_write_iops": "write_iops"}
"""Attribute of BlockIo -> part of the file's name."""


class V1(Driver):
    """The driver for one container.

    An absolute ``linux.cgroupsPath`` lies beneath each hierarchy's mount, a relative one (also one of the form
    ``slice:prefix:name``) beneath the caller's own cgroup of the hierarchy; without one the path is the id.
    """

    def __init__(self, linux, request, host, plan):
        super().__init__(host)
        self.tolerate = int(is_rootless(request, host))
        self.hierarchies = sorted(host.cgroups.hierarchies, key=lambda each: "freezer" in each.controllers)
        self.unified = host.cgroups.unified
        path = linux.cgroups_path
        self.at = "linux.cgroupsPath"
        if path is None or path.is_empty():
            path, self.at = request.text("id", plan.trace), "$id"
        elif path.goes_up():
            raise ConfigError(path.path, quote(path.bound()), "a path without ..")
        elif path.is_path("/"):
            raise ConfigError(path.path, quote(path.bound()), "a cgroup of the container's own")
        self.tail = path
        self.is_relative = self.at == "$id" or not path.is_absolute()
        self.own_paths = request.own_cgroups
        self._paths = {each.mount: self._path(each) for each in self._all()}
        self.registers = [plan.register() for _ in self.hierarchies]
        if self.unified:
            self.register = plan.register()

    def path(self, hierarchy):
        return self._paths[hierarchy.mount]

    def _path(self, hierarchy):
        if not self.is_relative:
            return self.tail
        return self._own(hierarchy).rstrip("/") + "/" + self.tail

    def _own(self, hierarchy):
        if self.own_paths is None:
            return hierarchy.own
        return self.own_paths.get(hierarchy.mount, hierarchy.own)

    def own(self):
        return {each.mount: self._own(each) for each in self._all()} if self.is_relative else {}

    def _all(self):
        return [*self.hierarchies, *([self.unified] if self.unified else [])]

    def _step(self, kind, hierarchy, at=None, spec="config-linux.md#cgroups-path", **fields):
        return kind(at or self.at, spec, hierarchy=hierarchy.mount, path=self.path(hierarchy), **fields)

    # ---- making, entering, leaving ----

    def make(self):
        return [self._step(MakeCgroup, each, tolerate=self.tolerate,
                           inherit=tuple([file for name in each.controllers for file in INHERITED.get(name, ())]))
                for each in self._all()]

    def open(self):
        steps = [self._step(OpenCgroup, each, fd=fd, file="tasks", tolerate=self.tolerate)
                 for each, fd in zip(self.hierarchies, self.registers)]
        if self.unified:
            steps.append(self._step(OpenCgroup, self.unified, fd=self.register, file="", tolerate=self.tolerate))
        return steps

    def join(self):
        return [JoinCgroup(self.at, "config-linux.md#cgroups-path", fd=fd) for fd in self.registers]

    def signal(self):
        # Every hierarchy holds the same processes.
        chosen = self._cgroup_of_all()
        return [self._step(SignalCgroup, chosen, spec="runtime.md#kill")] if chosen else []

    def thaw(self):
        # A frozen process cannot be killed.
        freezer = self.host.cgroups.hierarchy("freezer")
        if freezer is None:
            return []
        return [self._step(ThawCgroup, freezer, spec="runtime.md#delete", file="freezer.state", value="THAWED")]

    def delete(self):
        first = self._cgroup_of_all()
        return [self._step(RemoveCgroup, each, spec="runtime.md#delete")
                for each in sorted(self._all(), key=lambda each: each is not first)]

    def _cgroup_of_all(self):
        find = self.host.cgroups.hierarchy
        return find("pids") or find("freezer") or next(iter(self._all()), None)

    # ---- limits ----

    def limit(self, resources):
        for path in [text.path for text in resources.unified.values()]:
            raise HostError(path, "a setting of cgroup v2, and this host's controllers are v1")
        return [*self._cpuset(resources.cpu), *self._devices(resources), *self._memory(resources.memory),
                *self._cpu(resources.cpu), *self._pids(resources.pids), *self._block_io(resources.block_io),
                *self._hugepages(resources.hugepage_limits), *self._network(resources.network),
                *self._rdma(resources.rdma)]

    def _write(self, controller, file, value, at, spec):
        hierarchy = self.host.cgroups.hierarchy(controller)
        if hierarchy is None:
            raise _missing(at, controller)
        return self._step(WriteCgroup, hierarchy, at, f"config-linux.md#{spec}", file=file, tolerate=self.tolerate,
                          value=value if isinstance(value, (str, Template)) else Template(value))

    def _numbers(self, controller, spec, *rows):
        """Writes of numbers, each a pair of file and Number; as in runc neither ``None`` nor 0 is written."""
        return [self._write(controller, file, number, number.path, spec)
                for file, number in rows if number is not None and not number.equals(0)]

    def _cpuset(self, cpu):
        return [self._write("cpuset", file, text, text.path, "cpu")
                for file, text in (("cpuset.cpus", cpu.cpus), ("cpuset.mems", cpu.mems))
                if text is not None and not text.is_empty()]

    def _memory(self, memory):
        # Every value is looked at, and so checked, whether it is written or not; memory is always accounted by
        # hierarchy (Linux 5.11), and a lower limit than what is in use is always refused.
        _ = memory.use_hierarchy, memory.check_before_update
        limits = ("memory.limit_in_bytes", memory.limit), ("memory.memsw.limit_in_bytes", memory.swap)
        # The kernel wants memory+swap at least as high as memory after each write.
        if memory.swap is not None and memory.swap.equals(-1):
            limits = limits[::-1]
        steps = self._numbers("memory", "memory", *limits, ("memory.kmem.limit_in_bytes", memory.kernel),
                              ("memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp),
                              ("memory.soft_limit_in_bytes", memory.reservation))
        if memory.disable_oom_killer:
            steps.append(self._write("memory", "memory.oom_control", "1", memory.at("disableOOMKiller"), "memory"))
        swappiness = memory.swappiness
        if swappiness is not None and not swappiness.equals(UNSET):
            swappiness.checked(0, 100)
            steps.append(self._write("memory", "memory.swappiness", swappiness, swappiness.path, "memory"))
        return steps

    def _cpu(self, cpu):
        shares = cpu.shares
        if shares is not None and not shares.equals(0):
            shares.checked(2, 1 << 18)  # what lies outside the kernel would change in silence
        steps = self._numbers("cpu", "cpu", ("cpu.shares", shares), ("cpu.cfs_period_us", cpu.period),
                              ("cpu.cfs_quota_us", cpu.quota), ("cpu.cfs_burst_us", cpu.burst),
                              ("cpu.rt_period_us", cpu.realtime_period), ("cpu.rt_runtime_us", cpu.realtime_runtime))
        if cpu.idle is not None:
            steps.append(self._write("cpu", "cpu.idle", cpu.idle, cpu.idle.path, "cpu"))
        return steps

    def _pids(self, pids):
        limit = pids.limit
        if limit is None:
            return []
        # 0 is a limit like any other.
        value = "max" if limit.equals(-1) else limit.checked(0, (1 << 63) - 1, "-1 (no limit) or more")
        return [self._write("pids", "pids.max", value, limit.path, "pids")]

    # ---- devices ----

    def _devices(self, resources):
        if self.host.cgroups.hierarchy("devices") is None:
            if resources.devices and not self.tolerate:
                raise _missing(resources.at("devices"), "devices")
            return []
        steps = [step for rule in resources.devices for step in self._configured_rule(rule)]
        if self.host.in_user_namespace:
            return []  # the kernel takes device rules from the initial user namespace alone; nodes do not work beyond it
        if not steps or (steps[0].file, steps[0].value) != ("devices.deny", "a"):
            steps.insert(0, self._device_rule("deny", "a", "default devices"))
        return steps + [self._device_rule("allow", text, "default devices") for text in ALLOWED]

    def _device_rule(self, verb, value, at):
        return self._write("devices", f"devices.{verb}", value, at, "allowed-device-list")

    def _configured_rule(self, rule):
        verb = "allow" if rule.allow else "deny"
        kind = "a" if rule.type is None or rule.type.is_empty() else rule.type.read()
        if kind not in ("a", "b", "c"):
            raise ConfigError(rule.type.path, quote(kind), '"a", "b" or "c"')
        access = "" if rule.access is None else rule.access.read()
        if not access or not set("rwm").issuperset(access):
            raise ConfigError(rule.at("access"), quote(access), 'some of "r", "w" and "m"')
        major, minor = _number(rule.major), _number(rule.minor)
        if kind == "a" and major is minor is ALL and set(access) == set("rwm"):
            return [self._device_rule(verb, "a", rule.path)]
        # The kernel takes "a" for everything, whatever stands after it.
        return [self._device_rule(verb, f"{each} " + Template(major) + ":" + minor + f" {access}", rule.path)
                for each in ("b", "c") if kind in ("a", each)]

    # ---- the rarer controllers ----

    def _block_io(self, block_io):
        def write(file, value, at):
            return self._write("blkio", file, value, at, "block-io")

        weight, steps = block_io.weight, []
        if weight is not None and not weight.equals(0):
            steps.append(write(self._blkio("weight"), weight, weight.path))
        steps += self._numbers("blkio", "block-io", ("blkio.leaf_weight", block_io.leaf_weight))
        for device in block_io.weight_device:
            if device.weight is None and device.leaf_weight is None:
                raise ConfigError(device.path, "neither weight nor leafWeight", "one of them")
            for file, number in ((self._blkio("weight_device"), device.weight),
                                 ("blkio.leaf_weight_device", device.leaf_weight)):
                if number is not None:
                    steps.append(write(file, device.major + ":" + device.minor + " " + number, number.path))
        for name, file in THROTTLES.items():
            steps += [write(f"blkio.throttle.{file}_device",
                            device.major + ":" + device.minor + " " + device.rate, device.path)
                      for device in getattr(block_io, name)]
        return steps

    def _blkio(self, file):
        """The file of a weight: CFQ's where a kernel still has it, else BFQ's."""
        return f"blkio.{file}" if self._has("blkio", f"blkio.{file}") else f"blkio.bfq.{file}"

    def _has(self, controller, file):
        hierarchy = self.host.cgroups.hierarchy(controller)
        return hierarchy is not None and self.host.has_file(f"{hierarchy.mount}/{file}")

    def _hugepages(self, limits):
        steps = []
        for each in limits:
            size = each.page_size.read()
            if not (size[:-2].isascii() and size[:-2].isdigit() and size[-2:] in ("KB", "MB", "GB")):
                raise ConfigError(each.page_size.path, quote(size), 'a page size like "2MB"')
            used, reserved = f"hugetlb.{size}.limit_in_bytes", f"hugetlb.{size}.rsvd.limit_in_bytes"
            steps.append(self._write("hugetlb", used, each.limit, each.path, "huge-page-limits"))
            if not self._has("hugetlb", used):
                raise HostError(each.page_size.path, f"this kernel has no huge pages of {size}")
            # Reservations too where the kernel accounts for them; as runc, both, since what is used without having been
            # reserved is held back by either.
            if self._has("hugetlb", reserved):
                steps.append(self._write("hugetlb", reserved, each.limit, each.path, "huge-page-limits"))
        return steps

    def _network(self, network):
        steps = self._numbers("net_cls", "network", ("net_cls.classid", network.class_id))
        return steps + [self._write("net_prio", "net_prio.ifpriomap", each.name + " " + each.priority, each.path,
                                    "network") for each in network.priorities]

    def _rdma(self, devices):
        steps = []
        for name, device in devices.items():
            limits = Template(name)
            for key, number in (("hca_handle", device.hca_handles), ("hca_object", device.hca_objects)):
                if number is not None:
                    limits = limits + f" {key}=" + number
            if len(limits.pieces) == 1:
                raise ConfigError(device.path, "neither hcaHandles nor hcaObjects", "one of them")
            steps.append(self._write("rdma", "rdma.max", limits, device.path, "rdma"))
        return steps


def _missing(at, controller):
    return HostError(at, f"this host has no cgroup hierarchy with the controller {controller}")


def _number(number):
    """A device number in a rule."""
    return ALL if number is None or number.equals(ANY) else number
