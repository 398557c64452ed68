"""New directories of the host that a living process holds by a lock. On what a killed process has left nobody has a lock:
the next process that makes such a directory in the same place removes it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from weakref import finalize

from ..descriptor import Descriptor
from .remove import remove_tree

FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Undo = Callable[[int], None]


class HeldDirectory:
    """A new directory, which only this user can reach. It is removed when nothing in the process that has made it refers
    to this object any more, or with :meth:`close`.

    :param place: where it is made.
    :param prefix: how its name begins, and the names of those that killed processes have left.
    :param undo: what is to be done, beside the removal, for each directory that is removed. It gets a descriptor of the
        directory, which has no name any more.
    :ivar path: its path, absolute.
    :raises OSError: it cannot be made.
    """

    def __init__(self, place: str, prefix: str, undo: Undo | None = None) -> None:
        place = os.path.abspath(place)
        _remove_left(place, prefix, undo)
        self.path, self._lock = _make(place, prefix)
        self._removed = finalize(self, _close, self.path, self._lock, undo, os.getpid())

    def close(self) -> None:
        """Remove the directory with everything in it."""
        self._removed()

    @property
    def is_closed(self) -> bool:
        return not self._removed.alive

    def fileno(self) -> int:
        """A descriptor of the directory, which belongs to this object."""
        return self._lock.fileno()


def _make(place: str, prefix: str) -> tuple[str, Descriptor]:
    """A new directory with a lock on it."""
    while True:
        path = tempfile.mkdtemp(prefix=prefix, dir=place)
        with suppress(FileNotFoundError):  # before it had a lock, another process has removed it
            lock = Descriptor(os.open, path, FLAGS)
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
            if os.path.samestat(os.stat(path), os.fstat(lock.fileno())):
                return path, lock


def _close(path: str, lock: Descriptor, undo: Undo | None, maker: int) -> None:
    """:param maker: the process that has made the directory. In the child of a fork, the end of the object means nothing."""
    try:
        if os.getpid() == maker:
            _remove(path, lock, undo)
    finally:
        lock.close()


def _remove(path: str, lock: Descriptor, undo: Undo | None) -> None:
    remove_tree(path)
    if undo is not None:
        undo(lock.fileno())


def _remove_left(place: str, prefix: str, undo: Undo | None) -> None:
    """Remove what this user's processes that were killed have left. Everybody may write in /var/tmp, so directories of
    other users, and what is no directory, stay.
    """
    for name in os.listdir(place):
        if not name.startswith(prefix):
            continue
        path = os.path.join(place, name)
        with suppress(OSError):  # another process holds or removes it, or it cannot be removed
            lock = Descriptor(os.open, path, FLAGS)
            if os.fstat(lock.fileno()).st_uid == os.geteuid():
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(path, lock, undo)
