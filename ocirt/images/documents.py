"""Manifests, indexes and configs of images: JSON from strangers, so every value is checked when it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..failures import ImageError
from ..library.warn import warn
from .names import is_digest, platform_of

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS, INDEXES = (OCI_MANIFEST, DOCKER_MANIFEST), (OCI_INDEX, DOCKER_LIST)

LAYERS_MAX = 500
"""The kernel's limit for an overlay."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a document says of a blob."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


def wrong(at: str, found: object, expected: str) -> ImageError:
    """The error for a wrong value; ``at`` is the document and the JSON path."""
    return ImageError(f"{at}: found {json.dumps(found, default=str)[:80]}, expected {expected}")


def digest_of(data: bytes) -> str:
    """The digest of a document."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def parse(data: bytes, at: str) -> dict[str, Any]:
    """A JSON object.

    :param at: the name of the document, for the error.
    :raises ImageError: this is none.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{at}: this is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise wrong(at, found, "an object")
    return found


def descriptor(value: object, at: str) -> Descriptor:
    """A descriptor.

    :raises ImageError: a member is missing or wrong.
    """
    if not isinstance(value, dict):
        raise wrong(at, value, "a descriptor")
    kind, digest, size = value.get("mediaType", ""), value.get("digest"), value.get("size")
    if not isinstance(kind, str):
        raise wrong(f"{at}.mediaType", kind, "a string")
    if not is_digest(digest):
        raise wrong(f"{at}.digest", digest, "sha256: and 64 digits")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise wrong(f"{at}.size", size, "a number of bytes")
    notes, platform = value.get("annotations") or {}, value.get("platform") or {}
    if not isinstance(notes, dict) or not isinstance(platform, dict):
        raise wrong(at, value, "objects as annotations and platform")
    return Descriptor(kind, digest, size, {k: v for k, v in notes.items() if isinstance(v, str)}, platform)


def descriptors(document: Mapping[str, Any], member: str, at: str) -> list[Descriptor]:
    """A list of descriptors.

    :raises ImageError: one of them is wrong, or this is no list.
    """
    found = document.get(member)
    if not isinstance(found, list):
        raise wrong(f"{at}: {member}", found, "an array of descriptors")
    return [descriptor(each, f"{at}: {member}[{index}]") for index, each in enumerate(found)]


def kind_of(document: Mapping[str, Any], media_type: str = "") -> str:
    """The media type of a manifest or an index, which a document need not have and a registry may not know."""
    kind = document.get("mediaType")
    if isinstance(kind, str) and kind in (*MANIFESTS, *INDEXES):
        return kind
    if media_type in (*MANIFESTS, *INDEXES):
        return media_type
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST


def choose(entries: Iterable[Descriptor], platform: str | None, at: str) -> Descriptor:
    """The manifest of an index for a platform. An entry without a platform fits all.

    :param platform: ``None``: this host's.
    :raises ImageError: no manifest is for this platform.
    """
    system, machine, variant = platform_of(platform)
    known, best = [], None
    for each in entries:
        if each.media_type not in (*MANIFESTS, *INDEXES):
            continue
        found = {name: each.platform.get(name, "") for name in ("os", "architecture", "variant")}
        known.append("/".join(str(part) for part in found.values() if part) or "any")
        if each.platform and (found["os"], found["architecture"]) != (system, machine):
            continue
        if variant and found["variant"] not in ("", variant):
            continue
        if best is None or (variant and found["variant"] == variant and best.platform.get("variant") != variant):
            best = each
    if best is None:
        wanted = "/".join(filter(None, (system, machine, variant)))
        raise ImageError(f"{at}: found images for {', '.join(known) or 'no platform'}, expected one for {wanted}")
    return best


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest: descriptors of the config and of the layers, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]

    @classmethod
    def parse(cls, document: Mapping[str, Any], at: str) -> Manifest:
        """
        :raises ImageError: a member is wrong.
        """
        if document.get("schemaVersion") != 2:
            raise wrong(f"{at}: schemaVersion", document.get("schemaVersion"), "2")
        layers = descriptors(document, "layers", at)
        for index, each in enumerate(layers):
            if "tar" not in each.media_type or each.media_type.endswith("+encrypted"):
                raise wrong(
                    f"{at}: layers[{index}].mediaType", each.media_type, "a tar archive, which may be compressed"
                )
        if len(layers) > LAYERS_MAX:
            raise ImageError(f"{at}: found {len(layers)} layers, expected at most {LAYERS_MAX}")
        return cls(descriptor(document.get("config"), f"{at}: config"), tuple(layers))


def check_platform(config: Mapping[str, Any], platform: str | None, at: str) -> None:
    """Compare the platform that an image's config says with the one that the caller wants. An image need not come with
    an index that says what it is for.

    :param platform: ``None``: this host's, and another one is a warning: the image may be meant for another host.
    :raises ImageError: the caller has asked for another platform.
    """
    system, machine, _ = platform_of(platform)
    found = config.get("os"), config.get("architecture")
    if found == (system, machine) or not all(isinstance(each, str) and each for each in found):
        return
    said = f"{at}: found an image for {found[0]}/{found[1]}"
    if platform is not None:
        raise ImageError(f"{said}, expected one for {system}/{machine}")
    warn(f"{said}, and this host is {system}/{machine}: its programs do not run here")


def diff_ids(config: Mapping[str, Any], count: int, at: str) -> tuple[str, ...]:
    """The digests of the uncompressed layers, the lowest first.

    :param count: how many layers the manifest has.
    :raises ImageError: the config has others, or none.
    """
    rootfs = config.get("rootfs")
    found = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(found, list) or not all(map(is_digest, found)):
        raise wrong(f"{at}: rootfs.diff_ids", found, "an array of digests")
    if len(found) != count:
        raise ImageError(f"{at}: rootfs.diff_ids: found {len(found)} digests, expected {count}, one a layer")
    return tuple(found)
