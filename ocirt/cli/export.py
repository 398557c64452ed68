"""``ocirt export``: the whole root of a container as a tar archive."""

import os

from ..errors import OcirtError, RequestError, reason
from ..images.layer_tar import Archive
from ..images.root import root_of
from .root import root_of as states_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from .parser import CommandLine


def run(line: "CommandLine") -> None:
    """Write the archive to standard output or to the file of ``--output``, which gets its name when it is complete.

    :raises OcirtError: the container does not exist, a file of it cannot be read, or the archive cannot be written.
    """
    root = root_of(states_of(line.options), line.arguments[0])
    archive = Archive(root.owners, warn=line.log.warning).tree(root.files())
    if line.options.output:
        _save(archive, os.path.abspath(line.options.output))
    elif os.isatty(1):
        raise RequestError(
            "export writes a tar archive, and standard output is a terminal: use --output FILE", "output"
        )
    else:
        _write(archive, 1, "standard output")


def _save(archive: "Iterable[bytes]", path: str) -> None:
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe or a device, which must not be replaced
        with _opened(path, os.O_WRONLY, path) as file:
            return _write(archive, file.fileno(), f"--output {path}")
    temporary = f"{path}.{os.getpid()}.new"
    try:
        with _opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, path) as file:
            _write(archive, file.fileno(), f"--output {path}")
        os.rename(temporary, path)
    except OSError as error:
        raise OcirtError(f"--output {path}: {reason(error)}") from None
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)


def _opened(name: str, flags: int, path: str) -> "BinaryIO":
    try:
        return open(os.open(name, flags | os.O_CLOEXEC, 0o666), "wb", buffering=0)
    except OSError as error:
        raise OcirtError(f"--output {path}: {reason(error)}") from None


def _write(archive: "Iterable[bytes]", fd: int, name: str) -> None:
    for data in archive:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(fd, rest) :]
            except OSError as error:
                raise OcirtError(f"{name}: {reason(error)}") from None
