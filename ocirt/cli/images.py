"""``ocirt images``: the images of the store."""

import json

from ..images.documents import Manifest, parse
from .output import write
from .store import shown_size, store_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..images.store import Store
    from .parser import CommandLine

TITLES = ("NAME", "DIGEST", "CREATED", "SIZE")
DIGITS = 12


def run(line: "CommandLine") -> None:
    """Print the images that have a name.

    :raises OcirtError: the store cannot be read.
    """
    store = store_of(line.options)
    found = [_entry(store, name, digest) for name, digest in store.names().items()]
    if line.options.format == "json":
        write(json.dumps(found, indent=2) + "\n")
        return
    if line.options.quiet:
        write("".join([f"{each['name']}\n" for each in found]))
        return
    rows = [TITLES] + [
        (
            each["name"],
            each["digest"].removeprefix("sha256:")[:DIGITS],
            each["created"].partition(".")[0] or "-",
            shown_size(each["size"]),
        )
        for each in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TITLES))]
    write("".join(["  ".join([f"{text:{width}}" for text, width in zip(row, widths)]).rstrip() + "\n" for row in rows]))


def _entry(store: "Store", name: str, digest: str) -> "dict[str, Any]":
    manifest = Manifest.parse(parse(store.read(digest), digest), digest)
    config = parse(store.read(manifest.config.digest), manifest.config.digest)
    created = config.get("created")
    return {
        "name": name,
        "digest": digest,
        "created": created if isinstance(created, str) else "",
        "size": sum(each.size for each in manifest.layers),
        "platform": f"{config.get('os', '')}/{config.get('architecture', '')}",
    }
