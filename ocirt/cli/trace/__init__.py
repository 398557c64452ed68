"""``ocirt trace``: what a record of ``--trace`` or OCIRT_TRACE says, for people and for other programs."""

import os
import stat

from ...errors import OcirtError, RequestError, reason
from ..output import write
from ..record import MAGIC
from . import table
from .chrome import to_chrome
from .otlp import to_otlp
from .spans import BROKEN, read
from .svg import to_svg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..parser import CommandLine
    from .spans import Command

FORMATS: "dict[str, Callable[[list[Command]], str]]" = {
    "summary": table.summary,
    "table": table.table,
    "chrome": to_chrome,
    "otlp": to_otlp,
    "svg": to_svg,
}
"""``--format``."""
LARGEST = 1 << 30
"""The bytes of a record, at most: those of 16,000 commands. A sparse file could be larger than memory."""


def run(line: "CommandLine") -> None:
    """Print the record in the wanted format, and draw it if ``--svg`` asks for that.

    :raises OcirtError: the record cannot be read, or the picture cannot be written.
    """
    path, options = line.arguments[0], line.options
    try:
        data = _data(path)
    except IsADirectoryError:
        raise RequestError(
            f"{path}: found a directory, expected a file: each container has one in it, ID.trace"
        ) from None
    except OSError as error:
        raise RequestError(f"{path}: {reason(error)}") from None
    if options.svg and _holds_record(options.svg):
        raise RequestError(f"--svg {options.svg}: found a record, expected another file, or none", "--svg")
    try:
        commands = read(data)
    except ValueError:
        raise RequestError(f"{path}: found something else, expected a record that ocirt --trace has written") from None
    if not commands:
        raise RequestError(f"{path}: found no span, expected those of a command")
    write(FORMATS[options.format or "summary"](commands))
    if options.svg:
        try:
            with open(options.svg, "w", encoding="utf-8") as file:
                file.write(to_svg(commands))
        except OSError as error:
            raise OcirtError(f"--svg {options.svg}: {reason(error)}") from None
    broken = [f"{path}: {level}: {words}" for each in commands for level, words in each.notes if level in BROKEN]
    if broken:
        raise OcirtError(f"{broken[0]}; what stands above is all that could be read")


def _data(path: str) -> bytes:
    """The file's bytes, or only the first if it is no record: a device may have no end.

    :raises RequestError: the file is a pipe, or too large.
    :raises OSError: the file cannot be read.
    """
    # Nobody may have the other end of a pipe open.
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        kind = os.fstat(file.fileno()).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError
        if stat.S_ISFIFO(kind):
            raise RequestError(f"{path}: found a pipe, expected a file that ocirt --trace has written")
        data = file.read(len(MAGIC))
        size = os.fstat(file.fileno()).st_size
        if data == MAGIC and size > LARGEST:
            raise RequestError(f"{path}: found {size} bytes, expected at most {LARGEST}: name a new file now and then")
        return data + file.read() if data == MAGIC else data


def _holds_record(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and _data(path).startswith(MAGIC)
    except OSError:
        return False
