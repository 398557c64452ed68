"""Reading kept programs, which :mod:`.cache` has written, to show them to people. The executable has its own reader
(core/launch/entry.c).
"""

from ..errors import ConfigError
from ..model.json import AT_PROCESS, encode, member, parse
from ..model.shape import AT_REQUEST
from ..model.text import PREDICATES, quote, unit_parts
from .cache import (
    ABSOLUTE,
    FORMAT,
    HITS_SIZE,
    LIST_IS_EMPTY,
    MAGIC,
    MAX_LENGTH,
    NUMBER_EQUALS,
    RANGE,
    SCAN_MAX,
    TEXT_MAX,
)
from .cache import PREDICATES as NAMES
from .encode import BUILD_SIZE, LIST_VALUE, NUMBER_VALUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from ..model.host import Host
    from ..model.json import Json, Members
    from ..model.shape import Shape
    from ..model.text import Checks

    Arguments: TypeAlias = list[Json]
    """The arguments of a test: a number if the test is about a number, otherwise strings."""

KINDS = {
    "s": "a string",
    "i": "a whole number",
    "f": "a number with a fraction",
    "t": "true",
    "b": "false",
    "n": "null",
    "L": "a list of strings",
    "R": "annotations",
}
OBSERVED = {
    "i": "effective user and group",
    "c": "capabilities",
    "b": "the bounding set, of the bits",
    "d": "the file system of",
    "g": "cgroup hierarchies",
    "o": "the caller's cgroups",
    "t": "the text of",
    "w": "the right to write to",
}


class DamagedEntry(ValueError):
    """These bytes are no entry, or an entry of another format."""


class Source:
    """The place of a value: see :mod:`.cache`.

    :ivar name: empty for a value, ``@key`` for a member of the annotations, ``*prefix`` for their keys with this
        prefix, or ``:digit`` for a part of the value.
    """

    __slots__ = ("name", "number")

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number


class Entry:
    """A kept program and what it holds for.

    :ivar hits: how many creates, runs or execs have used it.
    :ivar build: the build id of the ocirt that made it.
    :ivar structure: of the request and the config, as text, see :class:`~ocirt.model.shape.Shape`.
    :ivar key: the request's member ``key``, as the launcher has written it.
    :ivar guards: pairs of source and value.
    :ivar tests: (source, name of the predicate, arguments, answer).
    :ivar observed: (kind, subject, what was found), see :class:`~ocirt.model.host.Host`.
    :ivar slots: (source, kind, checks), checks as ``Text.checked`` records them.
    :ivar size: bytes of the entry.
    """

    __slots__ = ("hits", "build", "structure", "key", "guards", "tests", "observed", "slots", "size")

    def __init__(self, data: bytes) -> None:
        """:raises DamagedEntry: the bytes are no entry."""
        reader = _Reader(data)
        if reader.take(len(MAGIC)) != MAGIC or reader.number() != FORMAT or reader.number() != len(data):
            raise DamagedEntry("the head is not an entry's")
        self.size = len(data)
        self.hits = int.from_bytes(reader.take(HITS_SIZE), "little")
        self.build = reader.take(BUILD_SIZE).rstrip(b"\0").decode("ascii", "replace")
        self.structure, _, self.key = reader.text().rpartition("\n")
        self.guards = [
            (reader.source(), reader.wide() if reader.byte() == ord("i") else reader.text())
            for _ in range(reader.number())
        ]
        self.tests = [reader.test() for _ in range(reader.number())]
        self.observed = [(chr(reader.byte()), reader.text(), reader.text()) for _ in range(reader.number())]
        reader.span()
        self.slots = [reader.slot() for _ in range(reader.number())]
        if reader.at != len(data):
            raise DamagedEntry("bytes follow the entry")

    def leaves(self) -> list[tuple[str, str]]:
        """Pairs of JSON path and letter of the values, in their order."""
        request, _, config = self.structure.partition("\n")
        return leaves(request, AT_REQUEST) + leaves(config)

    @property
    def verb(self) -> str:
        return self.words()[0]

    def words(self) -> list[str]:
        """The request as words: its verb, the names of members that may have any value, and name=value of those in the
        key.

        :raises DamagedEntry: the key is no key of a request.
        """
        request = self.structure.partition("\n")[0]
        return words_of(self.key, [path for path, _ in leaves(request, AT_REQUEST)])


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise DamagedEntry("the entry ends early")
        self.at += size
        return self.data[self.at - size : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def wide(self) -> int:
        return int.from_bytes(self.take(16), "little", signed=True)

    def span(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        return self.span().decode("utf-8", "surrogateescape")

    def source(self) -> Source:
        return Source(self.text(), self.number())

    def test(self) -> "tuple[Source, str, Arguments, bool]":
        source, number, answer = self.source(), self.byte(), self.byte()
        if number >= len(NAMES):
            raise DamagedEntry("a predicate that does not exist")
        name = {NUMBER_EQUALS: "equals", LIST_IS_EMPTY: "is_empty"}.get(number) or NAMES[number]
        arguments = [self.wide() if number == NUMBER_EQUALS else self.text() for _ in range(self.number())]
        return source, name, arguments, bool(answer)

    def slot(self) -> "tuple[Source, int, Checks]":
        source, kind, flags, length = self.source(), self.byte(), self.byte(), self.number()
        low, high = self.wide(), self.wide()
        checks: Checks = {"absolute": True} if flags & ABSOLUTE else {}
        checks |= {"max_length": length} if flags & MAX_LENGTH else {}
        return source, kind, checks | ({"low": low, "high": high} if flags & RANGE else {})


def leaves(structure: str, document: str = "") -> list[tuple[str, str]]:
    """The values of a structure (of a process file as well, if it has one): pairs of JSON path and letter.

    :param document: the beginning of the paths: empty for config.json, ``$`` for a request.
    :raises DamagedEntry: the text is no structure.
    """
    found: list[tuple[str, str]] = []
    holders: list[str] = []
    counts: list[int | None] = []  # how many items so far, if the holder is an array
    here, at = document, 0
    try:
        while at < len(structure):
            sign = structure[at]
            at += 1
            if sign == ":":
                end = structure.index("\0", at)
                key = structure[at:end]
                here = f"{AT_REQUEST}{key}" if holders[-1] == AT_REQUEST else member(holders[-1], key)
                at = end + 1
            elif sign in "}]":
                holders.pop()
                counts.pop()
            else:
                if not holders and at > 1:
                    here = document or AT_PROCESS  # the second document, a process file
                count = counts[-1] if counts else None
                if count is not None:
                    here = f"{holders[-1]}[{count}]"
                    counts[-1] = count + 1
                if sign in "{[":
                    holders.append(here)
                    counts.append(0 if sign == "[" else None)
                else:
                    found.append((here, sign))
    except (IndexError, ValueError):
        raise DamagedEntry("no structure of a config") from None
    return found


def request_of(key: "Mapping[str, Json]", bound: "Mapping[str, Json]") -> "tuple[str, tuple[Members, Members]]":
    """The request as the launcher writes it: the text of its member ``key``, and the members ``key`` and ``bound``,
    both in the executable's order.
    """
    text = "{" + ",".join([f"{_json(name)}:{_json(value)}" for name, value in key.items()]) + "}"
    return text, (dict(key), dict(bound))


def words_of(key: str, paths: "Sequence[str]") -> list[str]:
    """The same as :meth:`Entry.words`.

    :param key: the text of the request's member ``key``.
    :param paths: the paths of the request's values.
    :raises DamagedEntry: the text is no key of a request.
    """
    try:
        members, texts = parse(key.encode("utf-8", "replace"))
        verb, *given = texts
        names = dict.fromkeys([path[1:].partition(".")[0].partition("[")[0] for path in paths])
        bound = [name for name in names if name not in members]
        return [str(members[verb]), *bound, *[f"{name}={texts[name]}" for name in given]]
    except (ConfigError, ValueError):
        raise DamagedEntry("no key of a request") from None


def _json(value: str) -> str:
    # As core/base/text.c writes it: bytes above 127 unchanged.
    return '"' + "".join([letter if letter > "\x7f" else encode(letter)[1:-1] for letter in value]) + '"'


def difference(entry: Entry, shape: "Shape", host: "Host") -> str | None:
    """The first reason for which a program of the same structure does not hold for a request and config, as a sentence;
    ``None`` if it holds.

    :param shape: the :class:`~ocirt.model.shape.Shape` of the request and the config.
    :param host: the :class:`~ocirt.model.host.Host` to look at.
    """
    find = _Finder(shape)
    for source, expected in entry.guards:
        path, value = find(source)
        if type(value) is not type(expected) or value != expected:
            return f"{path}: found {_shown(value)}, the program is for {_shown(expected)}"
    for source, name, arguments, answer in entry.tests:
        path, value = find(source)
        given = _answer(name, value, arguments)
        if given is not answer:
            asked = " ".join([name, *map(_shown, arguments)]) if name != "has" else f"has {_shown(source.name[1:])}"
            return f"{path}: {asked}: found {_word(given)}, the program is for {_word(answer)}"
    for letter, of, expected in entry.observed:
        found = host.look(letter, of)
        if found != expected:
            of_what = f"{OBSERVED.get(letter, letter)} {of}".strip()
            return f"{of_what}: found {_shown(found)}, the program is for {_shown(expected)}"
    for source, kind, checks in entry.slots:
        path, value = find(source)
        if wrong := _unfit(kind, checks, value):
            return f"{path}: found {_shown(value)}, the program takes {wrong}"
    return None


def unscanned(shape: "Shape", size: int) -> str | None:
    """Why the executable leaves a config to Python, so that no program of it is ever kept: a sentence, or ``None``. The
    rules are those of core/program/scan.c, without the limits on keys and nesting, which no engine's config reaches.

    :param size: bytes of config.json.
    """
    if size > SCAN_MAX:
        return f"config.json: found {size} bytes, expected at most {SCAN_MAX}"
    for path, letter, value in zip(shape.leaves, shape.letters, shape.values):
        if path.startswith(AT_REQUEST):
            continue
        inner = {"L": value, "s": [value], "R": [*value, *value.values()] if letter == "R" else ()}
        for each in inner.get(letter, ()):
            if not isinstance(each, str):
                return f"{path}: found {quote(each)}, expected strings only"
            if "\0" in each or not each.isascii() and any("\ud800" <= character <= "\udfff" for character in each):
                return f"{path}: found {quote(each)}, expected a string without NUL and half surrogate pairs"
        if letter == "i" and not -(1 << 63) <= value < 1 << 64:
            return f"{path}: found {quote(value)}, expected a number of 64 bits"
    return None


def _shown(value: "Json") -> str:
    return "nothing" if value is None else quote(value)


def _word(answer: bool | None) -> str:
    return {True: "yes", False: "no", None: "no answer"}[answer]


class _Finder:
    """Returns path and value of a source; the value is ``None`` if the source does not exist."""

    def __init__(self, shape: "Shape") -> None:
        self.values, self.paths = shape.values, list(shape.leaves)
        self.annotations = shape.values[shape.leaves["annotations"]] if "annotations" in shape.leaves else None

    def __call__(self, source: Source) -> "tuple[str, Json]":
        if source.name.startswith("@"):
            key = source.name[1:]
            return member("annotations", key), (self.annotations or {}).get(key)
        if source.name.startswith("*"):
            return "annotations", sum(key.startswith(source.name[1:]) for key in self.annotations or {}) or None
        if source.number >= len(self.paths):
            return "", None  # a damaged entry
        path, value = self.paths[source.number], self.values[source.number]
        if not source.name:
            return path, value
        parts, digit = unit_parts(value) if isinstance(value, str) else None, source.name[1:]
        return path + source.name, parts[int(digit)] if parts and digit in ("0", "1", "2", "3") else None


def _answer(name: str, value: "Json", arguments: "Arguments") -> bool | None:
    if name == "has":
        return value is not None
    if isinstance(value, list):
        return not value
    if isinstance(value, int):
        return value == arguments[0] if arguments else None  # a damaged entry has no argument
    if not isinstance(value, str) or len(value.encode("utf-8", "surrogatepass")) > TEXT_MAX:
        return None
    if name == "starts_with":
        return value.startswith(tuple(arguments))
    return bool(
        PREDICATES[name](
            value, arguments if name in ("within", "is_path", "contains") else arguments[0] if arguments else None
        )
    )


def _unfit(kind: int, checks: "Checks", value: "Json") -> str | None:
    """What a slot accepts, if ``value`` is something else; otherwise ``None``."""
    if kind == NUMBER_VALUE:
        good = type(value) is int and checks.get("low", value) <= value <= checks.get("high", value)
        return None if good else f"a number from {checks['low']} to {checks['high']}" if "low" in checks else "a number"
    if kind == LIST_VALUE:
        return None if isinstance(value, list) else "a list of strings"
    if isinstance(value, dict):
        return None
    if not isinstance(value, str):
        return "a string"
    if "absolute" in checks and not value.startswith("/"):
        return "an absolute path"
    if len(value.encode("utf-8", "surrogatepass")) > checks.get("max_length", 1 << 32):
        return f"at most {checks['max_length']} bytes"
    return None


def other_structure(entry: Entry, shape: "Shape") -> tuple[int, str]:
    """How much the structure of a config differs from the entry's, and the first difference, as a sentence."""
    ours, theirs = [
        {path: letter for path, letter in pairs if not path.startswith(AT_REQUEST)}
        for pairs in (zip(shape.leaves, shape.letters), entry.leaves())
    ]
    distance = len(ours.items() ^ theirs.items())
    for path, letter in ours.items():
        if path not in theirs:
            return distance, f"{path}: found {KINDS[letter]}, the program is for a config without"
        if theirs[path] != letter:
            return distance, f"{path}: found {KINDS[letter]}, the program is for {KINDS[theirs[path]]}"
    for path, letter in theirs.items():
        if path not in ours:
            return distance, f"{path}: found nothing, the program is for a config with {KINDS[letter]} there"
    for path, other in zip(ours, theirs):
        if path != other:
            return distance, f"{path}: found in another place among the keys, the program is for {other} there"
    return distance, "empty objects or arrays stand in other places"


def other_request(entry: Entry, ours: list[str]) -> str:
    """The first word in which a request differs from that of the entry, as a sentence.

    :param ours: the words of the request, in the form of :meth:`Entry.words`.
    """
    theirs = entry.words()
    if ours[0] != theirs[0]:
        return f"verb: found {ours[0]}, the program is for {theirs[0]}"
    for word in ours:
        if word not in theirs:
            return f"command line: found {word}, the program is for one without"
    return f"command line: found no {next((word for word in theirs if word not in ours), '')}, which the program is for"
