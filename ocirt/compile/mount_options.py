"""The options of an entry of ``mounts``: config.md, "Mounts" and its table of options for Linux.

What the spec calls an option is one of four things: an attribute of the mount (mount_setattr(2)), the same for all
mounts below (``rro`` and its like), its propagation, or a setting of the file system. A string that stands in none of
the tables goes to the file system as it is. Of contradicting options the last one counts.
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
"""The access time is one field of these bits: changing it clears the whole mask."""

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
"""What a bind keeps of its source only where its options name no attribute at all."""
NEGATED_ATIMES = {"atime": NOATIME, "nostrictatime": STRICTATIME}
"""Not this access time: then the kernel's default, relatime."""

PROPAGATIONS = {
    # option: flag, whether for the mounts below too
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
    # option: settings of the file system, whatever its type, that it takes the place of
    "sync": "async",
    "async": "sync",
    "dirsync": "",
    "mand": "nomand",
    "nomand": "mand",
    "lazytime": "nolazytime",
    "nolazytime": "lazytime",
}

IGNORED = ("defaults", "silent", "loud", "iversion", "noiversion", "norelatime", "rnorelatime")
"""Nothing is left to do for them: fsconfig(2) never prints, file systems that count versions always do (Linux 6.1),
and relatime is the default to which its negation falls back."""

RECURSIVE = {f"r{option}": bits for option, bits in ATTRIBUTES.items()}
"""``rro``, ``rnosuid``...: the same for this mount and all below."""
RECURSIVE_NEGATED_ATIMES = {f"r{option}": value for option, value in NEGATED_ATIMES.items()}

IDMAP = ("idmap", "ridmap")
NOFOLLOW = ("src-nofollow", "dest-nofollow", "copy-symlink")
"""crun's options for binds: what becomes of symlinks."""

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
"""Options that are read; any other one is passed on unseen."""

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
"""File systems without a medium: ``ro`` makes the mount read-only, not the file system, which others may share."""


EARLY = {"proc": 0, "tmpfs": 0, "devpts": 0, "mqueue": 0, "sysfs": 1}
"""New file systems that are the same whatever cgroup their maker is in -> whether they show its network namespace."""

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
"""Files of the container's procfs on which something may be mounted: what lxcfs and criu bind there. All else beneath is refused
by the step, because what the runtime and the container's programs write to (/proc/self/attr, /proc/sys) must be the kernel's."""


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
"""Ways to write mount options that other programs have, too unlike ours for :func:`~ocirt.nearest.nearest`."""


def meant_option(option: str) -> str:
    """The option of a bind that ``option``, which is none, may have been meant to be; empty where none is like it."""
    from ..nearest import nearest  # costs more than most compilations

    known = ("bind", "rbind", *ATTRIBUTES, *RECURSIVE, *PROPAGATIONS, *IDMAP)
    return SAME_IN_WORDS.get(option.lower()) or nearest(option, known)


def split(text: str) -> list[str]:
    """The options in one string, as mount(8) separates them: at commas outside of double quotes that have no backslash before them.
    Those quotes and backslashes are taken off, empty options left out."""
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
    """Is it crun's option that holds the maps of an idmapped mount?"""
    return starts_with(option, "idmap=") or starts_with(option, "ridmap=")


def starts_with(option: "Text | str", prefix: str) -> bool:
    return option.startswith(prefix) if isinstance(option, str) else option.starts_with(prefix)


class _Attributes:
    """Attribute bits to set and to clear, put together option by option."""

    __slots__ = ("set", "clear")

    def __init__(self) -> None:
        self.set = self.clear = 0

    def add(self, bits: int, cleared: int) -> None:
        if cleared & ATIME:
            self.set &= ~ATIME
        self.set = (self.set | bits) & ~(cleared & ~ATIME)
        self.clear = (self.clear | cleared) & ~(bits & ~ATIME)

    def negate_atime(self, value: int) -> None:
        """Not ``value``: another one that was asked for before stays."""
        if self.set & ATIME == value or not self.clear & ATIME:
            self.add(RELATIME, ATIME)


class Parsed:
    """An entry of ``mounts``, its options sorted out.

    :ivar target: path in the rootfs, absolute.
    :ivar fstype: type of a new file system, a str.
    :ivar flags: options that say what is to be done (``bind``, ``rbind``, ``remount``, ``tmpcopyup``, those of IDMAP
        and NOFOLLOW) -> their path.
    :ivar set, clear, recursive_set, recursive_clear: MOUNT_ATTR_* bits.
    :ivar propagations: pairs of MS_* flag and recursive, in order.
    :ivar options: what goes to the file system.
    :ivar places: the JSON paths of these.
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
            # As mount(8): several in one string, and quotes around what has a comma.
            if option.contains(",", '"'):
                for part in split(option.read()):
                    self._take(option, part)
            else:
                self._take(option, option.read() if option.within(KNOWN_OR_EMPTY) else None)
        self.fstype = "" if self.is_bind or self.is_remount or entry.type is None else entry.type.read()
        if self.fstype == "bind":
            self.flags["bind"] = entry.at("type")
        if not self.is_bind and not self.is_remount:
            # Nothing lies below a new file system.
            self.attributes.add(self.recursive.set, self.recursive.clear)

    def _take(self, option: "Text", name: str | None) -> None:
        """Sort the option ``name`` of the string ``option`` in; ``None``: the whole string, which is none of KNOWN."""
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
        """The fields for the first propagation, which belongs to the step that mounts."""
        flag, recursive = self.propagations[0] if self.propagations else (0, 0)
        return {"propagation": flag, "propagation_recursive": recursive}

    def propagate(self, propagations: list[tuple[int, int]]) -> "list[Step]":
        """Steps for further ones: ``rslave`` and ``shared`` after another make a mount both."""
        return [
            SetMountAttributes(self.at, SPEC, target=self.target, set=0, propagation=flag, recursive=recursive)
            for flag, recursive in propagations
        ]

    def at_dev(self) -> bool:
        """Is it mounted at /dev?"""
        return self.entry.destination.is_path("/dev")

    def implied(self) -> int:
        """The attributes of a bind's source that go because the options name others: as runc, which follows mount(8) here. With
        no attribute among the options the bind has those of its source."""
        if not self.set and not self.clear:
            return 0
        bits = UNNAMED | (NODIRATIME if self.clear & ATIME else 0)
        return bits & ~(self.set | self.clear | self.recursive.set)

    def on_proc(self) -> bool:
        """Is it mounted on one of PROC_FILES?"""
        return "dest-nofollow" not in self.flags and self.entry.destination.is_path(PROC_FILES)

    def is_readonly_late(self) -> bool:
        """Is ``ro`` left for the end? What is mounted or made in it comes first."""
        return bool(self.set & RDONLY) and (self.fstype == "tmpfs" or self.at_dev())

    def first_attributes(self) -> int:
        """The MOUNT_ATTR_* bits until the end."""
        return self.set & ~RDONLY if self.is_readonly_late() else self.set

    def needs(self) -> int:
        """What init has to have before it mounts this: 0 nothing, 1 its network namespace, 2 its cgroup, too. The latter for what is
        charged for its content, for block devices, which the device rules may forbid, for binds, which may be of the cgroup
        itself, and for what the runtime hands over once it has placed init."""
        return 2 if "tmpcopyup" in self.flags else EARLY.get(self.fstype, 2)
