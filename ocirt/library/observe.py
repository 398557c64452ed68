"""What a container uses, and what happens to it. This process reads its cgroups, and writes nothing there."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ..cgroups import oom
from ..cgroups import stats as cgroup_stats
from ..cgroups.choose import choose
from ..cgroups.counters import NO_LIMIT
from ..created_with import created_with
from ..descriptor import Descriptor
from ..errors import NoContainer, StateError
from ..model.config import parse
from ..model.host import Host
from ..model.request import Request
from ..model.text import bound
from ..plan import Plan
from .lifecycle import Lifecycle
from .waiting import Operation, Wait


@dataclass(frozen=True, slots=True)
class Stats:
    """What a container uses at one moment. A number that the host does not count is 0; a limit that is not set is
    ``None``.
    """

    cpu_seconds: float
    """CPU time of all its processes so far."""
    memory: int
    """Bytes, including the page cache that the container has filled."""
    memory_peak: int
    memory_limit: int | None
    processes: int
    """Processes and threads."""
    process_limit: int | None
    oom_kills: int
    """How many of its processes the kernel has killed because memory ran out."""
    details: dict[str, Any] = field(repr=False)
    """All statistics, in the form of ``ocirt events --stats`` and runc."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a container: ``oom``, the container has run out of memory, or ``end``, its first process has ended.
    The latter is the last event.
    """

    type: Literal["oom", "end"]


def driver_of(root: str, id: str) -> Any:
    """The cgroup driver (:class:`ocirt.cgroups.Driver`) of a container.

    :raises OcirtError: the container does not exist, or its cgroups do not exist on this host.
    """
    if not os.path.exists(os.path.join(root, id)):
        raise NoContainer(id)
    data, words, _ = created_with({"id": id, "root": root})
    config = parse(data)
    return choose(config, Request(words), Host(), Plan(config.trace))


def stats(root: str, id: str) -> Stats:
    """What a container uses now.

    :raises HostError: the container has no cgroups of its own, or they cannot be read.
    """
    driver = driver_of(root, id)
    data: dict[str, Any] = cgroup_stats.stats(driver)
    memory = data["memory"]["usage"]
    return Stats(
        cpu_seconds=data["cpu"]["usage"].get("total", 0) / 1e9,
        memory=memory.get("usage", 0),
        memory_peak=memory.get("max", 0),
        memory_limit=_limit(memory.get("limit", 0)),
        processes=data["pids"].get("current", 0),
        process_limit=data["pids"].get("limit"),
        oom_kills=oom_kills(driver),
        details=data,
    )


def _limit(value: int) -> int | None:
    """The limit, ``None`` without a limit, for which cgroup v1 has the greatest number of pages."""
    return None if value in (0, NO_LIMIT) or value > 1 << 62 else value


def has_oom(life: Lifecycle) -> bool:
    """Has the kernel killed any process of the container because memory ran out? False if the host does not
    count this.
    """
    if life.supervisor is not None and life.supervisor.ended is not None:
        return life.supervisor.ended.oom_kills > 0
    return oom_kills(driver_of(life.runtime.root, life.id)) > 0


def oom_kills(driver: Any) -> int:
    """How many processes the kernel has killed in the cgroup because memory ran out; 0 if the host does not count it."""
    facts = {name: bound(value) for name, value in driver.facts().items()}
    if not facts.get("oom_file"):
        return 0
    try:
        with open(f"{facts['memory_hierarchy']}{facts['memory_path']}/{facts['oom_file']}") as file:
            rows = dict([line.split() for line in file.read().splitlines()])
    except FileNotFoundError:  # the cgroup has been removed
        return 0
    return int(rows.get(facts["oom_key"], 0))


class Watching:
    """The events of a container, one after the other.

    :param pidfd: of its first process; ``None`` if the process has ended.
    :raises HostError: the container has no memory cgroup to watch.
    """

    def __init__(self, root: str, id: str, pidfd: Descriptor | None) -> None:
        self._watch: Any = None
        self._pidfd, self._ended = pidfd, pidfd is None
        try:
            if pidfd is not None:
                self._watch = oom.watch(driver_of(root, id))
        except BaseException:
            self.close()
            raise

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing():  # the kernel closes what is open
            return
        self.close()

    def close(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            os.close(watch.fd)
        self._pidfd, self._ended = None, True

    def next(self, deadline: float | None = None) -> Operation[Event | None | bool]:
        """Wait for the next event.

        :returns: the event; ``None`` after the last one; ``False`` if the deadline comes first.
        """
        while not self._ended:
            assert self._pidfd is not None
            ready = yield Wait({self._watch.fd: self._watch.mask, self._pidfd.fileno(): select.POLLIN}, deadline)
            if not ready:
                return False
            # The process that runs out of memory may be the last one: report the reason before the end.
            if self._watch.take():
                return Event("oom")
            if self._pidfd.fileno() in ready:
                self.close()
                return Event("end")
        self.close()
        return None


def check_alive(id: str, pidfd: int | None) -> Descriptor:
    """A descriptor of its own for the first process of a container.

    :raises StateError: the process has ended.
    """
    if pidfd is None:
        raise StateError(id, "has ended")
    return Descriptor(os.dup, pidfd)
