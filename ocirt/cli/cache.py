"""``ocirt cache``: list the kept programs, explain why a bundle has none, or remove them."""

import json
import os
import re
import stat
import time

from ..errors import HostError, RequestError, reason
from ..model.host import Host
from ..model.json import parse
from ..model.shape import AT_REQUEST, Shape
from ..plan.cache import IN_MEMORY, NEW, PLACES, WITH_DEVICES_BENEATH, has_form, is_own, open_directory
from ..plan.entries import (
    DamagedEntry,
    Entry,
    difference,
    other_request,
    other_structure,
    request_of,
    unscanned,
    words_of,
)
from .flags import BOUND, FLAGS, KEY
from .output import write
from .plan import ID, bundle_of, words
from .root import root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping
    from typing import Any

    from ..model.json import Members
    from .parser import CommandLine

COLUMNS = ("ENTRY", "SIZE", "VERB", "GUARDS", "TESTS", "OBSERVED", "SLOTS", "HITS", "MADE", "USED", "BUILD", "SHAPE")


def run(line: "CommandLine") -> None:
    """Do what the first argument says.

    :raises OcirtError: the arguments are wrong, the bundle cannot be read, or no directory can keep programs.
    """
    what, *rest = line.arguments
    if what not in ("list", "explain", "clear"):
        raise RequestError(f'cache "{what}": expected list, explain or clear')
    if rest and what != "explain":
        raise RequestError(f'cache {what} "{rest[0]}": expected no argument')
    directory = directory_of(os.environ, os.geteuid())
    if what == "explain":
        write("".join([f"{each}\n" for each in explanation(directory, line.options, rest[0] if rest else ".")]))
    elif what == "clear":
        write(f"removed {clear(directory)} entries from {directory}\n")
    else:
        rows = [row_of(directory, name, entry) for name, entry in entries(directory)]
        write(json.dumps(rows, indent=2) + "\n" if line.options.format == "json" else as_table(rows))


def directory_of(environment: "Mapping[str, str]", euid: int) -> str:
    """The directory in which create would look for programs (core/launch/cache_directory.c has the same rules).

    :raises HostError: the cache is off, or no directory is suitable.
    """
    import ocirt

    chosen = environment.get("OCIRT_CACHE")
    if chosen == "off":
        raise HostError("OCIRT_CACHE", "the cache is off, so no program is kept")
    if chosen is None and len(ocirt.__path__) > 1:  # ocirt-python of a tree adds the folder of generated modules
        raise HostError("OCIRT_CACHE", "the build of a tree keeps programs only if OCIRT_CACHE names a directory")
    bases = [(environment.get(variable, "") if variable else "/" * (euid == 0), folder) for variable, folder in PLACES]
    candidates = [base.rstrip("/") + folder for base, folder in bases if base.startswith("/")]
    if chosen and chosen.startswith("/"):
        candidates = [chosen]
    wrong = []
    for directory in candidates:
        found = unfit(directory, euid)
        if found is None:
            return directory
        wrong.append(f"{directory}: {found}")
    raise HostError(
        "no programs are kept", "; ".join(wrong) or "XDG_RUNTIME_DIR, XDG_CACHE_HOME and HOME name no directory"
    )


def unfit(directory: str, euid: int) -> str | None:
    """Why the launcher keeps nothing in ``directory``; ``None`` if the directory is suitable or can be made."""
    try:
        found = os.lstat(directory)
    except FileNotFoundError:
        parent = os.path.dirname(directory)
        above = parent if os.path.exists(parent) else os.path.dirname(parent)
        if not os.access(above, os.W_OK, effective_ids=True):
            return f"found nothing, and this user may not make it in {above}"
        directory, found = above, os.stat(above)
    except OSError as error:
        return reason(error)
    else:
        if not stat.S_ISDIR(found.st_mode):
            return "found something else, expected a directory"
        if found.st_uid != euid or found.st_mode & 0o077:
            return f"found owner {found.st_uid} and mode {found.st_mode & 0o7777:04o}, expected {euid} and 0700"
    type = file_system(directory)
    local = os.major(found.st_dev) != 0 and not type.startswith("fuse") or type in IN_MEMORY | WITH_DEVICES_BENEATH
    return None if local else f"found a file system of type {type}, expected a local one"


def file_system(path: str) -> str:
    """The type of the file system of ``path``, by what /proc says about its mount."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{fd}") as file:
            mount = next(line.split()[1] for line in file if line.startswith("mnt_id:"))
    finally:
        os.close(fd)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return next((line.partition(" - ")[2].split(" ")[0] for line in file if line.split(" ")[0] == mount), "unknown")


def boot_of(directory: str) -> str | None:
    """The boot for which entries of ``directory`` are valid; ``None`` if the directory itself ends with the boot."""
    if file_system(directory) in IN_MEMORY:
        return None
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def entries(directory: str) -> list[tuple[str, Entry | None]]:
    """Pairs of name and :class:`Entry`, sorted by name. A file that is no entry has ``None``.

    :raises HostError: the directory cannot be read.
    """
    try:
        names = sorted(name for name in os.listdir(directory) if has_form(name) and not name.endswith(NEW))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HostError(directory, reason(error)) from None
    return [(name, _entry(os.path.join(directory, name))) for name in names]


def _entry(path: str) -> Entry | None:
    try:
        # O_NOATIME: the access time tells when a create last used the entry.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOATIME)
        with open(fd, "rb") as file:
            entry = Entry(file.read())
        entry.words(), entry.leaves()
        return entry
    except (OSError, DamagedEntry):
        return None


def row_of(directory: str, name: str, entry: Entry | None) -> "dict[str, Any]":
    """What ``list`` shows of an entry, as a dict. A file that is no entry has only its name and size."""
    from .._build import BUILD_ID

    try:
        found = os.lstat(os.path.join(directory, name))
    except OSError:
        return {"entry": name, "size": 0}  # a create has just replaced the entry
    row = {"entry": name, "size": found.st_size}
    times = {
        "made": _time(found.st_mtime),
        "used": _time(found.st_atime) if found.st_atime_ns > found.st_mtime_ns else None,
    }
    if name.startswith("filter."):
        return row | {"filter": True} | times
    if entry is None:
        return row
    leaves = [(path, letter) for path, letter in entry.leaves() if not path.startswith(AT_REQUEST)]
    tops = list(dict.fromkeys([re.split(r"[.\[]", path, maxsplit=1)[0] for path, _ in leaves]))
    return row | {
        "verb": entry.verb,
        "guards": len(entry.guards),
        "tests": len(entry.tests),
        "observed": len(entry.observed),
        "slots": len(entry.slots),
        "hits": entry.hits,
        **times,
        "build": entry.build,
        "ours": entry.build == BUILD_ID,
        "request": " ".join(entry.words()),
        "values": len(leaves),
        "properties": tops,
    }


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def as_table(rows: "list[dict[str, Any]]") -> str:
    lines = [COLUMNS]
    for row in rows:
        if "filter" in row:
            lines.append(
                (
                    row["entry"],
                    str(row["size"]),
                    *["-"] * 6,
                    row["made"],
                    row["used"] or "-",
                    "-",
                    "a compiled filter of linux.seccomp",
                )
            )
            continue
        if "verb" not in row:
            lines.append((row["entry"], str(row["size"]), *["-"] * 9, "not an entry, or an entry of another format"))
            continue
        counts = [str(row[name]) for name in ("guards", "tests", "observed", "slots", "hits")]
        lines.append(
            (
                row["entry"],
                str(row["size"]),
                row["verb"],
                *counts,
                row["made"],
                row["used"] or "-",
                "ours" if row["ours"] else "other",
                f"{row['values']} values of {', '.join(row['properties'])}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines)][:-1] + [0]
    padded = ["  ".join([f"{word:{width}}" for word, width in zip(each, widths)]) for each in lines]
    return "".join([f"{each.rstrip()}\n" for each in padded])


def clear(directory: str) -> int:
    """Remove all entries, and no other files of the directory.

    :returns: how many entries were removed.
    """
    removed = 0
    try:
        at = open_directory(directory)
        try:
            for name in os.listdir(at):
                if is_own(at, name):
                    os.unlink(name, dir_fd=at)
                    removed += not name.endswith(NEW)
        finally:
            os.close(at)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise HostError(directory, reason(error)) from None
    return removed


def explanation(directory: str, options: "Namespace", bundle: str) -> list[str]:
    """Lines that say which program create would find for a bundle, or why it would find none.

    :raises OcirtError: the bundle has no config.json that create could look up.
    """
    from .._build import BUILD_ID

    bundle, data = bundle_of(bundle, options.config)
    boot = boot_of(directory) if os.path.isdir(directory) else None
    key, request = request_of(*members_of(options, bundle, boot))
    try:
        shape = Shape(parse(data)[0], request=request)
    except UnicodeEncodeError:
        return ["miss, always: found half a surrogate pair in a key"]
    if wrong := unscanned(shape, len(data)):
        return [f"miss, always: {wrong}"]
    structure = shape.structure.decode()
    found = [(name, entry) for name, entry in entries(directory) if entry is not None]
    ours = [(name, entry) for name, entry in found if entry.build == BUILD_ID and entry.verb != "exec"]
    same = [(name, entry) for name, entry in ours if entry.structure == structure and entry.key == key]
    host, misses = Host(), []
    for name, entry in same:
        wrong = difference(entry, shape, host)
        if wrong is None:
            return [f"hit: {name} is for this bundle"]
        misses.append(f"  {name}: {wrong}")
    if misses:
        return ["miss: programs of this structure are for others:", *misses]
    if not ours:
        others = f", {len(found)} of others" if found else ""
        return [f"miss: no program of this build is kept in {directory}{others}"]
    return [
        "miss: no program of this structure and command line; the nearest:",
        _nearest(ours, shape, words_of(key, [path for path in shape.leaves if path.startswith(AT_REQUEST)])),
    ]


def members_of(options: "Namespace", bundle: str, boot: str | None) -> "tuple[Members, Members]":
    """The members ``key`` and ``bound`` of the request, as the launcher writes them (core/launch/request_json.c)."""
    given = words(options, bundle) | {"root": root_of(options)}
    for name in FLAGS:
        value = getattr(options, name.replace("-", "_"), None)
        if isinstance(value, list):
            paths = [os.path.join(os.getcwd(), path) for path in value]
            given[name] = ":".join([re.sub(r"([:\\])", r"\\\1", path) for path in paths])
        elif value not in (None, False):
            given[name] = "1" if value is True else str(value)
    key, bound = [
        {name: given[name] for name, flag in FLAGS.items() if flag.part == part and name in given}
        for part in (KEY, BOUND)
    ]
    key = {"verb": "run" if options.run else "create"} | key
    bound = {"id": ID} | bound
    automatic = options.cgroup_manager in (None, "auto") and os.geteuid() != 0
    if os.environ.get("XDG_RUNTIME_DIR") and (
        automatic or options.systemd_cgroup or options.cgroup_manager == "systemd"
    ):
        key["runtime-dir"] = os.environ["XDG_RUNTIME_DIR"]
    if boot:
        key["boot"] = boot
    if os.environ.get("NOTIFY_SOCKET"):
        bound["notify-socket"] = os.environ["NOTIFY_SOCKET"]
    return key, bound


def _nearest(ours: list[tuple[str, Entry]], shape: Shape, words: list[str]) -> str:
    best: tuple[int, str] | None = None
    structure = shape.structure.decode().partition("\n")[2]
    for name, entry in ours:
        if entry.structure.partition("\n")[2] == structure:
            return f"  {name}: {other_request(entry, words)}"
        distance, wrong = other_structure(entry, shape)
        if best is None or distance < best[0]:
            best = distance, f"  {name}: {wrong}"
    return best[1] if best else ""
