"""What the verbs on images share: the store, and how sizes and times are shown."""

import os

from ..images.store import Store, default_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def store_of(options: "Namespace") -> Store:
    """The content store: ``--store``, or :func:`~ocirt.images.store.default_path` for this environment."""
    return Store(options.store or default_path(os.environ))


def shown_size(size: int) -> str:
    """A number of bytes for a person."""
    value, unit = float(size), UNITS[0]
    for unit in UNITS:
        if value < 1024 or unit == UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
