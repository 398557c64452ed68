"""Pushing an image to a registry. Of its blobs only those are sent that the registry does not have."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin

from ..failures import ImageError
from . import credentials, documents, names
from .documents import Descriptor, Manifest
from .names import Name
from .pull import AT_ONCE, OnProgress, Progress
from .registry import NOT_FOUND, OK, Registry
from .store import CHUNK, Path, Store

CREATED, ACCEPTED = 201, 202


@dataclass(frozen=True, slots=True)
class Options:
    """How to push: see :meth:`ocirt.Image.push`."""

    insecure: bool
    credentials: tuple[str, str] | None
    auth_files: Sequence[Path]
    progress: OnProgress


def push(store: Store, digest: str, name: Name, options: Options) -> None:
    """Send an image of the store to a registry, the manifest last: until then the registry has no new image.

    :param digest: of the image's manifest.
    :param name: where the image goes.
    :raises ImageError: the registry cannot be reached, or refuses the image.
    """
    data = store.read(digest)
    files = [str(each) for each in options.auth_files]
    known = options.credentials or credentials.find(name, files)
    with closing(Target(name.registry, name, known, options.insecure)) as target:
        target.connect()
        _push(store, digest, data, name, target, options.progress)


def _push(store: Store, digest: str, data: bytes, name: Name, target: Target, progress: OnProgress) -> None:
    document = documents.parse(data, digest)
    manifest = Manifest.parse(document, digest)
    lock, cancelled = threading.Lock(), threading.Event()

    def say(phase: str, blob: Descriptor, count: int) -> None:
        with lock:
            progress(Progress(phase, blob.digest, blob.size, count))

    def send(blob: Descriptor) -> None:
        if cancelled.is_set():
            return
        if not target.has(blob) and not target.mount(blob, _elsewhere(store, name, blob.digest)):
            target.send(blob, _Content(store.blob(blob.digest), blob, say, cancelled.is_set))
        say("done", blob, blob.size)

    blobs = {each.digest: each for each in (*manifest.layers, manifest.config)}
    with ThreadPoolExecutor(AT_ONCE, "ocirt-push") as pool:
        works = [pool.submit(send, each) for each in blobs.values()]
        try:
            wait(works, return_when=FIRST_EXCEPTION)
            for each in works:
                if each.done():
                    each.result()
        finally:
            cancelled.set()  # whatever is not done now has no use any more
    target.put_manifest(name.tag or digest, data, documents.kind_of(document), digest)


def _elsewhere(store: Store, name: Name, digest: str) -> Iterator[str]:
    """Other repositories of this registry that should have the blob, because images of the store are from there."""
    seen = {name.repository}
    for text, manifest in store.names().items():
        other = names.parse(text)
        if other.registry == name.registry and other.repository not in seen and store.has_blob(manifest):
            document = documents.parse(store.read(manifest), manifest)
            if any(isinstance(each, dict) and each.get("digest") == digest for each in document.get("layers") or ()):
                seen.add(other.repository)
                yield other.repository


class Target(Registry):
    """A registry that gets an image."""

    def has(self, blob: Descriptor) -> bool:
        answer = self._ask("HEAD", self.url(self.repository, "blobs", blob.digest))
        if answer.status_code not in (OK, NOT_FOUND):
            raise self._refusal(answer)
        answer.close()
        return bool(answer.status_code == OK)

    def mount(self, blob: Descriptor, repositories: Iterator[str]) -> bool:
        """Let the registry take a blob from another repository of its own.

        :returns: whether it has.
        """
        for repository in repositories:
            query = {"mount": blob.digest, "from": repository}
            answer = self._ask("POST", self._uploads(query), {"Content-Length": "0"})
            answer.close()
            if answer.status_code == CREATED:
                return True
            if answer.status_code == ACCEPTED:  # it began an upload instead
                self._ask("DELETE", self._place(answer)).close()
        return False

    def send(self, blob: Descriptor, content: _Content) -> None:
        answer = self._ask("POST", self._uploads({}), {"Content-Length": "0"})
        self._check(answer, ACCEPTED)
        place = self._place(answer)
        place += ("&" if "?" in place else "?") + urlencode({"digest": blob.digest})
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        self._check(self._ask("PUT", place, headers, content), CREATED)

    def put_manifest(self, reference: str, data: bytes, media_type: str, digest: str) -> None:
        answer = self._ask("PUT", self.url(self.repository, "manifests", reference), {"Content-Type": media_type}, data)
        self._check(answer, CREATED)
        found = answer.headers.get("Docker-Content-Digest", digest)
        if found != digest:
            raise ImageError(f"registry {self.host}: {self.name}: took the manifest as {found}, expected {digest}")

    def _uploads(self, query: Mapping[str, str]) -> str:
        url = self.url(self.repository, "blobs", "uploads/")
        return f"{url}?{urlencode(query)}" if query else url

    def _place(self, answer: Any) -> str:
        """Where an upload goes."""
        place = answer.headers.get("Location")
        if not place:
            raise ImageError(f"registry {self.host}: {self.name}: does not say where to send a blob (Location)")
        return urljoin(str(answer.url), str(place))

    def _check(self, answer: Any, expected: int) -> None:
        try:
            if answer.status_code != expected:
                raise self._refusal(answer)
        finally:
            answer.close()

    def _ask(self, method: str, url: str, headers: Mapping[str, str] | None = None, data: Any = None) -> Any:
        with self._errors():
            return self._answer(url, method, headers or {}, data)


class _Content:
    """A blob as the body of a request, which may be sent again."""

    def __init__(
        self,
        path: str,
        blob: Descriptor,
        say: Callable[[str, Descriptor, int], None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        self._path, self._blob, self._say, self._is_cancelled = path, blob, say, is_cancelled

    def __len__(self) -> int:
        return self._blob.size

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        with open(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC), "rb", buffering=0) as file:
            while data := file.read(CHUNK):
                if self._is_cancelled():
                    raise ImageError("the push was cancelled")
                yield data
                sent += len(data)
                self._say("push", self._blob, sent)
