"""Kept programs: what compiling a config has looked at, beside the template that came of it (core/launch/entry.c uses it).

An entry is, little-endian and without gaps, a *span* being a length of 4 bytes and as many bytes:

    magic 8 bytes, format 4, size of the whole 4, hits 8 (the launcher counts them), build id
    span      the shape of the request and of the config (exec: that of the process file after it), a line end, the
              request's member ``key`` as it stands
    guards    their number 4; each: source, ``s`` and a span, or ``i`` and a number of 16 bytes
    tests     their number 4; each: source, predicate 1, answer 1, number of arguments 4, and those: spans or a number
    observed  their number 4; each: kind 1, span (of what), span (what was found)
    slots     their number 4; each: source, kind 1, checks 1, length at most 4, low 16, high 16; those of the program
              first, then values that are only checked
    span      the program up to its data, and of those the literals

A *source* is a span and the number of a value in the order they stand: with an empty span that value, ``@`` and a key a
member of the value, which is the annotations, ``*`` and a prefix one whose key begins so, ``:`` and a digit a part of the
value (:func:`ocirt.model.text.unit_parts`).

Imported only where the launcher has a place for an entry.
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

MAGIC, FORMAT = b"ocirtkep", 3
FILTER_MAGIC = b"ocirtflt"
"""With which a kept seccomp filter begins (:mod:`.filters`)."""
NEW = ".new"
"""How the name of an entry ends while it is being written."""
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
"""Bytes of a document that is looked up: of config.json, or of a process file."""
TEXT_MAX = 4096
"""Bytes of a value that a test can be asked of."""
HITS_SIZE = 8
"""Bytes of an entry's count of hits."""
LIMIT = 16 << 20
"""Bytes of all entries together."""
PLACES = (
    ("", "/run/ocirt-cache"),
    ("XDG_RUNTIME_DIR", "/ocirt-cache"),
    ("", "/var/cache/ocirt"),
    ("XDG_CACHE_HOME", "/ocirt"),
    ("HOME", "/.cache/ocirt"),
)
"""Where programs may be kept, the best place first: what is emptied at each boot, then what is not. Pairs of a variable of the
environment (none: for root alone) and what follows its value."""


class _Unkept(Exception):
    """What compiling has looked at cannot be put into an entry."""


def keep(
    path: str,
    key: str,
    request: "Sequence[Members]",
    config: "Config",
    host: "Host",
    encoded: "Encoded",
    build: str,
    process: "Members | None" = None,
) -> None:
    """Write the entry ``path``, if it can be had. A cache that cannot be written is no error.

    :param key: the request's member ``key``, as the launcher has written it.
    :param request: its members ``key`` and ``bound``.
    :param config: the config that was compiled; its trace tells what was looked at.
    :param host: the host that it was compiled for; it tells what it was asked.
    :param encoded: the :class:`~ocirt.plan.encode.Encoded` program.
    :param process: exec's: the members of the process file, ``None`` without one.
    """
    try:
        entry = _entry(key, _Sources(config, process, request), config, host, encoded, build)
    except _Unkept:
        return
    write(path, entry)


def write(path: str, entry: bytes) -> None:
    """Write an entry, where there is room, or room can be made; else not. It has its name once it is whole.

    One process writes at a time: whoever meets another does without, as nobody waits for a writer that may have been stopped.
    """
    directory, _, name = path.rpartition("/")
    try:
        at = open_directory(directory)
    except OSError:
        return
    try:
        flock(at, LOCK_EX | LOCK_NB)
        _make_room(at, len(entry))
        _store(at, name, entry)
    except OSError:
        pass
    posix.close(at)


def open_directory(path: str) -> int:
    """A descriptor of a directory of entries.

    :raises OSError: it is not a directory, or it belongs to somebody else, or others may look into it.
    """
    fd = posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    found = posix.fstat(fd)
    if found.st_uid != posix.geteuid() or found.st_mode & ACCESS_OF_OTHERS:
        posix.close(fd)
        raise OSError(f"{path}: the directory is not the caller's alone")
    return fd


def _store(at: int, name: str, entry: bytes) -> None:
    """Give ``entry`` the ``name`` in the directory ``at``, unless somebody else's file has it."""
    new = name + NEW
    for each in (name, new):
        if not is_own(at, each) and _exists(at, each):
            return
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


def _exists(at: int, name: str) -> bool:
    try:
        posix.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _make_room(at: int, size: int) -> None:
    """Remove all entries where one more would be too much: what is used comes back."""
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
    """Is the name one that entries have: ``HASH.NUMBER`` of a program, ``filter.HASH``, or one of these still being written?"""
    first, _, last = name.removesuffix(NEW).partition(".")
    digits, number = (last, "0") if first == "filter" else (first, last)
    return len(digits) == HASH_DIGITS and _HEXADECIMAL.issuperset(digits) and number.isascii() and number.isdigit()


def is_own(at: int, name: str) -> bool:
    """Is ``name`` in the directory ``at`` an entry that we have written, of whatever build? A file is not ours by its name
    alone: the directory may be one that its owner keeps other files in."""
    if not has_form(name):
        return False
    try:
        found = posix.stat(name, dir_fd=at, follow_symlinks=False)
        if found.st_mode & KIND != REGULAR or found.st_uid != posix.geteuid():
            return False
        # The time of access tells when an entry was used last: this look must not change it.
        fd = posix.open(
            name, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_NOATIME | posix.O_CLOEXEC, dir_fd=at
        )
    except OSError:
        return False
    head = posix.read(fd, len(MAGIC))
    posix.close(fd)
    # A writer that was killed may have left a file without a byte.
    return head in (MAGIC, FILTER_MAGIC) or not head and name.endswith(NEW)


def _span(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def _wide(number: int) -> bytes:
    return number.to_bytes(16, "little", signed=True)


def _count(rows: list[bytes]) -> bytes:
    return len(rows).to_bytes(4, "little") + b"".join(rows)


class _Sources:
    """Where values stand that have a JSON path."""

    def __init__(self, config: "Config", process: "Members | None", request: "Sequence[Members]") -> None:
        self.shape = Shape(config.value, process, request)
        self.raw = self.shape.leaves.get("annotations")
        if self.raw is not None and self.shape.letters[self.raw] != "R":
            self.raw = None  # null

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
    body += _count(guards) + _count(tests) + _count(observed) + _count(slots) + _span(encoded.template)
    head = len(MAGIC) + 4 + 4 + HITS_SIZE + BUILD_SIZE
    return (
        MAGIC
        + FORMAT.to_bytes(4, "little")
        + (head + len(body)).to_bytes(4, "little")
        + bytes(HITS_SIZE)
        + build.encode().ljust(BUILD_SIZE, b"\0")
        + body
    )


def _values(path: str, value: "Json") -> "list[tuple[str, Json]]":
    """Pairs of path and value for what a guard at ``path`` has read: all of it, where it is an object."""
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
    arguments = [] if argument is None else [argument] if isinstance(argument, str) else list(argument)
    return source + bytes((number, answer)) + _count([_span(_text(each)) for each in arguments])


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
