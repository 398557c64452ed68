"""Making an image of what a container has written: a layer on the image that the container has been made from."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from typing import Any

from ..errors import StateError
from ..failures import ImageError
from ..library.runtime import Runtime
from ..library.thread import Stop, until
from . import documents, names
from .compress import Compression, Layer, Packed
from .documents import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor
from .image import Image
from .instructions import apply
from .layer_tar import Archive, Warn
from .process import IMAGE, settings_of
from .root import Root
from .store import Blob, Store
from .unpack import SIZE_MAX

DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
UNKNOWN = "how this layer was made is not recorded"
BASE = "org.opencontainers.image.base.digest"
"""The annotation of a manifest that names the one below."""


def commit(
    root: Root,
    name: str,
    store: Store,
    *,
    message: str = "",
    author: str = "",
    changes: Sequence[str] = (),
    compression: Compression = "gzip",
    timestamp: int | None = None,
    max_size: int = SIZE_MAX,
    warn: Warn | None = None,
    stop: Stop = lambda: False,
    runtime: Runtime | None = None,
) -> Image:
    """Add an image to the store: that of the container and a layer of what the container has written.

    :param name: the name that the image gets.
    :param message: the comment of the image's history.
    :param changes: instructions of a Dockerfile for the image's config (:mod:`.instructions`).
    :param timestamp: the time of the image, in seconds since the epoch, by default now. If it is given, it is also the
        time of every file that is newer, so that the same change always gives the same image.
    :param max_size: the most bytes of the layer's archive.
    :param warn: gets a line about each file that a layer cannot have.
    :param stop: is asked from time to time whether to give up.
    :raises StateError: the container has not been made from an image of the store.
    :raises ImageError: a layer cannot have one of the files, or the store cannot be written.
    """
    given = str(names.parse(name))
    created = _timestamp(int(time.time()) if timestamp is None else timestamp)
    base = _base(root, store, runtime)
    settings = apply(settings_of(base.config), changes)
    archive = Archive(root.owners, newest=timestamp, warn=warn, limit=max_size)
    packed = Packed(until(stop, archive.layer(root.written())), compression)
    step = {"created": created, "created_by": shlex.join(root.args), "author": author, "comment": message}
    with store.adding():
        store.add_blob(packed)
        layer = packed.layer
        whole = dict(base.config) | {
            "created": created,
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [*base.diff_ids, layer.diff_id]},
            "history": [*_history(base), {name: value for name, value in step.items() if value}],
        }
        if author:
            whole["author"] = author
        digest = store.add_document(_manifest(base, layer, store.add_document(whole))).digest
        image = Image.find(digest, store=store, max_size=max_size, runtime=runtime)
        store.tag(given, digest, OCI_MANIFEST)
    image.name = given
    return image


def _manifest(base: Image, layer: Layer, config: Blob) -> dict[str, Any]:
    """The manifest of an image with one layer more than ``base``."""
    layers = [_as_oci(each) for each in documents.descriptors(base.manifest, "layers", base.digest)]
    layers.append(Descriptor(layer.media_type, layer.digest, layer.size))
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(OCI_CONFIG, config.digest, config.size).to_json(),
        "layers": [each.to_json() for each in layers],
        "annotations": {BASE: base.digest},
    }


def _base(root: Root, store: Store, runtime: Runtime | None) -> Image:
    """The image that the container has been made from.

    :raises StateError: it has not been made from one, or has other layers by now.
    """
    digest = root.annotations.get(IMAGE, "")
    if not names.is_digest(digest):
        raise StateError(
            root.id, f"found no annotation {IMAGE}, expected a container of an image, as `ocirt run --image` makes it"
        )
    base = Image.find(digest, store=store, runtime=runtime)
    # Below the layers is an empty directory of the store, because the kernel takes no overlay of one directory.
    if root.lower not in (base.layers, (*base.layers, store.at("base"))):
        raise StateError(root.id, f"found other layers than those of its image {digest} in the store {store.path}")
    return base


def _history(base: Image) -> list[object]:
    """The history of an image, with an entry for each of its layers. An image need not have one, but tools refuse one
    that is not that of its layers.
    """
    found = base.config.get("history")
    history = list(found) if isinstance(found, list) else []
    known = [each for each in history if not (isinstance(each, dict) and each.get("empty_layer"))]
    return history + [{"comment": UNKNOWN}] * (len(base.layers) - len(known))


def _as_oci(layer: Descriptor) -> Descriptor:
    """The descriptor of a layer, in an OCI manifest: docker's names of the same archives are not allowed there."""
    suffix = layer.media_type.removeprefix(DOCKER_LAYER)
    if suffix == layer.media_type:
        return layer
    kind = OCI_LAYER + suffix.replace(".", "+")
    return Descriptor(kind, layer.digest, layer.size)


def _timestamp(seconds: int) -> str:
    """A time as an image's config has it (RFC 3339)."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        raise ImageError(f"timestamp: found {seconds}, expected seconds since the epoch") from None
