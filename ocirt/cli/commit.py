"""``ocirt commit``: an image of what a container has written."""

import os

from ..errors import RequestError
from ..images.operations import commit
from ..images.unpack import SIZE_MAX
from ..library.arguments import size
from ..library.lifecycle import Lifecycle
from ..library.runtime import Runtime
from ..library.waiting import drive
from .output import write
from .root import root_of
from .store import store_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .parser import CommandLine


def run(line: "CommandLine") -> None:
    """Make the image, and print its digest.

    :raises OcirtError: the container does not exist or is none of an image, or the store cannot be written.
    """
    options = line.options
    id, name = line.arguments
    # The executable that has started this process freezes the container and unpacks the layer.
    executable = os.readlink(f"/proc/self/fd/{line.executable}")
    life = Lifecycle.load(Runtime(executable=executable, root=root_of(options)), id)
    image = drive(
        commit(
            life,
            name,
            not options.no_pause,
            store=store_of(options),
            message=options.message or "",
            author=options.author or "",
            changes=options.change or (),
            compression=options.compression or "gzip",
            timestamp=_seconds(options.timestamp),
            max_size=size("--max-size", options.max_size or SIZE_MAX),
            warn=line.log.warning,
        )
    )
    write(f"{image.digest}\n")


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise RequestError(f"--timestamp {text}: expected seconds since the epoch", "timestamp")
    return int(text)
