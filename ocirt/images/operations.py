"""What the library does with the root of a container, as operations (:mod:`ocirt.library.waiting`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO, TypeVar

from ..errors import StateError
from ..library.lifecycle import Lifecycle
from ..library.thread import Stop, in_thread, until
from ..library.waiting import Operation
from ..library.warn import warn
from . import commit as commits
from .compress import Compression
from .image import Image
from .layer_tar import Archive, Warn
from .overlay import Change
from .root import Root, root_of
from .store import Path, Store

Value = TypeVar("Value")


def store_of(store: Store | Path | None) -> Store:
    """A store that an argument names."""
    return store if isinstance(store, Store) else Store(store)


def frozen(life: Lifecycle, pause: bool, work: Callable[[Root, Stop], Value]) -> Operation[Value]:
    """Do ``work`` with the root of a container, in a thread.

    :param pause: freeze the container meanwhile, if it runs.
    :raises StateError: the container does not exist.
    """
    is_paused = pause and life.state().status == "running"
    if is_paused:
        yield from life.pause()
    try:
        return (yield from in_thread(lambda stop: work(root_of(life.runtime.root, life.id), stop)))
    finally:
        if is_paused:
            try:
                yield from life.resume()
            except StateError:
                pass  # somebody has killed it meanwhile


def commit(
    life: Lifecycle,
    name: str,
    pause: bool,
    *,
    store: Store,
    message: str,
    author: str,
    changes: Sequence[str],
    compression: Compression,
    timestamp: int | None,
    max_size: int,
    warn: Warn = warn,
) -> Operation[Image]:
    """Make an image of what a container has written, see :func:`.commit.commit`.

    :param warn: as there; by default it is a warning of the library.
    """

    def work(root: Root, stop: Stop) -> Image:
        return commits.commit(
            root,
            name,
            store,
            message=message,
            author=author,
            changes=changes,
            compression=compression,
            timestamp=timestamp,
            max_size=max_size,
            warn=warn,
            stop=stop,
            runtime=life.runtime,
        )

    return (yield from frozen(life, pause, work))


def changes(life: Lifecycle, pause: bool) -> Operation[list[Change]]:
    """What a container has changed in its root."""
    return (yield from frozen(life, pause, lambda root, stop: list(until(stop, root.changes()))))


def export(life: Lifecycle, file: IO[bytes], pause: bool) -> Operation[None]:
    """Write the whole root of a container to a file, as a tar archive."""

    def write(root: Root, stop: Stop) -> None:
        for data in until(stop, Archive(root.owners, warn=warn).tree(root.files())):
            file.write(data)

    yield from frozen(life, pause, write)
