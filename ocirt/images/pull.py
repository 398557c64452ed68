"""Pulling an image: blobs beside each other, each unpacked as soon as it is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass

from ..failures import ImageError, NoImage
from ..library.runtime import Runtime
from . import cancel, credentials, documents
from .documents import Descriptor, Manifest
from .names import Name
from .registry import Registry
from .sources import INDEXES_DEEP
from .store import DOCUMENT_MAX, Path, Store
from .unpack import unpack

AT_ONCE = 3
"""Blobs that are fetched at the same time, as docker does it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a pull has done so far.

    :ivar phase: ``"pull"``, ``"unpack"`` or ``"done"``.
    :ivar digest: the digest of the layer or the config.
    :ivar size: bytes of the blob.
    :ivar count: bytes that have been received.
    """

    phase: str
    digest: str
    size: int
    count: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How to pull: see :meth:`ocirt.Image.pull`."""

    platform: str | None
    insecure: bool
    mirrors: tuple[str, ...]
    credentials: tuple[str, str] | None
    auth_files: Sequence[Path]
    progress: OnProgress
    max_size: int
    runtime: Runtime | None


def pull(store: Store, name: Name, options: Options) -> tuple[str, str]:
    """Add an image of a registry to the store, and unpack its layers. The caller is in :meth:`.store.Store.adding`.

    :returns: digest and media type of the manifest.
    :raises NoImage: no mirror, and not the registry itself, has the image.
    :raises ImageError: the registry cannot be reached, or what it sends is broken.
    """
    failures = []
    for host in (*options.mirrors, name.registry):
        is_mirror = host != name.registry
        known = options.credentials if not is_mirror else None
        found = known or credentials.find(
            Name(host.partition("/")[0], name.repository, name.tag, name.digest) if is_mirror else name,
            [str(each) for each in options.auth_files],
        )
        with closing(Registry(host, name, found, options.insecure)) as registry:
            try:
                registry.connect()
                digest, kind, data = _manifest(registry, name, options.platform)
            except ImageError as error:
                failures.append(error)
                continue
            _add(store, registry, Manifest.parse(documents.parse(data, digest), digest), options)
            store.add_blob([data], digest=digest)
            return digest, kind
    missing = all(isinstance(each, NoImage) for each in failures)
    raise (NoImage if missing else ImageError)("; ".join(map(str, failures)))


def _manifest(registry: Registry, name: Name, platform: str | None) -> tuple[str, str, bytes]:
    """Digest, media type and content of the manifest for a platform."""
    reference = name.reference
    for _ in range(INDEXES_DEEP):
        data, kind = registry.manifest(reference)
        document = documents.parse(data, str(name))
        kind = documents.kind_of(document, kind)
        if kind in documents.MANIFESTS:
            return documents.digest_of(data), kind, data
        reference = documents.choose(
            documents.descriptors(document, "manifests", str(name)), platform, str(name)
        ).digest
    raise ImageError(f"{name}: found indexes in indexes, more than {INDEXES_DEEP}")


def _add(store: Store, registry: Registry, manifest: Manifest, options: Options) -> None:
    """Add what a manifest names."""
    asked, given_up, lock = cancel.current(), threading.Event(), threading.Lock()

    def is_over() -> bool:
        return given_up.is_set() or asked()

    def say(phase: str, each: Descriptor, count: int) -> None:
        with lock:
            options.progress(Progress(phase, each.digest, each.size, count))

    def fetch(each: Descriptor, limit: int) -> None:
        received = 0

        def written(count: int) -> None:
            nonlocal received
            received += count
            say("pull", each, received)

        chunks: Iterator[bytes] = registry.blob(each, is_over)
        store.add_blob(chunks, digest=each.digest, size=each.size, limit=limit, written=written)

    def fetch_and_unpack(each: Descriptor, diff_id: str) -> None:
        fetch(each, options.max_size)
        if not is_over():
            say("unpack", each, each.size)
            unpack(store, each.digest, diff_id, max_size=options.max_size, runtime=options.runtime)
            say("done", each, each.size)

    fetch(manifest.config, DOCUMENT_MAX)
    config = documents.parse(store.read(manifest.config.digest), manifest.config.digest)
    documents.check_platform(config, options.platform, manifest.config.digest)
    ids = documents.diff_ids(config, len(manifest.layers), manifest.config.digest)
    with ThreadPoolExecutor(AT_ONCE, "ocirt-pull") as pool:
        works = [pool.submit(fetch_and_unpack, each, id) for each, id in zip(manifest.layers, ids)]
        try:
            done, _ = wait(works, return_when=FIRST_EXCEPTION)
        except BaseException:
            given_up.set()
            pool.shutdown(cancel_futures=True)
            raise
        if any(each.exception() for each in done):
            given_up.set()
            pool.shutdown(cancel_futures=True)
    for each in works:
        if not each.cancelled() and (error := each.exception()) is not None and each in done:
            raise error
