"""Where an image comes from, other than from a registry: a directory or an archive with an OCI image layout, or an
archive of ``docker save``. Nothing is extracted here: blobs are read through an open file, and the store checks them.
"""

from __future__ import annotations

import os
import posixpath
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from ..errors import reason
from ..failures import ImageError
from . import documents, names
from .documents import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor, Manifest
from .store import CHUNK, DOCUMENT_MAX, NAME, Store, hex_of

CONTAINERD_NAME = "io.containerd.image.name"
"""The annotation in which docker and containerd write the whole name; they write only the tag in that of OCI."""
INDEXES_DEEP = 4
"""How many indexes may lead to a manifest."""


class Source(ABC):
    """Files by their names in a layout."""

    def __init__(self, path: str) -> None:
        self.path = path

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Open a file.

        :raises FileNotFoundError: it does not exist.
        """

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a file.

        :raises ImageError: it cannot be read.
        """
        try:
            with self.open(name) as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except (OSError, EOFError, tarfile.TarError) as error:
            said = reason(error) if isinstance(error, OSError) else str(error)
            raise ImageError(f"{self.path}: {name}: {said}") from None

    def document(self, name: str) -> bytes:
        """The content of a small file."""
        data = b""
        for chunk in self.chunks(name):
            data += chunk
            if len(data) > DOCUMENT_MAX:
                raise ImageError(f"{self.path}: {name}: found more than {DOCUMENT_MAX} bytes for a JSON document")
        return data

    def has(self, name: str) -> bool:
        try:
            self.open(name).close()
            return True
        except FileNotFoundError:
            return False


class Directory(Source):
    def open(self, name: str) -> IO[bytes]:
        return open(os.path.join(self.path, name), "rb")


class Archive(Source):
    """A tar archive, which may be compressed."""

    def __init__(self, path: str, archive: tarfile.TarFile) -> None:
        super().__init__(path)
        self.archive = archive
        self.members = {posixpath.normpath(each.name): each for each in archive}

    def open(self, name: str) -> IO[bytes]:
        member = self.members.get(posixpath.normpath(name))
        if member is not None and member.issym():  # docker save: a layer that an earlier image of the archive has
            member = self.members.get(posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname)))
        file = None if member is None or not member.isreg() else self.archive.extractfile(member)
        if file is None:
            raise FileNotFoundError(2, "no such file in the archive", name)
        return file


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Source]:
    """Open a layout or an archive.

    :raises ImageError: the path is neither.
    """
    path = os.path.abspath(os.fspath(path))
    try:
        if os.path.isdir(path):
            yield Directory(path)
            return
        archive = tarfile.open(path)
    except (OSError, EOFError, tarfile.TarError) as error:
        said = reason(error) if isinstance(error, OSError) else "found no tar archive and no directory"
        raise ImageError(
            f"{path}: {said}; expected an OCI image layout, or an archive of one or of docker save"
        ) from None
    with archive:
        try:
            source = Archive(path, archive)
        except (OSError, EOFError, tarfile.TarError) as error:
            raise ImageError(f"{path}: broken archive: {error}") from None
        yield source


def load(source: Source, store: Store, wanted: str | None, platform: str | None) -> tuple[str, str, list[str]]:
    """Add an image of ``source`` to the store: its manifest, config and layers. The caller is in
    :meth:`~.store.Store.adding`.

    :param wanted: the name or tag of the image in the layout; ``None``: the only one.
    :returns: digest and media type of its manifest, and the names that the source gives it.
    :raises ImageError: the source has no such image, or is broken.
    """
    if source.has("index.json"):
        return _load_layout(source, store, wanted, platform)
    if source.has("manifest.json"):
        return _load_docker(source, store, wanted)
    raise ImageError(f"{source.path}: found neither index.json (OCI) nor manifest.json (docker save)")


def _load_layout(source: Source, store: Store, wanted: str | None, platform: str | None) -> tuple[str, str, list[str]]:
    at = f"{source.path}: index.json"
    entries = documents.descriptors(documents.parse(source.document("index.json"), at), "manifests", at)
    named = {each.annotations.get(CONTAINERD_NAME) or each.annotations.get(NAME, "") for each in entries}
    if wanted is not None:
        entries = [each for each in entries if _is_named(each, wanted)]
        if not entries:
            raise ImageError(
                f"{at}: found no image {wanted}, only {', '.join(sorted(filter(None, named))) or 'unnamed ones'}"
            )
    elif len(named) > 1:
        raise ImageError(f"{at}: found the images {', '.join(sorted(filter(None, named)))}; choose one by its name")
    chosen = documents.choose(entries, platform, at)
    given = [chosen.annotations.get(CONTAINERD_NAME) or chosen.annotations.get(NAME, "")]
    for _ in range(INDEXES_DEEP):
        data = source.document(_file_of(chosen.digest))
        document = documents.parse(data, f"{source.path}: {chosen.digest}")
        kind = documents.kind_of(document, chosen.media_type)
        if kind in documents.MANIFESTS:
            break
        at = f"{source.path}: {chosen.digest}"
        # Nothing of an index is in the store, which would check its digest.
        chosen = documents.choose(documents.descriptors(document, "manifests", at), platform, at)
    else:
        raise ImageError(f"{source.path}: found indexes in indexes, more than {INDEXES_DEEP}")
    manifest = Manifest.parse(document, f"{source.path}: {chosen.digest}")
    store.add_blob([data], digest=chosen.digest)
    for each in (manifest.config, *manifest.layers):
        store.add_blob(source.chunks(_file_of(each.digest)), digest=each.digest, size=each.size)
    return chosen.digest, kind, [name for name in given if "/" in name or ":" in name]


def _is_named(entry: Descriptor, wanted: str) -> bool:
    known = {entry.annotations.get(key, "") for key in (NAME, CONTAINERD_NAME)} - {""}
    return bool(known & {wanted, str(names.parse(wanted))})


def _file_of(digest: str) -> str:
    return f"blobs/sha256/{hex_of(digest)}"


def _load_docker(source: Source, store: Store, wanted: str | None) -> tuple[str, str, list[str]]:
    """An archive of ``docker save``: it has no manifest in the sense of OCI, so one is made."""
    at = f"{source.path}: manifest.json"
    try:
        found = documents.parse(b'{"images":%b}' % source.document("manifest.json"), at)["images"]
        images = [
            (str(each["Config"]), _strings(each["Layers"]), _strings(each.get("RepoTags") or [])) for each in found
        ]
    except (KeyError, TypeError, AttributeError):
        raise ImageError(f"{at}: found no array of objects with Config and Layers") from None
    if wanted is not None:
        images = [each for each in images if str(names.parse(wanted)) in [str(names.parse(tag)) for tag in each[2]]]
    if len(images) != 1:
        raise ImageError(f"{at}: found {len(images)} images" + (f" {wanted}" if wanted else "; choose one by its name"))
    name, files, tags = images[0]
    data = source.document(name)
    config = store.add_blob([data])
    layers = [store.add_blob(source.chunks(file)) for file in files]
    made: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(OCI_CONFIG, config.digest, config.size).to_json(),
        "layers": [Descriptor(OCI_LAYER, each.digest, each.size).to_json() for each in layers],
    }
    return store.add_document(made).digest, OCI_MANIFEST, tags


def _strings(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError
    return value
