"""``ocirt prune``: remove what no image and no container uses from the store."""

from ..images.prune import prune
from .output import write
from .root import root_of
from .store import shown_size, store_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .parser import CommandLine


def run(line: "CommandLine") -> None:
    """Prune the store, and say what was removed.

    :raises OcirtError: the store cannot be read or written.
    """
    removed = prune(store_of(line.options), roots=[root_of(line.options)])
    write(f"removed {len(removed.layers)} layers and {len(removed.blobs)} blobs ({shown_size(removed.size)})\n")
