"""restore, from config.json's bytes and criu's images to the executable that runs the program."""

import os
import posix

from ..compile.restore import Restored
from ..criu import DEFAULT_IMAGES, DESCRIPTORS, common, directory, executable, external
from ..criu.message import RESTORE
from ..errors import OcirtError, RequestError, reason
from ..model.config import parse
from ..model.host import Host
from ..model.request import Request
from ..model.text import bound
from ..plan.encode import encode as encode_plan
from .create import execute, hand_over, read_all
from .flags import NATIVE, VALUES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Never

    from ..model.request import Words

LOG = "restore.log"
ROOT = "criu-root"
"""In the state directory, while criu runs: where criu finds the rootfs."""


def compile_and_execute(words: "Words", arguments: list[str]) -> "Never":
    """Compile the bundle and criu's request, and become the executable again, which then runs the program.

    :param words: the request's words (:func:`ocirt.boot.read_request`).
    :param arguments: the command line as the launcher got it.
    :raises OcirtError: bundle, images or flags cannot be used; there is no return otherwise.
    """
    from .._build import BUILD_ID

    config_fd = words["input"]
    config, request = (
        parse(read_all(config_fd)),
        Request({**words, "preserve-fds": "", "listen-fds": 0, "notify-socket": ""}),
    )
    flags = _flags(words)
    criu = executable(words.get("criu"), os.environ.get("PATH", os.defpath))
    options = common(config, flags)
    host = Host()
    host.check_kernel()
    restored = Restored(config, request, host)
    external.check(restored.namespaces)
    images = os.path.abspath(flags["image-path"] or DEFAULT_IMAGES)
    images_fd = directory("image-path", images, make=False)
    work = os.path.abspath(flags["work-path"]) if flags["work-path"] else None
    work_fd = None if work is None else directory("work-path", work, make=True)
    root = os.path.join(os.path.realpath(request.root), request.id, ROOT)
    options |= {
        "images_dir_fd": images_fd,
        "log_file": LOG,
        "root": root,
        "rst_sibling": True,
        "evasive_devices": True,
        "tcp_close": bool(flags["tcp-close"]),
        "lsm_profile": flags["lsm-profile"] or None,
        "lsm_mount_context": flags["lsm-mount-context"] or None,
        "work_dir_fd": work_fd,
        "cg_root": [
            {"ctrl": name, "path": path} for name, path in {**_own_cgroups(), **restored.cgroup.paths()}.items()
        ],
        "ext_mnt": external.to_restore(bound(restored.rootfs.path), restored.mounts, config, restored.namespaces),
    }
    options["join_ns"], opened = external.namespaces_to_restore(restored.namespaces)
    options["inherit_fd"] = [*_pipes(images), *[{"key": key, "fd": _open(path)} for key, path in opened.items()]]
    plan = restored.compile(
        root,
        {"type": RESTORE, "opts": options},
        os.path.join(work or images, LOG),
        path=criu,
        env=_environment(),
        images=images,
        images_fd=images_fd,
        work=work or "",
        work_fd=-1 if work_fd is None else work_fd,
    )
    program = hand_over(encode_plan(plan, BUILD_ID))
    execute(words["self"], [arguments[0], f"@program={program},{config_fd}", *arguments[1:]])


def _flags(words: "Words") -> "dict[str, Any]":
    """The flags of restore by name; a flag that can repeat has a list of values."""
    found: dict[str, Any] = {}
    for flag in NATIVE["restore"].flags:
        found[flag.name] = words.get(flag.name, [] if flag.repeats == VALUES else None)
    return found


def _own_cgroups() -> dict[str, str]:
    """The caller's own cgroups, by controller. criu uses them for controllers in which the container has no cgroup."""
    found: dict[str, str] = {}
    with open("/proc/self/cgroup") as file:
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            found |= dict.fromkeys(names.split(","), path)
    return found


def _pipes(images: str) -> "list[dict[str, Any]]":
    """``inherit_fd`` for streams of the container that were pipes: the streams of this command replace them."""
    import json

    path = os.path.join(images, DESCRIPTORS)
    try:
        with open(path) as file:
            streams = json.load(file)
        return [{"key": name, "fd": fd} for fd, name in enumerate(streams) if name.startswith("pipe:")]
    except OSError as error:
        raise RequestError(
            f"--image-path {images}: {DESCRIPTORS}: {reason(error)}: found no checkpoint, expected one"
        ) from None
    except (ValueError, AttributeError, TypeError):
        raise RequestError(f"{path}: found something else, expected what checkpoint writes") from None


def _open(path: str) -> int:
    """A descriptor of the namespace ``path``, which criu inherits."""
    try:
        fd = posix.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise OcirtError(f"open namespace {path}: {reason(error)}") from None
    posix.set_inheritable(fd, True)
    return fd


def _environment() -> list[str]:
    """The environment for criu, which runs tar and iptables."""
    return [f"{name}={os.environ[name]}" for name in ("PATH", "HOME", "TMPDIR") if name in os.environ]
