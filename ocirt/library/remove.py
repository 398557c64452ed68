"""Removing a tree of files that others have written, and may still be writing. As a script, this is the hook that removes
the writable directories of a container that has been deleted: ``remove.py DIRECTORY``. It imports nothing of ocirt,
because it runs as a file.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress

LEVELS_MAX = 512
"""How many directories are open at once."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: str) -> None:
    """Remove a file or a directory with everything in it, without following links. A missing one is no error."""
    above, name = os.path.split(os.path.abspath(path))
    with suppress(FileNotFoundError):
        directory = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            remove_beneath(directory, name)
        finally:
            os.close(directory)


def remove_beneath(directory: int, name: str) -> None:
    """Remove the file or directory ``name`` of an open directory. No link is followed, whatever others do meanwhile, and
    what they remove is no error. Directories that their owner may not write are made writable.

    :raises FileNotFoundError: it does not exist.
    :raises OSError: this fails.
    """
    if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=directory)
        return
    levels = [_Level(directory, name)]
    try:
        while levels:
            level = levels[-1]
            if not level.names:
                levels.pop()
                level.remove(levels[-1].fd if levels else directory)
                continue
            each = level.names.pop()
            try:
                os.unlink(each, dir_fd=level.fd)
            except FileNotFoundError:
                continue
            except IsADirectoryError:
                if len(levels) < LEVELS_MAX:
                    levels.append(_Level(level.fd, each))
                else:  # too deep: it goes on at the top
                    levels[0].names.append(f".{os.urandom(16).hex()}")
                    os.rename(each, levels[0].names[-1], src_dir_fd=level.fd, dst_dir_fd=levels[0].fd)
    finally:
        for level in levels:
            os.close(level.fd)


class _Level:
    """A directory that is being removed.

    :ivar fd: its descriptor.
    :ivar names: what is still in it.
    """

    def __init__(self, above: int, name: str) -> None:
        self.name = name
        try:
            self.fd = os.open(name, _DIRECTORY, dir_fd=above)
        except PermissionError:
            self.fd = _open_closed(above, name)
        try:
            if os.geteuid() != 0 and os.fstat(self.fd).st_mode & stat.S_IRWXU != stat.S_IRWXU:
                os.fchmod(self.fd, stat.S_IRWXU)
            self.names = os.listdir(self.fd)
        except BaseException:
            os.close(self.fd)
            raise

    def remove(self, above: int) -> None:
        """Remove the directory, which is empty."""
        os.close(self.fd)
        with suppress(FileNotFoundError):
            os.rmdir(self.name, dir_fd=above)


def _open_closed(above: int, name: str) -> int:
    """Open a directory that its owner may not read."""
    held = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    try:
        os.chmod(f"/proc/self/fd/{held}", stat.S_IRWXU)
        return os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(held)


if __name__ == "__main__":
    remove_tree(sys.argv[1])
