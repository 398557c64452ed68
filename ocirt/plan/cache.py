"""Kept programs: what compiling a config has looked at, and the template that resulted (core/launch/entry.c reads
both).

An entry is, little-endian and without gaps (a *span* is a length of 4 bytes and as many bytes):

    magic 8 bytes, format 4, size of the whole 4, hits 8 (the launcher counts them), build id
    span      the shape of the request and of the config (for exec, that of the process file follows), a newline, the
              text of the request's member ``key``
    guards    their number 4; each: source, ``s`` and a span, or ``i`` and a number of 16 bytes
    tests     their number 4; each: source, predicate 1, answer 1, number of arguments 4, and those: spans or a number
    observed  their number 4; each: kind 1, span (the subject), span (what was found)
    span      the program up to its data, and the literals of the data
    slots     their number 4; each: source, kind 1, checks 1, length at most 4, low 16, high 16; first those of the
              program, then values that are only checked

A *source* is a span and the number of a value in the order of the document. With an empty span it is that value; with
``@`` and a key, a member of the value (of the annotations); with ``*`` and a prefix, the members whose keys begin so;
with ``:`` and a digit, a part of the value (:func:`ocirt.model.text.unit_parts`).

This module is imported only if the launcher has a place for an entry.
"""

import posix
from fcntl import LOCK_EX, LOCK_NB, flock

from ..model.json import member
from ..model.shape import Shape
from ..model.text import Number, Texts
from .encode import BUILD_SIZE, LIST_VALUE, NUMBER_VALUE, TEXT_VALUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.config import Config
    from ..model.host import Host
    from ..model.json import Json, Members
    from ..model.text import Argument, Checks
    from .encode import Encoded, Slot

MAGIC, FORMAT = b"ocirtkep", 4
FILTER_MAGIC = b"ocirtflt"
"""The beginning of a kept seccomp filter (:mod:`.filters`)."""
NEW = ".new"
"""The end of an entry's name while it is being written."""
HASH_DIGITS = 16
_HEXADECIMAL = frozenset("0123456789abcdef")
ACCESS_OF_OTHERS, REGULAR, KIND = 0o077, 0o100000, 0o170000
PREDICATES = (
    "is_empty",
    "is_absolute",
    "equals",
    "starts_with",
    "is_path",
    "goes_up",
    "within",
    "has",
    "number_equals",
    "list_is_empty",
    "ends_with",
    "is_unit",
    "contains",
)
HAS, NUMBER_EQUALS, LIST_IS_EMPTY = [PREDICATES.index(name) for name in ("has", "number_equals", "list_is_empty")]
CHECKS = ("ABSOLUTE", "MAX_LENGTH", "RANGE")
ABSOLUTE, MAX_LENGTH, RANGE = 1, 2, 4
SCAN_MAX = 1 << 20
"""The most bytes of a document that is looked up: of config.json, or of a process file."""
TEXT_MAX = 4096
"""The most bytes of a value that a test can be about."""
HITS_AT, HITS_SIZE = 16, 8
"""Place and bytes of an entry's count of hits."""
HEAD_SIZE = HITS_AT + HITS_SIZE + BUILD_SIZE
"""Bytes of an entry before the span that finds it."""
VARIANTS = 16
"""The most entries that the launcher tries for one config: those whose names have its hash."""
LIMIT = 16 << 20
"""The most bytes of all entries together."""
IN_MEMORY = {"tmpfs": 0x01021994, "ramfs": 0x858458F6}
WITH_DEVICES_BENEATH = {"overlay": 0x794C7630, "btrfs": 0x9123683E, "zfs": 0x2FC12FC1, "bcachefs": 0xCA451A4E}
"""Types of local file systems whose device number is not that of a block device, with their numbers for statfs(2)."""
PLACES = (
    ("", "/run/ocirt-cache"),
    ("XDG_RUNTIME_DIR", "/ocirt-cache"),
    ("", "/var/cache/ocirt"),
    ("XDG_CACHE_HOME", "/ocirt"),
    ("HOME", "/.cache/ocirt"),
)
"""Directories for programs, the best first: those that are emptied at each boot precede the others. Pairs of a variable
of the environment (empty: for root only) and the rest of the path."""


class _Unkept(Exception):
    """An entry cannot describe what compiling has looked at."""


def keep(
    path: str,
    key: str,
    request: "Sequence[Members]",
    config: "Config",
    host: "Host",
    encoded: "Encoded",
    build: str,
    process: "Members | None" = None,
) -> bool:
    """Write the entry ``path``, if that is possible. A cache that cannot be written is no error.

    :param key: the request's member ``key``, as the launcher has written it.
    :param request: the request's members ``key`` and ``bound``.
    :param config: the compiled config; its trace has what the compiler looked at.
    :param host: the host that the config was compiled for; it has what the compiler observed.
    :param encoded: the :class:`~ocirt.plan.encode.Encoded` program.
    :param process: for exec, the members of the process file, ``None`` without one.
    :returns: has it been written?
    """
    try:
        entry = _entry(key, _Sources(config, process, request), config, host, encoded, build)
    except _Unkept:
        return False
    return write(path, entry)


def keep_another(
    directory: str,
    key: str,
    request: "Sequence[Members]",
    config: "Config",
    host: "Host",
    encoded: "Encoded",
    build: str,
) -> None:
    """Write the entry of a config that nobody has asked for, under the name by which the launcher will look for it. If
    the entry exists, or all names are taken, nothing is written.

    :raises OSError: an entry cannot be read.
    """
    try:
        entry = _entry(key, _Sources(config, None, request), config, host, encoded, build)
    except _Unkept:
        return
    start = HEAD_SIZE + 4
    end = start + int.from_bytes(entry[HEAD_SIZE:start], "little")
    stem = f"{directory}/{_hash(entry[start:end]):0{HASH_DIGITS}x}"
    for number in range(VARIANTS):
        try:
            fd = posix.open(f"{stem}.{number}", posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC)
        except FileNotFoundError:
            write(f"{stem}.{number}", entry)
            return
        there = posix.read(fd, len(entry) + 1)
        posix.close(fd)
        hits = slice(HITS_AT, HITS_AT + HITS_SIZE)
        if there[: hits.start] == entry[: hits.start] and there[hits.stop :] == entry[hits.stop :]:
            return


def _hash(key: bytes) -> int:
    """FNV-1a, 64 bits, as the launcher computes it (core/base/text.c)."""
    value = 0xCBF29CE484222325
    for byte in key:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def write(path: str, entry: bytes) -> bool:
    """Write an entry, if the directory has room or can get room. The entry gets its name once it is complete.

    One process writes at a time. Another process does not wait, because the writer may have been stopped; it writes
    nothing.

    :returns: has it been written?
    """
    directory, _, name = path.rpartition("/")
    try:
        at = open_directory(directory)
    except OSError:
        return False
    try:
        flock(at, LOCK_EX | LOCK_NB)
        _make_room(at, len(entry))
        return _store(at, name, entry)
    except OSError:
        return False
    finally:
        posix.close(at)


def open_directory(path: str) -> int:
    """A descriptor of a directory of entries.

    :raises OSError: it is no directory, or belongs to another user, or others may read it.
    """
    fd = posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    found = posix.fstat(fd)
    if found.st_uid != posix.geteuid() or found.st_mode & ACCESS_OF_OTHERS:
        posix.close(fd)
        raise OSError(f"{path}: the directory is not for the caller alone")
    return fd


def _store(at: int, name: str, entry: bytes) -> bool:
    """Give ``entry`` the ``name`` in the directory ``at``, unless a foreign file has it: has it been written?"""
    new = name + NEW
    for each in (name, new):
        if not is_own(at, each) and _exists(at, each):
            return False
    fd = posix.open(
        new, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC, 0o600, dir_fd=at
    )
    written = 0
    try:
        written = posix.write(fd, entry)
    finally:
        posix.close(fd)
        if written == len(entry):
            posix.rename(new, name, src_dir_fd=at, dst_dir_fd=at)
        else:
            posix.unlink(new, dir_fd=at)
    return written == len(entry)


def _exists(at: int, name: str) -> bool:
    try:
        posix.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _make_room(at: int, size: int) -> None:
    """Remove all entries if one more would exceed the limit. Programs in use are compiled and kept again."""
    names = [name for name in posix.listdir(at) if has_form(name)]
    if size + _size(at, names) <= LIMIT:
        return
    names = [name for name in names if is_own(at, name)]
    if size + _size(at, names) > LIMIT:
        for name in names:
            posix.unlink(name, dir_fd=at)


def _size(at: int, names: list[str]) -> int:
    return sum([posix.stat(name, dir_fd=at, follow_symlinks=False).st_size for name in names])


def has_form(name: str) -> bool:
    """Has the name the form of an entry: ``HASH.NUMBER`` of a program, ``filter.HASH``, or one of these that is being
    written?
    """
    first, _, last = name.removesuffix(NEW).partition(".")
    digits, number = (last, "0") if first == "filter" else (first, last)
    return len(digits) == HASH_DIGITS and _HEXADECIMAL.issuperset(digits) and number.isascii() and number.isdigit()


def is_own(at: int, name: str) -> bool:
    """Is ``name`` in the directory ``at`` an entry that ocirt has written, in any build? The name alone does not prove
    it, because the owner may keep other files in this directory.
    """
    if not has_form(name):
        return False
    try:
        found = posix.stat(name, dir_fd=at, follow_symlinks=False)
        if found.st_mode & KIND != REGULAR or found.st_uid != posix.geteuid():
            return False
        # The access time tells when an entry was last used, so this read must not change it.
        fd = posix.open(
            name, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_NOATIME | posix.O_CLOEXEC, dir_fd=at
        )
    except OSError:
        return False
    head = posix.read(fd, len(MAGIC))
    posix.close(fd)
    # A writer that was killed may have left an empty file.
    return head in (MAGIC, FILTER_MAGIC) or not head and name.endswith(NEW)


def _span(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def _wide(number: int) -> bytes:
    return number.to_bytes(16, "little", signed=True)


def _count(rows: list[bytes]) -> bytes:
    return len(rows).to_bytes(4, "little") + b"".join(rows)


class _Sources:
    """The sources of values that have a JSON path."""

    def __init__(self, config: "Config", process: "Members | None", request: "Sequence[Members]") -> None:
        self.shape = Shape(config.value, process, request)
        self._arguments: dict[Argument, bytes] = {}
        self.raw = self.shape.leaves.get("annotations")
        if self.raw is not None and self.shape.letters[self.raw] != "R":
            self.raw = None  # the annotations are null

    def leaf(self, name: bytes, index: int) -> bytes:
        return _span(name) + index.to_bytes(4, "little")

    def of(self, path: str) -> bytes:
        """The source of the value at ``path``."""
        if path in self.shape.leaves:
            return self.leaf(b"", self.shape.leaves[path])
        if self.raw is not None and path in self.shape.annotations:
            return self.leaf(b"@" + self.shape.annotations[path].encode(), self.raw)
        whole, _, number = path.rpartition(":")
        if whole in self.shape.leaves:
            return self.leaf(b":" + number.encode(), self.shape.leaves[whole])
        raise _Unkept

    def arguments(self, argument: "str | tuple[str, ...] | None") -> bytes:
        """The arguments of a test. Many tests have the same long table."""
        found = self._arguments.get(argument)
        if found is None:
            each = () if argument is None else (argument,) if isinstance(argument, str) else argument
            found = self._arguments[argument] = _count([_span(_text(text)) for text in each])
        return found

    def is_list(self, path: str) -> bool:
        return path in self.shape.leaves and self.shape.letters[self.shape.leaves[path]] == "L"


def _entry(key: str, sources: _Sources, config: "Config", host: "Host", encoded: "Encoded", build: str) -> bytes:
    trace = config.trace
    guarded: set[str] = set()
    guards: list[bytes] = []
    for path, value in trace.guards.items():
        for each, held in _values(path, value):
            if each not in guarded and held is not None and not isinstance(held, bool):
                guarded.add(each)
                guards.append(_guard(sources.of(each), held))
    tests = [
        _test(sources, path, name, argument, answer)
        for (path, name, argument), answer in trace.tests.items()
        if path not in guarded and (path != "annotations" or sources.raw is not None)
    ]
    observed = [
        kind.encode() + _span(of.encode()) + _span(found.encode("utf-8", "surrogateescape"))
        for (kind, of), found in host.observed.items()
    ]
    bound = {value.path for value in encoded.slots}
    slots = [_slot(sources.of(value.path), _kind(value), trace.slots[value.path]) for value in encoded.slots]
    slots += [
        _slot(sources.of(path), NUMBER_VALUE if "low" in checks else TEXT_VALUE, checks)
        for path, checks in trace.slots.items()
        if checks and path not in bound and path not in guarded
    ]
    body = _span(sources.shape.structure + b"\n" + key.encode("utf-8", "surrogateescape"))
    body += _count(guards) + _count(tests) + _count(observed) + _span(encoded.template) + _count(slots)
    return (
        MAGIC
        + FORMAT.to_bytes(4, "little")
        + (HEAD_SIZE + len(body)).to_bytes(4, "little")
        + bytes(HITS_SIZE)
        + build.encode().ljust(BUILD_SIZE, b"\0")
        + body
    )


def _values(path: str, value: "Json") -> "list[tuple[str, Json]]":
    """Pairs of path and value for what a guard at ``path`` has read: every value in it, if it is an object or array."""
    if not isinstance(value, (dict, list)):
        return [(path, value)]
    if isinstance(value, dict):
        inner = [(member(path, key), item) for key, item in value.items()]
    else:
        inner = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    return [pair for each, item in inner for pair in _values(each, item)]


def _guard(source: bytes, value: "Json") -> bytes:
    if isinstance(value, str):
        return source + b"s" + _span(_text(value))
    if type(value) is int:
        return source + b"i" + _wide(value)
    raise _Unkept


def _text(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise _Unkept from None


def _test(sources: _Sources, path: str, name: str, argument: "Argument", answer: bool) -> bytes:
    if name == "count_prefix" and isinstance(argument, tuple) and sources.raw is not None:
        prefix, count = argument
        return sources.leaf(b"*" + prefix.encode(), sources.raw) + _equals(int(count), answer)
    if path == "annotations" and isinstance(argument, str) and sources.raw is not None:
        source = sources.leaf((b"@" if name == "has" else b"*") + argument.encode(), sources.raw)
        return source + bytes((HAS, answer)) + _count([])
    source = sources.of(path)
    if isinstance(argument, int):
        return source + _equals(argument, answer)
    number = PREDICATES.index(name)
    if name == "is_empty" and sources.is_list(path):
        number = LIST_IS_EMPTY
    return source + bytes((number, answer)) + sources.arguments(argument)


def _equals(number: int, answer: bool) -> bytes:
    return bytes((NUMBER_EQUALS, answer)) + (1).to_bytes(4, "little") + _wide(number)


def _kind(value: "Slot") -> int:
    return NUMBER_VALUE if isinstance(value, Number) else LIST_VALUE if isinstance(value, Texts) else TEXT_VALUE


def _slot(source: bytes, kind: int, checks: "Checks") -> bytes:
    flags = ABSOLUTE * ("absolute" in checks) | MAX_LENGTH * ("max_length" in checks) | RANGE * ("low" in checks)
    return (
        source
        + bytes((kind, flags))
        + checks.get("max_length", 0).to_bytes(4, "little")
        + _wide(checks.get("low", 0))
        + _wide(checks.get("high", 0))
    )
