"""A record in Chrome's trace format, which Perfetto and browsers read."""

import json

from .spans import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def to_chrome(commands: list[Command]) -> str:
    """A JSON object with events: a process for each command, a thread in it for each process that wrote its record.

    Times count from the first event, because a reader's floating-point number cannot hold nanoseconds since 1970;
    ``otherData`` has the time of that event.
    """
    first = min([command.start for command in commands])
    events = []
    for command in commands:
        began = command.start - first
        events.append(_event(command, "M", 0, "process_name", began, {"name": command.title}))
        for thread, name in sorted(command.threads.items()):
            events.append(_event(command, "M", thread, "thread_name", began, {"name": name}))
        for level, words in command.notes:
            events.append(_event(command, "i", 0, level, began, {"name": words}, s="p"))
        for span in command.spans:
            args = {"errno": span.error, "path": span.path, "name": span.text, "output": span.output}
            shown = {key: value for key, value in args.items() if value}
            lasts = {"dur": span.duration / 1000} if span.ended else {}
            phase, at = "X" if lasts else "B", span.start - first
            events.append(_event(command, phase, span.thread, span.name, at, shown, cat=span.kind, **lasts))
    about = json.dumps({"nanosecondsSince1970": str(first)})
    return '{"traceEvents":[\n' + ",\n".join(events) + f'\n],"displayTimeUnit":"ms","otherData":{about}}}\n'


def _event(
    command: Command, phase: str, thread: int, name: str, at: int, args: "dict[str, Any]", **more: "str | float"
) -> str:
    return json.dumps(
        {"ts": at / 1000, "name": name, "ph": phase, "pid": command.pid, "tid": thread, "args": args, **more}
    )
