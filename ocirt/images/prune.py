"""Removing what no image and no container uses."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .. import state_dir
from ..failures import ImageError
from ..library.remove import remove_tree
from ..library.runtime import default_root
from . import containers, documents
from .documents import Manifest
from .store import Path, Store, hex_of

STATE_FILES = ("config.json", "state.json")
"""Files of a container's state directory that name the layers of its root file system."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed: digests of blobs, diff ids of layers, and bytes of the blobs."""

    blobs: tuple[str, ...]
    layers: tuple[str, ...]
    size: int


def prune(store: Store | Path | None = None, *, roots: Sequence[Path] = ()) -> Pruned:
    """Remove blobs and unpacked layers that belong to no named image, to no :class:`~.image.Image` of a process, and to
    no container. Wait until no process adds anything, but not longer than a minute.

    :param store: the content store, or its directory; by default that of the command line.
    :param roots: further directories of containers' states; the command line's default is always looked at.
    :raises ImageError: the store cannot be read or written, or another process goes on adding to it.
    """
    chosen = store if isinstance(store, Store) else Store(store)
    if not os.path.isdir(chosen.path):
        return Pruned((), (), 0)
    with chosen.removing(), chosen.errors():
        containers.remove_left(chosen)
        mentioned = _mentioned([default_root(), *[os.fspath(each) for each in roots], *containers.roots(chosen)])
        mentioned += _records(chosen)
        blobs, layers = _used(chosen, mentioned)
        removed = _remove(chosen, blobs, layers)
        for name in os.listdir(chosen.at("locks")):
            os.unlink(chosen.at("locks", name))
    return removed


def remove(store: Store, name: str, *, roots: Sequence[Path] = ()) -> Pruned:
    """Take its name from an image, and remove what nothing uses then.

    :param name: the whole name.
    :raises KeyError: no image has this name.
    """
    with store.removing():
        store.untag(name)
    return prune(store, roots=roots)


def _mentioned(roots: Iterable[str]) -> bytes:
    """What the containers' state directories say, all in one: a digest that occurs in it is in use."""
    found = []
    for root in dict.fromkeys(map(os.path.abspath, roots)):
        for id in state_dir.ids(root):
            for name in STATE_FILES:
                try:
                    with open(os.path.join(root, id, name), "rb") as file:
                        found.append(file.read())
                except FileNotFoundError:  # not written yet, or deleted meanwhile
                    pass
    return b"\n".join(found)


def _records(store: Store) -> bytes:
    found = []
    for record in containers.records(store):
        found.append(record.image.encode())
    return b"\n".join(found)


def _used(store: Store, mentioned: bytes) -> tuple[set[str], set[str]]:
    """Digests of blobs, and diff ids of layers, that are in use."""
    named, blobs, layers = set(store.names().values()), set[str](), set[str]()
    for digest in _in(store, "blobs", "sha256"):
        if digest not in named and digest.encode() not in mentioned and not _is_held(store, digest):
            continue
        try:
            manifest = Manifest.parse(documents.parse(store.read(digest), digest), digest)
            config = documents.parse(store.read(manifest.config.digest), manifest.config.digest)
            ids = documents.diff_ids(config, len(manifest.layers), manifest.config.digest)
        except (ImageError, UnicodeDecodeError):  # no manifest: a layer whose digest is its diff id, for example
            continue
        blobs |= {digest, manifest.config.digest, *[each.digest for each in manifest.layers]}
        layers |= set(ids)
    layers |= {each for each in _in(store, "layers") if each.partition(":")[2].encode() in mentioned}
    return blobs, layers


def _is_held(store: Store, digest: str) -> bool:
    """Does an Image of any process hold this manifest?"""
    fd = os.open(store.blob(digest), os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def _in(store: Store, *names: str) -> list[str]:
    return [f"sha256:{name}" for name in sorted(os.listdir(store.at(*names)))]


def _remove(store: Store, blobs: set[str], layers: set[str]) -> Pruned:
    old_blobs = [each for each in _in(store, "blobs", "sha256") if each not in blobs]
    old_layers = [each for each in _in(store, "layers") if each not in layers]
    size = 0
    for digest in old_blobs:
        size += os.path.getsize(store.blob(digest))
        os.unlink(store.blob(digest))
    for blob in _in(store, "diff-ids"):
        if blob not in blobs:
            os.unlink(store.at("diff-ids", hex_of(blob)))
    for diff_id in old_layers:
        path = store.temporary()  # a process that is killed here leaves no half of a layer
        os.rename(store.layer(diff_id), path)
        remove_tree(path)
    return Pruned(tuple(old_blobs), tuple(old_layers), size)
