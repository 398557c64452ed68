"""The container's config from an image's config, as the image specification converts it ("Conversion to OCI Runtime
Configuration").
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ..errors import RequestError
from ..failures import ImageError
from ..library.arguments import mapping, words
from . import lookup
from .documents import wrong

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ACCOUNTS_MAX = 16 << 20
"""Bytes of /etc/passwd and /etc/group."""
ID_MAX = 2**32 - 2
ID_DIGITS = 20
"""The most that a number is read with: Python refuses one of thousands of digits with an error of its own."""
LOWER, UPPER, WORK = "org.ocirt.rootfs.lower", "org.ocirt.rootfs.upper", "org.ocirt.rootfs.work"
IMAGE, STOP_SIGNAL = "org.ocirt.image", "org.opencontainers.image.stopSignal"


@dataclass(frozen=True, slots=True)
class User:
    """Numbers of a user, its group and its further groups."""

    uid: int
    gid: int
    additional_gids: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"uid": self.uid, "gid": self.gid}
        return found | ({"additionalGids": list(self.additional_gids)} if self.additional_gids else {})


def user_of(layers: Sequence[str], text: str) -> User:
    """The user that an image's config names: ``USER``, ``UID``, with ``:GROUP`` or ``:GID``. Names are those of
    /etc/passwd and /etc/group of the image.

    :param layers: directories of the image, the topmost first.
    :raises ImageError: the image has no such user or group.
    """
    name, _, group = text.partition(":")
    accounts, groups = _table(layers, "/etc/passwd", 4), _table(layers, "/etc/group", 3)
    is_number = name.isascii() and name.isdigit()
    # A number is never the name of a user (CVE-2016-3697).
    known = next((each for each in accounts if name == each[2 if is_number else 0]), None)
    if not name:
        uid, gid = 0, 0
    elif is_number:
        uid, gid = _id(name, "User", text), 0 if known is None else _id(known[3], "/etc/passwd", ":".join(known))
    elif known is None:
        raise ImageError(f"image config: config.User: found {text!r}, and /etc/passwd of the image has no user {name}")
    else:
        uid, gid = (_id(each, "/etc/passwd", ":".join(known)) for each in known[2:4])
    if group:
        return User(uid, _group(groups, group, text))
    # Without a group the user has all groups that /etc/group says.
    members = (
        ()
        if known is None
        else tuple(
            _id(each[2], "/etc/group", ":".join(each))
            for each in groups
            if len(each) > 3 and known[0] in each[3].split(",")
        )
    )
    return User(uid, gid, tuple(dict.fromkeys(each for each in members if each != gid)))


def _group(groups: list[list[str]], name: str, text: str) -> int:
    if name.isascii() and name.isdigit():
        return _id(name, "User", text)
    found = next((each for each in groups if each[0] == name), None)
    if found is None:
        raise ImageError(f"image config: config.User: found {text!r}, and /etc/group of the image has no group {name}")
    return _id(found[2], "/etc/group", ":".join(found))


def _table(layers: Sequence[str], path: str, fields: int) -> list[list[str]]:
    """The lines of /etc/passwd or /etc/group that have at least so many fields."""
    data = lookup.read(layers, path, ACCOUNTS_MAX) or b""
    lines = [line.split(":") for line in data.decode("utf-8", "surrogateescape").splitlines()]
    return [line for line in lines if len(line) >= fields and line[0] and not line[0].startswith("#")]


def _id(text: str, place: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= ID_DIGITS and int(text) <= ID_MAX):
        raise ImageError(f"image: {place}: found {whole!r}, expected a number up to {ID_MAX}")
    return int(text)


def settings_of(image: Mapping[str, Any]) -> dict[str, Any]:
    """The member ``config`` of an image's config, each member of the type that it must have.

    :param image: the image's config.

    :raises ImageError: a member has another type.
    """
    found = image.get("config") or {}
    if not isinstance(found, dict):
        raise wrong("image config: config", found, "an object")
    for name in ("Env", "Cmd", "Entrypoint"):
        value = found.get(name) or []
        if not isinstance(value, list) or not all(isinstance(each, str) and "\0" not in each for each in value):
            raise wrong(f"image config: config.{name}", value, "an array of strings without NUL")
    for name in ("User", "WorkingDir", "StopSignal"):
        value = found.get(name) or ""
        if not isinstance(value, str) or "\0" in value:
            raise wrong(f"image config: config.{name}", value, "a string without NUL")
    volumes = found.get("Volumes") or {}
    if not isinstance(volumes, dict) or not all(each.startswith("/") and "\0" not in each for each in volumes):
        raise wrong("image config: config.Volumes", volumes, "an object with absolute paths")
    return found


def config_for(
    image: Mapping[str, Any],
    digest: str,
    layers: Sequence[str],
    base: Mapping[str, Any],
    args: Sequence[str] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    cwd: str | None = None,
) -> dict[str, Any]:
    """``base`` with the process of an image, without its root file system.

    :param image: the image's config.
    :param digest: the image's digest; empty if it has none.
    :param layers: the image's directories, the topmost first.
    :param args: what runs instead of the image's ``Cmd``, after its ``Entrypoint``.
    :raises RequestError: neither the image nor ``args`` has a command.
    """
    settings, config = settings_of(image), deepcopy(dict(base))
    command = [
        *(settings.get("Entrypoint") or []),
        *(settings.get("Cmd") or [] if args is None else words("args", args)),
    ]
    if not command:
        raise RequestError("args: found none, and the image has no Cmd; expected a command", "args")
    process = config.setdefault("process", {})
    process["args"] = command
    process["env"] = _environment(process.get("env") or [], settings.get("Env") or [], mapping("env", env))
    process["cwd"] = cwd or settings.get("WorkingDir") or "/"
    if not process["cwd"].startswith("/"):
        process["cwd"] = "/" + process["cwd"]
    wanted = user if user is not None else settings.get("User") or ""
    if wanted:
        found = user_of(layers, wanted)
        if not _has_one_user(config):
            process["user"] = {**(process.get("user") or {}), **found.to_json()}
    notes = config["annotations"] = dict(config.get("annotations") or {})
    if digest:
        notes[IMAGE] = digest
    if settings.get("StopSignal"):
        notes[STOP_SIGNAL] = settings["StopSignal"]
    return config


def _environment(base: list[str], image: list[str], given: Mapping[str, str]) -> list[str]:
    """Variables in the order base, image, caller; a later one replaces an earlier one of the same name."""
    found: dict[str, str] = {}
    for each in [PATH, *base, *image, *[f"{name}={value}" for name, value in given.items()]]:
        name, _, value = each.partition("=")
        found[name] = value
    return [f"{name}={value}" for name, value in found.items()]


def _has_one_user(config: Mapping[str, Any]) -> bool:
    """Does the container's user namespace have only one user? A caller without root's rights has only itself to map: in
    the container it is root, to whom all files of the image belong.
    """
    linux = config.get("linux") or {}
    maps = [each for name in ("uidMappings", "gidMappings") for each in linux.get(name) or ()]
    return bool(maps) and all(each.get("size") == 1 for each in maps) and os.geteuid() != 0


def joined(paths: Sequence[str]) -> str:
    """Directories as the annotation ``org.ocirt.rootfs.lower`` has them."""
    return ":".join(path.replace("\\", "\\\\").replace(":", "\\:") for path in paths)
