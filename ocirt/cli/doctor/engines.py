"""Engines that are installed, and whether their configuration names ocirt."""

import json
import os
import shutil
import tomllib
from glob import glob

from ...errors import reason
from ...model.json import value_at
from .files import text_of
from .finding import Finding, good, note
from .switch import CONTAINERD_FILE, DOCKER_FILE, PLUGINS, way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ...model.host import Host

    Setting = tuple[str | None, str | None]
    """The runtime that an engine's configuration names; and of podman and containerd the file that switches them."""


def examine(host: "Host") -> "Iterator[Finding]":
    """A finding for each engine on PATH."""
    readers: dict[str, Callable[[], Setting]] = {
        "podman": _podman,
        "buildah": lambda: (os.environ.get("BUILDAH_RUNTIME"), None),
        "dockerd": _docker,
        "containerd": _containerd,
    }
    found = False
    for engine, setting_of in readers.items():
        path = shutil.which(engine, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if path is None:
            continue
        found = True
        try:
            runtime, file = setting_of()
            switched = runtime is not None and is_ocirt(runtime)
            mend = "" if switched else way(engine, host, file)
        except (OSError, ValueError) as error:
            words = f"{error.filename}: {reason(error)}" if isinstance(error, OSError) else str(error)
            yield note(f"{engine}: its configuration cannot be read: {words}")
            continue
        if switched:
            yield good(f"{engine} runs containers with ocirt ({runtime})")
        else:
            yield note(f"{engine} runs containers with {runtime or 'its own default runtime'}", mend)
    if not found:
        yield note("no engine is installed; ocirt runs bundles by itself")


def is_ocirt(runtime: str) -> bool:
    """Is the program that an engine's configuration names ocirt, or a link to it?"""
    path = shutil.which(runtime) or runtime
    return os.path.basename(os.path.realpath(path)) == "ocirt" or os.path.basename(runtime) == "ocirt"


def _toml(path: str) -> "dict[str, Any]":
    text = text_of(path)
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _podman() -> "Setting":
    """Of the last file of containers.conf(5) that names a runtime."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.environ.get("HOME", "/"), ".config")
    found: Setting = (None, None)
    for base in ("/usr/share", "/etc", home):
        for path in [
            f"{base}/containers/containers.conf",
            *sorted(glob(f"{base}/containers/containers.conf.d/*.conf")),
        ]:
            runtime = value_at(_toml(path), "engine", "runtime")
            found = (str(runtime), path) if runtime else found
    return found


def _docker() -> "Setting":
    text = text_of(DOCKER_FILE)
    if not text:
        return None, None
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{DOCKER_FILE}: {error}") from None
    name = value_at(settings, "default-runtime")
    runtime = value_at(settings, "runtimes", str(name), "path") or name
    return (None if runtime is None else str(runtime)), None


def _containerd_files() -> "dict[str, dict[str, Any]]":
    """containerd's file and those that it imports, in the order in which containerd takes them: path -> settings. A path is
    relative to the file that imports it.

    :raises OSError: a file that is imported by its name cannot be read, with which containerd does not start.
    """
    found: dict[str, dict[str, Any]] = {}
    pending = [CONTAINERD_FILE]
    while pending:
        path = pending.pop(0)
        if path in found:
            continue
        if path != CONTAINERD_FILE:
            os.stat(path)
        found[path] = _toml(path)
        imports = found[path].get("imports")
        for each in imports if isinstance(imports, list) else []:
            whole = os.path.normpath(os.path.join(os.path.dirname(path), str(each)))
            pending += sorted(glob(whole, include_hidden=True)) if "*" in whole else [whole]
    return found


def _merged(table: "dict[str, Any]", later: object, version: object) -> "dict[str, Any]":
    """The table of a plugin after a further file. From version 3 of the file on, which is containerd 2's, the later file
    changes single settings; before, it replaces the whole table.
    """
    if not isinstance(later, dict):
        return table
    if not isinstance(version, int) or version < 3:
        return later
    both = {key: _merged(table[key], later[key], version) for key in later if isinstance(table.get(key), dict)}
    return {**table, **later, **both}


def _containerd() -> "Setting":
    """The program of the CRI plugin's default runtime."""
    files = _containerd_files()
    return _containerd_runtime(files), _containerd_file(files)


def _containerd_file(files: "dict[str, dict[str, Any]]") -> str:
    """The last file that has a table of the CRI plugin: settings in an earlier one may have no effect."""
    having = [
        path
        for path, settings in files.items()
        if any([value_at(settings, "plugins", plugin, "containerd") for plugin in PLUGINS.values()])
    ]
    return having[-1] if having else CONTAINERD_FILE


def _containerd_runtime(files: "dict[str, dict[str, Any]]") -> str | None:
    """containerd 2 has another name for the CRI plugin."""
    version = files[CONTAINERD_FILE].get("version")
    for plugin in reversed(PLUGINS.values()):
        table: dict[str, Any] = {}
        for settings in files.values():
            table = _merged(table, value_at(settings, "plugins", plugin), version)
        containerd = value_at(table, "containerd")
        name = value_at(containerd, "default_runtime_name")
        if name:
            return str(value_at(containerd, "runtimes", name, "options", "BinaryName") or name)
    return None
