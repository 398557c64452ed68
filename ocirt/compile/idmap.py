"""Idmapped mounts: config.md, "Linux mount options" (``idmap``, ``ridmap``), and ``uidMappings`` and ``gidMappings`` of
a mount.

The options also have crun's form, in which the option itself has the maps:
``idmap=uids=0-1000-10#10-2000-5;gids=@0-100-10``. Each range is id on the file system, id on the host, size. With ``@``
the second id is one of the container, and the compiler looks it up in the container's user namespace.

The compiler imports this module only if a mount is mapped.
"""

from ..errors import ConfigError
from ..model.text import quote
from ..plan.steps import MakeIdMapping
from .mount_options import is_mapping
from .namespaces import USER, map_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..model.config import IdMapping, Linux
    from ..model.text import AnyText
    from ..plan.steps import Step
    from .mount_options import Parsed
    from .namespaces import Namespaces

SPEC = "config.md#linux-mount-options"
LIMIT = (1 << 32) - 1


def mapping_of(
    mount: "Parsed", linux: "Linux", namespaces: "Namespaces", take: "Callable[[], int]"
) -> "tuple[int, list[Step]]":
    """The register that will hold a user namespace with the maps of a mount, and the steps of the host that fill it.

    :param mount: :class:`ocirt.compile.mount_options.Parsed`, of a bind.
    :param take: returns the register for a user namespace that the runtime must make.
    :raises ConfigError: the maps are missing, or those of users or of groups are.
    """
    written = [(at, option) for at, option in zip(mount.places, mount.options) if is_mapping(option)]
    entry = mount.entry
    uids: AnyText
    gids: AnyText
    if written:
        at, option = written[-1]
        name, _, text = (option if isinstance(option, str) else option.read()).partition("=")
        mount.flags[name] = at
        uids, gids = _parse(at, text, linux if namespaces.has_user else None)
    elif entry.uid_mappings or entry.gid_mappings:
        for name, mappings in (("uidMappings", entry.uid_mappings), ("gidMappings", entry.gid_mappings)):
            if not mappings:
                raise ConfigError(entry.at(name), "nothing", "maps of both kinds, uidMappings and gidMappings")
        uids, gids = map_lines(entry.uid_mappings), map_lines(entry.gid_mappings)
    else:
        name = "idmap" if "idmap" in mount.flags else "ridmap"
        if USER in namespaces.joined:
            return namespaces.registers[USER], []
        if not namespaces.has_user:
            raise ConfigError(
                mount.flags[name], quote(name), "maps: uidMappings and gidMappings of the mount, or a user namespace"
            )
        uids, gids = map_lines(linux.uid_mappings), map_lines(linux.gid_mappings)
    register = take()
    return register, [MakeIdMapping(mount.at, SPEC, fd=register, uids=uids, gids=gids)]


def _parse(path: str, text: str, linux: "Linux | None") -> tuple[str, str]:
    """The maps in an option of crun's form.

    :param linux: has the maps of the container's user namespace; ``None`` if the container has no user namespace.
    """
    maps: dict[str, str] = {}
    for part in text.split(";"):
        kind, _, ranges = part.partition("=")
        if kind not in ("uids", "gids") or kind in maps:
            raise ConfigError(path, quote(text), "uids=RANGES;gids=RANGES, a range being ID-HOST-SIZE")
        own = [] if linux is None else linux.uid_mappings if kind == "uids" else linux.gid_mappings
        maps[kind] = "".join([_range(path, each, own) for each in ranges.split("#")])
    for kind in ("uids", "gids"):
        if kind not in maps:
            raise ConfigError(path, f"no {kind}", "uids=RANGES;gids=RANGES")
    return maps["uids"], maps["gids"]


def _range(path: str, text: str, own: "list[IdMapping]") -> str:
    numbers = text.removeprefix("@").split("-")
    if len(numbers) != 3 or not all([each.isascii() and each.isdigit() and len(each) < 11 for each in numbers]):
        raise ConfigError(path, f"the range {quote(text)}", "ID-HOST-SIZE")
    inside, outside, size = map(int, numbers)
    if text.startswith("@"):
        outside = _on_host(path, text, outside, size, own)
    if not size or max(inside, outside) + size > LIMIT:
        raise ConfigError(path, f"the range {quote(text)}", "ids of 32 bits")
    return f"{inside} {outside} {size}\n"


def _on_host(path: str, text: str, id: int, size: int, own: "list[IdMapping]") -> int:
    """The first id on the host of ``size`` ids that begin with the container's ``id``."""
    for each in own:
        start, host, length = each.container_id.read(), each.host_id.read(), each.size.read()
        if start <= id and id + size <= start + length:
            return host + id - start
    raise ConfigError(path, f"the range {quote(text)}", "ids that the container's user namespace maps in one range")
