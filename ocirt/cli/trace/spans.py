"""A record as Python objects: commands, and their spans (docs/tracing.md)."""

import os
import re
import time

from ...plan.steps import SECTIONS
from ...process_stat import ProcessStat
from ..record import THREAD
from .events import Event, read_parts

RUNTIME, STAGE, INIT, NETWORK, PYTHON = 0, 1, 2, 20, THREAD
"""Numbers of threads: those of the processes are the numbers of the sections that they run first (SECTIONS)."""
OF_RUNTIME = (RUNTIME, NETWORK)
"""The threads of the runtime's own process."""
THREADS = dict(enumerate(SECTIONS)) | {RUNTIME: "runtime", NETWORK: "network", PYTHON: "python"}
ENDED, NOTE = "X", "i"
"""Phases of events. The third one is that of a span that has not ended."""
TITLE = "title"
"""The event with which the record of a command begins, and which ends with the command."""
BROKEN = ("cut", "damaged")
"""Notes that say that the file itself is not what the processes wrote."""
WAITS, PROGRAMS = "wait", "program"
"""Kinds of spans. The others are step, hook, helper and launch."""
HANDED_OVER = ("Exec", "ExecCriu")
"""Steps that end by executing a program: nobody is left who could write their end."""
FOR_INIT = ("Receive", "init")
"""Waits of the runtime that end, at the latest, when init has executed the program."""
UNFINISHED = "has not ended"
SAME = 5 * 10**9
"""A process of the record's pid that began this many nanoseconds before or after the record is the runtime."""
_UNPRINTABLE = re.compile("[^\t\n -~\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What a terminal would obey, and what XML and UTF-8 cannot hold: a record has names and output of others' programs."""


class Span:
    """What a process did for some time.

    :ivar thread: the process, as a number: RUNTIME and so on.
    :ivar kind: step, wait, hook, helper, program or launch.
    :ivar name: the name of the step, or of the launcher's phase, or the path of a program.
    :ivar path: the JSON path, flag or rule that asked for the step; empty without one.
    :ivar text: what the step was to do, as an error would say it.
    :ivar start: nanoseconds since 1970.
    :ivar end: the same; for a span that has not ended, the last moment of which the record tells.
    :ivar ended: has it ended?
    :ivar error: the errno with which it failed, or 0.
    :ivar output: the end of what the program has printed.
    """

    __slots__ = ("thread", "kind", "name", "path", "text", "start", "end", "ended", "error", "output")

    def __init__(
        self,
        thread: int,
        kind: str,
        name: str,
        start: int,
        end: int,
        path: str = "",
        text: str = "",
        ended: bool = True,
        error: int = 0,
        output: str = "",
    ) -> None:
        self.thread, self.kind, self.name, self.path, self.text = thread, kind, name, path, text
        self.start, self.end, self.ended, self.error, self.output = start, end, ended, error, output

    @property
    def duration(self) -> int:
        return self.end - self.start

    @property
    def result(self) -> str:
        """How it ended, behind what it was: the error, if it failed, or that it has not ended."""
        return "" if self.ended and not self.error else f": {os.strerror(self.error) if self.error else UNFINISHED}"

    @property
    def title(self) -> str:
        """What a person reads: the name, what it was to do, and where that is asked for."""
        words = f"{self.name}: {self.text}" if self.text else self.name
        if self.kind == WAITS and not self.text:
            words = f"wait {self.name}" if self.name.startswith("until ") else f"wait for {self.name}"
        return f"{words} ({self.path})" if self.path else words

    def holds(self, other: "Span") -> bool:
        """Is ``other`` a part of this span?"""
        return (
            self is not other
            and self.thread == other.thread
            and self.start <= other.start < self.end
            and other.end <= self.end
            and self.duration > other.duration
        )


class Command:
    """One run of the executable.

    :ivar title: its command line, as far as the record tells.
    :ivar pid: of the runtime's process.
    :ivar began: when its record begins, in nanoseconds since 1970.
    :ivar is_cut_off: has nobody recorded its end? The runtime is at work, or somebody has killed it.
    :ivar lives: is it cut off because it is still at work?
    :ivar over: when it ended, in nanoseconds since 1970; when it began, if it is cut off.
    :ivar error: the errno with which it ended, or 0.
    :ivar parent: TRACEPARENT of its environment, empty without one.
    :ivar notes: pairs of a level and a text: warnings, errors, and what the record itself lacks.
    :ivar held_back: how often a CPU quota has held the container's processes back since it was created, and for how
        many nanoseconds.
    """

    def __init__(self, pid: int, began: int) -> None:
        self.pid, self.title, self.parent = pid, f"process {pid}", ""
        self.began = self.over = began
        self.is_cut_off, self.lives, self.error = False, False, 0
        self.threads: dict[int, str] = {}
        self.spans: list[Span] = []
        self.notes: list[tuple[str, str]] = []
        self.held_back = (0, 0)

    @property
    def start(self) -> int:
        return min([self.began, *[span.start for span in self.spans]])

    @property
    def end(self) -> int:
        return max([self.over, *[span.end for span in self.spans]])

    @property
    def unfinished(self) -> list[Span]:
        """The spans that have not ended: their process hangs there, or somebody has killed it there."""
        return [span for span in self.spans if not span.ended]

    @property
    def errors(self) -> list[str]:
        """What the verb has said of its failure."""
        return [words for level, words in self.notes if level == "error"]

    @property
    def has_failed(self) -> bool:
        return bool(self.error or self.errors)

    def reason(self, span: Span) -> str:
        """How the span ended, behind what it was. Of a hook or a helper the error of the verb says more than an errno."""
        if span.error:
            begin = f"{span.path}: {span.text}: "
            for words in [words for level, words in self.notes if level in ("error", "warning")]:
                if span.path and span.text and begin in words:
                    return f": {words.partition(begin)[2]}"
        return span.result

    @property
    def is_full(self) -> bool:
        """Had the record no room for all?"""
        return any(level == "full" for level, _ in self.notes)

    @property
    def lasted(self) -> str:
        """How long the command took, or what it does at this moment, or what it did when somebody killed it."""
        time = f"{(self.end - self.start) / 1e6:.3f} ms"
        if not self.is_cut_off:
            return f"failed after {time}" if self.has_failed else time
        return f"{UNFINISHED} after {time}" if self.lives else f"was ended from outside, after {time} or later"

    @property
    def top(self) -> list[Span]:
        """The spans that are not part of others, in the order of their beginnings."""
        found: list[Span] = []
        last: dict[int, Span] = {}
        for span in sorted(self.spans, key=lambda each: (each.start, -each.end)):
            if span.thread not in last or not last[span.thread].holds(span):
                found.append(span)
                last[span.thread] = span
        return found

    def own(self, span: Span) -> int:
        """How long the span takes without its parts."""
        parts = [each for each in self.spans if span.holds(each)]
        return span.duration - sum([each.duration for each in parts if not any([o.holds(each) for o in parts])])


def read(data: bytes) -> list[Command]:
    """The commands of a record, in the order of their beginnings.

    :raises ValueError: the bytes are no record.
    """
    commands: list[Command] = []
    latest: dict[int, Command] = {}
    for part in read_parts(data):
        for event in part.events:
            if event.name == TITLE or event.pid not in latest:
                latest[event.pid] = Command(event.pid, event.begin)
                commands.append(latest[event.pid])
                if event.name != TITLE:
                    latest[event.pid].notes.append(("damaged", "the beginning of the command is missing"))
            _add(latest[event.pid], event)
        command = latest.get(part.pid)
        if command is None:
            continue
        command.notes += part.lacks
        if part.has_hole and not command.is_cut_off and not command.has_failed:
            command.notes.append(("damaged", "an event of a command that has ended well is missing"))
    for command in commands:
        _end_unfinished(command)
    return sorted(commands, key=lambda each: each.start)


def _add(command: Command, event: Event) -> None:
    name, path, text = [_UNPRINTABLE.sub("\ufffd", each) for each in (event.name, event.path, event.text)]
    thread = event.thread
    command.threads.setdefault(thread, THREADS.get(thread) or f"process {thread}")
    end, ended = event.begin + event.lasts, event.phase == ENDED
    if name == TITLE:
        command.title, command.over, command.error = text.strip(), end, event.error
        command.is_cut_off = not ended
    elif event.phase != NOTE:
        command.spans.append(Span(thread, event.kind, name, event.begin, end, path, text, ended, event.error))
    elif name == "parent":
        command.parent = text
    elif name == "output":
        ran = [span for span in command.spans if (span.thread, span.name) == (thread, path)]
        for span in ran[-1:]:
            span.output = text
    elif name == "throttled":
        command.held_back = _held_back(text)
    else:
        command.notes.append((name, text))


def _held_back(text: str) -> tuple[int, int]:
    """What cpu.stat says: cgroup v1 counts nanoseconds, v2 microseconds."""
    found = dict(re.findall(r"^(\w+) (\d{1,20})$", text, re.MULTILINE))
    time_held = int(found.get("throttled_time", 0)) or 1000 * int(found.get("throttled_usec", 0))
    return int(found.get("nr_throttled", 0)), time_held


def _end_unfinished(command: Command) -> None:
    """Give the spans that have not ended an end: now, if the command is still at work, otherwise the last moment of which
    the record tells. With the command end those of the runtime and of its thread, which exit in the midst of a step if
    that fails, and the waits of the processes that the runtime ends.
    """
    waits = [span for span in command.unfinished if command.is_cut_off and span.kind == WAITS and span.name in FOR_INIT]
    command.lives = command.is_cut_off and _lives(command)
    end = max([time.time_ns() if command.lives else 0, command.end])
    for span in command.unfinished:
        if span.name in HANDED_OVER and not span.error and not waits:
            span.ended = True
        else:
            span.end = end
            span.ended = not command.is_cut_off and (span.kind == WAITS or span.thread in OF_RUNTIME)


def _lives(command: Command) -> bool:
    """Is there still the process that has written the record, and not another one with its pid?"""
    try:
        found = ProcessStat(command.pid)
    except OSError:
        return False
    boot = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    began = boot + found.start_time * 10**9 // os.sysconf("SC_CLK_TCK")
    return found.state not in "ZX" and abs(began - command.start) < SAME
