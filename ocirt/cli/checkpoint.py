"""``ocirt checkpoint``: criu saves the processes of a container to files."""

import os
import posix

from ..compile.container import Container
from ..confine import confine
from ..criu import DEFAULT_IMAGES, DESCRIPTORS, common, directory, executable, external
from ..criu.message import DUMP, PRE_DUMP
from ..criu.talk import Refused, ask, logged, need
from ..errors import HostError, OcirtError, RequestError, reason
from ..model.text import bound, quote
from . import containers
from .create import execute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..criu.message import Message
    from ..model.config import Config
    from ..model.host import Host
    from ..model.request import Request
    from .parser import CommandLine

LOG = "dump.log"


def run(line: "CommandLine") -> None:
    """Save the container. Unless a flag says that the container continues, this process then becomes the executable,
    which deletes the container.

    :raises OcirtError: a flag cannot be used, the container does not run, or criu fails.
    """
    flags = {name.replace("_", "-"): value for name, value in vars(line.options).items()}
    id = line.arguments[0]
    lock = containers.lock(line)
    state = containers.state_of(line)
    if not state.has_started:
        raise OcirtError(f"container not running: {id} is {state.status}, expected running or paused")
    criu = executable(flags["criu"], os.environ.get("PATH", os.defpath))
    images = os.path.abspath(flags["image-path"] or DEFAULT_IMAGES)
    work = os.path.abspath(flags["work-path"]) if flags["work-path"] else None
    config, request, host = containers.read(line)
    if request.init:
        raise OcirtError(
            f"cannot checkpoint a container that has been made with --init: {id}: criu cannot save a process that "
            "executes no file"
        )
    options = common(config, flags)
    status_fd = _status_fd(flags["status-fd"])
    options["images_dir_fd"] = directory("image-path", images, make=True)
    options |= _of_flags(flags, images)
    if work is not None:
        options["work_dir_fd"] = directory("work-path", work, make=True)
    if flags["pre-dump"]:
        need(criu, "mem_track", "--pre-dump")
    if flags["lazy-pages"]:
        need(criu, "lazy_pages", "--lazy-pages")
    options |= _of_container(config, request, host, state.pid, bool(flags["pre-dump"]))
    if not flags["pre-dump"]:
        _keep_descriptors(state.pid, images)
    # criu must not end with the caller: it would leave processes stopped.
    confine(f"ocirt: checkpoint {id}", executes=True, dies=False)
    _save(
        criu,
        {"type": PRE_DUMP if flags["pre-dump"] else DUMP, "opts": options},
        os.path.join(work or images, LOG),
        status_fd,
    )
    if not (flags["leave-running"] or flags["pre-dump"]):
        posix.close(lock)
        execute(line.executable, [*line.start, "delete", "--force", "--", id])


def _of_flags(flags: "Mapping[str, Any]", images: str) -> "dict[str, Any]":
    """criu's options for the flags that only checkpoint has.

    :raises RequestError: a flag has an impossible value.
    """
    parent = flags["parent-path"] or None
    if parent is not None:
        if parent.startswith("/"):
            raise RequestError(f"--parent-path: found {quote(parent)}, expected a path relative to --image-path")
        if not os.path.isdir(os.path.join(images, parent)):
            raise RequestError(
                f"--parent-path: found no directory {os.path.join(images, parent)}, expected the images of a --pre-dump"
            )
    server = None
    if flags["page-server"]:
        address, _, port = flags["page-server"].rpartition(":")
        if not (address and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise RequestError(f"--page-server: found {quote(flags['page-server'])}, expected ADDRESS:PORT")
        server = {"address": address.removeprefix("[").removesuffix("]"), "port": int(port)}
    return {
        "log_file": LOG,
        "leave_running": flags["leave-running"],
        "tcp_skip_in_flight": flags["tcp-skip-in-flight"],
        "link_remap": flags["link-remap"],
        "parent_img": parent,
        "track_mem": True if parent else None,
        "ps": server,
    }


def _status_fd(given: int | None) -> int | None:
    """``--status-fd``, a descriptor of the caller.

    :raises RequestError: it cannot be written.
    """
    if given is None:
        return None
    try:
        os.write(given, b"")
    except OSError as error:
        raise RequestError(f"--status-fd {given}: {reason(error)}") from None
    return given


def _of_container(config: "Config", request: "Request", host: "Host", pid: int, pre: bool) -> "dict[str, Any]":
    """criu's options that describe the container whose first process is ``pid``.

    :param pre: does criu save only memory (``--pre-dump``)?
    """
    container = Container(config, request, host, by_criu=True)
    namespaces = container.namespaces
    external.check(namespaces)
    try:
        spaces = external.namespaces_to_save(namespaces)
    except OSError as error:
        raise HostError("linux.namespaces", f"{error.filename}: {reason(error)}") from None
    options = {
        "pid": pid,
        "root": bound(container.rootfs.path),
        "external": spaces,
        "freeze_cgroup": container.cgroup.freezer(),
    }
    if not pre:
        options["ext_mnt"] = external.to_save(f"/proc/{pid}/root", container.mounts, config, namespaces)
    return options


def _keep_descriptors(pid: int, images: str) -> None:
    """Write down what the standard streams of the process are, so that restore can replace pipes with its own."""
    import json

    try:
        streams = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)]
    except OSError:
        streams = []  # closed: restore has nothing to replace
    try:
        with open(
            os.path.join(images, DESCRIPTORS), "w", opener=lambda path, flags: os.open(path, flags, 0o600)
        ) as file:
            json.dump(streams, file)
    except OSError as error:
        raise OcirtError(f"--image-path {images}: {DESCRIPTORS}: {reason(error)}") from None


def _save(criu: str, request: "Message", log: str, status_fd: int | None) -> None:
    def notified(script: str) -> None:
        if script == "status-ready" and status_fd is not None:
            os.write(status_fd, b"\0")

    try:
        ask(criu, request, notified)
    except Refused as error:
        said = error.said or logged(log)
        raise OcirtError(f"criu: {said or error} (see {log})") from None
