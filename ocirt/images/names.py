"""Names of images, digests and platforms."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TypeGuard

from ..errors import RequestError
from ..model.processor import GO_NAMES

DEFAULT_REGISTRY, DEFAULT_TAG = "docker.io", "latest"

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_REGISTRY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Name:
    """The whole name of an image: ``docker.io/library/python:3.13-slim``.

    :ivar registry: host and port.
    :ivar repository: the path in the registry.
    :ivar tag: empty if the name has a digest and no tag.
    :ivar digest: empty if the name has none.
    """

    registry: str
    repository: str
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def reference(self) -> str:
        """What the registry knows the image by: its digest, or else its tag."""
        return self.digest or self.tag


def parse(text: str) -> Name:
    """The name of an image, completed as docker does it: ``python`` is ``docker.io/library/python:latest``.

    :raises RequestError: this is no name of an image.
    """
    if not isinstance(text, str):
        raise RequestError(f"image: found {text!r}, expected a name, like 'python:3.13-slim'", "image")
    rest, at, digest = text.partition("@")
    head, slash, tail = rest.partition("/")
    if not slash or not ("." in head or ":" in head or head == "localhost"):
        head, tail = DEFAULT_REGISTRY, rest
    if head == "index.docker.io":
        head = DEFAULT_REGISTRY
    path, colon, tag = tail.partition(":")
    if head == DEFAULT_REGISTRY and "/" not in path:
        path = f"library/{path}"
    if not colon and not at:
        tag = DEFAULT_TAG
    fits = (
        len(text) <= _LONGEST
        and _REGISTRY.fullmatch(head)
        and _REPOSITORY.fullmatch(path)
        and (_TAG.fullmatch(tag) if colon or not at else True)
        and (_DIGEST.fullmatch(digest) if at else True)
    )
    if not fits:
        raise RequestError(
            f"image: found {text!r}, expected [REGISTRY/]NAME[:TAG][@sha256:DIGEST] in lower case, like "
            "'python:3.13-slim'",
            "image",
        )
    return Name(head, path, tag, digest)


def is_digest(text: object) -> TypeGuard[str]:
    """Is this a digest that the store can check?"""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def host_platform() -> str:
    """The platform of this host, as images name it: ``linux/amd64``."""
    machine = os.uname().machine
    return f"linux/{GO_NAMES.get(machine, machine)}"


def platform_of(text: str | None) -> tuple[str, str, str]:
    """Operating system, architecture and variant (which may be empty) of a platform like ``linux/arm/v7``.

    :raises RequestError: this is no platform.
    """
    parts = (host_platform() if text is None else text).split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise RequestError(
            f"platform: found {text!r}, expected OS/ARCHITECTURE[/VARIANT], like 'linux/arm64'", "platform"
        )
    return parts[0], parts[1], parts[2] if len(parts) == 3 else ""
