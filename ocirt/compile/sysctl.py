"""Kernel parameters: config-linux.md, "Sysctl". The runtime sets only parameters of namespaces that the container does
not share with the runtime: any other parameter would change the host.
"""

from ..errors import ConfigError
from ..model.json import member
from ..model.text import quote
from ..plan.steps import AssertNotHostNamespace, WriteProc
from .namespaces import IPC, NETWORK, USER, UTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Config
    from ..plan.steps import Step
    from .namespaces import Namespaces

IPC_KEYS = frozenset(
    (
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    )
)
OWNERS = {IPC: "ipc", NETWORK: "network", UTS: "uts", USER: "user"}
FILES = {IPC: "ipc", NETWORK: "net", UTS: "uts", USER: "user"}
"""Names under /proc/self/ns."""


def guard(config: "Config", namespaces: "Namespaces") -> "list[Step]":
    """Steps of the host, after it has opened the namespaces to join: a namespace whose parameters or names the config
    sets must not be the runtime's own, reached by its path.
    """
    asked: dict[int | None, str] = {}
    for key in config.linux.sysctl:
        asked.setdefault(_owner(".".join(parts_of(key))), member("linux.sysctl", key))
    for name in ("hostname", "domainname"):
        value = getattr(config, name)
        if value is not None and not value.is_empty():
            asked.setdefault(UTS, name)
    return [
        AssertNotHostNamespace(at, "config-linux.md#namespaces", fd=namespaces.registers[kind], file=FILES[kind])
        for kind, at in asked.items()
        if kind in namespaces.registers
    ]


def write(config: "Config", namespaces: "Namespaces") -> "list[Step]":
    """Steps of init that write ``linux.sysctl``.

    :param namespaces: the container's :class:`~ocirt.compile.namespaces.Namespaces`.
    :raises ConfigError: a key contradicts hostname or domainname, names no parameter, or belongs to the host.
    """
    steps: list[Step] = []
    for key, value in config.linux.sysctl.items():
        at = member("linux.sysctl", key)
        parts = parts_of(key)
        owner = _owner(".".join(parts))
        if "" in parts or ".." in parts or owner is None:
            raise ConfigError(at, "a parameter of no namespace", "one of the ipc, network, uts or user namespace")
        if not namespaces.has(owner):
            raise ConfigError(at, "a parameter of the host", f"nothing without a namespace of type {OWNERS[owner]}")
        if parts == ["kernel", "hostname"]:
            raise ConfigError(at, "the hostname", "the property hostname instead")
        name = config.domainname if parts == ["kernel", "domainname"] else None
        if name is not None and not name.is_empty() and name.read() != value.read():
            raise ConfigError(at, quote(value.bound()), f"{quote(name.bound())}, as the property domainname says")
        steps.append(WriteProc(at, "config-linux.md#sysctl", file="sys/" + "/".join(parts), value=value))
    return steps


def parts_of(key: str) -> list[str]:
    """The parts of a key. If ``.`` comes first in it, ``.`` separates the parts and ``/`` belongs to names, and vice
    versa, sysctl(8): ``net.ipv4.conf.eth0/1.forwarding``.
    """
    first = min([key.find(sign) % (len(key) + 1) for sign in "./"])
    if key[first : first + 1] == "/":
        return key.split("/")
    return [part.replace("/", ".") for part in key.split(".")]


def _owner(key: str) -> int | None:
    """The kind of namespace that the parameter ``key`` belongs to, or ``None``."""
    if key in IPC_KEYS or key.startswith("fs.mqueue."):
        return IPC
    if key.startswith("net."):
        return NETWORK
    if key.startswith("user."):
        return USER
    return UTS if key in ("kernel.hostname", "kernel.domainname") else None
