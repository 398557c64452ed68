"""The critical path of a command: what would have to be faster for the command to be faster."""

from .spans import INIT, NETWORK, PYTHON, RUNTIME, STAGE, WAITS, Command, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_EVENT = "the event "


class Part:
    """A part of the path: the span, and the time of it that is on the path. ``span`` is ``None`` for time between
    steps, of which the record says nothing. ``is_lost`` if there were steps, for which the record had no room.
    """

    __slots__ = ("span", "thread", "start", "end", "is_lost")

    def __init__(self, span: Span | None, thread: int, start: int, end: int, is_lost: bool = False) -> None:
        self.span, self.thread, self.start, self.end, self.is_lost = span, thread, start, end, is_lost

    @property
    def duration(self) -> int:
        return self.end - self.start


def critical_path(command: Command) -> list[Part]:
    """The path from the command's beginning to its end, without gaps: each part begins where the one before ends.

    It is followed from the end backwards. A process that waited had to: the path goes on where the wait was ended, in
    the process that ended it. Where a process begins, the path goes on in the one that made it.
    """
    top = command.top
    if not top:
        return []
    now, first = command.end, command.start
    thread = max(top, key=lambda span: (span.end, span.thread == RUNTIME)).thread
    if not command.is_cut_off and any(span.thread == RUNTIME for span in top):
        thread = RUNTIME  # which has ended the command, and what its children were still at
    lost_from = max(span.start for span in top) if command.is_full else now
    path: list[Part] = []
    seen: set[tuple[int, int]] = set()
    while now > first:
        before = [span for span in top if span.thread == thread and span.start < now]
        is_new = (thread, now) not in seen
        seen.add((thread, now))
        if not before:
            maker = _maker(top, thread, now)
            if maker is None:
                path.append(Part(None, thread, first, now))
                break
            if maker.end < now:
                path.append(Part(None, thread, maker.end, now))
            now, thread = min(now, maker.end), maker.thread
            continue
        span = before[-1]
        if span.end < now:
            path.append(Part(None, thread, span.end, now, now > lost_from))
            now = span.end
        other = _released_by(top, span) if span.kind == WAITS and is_new else None
        if other is None and span.kind == WAITS and is_new and now > lost_from:
            other = _recorded_last(top, span.thread, now)
            if other and span.start < other.end:
                path.append(Part(None, other.thread, other.end, now, True))
                now = other.end
        is_last = other is not None and not other.ended and other.start == now
        if other and other.thread != thread and span.start < other.end and (other.start < now or is_last):
            if other.end < now:
                path.append(Part(span, thread, other.end, now))
            now, thread = min(now, other.end), other.thread
            if is_last:  # the last that the record tells of a command that somebody has killed
                path.append(Part(other, thread, now, now))
        else:
            path.append(Part(span, thread, span.start, now))
            now = span.start
    return path[::-1]


def _last(spans: list[Span], fits: "Callable[[Span], bool]") -> Span | None:
    return next(filter(fits, reversed(spans)), None)


def _recorded_last(top: list[Span], thread: int, now: int) -> Span | None:
    """What another process than ``thread`` last did before ``now`` that the record still had room for."""
    return _last(top, lambda span: span.thread != thread and span.kind != WAITS and span.end < now)


def _maker(top: list[Span], thread: int, now: int) -> Span | None:
    """The step that made the process ``thread``, which began at ``now``; for ``start`` the wait for init, which exists
    already.
    """
    names = {NETWORK: ("BeginNetwork", "TakeNetwork"), STAGE: ("Spawn",), INIT: ("Spawn", "init")}.get(thread)
    if thread == PYTHON:  # the launcher's last phase before it waits
        return _last(top, lambda span: span.thread == RUNTIME and span.end <= now)
    if not names:
        return None
    return _last(top, lambda span: span.name in names and span.thread != thread and span.start <= now)


def _released_by(top: list[Span], wait: Span) -> Span | None:
    """The span whose end ended ``wait``, or will end it."""
    others = [span for span in top if span.thread != wait.thread and span.start <= wait.end]
    if not wait.ended:
        return _last(others, lambda span: not span.ended and span.kind != WAITS)
    if wait.name == "Receive":
        event = wait.text.partition(_EVENT)[2]
        names = ("Send", "LoadNotifyingSeccomp") if event == "ready" else ("Send",)
        sent = [span for span in others if span.name in names and (span.text.endswith(_EVENT + event) or not event)]
        if event == "spawned":
            sent = [span for span in others if span.name == "Spawn"]
        return max(sent, key=lambda span: span.start, default=None)
    thread = {"TakeNetwork": NETWORK, "python": PYTHON, "init": INIT, "Release": INIT}.get(wait.name)
    if wait.name == "python":  # the program is there once it is encoded; after that Python only keeps it
        return _last(others, lambda span: span.thread == PYTHON and span.name != "keep" and span.name != "ahead")
    return _last(others, lambda span: span.thread == thread)
