"""Devices: config-linux.md, "Devices" and "Default Devices"."""

from ..errors import ConfigError
from ..model.text import Table, clean, quote
from ..plan.steps import NONE, MakeNode, MakeSymlink, OpenMount
from .namespaces import USER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Device, IdMapping, Linux
    from ..model.text import AnyNumber, AnyText, Number
    from ..plan import Plan
    from ..plan.steps import Step
    from .namespaces import Namespaces

FIFO, CHARACTER, BLOCK = 0o010000, 0o020000, 0o060000
"""S_IF*, inode(7)."""
KINDS = {"c": CHARACTER, "u": CHARACTER, "b": BLOCK, "p": FIFO}
DEFAULT_MODE = 0o666

DEFAULT = {
    "/dev/null": (1, 3),
    "/dev/zero": (1, 5),
    "/dev/full": (1, 7),
    "/dev/random": (1, 8),
    "/dev/urandom": (1, 9),
    "/dev/tty": (5, 0),
}
DEFAULT_PATHS = Table("default devices", DEFAULT)

LINKS = (
    # target, path, the file that must exist
    ("/proc/self/fd", "/dev/fd", ""),
    ("/proc/self/fd/0", "/dev/stdin", ""),
    ("/proc/self/fd/1", "/dev/stdout", ""),
    ("/proc/self/fd/2", "/dev/stderr", ""),
    ("/proc/kcore", "/dev/core", "/proc/kcore"),
)

SPEC, DEFAULT_SPEC = "config-linux.md#devices", "config-linux.md#default-devices"
AT = "default devices"


class Outside:
    """The nodes of ``linux.devices`` that the runtime makes, because init may not in a user namespace. They have the
    mode and owner from the config, and the host need not have such devices. Init makes a node whose owner the user
    namespace does not map, and all nodes if the user namespace is joined, because the runtime does not know its id
    maps.

    :ivar steps: steps of the host, before it starts init.
    :ivar registers: JSON path of the device, or path of a default device -> register with the mount of its node.
    """

    def __init__(self, linux: "Linux", namespaces: "Namespaces", plan: "Plan") -> None:
        self.plan = plan
        self.steps: list[Step] = []
        self.registers: dict[str, int] = {}
        if not namespaces.hides_paths or not namespaces.new & USER or namespaces.host.in_user_namespace:
            return
        for device in linux.devices:
            node = _node(device, bind=False)
            uid, gid = [
                _on_host(id, mappings)
                for id, mappings in ((node.uid, linux.uid_mappings), (node.gid, linux.gid_mappings))
            ]
            if node.kind != FIFO and uid is not None and gid is not None:
                register = self.registers[device.path] = plan.register()
                self.steps.append(
                    MakeNode(
                        node.at,
                        SPEC,
                        path=node.path,
                        kind=node.kind,
                        major=node.major,
                        minor=node.minor,
                        mode=node.mode,
                        uid=uid,
                        gid=gid,
                        outside=register,
                    )
                )

    def open_others(self, linux: "Linux", propagation: int) -> None:
        """Let the runtime open the other nodes on the host, because init cannot reach them."""
        replaced = _replaced(linux.devices)
        paths: list[tuple[str, str, AnyText]] = [(path, AT, path) for path in DEFAULT if path not in replaced]
        paths += [(device.path, device.path, device.node) for device in linux.devices if device.type.read() != "p"]
        for key, at, path in paths:
            if key not in self.registers:
                register = self.registers[key] = self.plan.register()
                self.steps.append(OpenMount(at, SPEC, fd=register, source=path, propagation=propagation))


def _replaced(devices: "list[Device]") -> list[str]:
    """The default devices that ``linux.devices`` replaces."""
    return [clean(device.node.read()) for device in devices if device.node.is_path(DEFAULT_PATHS)]


def _on_host(id: "AnyNumber", mappings: "list[IdMapping]") -> int | None:
    """The id on the host that the container's ``id`` is mapped to; ``None`` if it is not mapped."""
    for each in mappings:
        offset = (id if isinstance(id, int) else id.read()) - each.container_id.read()
        if 0 <= offset < each.size.read():
            return each.host_id.read() + offset
    return None


def make(devices: "list[Device]", bind: bool, outside: Outside | None = None) -> "list[Step]":
    """Steps of init that make the default devices, those of ``linux.devices``, and the usual links in /dev.

    :param devices: views of ``linux.devices``; one at the path of a default device replaces it.
    :param bind: does init bind the host's nodes, because mknod(2) is not allowed in a user namespace?
    :param outside: the nodes that the runtime has made.
    :raises ConfigError: a device breaks the specification's rules.
    """
    replaced = _replaced(devices)
    registers = outside.registers if outside else {}
    steps: list[Step] = [
        MakeNode(
            AT,
            DEFAULT_SPEC,
            path=path,
            kind=CHARACTER,
            major=major,
            minor=minor,
            mode=DEFAULT_MODE,
            bind=int(bind),
            outside=registers.get(path, NONE),
        )
        for path, (major, minor) in DEFAULT.items()
        if path not in replaced
    ]
    steps += [_node(device, bind, registers.get(device.path, NONE)) for device in devices]
    steps.append(MakeSymlink(AT, DEFAULT_SPEC, to="pts/ptmx", path="/dev/ptmx", replace=1))
    return steps + [MakeSymlink(AT, DEFAULT_SPEC, to=to, path=path, needs=needs) for to, path, needs in LINKS]


def _node(device: "Device", bind: bool, outside: int = NONE) -> MakeNode:
    kind = KINDS.get(device.type.read())
    if kind is None:
        raise ConfigError(device.type.path, quote(device.type.bound()), '"c", "b", "u" or "p"')
    major, minor = [
        _number(device, name, number, kind) for name, number in (("major", device.major), ("minor", device.minor))
    ]
    # Engines give the whole st_mode. Its type bits are no permissions.
    mode = DEFAULT_MODE if device.file_mode is None else device.file_mode.read() & 0o7777
    uid, gid = [0 if number is None else number for number in (device.uid, device.gid)]
    return MakeNode(
        device.path,
        SPEC,
        path=device.node.checked(absolute=True),
        kind=kind,
        major=major,
        minor=minor,
        mode=mode,
        uid=uid,
        gid=gid,
        bind=int(bind and kind != FIFO),
        outside=outside,
    )


def _number(device: "Device", name: str, number: "Number | None", kind: int) -> "AnyNumber":
    if kind == FIFO:
        return 0
    if number is None:
        # config-linux.md requires the number, the schema does not. The parsers of runc (Go) and crun (libocispec) use
        # 0.
        device.trace.doubt(device.at(name), "nothing", "a number", "0 is used")
        return 0
    return number
