"""Commands as OTLP/JSON, the form in which OpenTelemetry collectors take traces (opentelemetry-proto, trace/v1)."""

import hashlib
import json
import os
import re

from ... import __version__
from .spans import Command, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INTERNAL, ERROR = 1, 2
"""SPAN_KIND_INTERNAL and STATUS_CODE_ERROR."""
_PARENT = re.compile(r"(?!ff|00.{53}.)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
"""TRACEPARENT by W3C Trace Context, which forbids the version ff, ids of zeros, and in version 00 anything behind the flags."""


def to_otlp(commands: list[Command]) -> str:
    """One span for each command, and beneath it those of its steps. The command joins the trace that TRACEPARENT of its
    environment named, and begins a trace of its own without one.
    """
    spans = [span for command in commands for span in _of_command(command)]
    resource = {"attributes": [_attribute("service.name", "ocirt"), _attribute("service.version", __version__)]}
    scope = {"scope": {"name": "ocirt", "version": __version__}, "spans": spans}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}, indent=1) + "\n"


def _of_command(command: Command) -> "list[dict[str, Any]]":
    known = _PARENT.fullmatch(command.parent)
    seed = f"{command.pid} {command.start}"
    trace, parent = known.groups() if known else (_hash(seed, 32), "")
    root = _hash(f"{seed} command", 16)
    ids = {id(span): _hash(f"{seed} {number}", 16) for number, span in enumerate(command.spans)}
    found = [_span(trace, root, parent, command.title, command.start, command.end, {"process.pid": command.pid})]
    if command.has_failed or command.is_cut_off and not command.lives:
        errors = command.errors or [os.strerror(command.error) if command.error else command.lasted]
        found[0]["status"] = {"code": ERROR, "message": "; ".join(errors)}
    for span in command.spans:
        around = [each for each in command.spans if each.holds(span)]
        above = ids[id(min(around, key=lambda each: each.duration))] if around else root
        found.append(_of_span(command, span, trace, ids[id(span)], above))
    return found


def _of_span(command: Command, span: Span, trace: str, own: str, above: str) -> "dict[str, Any]":
    values: dict[str, str | int | bool] = {
        "thread.name": command.threads[span.thread],
        "ocirt.kind": span.kind,
        "ocirt.path": span.path,
        "ocirt.text": span.text,
        "ocirt.output": span.output,
        "ocirt.unfinished": not span.ended,
    }
    found = _span(trace, own, above, span.name, span.start, span.end, values)
    if span.error:
        found["status"] = {"code": ERROR, "message": command.reason(span).removeprefix(": ")}
    return found


def _span(
    trace: str, own: str, parent: str, name: str, start: int, end: int, values: "dict[str, str | int | bool]"
) -> "dict[str, Any]":
    return {
        "traceId": trace,
        "spanId": own,
        **({"parentSpanId": parent} if parent else {}),
        "name": name,
        "kind": INTERNAL,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(end),
        "attributes": [_attribute(key, value) for key, value in values.items() if value not in ("", False)],
    }


def _attribute(key: str, value: str | int | bool) -> "dict[str, Any]":
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    return {"key": key, "value": {"stringValue": value}}


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
