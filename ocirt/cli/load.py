"""``ocirt load``: add an image from a file to the store."""

from ..images.image import Image
from ..images.unpack import SIZE_MAX
from .output import write
from .store import runtime_of, store_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .parser import CommandLine


def run(line: "CommandLine") -> None:
    """Load the image, and print its name, or its digest if it has none.

    :raises OcirtError: the file is broken, or the store cannot be written.
    """
    options = line.options
    image = Image.load(
        line.arguments[0],
        name=options.name,
        reference=options.reference,
        platform=options.platform,
        store=store_of(options),
        runtime=runtime_of(options),
        max_size=options.max_size or SIZE_MAX,
    )
    write(f"{image.name or image.digest}\n")
