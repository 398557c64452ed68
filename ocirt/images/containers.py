"""The writable directories of containers that ``ocirt run --image`` makes: ``containers/ID`` of the store, which is
the container's bundle, too. It is the container's as long as the process that makes it or the container exists.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from ..errors import StateError
from ..library.remove import remove_tree
from ..process_stat import start_time_of
from .image import Image
from .store import Store

RECORD = "container.json"


@dataclass(frozen=True, slots=True)
class Record:
    """Whose directory this is.

    :ivar root: the directory of the containers' states.
    :ivar id: the container's.
    :ivar image: the digest of its image's manifest.
    :ivar pid: the process that makes the container.
    :ivar started: when that process began, in the kernel's ticks: a pid alone may be another process later.
    """

    root: str
    id: str
    image: str
    pid: int
    started: int

    def is_used(self) -> bool:
        return os.path.isdir(os.path.join(self.root, self.id)) or start_time_of(self.pid) == self.started


def make(store: Store, root: str, id: str, image: Image) -> str:
    """Make the directories of a container, and remove those that are left of others. The caller is in
    :meth:`.store.Store.adding`.

    :returns: the directory, with ``rootfs``, ``upper`` and ``work`` in it.
    :raises StateError: a container with this id has one already.
    """
    with store.locked("containers"):
        return _make(store, root, id, image)


def _make(store: Store, root: str, id: str, image: Image) -> str:
    _remove_left(store)
    path = store.at("containers", id)
    record = _read(path)
    if record is not None and record.is_used():
        raise StateError(id, f"its directory {path} belongs to a container of {record.root}; delete that first")
    pid = os.getpid()
    made = Record(os.path.abspath(root), id, image.digest, pid, start_time_of(pid))
    new = store.temporary()
    with store.errors():
        os.mkdir(new, 0o700)
        for name in ("rootfs", "upper", "work"):
            os.mkdir(os.path.join(new, name), 0o755)
        with open(os.path.join(new, RECORD), "x") as file:
            json.dump(asdict(made), file)
        os.rename(new, path)
    return path


def records(store: Store) -> Iterator[Record]:
    """The records of all containers."""
    for id in sorted(os.listdir(store.at("containers"))):
        record = _read(store.at("containers", id))
        if record is not None:
            yield record


def roots(store: Store) -> list[str]:
    """The directories of the states of these containers."""
    return [record.root for record in records(store)]


def remove_left(store: Store) -> None:
    """Remove what is left of containers that do not exist any more. The caller is in :meth:`.store.Store.removing`."""
    with store.locked("containers"):
        _remove_left(store)


def _remove_left(store: Store) -> None:
    for id in os.listdir(store.at("containers")):
        path = store.at("containers", id)
        record = _read(path)
        if record is None or not record.is_used():
            remove_tree(path)


def _read(path: str) -> Record | None:
    try:
        with open(os.path.join(path, RECORD)) as file:
            return Record(**json.load(file))
    except (FileNotFoundError, ValueError, TypeError):
        return None
