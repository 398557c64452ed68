"""config.json from bytes to Python values, and errors in it by line and column.

Importing the package ``json`` takes 5 ms, most of it for ``re``; the C scanner that it uses does not need ``re``. So
this module imports ``json`` only if the interpreter has no C scanner, or if the scanner finds an error.
"""

from ..errors import ConfigError
from .text import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Json: TypeAlias = Any
    """Any value of JSON. The code that uses it checks its type."""
    Members: TypeAlias = dict[str, Json]
    """The properties of an object."""
    Scan: TypeAlias = Callable[[str, int], tuple[Json, int]]
    """Returns the value that begins at an offset, and where it ends."""

_SPACE = " \t\n\r"


class _Rules:
    """The context that the scanner asks for: JSON by RFC 8259, without Python's additions."""

    strict = True
    object_hook = None
    parse_float = float
    parse_int = int

    def __init__(self) -> None:
        self.duplicates: list[tuple[Members, str]] = []

    def object_pairs_hook(self, pairs: "list[tuple[str, Json]]") -> "Members":
        members = dict(pairs)
        if len(members) != len(pairs):
            keys = [key for key, _ in pairs]
            self.duplicates.append((members, next(key for key in keys if keys.count(key) > 1)))
        return members

    def parse_constant(self, name: str) -> "Json":
        raise _Constant(name)


class _Constant(Exception):
    """``NaN``, ``Infinity`` or ``-Infinity``, which Python's scanner would accept."""


def _scanner(rules: _Rules) -> "Scan":
    try:
        from _json import make_scanner
    except ImportError:
        from json import JSONDecoder

        decoder = JSONDecoder(object_pairs_hook=rules.object_pairs_hook, parse_constant=rules.parse_constant)
        scan: Scan = decoder.scan_once  # type: ignore[attr-defined]  # which the types of json leave out
        return scan
    return make_scanner(rules)  # type: ignore[arg-type]  # any object with these attributes works


def encode(text: str) -> str:
    """``text`` as a JSON string, in ASCII."""
    try:
        from _json import encode_basestring_ascii
    except ImportError:
        from json.encoder import encode_basestring_ascii
    return encode_basestring_ascii(text)


AT_PROCESS = "--process"
"""The JSON path of exec's process file, which distinguishes its paths from those of config.json."""


def member(path: str, key: str) -> str:
    """The JSON path of property ``key`` of the object at ``path``: ``linux.sysctl["net.core.somaxconn"]``."""
    if key.isascii() and key.isidentifier():
        return f"{path}.{key}" if path else key
    return f"{path}[{encode(key)}]"


def parse(data: bytes | str) -> "tuple[Members, dict[str, str]]":
    """The object in ``data``, a document's bytes or its text.

    :returns: its properties, and the source text of each, as in ``data``.
    :raises ConfigError: not UTF-8, not JSON (RFC 8259), nested too deeply, not an object, a key twice in one object.
    """
    try:
        text = data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError as error:
        raise _error(data, error.start, f"the byte 0x{data[error.start]:02x}", "UTF-8") from None
    rules = _Rules()
    try:
        members, sources = _top(text, _scanner(rules))
    except _Constant as error:
        raise _error(text, _outside_strings(text, str(error)), str(error), "a value") from None
    except StopIteration as error:
        raise _error(text, error.value, _found(text, error.value), "a value") from None
    except RecursionError:
        raise ConfigError("", "values nested too deeply", "at most some hundred levels") from None
    except SystemError:
        # Python 3.11's scanner finds the text of an error only if json.decoder has been imported.
        import json.decoder  # noqa: F401

        return parse(data)
    except ValueError as error:
        raise _translated(text, error) from None
    for holder, key in rules.duplicates:
        raise ConfigError(_path_of(members, holder), f"the key {quote(key)} twice", "each key once")
    return members, sources


def _top(text: str, scan: "Scan") -> "tuple[Members, dict[str, str]]":
    """The top-level object, read property by property, so that the source text of each is known."""
    position = _skip(text, 0)
    if not text.startswith("{", position):
        value, end = scan(text, position)
        if _skip(text, end) == len(text):
            raise ConfigError("", quote(value), "an object")
        position = _skip(text, end)
        raise _error(text, position, _found(text, position), "the end")
    members: Members = {}
    sources: dict[str, str] = {}
    position = _skip(text, position + 1)
    while not text.startswith("}", position):
        if members:
            position = _expect(text, position, ",")
        if not text.startswith('"', position):
            raise _error(text, position, _found(text, position), "a property name in double quotes")
        start = position
        key, position = scan(text, position)
        if key in members:
            raise _error(text, start, f"the key {quote(key)} a second time", "each key once")
        start = _expect(text, position, ":")
        members[key], position = scan(text, start)
        sources[key] = text[start:position]
        position = _skip(text, position)
    position = _skip(text, position + 1)
    if position != len(text):
        raise _error(text, position, _found(text, position), "the end")
    return members, sources


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _expect(text: str, position: int, sign: str) -> int:
    position = _skip(text, position)
    if not text.startswith(sign, position):
        raise _error(text, position, _found(text, position), _SIGNS[sign])
    return _skip(text, position + 1)


_SIGNS = {":": '":"', ",": '"," or "}"'}


# ---- errors ----


def _error(text: str | bytes, position: int, found: str, expected: str) -> ConfigError:
    """An error at a position of the document. ``text`` is a str, or bytes if it cannot be decoded (columns are bytes
    then).
    """
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return ConfigError(f"line {line} column {column}", found, expected)


def _found(text: str, position: int) -> str:
    if position >= len(text):
        return "the end"
    end = position + 1
    while end - position < 20 and text[end : end + 1].isalnum():
        end += 1
    return "a string" if text[position] == '"' else quote(text[position:end])


_EXPECTED = (
    ("Expecting property name", "a property name in double quotes"),
    ("Expecting ':'", '":"'),
    ("Expecting ','", '"," or the end of the array or object'),
    ("Expecting value", "a value"),
    ("Illegal trailing comma", "no comma before the end"),
)


def _translated(text: str, error: ValueError) -> ConfigError:
    """The decoder's error in ocirt's words. An error without a position is that of an integer too long for Python."""
    position = getattr(error, "pos", None)
    if position is None:
        return ConfigError("", "a number of thousands of digits", "one that fits into 64 bits")
    message = getattr(error, "msg", "")
    for start, expected in _EXPECTED:
        if message.startswith(start):
            return _error(text, position, _found(text, position), expected)
    message = message.removesuffix(" at").removesuffix(" starting")
    return _error(text, position, f"{message[:1].lower()}{message[1:]}", "a JSON string")


def _outside_strings(text: str, word: str) -> int:
    """The position of ``word`` in ``text``, outside of strings."""
    position = 0
    while True:
        at, string = text.find(word, position), text.find('"', position)
        if string == -1 or at < string:
            return at
        position = string + 1
        while text[position] != '"':
            position += 2 if text[position] == "\\" else 1
        position += 1


def _path_of(value: "Json", target: "Members") -> str:
    """The JSON path of the object ``target`` in ``value``; empty if a later key has replaced it."""
    rest = [(value, "")]
    while rest:
        value, path = rest.pop()
        if value is target:
            return path
        if isinstance(value, dict):
            rest += [(item, member(path, key)) for key, item in value.items()]
        elif isinstance(value, list):
            rest += [(item, f"{path}[{index}]") for index, item in enumerate(value)]
    return ""


def value_at(value: "Json", *names: str) -> "Any":
    """The member of nested objects that ``names`` lead to; ``None`` if one of them is missing, or is no object."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
