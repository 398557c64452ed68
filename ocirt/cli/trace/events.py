"""A record as events, as :mod:`ocirt.cli.record` describes its form."""

import struct

from ..record import ALIGNED, EVENT, EVENT_HEAD, HEAD, MAGIC, PART

PAGE = 4096
"""Every part begins at a multiple of these bytes."""
TEXTS = 4
_PART, _EVENT = struct.Struct(PART), struct.Struct(EVENT)


class Event:
    """What one process did, or noted.

    :ivar pid: of the runtime's process.
    :ivar phase: ``B`` has not ended, ``X`` has ended, ``i`` is a note.
    :ivar thread: the process, as a number.
    :ivar begin: nanoseconds since 1970; ``lasts``: nanoseconds.
    :ivar error: the errno with which it ended, or 0.
    :ivar kind: step, wait, ..., or note; ``name``, ``path`` and ``text`` are those of :class:`~.spans.Span`.
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
    """

    __slots__ = ("pid", "events", "lacks")

    def __init__(self, pid: int, events: list[Event], lacks: list[tuple[str, str]]) -> None:
        self.pid, self.events, self.lacks = pid, events, lacks


def read_parts(data: bytes) -> list[Part]:
    """The parts of a record, in the order of the file.

    :raises ValueError: the bytes are no record.
    """
    if not data.startswith(MAGIC):
        raise ValueError("found another beginning")
    found, at = [], 0
    while at + HEAD <= len(data):
        size = PAGE
        if data.startswith(MAGIC, at):  # otherwise a process was killed before it could begin its part
            used, size, pid = _PART.unpack_from(data, at + len(MAGIC))
            found.append(_part(pid, data[at + HEAD : at + min(used, size)], used > size))
        at += max(-(-size // PAGE), 1) * PAGE
    return found


def _part(pid: int, data: bytes, is_full: bool) -> Part:
    events, lacks, at = [], [], 0
    if is_full:
        lacks.append(("full", "the record has no room for what the command did from here on"))
    while at + EVENT_HEAD <= len(data):
        size, phase, thread, error, begin, lasts = _EVENT.unpack_from(data, at)
        if not size:
            at += ALIGNED
            continue
        texts = data[at + EVENT_HEAD : at + size].split(b"\0")
        if phase not in b"\0BXi" or len(texts) <= TEXTS or size % ALIGNED:
            if at + size <= len(data) or not is_full:
                lacks.append(("damaged", "the record cannot be read from here on"))
            break
        if phase:
            words = [text.decode("utf-8", "replace") for text in texts[:TEXTS]]
            events.append(Event(pid, chr(phase), thread, begin, lasts, error, *words))
        at += size
    return Part(pid, events, lacks)
