"""Typed views of JSON objects: what :mod:`ocirt.model.config` and :mod:`ocirt.model.exec` declare objects of the
specification with.

Each class derived from :class:`View` is one object, each attribute one of its properties. Access checks the JSON type
and returns what the compiler works with; each such value knows its JSON path:

=============  =============================================================================
``text``       :class:`~ocirt.model.text.Text`, ``None`` if it is missing
``number``     :class:`~ocirt.model.text.Number` within the property's range, ``None`` if it is missing
``flag``       ``bool``, false if it is missing
``arguments``  :class:`~ocirt.model.text.Texts`, one list slot, ``None`` if it is missing
``texts``      list of Text                      ``numbers``  list of Number
``child``      a view, empty if it is missing    ``children``  list of views
``keyed``      dict of views by key              ``keyed_texts``  dict of Text by key
=============  =============================================================================

Booleans and structure (which properties exist, lengths, keys) may be read without a record. ``null`` counts as missing,
as in Go, in which engines write these files.
"""

from ..errors import ConfigError
from .json import member
from .text import Number, Text, Texts, Trace, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, TypeAlias, TypeVar, overload

    from .json import Json, Members

    Limits: TypeAlias = tuple[int, int]
    """The lowest and the highest value of a number."""
    Looked = TypeVar("Looked", bound="View")
    Kind = TypeVar("Kind")


class View:
    """An object of the config: ``path`` is its JSON path, ``value`` its members."""

    __slots__ = ("value", "path", "trace")

    def __init__(self, value: "Members", path: str, trace: Trace) -> None:
        self.value, self.path, self.trace = value, path, trace

    def at(self, name: str) -> str:
        """The JSON path of the property ``name``."""
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        """Does the property ``name`` (its JSON name) exist, and is it not ``null``?"""
        return self.value.get(name) is not None


class _Property:
    """A property of a view. ``name`` is its JSON name, if that is not the attribute's; ``argument`` has the limits of a
    number or the class of a view.
    """

    __slots__ = ("name", "argument", "required")
    expected = ""

    def __init__(self, argument: "Any" = None, name: str = "", required: bool = False) -> None:
        self.name, self.argument, self.required = name, argument, required

    def __set_name__(self, owner: type[View], name: str) -> None:
        if not self.name:
            self.name = name

    def __get__(self, view: View, owner: type[View] | None = None) -> object:
        value = view.value.get(self.name)
        if value is None:
            if self.required:
                raise ConfigError(view.at(self.name), "nothing", self.expected)
            return self.absent(view)
        return self.make(value, view.at(self.name), view.trace)

    if TYPE_CHECKING:

        def make(self, value: Json, path: str, trace: Trace) -> object: ...

    def item(self, value: "Json", path: str, trace: Trace) -> object:
        return self.argument(_typed(value, dict, path, "an object"), path, trace)

    def absent(self, view: View) -> object:
        return None


def _typed(value: "Json", kind: "type[Kind]", path: str, expected: str) -> "Kind":
    if type(value) is not kind:
        raise ConfigError(path, quote(value), expected)
    return value


def _text(self: _Property, value: "Json", path: str, trace: Trace) -> Text:
    return Text(_typed(value, str, path, "a string"), path, trace)


def _number(self: _Property, value: "Json", path: str, trace: Trace) -> Number:
    return Number(_typed(value, int, path, "a whole number"), path, trace).checked(*self.argument)


class _TextProperty(_Property):
    expected = "a string"
    make = _text


class _NumberProperty(_Property):
    expected = "a whole number"
    make = _number


class _Flag(_Property):
    expected = "true or false"

    def make(self, value: "Json", path: str, trace: Trace) -> bool:
        return _typed(value, bool, path, self.expected)

    def absent(self, view: View) -> bool:
        return False


class _Arguments(_Property):
    expected = "an array of strings"

    def make(self, value: "Json", path: str, trace: Trace) -> Texts:
        for index, item in enumerate(_typed(value, list, path, self.expected)):
            _typed(item, str, f"{path}[{index}]", "a string")
        return Texts(value, path, trace)


class _List(_Property):
    expected = "an array"

    def make(self, value: "Json", path: str, trace: Trace) -> list[object]:
        return [
            self.item(item, f"{path}[{index}]", trace)
            for index, item in enumerate(_typed(value, list, path, self.expected))
        ]

    def absent(self, view: View) -> list[object]:
        return []


class _ListOfTexts(_List):
    expected = "an array of strings"
    item = _text


class _ListOfNumbers(_List):
    expected = "an array of whole numbers"
    item = _number


class _Children(_List):
    expected = "an array of objects"


class _Child(_Property):
    expected = "an object"
    make = _Property.item

    def absent(self, view: View) -> object:
        return self.argument({}, view.at(self.name), view.trace)


class _Keyed(_Property):
    expected = "an object"

    def make(self, value: "Json", path: str, trace: Trace) -> dict[str, object]:
        return {
            key: self.item(item, member(path, key), trace)
            for key, item in _typed(value, dict, path, self.expected).items()
        }

    def absent(self, view: View) -> dict[str, object]:
        return {}


class _KeyedTexts(_Keyed):
    item = _text


if TYPE_CHECKING:  # the types that access to a property returns, which __get__ alone cannot declare

    @overload
    def text(*, name: str = "") -> Text | None: ...
    @overload
    def text(*, name: str = "", required: Literal[True]) -> Text: ...
    def text(*, name: str = "", required: bool = False) -> Text | None: ...
    @overload
    def number(limits: Limits, name: str = "") -> Number | None: ...
    @overload
    def number(limits: Limits, name: str = "", *, required: Literal[True]) -> Number: ...
    def number(limits: Limits, name: str = "", *, required: bool = False) -> Number | None: ...
    @overload
    def arguments() -> Texts | None: ...
    @overload
    def arguments(*, required: Literal[True]) -> Texts: ...
    def arguments(*, required: bool = False) -> Texts | None: ...
    def flag(*, name: str = "", required: bool = False) -> bool: ...
    def texts(*, name: str = "") -> list[Text]: ...
    def numbers(limits: Limits, name: str = "") -> list[Number]: ...
    def child(kind: type[Looked], name: str = "", *, required: bool = False) -> Looked: ...
    def children(kind: type[Looked], name: str = "") -> list[Looked]: ...
    def keyed(kind: type[Looked], name: str = "") -> dict[str, Looked]: ...
    def keyed_texts() -> dict[str, Text]: ...
else:
    text, number, flag, arguments, texts, numbers = (
        _TextProperty,
        _NumberProperty,
        _Flag,
        _Arguments,
        _ListOfTexts,
        _ListOfNumbers,
    )
    child, children, keyed, keyed_texts = _Child, _Children, _Keyed, _KeyedTexts
