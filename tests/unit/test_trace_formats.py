"""``ocirt trace``: its formats against their schemas."""

import json
import xml.etree.ElementTree as ElementTree

import jsonschema
import pytest

from ocirt.cli.trace.chrome import to_chrome
from ocirt.cli.trace.otlp import to_otlp
from ocirt.cli.trace.spans import RUNTIME, read
from ocirt.cli.trace.svg import to_svg
from tests.unit.tracing import BEGIN, HANGS, HOOK, PARENT, WHOLE, failed, line, part, whole

CHROME = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["name", "ph", "pid", "tid", "ts"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "cat": {"type": "string"},
            "ph": {"enum": ["B", "X", "M", "i"]},
            "ts": {"type": "number", "minimum": 0},
            "dur": {"type": "number", "minimum": 0},
            "pid": {"type": "integer"},
            "tid": {"type": "integer"},
            "s": {"enum": ["g", "p", "t"]},
            "args": {"type": "object"},
        },
        "allOf": [
            {"if": {"properties": {"ph": {"const": "X"}}}, "then": {"required": ["dur"]}},
            {
                "if": {"properties": {"ph": {"const": "M"}}},
                "then": {
                    "properties": {
                        "name": {"enum": ["process_name", "thread_name"]},
                        "args": {"required": ["name"], "properties": {"name": {"type": "string"}}},
                    }
                },
            },
        ],
    },
}
"""The JSON array of Google's "Trace Event Format", as far as a record uses it."""
VALUE = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
    "properties": {
        "stringValue": {"type": "string"},
        "intValue": {"type": "string", "pattern": "^-?[0-9]+$"},
        "boolValue": {"type": "boolean"},
    },
}
ATTRIBUTES = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["key", "value"],
        "additionalProperties": False,
        "properties": {"key": {"type": "string", "minLength": 1}, "value": VALUE},
    },
}
SCOPE = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {"name": {"type": "string"}, "version": {"type": "string"}},
}
OTLP_SPAN = {
    "type": "object",
    "required": ["traceId", "spanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano"],
    "additionalProperties": False,
    "properties": {
        "traceId": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "spanId": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
        "parentSpanId": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
        "name": {"type": "string", "minLength": 1},
        "kind": {"enum": [0, 1, 2, 3, 4, 5]},
        "startTimeUnixNano": {"type": "string", "pattern": "^[0-9]+$"},
        "endTimeUnixNano": {"type": "string", "pattern": "^[0-9]+$"},
        "attributes": ATTRIBUTES,
        "status": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"code": {"enum": [0, 1, 2]}, "message": {"type": "string"}},
        },
    },
}
OTLP = {
    "type": "object",
    "required": ["resourceSpans"],
    "additionalProperties": False,
    "properties": {
        "resourceSpans": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["resource", "scopeSpans"],
                "additionalProperties": False,
                "properties": {
                    "resource": {"type": "object", "properties": {"attributes": ATTRIBUTES}},
                    "scopeSpans": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["scope", "spans"],
                            "additionalProperties": False,
                            "properties": {"scope": SCOPE, "spans": {"type": "array", "items": OTLP_SPAN}},
                        },
                    },
                },
            },
        }
    },
}
"""TracesData of opentelemetry-proto in its JSON form: hexadecimal ids, 64-bit numbers as strings, enums as numbers."""


def test_otlp_has_the_failure_of_a_command():
    document = json.loads(to_otlp(read(failed())))
    jsonschema.validate(document, OTLP)
    root, *spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert root["status"] == {"code": 2, "message": HOOK}
    (hook,) = [span["status"] for span in spans if "status" in span]
    assert hook == {"code": 2, "message": "exit status 1: no"}
    killed = json.loads(to_otlp(read(part(*HANGS, pid=2**22 - 1, phase="B"))))
    root = killed["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert root["status"]["message"].startswith("was ended from outside")
    (command,) = read(WHOLE)
    assert '"status"' not in to_otlp([command])


def test_chrome():
    document = json.loads(to_chrome(read(WHOLE + part(*HANGS, title="ocirt start c1", phase="B"))))
    events = document["traceEvents"]
    jsonschema.validate(events, CHROME)
    assert [event["ph"] for event in events].count("B") == 2
    events = [event for event in events if event["pid"] == 77][: len(json.loads(to_chrome(read(WHOLE)))["traceEvents"])]
    (hook,) = [event for event in events if event["name"] == "RunHook"]
    assert (hook["dur"], hook["cat"], hook["args"]["path"]) == (3980.0, "hook", "hooks.createContainer[0]")
    names = [event["args"]["name"] for event in events if event["ph"] == "M"]
    assert names == ["ocirt create c1", "runtime", "init"]
    assert document["otherData"] == {"nanosecondsSince1970": str(BEGIN)} and hook["ts"] == 920.0


def test_otlp_joins_the_trace_of_the_caller():
    failing = whole(more=line(RUNTIME, "step", "Broken", 5100, 5200, error=13))
    document = json.loads(to_otlp(read(failing)))
    jsonschema.validate(document, OTLP)
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert {span["traceId"] for span in spans} == {PARENT.split("-")[1]}
    by_name = {span["name"]: span for span in spans}
    root = by_name["ocirt create c1"]
    assert root["parentSpanId"] == PARENT.split("-")[2]
    assert by_name["Mount"]["parentSpanId"] == root["spanId"]
    assert by_name["/bin/slow"]["parentSpanId"] == by_name["RunHook"]["spanId"]
    assert by_name["Mount"]["startTimeUnixNano"] == str(BEGIN + 180_000)
    assert by_name["Broken"]["status"] == {"code": 2, "message": "Permission denied"}
    assert len({span["spanId"] for span in spans}) == len(spans)


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "nonsense",
        f"00-{'0' * 31}-{'1' * 16}-01",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"ff-{'1' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'1' * 16}-01more",
        f"00-{'1' * 32}-{'1' * 16}-01-extra",
    ],
)
def test_otlp_begins_a_trace_without_a_usable_parent(parent):
    document = json.loads(to_otlp(read(whole(parent=parent))))
    jsonschema.validate(document, OTLP)
    spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert len({span["traceId"] for span in spans}) == 1 and "parentSpanId" not in spans[0]


def test_svg_is_well_formed_and_has_a_box_for_each_span():
    (command,) = read(whole(program="/bin/<&>"))
    root = ElementTree.fromstring(to_svg([command]))
    space = "{http://www.w3.org/2000/svg}"
    boxes = root.findall(f".//{space}rect")
    assert len(boxes) == len(command.spans)
    assert [box.get("class") for box in boxes].count("hook critical") == 1
    assert any("run hook /bin/<&>" in (title.text or "") for title in root.findall(f".//{space}title"))
    assert all(0 <= float(box.get("x")) <= float(root.get("width")) for box in boxes)
