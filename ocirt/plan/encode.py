"""Plan to program: the bytes that the static executable runs.

A program is position-independent and has no pointers: a header, then tables, each an array of fixed little-endian
records. ``steps.h`` (:mod:`ocirt.generate`) describes the same layout to C:

    sections  first step (offset into the step area) and number of steps, in the order of SECTIONS
    facts     8 bytes for each field of :class:`~ocirt.plan.steps.Facts`
    steps     code u16, size u16, JSON path (string) u32, then 8 bytes for each field
    strings   first piece, number of pieces
    pieces    kind, and for a literal: offset into data, length; for a slot: its index
    lists     first item, number of items
    items     kind (a string, or a list slot, whose items are inserted) and index
    patches   offset into the step area, number of the slot: the field there gets the slot's value
    slots     kind, then offset and length in data, or a number: the bound values
    data      bytes; every text ends with a NUL that its length does not count

The tables up to ``patches`` are the template, which is the same for all configs of one shape. Slots and their values
come last; binding replaces only them.
"""

from ..errors import ConfigError
from ..model.text import Number, Template, Text, Texts, errors_of, quote
from .steps import SECTIONS, STEPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, TypeAlias

    from ..model.text import AnyText, AnyTexts
    from . import Plan
    from .steps import Facts, Step

    Slot: TypeAlias = Text | Number | Texts

MAGIC = b"ocirtprg"
FORMAT = 1
LITERAL, SLOT, NUMBER_SLOT = 0, 1, 2
STRING, SPLICE = 0, 1
TEXT_VALUE, NUMBER_VALUE, LIST_VALUE = 0, 1, 2
HEADER_TABLES = ("sections", "facts", "steps", "strings", "pieces", "lists", "items", "patches", "slots", "data")
BUILD_SIZE = 32


def to_bytes(text: str, path: str = "") -> bytes:
    """``text`` in UTF-8. For a word of the command line (a ``path`` that begins with ``$``) the result is its original
    bytes.

    :raises ConfigError: the text has a NUL or half a surrogate pair, which no system call accepts.
    """
    try:
        data = text.encode("utf-8", errors_of(path))
    except UnicodeEncodeError:
        raise ConfigError(path, quote(text), "a string of whole Unicode characters") from None
    if b"\0" in data:
        raise ConfigError(path, quote(text), "a string without NUL")
    return data


class _Encoder:
    def __init__(self) -> None:
        self.strings: list[tuple[int, int]] = []
        self.pieces: list[tuple[int, int, int]] = []
        self.lists: list[tuple[int, int]] = []
        self.items: list[tuple[int, int]] = []
        self.patches: list[tuple[int, int]] = []
        self.steps: list[int] = []
        self.literals = bytearray()
        self.slots: list[Slot] = []
        self._slot_index: dict[str, int] = {}
        self._string_index: dict[tuple[tuple[str, ...], ...], int] = {}
        self._list_index: dict[tuple[tuple[int, int], ...], int] = {}
        self._literal_at: dict[str, tuple[int, int]] = {}
        self._plain_index: dict[str, int] = {}

    def slot(self, value: "Slot") -> int:
        index = self._slot_index.get(value.path)
        if index is None:
            index = self._slot_index[value.path] = len(self.slots)
            self.slots.append(value)
            value.slot()
        return index

    def literal(self, text: str, path: str) -> tuple[int, int]:
        at = self._literal_at.get(text)
        if at is None:
            data = to_bytes(text, path)
            at = self._literal_at[text] = (len(self.literals), len(data))
            self.literals += data + b"\0"
        return at

    def string(self, value: "AnyText", path: str = "") -> int:
        """The index of a string: ``str``, Text or Template."""
        if isinstance(value, str):  # the most frequent case
            index = self._plain_index.get(value)
            if index is None:
                index = self._plain_index[value] = len(self.strings)
                self.strings.append((len(self.pieces), 1))
                self.pieces.append((LITERAL, *self.literal(value, path)))
            return index
        pieces = value.pieces if isinstance(value, Template) else (value,)
        key = tuple([("", piece) if isinstance(piece, str) else (piece.path,) for piece in pieces])
        index = self._string_index.get(key)
        if index is None:
            index = self._string_index[key] = len(self.strings)
            self.strings.append((len(self.pieces), len(pieces)))
            for piece in pieces:
                if isinstance(piece, str):
                    self.pieces.append((LITERAL, *self.literal(piece, path)))
                elif isinstance(piece, Text):
                    self.pieces.append((SLOT, self.slot(piece), 0))
                elif isinstance(piece, Number):
                    self.pieces.append((NUMBER_SLOT, self.slot(piece), 0))
                else:
                    raise TypeError(f"{path}: {piece!r} is no piece of a string")
        return index

    def blob(self, data: bytes) -> int:
        """The index of a string with ``data`` as its only piece, which may have NULs."""
        self.strings.append((len(self.pieces), 1))
        self.pieces.append((LITERAL, len(self.literals), len(data)))
        self.literals += data + b"\0"
        return len(self.strings) - 1

    def list(self, value: "AnyTexts", path: str) -> int:
        if isinstance(value, Texts):
            value = (value,)
        items = [
            (SPLICE, self.slot(item)) if isinstance(item, Texts) else (STRING, self.string(item, path))
            for item in value
        ]
        key = tuple(items)
        index = self._list_index.get(key)
        if index is None:
            index = self._list_index[key] = len(self.lists)
            self.lists.append((len(self.items), len(items)))
            self.items += items
        return index

    def field(self, kind: str, value: "Any", path: str, offset: int) -> int:
        """The number that a step's field has for ``value`` of this ``kind``."""
        if isinstance(value, int):  # the most frequent case
            return value & 0xFFFFFFFFFFFFFFFF
        if kind == "text":
            return self.string(value, path)
        if kind == "texts":
            return self.list(value, path)
        if kind == "bytes":
            return self.blob(value)
        if kind == "section":
            return SECTIONS.index(value)
        self.patches.append((offset, self.slot(value)))
        return 0

    def facts(self, facts: "Facts") -> "Sequence[int]":
        return [self.field("text", value, facts.at, 0) for value in facts.values]

    def step(self, step: "Step") -> None:
        size = 8 + 8 * len(step.fields)
        self.steps.append(CODES[type(step)] | size << 16 | self.string(step.at) << 32)
        for kind, value in zip(step.fields.values(), step.values):
            self.steps.append(self.field(kind, value, step.at, 8 * len(self.steps)))


CODES = {step: code for code, step in enumerate(STEPS)}


class Encoded:
    """A program.

    :ivar data: its bytes.
    :ivar template: the tables, and the data that belongs to no slot.
    :ivar slots: the bound values, in the order of their slots.
    """

    __slots__ = ("data", "template", "slots")

    def __init__(self, data: bytes, template: bytes, slots: "list[Slot]") -> None:
        self.data, self.template, self.slots = data, template, slots


def encode(plan: "Plan", build: str) -> bytes:
    """The bytes of the program of ``plan``: see :func:`encoded`."""
    return encoded(plan, build).data


def encoded(plan: "Plan", build: str) -> Encoded:
    """The program of ``plan``, an :class:`Encoded`, bound to the values of its own config.

    :param build: the build id of this installation, hex digits. An executable of another build does not run the
        program.
    :raises ConfigError: a string cannot be passed to the kernel.
    """
    encoder = _Encoder()
    sections = []
    for name in SECTIONS:
        steps = plan.sections[name]
        sections.append((8 * len(encoder.steps), len(steps)))
        for step in steps:
            assert step.may_stand_in(name), f"the step {type(step).__name__} must not stand in the section {name}"
            encoder.step(step)

    facts = encoder.facts(plan.facts)
    data = encoder.literals
    literals = len(data)
    slots: list[tuple[int, ...]] = []
    for value in encoder.slots:
        if isinstance(value, Number):
            number = value.bound() & 0xFFFFFFFFFFFFFFFF
            slots.append((NUMBER_VALUE, 0, 0, 0, number & 0xFFFFFFFF, number >> 32))
            continue
        if isinstance(value, Texts):
            items = value.bound()
            kind, count = LIST_VALUE, len(items)
            held = b"".join([to_bytes(item, f"{value.path}[{index}]") + b"\0" for index, item in enumerate(items)])
        else:
            kind, count, held = TEXT_VALUE, 0, to_bytes(value.bound(), value.path)
        slots.append((kind, count, len(data), len(held), 0, 0))
        data += held + b"\0"

    tables = (
        _records(sections),
        _array(8, facts),
        _array(8, encoder.steps),
        _records(encoder.strings),
        _records(encoder.pieces),
        _records(encoder.lists),
        _records(encoder.items),
        _records(encoder.patches),
        _records(slots),
        data,
    )
    header = bytearray(MAGIC + FORMAT.to_bytes(4, "little"))
    offset = len(MAGIC) + 8 + BUILD_SIZE + 8 * len(tables)
    places: list[tuple[int, int]] = []
    body = bytearray()
    for table in tables:
        body += bytes(-len(body) % 8)
        places.append((offset + len(body), len(table)))
        body += table
    header += (offset + len(body)).to_bytes(4, "little") + build.encode().ljust(BUILD_SIZE, b"\0") + _records(places)
    whole = bytes(header + body)
    return Encoded(whole, whole[: len(whole) - len(data) + literals], encoder.slots)


def _records(rows: "Iterable[tuple[int, ...]]") -> bytearray:
    return _array(4, [number for row in rows for number in row])


def _array(size: int, numbers: "Sequence[int]") -> bytearray:
    """The bytes of an array of ``numbers``, each of ``size`` bytes: 4 or 8. All processors that ocirt runs on are
    little-endian.
    """
    data = bytearray(size * len(numbers))
    view = memoryview(data).cast("I" if size == 4 else "Q")  # in some builds of Python, array is a shared library
    for index, number in enumerate(numbers):
        view[index] = number
    return data
