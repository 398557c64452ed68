"""File systems, seccomp, and the cache of programs."""

import os
import stat

from ...compile import libseccomp
from ...errors import HostError
from ...plan.cache import has_form
from ..cache import directory_of, file_system
from .asked import read
from .finding import Finding, fault, good, note, package

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...model.host import Host

ACTIONS = "/proc/sys/kernel/seccomp/actions_avail"
UNHIDE = "show /proc/sys to this process: an outer container with --security-opt unmask=ALL (podman) does"


def examine(host: "Host") -> "Iterator[Finding]":
    """Findings about overlayfs, FUSE, seccomp, and where programs are kept."""
    yield from _overlay(host)
    yield from _seccomp(host)
    yield from _cache(host)


def _overlay(host: "Host") -> "Iterator[Finding]":
    with open("/proc/filesystems") as file:
        known = file.read().split()
    if "overlay" in known:
        yield good("overlayfs is there" + ("" if host.euid == 0 else ", and this kernel lets user namespaces mount it"))
    elif os.path.isdir(f"/lib/modules/{os.uname().release}/kernel/fs/overlayfs"):
        yield note("overlayfs is a module that is not loaded: --layer and images fail", "as root: modprobe overlay")
    else:
        yield note("the kernel has no overlayfs: --layer and images fail")
    try:
        is_device = stat.S_ISCHR(os.stat("/dev/fuse").st_mode)
    except OSError:
        is_device = False
    yield (
        good("/dev/fuse is there")
        if is_device
        else note(
            "/dev/fuse is missing: fuse-overlayfs and FUSE file systems fail",
            "as root: modprobe fuse, or in a container: --device /dev/fuse of the outer one",
        )
    )


def _seccomp(host: "Host") -> "Iterator[Finding]":
    actions = read(ACTIONS)
    if actions is None and not host.seccomp_flags:
        # An outer profile may refuse seccomp(2), and an outer container hide the file; the status has a line either way.
        if "\nSeccomp:" in (read("/proc/self/status") or "") and not os.path.exists("/proc/sys/kernel/ostype"):
            yield note(f"it is unknown whether the kernel has seccomp filters: {ACTIONS} is hidden here", UNHIDE)
        else:
            yield fault("the kernel has no seccomp filters: every config with linux.seccomp fails")
        return
    if actions is None:
        yield note(f"the kernel has seccomp filters, with which actions is unknown: {ACTIONS} is hidden here", UNHIDE)
    try:
        yield good(f"seccomp with libseccomp {libseccomp.version()}" + (f": {actions}" if actions else ""))
    except HostError as error:
        yield fault(f"{error}: every config with linux.seccomp fails", package("libseccomp2", "libseccomp"))


def _cache(host: "Host") -> "Iterator[Finding]":
    try:
        directory = directory_of(os.environ, host.euid)
    except HostError as error:
        yield note(f"no program is kept, and each create starts Python: {error}", "set OCIRT_CACHE to a directory")
        return
    try:
        names = [name for name in os.listdir(directory) if has_form(name)]
        used = sum([os.lstat(os.path.join(directory, name)).st_blocks * 512 for name in names])
        yield good(
            f"programs are kept in {directory} ({file_system(directory)}): {len(names)} entries, {used // 1024} KiB"
        )
    except FileNotFoundError:
        yield good(f"programs will be kept in {directory}")
