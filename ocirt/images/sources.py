"""Where an image comes from, other than from a registry: a directory or an archive with an OCI image layout, or an
archive of ``docker save``. Nothing is extracted here: blobs are read through an open file, and the store checks them.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import posixpath
import stat
import tarfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any, cast

from ..errors import RequestError, reason
from ..failures import ImageError
from . import documents, names
from .documents import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor, Manifest
from .store import CHUNK, DOCUMENT_MAX, NAME, Store, hex_of

CONTAINERD_NAME = "io.containerd.image.name"
"""The annotation in which docker and containerd write the whole name; they write only the tag in that of OCI."""
INDEXES_DEEP = 4
"""How many indexes may lead to a manifest."""
ENTRIES_MAX = 10_000
"""Of an archive. One with the most layers that an image may have needs a fifth of them."""
HEADER_MAX = 1 << 20
"""Bytes that an entry of an archive may have beside its content: a long name and attributes."""
COMPRESSED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
"""How compressed files begin, and what opens them."""
LAYER_SUFFIXES = {b"\x1f\x8b": "+gzip", b"\x28\xb5\x2f\xfd": "+zstd"}
"""How compressed layers begin, and what their media types have at the end."""


BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a compressed file raises if it is broken."""


class Source(ABC):
    """Files by their names in a layout."""

    def __init__(self, path: str) -> None:
        self.path = path

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Open a regular file. Its name comes from a stranger.

        :raises FileNotFoundError: it does not exist.
        :raises OSError: this is no name in the source, or no regular file.
        """

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a file.

        :raises ImageError: it cannot be read.
        """
        with self.opened(name) as file:
            while chunk := file.read(CHUNK):
                yield chunk

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """Open a file.

        :raises ImageError: it cannot be opened, or not be read in the block.
        """
        try:
            with self.open(name) as file:
                yield file
        except (*BROKEN, tarfile.TarError) as error:
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
        except OSError:  # it exists, and who reads it gets this error
            return True


class Directory(Source):
    """A directory. A link in it may lead anywhere: there are layouts whose blobs are links into a cache, and the store
    checks what they lead to.
    """

    def open(self, name: str) -> IO[bytes]:
        inside = posixpath.normpath(name)
        if posixpath.isabs(inside) or inside.split("/")[0] == "..":
            raise PermissionError(errno.EPERM, "leads out of the directory", name)
        # A fifo would have to be opened by a writer first.
        fd = os.open(os.path.join(self.path, inside), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise PermissionError(errno.EPERM, "is no regular file", name)
        return open(fd, "rb")


class Archive(Source):
    """A tar archive."""

    def __init__(self, path: str, archive: tarfile.TarFile) -> None:
        super().__init__(path)
        self.archive, self.members = archive, dict[str, tarfile.TarInfo]()
        for count, each in enumerate(archive):
            if count == ENTRIES_MAX:
                raise tarfile.ReadError(f"found more than {ENTRIES_MAX} entries")
            self.members[posixpath.normpath(each.name)] = each

    def open(self, name: str) -> IO[bytes]:
        member = self.members.get(posixpath.normpath(name))
        if member is not None and member.issym():  # docker save: a layer that an earlier image of the archive has
            member = self.members.get(posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname)))
        file = None if member is None or not member.isreg() else self.archive.extractfile(member)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "no such file in the archive", name)
        return file


class Entry(tarfile.TarInfo):
    """An entry whose own headers are bounded: a header may say that it has a gigabyte, and tarfile would have all of it in
    memory. Some versions read it in pieces, so that a limit for each read would not do.
    """

    HEADERS = (
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    )

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        """What tarfile lets subclasses override: called with each header, before what belongs to it is read."""
        if self.type in self.HEADERS and not 0 <= self.size <= HEADER_MAX:
            raise tarfile.ReadError(f"found a header of more than {HEADER_MAX} bytes")
        return cast("tarfile.TarInfo", super()._proc_member(archive))  # type: ignore[misc]


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Source]:
    """Open a layout or an archive.

    :raises ImageError: the path is neither.
    """
    path = os.path.abspath(os.fspath(path))
    if os.path.isdir(path):
        yield Directory(path)
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb"))
            archive = stack.enter_context(tarfile.open(fileobj=_uncompressed(file), mode="r:", tarinfo=Entry))
        except (*BROKEN, tarfile.TarError) as error:
            said = (
                reason(error) if isinstance(error, OSError) and error.errno else "found no tar archive and no directory"
            )
            raise ImageError(
                f"{path}: {said}; expected an OCI image layout, or an archive of one or of docker save"
            ) from None
        try:
            source = Archive(path, archive)
        except (*BROKEN, tarfile.TarError) as error:
            raise ImageError(f"{path}: broken archive: {error}") from None
        yield source


def _uncompressed(file: io.BufferedReader) -> IO[bytes]:
    head = file.peek(6)
    for begin, opens in COMPRESSED.items():
        if head.startswith(begin):
            return cast("IO[bytes]", opens(file))
    return file


def load(
    source: Source, store: Store, wanted: str | None, platform: str | None, max_size: int
) -> tuple[str, str, list[str]]:
    """Add an image of ``source`` to the store: its manifest, config and layers. The caller is in
    :meth:`~.store.Store.adding`.

    :param wanted: the name or tag of the image in the layout; ``None``: the only one.
    :param max_size: the most bytes of a layer.
    :returns: digest and media type of its manifest, and the names that the source gives it.
    :raises ImageError: the source has no such image, or is broken.
    """
    if source.has("index.json"):
        return _load_layout(source, store, wanted, platform, max_size)
    if source.has("manifest.json"):
        return _load_docker(source, store, wanted, platform, max_size)
    raise ImageError(f"{source.path}: found neither index.json (OCI) nor manifest.json (docker save)")


def _load_layout(
    source: Source, store: Store, wanted: str | None, platform: str | None, max_size: int
) -> tuple[str, str, list[str]]:
    at = f"{source.path}: index.json"
    entries = documents.descriptors(documents.parse(source.document("index.json"), at), "manifests", at)
    named = {_name_of(each) for each in entries}
    if wanted is not None:
        entries = [each for each in entries if _is_named(each, wanted)]
        if not entries:
            raise ImageError(
                f"{at}: found no image {wanted}, only {', '.join(sorted(filter(None, named))) or 'unnamed ones'}"
            )
    elif len(named) > 1 and len({each.digest for each in entries}) > 1:
        raise ImageError(
            f"{at}: found the images {', '.join(sorted(filter(None, named)))}; choose one by its name (reference=, --reference)"
        )
    chosen = documents.choose(entries, platform, at)
    given = [_name_of(each) for each in entries if each.digest == chosen.digest]
    for _ in range(INDEXES_DEEP):
        at = f"{source.path}: {chosen.digest}"
        data = source.document(_file_of(chosen.digest))
        if documents.digest_of(data) != chosen.digest:
            raise ImageError(f"{at}: found content with the digest {documents.digest_of(data)}")
        document = documents.parse(data, at)
        kind = documents.kind_of(document, chosen.media_type)
        if kind in documents.MANIFESTS:
            break
        chosen = documents.choose(documents.descriptors(document, "manifests", at), platform, at)
    else:
        raise ImageError(f"{source.path}: found indexes in indexes, more than {INDEXES_DEEP}")
    manifest = Manifest.parse(document, at)
    store.add_blob([data], digest=chosen.digest)

    def add(each: Descriptor, limit: int) -> None:
        store.add_blob(source.chunks(_file_of(each.digest)), digest=each.digest, size=each.size, limit=limit)

    add(manifest.config, DOCUMENT_MAX)
    config = manifest.config.digest
    documents.check_platform(documents.parse(store.read(config), config), platform, source.path)
    for each in manifest.layers:
        add(each, max_size)
    return chosen.digest, kind, _names([name for name in given if "/" in name or ":" in name], at)


def _name_of(entry: Descriptor) -> str:
    return entry.annotations.get(CONTAINERD_NAME) or entry.annotations.get(NAME, "")


def _names(given: list[str], at: str) -> list[str]:
    """The whole names of an image.

    :raises ImageError: the source gives it one that is none.
    """
    try:
        return [str(names.parse(each)) for each in given]
    except RequestError as error:
        raise ImageError(f"{at}: {error}") from None


def _is_named(entry: Descriptor, wanted: str) -> bool:
    known = {entry.annotations.get(key, "") for key in (NAME, CONTAINERD_NAME)} - {""}
    return bool(known & {wanted, str(names.parse(wanted))})


def _file_of(digest: str) -> str:
    return f"blobs/sha256/{hex_of(digest)}"


def _load_docker(
    source: Source, store: Store, wanted: str | None, platform: str | None, max_size: int
) -> tuple[str, str, list[str]]:
    """An archive of ``docker save``: it has no manifest in the sense of OCI, so one is made."""
    at = f"{source.path}: manifest.json"
    try:
        found = documents.parse(b'{"images":%b}' % source.document("manifest.json"), at)["images"]
        images = [
            (str(each["Config"]), _strings(each["Layers"]), _strings(each.get("RepoTags") or [])) for each in found
        ]
    except (KeyError, TypeError, AttributeError):
        raise ImageError(f"{at}: found no array of objects with Config and Layers") from None
    if not images:
        raise ImageError(f"{at}: found no image")
    known = ", ".join(tag for each in images for tag in each[2]) or "unnamed ones"
    if wanted is not None:
        images = [each for each in images if str(names.parse(wanted)) in _names(each[2], at)]
        if not images:
            raise ImageError(f"{at}: found no image {wanted}, only {known}")
    elif len(images) != 1:
        raise ImageError(
            f"{at}: found {len(images)} images ({known}); choose one by its name (reference=, --reference)"
        )
    name, files, tags = images[0]
    tags = _names(tags, at)
    data = source.document(name)
    documents.check_platform(documents.parse(data, f"{source.path}: {name}"), platform, source.path)
    config = store.add_blob([data])
    layers = [_add_layer(source, store, file, max_size) for file in files]
    made: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(OCI_CONFIG, config.digest, config.size).to_json(),
        "layers": [each.to_json() for each in layers],
    }
    return store.add_document(made).digest, OCI_MANIFEST, tags


def _add_layer(source: Source, store: Store, file: str, max_size: int) -> Descriptor:
    """Add a layer that the source says nothing of but its file. Some tools compress it."""
    with source.opened(file) as content:
        head = content.read(4)
    blob = store.add_blob(source.chunks(file), limit=max_size)
    suffix = next((suffix for begin, suffix in LAYER_SUFFIXES.items() if head.startswith(begin)), "")
    return Descriptor(OCI_LAYER + suffix, blob.digest, blob.size)


def _strings(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError
    return value
