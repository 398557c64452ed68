"""The root of a container, as its directories on the host."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .. import state_dir
from ..compile.rootfs import LOWER, SCRATCH, SIZE, UPPER, split
from ..created_with import created_with
from ..errors import OcirtError, StateError, reason
from ..model.host import Host
from ..model.json import parse
from .ids import Owners, Row
from .overlay import NONE, TRUSTED, USER, Change, Entry, changes, open_layers, walk


@dataclass(frozen=True, slots=True)
class Root:
    """The root of a container.

    :ivar id: the id of the container.
    :ivar upper: the directory that gets what the container writes; ``None`` if it is no overlay that ocirt mounts, or a
        read-only one.
    :ivar lower: the directories below, the topmost first; of a root that is no overlay, its one directory.
    :ivar marks: how overlayfs' attributes begin in these directories.
    :ivar owners: how the container sees the owners of its files.
    :ivar annotations: the container's.
    :ivar args: the command line of its program.
    """

    id: str
    upper: str | None
    lower: tuple[str, ...]
    marks: str
    owners: Owners
    annotations: Mapping[str, str]
    args: tuple[str, ...]

    @property
    def writable(self) -> str:
        """The upper directory.

        :raises StateError: the container has none.
        """
        if self.upper is None:
            raise StateError(
                self.id,
                "found a root without an upper directory, expected one from an image (ocirt run --image), or an overlay by "
                f"the annotations {LOWER}, {UPPER} and org.ocirt.rootfs.work: only there are its changes apart",
            )
        return self.upper

    def changes(self) -> Iterator[Change]:
        """What the container has changed.

        :raises StateError: its changes are not apart from the rest.
        :raises OcirtError: a directory cannot be read.
        """
        return changes(self.writable, self.lower, self.marks)

    def written(self) -> Iterator[Entry]:
        """The files of the upper directory, and those that have been removed, as :func:`.overlay.walk` yields them."""
        top = open_layers([self.writable], self.marks)
        try:
            below = open_layers(self.lower, self.marks)
        except OcirtError:
            top.close()
            raise
        return walk(top, below)

    def files(self) -> Iterator[Entry]:
        """All files of the root. What is mounted in the container is not among them.

        :raises StateError: what the container has written lies where no path leads to it.
        """
        if self.upper is None and not self.annotations.keys().isdisjoint((SIZE, SCRATCH)):
            raise StateError(
                self.id,
                "found a sandbox, whose changes only the process that made it can read, expected another container: an "
                "archive of its root would lack them (an open sandbox has `files` and `changes`)",
            )
        above = () if self.upper is None else (self.upper,)
        return walk(open_layers((*above, *self.lower), self.marks))


def root_of(directory: str, id: str) -> Root:
    """The root of a container.

    :param directory: of the containers' states.
    :raises StateError: the container does not exist, is being created, or its state directory is broken.
    """
    state = state_dir.read(directory, id)
    if not state.bundle:
        raise StateError(id, "is still being created, or its create was cut off")
    data, words, _ = created_with({"id": id, "root": directory})
    config, _ = parse(data)
    notes = config.get("annotations") or {}
    linux = config.get("linux") or {}
    spaces = [each for each in linux.get("namespaces") or () if each.get("type") == "user"]
    owners = _owners(state, linux) if spaces else Owners()
    args = tuple((config.get("process") or {}).get("args") or ())
    if words.get("rootfs-annotations") != "1" or LOWER not in notes:
        return Root(id, None, (state.rootfs,), NONE, owners, notes, args)
    # As in compile/rootfs.py.
    is_users = spaces or Host().in_user_namespace
    lower = tuple([_beneath(state.bundle, each) for each in split(notes[LOWER])])
    upper = _beneath(state.bundle, notes[UPPER]) if UPPER in notes else None
    return Root(id, upper, lower, USER if is_users else TRUSTED, owners, notes, args)


def _beneath(bundle: str, path: str) -> str:
    return os.path.join(bundle, path)


def _owners(state: state_dir.State, linux: Mapping[str, Any]) -> Owners:
    """The mappings of a user namespace: those of config.json, or of the namespace that the container has joined.

    :raises StateError: the container has joined it and has ended.
    """
    kinds = ("uid", "gid")
    rows = [linux.get(f"{kind}Mappings") for kind in kinds]
    if all(rows):
        users, groups = [
            [(row["containerID"], row["hostID"], row["size"]) for row in each] for each in rows if each is not None
        ]
        return Owners.of(users, groups)
    if not state.pid:
        raise StateError(
            state.id, "has ended and had joined a user namespace, whose mappings are known only while it lives"
        )
    return Owners.of(*[_mapping_of(state.pid, kind, state.id) for kind in kinds])


def _mapping_of(pid: int, kind: str, id: str) -> list[Row]:
    try:
        with open(f"/proc/{pid}/{kind}_map") as file:
            return [(int(inside), int(outside), int(count)) for inside, outside, count in map(str.split, file)]
    except OSError as error:
        raise StateError(id, f"{kind}_map of process {pid}: {reason(error)}") from None
