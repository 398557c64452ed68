"""Operations on containers, by whole processes of a runtime."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from . import BenchError, CommandFailed
from .measure import LIMIT, run_lists
from .place import Bundle, Place, Runtime

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of finished containers, and of all."""
T = TypeVar("T")

LOT = 100
VERBS = ("create", "start", "state", "kill", "delete")


class Container(Generic[T]):
    """A container of a runtime, at a place.

    :param run: ``run(*command)`` is called for each verb; the verb returns its result.
    """

    def __init__(self, place: Place, runtime: Runtime, bundle: Bundle, name: str, run: Callable[..., T]) -> None:
        self.place, self.runtime, self.bundle, self.name = place, runtime, bundle, name
        self.run, self.pidfd = run, -1

    def __enter__(self) -> Container[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)
        if kind is not None:
            self.place.spawn.succeeds(*self.runtime.command("delete", "--force", self.name))

    def create(self, *flags: str) -> T:
        bundle = ("--bundle", self.bundle.path, "--pid-file", self.bundle.pid_file)
        used = self.run(*self.runtime.command("create", *bundle, *flags, self.name))
        self.pidfd = os.pidfd_open(int(self.bundle.pid_file.read_text()))
        return used

    def start(self) -> T:
        return self.run(*self.runtime.command("start", self.name))

    def state(self) -> T:
        return self.run(*self.runtime.command("state", self.name))

    def kill(self) -> T:
        used = self.run(*self.runtime.command("kill", self.name, "KILL"))
        if not select.select([self.pidfd], [], [], LIMIT)[0]:
            raise BenchError(f"{self.runtime.name}: {self.name} has not died of SIGKILL")
        return used

    def delete(self, *flags: str) -> T:
        return self.run(*self.runtime.command("delete", *flags, self.name))

    def cycle(self) -> dict[str, T]:
        """A container's life, by verb."""
        return {verb: getattr(self, verb)() for verb in VERBS}


def bundles(place: Place, runtime: Runtime, count: int) -> list[tuple[str, Bundle]]:
    """``count`` bundles of containers that differ in name and cgroup."""
    return [
        (name, place.bundle(f"{runtime.name}-{name}").save(runtime.cgroup(name)))
        for name in (place.name() for _ in range(count))
    ]


def start_many(
    place: Place,
    runtime: Runtime,
    several: Sequence[tuple[str, Bundle]],
    at_once: int = 2,
    progress: Progress | None = None,
) -> float:
    """Create and start containers, ``at_once`` at a time.

    :param several: pairs of name and bundle.
    :param progress: called after every LOT of them. A lot begins only when the previous one has started completely.
    :returns: microseconds.
    """
    works = [
        [
            runtime.command("create", "--bundle", bundle.path, "--pid-file", bundle.pid_file, name),
            runtime.command("start", name),
        ]
        for name, bundle in several
    ]
    return by_turns(place, works, at_once, progress)


def delete_many(
    place: Place,
    runtime: Runtime,
    several: Sequence[tuple[str, Bundle]],
    at_once: int = 2,
    progress: Progress | None = None,
) -> None:
    works = [[runtime.command("delete", "--force", name)] for name, _ in several]
    by_turns(place, works, at_once, progress)


def by_turns(place: Place, works: Sequence[Sequence[list[str]]], at_once: int, progress: Progress | None) -> float:
    """Run lists of commands, each list in its order, ``at_once`` lists at a time."""
    size = LOT if progress else max(1, len(works))
    spent = 0.0
    for done in range(0, len(works), size):
        lot = works[done : done + size]
        spent += run_lists(place.spawn, place.starter, place.path / "lists", lot, at_once)
        if progress:
            progress(done + len(lot), len(works))
    return spent


def pid_of(place: Place, container: Container[Any]) -> int:
    """The pid of a container's first process, by `state`.

    :raises CommandFailed: that process does not exist.
    """
    output, command = place.path / "state-output", container.runtime.command("state", container.name)
    place.spawn(*command, output=output)
    state = json.loads(output.read_text())
    if not state.get("pid"):
        raise CommandFailed(command, f"the container is {state['status']}")
    return int(state["pid"])


def resident(pid: int) -> tuple[int, int]:
    """KiB of resident memory of the process ``pid``, and its proportional share of it."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        rows = {line.split()[0]: line.split() for line in file if line.count(":")}
    return int(rows["Rss:"][1]), int(rows["Pss:"][1])


def children(pid: int) -> list[int]:
    """Pids of the children of all threads of the process ``pid``."""
    found: list[int] = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
            found += map(int, file.read().split())
    return found
