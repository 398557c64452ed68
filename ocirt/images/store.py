"""The content store: blobs by digest, unpacked layers, and the names of images.

The directory of the store is itself an OCI image layout, which other tools can read:

``oci-layout``, ``index.json``   the images that have a name
``blobs/sha256/HEX``             manifests, configs and layers, as they came
``layers/HEX``                   layers, each unpacked once: a lower directory of an overlay. HEX is the layer's diff id
``diff-ids/HEX``                 the diff id of the layer with this blob, once somebody has read the whole blob. So no
                                 image shows a layer of another one by naming its diff id for a blob of its own
``base``                         a lower directory below those of all images, with empty mount points. An overlay is
                                 also mounted at it
``containers/ID``                the writable directories of containers that ``ocirt run --image`` has made
``locks``, ``lock``              see below
``temporary``                    what is being written. Everything gets its own name by rename(2) once it is complete
                                 and on disk

Locks are flock(2)'s, so that they end with their process. Who adds something holds ``lock`` shared, and the lock of
the one blob or layer (``locks/HEX``): a second process waits and finds it there. Who removes something holds ``lock``
alone. So what lies in ``temporary`` while nobody holds ``lock`` was left by a process that was killed: the next one
that adds removes it. An :class:`~.image.Image` holds its manifest's blob, shared, so that :func:`~.prune.prune` spares
what a process uses.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
import pwd
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import reason
from ..failures import ImageError
from ..library.remove import remove_tree
from ..state_dir import acts_for_user
from .locks import locked, locked_at_once
from .names import is_digest

Path = str | os.PathLike[str]

FORMAT = {"imageLayoutVersion": "1.0.0"}
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
NAME = "org.opencontainers.image.ref.name"
"""The annotation of a manifest in index.json that has the image's name."""

MOUNT_POINTS = ("dev", "proc", "sys", "tmp")
"""Directories of ``base``, so that an image without them can be the root file system of a container."""

REMOVING_SECONDS, ADDING_SECONDS = 60.0, 3600.0
"""How long to wait until nobody adds, or removes, anything; and until another process has fetched or unpacked the blob or
layer that this one wants, too."""

CHUNK = 1 << 20
DOCUMENT_MAX = 16 << 20
"""Bytes of a manifest or a config, which are read whole."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob of the store: its digest (``sha256:...``) and its size."""

    digest: str
    size: int


def default_path(environment: Mapping[str, str] | None = None) -> str:
    """The store's directory: /var/lib/ocirt; for a user without root's rights ``ocirt`` in $XDG_DATA_HOME, by default
    ~/.local/share.

    :param environment: has XDG_DATA_HOME, HOME and USER. The library passes none.
    """
    environment = environment or {}
    if not acts_for_user(environment):
        return "/var/lib/ocirt"
    home = environment.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir
    return os.path.join(environment.get("XDG_DATA_HOME") or os.path.join(home, ".local/share"), "ocirt")


def hex_of(digest: str) -> str:
    """The digits of a digest.

    :raises ImageError: it is none that the store can check; so it never becomes part of a path.
    """
    if not is_digest(digest):
        raise ImageError(f"digest: found {digest!r}, expected sha256: and 64 digits")
    return digest.partition(":")[2]


class Store:
    """A content store. Any number of processes and threads may use it at the same time.

    :param path: its directory; by default :func:`default_path`. It is made when something is added.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = os.path.abspath(default_path() if path is None else os.fspath(path))

    def __repr__(self) -> str:
        return f"<ocirt.images.Store {self.path}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Store) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def at(self, *names: str) -> str:
        """A path in the store."""
        return os.path.join(self.path, *names)

    # ---- locks ----

    @contextmanager
    def adding(self) -> Iterator[None]:
        """While something is added: no process removes anything. Make the store if it does not exist, and remove what a
        killed process has left.
        """
        with self.errors():
            self._make()
            with locked_at_once(self.at("lock")) as alone:
                if alone:
                    self.clear_temporary()
        with self.shared():
            if not os.path.isfile(self.at("oci-layout")):
                with self.errors(), self.replaced("oci-layout") as file:
                    file.append(json.dumps(FORMAT).encode())
            yield

    @contextmanager
    def shared(self) -> Iterator[int]:
        """Hold the store's lock, shared. The value is its descriptor: a child that gets it holds the lock, too, even
        after the end of this process.
        """
        with locked(self.at("lock"), fcntl.LOCK_SH, REMOVING_SECONDS) as fd:
            yield fd

    @contextmanager
    def removing(self) -> Iterator[None]:
        """While something is removed: wait until no process adds anything.

        :raises ImageError: another process adds or removes something for longer than this one waits.
        """
        with self.errors():
            self._make()
        with locked(self.at("lock"), fcntl.LOCK_EX, REMOVING_SECONDS):
            with self.errors():
                self.clear_temporary()
            yield

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """While one blob, layer or file of the store is written. The caller is in :meth:`adding` or :meth:`removing`."""
        with ExitStack() as stack:
            with self.errors():  # a full disk has no room for a name either
                stack.enter_context(locked(self.at("locks", name), fcntl.LOCK_EX, ADDING_SECONDS))
            yield

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Say of an error of the kernel that it concerns the store.

        :raises ImageError: the block has raised an OSError: a full disk, for example.
        """
        try:
            yield
        except OSError as error:
            place = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else self.path
            failure = ImageError(f"store {self.path}: {place}: {reason(error)}")
            failure.errno = error.errno
            raise failure from None

    def _make(self) -> None:
        if os.path.isdir(self.at("diff-ids")):  # which is made last
            return
        os.makedirs(self.path, 0o711, exist_ok=True)
        # Set-user-id programs in layers and the files of containers are not for the host's users.
        for name in ("blobs", "blobs/sha256", "containers", "layers", "locks", "temporary"):
            os.makedirs(self.at(name), 0o700, exist_ok=True)
        for name in ("", *MOUNT_POINTS):
            os.makedirs(self.at("base", name), 0o755, exist_ok=True)
        os.makedirs(self.at("diff-ids"), 0o700, exist_ok=True)

    def clear_temporary(self) -> None:
        """Remove everything that is being written. Nobody else may hold the store's lock."""
        with os.scandir(self.at("temporary")) as entries:
            for entry in entries:
                remove_tree(entry.path)

    # ---- writing ----

    def temporary(self) -> str:
        """A new name in the directory for what is being written."""
        return self.at("temporary", os.urandom(16).hex())

    @contextmanager
    def replaced(self, *names: str) -> Iterator[list[bytes]]:
        """Replace a small file of the store, at once and durably, by the bytes that the block appends to the list."""
        path, parts = self.temporary(), list[bytes]()
        yield parts
        try:
            with open(path, "xb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            os.rename(path, self.at(*names))
        except BaseException:
            remove_tree(path)
            raise
        sync_directory(os.path.dirname(self.at(*names)))

    # ---- blobs ----

    def blob(self, digest: str) -> str:
        """The path of a blob, which need not exist."""
        return self.at("blobs", "sha256", hex_of(digest))

    def has_blob(self, digest: str) -> bool:
        return os.path.isfile(self.blob(digest))

    def add_blob(
        self,
        chunks: Iterable[bytes],
        *,
        digest: str | None = None,
        size: int | None = None,
        limit: int | None = None,
        written: Callable[[int], None] | None = None,
    ) -> Blob:
        """Add a blob. The caller is in :meth:`adding`.

        :param chunks: its content. Nothing of it is read if the store has the blob.
        :param digest: the digest that it must have; ``None``: any.
        :param size: the size that it must have; ``None``: any.
        :param limit: the most bytes that it may have; ``None``: any number.
        :param written: is called with the number of bytes of each chunk.
        :raises ImageError: the content has another digest or size, or the store cannot be written.
        """
        if limit is not None and size is not None and size > limit:
            raise ImageError(f"blob {digest or ''}: its descriptor says {size} bytes, more than {limit}, the limit")
        if digest is None:
            return self._write(chunks, None, size, limit, written)
        with self.locked(hex_of(digest)):
            if self.has_blob(digest):
                known = Blob(digest, os.path.getsize(self.blob(digest)))
                if size is not None and size != known.size:
                    raise ImageError(f"blob {digest}: has {known.size} bytes, and its descriptor says {size}")
                return known
            return self._write(chunks, digest, size, limit, written)

    def _write(
        self,
        chunks: Iterable[bytes],
        digest: str | None,
        size: int | None,
        limit: int | None,
        written: Callable[[int], None] | None,
    ) -> Blob:
        path, hashed, count = self.temporary(), hashlib.sha256(), 0
        try:
            with self.errors():
                file = open(path, "xb", buffering=0)
            with file:
                for chunk in chunks:
                    count += len(chunk)
                    if size is not None and count > size:
                        raise ImageError(f"blob {digest or ''}: found more than {size} bytes, as its descriptor says")
                    if limit is not None and count > limit:
                        raise ImageError(f"blob {digest or ''}: found more than {limit} bytes, the limit")
                    hashed.update(chunk)
                    with self.errors():
                        _write_all(file.fileno(), chunk)
                    if written is not None:
                        written(len(chunk))
                found = f"sha256:{hashed.hexdigest()}"
                if size is not None and count != size:
                    raise ImageError(f"blob {digest or found}: found {count} bytes, expected {size}")
                if digest is not None and found != digest:
                    raise ImageError(f"blob {digest}: found content with the digest {found}")
                with self.errors():
                    os.fsync(file.fileno())
            with self.errors():
                os.rename(path, self.blob(found))
                sync_directory(self.at("blobs", "sha256"))
            return Blob(found, count)
        finally:
            remove_tree(path)

    def add_document(self, document: Mapping[str, Any]) -> Blob:
        """Add a JSON document (a manifest or a config), always in the same bytes."""
        data = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return self.add_blob([data], digest=digest)

    def read(self, digest: str) -> bytes:
        """The content of a manifest or a config.

        :raises ImageError: the store does not have it.
        """
        with self.errors(), open(self.blob(digest), "rb") as file:
            data = file.read(DOCUMENT_MAX + 1)
        if len(data) > DOCUMENT_MAX:
            raise ImageError(f"blob {digest}: found more than {DOCUMENT_MAX} bytes for a JSON document")
        return data

    # ---- layers ----

    def layer(self, diff_id: str) -> str:
        """The directory of an unpacked layer, which need not exist."""
        return self.at("layers", hex_of(diff_id))

    def has_layer(self, diff_id: str) -> bool:
        return os.path.isdir(self.layer(diff_id))

    def add_layer(self, diff_id: str, fill: Callable[[str], None]) -> str:
        """Add an unpacked layer. The caller is in :meth:`adding`.

        :param fill: makes the layer at the path that it gets. It is not called if the store has the layer.
        :returns: the layer's directory.
        :raises ImageError: ``fill`` has failed, or the store cannot be written.
        """
        with self.locked(hex_of(diff_id)):
            if self.has_layer(diff_id):
                return self.layer(diff_id)
            path = self.temporary()
            try:
                fill(path)
                with self.errors():
                    sync_file_system(path)
                    os.rename(path, self.layer(diff_id))
                    sync_directory(self.at("layers"))
            finally:
                remove_tree(path)
        return self.layer(diff_id)

    def diff_id_of(self, blob: str) -> str | None:
        """The diff id of the layer with this blob, ``None`` if nobody has read the whole blob yet."""
        try:
            with open(self.at("diff-ids", hex_of(blob)), encoding="ascii", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def keep_diff_id(self, blob: str, diff_id: str) -> None:
        """Keep what somebody has found by reading the whole blob. The caller is in :meth:`adding`."""
        with self.errors(), self.replaced("diff-ids", hex_of(blob)) as file:
            file.append(diff_id.encode())

    # ---- names ----

    def names(self) -> dict[str, str]:
        """The names of the images -> the digests of their manifests, sorted by name."""
        found = {each["annotations"][NAME]: each["digest"] for each in self._index()}
        return dict(sorted(found.items()))

    def tag(self, name: str, digest: str, media_type: str) -> None:
        """Give an image a name, which another image loses if it has it. The caller is in :meth:`adding`."""
        entry = {
            "mediaType": media_type,
            "digest": digest,
            "size": os.path.getsize(self.blob(digest)),
            "annotations": {NAME: name},
        }
        with self.locked("index"):
            others = [each for each in self._index() if each["annotations"][NAME] != name]
            self._write_index([*others, entry])

    def untag(self, name: str) -> str:
        """Take a name from its image. The caller is in :meth:`removing`.

        :returns: the digest of the image's manifest.
        :raises KeyError: no image has this name.
        """
        with self.locked("index"):
            digest = self.names()[name]
            self._write_index([each for each in self._index() if each["annotations"][NAME] != name])
        return digest

    def _index(self) -> list[dict[str, Any]]:
        try:
            with open(self.at("index.json"), "rb") as file:
                found: list[dict[str, Any]] = json.load(file)["manifests"]
                return [each for each in found if NAME in each.get("annotations", {}) and is_digest(each["digest"])]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ImageError(f"store {self.path}: index.json cannot be read: {error}") from None

    def _write_index(self, manifests: list[dict[str, Any]]) -> None:
        with self.errors(), self.replaced("index.json") as file:
            file.append(json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}).encode())


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_directory(path: str) -> None:
    """Write a directory's names to disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file_system(path: str) -> None:
    """Write everything of the file system with the directory ``path`` to disk: a layer is thousands of files."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if libc.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(fd)
