"""config.json of runtime-spec 1.3.0 as typed views: what config.md and config-linux.md define for Linux.

Each class is one object of the specification, each attribute one of its properties (:mod:`ocirt.model.view`). Other
properties are ignored, as the specification requires.
"""

from ..errors import ConfigError
from .json import parse as parse_json
from .text import Raw, Text, Trace, quote
from .view import View, arguments, child, children, flag, keyed, keyed_texts, number, numbers, text, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .json import Members

SPEC_VERSION = "1.3.0"
UINT16, UINT32, UINT64 = (0, (1 << 16) - 1), (0, (1 << 32) - 1), (0, (1 << 64) - 1)
INT32, INT64 = (-(1 << 31), (1 << 31) - 1), (-(1 << 63), (1 << 63) - 1)
ID = (0, (1 << 32) - 2)
"""Ids of users and groups: setresuid(2) reads the largest number of 32 bits as "do not change", and root would stay
root."""
MAJOR, MINOR = (0, (1 << 12) - 1), (0, (1 << 20) - 1)
"""Device numbers, makedev(3)."""
ANY = -1
"""In a device rule, engines write -1 for every number."""


# ---- config.md ----


class Root(View):
    """config.md, "Root"."""

    __slots__ = ()
    location = text(name="path", required=True)
    readonly = flag()


class IdMapping(View):
    """config-linux.md, "User namespace mappings"."""

    __slots__ = ()
    container_id = number(UINT32, "containerID", required=True)
    host_id = number(UINT32, "hostID", required=True)
    size = number(UINT32, required=True)


class Mount(View):
    """config.md, "Mounts"."""

    __slots__ = ()
    destination = text(required=True)
    source = text()
    type = text()
    options = texts()
    uid_mappings = children(IdMapping, "uidMappings")
    gid_mappings = children(IdMapping, "gidMappings")


class ConsoleSize(View):
    __slots__ = ()
    height = number(UINT16, required=True)
    width = number(UINT16, required=True)


class User(View):
    """config.md, "User"."""

    __slots__ = ()
    uid = number(ID)
    gid = number(ID)
    umask = number(UINT32)
    additional_gids = numbers(ID, "additionalGids")


class Rlimit(View):
    __slots__ = ()
    type = text(required=True)
    soft = number(UINT64, required=True)
    hard = number(UINT64, required=True)


class Capabilities(View):
    __slots__ = ()
    bounding = texts()
    effective = texts()
    inheritable = texts()
    permitted = texts()
    ambient = texts()


class Scheduler(View):
    """config.md, "Linux Process"."""

    __slots__ = ()
    policy = text(required=True)
    nice = number(INT32)
    priority = number(INT32)
    flags = texts()
    runtime = number(UINT64)
    deadline = number(UINT64)
    period = number(UINT64)


class IoPriority(View):
    """config.md, "Linux Process"."""

    __slots__ = ()
    kind = text(name="class", required=True)
    priority = number((0, 7))


class ExecCpuAffinity(View):
    """config.md, "Linux Process"."""

    __slots__ = ()
    initial = text()
    final = text()


class Personality(View):
    """config-linux.md, "Personality"."""

    __slots__ = ()
    domain = text(required=True)
    flags = texts()


class Process(View):
    """config.md, "Process"."""

    __slots__ = ()
    terminal = flag()
    console_size = child(ConsoleSize, "consoleSize")
    cwd = text(required=True)
    env = arguments()
    args = arguments(required=True)
    rlimits = children(Rlimit)
    capabilities = child(Capabilities)
    no_new_privileges = flag(name="noNewPrivileges")
    oom_score_adj = number((-1000, 1000), "oomScoreAdj")
    scheduler = child(Scheduler)
    io_priority = child(IoPriority, "ioPriority")
    exec_cpu_affinity = child(ExecCpuAffinity, "execCPUAffinity")
    apparmor_profile = text(name="apparmorProfile")
    selinux_label = text(name="selinuxLabel")
    user = child(User)


class Hook(View):
    """config.md, "POSIX-platform Hooks"."""

    __slots__ = ()
    program = text(name="path", required=True)
    args = arguments()
    env = arguments()
    timeout = number(INT32)


class Hooks(View):
    __slots__ = ()
    prestart = children(Hook)
    create_runtime = children(Hook, "createRuntime")
    create_container = children(Hook, "createContainer")
    start_container = children(Hook, "startContainer")
    poststart = children(Hook)
    poststop = children(Hook)


# ---- config-linux.md ----


class Namespace(View):
    """config-linux.md, "Namespaces"."""

    __slots__ = ()
    type = text(required=True)
    file = text(name="path")


class TimeOffset(View):
    """config-linux.md, "Offset for Time Namespace"."""

    __slots__ = ()
    secs = number(INT64)
    nanosecs = number((0, 999_999_999))


class Device(View):
    """config-linux.md, "Devices"."""

    __slots__ = ()
    type = text(required=True)
    node = text(name="path", required=True)
    major = number(MAJOR)
    minor = number(MINOR)
    file_mode = number(UINT32, "fileMode")
    uid = number(UINT32)
    gid = number(UINT32)


class DeviceRule(View):
    """config-linux.md, "Allowed Device list"."""

    __slots__ = ()
    allow = flag(required=True)
    type = text()
    major = number((ANY, INT32[1]))
    minor = number((ANY, INT32[1]))
    access = text()


class Memory(View):
    __slots__ = ()
    limit = number(INT64)
    reservation = number(INT64)
    swap = number(INT64)
    kernel = number(INT64)
    kernel_tcp = number(INT64, "kernelTCP")
    swappiness = number(UINT64)
    disable_oom_killer = flag(name="disableOOMKiller")
    use_hierarchy = flag(name="useHierarchy")
    check_before_update = flag(name="checkBeforeUpdate")


class Cpu(View):
    __slots__ = ()
    shares = number(UINT64)
    quota = number(INT64)
    burst = number(UINT64)
    period = number(UINT64)
    realtime_runtime = number(INT64, "realtimeRuntime")
    realtime_period = number(UINT64, "realtimePeriod")
    cpus = text()
    mems = text()
    idle = number((0, 1))


class Pids(View):
    __slots__ = ()
    limit = number(INT64)


class WeightDevice(View):
    __slots__ = ()
    major = number(MAJOR, required=True)
    minor = number(MINOR, required=True)
    weight = number(UINT16)
    leaf_weight = number(UINT16, "leafWeight")


class ThrottleDevice(View):
    __slots__ = ()
    major = number(MAJOR, required=True)
    minor = number(MINOR, required=True)
    rate = number(UINT64, required=True)


class BlockIo(View):
    __slots__ = ()
    weight = number(UINT16)
    leaf_weight = number(UINT16, "leafWeight")
    weight_device = children(WeightDevice, "weightDevice")
    throttle_read_bps = children(ThrottleDevice, "throttleReadBpsDevice")
    throttle_write_bps = children(ThrottleDevice, "throttleWriteBpsDevice")
    throttle_read_iops = children(ThrottleDevice, "throttleReadIOPSDevice")
    throttle_write_iops = children(ThrottleDevice, "throttleWriteIOPSDevice")


class HugepageLimit(View):
    __slots__ = ()
    page_size = text(name="pageSize", required=True)
    limit = number(UINT64, required=True)


class Priority(View):
    __slots__ = ()
    name = text(required=True)
    priority = number(UINT32, required=True)


class Network(View):
    __slots__ = ()
    class_id = number(UINT32, "classID")
    priorities = children(Priority)


class Rdma(View):
    __slots__ = ()
    hca_handles = number(UINT32, "hcaHandles")
    hca_objects = number(UINT32, "hcaObjects")


class Resources(View):
    """config-linux.md, "Control groups"."""

    __slots__ = ()
    devices = children(DeviceRule)
    memory = child(Memory)
    cpu = child(Cpu)
    pids = child(Pids)
    block_io = child(BlockIo, "blockIO")
    hugepage_limits = children(HugepageLimit, "hugepageLimits")
    network = child(Network)
    rdma = keyed(Rdma)
    unified = keyed_texts()


class NetDevice(View):
    """config-linux.md, "Network Devices"."""

    __slots__ = ()
    name = text()


class IntelRdt(View):
    """config-linux.md, "IntelRdt"."""

    __slots__ = ()
    clos_id = text(name="closID")
    schemata = texts()
    l3_cache_schema = text(name="l3CacheSchema")
    mem_bw_schema = text(name="memBwSchema")
    enable_monitoring = flag(name="enableMonitoring")


class MemoryPolicy(View):
    """config-linux.md, "Memory policy"."""

    __slots__ = ()
    mode = text(required=True)
    nodes = text()
    flags = texts()


class Linux(View):
    __slots__ = ()
    namespaces = children(Namespace)
    uid_mappings = children(IdMapping, "uidMappings")
    gid_mappings = children(IdMapping, "gidMappings")
    time_offsets = keyed(TimeOffset, "timeOffsets")
    devices = children(Device)
    net_devices = keyed(NetDevice, "netDevices")
    cgroups_path = text(name="cgroupsPath")
    resources = child(Resources)
    sysctl = keyed_texts()
    memory_policy = child(MemoryPolicy, "memoryPolicy")
    intel_rdt = child(IntelRdt, "intelRdt")
    rootfs_propagation = text(name="rootfsPropagation")
    mount_label = text(name="mountLabel")
    personality = child(Personality)
    masked_paths = texts(name="maskedPaths")
    readonly_paths = texts(name="readonlyPaths")


class Config(View):
    """The whole config. ``sources`` are the texts of its top-level properties in the file."""

    __slots__ = ("sources",)
    oci_version = text(name="ociVersion", required=True)
    root = child(Root, required=True)
    mounts = children(Mount)
    process = child(Process)
    hostname = text()
    domainname = text()
    hooks = child(Hooks)
    annotations = keyed_texts()
    linux = child(Linux)

    def __init__(self, members: "Members", sources: dict[str, str]) -> None:
        super().__init__(members, "", Trace())
        self.sources = sources

    def annotation(self, name: str) -> Text | None:
        """The value of the annotation ``name`` as a Text, or ``None``. The shape of a config does not include its
        annotations, so this question becomes a test of the plan.
        """
        value = self.annotations.get(name)
        self.trace.tests["annotations", "has", name] = value is not None
        return value

    def annotations_with(self, prefix: str) -> dict[str, Text]:
        """The annotations whose names begin with ``prefix``, by the rest of the name. The program then holds only for
        configs with exactly these names of that prefix.
        """
        found = {name: value for name, value in self.annotations.items() if name.startswith(prefix)}
        if found:
            self.trace.tests["annotations", "count_prefix", (prefix, str(len(found)))] = True
            self.trace.tests.update({("annotations", "has", name): True for name in found})
        else:
            self.trace.tests["annotations", "has_prefix", prefix] = False
        return {name[len(prefix) :]: value for name, value in found.items()}

    def raw(self, name: str) -> Raw:
        """The property ``name`` as the file has it; the property must exist."""
        return Raw(self.sources[name], name, self.trace)


def parse(data: bytes) -> Config:
    """The config in the bytes ``data``. Access checks the types of its values.

    :raises ConfigError: the bytes are no JSON object, or ``ociVersion`` is no version 1.x (config.md, "Specification
        version").
    """
    config = Config(*parse_json(data))
    check_version(config.oci_version)
    return config


def check_version(version: Text) -> None:
    """Check that this build follows the version ``version`` of the specification: by semver, every 1.x.

    :raises ConfigError: it does not.
    """
    parts = _semver(version.read())
    if parts is None and (parts := _semver(f"{version.bound()}.0")) is not None:
        version.trace.doubt(
            version.path,
            quote(version.bound()),
            f"a semantic version, like {SPEC_VERSION}",
            f"taken as {'.'.join(parts)}",
        )
    if parts is None:
        raise ConfigError(version.path, quote(version.bound()), f"a semantic version, like {SPEC_VERSION}")
    if parts[0] != "1":
        raise ConfigError(version.path, quote(version.bound()), f"a version 1.x: this build follows {SPEC_VERSION}")


def is_before_1_3(version: Text) -> bool:
    """Is the valid version ``version`` before 1.3.0? A pre-release of 1.3.0 is."""
    core, dash, _ = version.read().partition("+")[0].partition("-")
    return (int(core.split(".")[1]), not dash or not core.endswith(".0")) < (3, True)


def _semver(text: str) -> list[str] | None:
    """Major, minor and patch of ``text``; ``None`` if it is no semantic version 2.0.0."""
    core, plus, build = text.partition("+")
    core, dash, before = core.partition("-")
    numbers = core.split(".")
    good = len(numbers) == 3 and all(map(_is_number, numbers)) and (not plus or all(map(_is_word, build.split("."))))
    good = good and (
        not dash or all(_is_word(word) and (not word.isdigit() or _is_number(word)) for word in before.split("."))
    )
    return numbers if good else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")


def _is_word(text: str) -> bool:
    return text.isascii() and text.replace("-", "a").isalnum()
