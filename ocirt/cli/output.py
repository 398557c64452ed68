"""Writing to standard output."""

import os

from ..errors import OcirtError, reason


def write(text: str) -> None:
    """Write ``text`` as UTF-8, whatever the locale, at once.

    :raises OcirtError: standard output takes no more (a full disk, a closed descriptor). A pipe whose
        reader is gone ends the process with SIGPIPE, as it ends a program in C.
    """
    data = memoryview(text.encode("utf-8", "surrogateescape"))
    while data:
        try:
            data = data[os.write(1, data) :]
        except OSError as error:
            raise OcirtError(f"standard output: {reason(error)}") from None
