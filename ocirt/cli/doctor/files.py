"""Files that engines read. Anybody may have put anything at their paths."""

import os
import stat

LIMIT = 4 << 20
"""Bytes: far more than any configuration has."""


def text_of(path: str) -> str:
    """The text of a file; it is empty if the file does not exist.

    :raises OSError: this process cannot read the file.
    :raises ValueError: it is no regular file, has more than LIMIT bytes, or is no UTF-8.
    """
    try:
        # Without a wait for somebody who writes to a FIFO.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError(f"{path}: is no regular file")
        data = os.read(fd, LIMIT + 1)
    finally:
        os.close(fd)
    if len(data) > LIMIT:
        raise ValueError(f"{path}: has more than {LIMIT >> 20} MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
