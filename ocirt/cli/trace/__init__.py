"""``ocirt trace``: what a record of ``--trace`` or OCIRT_TRACE says, for people and for other programs."""

from ...errors import OcirtError, RequestError, reason
from ..output import write
from ..record import MAGIC
from . import table
from .chrome import to_chrome
from .otlp import to_otlp
from .spans import read
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


def run(line: "CommandLine") -> None:
    """Print the record in the wanted format, and draw it if ``--svg`` asks for that.

    :raises OcirtError: the record cannot be read, or the picture cannot be written.
    """
    path, options = line.arguments[0], line.options
    try:
        with open(path, "rb") as file:
            data = file.read(len(MAGIC))
            if data == MAGIC:  # a device may have no end
                data += file.read()
    except IsADirectoryError:
        raise RequestError(
            f"{path}: found a directory, expected a file: each container has one in it, ID.trace"
        ) from None
    except OSError as error:
        raise RequestError(f"{path}: {reason(error)}") from None
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
