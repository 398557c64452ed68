"""Writing to standard output."""

import os

from ..errors import OcirtError, reason


def write(text: str) -> None:
    """Write ``text`` to standard output at once, as UTF-8 in any locale. If it is a pipe without a reader, SIGPIPE ends
    the process, as it ends a program in C.

    :raises OcirtError: standard output cannot be written (a full disk, a closed descriptor).
    """
    data = memoryview(text.encode("utf-8", "surrogateescape"))
    while data:
        try:
            data = data[os.write(1, data) :]
        except OSError as error:
            raise OcirtError(f"standard output: {reason(error)}") from None
