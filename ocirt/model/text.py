"""Values of config.json on their way into a plan: slots, guards and tests.

A plan is compiled once for all configs of one shape. What it may depend on is therefore recorded:

- a :class:`Text` that is passed on to a step is a *slot*: its value is bound when the program runs;
- a Text whose value is read (:meth:`Text.read`) is a *guard*: the program holds for this value only;
- a Text that is asked one of the predicates below is a *test*: the program holds for every value
  that gives the same answer.

Looking at a Text in any other way raises, so nobody looks by accident. Numbers and lists of strings
have the same rules.
"""

from ..errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, NoReturn, TypeAlias, TypeVar

    Held = TypeVar("Held")
    Checks: TypeAlias = dict[str, int]
    """What a slot's values have to be: ``absolute`` (true), ``max_length``, ``low`` and ``high``."""
    Argument: TypeAlias = str | int | tuple[str, ...] | None
    """What a test was asked with."""
    Piece: TypeAlias = "str | Text | Number"
    AnyText: TypeAlias = "str | Text | Template"
    """A step's field of kind ``text``, a string that may be bound later; and so the others."""
    AnyNumber: TypeAlias = "int | Number"
    AnyTexts: TypeAlias = "Sequence[AnyText | Texts] | Texts"
    Field: TypeAlias = "AnyText | AnyNumber | AnyTexts | bytes"
    Bound: TypeAlias = Any
    """A field whose slots have their values: ``str``, ``int``, ``bytes`` or a list of ``str``, as the field's kind says."""


class Trace:
    """What one compilation looked at. Shown by ``ocirt plan --slots``, and the base of the program cache."""

    __slots__ = ("slots", "guards", "tests", "doubts")

    def __init__(self) -> None:
        self.slots: dict[str, Checks] = {}
        """path -> {check: argument}: values passed on."""
        self.guards: dict[str, Any] = {}
        """path -> value: values read."""
        self.tests: dict[tuple[str, str, Argument], bool] = {}
        """(path, predicate, argument) -> answer."""
        self.doubts: dict[str, tuple[str, str, str]] = {}
        """path -> what was found, what was expected, what is done about it: see :meth:`doubt`."""

    def doubt(self, path: str, found: str, expected: str, instead: str) -> None:
        """Warn of what the specification does not want at ``path`` and every peer accepts. Whoever asks for this has decided by
        structure or by values that were read, so it is part of what the program holds for.

        :param found, expected: as in a :class:`~ocirt.errors.ConfigError`.
        :param instead: what the runtime does: ``it is ignored``.
        """
        self.doubts[path] = (found, expected, instead)


def quote(value: object) -> str:
    """``value`` as a person would see it in an error: JSON, at most 60 characters."""
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
    """How a text at ``path`` is encoded: words of the command line (``$id``) are bytes, which Python holds as halves of surrogate
    pairs where they are no UTF-8 (PEP 383); config.json is UTF-8."""
    return "surrogateescape" if path.startswith("$") else "strict"


def choose(table: "Mapping[str, Held]", name: object, path: str) -> "Held":
    """What ``table`` has for ``name``, the value of the property ``path``.

    :raises ConfigError: nothing.
    """
    if not isinstance(name, str) or name not in table:
        raise ConfigError(path, quote(name), f"one of {', '.join(table)}")
    return table[name]


def clean(path: str) -> str:
    """The absolute ``path`` without ``.``, ``..``, double and trailing slashes, by string alone."""
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
"""Bytes that the path of a slice may have, far less than the kernel's."""


def unit_parts(value: str) -> tuple[str, ...] | None:
    """What ``linux.cgroupsPath`` asks systemd for: ``slice:prefix:name`` as a tuple of these three and of the slice's
    cgroup, beneath which the unit's lies; ``None`` where it has not that form. The slice may be empty; of
    ``a-b.slice`` the cgroup is ``/a.slice/a-b.slice``, of ``-.slice`` it is empty, systemd.slice(5)."""
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
"""The closed list of questions that a Text answers; the binder has to answer the same ones."""


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
    """Base of what a config holds: knows its JSON path and the trace it reports to."""

    __slots__ = ("_value", "path", "trace")

    def __init__(self, value: "Any", path: str, trace: Trace) -> None:
        self._value, self.path, self.trace = value, path, trace

    __bool__ = __eq__ = __ne__ = __str__ = __format__ = __contains__ = __iter__ = __len__ = _forbidden
    __lt__ = __le__ = __gt__ = __ge__ = __index__ = __int__ = __fspath__ = _forbidden
    __hash__ = None  # type: ignore[assignment]  # not to be looked at

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    def read(self) -> "Any":
        """The value itself. The program then holds for this value only (a guard)."""
        self.trace.guards[self.path] = self._value
        return self._value

    def bound(self) -> "Any":
        """The value, for whoever binds a program: the encoder, the printer. Records nothing."""
        return self._value

    def slot(self) -> None:
        """Record that this value is passed on; called by the encoder."""
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
        """The parts of a text of the form ``slice:prefix:name``, see :func:`unit_parts`, as four texts; ``None`` where it
        has another. Each is a slot, a guard or a test of its own, its path the whole's with ``:`` and its number."""
        self._ask("is_unit")
        parts = unit_parts(self._value)
        if parts is None:
            return None
        return [Text(part, f"{self.path}:{number}", self.trace) for number, part in enumerate(parts)]

    def is_path(self, path: str | tuple[str, ...]) -> bool:
        """Is it the same path as ``path``, or as one of those, which are clean, by string?"""
        return self._ask("is_path", path)

    def goes_up(self) -> bool:
        """Has it a ``..`` among its parts?"""
        return self._ask("goes_up")

    def contains(self, *texts: str) -> bool:
        """Is one of ``texts`` in it?"""
        return self._ask("contains", texts)

    def within(self, table: tuple[str, ...]) -> bool:
        """Is it one of the strings of the tuple ``table`` (a :class:`Table`, if it is to be shown by name)?"""
        return self._ask("within", table)

    def checked(self, max_length: int | None = None, absolute: bool = False, expected: str | None = None) -> "Text":
        """This text as a slot with checks: the binder makes the same ones for every other value. Checks of several calls
        are all made.

        :param max_length: in bytes.
        :raises ConfigError: the value at hand does not pass.
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

        :raises ConfigError: the value at hand lies outside.
        """
        checks = self.trace.slots.setdefault(self.path, {})
        # Each look at the property makes the same value anew, with the property's own limits: what an earlier look has asked
        # of it still holds.
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
    """A list slot: a list of strings whose length makes no new shape (args, env)."""

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
    """A text that is the JSON source of a value, bytes as they stand in config.json (annotations)."""

    __slots__ = ()


class Template:
    """A string put together of literal pieces and slots."""

    __slots__ = ("pieces",)

    def __init__(self, *pieces: "Piece") -> None:
        self.pieces = pieces

    def __add__(self, other: "Piece | Template") -> "Template":
        return Template(*self.pieces, *(other.pieces if isinstance(other, Template) else (other,)))

    def __radd__(self, other: str) -> "Template":
        return Template(other, *self.pieces)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and bound(self) == bound(other)

    __hash__ = None  # type: ignore[assignment]  # equal by what is bound, which changes
    __bool__ = __str__ = __format__ = None  # type: ignore[assignment]  # not to be looked at
    __contains__ = __iter__ = __len__ = __fspath__ = None

    def __repr__(self) -> str:
        return f"<Template {self.pieces!r}>"


def bound(value: "Field") -> "Bound":
    """A step's field as it is for the config at hand: ``str``, ``int``, ``bytes`` or a list of ``str``."""
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
