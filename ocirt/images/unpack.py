"""Unpacking a layer: a container of its own, in which :mod:`.unpacker` sees the one directory that it fills.

The container has no network and no device, of the host it sees the Python interpreter, read-only, and it has the
capabilities that files with other owners need, and none of those that reach beyond files. A user without root's rights
gets a user namespace with one user: all files of the layer belong to that user then.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import OcirtError
from ..failures import ImageError
from ..library import lifecycle
from ..library.blocking import drive
from ..library.remove import remove_tree
from ..library.runtime import Runtime
from ..library.sandbox import BIND_OPTIONS, sandbox
from ..library.streams import PIPE, Output, Streams
from ..library.warn import warn
from ..packages import load
from .store import Store, hex_of

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "unpacker.py")
CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETFCAP", "CAP_SYS_CHROOT"]
LAYER = "/layer"
"""Where the container sees the directory to fill."""

SIZE_MAX = 64 << 30
"""The default for the most bytes of an unpacked layer."""
MEMORY_MAX = 2 << 30
"""Bytes of address space of the program: xz and zstd ask for windows as large as an archive says."""
OUTPUT_MAX = 64 << 20
SYSTEM = ("/lib", "/lib64", "/usr")
"""Directories with the C library and what the interpreter is linked to."""
IMPLIED = "trusted.overlay.opaque"
"""What overlayfs reads of an opaque directory, unless the mount has the option ``userxattr``."""


def unpack(store: Store, blob: str, diff_id: str, *, max_size: int = SIZE_MAX, runtime: Runtime | None = None) -> str:
    """Unpack a layer, unless the store has it. The caller is in :meth:`.store.Store.adding`.

    :param blob: the digest of the layer's blob.
    :param diff_id: the digest of the layer's uncompressed archive.
    :param max_size: the most bytes of the unpacked layer.
    :returns: the layer's directory.
    :raises ImageError: the archive is broken or hostile, or the disk is full. Nothing of the layer remains.
    """
    runtime = runtime or Runtime()
    layer = store.add_layer(diff_id, lambda path: _fill(store, path, blob, diff_id, max_size, runtime))
    if blob == diff_id:  # it is not compressed, and the store has checked it
        return layer
    if store.diff_id_of(blob) is None:  # the layer is that of another blob, or of another image
        with store.locked(hex_of(blob)):
            if store.diff_id_of(blob) is None:
                _check(store, blob, diff_id, max_size, runtime)
    known = store.diff_id_of(blob)
    if known != diff_id:
        raise _other(blob, known, diff_id)
    return layer


def copy(
    store: Store,
    path: str,
    layers: Sequence[tuple[str, str]],
    *,
    max_size: int = SIZE_MAX,
    runtime: Runtime | None = None,
) -> None:
    """Unpack layers above each other: what a layer removes does not remain. The caller is in
    :meth:`.store.Store.adding`.

    :param path: the directory, which is made.
    :param layers: digests of blobs and their diff ids, the lowest first.
    :raises ImageError: the directory cannot be written. What was written is left to the caller.
    """
    with store.errors():
        os.mkdir(path, 0o755)
    for blob, diff_id in layers:
        _add(store, path, blob, diff_id, "tree", max_size, runtime or Runtime())


def _fill(store: Store, path: str, blob: str, diff_id: str, max_size: int, runtime: Runtime) -> None:
    with store.errors():
        os.mkdir(path, 0o755)
    found = _add(store, path, blob, diff_id, "layer", max_size, runtime)
    if os.geteuid() == 0:
        with store.errors():
            for name in found["opaque"]:
                _mark_opaque(path, name)
    store.keep_diff_id(blob, diff_id)


def _check(store: Store, blob: str, diff_id: str, max_size: int, runtime: Runtime) -> None:
    """Let the program read a blob, whose diff id must be this one."""
    empty = store.temporary()
    try:
        with store.errors():
            os.mkdir(empty, 0o700)
        _add(store, empty, blob, diff_id, "nothing", max_size, runtime)
    finally:
        remove_tree(empty)
    store.keep_diff_id(blob, diff_id)


def _other(blob: str, found: object, expected: str) -> ImageError:
    return ImageError(f"layer {blob}: found the diff id {found}, expected {expected}")


def _add(
    store: Store, path: str, blob: str, diff_id: str, kind: str, max_size: int, runtime: Runtime
) -> dict[str, Any]:
    """Let the program unpack a layer into the directory ``path``, and return what it has printed."""
    root = store.temporary()
    try:
        with store.errors():
            os.mkdir(root, 0o700)
            source = os.open(store.blob(blob), os.O_RDONLY | os.O_CLOEXEC)
        try:
            # If this process is killed, its container lives for a moment: what it writes to is not removed meanwhile.
            with store.shared() as lock:
                found = _run(path, root, (source, lock), [kind, str(max_size)], runtime, f"layer {blob}")
        finally:
            os.close(source)
    finally:
        remove_tree(root)
    if found.get("diff_id") != diff_id:
        raise _other(blob, found.get("diff_id"), diff_id)
    if found["skipped"]:
        warn(f"layer {blob}: left out {found['skipped']} device nodes; a container's devices are its config's")
    return found


def _run(path: str, root: str, fds: tuple[int, int], how: list[str], runtime: Runtime, what: str) -> dict[str, Any]:
    """Run the program, and return what it has printed.

    :param fds: its standard input, and the store's lock.
    """
    zstandard = _folder_of_zstandard()
    words = ["chown" if os.geteuid() == 0 else "own", *how, *([zstandard] if zstandard else [])]
    config = _config([sys.executable, "-I", "-S", "-B", PROGRAM, *words], path, zstandard)
    output = Output(OUTPUT_MAX)
    streams = Streams.open(fds[0], PIPE, PIPE)
    try:
        drive(
            lifecycle.run(
                replace(runtime, cgroup_manager="disabled"),
                lifecycle.Bundle(None, config, root),
                lifecycle.new_id(),
                streams,
                fds[1:],
                b"",
                None,
                output,
                lifecycle.Flags(False, "best-effort"),
            )
        )
    except OcirtError as error:
        raise ImageError(f"{what}: the container that unpacks it failed: {error}") from error
    try:
        found = json.loads(output.of(1))
    except ValueError:
        said = output.of(2).decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ImageError(f"{what}: the program that unpacks it failed: {said or 'it was killed'}") from None
    if "error" in found:
        failure = ImageError(f"{what}: {found['error']}")
        failure.errno = found.get("errno")
        raise failure
    return dict(found)


def _config(args: list[str], path: str, zstandard: str | None) -> dict[str, Any]:
    """The config.json of the container."""
    config = sandbox(args, memory=None, processes=None, cpus=None, uid=0, gid=0, cwd=LAYER)
    process, linux = config["process"], config["linux"]
    process["capabilities"] = {kind: CAPABILITIES for kind in ("bounding", "effective", "permitted")}
    process["user"]["umask"] = 0
    process["rlimits"].append({"type": "RLIMIT_AS", "hard": MEMORY_MAX, "soft": MEMORY_MAX})
    linux["seccomp"]["syscalls"].append({"names": ["chroot"], "action": "SCMP_ACT_ALLOW"})
    linux["resources"] = {}
    linux["namespaces"] = [each for each in linux["namespaces"] if each["type"] != "cgroup"]
    linux["maskedPaths"] = linux["readonlyPaths"] = []
    config["root"]["readonly"] = False  # its mount points are made in it, and it is removed with them
    config["mounts"] = [
        {"destination": each, "type": "bind", "source": os.path.realpath(each), "options": BIND_OPTIONS}
        for each in _needed([*SYSTEM, sys.base_prefix, sys.prefix, os.path.dirname(PROGRAM), zstandard or "/usr"])
    ] + [{"destination": LAYER, "type": "bind", "source": path, "options": ["bind", "rw", "nosuid", "nodev", "noexec"]}]
    return config


def _needed(directories: list[str]) -> list[str]:
    """Those of the directories that exist and are in no other one, each once."""
    known = sorted({os.path.abspath(each) for each in directories if os.path.isdir(each)})
    return [each for each in known if not any(each.startswith(other + "/") for other in known)]


def _folder_of_zstandard() -> str | None:
    """The directory from which the package zstandard can be imported, if it is installed."""
    try:
        file = load("zstandard").__file__
    except ImportError:
        return None
    return os.path.dirname(os.path.dirname(os.path.abspath(file))) if file else None


def _mark_opaque(path: str, name: str) -> None:
    """Set the attribute of an opaque directory that only root may set. The name comes from the program, so no link in
    it is followed.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in [each for each in name.split("/") if each not in ("", ".")]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            below = os.open(os.fsencode(part), flags, dir_fd=fd)
            os.close(fd)
            fd = below
        os.setxattr(fd, IMPLIED, b"y")
    finally:
        os.close(fd)
