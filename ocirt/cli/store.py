"""What the verbs on images share: the store, and how sizes and times are shown."""

import os

from ..images.store import Store, default_path
from ..library.runtime import Runtime
from .root import root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def store_of(options: "Namespace") -> Store:
    """The content store: ``--store``, or :func:`~ocirt.images.store.default_path` for this environment."""
    return Store(options.store or default_path(os.environ))


def runtime_of(options: "Namespace") -> Runtime:
    """The executable whose containers unpack layers, with the command line's directory of states."""
    return Runtime(root=root_of(options))


def shown_size(size: int) -> str:
    """A number of bytes for a person."""
    value, unit = float(size), UNITS[0]
    for unit in UNITS:
        if value < 1024 or unit == UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
