"""``ocirt push``: send an image to a registry."""

import os

from ..images.credentials import default_files
from ..images.image import Image
from .output import write
from .pull import shown
from .store import store_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .parser import CommandLine


def run(line: "CommandLine") -> None:
    """Push the image, and print its digest.

    :raises OcirtError: the store does not have it, or the registry refuses it.
    """
    options = line.options
    image = Image.find(line.arguments[0], store=store_of(options))
    name = line.arguments[1] if len(line.arguments) > 1 else image.name
    files = [options.auth_file] if options.auth_file else default_files(os.environ)
    with shown(not options.quiet and os.isatty(2), name) as progress:
        image.push(name, insecure=bool(options.insecure), auth_files=files, progress=progress)
    write(f"{image.digest}\n")
