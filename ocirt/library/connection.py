"""Containers with their networks (:mod:`.network`): what connects a container to the host's network, and what it has
refused.

pasta(1) and nft(8) run as containers of the executable that see the host's files. So nothing forks this process, pasta
ends with this process even if that is killed, and each keeps only the capabilities that it needs.
"""

from __future__ import annotations

import json
import os
import select
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..descriptor import Descriptor
from ..errors import HostError, NoContainer
from ..failures import TimeoutExpired
from . import lifecycle
from .children import is_ready
from .lifecycle import Bundle, Flags, Lifecycle
from .network import TABLE, TOOLS, Net, Networking, pasta, refused, tool
from .report import Begin, End
from .runtime import Runtime
from .streams import DEVNULL, PIPE, Output, Streams
from .supervisor import Supervisor
from .waiting import Operation, Wait, deadline_in

PASTA_NEEDS = ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"]
"""For the namespaces, the interface and published ports below 1024, and to give up the rest."""
NFT_NEEDS = ["CAP_NET_ADMIN"]
NETNS, READY = "/tmp/netns", "/proc/self/fd/1"
"""Where pasta finds the network namespace, and where it says that the namespace is connected: its standard output, because
newer versions close all descriptors from 3 on."""
CHUNK = 1 << 16


_all: weakref.WeakSet[Connection] = weakref.WeakSet()


def _leave_to_parent() -> None:
    """Let go in the child of a fork what would keep network namespaces alive after the parent's end."""
    for each in list(_all):
        each.close_netns()


os.register_at_fork(after_in_child=_leave_to_parent)


class Connection:
    """The network of a container that exists.

    :param supervisor: of the container, whose program does not run yet.
    :raises HostError: the container's network namespace cannot be opened.
    """

    _netns: Descriptor | None = None

    def __init__(self, net: Net, supervisor: Supervisor) -> None:
        self._net, self._id = net, supervisor.id
        # The host's cgroups need not know these programs: they stay in the caller's.
        self._runtime = replace(supervisor.runtime, cgroup_manager="disabled")
        self._pasta: Supervisor | None = None
        assert supervisor.began is not None
        try:
            self._netns = Descriptor(os.open, f"/proc/{supervisor.began.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise HostError("net", f"the container's network namespace: {error.strerror}") from None
        if supervisor.pidfd is None or is_ready(supervisor.pidfd):  # the pid may be another process's now
            raise supervisor.failure()
        _all.add(self)

    def close_netns(self) -> None:
        """Let the network namespace go. Nothing else of this object works afterwards."""
        self._netns = None

    @property
    def _path(self) -> str:
        """A path of the network namespace for the executable.

        :raises NoContainer: the container has been deleted.
        """
        if self._netns is None:
            raise NoContainer(self._id)
        return f"/proc/{os.getpid()}/fd/{self._netns.fileno()}"

    def open(self) -> Operation[None]:
        """Connect the container.

        :raises HostError: pasta cannot do it.
        """
        mounts = [
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "size=64k"]},
            {"destination": NETNS, "type": "bind", "source": self._path, "options": ["bind"]},
        ]
        config = _of_host(pasta(self._net, NETNS, READY), PASTA_NEEDS, mounts=mounts)
        streams, bundle = Streams.open(DEVNULL, PIPE, PIPE), Bundle(None, config, "/")
        self._pasta = lifecycle.supervise("run", self._runtime, bundle, _id("pasta"), streams, (), Flags())
        yield from self._pasta.begin()
        bundle.close()
        deadline = deadline_in(self._runtime.timeout)
        with self._pasta.child.watched() as end:
            says = streams.ours[1].fileno()
            ready = yield Wait({says: select.POLLIN, end: select.POLLIN}, deadline)
        has_ended = bool(ready) and (says not in ready or not os.read(says, CHUNK))
        if not ready or (has_ended and not (yield from self._pasta.end(deadline))):
            raise TimeoutExpired("pasta, which connects the container", self._runtime.timeout)
        if has_ended:
            said = os.read(streams.ours[2].fileno(), CHUNK).decode(errors="replace")
            raise HostError("net", f"pasta: {' '.join(said.split()) or 'it has ended without a message'}")

    def refused(self) -> Operation[tuple[str, ...]]:
        """What the rules have refused so far. The container may have ended.

        :raises NoContainer: the container has been deleted.
        :raises HostError: nft cannot say it.
        """
        namespaces = [{"type": "network", "path": self._path}]
        command = [tool("nft", "nftables"), "--json", "list", "table", "inet", TABLE]
        config = _of_host(command, NFT_NEEDS, namespaces=namespaces)
        output = Output()
        _, end = yield from lifecycle.run(
            self._runtime,
            Bundle(None, config, "/"),
            _id("nft"),
            Streams.open(DEVNULL, PIPE, PIPE),
            (),
            b"",
            None,
            output,
            Flags(),
        )
        if end.returncode:
            raise HostError("net", f"nft: {' '.join(output.of(2).decode(errors='replace').split())}")
        return refused(json.loads(output.of(1)))

    def disconnect(self) -> None:
        """Disconnect the container, and do not wait for the end of pasta: its supervisor, whose reports nobody reads any
        more, kills and removes it.
        """
        if self._pasta is not None and self._pasta.began is not None:
            self._pasta.streams.close()
            self._pasta.release()

    def close(self) -> Operation[None]:
        """Disconnect the container, and let its network namespace go.

        :raises TimeoutExpired: pasta did not end within the runtime's time-out.
        """
        self.disconnect()
        supervisor, self._pasta = self._pasta, None
        try:
            if supervisor is not None and supervisor.began is None:
                yield from lifecycle.remove(supervisor)
            elif supervisor is not None and not (yield from supervisor.child.end(deadline_in(self._runtime.timeout))):
                raise TimeoutExpired("the end of pasta", self._runtime.timeout)
        finally:
            if supervisor is not None:
                supervisor.streams.close()
                supervisor.release()
            self.close_netns()


def _id(program: str) -> str:
    return f"{lifecycle.new_id()}-{program}"


def _of_host(
    args: Sequence[str],
    capabilities: Sequence[str],
    *,
    namespaces: Sequence[Mapping[str, str]] = (),
    mounts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The config of a program of the host, with the host's files, that keeps only these capabilities."""
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
        "mounts": list(mounts),
        "linux": {"namespaces": [{"type": "mount"}, *namespaces]},
    }


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
    life = yield from Lifecycle.create(runtime, bundle, id, streams, pass_fds, flags)
    if isinstance(net, Net):
        try:
            assert life.supervisor is not None
            life.network = connection = Connection(net, life.supervisor)
            yield from connection.open()
        except BaseException:
            yield from life.delete(True)
            raise
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
    """Run a container from its creation to its removal. One with a :class:`Net` is created first and then started, because
    it must be connected in between.

    :param net: what the bundle's config has been made for.
    :returns: how its process began and ended, and what was refused.
    :raises OcirtError: the container could not be run. Nothing of it remains.
    :raises TimeoutExpired: it ran too long. Nothing of it remains.
    """
    if not isinstance(net, Net):
        begin, end = yield from lifecycle.run(runtime, bundle, id, streams, pass_fds, input, timeout, output, flags)
        return begin, end, ()
    deadline = deadline_in(timeout)
    life = yield from create(net, runtime, bundle, id, streams, pass_fds, replace(flags, remove=True))
    is_removed = False
    try:
        yield from life.start()
        assert life.supervisor is not None and life.supervisor.began is not None
        assert isinstance(life.network, Connection)
        began = replace(life.supervisor.began, clock=time.monotonic_ns())
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            end = yield from lifecycle.communicate(life.supervisor, input, left, output)
        except TimeoutExpired as error:
            assert timeout is not None
            raise TimeoutExpired(f"container {id}", timeout, error.stdout, error.stderr) from None
        life.network.disconnect()  # pasta ends while nft looks
        denied = yield from life.network.refused()
        yield from life.network.close()
        is_removed = True  # by its supervisor
        return began, end, denied
    finally:
        if is_removed:
            life.let_go()
        else:
            yield from life.delete(True)
        streams.close()
