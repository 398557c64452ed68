"""Commands as text for people: the critical path with the longest steps, or all spans."""

from collections.abc import Sequence

from .critical import Part, critical_path
from .spans import BROKEN, WAITS, Command

URGENT = ("error", "full", *BROKEN)
"""The notes that stand beneath the head."""
LONGEST = 5
"""How many of the longest steps are shown."""
SHOWN = 100
"""A part of the path that is shorter than a hundredth of the whole is counted, but has no line."""
SHORTEST = 20_000
"""The same of one that is shorter than these nanoseconds."""


def summary(commands: list[Command]) -> str:
    """For each command its critical path, its longest steps, and what else one should know."""
    return "\n".join([_of_command(command) for command in commands])


def table(commands: list[Command]) -> str:
    """For each command a line for each span, in the order of their beginnings."""
    blocks = []
    for command in commands:
        rows: list[tuple[str, ...]] = [("start ms", "ms", "process", "kind", "what")]
        for span in sorted(command.spans, key=lambda each: (each.start, -each.end)):
            depth = len([each for each in command.spans if each.holds(span)])
            what = "  " * depth + span.title + command.reason(span)
            where = command.threads[span.thread]
            rows.append((_ms(span.start - command.start), _ms(span.duration), where, span.kind, what))
        blocks.append(_head(command) + _aligned(rows))
    return "\n".join(blocks)


def _of_command(command: Command) -> str:
    path = critical_path(command)
    text = _head(command) + _urgent(command) + _unfinished(command) + _throttled(command)
    if path:
        text += "\ncritical path:\n" + _aligned(_path_rows(command, path))
    longest = sorted([span for span in command.spans if span.kind != WAITS], key=command.own, reverse=True)
    rows = [
        (_ms(command.own(span)), command.threads[span.thread], span.title + command.reason(span)) for span in longest
    ]
    if rows:
        text += "\nlongest steps:\n" + _aligned(rows[:LONGEST])
    notes = [f"{span.title} has printed: {span.output.strip()}" for span in command.spans if span.output.strip()]
    notes += [f"{level}: {words}" for level, words in command.notes if level not in URGENT]
    return text + "".join([f"{note}\n" for note in (["", *notes] if notes else [])])


def _path_rows(command: Command, path: list[Part]) -> list[tuple[str, ...]]:
    """A line for each part that is long enough, and one for all others of the same process between two of these."""
    whole = command.end - command.start
    rows: list[tuple[str, ...]] = []
    small: list[Part] = []

    def gather() -> None:
        if small:
            words = f"{len(small)} short steps" if len(small) > 1 else _what(command, small[0])
            rows.append((_ms(sum([part.duration for part in small])), command.threads[small[0].thread], words))
            small.clear()

    for part in path:
        is_long = part.duration >= max(whole / SHOWN, SHORTEST) or bool(part.span and not part.span.ended)
        if small and (is_long or small[0].thread != part.thread):
            gather()
        if not is_long:
            small.append(part)
            continue
        rows.append((_ms(part.duration), command.threads[part.thread], _what(command, part)))
    gather()
    return rows


def _what(command: Command, part: Part) -> str:
    if part.span:
        return part.span.title + command.reason(part.span)
    return "steps for which the record had no room" if part.is_lost else "between steps"


def _urgent(command: Command) -> str:
    """Why the command has failed, and what the record lacks: whoever reads the rest has to know."""
    return "".join([f"  {level}: {words}\n" for level, words in command.notes if level in URGENT])


def _head(command: Command) -> str:
    return f"{command.title} (pid {command.pid}): {command.lasted}\n"


def _unfinished(command: Command) -> str:
    """A line for each thing that has not ended. Two spans of the same words are one inside the other."""
    spans = sorted(command.unfinished, key=lambda span: span.kind == WAITS)
    rows = [(command.threads[span.thread], f"{span.title}{span.result}") for span in spans]
    return _aligned(list(dict.fromkeys(rows)))


def _throttled(command: Command) -> str:
    """What no step shows: a process that is held back is slow in whatever it does."""
    times, held_back = command.held_back
    if not times:
        return ""
    return f"  linux.resources.cpu.quota has held the container back {times} times, for {_ms(held_back)} ms in all\n"


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.3f}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns, the numbers at the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        cells = [
            word.rjust(width) if word.replace(".", "").isdigit() or word.endswith("ms") else word.ljust(width)
            for word, width in zip(row, widths)
        ]
        lines.append("  " + "  ".join(cells).rstrip() + "\n")
    return "".join(lines)
