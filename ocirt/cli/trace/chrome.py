"""A record in Chrome's trace format, which Perfetto and browsers read."""

import json

from .spans import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def to_chrome(commands: list[Command]) -> str:
    """A JSON array of events: a process for each command, a thread in it for each process that wrote its record."""
    events = []
    for command in commands:
        events.append(_event(command, "M", 0, "process_name", command.began, {"name": command.title}))
        for thread, name in sorted(command.threads.items()):
            events.append(_event(command, "M", thread, "thread_name", command.began, {"name": name}))
        for level, words in command.notes:
            events.append(_event(command, "i", 0, level, command.began, {"name": words}, s="p"))
        for span in command.spans:
            args = {"errno": span.error, "path": span.path, "name": span.text, "output": span.output}
            shown = {key: value for key, value in args.items() if value}
            lasts = {"dur": span.duration / 1000} if span.ended else {}
            events.append(
                _event(
                    command, "X" if lasts else "B", span.thread, span.name, span.start, shown, cat=span.kind, **lasts
                )
            )
    return "[\n" + ",\n".join(events) + "\n]\n"


def _event(
    command: Command, phase: str, thread: int, name: str, at: int, args: "dict[str, Any]", **more: "str | float"
) -> str:
    whole = {"name": name, "ph": phase, "pid": command.pid, "tid": thread, "args": args, **more}
    # As a floating-point number the time would lose its last digits.
    return f'{{"ts":{at // 1000}.{at % 1000:03},{json.dumps(whole)[1:]}'
