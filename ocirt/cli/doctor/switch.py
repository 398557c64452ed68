"""How to have an engine use ocirt: the lines that its configuration lacks, as a command if they can simply be added, and
otherwise as the changes that a reader makes in the file. The finding has them itself, because an installed ocirt has no
docs/.
"""

import json
import os
import re
import shutil
import tomllib
from shlex import quote

from ...model.json import value_at
from .files import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
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
DEFAULT = 'default_runtime_name = "ocirt"'
CONTAINERD = (
    f'[plugins."PLUGIN".containerd]\n{DEFAULT}',
    '[plugins."PLUGIN".containerd.runtimes.ocirt]\nruntime_type = "io.containerd.runc.v2"',
    '[plugins."PLUGIN".containerd.runtimes.ocirt.options]\nBinaryName = "/usr/local/bin/ocirt"',
)
"""What docs/podman.md, docker.md and containerd.md have a reader paste; that of containerd table by table."""
PLUGINS = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime"}
"""Versions of containerd's file -> the name of the CRI plugin in it. Later versions have the name of the last one."""
PLACE = "/usr/local/bin/ocirt"
"""Where these settings expect the executable."""
DOCKER_FILE, CONTAINERD_FILE = "/etc/docker/daemon.json", "/etc/containerd/config.toml"


def way(engine: str, host: "Host", named_in: str | None = None) -> str:
    """What to do so that the engine uses ocirt.

    :param named_in: the file from which podman or containerd has the runtime that it uses now.
    """
    ways = {
        "podman": lambda: _podman(host.euid, named_in),
        "buildah": lambda: f"run: export BUILDAH_RUNTIME={PLACE} BUILDAH_ISOLATION=oci",
        "dockerd": lambda: _docker(host),
        "containerd": lambda: _containerd(host, named_in or CONTAINERD_FILE),
    }
    return ways[engine]().replace(PLACE, shutil.which("ocirt") or PLACE)


def plugin_of(settings: "dict[str, Any]") -> str:
    """The name of the CRI plugin in a file of containerd's with these settings."""
    version = settings.get("version")
    return PLUGINS[3 if isinstance(version, int) and version >= 3 else 2]


def _podman(euid: int, named_in: str | None) -> str:
    """A file of its own, which replaces no other one, unless a file that podman reads later names another runtime."""
    folder = f"{'/etc/containers' if euid == 0 else '~/.config/containers'}/containers.conf.d"
    file = os.path.expanduser(f"{folder}/ocirt.conf")
    later = named_in if named_in and named_in > file and os.path.dirname(named_in) == os.path.dirname(file) else ""
    first = f"remove the line runtime of [engine] in {later}, which podman reads last; then " if later else ""
    if os.path.exists(file):
        return f"{first}make {file} have these lines: {_oneline(PODMAN)}"
    return f"{first}run: mkdir -p {folder} && {_printf(PODMAN)} > {folder}/ocirt.conf"


def _docker(host: "Host") -> str:
    if not os.path.exists(DOCKER_FILE):
        folder = os.path.dirname(DOCKER_FILE)
        return f"run: mkdir -p {folder} && {_printf(DOCKER)} > {DOCKER_FILE}{_restart('docker', 'dockerd', host)}"
    settings = json.loads(text_of(DOCKER_FILE) or "{}")
    runtime = json.dumps(json.loads(DOCKER)["runtimes"]["ocirt"])
    inner = (
        f'"ocirt": {runtime} to its "runtimes"'
        if value_at(settings, "runtimes")
        else f'"runtimes": {{"ocirt": {runtime}}}'
    )
    name = value_at(settings, "default-runtime")
    default = f'change "default-runtime" from "{name}" to "ocirt"' if name else 'add "default-runtime": "ocirt"'
    return (
        f"in the object of {DOCKER_FILE}: add {inner}, and {default}{_restart('docker', 'dockerd', host, by_hand=True)}"
    )


def _containerd(host: "Host", path: str) -> str:
    """TOML takes each table once, and its version only in front of the tables.

    :param path: of containerd's file, or of the one that it imports.
    """
    text = text_of(path)
    settings = tomllib.loads(text_of(CONTAINERD_FILE))
    tables = [table.replace("PLUGIN", plugin_of(settings)) for table in CONTAINERD]
    if not settings:
        tables.insert(0, "version = 2")
    elif settings.get("version", 1) == 1:
        return (
            f"{CONTAINERD_FILE} has the format of version 1, in which these lines have no effect: write it in version 2 "
            f'(first line "version = 2", whole names of plugins), then ask again'
        )
    added = [table for table in tables if _may_follow(text, table)]
    by_hand = [_change(text, table) for table in tables if table not in added]
    folder = os.path.dirname(path)
    start = "" if os.path.isdir(folder) else f"mkdir -p {folder} && "
    lines = "\n".join(["" if not text or text.endswith("\n") else "\n", *added]).removeprefix("\n")
    command = f"{start}{_printf(lines)} >> {path}"
    if not by_hand:
        return f"run: {command}{_restart('containerd', 'containerd', host)}"
    changes = [f"in {path} {'; '.join(by_hand)}", *([f"run: {command}"] if added else [])]
    return "; then ".join(changes) + _restart("containerd", "containerd", host, by_hand=True)


def _may_follow(text: str, table: str) -> bool:
    """May a file with the text ``text`` end with this table?"""
    try:
        tomllib.loads(f"{text}\n{table}\n")
    except tomllib.TOMLDecodeError:
        return False
    return True


def _change(text: str, table: str) -> str:
    """How the table, which the file already has, gets the line that it is to have."""
    header, line = table.split("\n")
    key, begins, inside = line.partition(" ")[0], 0, False
    for number, each in enumerate(text.splitlines(), 1):
        plain = re.sub(r"\s|#.*", "", each).replace("'", '"')
        if plain.startswith("["):
            inside = plain == header
            begins = number if inside else begins
        elif inside and plain.partition("=")[0] == key:
            return f"change line {number} to {line}"
    return f"write {line} beneath {header}" + (f" (line {begins})" if begins else "")


def _restart(service: str, program: str, host: "Host", by_hand: bool = False) -> str:
    """The end of a command or, if the reader makes the change by hand, of a sentence."""
    if not host.has_systemd:
        return f"; then restart {program}"
    return f"; then run: systemctl restart {service}" if by_hand else f" && systemctl restart {service}"


def _oneline(lines: str) -> str:
    return ", ".join(lines.splitlines())


def _printf(lines: str) -> str:
    """The shell's command that prints these lines, itself one line."""
    return "printf '%s\\n' " + " ".join([quote(line) for line in lines.splitlines()])
