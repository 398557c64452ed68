"""Engines that are installed, and whether their configuration names ocirt (docs/engines.md)."""

import json
import os
import shutil
import tomllib
from glob import glob

from .finding import Finding, good, note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ...model.host import Host

PAGES = {"podman": "podman", "buildah": "buildah", "dockerd": "docker", "containerd": "containerd"}
"""Engines -> the page in docs/ that says how to switch it, and how to switch back."""


def examine(host: "Host") -> "Iterator[Finding]":
    """A finding for each engine on PATH."""
    readers: dict[str, Callable[[], str | None]] = {
        "podman": _podman,
        "buildah": lambda: os.environ.get("BUILDAH_RUNTIME"),
        "dockerd": _docker,
        "containerd": _containerd,
    }
    found = False
    for engine, runtime_of in readers.items():
        path = shutil.which(engine, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if path is None:
            continue
        found = True
        try:
            runtime = runtime_of()
        except (OSError, ValueError) as error:
            yield note(f"{engine}: its configuration cannot be read ({error})")
            continue
        if runtime is not None and is_ocirt(runtime):
            yield good(f"{engine} runs containers with ocirt ({runtime})")
        else:
            yield note(
                f"{engine} runs containers with {runtime or 'its own default runtime'}",
                f"docs/{PAGES[engine]}.md says how to switch it",
            )
    if not found:
        yield note("no engine is installed; ocirt runs bundles by itself")


def is_ocirt(runtime: str) -> bool:
    """Is the program that an engine's configuration names ocirt, or a link to it?"""
    path = shutil.which(runtime) or runtime
    return os.path.basename(os.path.realpath(path)) == "ocirt" or os.path.basename(runtime) == "ocirt"


def _toml(path: str) -> "dict[str, Any]":
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}


def _podman() -> str | None:
    """The runtime of the last file of containers.conf(5) that names one."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.environ.get("HOME", "/"), ".config")
    runtime = None
    for base in ("/usr/share", "/etc", home):
        for path in [
            f"{base}/containers/containers.conf",
            *sorted(glob(f"{base}/containers/containers.conf.d/*.conf")),
        ]:
            runtime = _toml(path).get("engine", {}).get("runtime", runtime)
    return runtime


def _docker() -> str | None:
    try:
        with open("/etc/docker/daemon.json") as file:
            settings = json.load(file)
    except FileNotFoundError:
        return None
    name = settings.get("default-runtime")
    runtime: str | None = settings.get("runtimes", {}).get(name, {}).get("path", name)
    return runtime


def _containerd() -> str | None:
    """The program of the CRI plugin's default runtime; containerd 2 has another name for the plugin."""
    plugins = _toml("/etc/containerd/config.toml").get("plugins", {})
    for plugin in ("io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"):
        settings = plugins.get(plugin, {}).get("containerd", {})
        name = settings.get("default_runtime_name")
        if name:
            options = settings.get("runtimes", {}).get(name, {}).get("options", {})
            binary: str = options.get("BinaryName", name)
            return binary
    return None
