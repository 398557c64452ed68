"""``ocirt rmi``: remove images."""

from ..failures import NoImage
from ..images.names import parse
from ..images.prune import remove
from .output import write
from .root import root_of
from .store import store_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .parser import CommandLine


def run(line: "CommandLine") -> None:
    """Take the names from the images, and remove what nothing else uses.

    :raises NoImage: the store does not have one of them; those before it are removed.
    """
    store = store_of(line.options)
    for text in line.arguments:
        name = str(parse(text))
        if name not in store.names():
            raise NoImage(f"image {text}: not in the store {store.path}")
        remove(store, name, roots=[root_of(line.options)])
        write(f"{name}\n")
