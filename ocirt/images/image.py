""":class:`Image`: an image of the content store, or a directory that serves as one."""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..errors import RequestError
from ..failures import ImageError, NoImage
from ..library.arguments import Size, size
from ..library.runtime import Runtime
from . import documents, names, push, sources
from .credentials import default_files
from .documents import Manifest
from .process import LOWER, UPPER, WORK, config_for, joined
from .pull import OnProgress, Options, Progress, pull
from .store import Path, Store
from .unpack import SIZE_MAX, copy, unpack


class Image:
    """An image: read-only layers, and a config that says what to run in them. :meth:`pull` gets one from a registry,
    :meth:`load` from a file, :meth:`find` from the store, and :meth:`from_directory` makes one of a directory.

    As long as this object exists, :func:`ocirt.images.prune.prune` in any process spares the image.

    :ivar name: the name by which it was found; empty if it has none.
    :ivar digest: the digest of its manifest; empty for an image of :meth:`from_directory`.
    :ivar store: the content store that has it; ``None`` for an image of :meth:`from_directory`.
    :ivar layers: the directories of its unpacked layers, which nobody may change: **the topmost first**, as overlayfs'
        ``lowerdir``, ``ocirt create --layer`` and the annotation ``org.ocirt.rootfs.lower`` have them.
    :ivar diff_ids: the digests of its uncompressed layers, **the lowest first**, as in its config.
    :ivar manifest: the manifest; empty for an image of :meth:`from_directory`. Do not change it or the config.
    :ivar config: the image's config (image-spec, config.md): ``config.config`` has ``Env``, ``Cmd``, ``Entrypoint``...
    """

    name: str
    digest: str
    store: Store | None
    layers: tuple[str, ...]
    diff_ids: tuple[str, ...]
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]

    def __init__(
        self,
        name: str,
        digest: str,
        store: Store | None,
        layers: tuple[str, ...],
        manifest: Mapping[str, Any],
        config: Mapping[str, Any],
        held: int | None = None,
    ) -> None:
        self.name, self.digest, self.store, self.layers = name, digest, store, layers
        self.manifest, self.config = MappingProxyType(dict(manifest)), MappingProxyType(dict(config))
        self.diff_ids = documents.diff_ids(config, len(layers), digest) if store is not None else ()
        self._held = None if held is None else weakref.finalize(self, os.close, held)

    def __repr__(self) -> str:
        return f"<ocirt.Image {self.name or self.digest or self.layers[0]}>"

    @classmethod
    def pull(
        cls,
        name: str,
        *,
        platform: str | None = None,
        insecure: bool = False,
        mirrors: Sequence[str] = (),
        credentials: tuple[str, str] | None = None,
        auth_files: Sequence[Path] | None = None,
        progress: OnProgress | None = None,
        store: Store | Path | None = None,
        max_size: Size = SIZE_MAX,
        runtime: Runtime | None = None,
    ) -> Image:
        """Get an image from a registry, and unpack its layers. What the store has is not fetched again. The package
        oras must be installed: ``pip install ocirt[images]``.

        :param name: ``"python:3.13-slim"``, ``"registry.example.org:5000/team/tool@sha256:..."``.
        :param platform: ``"linux/arm64"``; by default this host's.
        :param insecure: accept a registry with an unknown certificate, or one that speaks HTTP.
        :param mirrors: registries to ask first, like ``"mirror.example.org:5000"``, optionally with a path.
        :param credentials: user name and password for the image's registry, instead of those of ``auth_files``.
        :param auth_files: files that ``podman login`` or ``docker login`` has written; by default those of this user.
        :param progress: is called with a :class:`~.pull.Progress` for each part that has arrived, by one thread at a
            time. An exception that it raises ends the pull.
        :param store: the content store, or its directory; by default that of the command line.
        :param max_size: the most bytes of an unpacked layer, a number or text like ``"4g"``.
        :param runtime: the executable whose container unpacks layers; by default the installed one.
        :raises NoImage: the registry does not have the image, or the credentials do not suffice.
        :raises ImageError: the registry cannot be reached, what it sends is broken, or the disk is full.
        :raises RequestError: an argument cannot be used.
        """
        wanted, chosen, limit = names.parse(name), _store(store), size("max_size", max_size)
        names.platform_of(platform)
        options = Options(
            platform,
            insecure,
            tuple(mirrors),
            credentials,
            default_files() if auth_files is None else auth_files,
            progress or _ignore,
            limit,
            runtime,
        )
        with chosen.adding():
            digest, kind = pull(chosen, wanted, options)
            image = cls._opened(chosen, str(wanted), digest, limit, runtime)
            chosen.tag(str(wanted), digest, kind)
        return image

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        name: str | None = None,
        reference: str | None = None,
        platform: str | None = None,
        store: Store | Path | None = None,
        max_size: Size = SIZE_MAX,
        runtime: Runtime | None = None,
    ) -> Image:
        """Add an image from a file to the store, and unpack its layers.

        :param path: a directory or an archive with an OCI image layout, or an archive of ``docker save``, which
            ``podman save``, ``skopeo copy`` and ``buildah push`` also write.
        :param name: the name that the image gets; by default those that the file gives it, if any.
        :param reference: the image's name or tag in the file; by default the file must have one image only.
        :param platform: for an index: ``"linux/arm64"``; by default this host's.
        :param store: the content store, or its directory; by default that of the command line.
        :param max_size: the most bytes of an unpacked layer, a number or text like ``"4g"``.
        :param runtime: the executable whose container unpacks layers; by default the installed one.
        :raises ImageError: the file has no such image, is broken or hostile, or the disk is full.
        :raises RequestError: an argument cannot be used.
        """
        given, chosen = None if name is None else str(names.parse(name)), _store(store)
        limit = size("max_size", max_size)
        names.platform_of(platform)
        with chosen.adding(), sources.opened(path) as source:
            digest, kind, tags = sources.load(source, chosen, reference, platform, limit)
            image = cls._opened(chosen, "", digest, limit, runtime)
            for each in [given] if given else tags:
                chosen.tag(each, digest, kind)
                image.name = image.name or each
        return image

    @classmethod
    def find(
        cls,
        image: str,
        *,
        store: Store | Path | None = None,
        max_size: Size = SIZE_MAX,
        runtime: Runtime | None = None,
    ) -> Image:
        """Find an image in the store.

        :param image: its name, like ``"python:3.13-slim"``, or the digest of its manifest, or its first 12 digits or
            more.
        :param store: the content store, or its directory; by default that of the command line.
        :param max_size: as for :meth:`load`: a layer that is not unpacked yet is unpacked.
        :param runtime: as for :meth:`load`.
        :raises NoImage: the store has no such image.
        """
        chosen, limit = _store(store), size("max_size", max_size)
        known = chosen.names()
        whole, digest = _among(known, image)
        missing = NoImage(f"image {image}: not in the store {chosen.path}; `ocirt pull {image}` gets it")
        if digest is None:
            raise missing
        with chosen.adding():
            if not chosen.has_blob(digest):
                raise missing
            return cls._opened(chosen, whole, digest, limit, runtime)

    def push(
        self,
        name: str | None = None,
        *,
        insecure: bool = False,
        credentials: tuple[str, str] | None = None,
        auth_files: Sequence[Path] | None = None,
        progress: OnProgress | None = None,
    ) -> None:
        """Send the image to a registry. Of its layers only those are sent that the registry does not have; one that
        another repository of the registry has is taken from there. The package oras must be installed.

        :param name: where it goes, by default :attr:`name`.
        :param insecure: as for :meth:`pull`, like the following arguments.
        :raises ImageError: the registry cannot be reached, or refuses the image.
        :raises RequestError: the image has no name, or is one of :meth:`from_directory`.
        """
        if self.store is None:
            raise RequestError("image: found one of a directory, expected one of the store")
        if not (name or self.name):
            raise RequestError("name: found none, expected where the image goes", "name")
        files = default_files() if auth_files is None else auth_files
        push.push(
            self.store,
            self.digest,
            names.parse(name or self.name),
            push.Options(insecure, credentials, files, progress or _ignore),
        )

    @classmethod
    def from_directory(cls, directory: Path, *, config: Mapping[str, Any] | None = None) -> Image:
        """Use a directory as an image with one layer. Nothing is copied, so nobody may change the directory while a
        container uses it.

        :param directory: a root file system.
        :param config: what ``config`` of an image's config has: ``{"Env": ["LANG=C.UTF-8"], "Cmd": ["sh"]}``.
        :raises RequestError: this is no directory.
        """
        path = os.path.realpath(directory)
        if not os.path.isdir(path):
            raise RequestError(f"directory: found {path}, expected an existing directory", "directory")
        system, machine, _ = names.platform_of(None)
        whole = {"os": system, "architecture": machine, "config": dict(config or {})}
        return cls("", "", None, (path,), {}, whole)

    def applied_to(
        self,
        base: Mapping[str, Any],
        args: Sequence[str] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        cwd: str | None = None,
    ) -> dict[str, Any]:
        """The config ``base`` with the process of this image, and without its root file system. The arguments are those
        of :meth:`container_config`.

        :raises ImageError: the image's config is broken, or the image does not have the user.
        :raises RequestError: there is no command.
        """
        return config_for(self.config, self.digest, self.layers, base, args, env=env, user=user, cwd=cwd)

    def copy_to(self, directory: Path, *, max_size: Size = SIZE_MAX, runtime: Runtime | None = None) -> None:
        """Make a copy of the image's files that belongs to the caller alone.

        :param directory: does not exist yet.
        :param max_size: the most bytes of a layer.
        :param runtime: as for :meth:`load`.
        :raises ImageError: the directory cannot be written. What was written is left to the caller.
        :raises RequestError: this is an image of :meth:`from_directory`.
        """
        if self.store is None:
            raise RequestError("image: found one of a directory, expected one of the store")
        layers = Manifest.parse(self.manifest, self.digest).layers
        with self.store.adding():
            copy(
                self.store,
                os.path.abspath(directory),
                [(each.digest, id) for each, id in zip(layers, self.diff_ids)],
                max_size=size("max_size", max_size),
                runtime=runtime,
            )

    def container_config(
        self,
        base: Mapping[str, Any],
        args: Sequence[str] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        cwd: str | None = None,
        upper: Path | None = None,
        work: Path | None = None,
        mountpoint: Path | None = None,
    ) -> dict[str, Any]:
        """The config.json of a container of this image, for :func:`ocirt.run` and :meth:`ocirt.Container.create`: the
        layers are mounted as an overlay that is the root file system.

        :param base: everything that an image does not say: a config like that of :func:`ocirt.sandbox`.
        :param args: instead of the image's ``Cmd``, after its ``Entrypoint``.
        :param env: further environment variables.
        :param user: instead of the image's: ``"USER"``, ``"UID"`` or ``"USER:GROUP"``, names of the image.
        :param cwd: the working directory, instead of the image's.
        :param upper: a directory that gets what the container writes. Without it the root file system is read-only.
        :param work: an empty directory on the same file system as ``upper``.
        :param mountpoint: an existing directory at which the overlay is mounted, in the container's own mount namespace.
            By default an empty one of the store.
        :raises ImageError: the image's config is broken, or the image does not have the user.
        :raises RequestError: there is no command, or only one of ``upper`` and ``work``.
        """
        if (upper is None) != (work is None):
            raise RequestError("upper: found it without work, or the reverse; expected both or none", "upper")
        config = self.applied_to(base, args, env=env, user=user, cwd=cwd)
        lowers = [*self.layers, *([self.store.at("base")] if self.store is not None else [])]
        if len(lowers) == 1 and upper is None:  # the kernel takes no overlay of one directory
            config["root"] = {"path": lowers[0], "readonly": True}
            return config
        place = mountpoint if mountpoint is not None else lowers[-1]
        config["root"] = {"path": os.path.abspath(place), "readonly": upper is None}
        config["annotations"][LOWER] = joined(lowers)
        if upper is not None and work is not None:
            config["annotations"] |= {UPPER: os.path.abspath(upper), WORK: os.path.abspath(work)}
        return config

    @classmethod
    def _opened(cls, store: Store, name: str, digest: str, limit: int, runtime: Runtime | None) -> Image:
        """The image with this manifest, its layers unpacked. The caller is in :meth:`.store.Store.adding`."""
        manifest = documents.parse(store.read(digest), digest)
        parsed = Manifest.parse(manifest, digest)
        config = documents.parse(store.read(parsed.config.digest), parsed.config.digest)
        ids = documents.diff_ids(config, len(parsed.layers), parsed.config.digest)
        layers = [
            unpack(store, each.digest, id, max_size=limit, runtime=runtime) for each, id in zip(parsed.layers, ids)
        ]
        with store.errors():
            held = os.open(store.blob(digest), os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(held, fcntl.LOCK_SH)
        return cls(name, digest, store, tuple(reversed(layers)), manifest, config, held)


def _ignore(progress: Progress) -> None:
    """What is called about the progress if the caller wants to know nothing of it."""


def _store(store: Store | Path | None) -> Store:
    return store if isinstance(store, Store) else Store(store)


def _among(known: Mapping[str, str], image: str) -> tuple[str, str | None]:
    """The whole name and the digest of an image, by name, digest or the beginning of a digest.

    :param known: names -> digests.
    :raises ImageError: the beginning is that of several digests.
    """
    if names.is_digest(image):
        return next((name for name, digest in known.items() if digest == image), ""), image
    digits = image.removeprefix("sha256:")
    if len(digits) >= 12 and set(digits) <= set("0123456789abcdef"):
        found = sorted({digest for digest in known.values() if digest.startswith(f"sha256:{digits}")})
        if len(found) > 1:
            raise ImageError(f"image {image}: found {len(found)} images whose digests begin like this")
        if found:
            return next(name for name, digest in known.items() if digest == found[0]), found[0]
    whole = str(names.parse(image))
    return whole, known.get(whole)
