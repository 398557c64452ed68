"""Removing a tree of files. As a script, it is the hook that removes the writable directories of a container that has
been deleted: ``remove.py DIRECTORY``. It imports nothing of ocirt, because it runs as a file.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def remove_tree(path: str) -> None:
    """Remove a file or a directory with everything in it, without following links. A missing one is no error, and
    neither is what another process removes meanwhile. Directories that their owner may not write are made writable.
    """
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
    except FileNotFoundError:
        return
    shutil.rmtree(path, onerror=_once_more)


def _once_more(function: Callable[..., Any], path: str, failure: Any) -> None:
    error = failure[1]
    if isinstance(error, FileNotFoundError):
        return
    if not isinstance(error, PermissionError) or os.geteuid() == 0:
        raise error
    for directory in (os.path.dirname(path), path):
        if stat.S_ISDIR(os.lstat(directory).st_mode):
            os.chmod(directory, 0o700)
    if function in (os.unlink, os.rmdir):
        function(path)
    else:  # the directory could not be listed
        shutil.rmtree(path, onerror=_once_more)


if __name__ == "__main__":
    remove_tree(sys.argv[1])
