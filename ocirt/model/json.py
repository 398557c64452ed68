"""config.json's bytes to Python, without the cost of importing ``json`` (and ``re``) where nothing is wrong.

CPython's scanner is in the module ``_json``; it is asked for each top-level property by itself, so that the source
text of a property is known: annotations are passed on as they were written.
"""

from ..errors import ConfigError

SPACE = " \t\n\r"


class _Context:
    """What ``_json.make_scanner`` reads its settings from."""

    strict = True
    object_hook = None
    parse_float = float
    parse_int = int
    memo = {}

    @staticmethod
    def parse_constant(name):
        raise ValueError(f"{name} is no JSON")

    @staticmethod
    def object_pairs_hook(pairs):
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice in one object")
        return found


def _scanner():
    try:
        from _json import make_scanner
    except ImportError:  # another Python than CPython
        from json.scanner import py_make_scanner
        from json.decoder import JSONArray, JSONObject, scanstring
        _Context.parse_object, _Context.parse_array, _Context.parse_string = JSONObject, JSONArray, scanstring
        return py_make_scanner(_Context)
    return make_scanner(_Context)


def _skip(text, at):
    while text[at:at + 1] in SPACE and at < len(text):
        at += 1
    return at


def parse(data):
    """The object that ``data`` (bytes, UTF-8, RFC 8259) is, and the source text of each of its properties.

    :raises ConfigError: it is no JSON object, or a key stands twice in one object.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError("", f"a byte that is no UTF-8 at offset {error.start}", "a JSON object") from None
    scan = _scanner()
    found, sources = {}, {}
    at = _skip(text, 0)
    try:
        if text[at:at + 1] != "{":
            _end(text, scan, at)
            raise ConfigError("", "another JSON value", "a JSON object")
        at = _skip(text, at + 1)
        while text[at:at + 1] != "}":
            if found:
                if text[at:at + 1] != ",":
                    raise _Syntax("expected , or }", at)
                at = _skip(text, at + 1)
            if text[at:at + 1] != '"':
                raise _Syntax("expected a property name in double quotes", at)
            name, at = scan(text, at)
            at = _skip(text, at)
            if text[at:at + 1] != ":":
                raise _Syntax("expected :", at)
            start = _skip(text, at + 1)
            value, at = scan(text, start)
            if name in found:
                raise ValueError(f"the key {name!r} stands twice in one object")
            found[name], sources[name] = value, text[start:at]
            at = _skip(text, at)
        at = _skip(text, at + 1)
        if at != len(text):
            raise _Syntax("found more after the object", at)
    except StopIteration as stop:
        raise _at(text, "expected a value", stop.value) from None
    except _Syntax as error:
        raise _at(text, *error.args) from None
    except RecursionError:
        raise ConfigError("", "values nested too deeply", "a JSON object") from None
    except ValueError as error:  # JSONDecodeError among them: it knows where
        if hasattr(error, "pos"):
            raise _at(text, error.msg[:1].lower() + error.msg[1:], error.pos) from None
        raise ConfigError("", str(error), "a JSON object") from None
    return found, sources


class _Syntax(Exception):
    pass


def encode(text):
    """``text`` as a JSON string, ASCII only."""
    from _json import encode_basestring_ascii
    return encode_basestring_ascii(text)


def member(path, key):
    """The JSON path of the member ``key`` of the object at ``path``: ``annotations["org.example.a"]``."""
    if key.isascii() and key.replace("_", "a").isalnum():
        return f"{path}.{key}" if path else key
    return f"{path}[{encode(key)}]"


def _end(text, scan, at):
    """Raise if what begins at ``at`` is not one whole JSON value."""
    _, end = scan(text, at)
    if _skip(text, end) != len(text):
        raise _Syntax("found more after the value", _skip(text, end))


def _at(text, message, offset):
    line = text.count("\n", 0, offset) + 1
    column = offset - text.rfind("\n", 0, offset)
    return ConfigError("", f"a JSON error at line {line} column {column} ({message})", "a JSON object")
