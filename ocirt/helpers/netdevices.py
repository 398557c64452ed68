"""Move network devices of the host into a container (config-linux.md, "Network Devices").

A device keeps its attributes when it moves, except its addresses and its state. The helper therefore sets the permanent
addresses of global scope again and brings the device up. It moves all devices or none, and undo restores them
completely.
"""

from os import dup

from ..confine import outlive
from ..errors import OcirtError
from ..wordings import words_of
from . import need

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Record: TypeAlias = dict[str, Any]
    """A device that has been moved, see :func:`run`."""
    Netlink: TypeAlias = Any
    """Pyroute2, its sockets and its messages, which have no types."""

AT = "linux.netDevices"
CAPABILITIES = ("net_admin",)
NAMESPACE, HOST_NAMESPACE, HOST_SOCKET, SOCKET = 3, 4, 5, 6
"""Descriptors of a RunHelper step with a network."""
GUARD = 7, 8
"""Descriptors of the guard: its socket and the state directory."""
UP, PERMANENT, UNIVERSE = 1, 0x80, 0
"""IFF_UP, IFA_F_PERMANENT, RT_SCOPE_UNIVERSE."""
KEPT = 0x02 | 0x100 | 0x200
"""IFA_F_NODAD, IFA_F_MANAGETEMPADDR, IFA_F_NOPREFIXROUTE: flags that the user has set, not the kernel."""
ATTRIBUTES = {
    "address": "IFA_ADDRESS",
    "local": "IFA_LOCAL",
    "broadcast": "IFA_BROADCAST",
    "priority": "IFA_RT_PRIORITY",
    "label": "IFA_LABEL",
}


def run(devices: list[dict[str, str]]) -> "list[Record]":
    """Move ``devices``: objects with ``at``, a JSON path, ``name``, and ``to``, the name in the container, perhaps with
    ``%d`` for the kernel to put a number.

    :returns: for :func:`undo`, objects with ``name``, ``index`` in the container, ``up`` and ``addresses``.
    :raises OcirtError: a device cannot be moved; then none is moved.
    """
    library, host, container = _open()
    moved: list[Record] = []
    for device in devices:
        moved.append({"name": device["name"], "index": None, "up": False, "addresses": []})
        try:
            _move(device, moved[-1], host, container)
        except (library.NetlinkError, OcirtError) as error:
            _give_back(moved, library, host, container)
            if isinstance(error, OcirtError):
                raise
            raise OcirtError(f"{device['at']}: move the network device {device['name']}: {_reason(error)}") from None
    return moved


def undo(moved: "list[Record]") -> None:
    """Give back what :func:`run` has moved.

    :raises OcirtError: some devices cannot be given back; the others are.
    """
    lost = _give_back(moved, *_open())
    if lost:
        raise OcirtError(f"{AT}: give back to the host: {', '.join(lost)}")


def _open() -> "tuple[Netlink, Netlink, Netlink]":
    """The library, and its sockets in the two namespaces. The library closes its sockets, and the guard needs them
    again, so it gets copies.
    """
    library = need("pyroute2", AT)
    outlive()  # otherwise devices could stay half moved: the guard gives them back
    return library, library.IPRoute(fileno=dup(HOST_SOCKET)), library.IPRoute(fileno=dup(SOCKET))


def _move(device: dict[str, str], record: "Record", host: "Netlink", container: "Netlink") -> None:
    name, to = device["name"], device["to"]
    found = host.link_lookup(ifname=name)
    if not found:
        raise OcirtError(f"{device['at']}: found no network device {name}, expected one of the runtime's namespace")
    if "%" not in to and container.link_lookup(ifname=to):
        raise OcirtError(f"{device['at']}: a network device {to} is in the container's network namespace already")
    (link,) = host.get_links(found[0])
    record["up"] = bool(link["flags"] & UP)
    record["addresses"] = [_arguments(address) for address in host.get_addr(index=found[0]) if _is_kept(address)]
    before = {link["index"] for link in container.get_links()}
    try:
        host.link("set", index=found[0], net_ns_fd=NAMESPACE, ifname=to)
    finally:
        # An error does not mean that the device has not moved, because the kernel changes the name after the move.
        record["index"] = _find(container, before, name, to)
    for address in record["addresses"]:
        # IPv4 labels begin with the device's name.
        container.addr(
            "add",
            index=record["index"],
            **{key: value for key, value in address.items() if key != "label" or name == to},
        )
    container.link("set", index=record["index"], state="up")


def _find(container: "Netlink", before: set[int], name: str, to: str) -> int | None:
    """The index of the device in the container, or ``None``. Other users of the namespace may make devices as well.

    :param before: indexes of the devices that existed before.
    """
    prefix, template, _ = to.partition("%d")
    for link in container.get_links():
        now = link.get_attr("IFLA_IFNAME")
        is_named = now.startswith(prefix) and now[len(prefix) :].isdigit() if template else now == to
        if link["index"] not in before and (is_named or now == name):
            return int(link["index"])
    return None


def _give_back(moved: "list[Record]", library: "Netlink", host: "Netlink", container: "Netlink") -> list[str]:
    """Give the devices back.

    :returns: what went wrong, one text for each device.
    """
    lost = []
    for record in reversed(moved):
        if record["index"] is None:
            continue
        try:
            container.link("set", index=record["index"], net_ns_fd=HOST_NAMESPACE, ifname=record["name"])
            (index,) = host.link_lookup(ifname=record["name"])
            for address in record["addresses"]:
                host.addr("add", index=index, **address)
            if record["up"]:
                host.link("set", index=index, state="up")
        except library.NetlinkError as error:
            lost.append(f"{record['name']}: {_reason(error)}")
    return lost


def _reason(error: "Netlink") -> str:
    return words_of(error.code)


def _is_kept(address: "Netlink") -> bool:
    return bool(_flags(address) & PERMANENT) and address["scope"] == UNIVERSE


def _flags(address: "Netlink") -> int:
    """All flags: the header has room for only eight of them."""
    flags = address.get_attr("IFA_FLAGS")
    return int(address["flags"] if flags is None else flags)


def _arguments(address: "Netlink") -> "Record":
    """The arguments that give a device this address."""
    values = {name: address.get_attr(attribute) for name, attribute in ATTRIBUTES.items()}
    return {
        "family": address["family"],
        "prefixlen": address["prefixlen"],
        "scope": UNIVERSE,
        "flags": _flags(address) & KEPT,
        **{name: value for name, value in values.items() if value is not None},
    }
