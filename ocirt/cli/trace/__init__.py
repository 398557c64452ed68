"""``ocirt trace``: what a record of ``--trace`` or OCIRT_TRACE says, for people and for other programs."""

from ...errors import OcirtError, RequestError, reason
from ..output import write
from . import table
from .chrome import to_chrome
from .otlp import to_otlp
from .spans import BEGINNING, read
from .svg import to_svg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..parser import CommandLine
    from .spans import Command

FORMATS: "dict[str, Callable[[list[Command]], str]]" = {
    "summary": table.summary,
    "table": table.table,
    "otlp": to_otlp,
    "svg": to_svg,
}
"""``--format``, beside ``chrome``, which is the record itself."""


def run(line: "CommandLine") -> None:
    """Print the record in the wanted format, and draw it if ``--svg`` asks for that.

    :raises OcirtError: the record cannot be read, or the picture cannot be written.
    """
    path, options = line.arguments[0], line.options
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(1)
            if text == BEGINNING:  # a device may have no end
                text += file.read()
    except IsADirectoryError:
        raise RequestError(
            f"{path}: found a directory, expected a file: each container has one in it, ID.json"
        ) from None
    except OSError as error:
        raise RequestError(f"{path}: {reason(error)}") from None
    try:
        commands = read(text)
        shown = to_chrome(text) if options.format == "chrome" else FORMATS[options.format or "summary"](commands)
    except ValueError:
        raise RequestError(f"{path}: found something else, expected a record that ocirt --trace has written") from None
    if not commands:
        raise RequestError(f"{path}: found no span, expected those of a command")
    write(shown)
    if options.svg:
        try:
            with open(options.svg, "w", encoding="utf-8") as file:
                file.write(to_svg(commands))
        except OSError as error:
            raise OcirtError(f"--svg {options.svg}: {reason(error)}") from None
