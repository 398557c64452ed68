"""Network devices of the host that become a container's (config-linux.md, "Network Devices").

A device takes its attributes along, but for its addresses and its state: the permanent addresses of global scope are given
to it again, and it is set up. All devices move or none: on an error those that have moved are given back as they were.
"""

from os import strerror

from ..errors import OcirtError
from . import need

NAMESPACE, HOST_NAMESPACE, HOST_SOCKET, SOCKET = 3, 4, 5, 6
"""Descriptors of a RunHelper step with a network."""
UP, PERMANENT, UNIVERSE = 1, 0x80, 0
"""IFF_UP, IFA_F_PERMANENT, RT_SCOPE_UNIVERSE."""
KEPT = 0x02 | 0x100 | 0x200
"""IFA_F_NODAD, IFA_F_MANAGETEMPADDR, IFA_F_NOPREFIXROUTE: what an address was given with, not what has come of it."""
ATTRIBUTES = {"address": "IFA_ADDRESS", "local": "IFA_LOCAL", "broadcast": "IFA_BROADCAST", "priority": "IFA_RT_PRIORITY"}


def run(devices):
    """Move ``devices``: objects with ``at``, a JSON path, ``name``, and ``to``, the name in the container, perhaps with
    ``%d`` for the kernel to put a number.

    :raises OcirtError: one cannot be moved; then none has.
    """
    pyroute2 = need("pyroute2", "network", "linux.netDevices")
    with pyroute2.IPRoute(fileno=HOST_SOCKET) as host, pyroute2.IPRoute(fileno=SOCKET) as container:
        moved = []
        try:
            for device in devices:
                moved.append(Move(device, host, container))
                moved[-1].make(NAMESPACE)
        except (pyroute2.NetlinkError, OcirtError) as error:
            for move in reversed(moved):
                move.undo(HOST_NAMESPACE, pyroute2.NetlinkError)
            if isinstance(error, OcirtError):
                raise
            raise OcirtError(f"{moved[-1].at}: move the network device {moved[-1].name}: "
                             f"{strerror(error.code).lower()}") from None


class Move:
    """The move of one device, and its way back."""

    def __init__(self, device, host, container):
        self.at, self.name, self.to = device["at"], device["name"], device["to"]
        self.host, self.container = host, container
        self.addresses, self.was_up, self.index = [], False, None

    def make(self, namespace):
        """:raises OcirtError: there is no such device, or one in the container has its new name."""
        found = self.host.link_lookup(ifname=self.name)
        if not found:
            raise OcirtError(f"{self.at}: found no network device {self.name}, expected one of the runtime's network namespace")
        if "%" not in self.to and self.container.link_lookup(ifname=self.to):
            raise OcirtError(f"{self.at}: a network device {self.to} is in the container's network namespace already")
        (link,) = self.host.get_links(found[0])
        self.was_up = bool(link["flags"] & UP)
        self.addresses = [address for address in self.host.get_addr(index=found[0]) if is_kept(address)]
        before = {link["index"] for link in self.container.get_links()}
        try:
            self.host.link("set", index=found[0], net_ns_fd=namespace, ifname=self.to)
        finally:
            # An error does not say that it has not moved: the new name comes after the move.
            self.index = self.find(before)
        set_addresses(self.container, self.index, self.addresses, with_labels=self.to == self.name)
        self.container.link("set", index=self.index, state="up")

    def find(self, before):
        """The device's index in the container, or ``None``. The namespace may be another's too, who may make devices.

        :param before: indexes of those that were there before.
        """
        for link in self.container.get_links():
            name = link.get_attr("IFLA_IFNAME")
            prefix, template, _ = self.to.partition("%d")
            is_named = name.startswith(prefix) and name[len(prefix):].isdigit() if template else name == self.to
            if link["index"] not in before and (is_named or name == self.name):
                return link["index"]
        return None

    def undo(self, namespace, errors):
        """Give the device back, if it has moved; what does not succeed is left."""
        if self.index is None:
            return
        try:
            self.container.link("set", index=self.index, net_ns_fd=namespace, ifname=self.name)
            (index,) = self.host.link_lookup(ifname=self.name)
            set_addresses(self.host, index, self.addresses, with_labels=True)
            if self.was_up:
                self.host.link("set", index=index, state="up")
        except errors:
            pass


def is_kept(address):
    return bool(flags_of(address) & PERMANENT) and address["scope"] == UNIVERSE


def flags_of(address):
    """All flags: the header has room for eight of them only."""
    flags = address.get_attr("IFA_FLAGS")
    return address["flags"] if flags is None else flags


def set_addresses(socket, index, addresses, with_labels):
    """Give the device ``index`` the addresses, as messages about a device had them.

    :param with_labels: has this one that device's name? IPv4 labels begin with it.
    """
    for address in addresses:
        attributes = {**ATTRIBUTES, "label": "IFA_LABEL"} if with_labels else ATTRIBUTES
        values = {name: address.get_attr(attribute) for name, attribute in attributes.items()}
        socket.addr("add", index=index, family=address["family"], prefixlen=address["prefixlen"], scope=UNIVERSE,
                    flags=flags_of(address) & KEPT, **{name: value for name, value in values.items() if value is not None})
