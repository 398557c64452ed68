"""A record as a complete JSON document in Chrome's trace format, which Perfetto and browsers read."""

import json

from .spans import read_events


def to_chrome(text: str) -> str:
    """The record ``text`` without its blanks and damaged lines, and with the bracket at its end.

    :raises ValueError: the text is no record.
    """
    events, _ = read_events(text)
    lines = []
    for event in events:
        plain = {name: value for name, value in event.items() if name not in ("at", "lasts", "dur")}
        if event["ph"] == "X":
            plain["dur"] = event["dur"]
        if event["ph"] == "i":
            plain["s"] = "t"
        lines.append(json.dumps(plain))
    return "[\n" + ",\n".join(lines) + "\n]\n"
