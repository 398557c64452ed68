"""What create takes without a word, and its writer did not mean: names that nothing reads.

The specification wants a runtime to ignore properties that it does not know (config.md, "Extensibility"), and the
kernel's own binds ignore what is no option of a bind. So these are warnings, never errors of create.
"""

from ..compile.capabilities import BITS
from ..compile.capabilities import SETS as CAPABILITY_SETS
from ..compile.mount_options import ATTRIBUTES, KNOWN, PROPAGATIONS, RECURSIVE, split
from ..errors import ConfigError
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
    # object: its properties in the specification that say nothing to a runtime on Linux
    "": ("solaris", "windows", "vm", "zos", "freebsd"),
    "process": ("commandLine",),
    "process.user": ("username",),
}

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

BIND_OPTIONS = ("bind", "rbind", *ATTRIBUTES, *RECURSIVE, *PROPAGATIONS, "idmap", "ridmap")
"""The options that somebody who mistypes one of a bind may have meant."""


def warnings(members: "Members") -> list[ConfigError]:
    """The names in the config ``members`` that nothing reads: list of ConfigError, in no order."""
    return [*_unknown_properties(members, ()), *_options_of_binds(members), *_unknown_capabilities(members)]


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
                meant = SAME_IN_WORDS.get(option.lower()) or nearest(option, BIND_OPTIONS)
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
