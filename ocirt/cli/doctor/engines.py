"""Engines that are installed, and whether their configuration names ocirt. What to write into it is in the finding
itself, because an installed ocirt has no docs/.
"""

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

PODMAN = """\
[engine]
runtime = "ocirt"
runtime_supports_json = ["crun", "runc", "ocirt"]
runtime_supports_nocgroup = ["crun", "ocirt"]
[engine.runtimes]
ocirt = ["/usr/local/bin/ocirt"]"""
DOCKER = '{"runtimes": {"ocirt": {"path": "/usr/local/bin/ocirt"}}, "default-runtime": "ocirt"}'
CONTAINERD = """\
version = 2
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "ocirt"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.ocirt]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.ocirt.options]
BinaryName = "/usr/local/bin/ocirt\""""
"""What docs/podman.md, docker.md and containerd.md have a reader paste."""
PLACE = "/usr/local/bin/ocirt"
"""Where these settings expect the executable."""


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
                _switch(engine, host.euid),
            )
    if not found:
        yield note("no engine is installed; ocirt runs bundles by itself")


def _switch(engine: str, euid: int) -> str:
    """How to have the engine use ocirt."""
    settings = "/etc/containers" if euid == 0 else "~/.config/containers"
    way = {
        "podman": f"run: mkdir -p {settings}/containers.conf.d && "
        f"{_printf(PODMAN)} > {settings}/containers.conf.d/ocirt.conf",
        "buildah": f"run: export BUILDAH_RUNTIME={PLACE} BUILDAH_ISOLATION=oci",
        "dockerd": f"add to /etc/docker/daemon.json: {DOCKER}, and run: systemctl restart docker",
        "containerd": f"run: {_printf(CONTAINERD)} >> /etc/containerd/config.toml && systemctl restart containerd "
        "(a file with another version needs a merge by hand)",
    }[engine]
    return way.replace(PLACE, shutil.which("ocirt") or PLACE)


def _printf(lines: str) -> str:
    """The shell's command that prints these lines, itself one line."""
    return "printf '%s\\n' " + " ".join([f"'{line}'" for line in lines.splitlines()])


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
