"""Names that create ignores silently and that the author of a config probably did not mean.

The specification requires a runtime to ignore properties that it does not know (config.md, "Extensibility"), and the kernel's
binds ignore options that do not apply to a bind. So these are warnings, never errors of create.
"""

from ..compile.capabilities import BITS
from ..compile.capabilities import SETS as CAPABILITY_SETS
from ..compile.mount_options import KNOWN, meant_option, split
from ..errors import ConfigError, HostError
from ..model.text import quote
from ..nearest import nearest
from . import schema
from .place import join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..model.json import Json, Members
    from .place import Part

OTHER_PLATFORMS = {
    # object: its properties in the specification that do not apply to a runtime on Linux
    "": ("solaris", "windows", "vm", "zos", "freebsd"),
    "process": ("commandLine",),
    "process.user": ("username",),
}


NEWER_SYSCALLS = frozenset(
    (
        "set_mempolicy_home_node",
        "cachestat",
        "fchmodat2",
        "map_shadow_stack",
        "futex_wake",
        "futex_wait",
        "futex_requeue",
        "statmount",
        "listmount",
        "lsm_get_self_attr",
        "lsm_set_self_attr",
        "lsm_list_modules",
        "mseal",
        "setxattrat",
        "getxattrat",
        "listxattrat",
        "removexattrat",
        "open_tree_attr",
        "file_getattr",
        "file_setattr",
        "uretprobe",
        "uprobe",
        "listns",
        "riscv_hwprobe",
    )
)
"""System calls of Linux 5.17 and later, which an older libseccomp may not know."""


def warnings(members: "Members") -> list[ConfigError]:
    """The names in the config ``members`` that nothing reads: list of ConfigError, in no order."""
    return [
        *_unknown_properties(members, ()),
        *_options_of_binds(members),
        *_unknown_capabilities(members),
        *_unknown_syscalls(members),
    ]


def _unknown_properties(value: "Json", parts: "tuple[Part, ...]") -> "Iterator[ConfigError]":
    place = schema.at("config", parts)
    if place is None:
        return
    known = place[0].get("properties")
    inner: list[tuple[Part, Json]] = []
    if isinstance(value, list):
        inner = list(enumerate(value))
    elif isinstance(value, dict):
        inner = list(value.items())
    for part, each in inner:
        if known is None or part in known:
            yield from _unknown_properties(each, (*parts, part))
        elif part not in OTHER_PLATFORMS.get(join(parts), ()):
            yield ConfigError(
                join((*parts, part)),
                "an unknown property",
                nearest(str(part), known) or "a property of the runtime specification",
            )


def _options_of_binds(members: "Members") -> "Iterator[ConfigError]":
    mounts = members.get("mounts")
    for index, mount in enumerate(mounts if isinstance(mounts, list) else ()):
        options = mount.get("options") if isinstance(mount, dict) else None
        if not isinstance(options, list):
            continue
        if mount.get("type") != "bind" and "bind" not in options and "rbind" not in options:
            continue  # a file system may have options of its own, and refuses what it does not know
        parts = [
            (number, part) for number, option in enumerate(options) if isinstance(option, str) for part in split(option)
        ]
        for number, option in parts:
            if option not in KNOWN and not option.startswith(("idmap=", "ridmap=")):
                meant = meant_option(option)
                yield ConfigError(
                    f"mounts[{index}].options[{number}]",
                    f"{quote(option)}, which a bind mount ignores",
                    quote(meant) if meant else 'an option of a bind mount, like "ro"',
                )


def _unknown_capabilities(members: "Members") -> "Iterator[ConfigError]":
    process = members.get("process")
    sets = process.get("capabilities") if isinstance(process, dict) else None
    for name in CAPABILITY_SETS:
        names = sets.get(name) if isinstance(sets, dict) else None
        for index, each in enumerate(names if isinstance(names, list) else ()):
            if isinstance(each, str) and each not in BITS:
                meant = nearest(each, BITS)
                yield ConfigError(
                    f"process.capabilities.{name}[{index}]",
                    f"{quote(each)}, which is no capability",
                    quote(meant) if meant else 'a name of capabilities(7), like "CAP_KILL"',
                )


def _unknown_syscalls(members: "Members") -> "Iterator[ConfigError]":
    """Create ignores system calls that it does not know, because profiles name those of other kernels and
    architectures.
    """
    linux = members.get("linux")
    profile = linux.get("seccomp") if isinstance(linux, dict) else None
    rules = profile.get("syscalls") if isinstance(profile, dict) else None
    if not isinstance(rules, list):
        return
    from ..compile import libseccomp

    try:
        known = libseccomp.syscalls()
    except HostError:
        return  # without libseccomp nothing knows the names; create reports that
    for index, rule in enumerate(rules):
        names = rule.get("names") if isinstance(rule, dict) else None
        for number, name in enumerate(names if isinstance(names, list) else ()):
            if isinstance(name, str) and name not in NEWER_SYSCALLS and not libseccomp.is_syscall(name):
                meant = nearest(name, known)
                yield ConfigError(
                    f"linux.seccomp.syscalls[{index}].names[{number}]",
                    f"{quote(name)}, which is no system call",
                    quote(meant) if meant else 'a name of syscalls(2), like "openat"',
                )
