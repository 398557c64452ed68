"""The network of a container: none, the host's, or one of its own that reaches what a list allows.

With :class:`Net` the container keeps a network namespace of its own. A createContainer hook loads rules of nftables into
it before anything of the container runs; they let through what the list allows. The container cannot change them,
because it has no capability over its network namespace. :mod:`.connection` then connects the namespace to the host's
network.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..descriptor import Descriptor
from ..errors import HostError, RequestError, reason
from .arguments import wrong

if TYPE_CHECKING:  # ipaddress is imported when a list is read: most containers have none
    from ipaddress import IPv4Network, IPv6Network

TOOLS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TUN = "/dev/net/tun"
"""The device by which pasta makes an interface in the network namespace. Everybody may open it on most hosts."""
TABLE = "ocirt"
PROTOCOLS = ("tcp", "udp")
PORT_MAX = (1 << 16) - 1
ENTRIES_MAX = 1000
"""The rules are one word of nft's command line, and the kernel takes at most 128 KiB for a word."""
REFUSED_MAX = 4096
"""How many different destinations of each family the rules remember."""
ENTRY = (
    "an address or a network (no name, and no bits beyond the network's), a port and a protocol, like "
    "'10.0.0.0/8:443/tcp' or '[2001:db8::53]:53/udp'"
)
NEIGHBOURS = "nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert"
HARMLESS = frozenset(
    f"CAP_{name}"
    for name in (
        *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "SETFCAP"),
        *("NET_BIND_SERVICE", "SYS_CHROOT", "AUDIT_WRITE", "IPC_LOCK", "SYS_NICE"),
    )
)
"""Capabilities with which a container can neither change the rules nor send what they do not see. It is a list of what is
allowed: CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_BPF and others each lead around the rules."""


@dataclass(frozen=True, slots=True)
class Destination:
    """An entry of ``Net.allow``."""

    network: IPv4Network | IPv6Network
    port: int
    protocol: str

    @classmethod
    def parse(cls, name: str, text: str) -> Destination:
        """:raises RequestError: the text is no such entry; ``name`` is its place in the arguments."""
        from ipaddress import ip_network

        try:
            rest, _, protocol = text.rpartition("/")
            host, _, port = rest.rpartition(":")
            is_bracketed = host.startswith("[") and host.endswith("]")
            # A zone (fe80::1%eth0) is free text, which must not become part of a rule.
            if protocol not in PROTOCOLS or not _is_port(port) or is_bracketed != (":" in host) or "%" in host:
                raise ValueError
            return cls(ip_network(host.strip("[]")), int(port), protocol)
        except (ValueError, AttributeError):
            raise wrong(name, text, ENTRY) from None

    @property
    def rule(self) -> str:
        family = "ip" if self.network.version == 4 else "ip6"
        return f"{family} daddr {self.network} {self.protocol} dport {self.port} accept"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) <= PORT_MAX


@dataclass(frozen=True, slots=True)
class Net:
    """A network of the container's own, which reaches what ``allow`` lists and nothing else.

    :ivar allow: what the container may connect to: ``"10.0.0.0/8:443/tcp"``, ``"[2001:db8::/32]:53/udp"``.
    :ivar publish: a port of the host's loopback, 127.0.0.1 -> the TCP port of the container that answers there.
    :raises RequestError: a value cannot be used.
    """

    allow: Sequence[str] = ()
    publish: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.allow, str) or not isinstance(self.allow, Sequence):
            raise wrong("net.allow", self.allow, "a list, like ['10.0.0.0/8:443/tcp']")
        if len(self.allow) > ENTRIES_MAX:
            raise RequestError(
                f"net.allow: found {len(self.allow)} entries, expected at most {ENTRIES_MAX}", "net.allow"
            )
        if not isinstance(self.publish, Mapping):
            raise wrong("net.publish", self.publish, "a dict, like {8080: 80}")
        destinations(self)
        for outside, inside in self.publish.items():
            for port in (outside, inside):
                if not isinstance(port, int) or isinstance(port, bool) or not 0 < port <= PORT_MAX:
                    raise wrong(f"net.publish[{outside!r}]", port, f"a port from 1 to {PORT_MAX}")


Networking = Literal["none", "host"] | Net
"""``"none"``: only a loopback of its own; ``"host"``: the host's network; or a :class:`Net`."""


def destinations(net: Net) -> list[Destination]:
    """What the list of a network says."""
    return [Destination.parse(f"net.allow[{index}]", text) for index, text in enumerate(net.allow)]


def rules(net: Net) -> str:
    """The rules, in the language of nft(8). What they refuse is added to a set, which :func:`refused` reads. If the
    set is full, the rule that adds to it does not match, and the rules below it refuse all the same.
    """
    allowed = "\n".join([each.rule for each in destinations(net)])
    ports = ", ".join([str(port) for port in sorted(set(net.publish.values()))])
    published = f"tcp dport {{ {ports} }} accept" if ports else ""
    return f"""
        table inet {TABLE} {{
            set refused4 {{ type ipv4_addr . inet_proto . inet_service; flags dynamic; size {REFUSED_MAX}; }}
            set refused6 {{ type ipv6_addr . inet_proto . inet_service; flags dynamic; size {REFUSED_MAX}; }}
            chain output {{
                type filter hook output priority 0; policy drop;
                oifname "lo" accept
                ct state established accept
                icmpv6 type {{ {NEIGHBOURS} }} accept
                {allowed}
                meta l4proto {{ tcp, udp }} add @refused4 {{ ip daddr . meta l4proto . th dport }}
                meta l4proto {{ tcp, udp }} add @refused6 {{ ip6 daddr . meta l4proto . th dport }}
                meta l4proto tcp reject with tcp reset
                reject with icmpx admin-prohibited
            }}
            chain input {{
                type filter hook input priority 0; policy drop;
                iifname "lo" accept
                ct state established,related accept
                icmpv6 type {{ {NEIGHBOURS} }} accept
                {published}
            }}
            chain forward {{ type filter hook forward priority 0; policy drop; }}
        }}"""


def pasta(net: Net, netns: str, ready: str) -> list[str]:
    """pasta's command line. It forwards nothing to the host's loopback, neither by the address of the gateway nor by
    ports that are open there.

    :param netns: a path of the network namespace.
    :param ready: a path of a file into which pasta writes its pid once the namespace is connected.
    :raises HostError: pasta is missing.
    """
    has_ipv6 = any(each.network.version == 6 for each in destinations(net))
    ports = ",".join([f"127.0.0.1/{outside}:{inside}" for outside, inside in net.publish.items()]) or "none"
    return [
        tool("pasta", "passt"),
        *("--foreground", "--quiet", "--config-net", "--no-map-gw", "--runas", "0", "--pid", ready),
        *([] if has_ipv6 else ["--ipv4-only"]),
        *("--tcp-ports", ports, "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"),
        *("--netns-only", "--no-netns-quit", "--netns", netns),
    ]


def tool(name: str, package: str) -> str:
    """The path of a program.

    :raises HostError: it is missing.
    """
    found = shutil.which(name, path=TOOLS)
    if found is None:
        raise HostError("net", f"the program {name} is missing: install Debian's package {package}")
    return found


def applied(net: Networking, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """The config with this network.

    :raises RequestError: there is no config, or ``net`` cannot be used with it.
    :raises HostError: the host cannot give the container a :class:`Net`.
    """
    if not isinstance(net, Net) and net not in ("none", "host"):
        raise wrong("net", net, "'none', 'host' or ocirt.Net(...)")
    if config is None:
        raise RequestError("net: found one for a bundle, whose config.json says its network; expected a config", "net")
    linux = dict(config.get("linux") or {})
    others = [each for each in linux.get("namespaces") or [] if each.get("type") != "network"]
    linux["namespaces"] = [*others, *([] if net == "host" else [{"type": "network"}])]
    made = {**config, "linux": linux}
    return _ruled(net, made) if isinstance(net, Net) else made


def _ruled(net: Net, config: dict[str, Any]) -> dict[str, Any]:
    """The config with the hook that loads the rules, before any other."""
    for kind, names in ((config.get("process") or {}).get("capabilities") or {}).items():
        check_harmless(f"process.capabilities.{kind}", names or ())
    tool("pasta", "passt")
    nft = tool("nft", "nftables")
    try:
        Descriptor(os.open, TUN, os.O_RDWR | os.O_CLOEXEC).close()
    except OSError as error:
        raise HostError("net", f"{TUN}: {reason(error)}: pasta needs it to connect a container") from None
    load = {"path": nft, "args": ["nft", rules(net)]}
    hooks = dict(config.get("hooks") or {})
    hooks["createContainer"] = [load, *(hooks.get("createContainer") or [])]
    return {**config, "hooks": hooks}


def check_harmless(path: str, capabilities: Iterable[str]) -> None:
    """:raises RequestError: with one of the capabilities a container could evade the rules."""
    for name in capabilities:
        if name not in HARMLESS:
            raise RequestError(
                f"{path}: found {name}, expected only {', '.join(sorted(HARMLESS))}: with others the container could evade "
                "its ocirt.Net",
                path,
            )


def refused(listed: Mapping[str, Any]) -> tuple[str, ...]:
    """What the rules have refused, as ``Net.allow`` writes it.

    :param listed: the table, as ``nft --json`` lists it.
    """
    found = []
    for each in listed["nftables"]:
        for element in each.get("set", {}).get("elem") or []:
            address, protocol, port = element["concat"]
            found.append(f"[{address}]:{port}/{protocol}" if ":" in address else f"{address}:{port}/{protocol}")
    return tuple(sorted(found))
