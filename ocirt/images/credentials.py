"""Credentials for registries: the files of docker, podman, buildah and skopeo."""

from __future__ import annotations

import base64
import binascii
import json
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import reason
from ..failures import ImageError
from .names import DEFAULT_REGISTRY, Name

HUB = "https://index.docker.io/v1/"
"""What docker calls its own registry in its file."""
HELPER_NAME = re.compile(r"[\w.-]+", re.ASCII)
HELPER_TIMEOUT = 30
NO_USER = "<token>"
"""The user name with which a helper says that the secret is an identity token."""


def default_files(environment: Mapping[str, str] | None = None) -> list[str]:
    """The files with credentials, the first that knows a registry counts: podman's, then docker's.

    :param environment: has REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR, XDG_CONFIG_HOME, DOCKER_CONFIG and HOME. The library
        passes none.
    """
    environment, uid = environment or {}, os.geteuid()
    if environment.get("REGISTRY_AUTH_FILE"):
        return [environment["REGISTRY_AUTH_FILE"]]
    home = environment.get("HOME") or pwd.getpwuid(uid).pw_dir
    run = environment.get("XDG_RUNTIME_DIR") or (f"/run/user/{uid}" if uid else "/run/containers/0")
    return [
        os.path.join(run, "containers/auth.json") if uid or "XDG_RUNTIME_DIR" in environment else f"{run}/auth.json",
        os.path.join(environment.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "containers/auth.json"),
        os.path.join(environment.get("DOCKER_CONFIG") or os.path.join(home, ".docker"), "config.json"),
    ]


def find(name: Name, files: Sequence[str | os.PathLike[str]]) -> tuple[str, str] | None:
    """User name and password for an image, ``None`` if no file has them.

    :raises ImageError: a file, or a helper that it names, is broken.
    """
    for path in files:
        content = _read(os.fspath(path))
        for key in _keys(name):
            helpers = content.get("credHelpers")
            if isinstance(helpers, dict) and isinstance(helpers.get(key), str):
                found = _ask(helpers[key], key)
                if found is not None:
                    return found
            auths = content.get("auths")
            entry = auths.get(key) if isinstance(auths, dict) else None
            if isinstance(entry, dict):
                found = _decoded(entry, os.fspath(path), key)
                if found is None and isinstance(content.get("credsStore"), str):
                    found = _ask(content["credsStore"], key)
                if found is not None:
                    return found
    return None


def _keys(name: Name) -> list[str]:
    """Names by which a file may know a repository, the most exact first."""
    parts = name.repository.split("/")
    keys = ["/".join([name.registry, *parts[:count]]) for count in range(len(parts), -1, -1)]
    if name.registry == DEFAULT_REGISTRY:
        keys += [HUB, "index.docker.io", "registry-1.docker.io"]
    return [*keys, f"https://{name.registry}", f"http://{name.registry}"]


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            found = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        said = reason(error) if isinstance(error, OSError) else f"this is no JSON: {error}"
        raise ImageError(f"credentials: {path}: {said}") from None
    return found if isinstance(found, dict) else {}


def _decoded(entry: Mapping[str, Any], path: str, key: str) -> tuple[str, str] | None:
    text = entry.get("auth")
    if not isinstance(text, str) or not text:
        given = entry.get("username"), entry.get("password")
        return (given[0], given[1]) if isinstance(given[0], str) and isinstance(given[1], str) else None
    colon, user, password = "", "", ""
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        pass
    if not colon:
        raise ImageError(f"credentials: {path}: auths.{key}.auth: expected USER:PASSWORD in base64")
    return user, password.rstrip("\0")


def _ask(helper: str, key: str) -> tuple[str, str] | None:
    """Ask docker's credential helper. It is the caller's own program, which the caller's own file names."""
    program = shutil.which(f"docker-credential-{helper}") if HELPER_NAME.fullmatch(helper) else None
    if program is None:
        raise ImageError(f"credentials: {key}: the helper docker-credential-{helper} does not exist on PATH")
    try:
        done = subprocess.run(
            [program, "get"], input=key.encode(), capture_output=True, timeout=HELPER_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ImageError(f"credentials: {key}: {program}: {error}") from None
    if done.returncode != 0:  # it does not know the registry
        return None
    try:
        found = json.loads(done.stdout)
        user, secret = found["Username"], found["Secret"]
    except (ValueError, KeyError, TypeError):
        raise ImageError(f"credentials: {key}: {program}: expected JSON with Username and Secret") from None
    if user == NO_USER:
        raise ImageError(f"credentials: {key}: {program} gives an identity token, expected a user name and a password")
    return user, secret
