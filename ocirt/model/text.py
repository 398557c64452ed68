"""Values of config.json on their way into a plan: slots, guards and tests.

A plan is compiled once for all configs of one shape. So the trace records what the plan depends on:

- if the compiler passes a :class:`Text` on to a step, it is a *slot*: its value is bound when the program runs;
- if the compiler reads its value (:meth:`Text.read`), it is a *guard*: the program holds for this value only;
- if the compiler asks one of the predicates below, it is a *test*: the program holds for every value with the same
  answer.

Any other access to a Text raises TypeError, so that no code reads a value by accident. Numbers and lists of strings
have the same rules.
"""

from ..errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, NoReturn, TypeAlias, TypeVar

    Held = TypeVar("Held")
    Checks: TypeAlias = dict[str, int]
    """The conditions for a slot's values: ``absolute`` (true), ``max_length``, ``low`` and ``high``."""
    Argument: TypeAlias = str | int | tuple[str, ...] | None
    """The argument of a test."""
    Piece: TypeAlias = "str | Text | Number"
    AnyText: TypeAlias = "str | Text | Template"
    """A step's field of kind ``text``: a string that may be bound later. The names below are for the other kinds."""
    AnyNumber: TypeAlias = "int | Number"
    AnyTexts: TypeAlias = "Sequence[AnyText | Texts] | Texts"
    Field: TypeAlias = "AnyText | AnyNumber | AnyTexts | bytes"
    Bound: TypeAlias = Any
    """A field whose slots have their values: ``str``, ``int``, ``bytes`` or a list of ``str``, as the field's kind
    says."""


class Trace:
    """What one compilation has looked at. ``ocirt plan --slots`` shows it, and the program cache is based on it."""

    __slots__ = ("slots", "guards", "tests", "doubts")

    def __init__(self) -> None:
        self.slots: dict[str, Checks] = {}
        """path -> {check: argument}: values that were passed on."""
        self.guards: dict[str, Any] = {}
        """path -> value: values that were read."""
        self.tests: dict[tuple[str, str, Argument], bool] = {}
        """(path, predicate, argument) -> answer."""
        self.doubts: dict[str, tuple[str, str, str]] = {}
        """path -> what was found, what was expected, what the runtime does about it: see :meth:`doubt`."""

    def doubt(self, path: str, found: str, expected: str, instead: str) -> None:
        """Record a warning: the specification forbids what ``path`` has, and every peer accepts it. The caller has
        decided this by structure or by values that it has read, so the program holds only for configs with the same
        warning.

        :param found, expected: as in a :class:`~ocirt.errors.ConfigError`.
        :param instead: what the runtime does: ``it is ignored``.
        """
        self.doubts[path] = (found, expected, instead)


def quote(value: object) -> str:
    """``value`` for an error message: JSON, at most 60 characters."""
    try:
        from _json import encode_basestring_ascii
    except ImportError:  # an interpreter without the C scanner
        from json.encoder import encode_basestring_ascii
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        text = encode_basestring_ascii(value)
    elif isinstance(value, dict):
        return "an object"
    elif isinstance(value, list):
        return "an array"
    else:
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def errors_of(path: str) -> str:
    """How a text at ``path`` is encoded. Words of the command line (``$id``) are bytes; Python keeps those that are not
    UTF-8 as halves of surrogate pairs (PEP 383). config.json is UTF-8.
    """
    return "surrogateescape" if path.startswith("$") else "strict"


def choose(table: "Mapping[str, Held]", name: object, path: str) -> "Held":
    """The item of ``table`` for ``name``, the value of the property ``path``.

    :raises ConfigError: the table has no such name.
    """
    if not isinstance(name, str) or name not in table:
        raise ConfigError(path, quote(name), f"one of {', '.join(table)}")
    return table[name]


def clean(path: str) -> str:
    """The absolute ``path`` without ``.``, ``..``, double and trailing slashes. Only the string counts, not the file
    system.
    """
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part and part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


def _is_empty(value: str, _: None) -> bool:
    return value == ""


UNIT_PATH_MAX = 2048
"""The most bytes in the path of a slice, far less than the kernel's limit."""


def unit_parts(value: str) -> tuple[str, ...] | None:
    """What ``linux.cgroupsPath`` asks systemd for: the parts of ``slice:prefix:name``, and the slice's cgroup, which
    contains that of the unit. The slice may be empty. The cgroup of ``a-b.slice`` is ``/a.slice/a-b.slice``, that of
    ``-.slice`` is empty, systemd.slice(5).

    :returns: ``None`` if the value does not have that form.
    """
    parts = value.split(":")
    if len(parts) != 3 or "/" in value or not parts[2]:
        return None
    stem, path = parts[0].removesuffix(".slice"), ""
    if parts[0] and stem != "-":
        words = stem.split("-")
        if stem == parts[0] or not all(words):
            return None
        path = "".join(["/" + "-".join(words[:count]) + ".slice" for count in range(1, len(words) + 1)])
    elif parts[0] and parts[0] != "-.slice":
        return None
    if len(path.encode("utf-8", "surrogatepass")) > UNIT_PATH_MAX:
        return None
    return (*parts, path)


def _is_unit(value: str, _: None) -> bool:
    return unit_parts(value) is not None


def _ends_with(value: str, argument: str) -> bool:
    return value.endswith(argument)


def _is_absolute(value: str, _: None) -> bool:
    return value.startswith("/")


def _equals(value: str, argument: str) -> bool:
    return value == argument


def _starts_with(value: str, argument: str) -> bool:
    return value.startswith(argument)


def _is_path(value: str, argument: str | tuple[str, ...]) -> bool:
    return clean(value) in ((argument,) if isinstance(argument, str) else argument)


def _goes_up(value: str, _: None) -> bool:
    return ".." in value.split("/")


def _contains(value: str, argument: tuple[str, ...]) -> bool:
    return any([each in value for each in argument])


def _within(value: str, argument: tuple[str, ...]) -> bool:
    return value in argument


PREDICATES: "dict[str, Callable[[str, Any], bool]]" = {
    "is_empty": _is_empty,
    "is_absolute": _is_absolute,
    "equals": _equals,
    "starts_with": _starts_with,
    "is_path": _is_path,
    "goes_up": _goes_up,
    "within": _within,
    "ends_with": _ends_with,
    "is_unit": _is_unit,
    "contains": _contains,
}
"""The complete list of questions that a Text answers. The binder in C must answer the same ones."""


class Table(tuple[str, ...]):
    """A tuple of strings with a name, for :meth:`Text.within`: ``Table("mount options", strings)``."""

    name: str

    def __new__(cls, name: str, strings: "Iterable[str]") -> "Table":
        self = super().__new__(cls, strings)
        self.name = name
        return self


def _forbidden(self: "Value", *_: object) -> "NoReturn":
    raise TypeError(f"{self.path}: read() it, ask one of its predicates, or pass it on to a step")


class Value:
    """Base of the values of a config. A value knows its JSON path and the trace in which it records access."""

    __slots__ = ("_value", "path", "trace")

    def __init__(self, value: "Any", path: str, trace: Trace) -> None:
        self._value, self.path, self.trace = value, path, trace

    __bool__ = __eq__ = __ne__ = __str__ = __format__ = __contains__ = __iter__ = __len__ = _forbidden
    __lt__ = __le__ = __gt__ = __ge__ = __index__ = __int__ = __fspath__ = _forbidden
    __hash__ = None  # type: ignore[assignment]  # access must be recorded

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    def read(self) -> "Any":
        """The value itself. The program then holds for this value only (a guard)."""
        self.trace.guards[self.path] = self._value
        return self._value

    def bound(self) -> "Any":
        """The value, for code that binds a program: the encoder, the printer. Nothing is recorded."""
        return self._value

    def slot(self) -> None:
        """Record that this value is passed on. The encoder calls this."""
        self.trace.slots.setdefault(self.path, {})


class Text(Value):
    """A string of the config or of the request (``$id``, ``$bundle``)."""

    __slots__ = ()
    if TYPE_CHECKING:
        _value: str

        def read(self) -> str: ...
        def bound(self) -> str: ...

    def _ask(self, predicate: str, argument: "str | tuple[str, ...] | None" = None) -> bool:
        answer = PREDICATES[predicate](self._value, argument)
        self.trace.tests[self.path, predicate, argument] = answer
        return answer

    def is_empty(self) -> bool:
        return self._ask("is_empty")

    def is_absolute(self) -> bool:
        return self._ask("is_absolute")

    def equals(self, other: str) -> bool:
        return self._ask("equals", other)

    def starts_with(self, prefix: str) -> bool:
        return self._ask("starts_with", prefix)

    def ends_with(self, suffix: str) -> bool:
        return self._ask("ends_with", suffix)

    def unit(self) -> "list[Text] | None":
        """The parts of a text of the form ``slice:prefix:name``, see :func:`unit_parts`, as four texts; ``None`` if it
        has another form. Each is a slot, a guard or a test of its own; its path is that of the whole text with ``:``
        and its number.
        """
        self._ask("is_unit")
        parts = unit_parts(self._value)
        if parts is None:
            return None
        return [Text(part, f"{self.path}:{number}", self.trace) for number, part in enumerate(parts)]

    def is_path(self, path: str | tuple[str, ...]) -> bool:
        """Is the text the same path as ``path``, or as one of its items? They must be clean; only the string counts."""
        return self._ask("is_path", path)

    def goes_up(self) -> bool:
        """Is one of the parts ``..``?"""
        return self._ask("goes_up")

    def contains(self, *texts: str) -> bool:
        """Does the text contain one of ``texts``?"""
        return self._ask("contains", texts)

    def within(self, table: tuple[str, ...]) -> bool:
        """Is the text one of the strings in ``table``? ``ocirt plan`` shows a :class:`Table` by its name."""
        return self._ask("within", table)

    def checked(self, max_length: int | None = None, absolute: bool = False, expected: str | None = None) -> "Text":
        """This text as a slot with checks: the binder makes the same checks for every other value. The checks of
        several calls are all made.

        :param max_length: in bytes.
        :param absolute: must the text be an absolute path?
        :param expected: what an error says was expected.
        :raises ConfigError: this config's value does not pass.
        """
        value, checks = self._value, self.trace.slots.setdefault(self.path, {})
        if absolute:
            checks["absolute"] = True
            if not value.startswith("/"):
                raise ConfigError(self.path, quote(value), expected or "an absolute path")
        if max_length is not None:
            checks["max_length"] = min(max_length, checks.get("max_length", max_length))
            length = len(value.encode("utf-8", "surrogateescape" if self.path.startswith("$") else "surrogatepass"))
            if length > max_length:
                raise ConfigError(self.path, f"one of {length} bytes", expected or f"at most {max_length} bytes")
        return self

    def __add__(self, other: "Piece | Template") -> "Template":
        return Template(self) + other

    def __radd__(self, other: str) -> "Template":
        return Template(other) + self


class Number(Value):
    """An integer of the config."""

    __slots__ = ()
    if TYPE_CHECKING:
        _value: int

        def read(self) -> int: ...
        def bound(self) -> int: ...

    def checked(self, low: int, high: int, expected: str | None = None) -> "Number":
        """This number as a slot within ``low`` to ``high``, both included, and within the limits of all other calls.

        :param expected: what an error says was expected.
        :raises ConfigError: this config's value is outside.
        """
        checks = self.trace.slots.setdefault(self.path, {})
        # Each access to a property makes a new Number for the same value, with the property's own limits. The limits of
        # earlier calls still hold.
        checks.update(low=max(low, checks.get("low", low)), high=min(high, checks.get("high", high)))
        if not low <= self._value <= high:
            raise ConfigError(self.path, quote(self._value), expected or f"a number from {low} to {high}")
        return self

    def equals(self, other: int) -> bool:
        answer = self._value == other
        self.trace.tests[self.path, "equals", other] = answer
        return answer

    def __add__(self, other: "Piece | Template") -> "Template":
        return Template(self) + other

    def __radd__(self, other: str) -> "Template":
        return Template(other) + self


class Texts(Value):
    """A list slot: a list of strings whose length does not change the shape (args, env)."""

    __slots__ = ()
    if TYPE_CHECKING:
        _value: list[str]

        def read(self) -> list[str]: ...
        def bound(self) -> list[str]: ...

    def is_empty(self) -> bool:
        answer = not self._value
        self.trace.tests[self.path, "is_empty", None] = answer
        return answer


class Raw(Text):
    """A text that is the JSON source of a value, with the bytes of config.json (annotations)."""

    __slots__ = ()


class Template:
    """A string that consists of literal pieces and slots."""

    __slots__ = ("pieces",)

    def __init__(self, *pieces: "Piece") -> None:
        self.pieces = pieces

    def __add__(self, other: "Piece | Template") -> "Template":
        return Template(*self.pieces, *(other.pieces if isinstance(other, Template) else (other,)))

    def __radd__(self, other: str) -> "Template":
        return Template(other, *self.pieces)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and bound(self) == bound(other)

    __hash__ = None  # type: ignore[assignment]  # equality depends on bound values, which change
    __bool__ = __str__ = __format__ = None  # type: ignore[assignment]  # access must be recorded
    __contains__ = __iter__ = __len__ = __fspath__ = None

    def __repr__(self) -> str:
        return f"<Template {self.pieces!r}>"


def bound(value: "Field") -> "Bound":
    """A step's field with the values of this config: ``str``, ``int``, ``bytes`` or a list of ``str``."""
    if isinstance(value, (str, int, bytes)):
        return value
    if isinstance(value, Template):
        return "".join([str(bound(piece)) for piece in value.pieces])
    if isinstance(value, Value):
        return value.bound()
    out: list[str] = []
    for item in value:
        if isinstance(item, Texts):
            out += item.bound()
        else:
            out.append(str(bound(item)))
    return out
