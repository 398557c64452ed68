"""The options of an entry of ``mounts``: config.md, "Mounts" and its table of options for Linux.

What the specification calls an option is one of four things: an attribute of the mount (mount_setattr(2)), the same
attribute for all mounts below (``rro`` and similar options), the propagation, or a setting of the file system. A string
that is in none of the tables goes to the file system unchanged. If options contradict each other, the last one counts.
"""

from ..errors import ConfigError
from ..model.text import Table
from ..plan.steps import (
    NODEV,
    NODIRATIME,
    NOEXEC,
    NOSUID,
    NOSYMFOLLOW,
    PRIVATE,
    RDONLY,
    SHARED,
    SLAVE,
    UNBINDABLE,
    SetMountAttributes,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Mount as Entry
    from ..model.text import Template, Text
    from ..plan.steps import Step

SPEC = "config.md#mounts"
ATIME, RELATIME, NOATIME, STRICTATIME = 0x70, 0, 0x10, 0x20
"""The access time is one field of these bits: a change clears the whole mask."""

ATTRIBUTES = {
    # option: bits to set, bits to clear
    "ro": (RDONLY, 0),
    "rw": (0, RDONLY),
    "nosuid": (NOSUID, 0),
    "suid": (0, NOSUID),
    "nodev": (NODEV, 0),
    "dev": (0, NODEV),
    "noexec": (NOEXEC, 0),
    "exec": (0, NOEXEC),
    "nodiratime": (NODIRATIME, 0),
    "diratime": (0, NODIRATIME),
    "nosymfollow": (NOSYMFOLLOW, 0),
    "symfollow": (0, NOSYMFOLLOW),
    "noatime": (NOATIME, ATIME),
    "strictatime": (STRICTATIME, ATIME),
    "relatime": (RELATIME, ATIME),
}
UNNAMED = RDONLY | NOSUID | NODEV | NOEXEC | NOSYMFOLLOW
"""The attributes that a bind keeps from its source, but only if its options name no attribute at all."""
NEGATED_ATIMES = {"atime": NOATIME, "nostrictatime": STRICTATIME}
"""An option that turns an access time off: the mount then has the kernel's default, relatime."""

PROPAGATIONS = {
    # option: flag, whether it applies to the mounts below too
    "private": (PRIVATE, 0),
    "rprivate": (PRIVATE, 1),
    "slave": (SLAVE, 0),
    "rslave": (SLAVE, 1),
    "shared": (SHARED, 0),
    "rshared": (SHARED, 1),
    "unbindable": (UNBINDABLE, 0),
    "runbindable": (UNBINDABLE, 1),
}

SUPERBLOCK = {
    # option: the setting that it replaces; file systems of every type have these settings
    "sync": "async",
    "async": "sync",
    "dirsync": "",
    "mand": "nomand",
    "nomand": "mand",
    "lazytime": "nolazytime",
    "nolazytime": "lazytime",
}

SUPERBLOCK_FLAGS = {
    # option: its MS_* flag, by which mount(2) takes it
    "ro": 1,
    "sync": 16,
    "mand": 64,
    "dirsync": 128,
    "lazytime": 1 << 25,
    **dict.fromkeys(("rw", "async", "nomand", "nolazytime"), 0),
}

IGNORED = ("defaults", "silent", "loud", "iversion", "noiversion", "norelatime", "rnorelatime")
"""The runtime need do nothing for these: fsconfig(2) never prints, file systems that count versions always do (Linux
6.1), and a negated relatime falls back to the default, which is relatime."""

RECURSIVE = {f"r{option}": bits for option, bits in ATTRIBUTES.items()}
"""``rro``, ``rnosuid``...: the attribute for this mount and all mounts below."""
RECURSIVE_NEGATED_ATIMES = {f"r{option}": value for option, value in NEGATED_ATIMES.items()}

IDMAP = ("idmap", "ridmap")
NOFOLLOW = ("src-nofollow", "dest-nofollow", "copy-symlink")
"""crun's options for binds: how symlinks are treated."""

KNOWN = Table(
    "mount options",
    (
        *ATTRIBUTES,
        *NEGATED_ATIMES,
        *RECURSIVE,
        *RECURSIVE_NEGATED_ATIMES,
        *PROPAGATIONS,
        *SUPERBLOCK,
        *IGNORED,
        "bind",
        "rbind",
        "remount",
        "tmpcopyup",
        *IDMAP,
        *NOFOLLOW,
    ),
)
"""The options that the compiler reads; it passes on any other option."""

KNOWN_OR_EMPTY = Table("mount options", (*KNOWN, ""))

VIRTUAL = (
    "tmpfs",
    "proc",
    "sysfs",
    "devpts",
    "mqueue",
    "cgroup",
    "cgroup2",
    "devtmpfs",
    "ramfs",
    "hugetlbfs",
    "debugfs",
    "tracefs",
    "securityfs",
    "configfs",
    "fusectl",
    "pstore",
    "bpf",
    "efivarfs",
    "binfmt_misc",
    "rpc_pipefs",
)
"""File systems without a medium: ``ro`` makes the mount read-only, not the file system, because other mounts may share
it."""


EARLY = {"proc": 0, "tmpfs": 0, "devpts": 0, "mqueue": 0, "sysfs": 1}
"""New file systems that do not depend on the cgroup of the process that mounts them -> whether they show its network
namespace."""

PROC_FILES = tuple(
    [
        f"/proc/{name}"
        for name in (
            "cpuinfo",
            "diskstats",
            "loadavg",
            "meminfo",
            "net/dev",
            "slabinfo",
            "stat",
            "swaps",
            "sys/kernel/ns_last_pid",
            "uptime",
        )
    ]
)
"""Files of the container's procfs on which a mount is allowed: lxcfs and criu bind there. The step refuses all other
targets in procfs, because the runtime and the container's programs write to files there (/proc/self/attr, /proc/sys),
and must reach the kernel's."""


SAME_IN_WORDS = {
    "readonly": "ro",
    "read-only": "ro",
    "readwrite": "rw",
    "read-write": "rw",
    "writable": "rw",
    "recursive": "rbind",
    "no_exec": "noexec",
    "no-exec": "noexec",
}
"""Spellings of mount options in other programs that are too different for :func:`~ocirt.nearest.nearest`."""


def meant_option(option: str) -> str:
    """The option of a bind that the author of the unknown ``option`` may have meant; empty if no option is similar."""
    from ..nearest import nearest  # costs more than most compilations

    known = ("bind", "rbind", *ATTRIBUTES, *RECURSIVE, *PROPAGATIONS, *IDMAP)
    return SAME_IN_WORDS.get(option.lower()) or nearest(option, known)


def split(text: str) -> list[str]:
    """The options in one string. As in mount(8), commas separate options, except in double quotes that have no
    backslash before them. The result has neither those quotes and backslashes nor empty options.
    """
    parts, part, is_quoted, letters = [], "", False, iter(text)
    for letter in letters:
        if letter == "\\":
            after = next(letters, "")
            part += after if after in (",", '"') else letter + after
        elif letter == '"':
            is_quoted = not is_quoted
        elif letter == "," and not is_quoted:
            parts.append(part)
            part = ""
        else:
            part += letter
    return [each for each in (*parts, part) if each]


def is_mapping(option: "Text | str") -> bool:
    """Is it crun's option, which has the maps of an idmapped mount?"""
    return starts_with(option, "idmap=") or starts_with(option, "ridmap=")


def starts_with(option: "Text | str", prefix: str) -> bool:
    return option.startswith(prefix) if isinstance(option, str) else option.starts_with(prefix)


class _Attributes:
    """Attribute bits to set and to clear, collected option by option."""

    __slots__ = ("set", "clear")

    def __init__(self) -> None:
        self.set = self.clear = 0

    def add(self, bits: int, cleared: int) -> None:
        if cleared & ATIME:
            self.set &= ~ATIME
        self.set = (self.set | bits) & ~(cleared & ~ATIME)
        self.clear = (self.clear | cleared) & ~(bits & ~ATIME)

    def negate_atime(self, value: int) -> None:
        """Turn the access time ``value`` off; if an earlier option asked for another access time, keep that."""
        if self.set & ATIME == value or not self.clear & ATIME:
            self.add(RELATIME, ATIME)


class Parsed:
    """An entry of ``mounts`` with its options sorted.

    :ivar target: absolute path in the rootfs.
    :ivar fstype: type of a new file system, a str.
    :ivar flags: options that say what to do (``bind``, ``rbind``, ``remount``, ``tmpcopyup``, those of IDMAP
        and NOFOLLOW) -> their JSON paths.
    :ivar set, clear, recursive_set, recursive_clear: MOUNT_ATTR_* bits.
    :ivar propagations: pairs of MS_* flag and recursive, in order.
    :ivar options: the options for the file system.
    :ivar places: the JSON paths of ``options``.
    """

    spec = SPEC
    __slots__ = (
        "at",
        "entry",
        "target",
        "fstype",
        "flags",
        "attributes",
        "recursive",
        "propagations",
        "superblock",
        "options",
        "places",
    )

    def __init__(self, entry: "Entry") -> None:
        self.at, self.entry = entry.path, entry
        self.attributes, self.recursive = _Attributes(), _Attributes()
        self.flags: dict[str, str] = {}
        self.propagations: list[tuple[int, int]] = []
        self.superblock: list[str] = []
        self.options: list[Text | str] = []
        self.places: list[str] = []
        destination = entry.destination
        if destination.is_empty():
            raise ConfigError(destination.path, '""', "a path in the rootfs")
        self.target: Text | Template = destination if destination.is_absolute() else "/" + destination
        for option in entry.options:
            # As in mount(8): one string may have several options, with quotes around an option that has a comma.
            if option.contains(",", '"'):
                for part in split(option.read()):
                    self._take(option, part)
            else:
                self._take(option, option.read() if option.within(KNOWN_OR_EMPTY) else None)
        self.fstype = "" if self.is_bind or self.is_remount or entry.type is None else entry.type.read()
        if self.fstype == "bind":
            self.flags["bind"] = entry.at("type")
        if not self.is_bind and not self.is_remount:
            # Nothing is mounted below a new file system.
            self.attributes.add(self.recursive.set, self.recursive.clear)

    def _take(self, option: "Text", name: str | None) -> None:
        """Sort in the option ``name`` of the string ``option``. If ``name`` is ``None``, the whole string is the
        option, and not in KNOWN.
        """
        if name is None or name and name not in KNOWN:
            self.options.append(option if name is None else name)
            self.places.append(option.path)
        elif name in ATTRIBUTES:
            self.attributes.add(*ATTRIBUTES[name])
        elif name in RECURSIVE:
            self.recursive.add(*RECURSIVE[name])
        elif name in NEGATED_ATIMES:
            self.attributes.negate_atime(NEGATED_ATIMES[name])
        elif name in RECURSIVE_NEGATED_ATIMES:
            self.recursive.negate_atime(RECURSIVE_NEGATED_ATIMES[name])
        elif name in PROPAGATIONS:
            self.propagations.append(PROPAGATIONS[name])
        elif name in SUPERBLOCK:
            self.superblock = [other for other in self.superblock if other not in (name, SUPERBLOCK[name])] + [name]
        elif name and name not in IGNORED:
            self.flags[name] = option.path

    @property
    def set(self) -> int:
        return self.attributes.set

    @property
    def clear(self) -> int:
        return self.attributes.clear

    @property
    def is_bind(self) -> bool:
        return "bind" in self.flags or "rbind" in self.flags

    @property
    def is_remount(self) -> bool:
        return "remount" in self.flags

    def first_propagation(self) -> dict[str, int]:
        """The fields for the first propagation, which the mounting step sets."""
        flag, recursive = self.propagations[0] if self.propagations else (0, 0)
        return {"propagation": flag, "propagation_recursive": recursive}

    def propagate(self, propagations: list[tuple[int, int]]) -> "list[Step]":
        """Steps for further propagations: ``rslave`` followed by ``shared`` makes a mount both."""
        return [
            SetMountAttributes(self.at, SPEC, target=self.target, set=0, propagation=flag, recursive=recursive)
            for flag, recursive in propagations
        ]

    def at_dev(self) -> bool:
        """Is it mounted at /dev?"""
        return self.entry.destination.is_path("/dev")

    def implied(self) -> int:
        """The attributes of a bind's source that the bind loses because its options name others: as in runc, which
        follows mount(8) here. Without any attribute among the options the bind keeps those of its source.
        """
        if not self.set and not self.clear:
            return 0
        bits = UNNAMED | (NODIRATIME if self.clear & ATIME else 0)
        return bits & ~(self.set | self.clear | self.recursive.set)

    def on_proc(self) -> bool:
        """Is it mounted on one of PROC_FILES?"""
        return "dest-nofollow" not in self.flags and self.entry.destination.is_path(PROC_FILES)

    def is_readonly_late(self) -> bool:
        """Is ``ro`` set only at the end? Init must first mount or make files in this mount."""
        return bool(self.set & RDONLY) and (self.fstype == "tmpfs" or self.at_dev())

    def first_attributes(self) -> int:
        """The MOUNT_ATTR_* bits until :meth:`Mounts.finish`."""
        return self.set & ~RDONLY if self.is_readonly_late() else self.set

    def needs(self) -> int:
        """What init needs before it makes this mount: 0 nothing, 1 its network namespace, 2 its cgroup as well. It
        needs the cgroup to be charged for the content; for block devices, which the device rules may forbid; for binds,
        whose source may be in the cgroup file system; and for mounts that the runtime sends, which it does only once it
        has placed init.
        """
        return 2 if "tmpcopyup" in self.flags else EARLY.get(self.fstype, 2)
