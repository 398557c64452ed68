"""Containers with their networks (:mod:`.network`): what connects a container to the host's network, and what it has
refused.

pasta(1) and nft(8) run as containers of the executable that see the host's files. So nothing forks this process, pasta
ends with this process even if that is killed, and each keeps only the capabilities that it needs. The executable lends
this process the container's network namespace (``org.ocirt.network.receiver``), and gets it back as a descriptor of those
two. Without root's rights they join the user namespace that owns it, where this user may do everything.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..descriptor import Descriptor
from ..errors import HostError, NoContainer
from ..failures import TimeoutExpired
from . import lifecycle
from .children import Child
from .lending import Lender
from .lifecycle import Bundle, Flags, Lifecycle
from .network import TABLE, TOOLS, Net, Networking, pasta, refused, tool
from .report import Begin, End
from .runtime import Runtime
from .streams import DEVNULL, PIPE, Output, Streams
from .supervisor import Supervisor
from .waiting import Operation, Wait, deadline_in

RECEIVER, LATER = "org.ocirt.network.receiver", "org.ocirt.network.later"
PASTA_NEEDS = ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"]
"""For the namespaces, the interface and published ports below 1024, and to give up the rest."""
NFT_NEEDS = ["CAP_NET_ADMIN"]
NETNS, READY = "/proc/self/fd/0", "/proc/self/fd/1"
"""Where pasta finds the network namespace, and where it says that the namespace is connected: its standard input and
output, because newer versions close all descriptors from 3 on."""
NS_GET_USERNS = 0xB701
CHUNK = 1 << 16


_all: weakref.WeakSet[Connection] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """Let go in the child of a fork what would keep network namespaces alive after the parent's end."""
    for each in list(_all):
        each.close_netns()


os.register_at_fork(after_in_child=_leave_to_parent)


class Connection:
    """The network of a container. Make this object before the container.

    :param is_awaited: is the container created only once it is connected? Otherwise :meth:`lend` waits.
    :ivar begins_early: does pasta begin as soon as the network namespace exists, while the executable makes the rest of
        the container? Otherwise it begins with :meth:`lend`.
    :ivar pasta: its supervisor; ``None`` before it begins.
    """

    _netns: Descriptor | None = None
    _userns: Descriptor | None = None

    def __init__(
        self, net: Net, runtime: Runtime, id: str, *, begins_early: bool = True, is_awaited: bool = True
    ) -> None:
        self._net, self._id, self.begins_early, self._is_awaited = net, id, begins_early, is_awaited
        # The host's cgroups need not know these programs: they stay in the caller's.
        self._runtime = replace(runtime, cgroup_manager="disabled")
        self.pasta: Supervisor | None = None
        self._lender = Lender(runtime, self._receive, answers=not is_awaited)
        _all.add(self)

    def close_netns(self) -> None:
        """Let the namespaces go. Nothing else of this object works afterwards."""
        self._netns = self._userns = None

    def lead(self, bundle: Bundle) -> None:
        """Let the container of this bundle lend its network namespace, before all else that it lends, and connect it
        while the executable does the rest.
        """
        bundle.annotate({RECEIVER: self._lender.path} | ({} if self._is_awaited else {LATER: "1"}))
        bundle.lenders.insert(0, self._lender)
        if self._is_awaited:
            bundle.lenders.append(self)

    def _receive(self, lent: Sequence[int]) -> None:
        self._netns = Descriptor([*lent].pop)
        if os.geteuid() != 0:
            self._userns = Descriptor(fcntl.ioctl, self._netns.fileno(), NS_GET_USERNS)
        if self.begins_early:
            self._begin()

    def _begin(self) -> None:
        """Start pasta, and do not wait for it."""
        config = self._of_host(pasta(self._net, NETNS, READY), PASTA_NEEDS)
        streams, bundle = Streams.open(self._namespaces[0], PIPE, PIPE), Bundle(None, config, "/")
        self.pasta = lifecycle.supervise("run", self._runtime, bundle, _id("pasta"), streams, self._namespaces, Flags())
        self.pasta.start()
        bundle.close()

    @property
    def _namespaces(self) -> list[int]:
        """Further descriptors of pasta and nft, from 3 on.

        :raises NoContainer: the container has been deleted.
        """
        if self._netns is None:
            raise NoContainer(self._id)
        return [each.fileno() for each in (self._netns, self._userns) if each is not None]

    def take_netns(self) -> bool:
        """Take the network namespace if the executable has lent it.

        :returns: has it, or failed to?
        """
        return self._lender.go_on()

    def lend(self, child: Child, deadline: float | None) -> Operation[bool]:
        """Wait until the container is connected, and let the executable go on.

        :param child: the executable that makes the container, or has made it. If it has ended, nobody is connected.
        :returns: False if the deadline came first.
        :raises HostError: pasta cannot do it.
        :raises TimeoutExpired: it took more than the runtime's time-out.
        """
        if self._netns is None:
            return True
        if self.pasta is None:
            self._begin()
        assert self.pasta is not None
        made = self.pasta.streams.ours[1].fileno()
        with child.watched() as end, self.pasta.child.watched() as failed:
            own = deadline_in(self._runtime.timeout)
            is_own = own is not None and (deadline is None or own < deadline)
            ready = yield Wait(dict.fromkeys([made, failed, end], select.POLLIN), own if is_own else deadline)
        if not ready and is_own:
            raise TimeoutExpired("pasta, which connects the container", self._runtime.timeout)
        if not ready:
            return False
        if made in ready and os.read(made, CHUNK):
            self._lender.answer()
        elif end not in ready:
            yield from self.pasta.end(None)
            if self.pasta.ended is None:
                raise self.pasta.failure()
            said = os.read(self.pasta.streams.ours[2].fileno(), CHUNK).decode(errors="replace")
            raise HostError("net", f"pasta: {' '.join(said.split()) or 'it has ended without a message'}")
        return True

    def go_on(self) -> bool:
        """Nothing is possible without waiting."""
        return False

    def refused(self) -> Operation[tuple[str, ...]]:
        """What the rules have refused so far. The container may have ended.

        :raises NoContainer: the container has been deleted.
        :raises HostError: nft cannot say it.
        """
        namespaces = self._namespaces
        command = [tool("nft", "nftables"), "--json", "list", "table", "inet", TABLE]
        config = self._of_host(command, NFT_NEEDS, {"type": "network", "path": "/proc/self/fd/3"})
        output = Output()
        _, end = yield from lifecycle.run(
            self._runtime,
            Bundle(None, config, "/"),
            _id("nft"),
            Streams.open(DEVNULL, PIPE, PIPE),
            namespaces,
            b"",
            None,
            output,
            Flags(),
        )
        if end.returncode:
            raise HostError("net", f"nft: {' '.join(output.of(2).decode(errors='replace').split())}")
        return refused(json.loads(output.of(1)))

    def _of_host(self, args: Sequence[str], capabilities: Sequence[str], *namespaces: dict[str, str]) -> dict[str, Any]:
        """The config of a program of the host, with the host's files, that keeps only these capabilities."""
        own = [{"type": "user", "path": "/proc/self/fd/4"}] if self._userns is not None else []
        return {
            "ociVersion": "1.2.0",
            "process": {
                "args": list(args),
                "cwd": "/",
                "user": {"uid": 0, "gid": 0},
                "env": [f"PATH={TOOLS}"],
                "noNewPrivileges": True,
                "capabilities": {kind: list(capabilities) for kind in ("bounding", "effective", "permitted")},
            },
            "root": {"path": "/"},
            "linux": {"namespaces": [{"type": "mount"}, *own, *namespaces]},
        }

    def close(self) -> None:
        """Disconnect the container, and do not wait for the end of pasta: nobody reads the reports of its supervisor any
        more, which therefore kills and removes it.
        """
        self._lender.close()
        if self.pasta is not None:
            self.pasta.streams.close()
            self.pasta.release()

    def end(self) -> Operation[None]:
        """Disconnect the container, and let its network namespace go.

        :raises TimeoutExpired: pasta did not end within the runtime's time-out.
        """
        try:
            self.close()
            if self.pasta is not None and not (yield from self.pasta.child.end(deadline_in(self._runtime.timeout))):
                raise TimeoutExpired("the end of pasta", self._runtime.timeout)
        finally:
            self.close_netns()


def _id(program: str) -> str:
    return f"{lifecycle.new_id()}-{program}"


def create(
    net: Networking | None,
    runtime: Runtime,
    bundle: Bundle,
    id: str,
    streams: Streams,
    pass_fds: Sequence[int],
    flags: Flags,
) -> Operation[Lifecycle]:
    """Create a container that is connected to its network.

    :param net: what the bundle's config has been made for.
    :raises OcirtError: the container could not be created. Nothing of it remains.
    """
    if not isinstance(net, Net):
        life = yield from Lifecycle.create(runtime, bundle, id, streams, pass_fds, flags)
        return life
    connection = Connection(net, runtime, id)
    try:
        connection.lead(bundle)
        life = yield from Lifecycle.create(runtime, bundle, id, streams, pass_fds, flags)
    except BaseException:
        yield from connection.end()
        raise
    life.network = connection
    return life


def run(
    net: Networking | None,
    runtime: Runtime,
    bundle: Bundle,
    id: str,
    streams: Streams,
    pass_fds: Sequence[int],
    input: bytes,
    timeout: float | None,
    output: Output,
    flags: Flags,
) -> Operation[tuple[Begin | None, End, tuple[str, ...]]]:
    """Run a container from its creation to its removal.

    :param net: what the bundle's config has been made for.
    :returns: how its process began and ended, and what was refused.
    :raises OcirtError: the container could not be run. Nothing of it remains.
    :raises TimeoutExpired: it ran too long. Nothing of it remains.
    """
    if not isinstance(net, Net):
        begin, end = yield from lifecycle.run(runtime, bundle, id, streams, pass_fds, input, timeout, output, flags)
        return begin, end, ()
    connection = Connection(net, runtime, id)
    try:
        connection.lead(bundle)
        begin, end = yield from lifecycle.run(runtime, bundle, id, streams, pass_fds, input, timeout, output, flags)
        connection.close()  # pasta ends while nft looks
        denied = yield from connection.refused()
        return begin, end, denied
    finally:
        yield from connection.end()
