"""A record as events, as :mod:`ocirt.cli.record` describes its form."""

import struct

from ..record import ALIGNED, EVENT, EVENT_HEAD, HEAD, MAGIC, PART, SHOWN

PAGE = 4096
"""Every part begins at a multiple of these bytes."""
TEXTS = 4
LARGEST = EVENT_HEAD + TEXTS * (SHOWN + 1) + ALIGNED
"""The bytes of an event, at most: a process that was killed while it began one leaves a hole of this size."""
KINDS = ("command", "step", "wait", "hook", "helper", "program", "launch", "note")
NOTE, MOST_ERRORS = ord("i"), 4095
"""The phase of a note, and the highest errno of the kernel."""
STEPS = {"step", "hook", "helper"}
"""Those of them that are steps."""
YEAR = 366 * 86_400 * 10**9
"""Nanoseconds: the longest command of which a record is believed."""
CUT = ("cut", "the end of the record is missing: somebody has cut the file")
_PART, _EVENT = struct.Struct(PART), struct.Struct(EVENT)


class Event:
    """What one process did, or noted.

    :ivar pid: of the runtime's process.
    :ivar phase: ``B`` has not ended, ``X`` has ended, ``i`` is a note.
    :ivar thread: the process, as a number.
    :ivar begin: nanoseconds since 1970; ``lasts``: nanoseconds.
    :ivar error: the errno with which it ended, or 0.
    :ivar kind: command, step, wait, ..., or note (KINDS); ``name``, ``path`` and ``text`` are those of :class:`~.spans.Span`.
    """

    __slots__ = ("pid", "phase", "thread", "begin", "lasts", "error", "kind", "name", "path", "text")

    def __init__(
        self,
        pid: int,
        phase: str,
        thread: int,
        begin: int,
        lasts: int,
        error: int,
        kind: str,
        name: str,
        path: str,
        text: str,
    ) -> None:
        self.pid, self.phase, self.thread, self.begin, self.lasts, self.error = pid, phase, thread, begin, lasts, error
        self.kind, self.name, self.path, self.text = kind, name, path, text


class Part:
    """What one process has appended to the record.

    :ivar lacks: pairs of a word and a sentence: what is not in it.
    :ivar has_hole: lacks it an event that a process has begun? Nobody but a process that was killed leaves one.
    """

    __slots__ = ("pid", "events", "lacks", "has_hole")

    def __init__(self, pid: int, events: list[Event], lacks: list[tuple[str, str]], has_hole: bool) -> None:
        self.pid, self.events, self.lacks, self.has_hole = pid, events, lacks, has_hole

    def cut(self) -> None:
        """Note that its end is missing, which explains all else that is missing."""
        self.lacks = [each for each in self.lacks if each[0] == "full"] + [CUT]
        self.has_hole = False


def read_parts(data: bytes) -> list[Part]:
    """The parts of a record, in the order of the file.

    :raises ValueError: the bytes are no record.
    """
    if not data.startswith(MAGIC):
        raise ValueError("found another beginning")
    found: list[Part] = []
    at = 0
    while at + HEAD <= len(data):
        size = PAGE
        if data.startswith(MAGIC, at):  # otherwise a process was killed before it could begin its part
            used, size, pid = _PART.unpack_from(data, at + len(MAGIC))
            whole, size = size, _size_there(data, at, size)
            found.append(_part(pid, data[at + HEAD : at + min(used, size)], used, whole))
            if size < whole:
                found[-1].cut()
        elif found and any(data[at : at + PAGE]):
            found[-1].lacks.append(("damaged", "the record of a command behind this one cannot be read"))
        at += max(-(-size // PAGE), 1) * PAGE
    if found and at < len(data):
        found[-1].cut()
    return found


def _size_there(data: bytes, at: int, size: int) -> int:
    """How much of the part at ``at`` the file has: less than ``size`` if somebody has cut the file, and a later command
    has perhaps appended its own part.
    """
    end = min(at + size, len(data))
    return next((page for page in range(at + PAGE, end, PAGE) if data.startswith(MAGIC, page)), end) - at


def _part(pid: int, data: bytes, used: int, size_of_part: int) -> Part:
    is_full = used > size_of_part
    events, lacks, holes, at, hole, strange = [], [], [], 0, 0, False
    if is_full:
        lacks.append(("full", "the record has no room for what the command did from here on"))
    while at + EVENT_HEAD <= len(data):
        size, phase, thread, error, begin, lasts = _EVENT.unpack_from(data, at)
        if not size:
            at, hole = at + ALIGNED, hole + ALIGNED
            continue
        holes.append(hole)
        hole = 0
        texts = data[at + EVENT_HEAD : at + size].split(b"\0")
        words = [text.decode("utf-8", "replace") for text in texts[:TEXTS]]
        is_wrong = phase not in b"\0BXi" or len(texts) <= TEXTS or size % ALIGNED
        if is_wrong or (phase and not (begin and _fit(size, texts) and words[0] in KINDS and words[1])):
            if at + size <= len(data) or not is_full:
                lacks.append(("damaged", "the record cannot be read from here on"))
            break
        if phase:
            events.append(Event(pid, chr(phase), thread, begin, lasts, error, *words))
            if error > MOST_ERRORS or (phase == NOTE and (lasts or error)):
                strange = True
        else:
            holes.append(size)
        at += size
    if used < size_of_part:  # Python has its part for itself, and takes the room of all of it at once
        holes.append(hole)
    if max(holes, default=0) > LARGEST:
        lacks.append(("damaged", "events in its midst are missing"))
    if strange or not _are_in_order(events):
        lacks.append(("damaged", "the times or the errors of its events cannot be right"))
    return Part(pid, events, lacks, any(holes))


def _fit(size: int, texts: list[bytes]) -> bool:
    """Do the texts of an event fill it, except for zeros at its end?"""
    used = EVENT_HEAD + sum([len(text) + 1 for text in texts[:TEXTS]])
    return size == -(-used // ALIGNED) * ALIGNED and not any(texts[TEXTS:])


def _are_in_order(events: list[Event]) -> bool:
    """Can the times of these events be right? A process does one thing after the other, its events lie in the order of their
    beginnings, and no step is a part of another one.
    """
    spans = [each for each in events if each.phase != chr(NOTE)]
    first = spans[0].begin if spans else 0
    inside: dict[int, list[Event]] = {}
    begun: dict[int, int] = {}
    for span in spans:
        outer = inside.setdefault(span.thread, [])
        while outer and outer[-1].begin + outer[-1].lasts <= span.begin:
            outer.pop()
        end = span.begin + span.lasts
        if span.begin < begun.get(span.thread, first) or end > first + YEAR:
            return False
        if outer and (end > outer[-1].begin + outer[-1].lasts or {span.kind, outer[-1].kind} <= STEPS):
            return False
        begun[span.thread] = span.begin
        if span.phase == "X":
            outer.append(span)
    return True
