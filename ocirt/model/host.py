"""What the compiler reads besides the config and the request: the machine and the caller."""

import posix

from ..errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable
    from typing import Any, TypeAlias

    DeviceOf: TypeAlias = Callable[[str], int | None]
    """Returns the number of the file system of a path, ``None`` if the path cannot be reached."""

ROOT = "/sys/fs/cgroup"
INITIAL_MAP = [0, 0, 4294967295]
"""The uid_map of the initial user namespace, user_namespaces(7)."""

RESCTRL = "/sys/fs/resctrl"
APPARMOR = "/sys/module/apparmor/parameters/enabled"
"""Has the text ``Y`` if the kernel has enabled AppArmor."""
SELINUX = "/sys/fs/selinux"
"""A directory that the kernel makes if it has enabled SELinux, to mount selinuxfs there."""
SET_MODE_FILTER, EFAULT = 1, 14
LANDLOCK_CREATE_RULESET, LANDLOCK_VERSION = 444, 1
"""A system call, on every processor, and the flag with which it returns the version (LANDLOCK_CREATE_RULESET_VERSION).
"""
"""Operation of seccomp(2), and errno."""


class Hierarchy:
    """A mounted cgroup hierarchy.

    :ivar controllers: of a v1 hierarchy, as /proc/self/cgroup names them (``name=systemd`` for a named one).
    :ivar mount: its mount point.
    :ivar own: the caller's own cgroup in it, as a path below the mount; ``/`` is the mount's root.
    """

    __slots__ = ("controllers", "mount", "_own")

    def __init__(self, controllers: "Iterable[str]", mount: str, own: "str | Callable[[], str]") -> None:
        self.controllers, self.mount, self._own = tuple(controllers), mount, own

    @property
    def own(self) -> str:
        if not isinstance(self._own, str):
            self._own = self._own()
        return self._own

    @own.setter
    def own(self, path: str) -> None:
        self._own = path

    def __repr__(self) -> str:
        return f"<Hierarchy {','.join(self.controllers) or 'unified'} {self.mount} own={self.own}>"


class Cgroups:
    """The cgroup layout: the ``hierarchies`` of v1, and the ``unified`` one (of a hybrid host, or the only one) or
    ``None``.
    """

    __slots__ = ("hierarchies", "unified")

    def __init__(self, hierarchies: "Iterable[Hierarchy]" = (), unified: Hierarchy | None = None) -> None:
        self.hierarchies, self.unified = tuple(hierarchies), unified

    @property
    def is_v2(self) -> bool:
        """Is the unified hierarchy the only one?"""
        return not self.hierarchies and self.unified is not None

    def hierarchy(self, controller: str) -> Hierarchy | None:
        """The v1 hierarchy of ``controller``, or ``None``."""
        for each in self.hierarchies:
            if controller in each.controllers:
                return each
        return None


OLDEST_KERNEL = (5, 14)
"""The oldest kernel on which ocirt promises to run (docs/kernels.md)."""


class Host:
    """Facts about the machine. Each is read when the compiler first asks for it, or given: ``Host(euid=1000,
    cgroups=Cgroups())``.

    :ivar euid, egid: effective ids of the caller.
    :ivar permitted, bounding: the caller's capability sets, bits as in capabilities(7).
    :ivar kernel: the numbers of the kernel's version (uname(2)). It is not observed: a kept program is for one boot,
        either because of its file system or by its key.
    :ivar last_capability: number of the last capability that the kernel knows.
    :ivar in_user_namespace: is the caller in another user namespace than the initial one?
    :ivar denies_setgroups: does the caller's user namespace deny setgroups(2)?
    :ivar cgroups: the :class:`Cgroups` layout. It is found without mountinfo, which grows with the machine.
    :ivar resctrl: where the resctrl file system is mounted, or ``None``. Mountinfo is read only if that is not the
        usual place.
    :ivar seccomp_flags: the SECCOMP_FILTER_FLAG_* bits that the kernel knows, seccomp(2).
    :ivar landlock: the version of the kernel's Landlock; 0 if it is missing or switched off.
    :ivar has_systemd: does systemd run this machine (sd_booted(3))?
    :ivar has_apparmor, has_selinux: has the kernel enabled this security module? The answers come from sysfs alone, because
        securityfs and selinuxfs need not be mounted where the runtime starts: podman unmounts everything below /sys/kernel
        for a container with ids of its own. They are not observed, like ``kernel``: a module is enabled at boot.
    :ivar observed: what the compiler has looked at on this machine: pairs of a letter and a subject -> what was found
        (core/launch/machine.c looks at the same): ``i`` the ids, ``c`` the permitted capabilities, ``b`` which bits of
        a mask are in the bounding set, ``t`` the text of a file, ``d`` the number of the file system of a path, ``w``
        whether the caller may write to a path, ``g`` cgroup hierarchies, ``o`` the same with the caller's cgroups.
    """

    __slots__ = (
        "observed",
        "kernel",
        "euid",
        "egid",
        "permitted",
        "bounding",
        "last_capability",
        "in_user_namespace",
        "denies_setgroups",
        "cgroups",
        "has_systemd",
        "has_apparmor",
        "has_selinux",
        "files",
        "writable",
        "seccomp_flags",
        "landlock",
        "resctrl",
    )
    kernel: tuple[int, ...]
    euid: int
    egid: int
    permitted: int
    bounding: int
    last_capability: int
    in_user_namespace: bool
    denies_setgroups: bool
    cgroups: Cgroups
    has_systemd: bool
    has_apparmor: bool
    has_selinux: bool
    files: "Container[str] | None"
    writable: "Container[str] | None"
    seccomp_flags: int
    landlock: int
    resctrl: str | None

    def __init__(self, **facts: object) -> None:
        self.observed: dict[tuple[str, str], str] = {}
        for name, value in facts.items():
            setattr(self, name, value)

    def check_kernel(self) -> None:
        """Create and restore ask this when they compile. A kept program is for one boot, and so for a kernel that was
        new enough; the executable looks at the version when the kernel has refused a call.

        :raises HostError: the kernel is too old.
        """
        if self.kernel < OLDEST_KERNEL:
            least, found = [".".join(map(str, version)) for version in (OLDEST_KERNEL, self.kernel)]
            raise HostError("", f"ocirt needs Linux {least} or newer; this is {found}")

    def __getattr__(self, name: str) -> "Any":
        read = _READERS.get(name)
        if read is None:
            raise AttributeError(name)
        read(self)
        return getattr(self, name)

    def has_file(self, path: str) -> bool:
        """Does the absolute ``path`` exist? The compiler asks this about control files, which tell what a kernel can
        do. ``files``, if it was given, has the paths that exist.
        """
        return self.device(path) is not None if self.files is None else path in self.files

    def device(self, path: str) -> int | None:
        """The number of the file system of ``path``, or ``None`` if the path cannot be reached."""
        found = _device(path)
        self.observed["d", path] = "-" if found is None else str(found)
        return found

    def may_write(self, path: str) -> bool:
        """May the caller write to ``path``, or make files in it? ``writable``, if it was given, has the paths that it
        may write.
        """
        found = posix.access(path, posix.W_OK) if self.writable is None else path in self.writable
        self.observed["w", path] = str(int(found))
        return found

    def bounded(self, mask: int) -> int:
        """The bits of ``mask`` that are in the bounding set."""
        found = self.bounding & mask
        self.observed["b", str(mask)] = str(found)
        return found

    def text(self, path: str) -> str:
        """The text of a small file of /proc."""
        found = self.observed["t", path] = _read(path)
        return found

    def look(self, kind: str, of: str) -> str | None:
        """What the machine shows now for ``kind``, in the form of ``observed``; ``None`` if the runtime cannot look at
        it.
        """
        try:
            if kind == "o":
                return _read("/proc/self/cgroup")
            _LOOKS[kind](self, of)
        except OSError:
            return None
        return self.observed[kind, of]


def _ids(host: Host) -> None:
    host.euid, host.egid = posix.geteuid(), posix.getegid()
    host.observed["i", ""] = f"{host.euid} {host.egid}"


def _capabilities(host: Host) -> None:
    for line in _read("/proc/self/status").splitlines():
        name, _, value = line.partition(":")
        if name == "CapPrm":
            host.permitted = int(value, 16)
        elif name == "CapBnd":
            host.bounding = int(value, 16)
    host.observed["c", ""] = str(host.permitted)


def _bounded(host: Host, mask: str) -> None:
    _capabilities(host)
    host.bounded(int(mask))


def _kernel(host: Host) -> None:
    release = posix.uname().release
    numbers = release[: len(release) - len(release.lstrip("0123456789."))]
    host.kernel = tuple([int(number) for number in numbers.split(".") if number])


def _last_capability(host: Host) -> None:
    host.last_capability = int(host.text("/proc/sys/kernel/cap_last_cap"))


def _in_user_namespace(host: Host) -> None:
    host.in_user_namespace = list(map(int, host.text("/proc/self/uid_map").split())) != INITIAL_MAP


def _denies_setgroups(host: Host) -> None:
    host.denies_setgroups = host.text("/proc/self/setgroups").strip() == "deny"


def _cgroups(host: Host) -> None:
    text = _read("/proc/self/cgroup")
    host.observed["g", ""] = "".join([":".join(line.split(":", 2)[:2]) + "\n" for line in text.splitlines()])

    def asked() -> None:
        host.observed["o", ""] = text

    host.cgroups = layout(text, host.device, asked)


def _has_systemd(host: Host) -> None:
    host.has_systemd = host.device("/run/systemd/system") is not None


def _has_apparmor(host: Host) -> None:
    # A kernel that has the module but did not enable it has the file, too, which then says N.
    try:
        host.has_apparmor = _read(APPARMOR).startswith("Y")
    except OSError:
        host.has_apparmor = False


def _has_selinux(host: Host) -> None:
    host.has_selinux = _device(SELINUX) is not None


def _seccomp_flags(host: Host) -> None:
    import ctypes  # only where there is a profile, which needs it anyway

    from .processor import seccomp_number

    syscall, number = ctypes.CDLL(None, use_errno=True).syscall, seccomp_number(posix.uname().machine)
    known = 0
    for flag in (1, 2, 4, 8, 16, 32):
        # Without a filter the kernel answers EFAULT to flags that it knows. The last flag needs a listener.
        syscall(number, SET_MODE_FILTER, flag | 8 if flag == 32 else flag, None)
        known |= flag if ctypes.get_errno() == EFAULT else 0
    host.seccomp_flags = known


def _landlock(host: Host) -> None:
    import ctypes  # only where an annotation asks for it

    host.landlock = max(0, ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_VERSION))


def _resctrl(host: Host) -> None:
    # The kernel makes the directory. It has files only if resctrl is mounted there.
    usual = host.device(f"{RESCTRL}/tasks") is not None
    host.resctrl = RESCTRL if usual else mounted("resctrl", host.text("/proc/self/mountinfo"))


def mounted(fstype: str, mountinfo: str) -> str | None:
    """The mount point of a file system of this type, by the text of /proc/self/mountinfo; ``None`` if none is
    mounted.
    """
    for line in mountinfo.splitlines():
        mount, _, source = line.partition(" - ")
        if source.split(" ")[0] == fstype:
            point = mount.split(" ")[4]
            for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
                point = point.replace(code, letter)
            return point
    return None


def _files(host: Host) -> None:
    host.files = None


def _writable(host: Host) -> None:
    host.writable = None


_READERS: "dict[str, Callable[[Host], None]]" = {
    "euid": _ids,
    "egid": _ids,
    "permitted": _capabilities,
    "bounding": _capabilities,
    "kernel": _kernel,
    "last_capability": _last_capability,
    "in_user_namespace": _in_user_namespace,
    "denies_setgroups": _denies_setgroups,
    "cgroups": _cgroups,
    "has_systemd": _has_systemd,
    "has_apparmor": _has_apparmor,
    "has_selinux": _has_selinux,
    "files": _files,
    "writable": _writable,
    "seccomp_flags": _seccomp_flags,
    "landlock": _landlock,
    "resctrl": _resctrl,
}


_LOOKS: "dict[str, Callable[[Host, str], object]]" = {
    "i": lambda host, _: _ids(host),
    "c": lambda host, _: _capabilities(host),
    "b": _bounded,
    "g": lambda host, _: _cgroups(host),
    "d": Host.device,
    "t": Host.text,
    "w": Host.may_write,
}


def _read(path: str) -> str:
    """The text of a small file of /proc."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        if _device("/proc/self") is None:
            raise HostError(
                "/proc", "no procfs is mounted there: the runtime reads from it what this machine and its caller are"
            ) from None
        raise
    data = b""
    while part := posix.read(fd, 16384):
        data += part
    posix.close(fd)
    return data.decode("utf-8", "surrogateescape")


def _device(path: str) -> int | None:
    """The number of the file system of ``path``, or ``None`` if the path cannot be reached."""
    try:
        return posix.stat(path).st_dev
    except OSError:
        return None


def layout(memberships: str, device: "DeviceOf", asked: "Callable[[], None]" = lambda: None) -> Cgroups:
    """The cgroup layout for a process with these ``memberships``.

    :param memberships: the text of /proc/self/cgroup, cgroups(7).
    :param device: returns the file system number of a path, or ``None``. A directory below /sys/fs/cgroup is a mounted
        hierarchy if its number differs from that of /sys/fs/cgroup.
    :param asked: called when the compiler asks for the caller's own cgroup.
    """
    top = device(ROOT)
    hierarchies: list[Hierarchy] = []
    unified = None
    for line in memberships.splitlines():
        _, names, own = line.split(":", 2)
        if names:
            hierarchy = _hierarchy(names, own, top, device, asked)
            hierarchies += [hierarchy] if hierarchy else []
        elif device(f"{ROOT}/cgroup.controllers") is not None:
            unified = Hierarchy((), ROOT, _own(ROOT, own, device, asked))
        elif device(f"{ROOT}/unified") not in (None, top):
            unified = Hierarchy((), f"{ROOT}/unified", _own(f"{ROOT}/unified", own, device, asked))
    return Cgroups(hierarchies, unified)


def _hierarchy(
    names: str, own: str, top: int | None, device: "DeviceOf", asked: "Callable[[], None]"
) -> Hierarchy | None:
    controllers = names.split(",")
    # Controllers that are mounted together have one directory with all their names, and a link for each. If the
    # directory names them in another order, only the links help.
    for directory in dict.fromkeys((names.removeprefix("name="), controllers[0].removeprefix("name="))):
        mount = f"{ROOT}/{directory}"
        if device(mount) not in (None, top):
            return Hierarchy(controllers, mount, _own(mount, own, device, asked))
    return None


def _own(mount: str, own: str, device: "DeviceOf", asked: "Callable[[], None]") -> "Callable[[], str]":
    """A function that returns ``own`` as a path below ``mount``. In a container the mount shows the caller's cgroup as
    its root, while /proc/self/cgroup has the host's name for it, or a path that leads out of the cgroup namespace.
    """

    def seen() -> str:
        asked()
        if own == "/" or own.startswith("/..") or device(mount + own) is None:
            return "/"
        return own

    return seen
