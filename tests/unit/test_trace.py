"""``ocirt trace``: what a record says, its formats against their schemas, and the critical path."""

import json
import os
import struct
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import jsonschema
import pytest

from ocirt.boot import run
from ocirt.cli.record import EVENT, EVENT_HEAD, HEAD, MAGIC, PART, Recorder, event
from ocirt.cli.trace import spans, table
from ocirt.cli.trace.chrome import to_chrome
from ocirt.cli.trace.critical import critical_path
from ocirt.cli.trace.otlp import to_otlp
from ocirt.cli.trace.spans import INIT, NETWORK, PYTHON, RUNTIME, STAGE, read
from ocirt.cli.trace.svg import to_svg
from ocirt.plan.steps import SECTIONS, STEPS

BEGIN = 1_796_023_709_000_000_000
PARENT = f"00-{'0af7651916cd43dd8448eb211c80319c'}-{'b7ad6b7169203331'}-01"
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


def line(thread, kind, name, start, end, text="", path="", phase="X", error=0):
    """An event as the executable writes it; times in microseconds since the beginning."""
    lasts = 0 if end is None else 1000 * (end - start)
    return event(phase, thread, BEGIN + 1000 * start, lasts, kind, name, path, text, error)


def note(name, text, thread=RUNTIME, path=""):
    return line(thread, "note", name, 0, None, text, path, "i")


def part(*events, title="ocirt create c1", pid=77, size=8192, phase="X", error=0):
    """What a command has appended to the record. It has ended, unless its phase is B."""
    data = line(RUNTIME, "command", "title", 0, 0, title, phase=phase, error=error) + b"".join(events)
    head = MAGIC + struct.pack(PART, HEAD + len(data), size, pid)
    return (head + data).ljust(size, b"\0")


def whole(program="/bin/slow", output="done\n", placed="send the event placed", parent=PARENT, more=b""):
    return part(
        line(RUNTIME, "launch", "scan", 0, 100),
        line(RUNTIME, "step", "Spawn", 100, 200, "start the init process"),
        line(RUNTIME, "step", "MakeCgroup", 200, 900, "make cgroup /c", "linux.cgroupsPath"),
        line(RUNTIME, "step", "Send", 900, 910, placed),
        line(RUNTIME, "wait", "Receive", 910, 5000, "wait for the event ready", "create"),
        line(RUNTIME, "step", "Commit", 5000, 5100, "commit the container", "create"),
        line(INIT, "step", "Mount", 180, 400, "mount tmpfs at /a", "mounts[0]"),
        line(INIT, "wait", "Receive", 400, 920, "wait for the event placed"),
        line(INIT, "hook", "RunHook", 920, 4900, f"run hook {program}", "hooks.createContainer[0]"),
        line(INIT, "program", program, 1000, 4800, "", "hooks.createContainer[0]"),
        note("output", output, INIT, program),
        line(INIT, "step", "Send", 4900, 4990, "send the event ready", "create"),
        line(INIT, "wait", "Receive", 4992, None, "wait for the event hooked", phase="B"),
        note("parent", parent),
        more,
    )


WHOLE = whole()


def shown_path(text):
    (command,) = read(text)
    path = critical_path(command)
    assert [part.start for part in path[1:]] == [part.end for part in path[:-1]], "there is a gap in the path"
    assert (path[0].start, path[-1].end) == (command.start, command.end)
    return [
        (part.thread, part.span.name if part.span else None, part.duration // 1000) for part in path if part.duration
    ]


def test_the_path_goes_on_in_the_process_that_ended_a_wait():
    assert shown_path(WHOLE) == [
        (RUNTIME, "scan", 100),
        (RUNTIME, "Spawn", 100),
        (RUNTIME, "MakeCgroup", 700),
        (RUNTIME, "Send", 10),
        (INIT, "Receive", 10),
        (INIT, "RunHook", 3980),
        (INIT, "Send", 90),
        (RUNTIME, "Receive", 10),
        (RUNTIME, "Commit", 100),
    ]


def test_a_wait_that_did_not_have_to_wait_stays_on_the_path():
    early = whole(placed="send the event other")
    assert (INIT, "Receive", 520) in shown_path(early)
    late = part(
        line(RUNTIME, "step", "Spawn", 0, 10),
        line(INIT, "step", "Send", 12, 14, "send the event ready"),
        line(RUNTIME, "wait", "Receive", 90, 95, "wait for the event ready"),
    )
    assert shown_path(late) == [(RUNTIME, "Spawn", 10), (RUNTIME, None, 80), (RUNTIME, "Receive", 5)]


def test_the_path_through_python_and_the_thread_that_makes_the_network():
    text = part(
        line(RUNTIME, "launch", "scan", 0, 50),
        line(RUNTIME, "wait", "python", 50, 900),
        line(PYTHON, "launch", "start", 60, 300),
        line(PYTHON, "launch", "encode", 300, 880),
        line(PYTHON, "launch", "keep", 880, 2000),
        line(RUNTIME, "step", "BeginNetwork", 900, 920),
        line(NETWORK, "step", "network", 910, 1900),
        line(RUNTIME, "wait", "TakeNetwork", 920, 1910),
        line(RUNTIME, "step", "Commit", 1910, 2100),
    )
    assert shown_path(text) == [
        (RUNTIME, "scan", 50),
        (PYTHON, None, 10),
        (PYTHON, "start", 240),
        (PYTHON, "encode", 580),
        (RUNTIME, "python", 20),
        (RUNTIME, "BeginNetwork", 10),
        (NETWORK, "network", 990),
        (RUNTIME, "TakeNetwork", 10),
        (RUNTIME, "Commit", 190),
    ]


def test_the_path_through_python_that_notes_its_end_too_late():
    """The program is there before Python has read the clock."""
    text = part(
        line(RUNTIME, "wait", "python", 0, 900),
        line(PYTHON, "launch", "start", 10, 300),
        line(PYTHON, "launch", "encode", 300, 1100),
        line(PYTHON, "launch", "keep", 1100, 2000),
        line(RUNTIME, "step", "Commit", 900, 2100),
    )
    assert shown_path(text) == [
        (PYTHON, None, 10),
        (PYTHON, "start", 290),
        (PYTHON, "encode", 600),
        (RUNTIME, "Commit", 1200),
    ]


def test_the_path_of_start_leads_to_init_which_exists_already():
    text = part(
        line(RUNTIME, "wait", "lock", 0, 5),
        line(RUNTIME, "wait", "init", 5, 1000),
        line(INIT, "hook", "RunHook", 700, 990),
        line(INIT, "step", "Exec", 991, None, phase="B"),
        title="ocirt start c1",
    )
    assert shown_path(text) == [
        (RUNTIME, "lock", 5),
        (RUNTIME, "init", 695),
        (INIT, "RunHook", 290),
        (INIT, None, 1),
        (RUNTIME, "init", 9),
    ]


HANGS = (
    line(RUNTIME, "step", "Spawn", 100, 200, "start the init process"),
    line(RUNTIME, "wait", "Receive", 200, None, "wait for the event ready", phase="B"),
    line(INIT, "step", "Mount", 300, 400, "mount tmpfs at /a", "mounts[0]"),
    line(INIT, "step", "Bind", 400, None, "bind /slow at /b", "mounts[1]", phase="B"),
)
HANGING = part(*HANGS, phase="B")


def test_a_living_command_that_hangs(monkeypatch):
    """What it does is at the end of the path, with the time until now."""
    monkeypatch.setattr(spans, "_lives", lambda command: True)
    monkeypatch.setattr(spans.time, "time_ns", lambda: BEGIN + 9_000_000_000)
    assert shown_path(HANGING)[-2:] == [(INIT, "Mount", 100), (INIT, "Bind", 8_999_600)]
    text = table.summary(read(HANGING))
    first, second, third = text.splitlines()[:3]
    assert first == "ocirt create c1 (pid 77): has not ended after 9000.000 ms"
    assert second.split(None, 1)[1] == "Bind: bind /slow at /b (mounts[1]): has not ended"
    assert third.split(None, 1)[1] == "Receive: wait for the event ready: has not ended"
    drawn = to_svg(read(HANGING))
    assert f'<text x="4" y="16" font-weight="bold">{first}</text>' in drawn
    assert drawn.count("ms: has not ended</title>") == 2


def test_a_command_that_somebody_has_killed():
    """Nobody knows when. A process with its pid that began at another time is another one."""
    for pid in (os.getpid(), 2**22 - 1):
        text = table.summary(read(part(*HANGS, pid=pid, phase="B")))
        first, second = text.splitlines()[:2]
        assert text.partition("critical path:\n")[2].partition("\n\n")[0].endswith(f"{second.split(None, 1)[1]}")
        assert first == f"ocirt create c1 (pid {pid}): was ended from outside, after 0.400 ms or later"
        assert second.split(None, 1) == ["init", "Bind: bind /slow at /b (mounts[1]): has not ended"]


def test_a_process_that_lives():
    process = subprocess.Popen(["sleep", "100"])
    try:
        assert spans._lives(spans.Command(process.pid, time.time_ns()))
        assert not spans._lives(spans.Command(process.pid, time.time_ns() - 10**11))
    finally:
        process.kill()
        process.wait()
    assert not spans._lives(spans.Command(process.pid, time.time_ns()))


def test_a_program_whose_execution_hangs():
    """Init has handed over only if the runtime does not wait for that any more."""
    executes = line(INIT, "step", "Exec", 700, None, "execute the program", phase="B")
    for phase, unfinished in {"B": ["Exec", "init"], "X": []}.items():
        text = part(executes, line(RUNTIME, "wait", "init", 5, None, phase=phase), title="ocirt start c1", phase="B")
        assert [span.name for span in read(text)[0].unfinished] == unfinished


def test_a_command_without_steps():
    (command,) = read(part(title="ocirt kill c1 9 "))
    assert table.summary([command]) == "ocirt kill c1 9 (pid 77): 0.000 ms\n"
    assert len(to_svg([command]).splitlines()) > 5 and to_otlp([command])


def test_the_path_of_a_stage_leads_to_who_made_it():
    text = part(
        line(RUNTIME, "step", "Spawn", 0, 10, "start the stage process"),
        line(STAGE, "step", "JoinContainer", 20, 500),
        line(STAGE, "step", "Spawn", 500, 600, "start the init process"),
        line(RUNTIME, "wait", "Receive", 10, 605, "wait for the event spawned"),
    )
    assert [name for _, name, _ in shown_path(text)] == ["Spawn", None, "JoinContainer", "Spawn", "Receive"]


def test_what_a_summary_says():
    (command,) = read(WHOLE)
    assert command.title == "ocirt create c1" and command.threads == {RUNTIME: "runtime", INIT: "init"}
    text = table.summary([command])
    head, _, path = text.splitlines()[:3]
    assert (head, path) == ("ocirt create c1 (pid 77): 5.100 ms", "critical path:")
    assert "has not ended" not in text  # the wait that the command's end has ended
    longest = [row.split()[:3] for row in text.partition("longest steps:\n")[2].splitlines()[:5]]
    assert longest == [
        ["3.800", "init", "/bin/slow"],
        ["0.700", "runtime", "MakeCgroup:"],
        ["0.220", "init", "Mount:"],
        ["0.180", "init", "RunHook:"],
        ["0.100", "runtime", "scan"],
    ]
    assert "/bin/slow (hooks.createContainer[0]) has printed: done\n" in text
    rows = table.table([command]).splitlines()
    assert rows[1].split() == ["start", "ms", "ms", "process", "kind", "what"]
    assert len(rows) == 2 + len(command.spans)
    assert any(row.endswith("  program    /bin/slow (hooks.createContainer[0])") for row in rows)


def test_short_steps_of_one_process_share_a_line():
    steps = [line(INIT, "step", "Mount", 10 * i, 10 * i + 10, f"mount {i}") for i in range(5)]
    (command,) = read(part(*steps, line(INIT, "step", "Slow", 50, 9000, "wait")))
    path = table.summary([command]).partition("critical path:\n")[2].partition("\n\n")[0].splitlines()
    assert [row.split()[1:] for row in path] == [["init", "5", "short", "steps"], ["init", "Slow:", "wait"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nr_periods 9\nnr_throttled 4\nthrottled_time 250000000\n", (4, 250_000_000)),
        ("usage_usec 1\nnr_periods 9\nnr_throttled 4\nthrottled_usec 250000\n", (4, 250_000_000)),
        ("nr_periods 0\nnr_throttled 0\nthrottled_time 0\n", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_what_the_cgroup_says_of_throttling(text, expected):
    (command,) = read(whole(more=note("throttled", text, path="linux.resources.cpu")))
    assert command.held_back == expected
    said = "cpu.quota has held the container back 4 times, for 250.000 ms in all" in table.summary([command])
    assert said == bool(expected[0])
    assert ("cpu.quota" in table.summary([command]).partition("critical path:")[0]) == said


def test_a_program_takes_the_place_of_the_last_step():
    """Nobody could write the end of the step that executes the program, but a failure is written."""
    (command,) = read(part(line(INIT, "step", "Exec", 5, None, phase="B"), line(RUNTIME, "step", "A", 0, 9)))
    (ran,) = [span for span in command.spans if span.name == "Exec"]
    assert ran.ended and ran.duration == 0
    (command,) = read(part(line(INIT, "step", "Exec", 5, 7, error=2)))
    assert command.spans[0].error == 2 and ": No such file or directory" in table.summary([command])


def test_two_commands_in_one_file_even_with_one_pid():
    commands = read(WHOLE + part(line(RUNTIME, "step", "A", 10**6, 10**6 + 5), title="ocirt start c1"))
    assert [(command.title, len(command.spans)) for command in commands] == [
        ("ocirt create c1", 12),
        ("ocirt start c1", 1),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"{}",
        MAGIC,
        MAGIC + b"\0" * 8192,
        MAGIC + b"\xff" * 100,
        MAGIC + struct.pack(PART, 2**64 - 1, 2**32 - 1, 1) + b"\0" * 8192,
        MAGIC + struct.pack(PART, 8192, 8192, 1) + b"\xff" * 8192,
        MAGIC + struct.pack(PART, 8192, 8192, 1) + struct.pack(EVENT, 2**32 - 8, ord("B"), 0, 0, 0, 0) + b"text" * 99,
        MAGIC + struct.pack(PART, 8192, 8192, 1) + struct.pack(EVENT, 24, ord("B"), 0, 0, 0, 0) + b"\0" * 99,
        part(line(RUNTIME, "step", "A", 0, 1))[:40],
    ],
)
def test_what_is_no_record(data, tmp_path, capfd):
    """Each is one line that says so, whatever the file has."""
    file = tmp_path / "foreign"
    file.write_bytes(data)
    for name in ("summary", "table", "chrome", "otlp", "svg"):
        assert run(["@cli", "-1", "-1", "ocirt", "trace", "--format", name, str(file)]) == 1
        said = capfd.readouterr()
        assert said.out == "" and len(said.err.splitlines()) == 1
        assert f"{file}: found " in said.err and "internal error" not in said.err


def test_extreme_numbers(tmp_path, capfd):
    """A file that only begins like a record may have any."""
    most = event("B", 255, 2**64 - 1, 2**64 - 1, "step", "A", "p", "t", 2**16 - 1)
    (tmp_path / "extreme").write_bytes(part(most, event("X", 7, 1, 0, "hook", "A", "", ""), pid=2**32 - 1))
    for name in ("summary", "table", "chrome", "otlp", "svg"):
        assert run(["@cli", "-1", "-1", "ocirt", "trace", "--format", name, str(tmp_path / "extreme")]) == 0
        assert capfd.readouterr().err == ""


def wiped(begin, size):
    """A whole record with zeros in its midst."""
    at = WHOLE.index(begin)
    return WHOLE[:at] + bytes(size) + WHOLE[at + size :]


LONG = whole(more=b"".join([line(INIT, "step", f"More{i}", 5000, 5001) for i in range(60)]))
BROKEN = {
    "cut, and its last event, too": (WHOLE[:300], "cut"),
    "cut behind its last event": (WHOLE[:5000], "cut"),
    "cut, and a further command": (WHOLE[:4096] + part(title="ocirt start c1"), "cut"),
    "the texts of an event": (wiped(b"step\0MakeCgroup", 16), "damaged"),
    "an event": (wiped(line(INIT, "step", "Mount", 180, 400, "mount tmpfs at /a", "mounts[0]")[:8], 72), "damaged"),
    "the beginning": (wiped(line(RUNTIME, "command", "title", 0, 0, "ocirt create c1")[:8], 56), "damaged"),
    "the time": (wiped(line(INIT, "step", "Mount", 180, 400, "mount tmpfs at /a", "mounts[0]")[8:16], 8), "damaged"),
    "another category": (WHOLE.replace(b"step\0Spawn", b'"<x>\0Spawn'), "damaged"),
    "the head of the second command": (WHOLE + b"x" + part(title="ocirt start c1")[1:], "damaged"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_record_that_is_cut_or_damaged(name, tmp_path, capfd):
    """What can be read is shown, with the word for what is wrong, and the exit status is that of an error."""
    data, word = BROKEN[name]
    (tmp_path / "broken").write_bytes(data)
    for form in ("summary", "table", "chrome", "otlp", "svg"):
        assert run(["@cli", "-1", "-1", "ocirt", "trace", "--format", form, str(tmp_path / "broken")]) == 1
        said = capfd.readouterr()
        assert "process 77" in said.out or "ocirt create c1" in said.out
        assert f"{tmp_path}/broken: {word}: " in said.err and len(said.err.splitlines()) == 1
        assert form != "summary" or said.out.splitlines()[1].startswith(f"  {word}: ")
        assert '"<x' not in said.out


def test_a_command_that_is_behind_a_cut_one_is_read():
    commands = read(WHOLE[:4096] + part(title="ocirt start c1"))
    assert [command.title for command in commands] == ["ocirt create c1", "ocirt start c1"]
    assert [level for level, _ in commands[0].notes] == ["cut"] and not commands[1].notes


def test_a_runtime_that_is_killed_between_two_steps():
    """No span is open, but nobody has recorded the end."""
    (command,) = read(part(line(RUNTIME, "step", "A", 0, 100), pid=2**22 - 1, phase="B"))
    assert command.is_cut_off
    assert table.summary([command]).startswith("ocirt create c1 (pid 4194303): was ended from outside, after 0.100 ms")


HOOK = "hooks.createRuntime[0]: run hook /bin/false: exit status 1: no"


def failed():
    """A create whose hook has failed, while init waits for it."""
    return part(
        line(RUNTIME, "step", "Spawn", 0, 100),
        line(INIT, "wait", "Receive", 150, None, "wait for the event hooked", phase="B"),
        line(RUNTIME, "hook", "RunHook", 200, 900, "run hook /bin/false", "hooks.createRuntime[0]", error=125),
        note("error", HOOK),
        error=125,
    )


def test_why_a_command_has_failed_stands_beneath_its_head():
    text = table.summary(read(failed()))
    first, second = text.splitlines()[:2]
    assert first == "ocirt create c1 (pid 77): failed after 0.900 ms" and second == f"  error: {HOOK}"
    assert "has not ended" not in text and "Operation canceled" not in text and text.count("error:") == 1
    assert "run hook /bin/false (hooks.createRuntime[0]): exit status 1: no\n" in text
    assert shown_path(failed())[-1] == (RUNTIME, "RunHook", 700)


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


def test_short_steps_alone_have_no_line_each():
    steps = [line(RUNTIME, "step", f"S{i}", 10 * i, 10 * i + 9, f"do {i}") for i in range(22)]
    text = table.summary(read(part(*steps, title="ocirt delete c1")))
    path = text.partition("critical path:\n")[2].partition("\n\n")[0].splitlines()
    assert [row.split(None, 2)[1:] for row in path] == [["runtime", "43 short steps"]]
    assert len(text.partition("longest steps:\n")[2].splitlines()) == 5


def test_a_short_part_without_a_step_is_between_steps():
    spans = [line(RUNTIME, "step", "A", 0, 5000), line(RUNTIME, "step", "B", 5001, 9000)]
    text = table.summary(read(part(*spans)))
    assert "0.001  runtime  between steps\n" in text


def test_the_path_of_a_record_without_room():
    """The hooks are on it, and what came behind them, and not init, which waits for their end."""
    hooks = [line(RUNTIME, "hook", "RunHook", 100 * i, 100 * i + 90, f"run hook {i}") for i in range(1, 5)]
    data = part(line(INIT, "wait", "Receive", 50, 3000, "wait for the event hooked"), *hooks)
    data = data[: len(MAGIC)] + struct.pack(PART, 8200, 8192, 77) + data[HEAD:]
    text = table.summary(read(data))
    assert text.splitlines()[1].startswith("  full: the record has no room")
    path = text.partition("critical path:\n")[2].partition("\n\n")[0].splitlines()
    assert [row.split(None, 2)[1] for row in path[1:]] == ["runtime"] * len(path[1:])
    assert path[-1].endswith("steps for which the record had no room")
    (command,) = read(data)
    inside = part(
        line(RUNTIME, "wait", "Receive", 50, 3000, "wait for the event ready"),
        *[line(INIT, "hook", "RunHook", 100 * i, 100 * i + 90, f"run hook {i}") for i in range(1, 5)],
    )
    inside = inside[: len(MAGIC)] + struct.pack(PART, 8200, 8192, 77) + inside[HEAD:]
    assert shown_path(inside)[-2:] == [(INIT, "RunHook", 90), (INIT, None, 2510)]


def test_a_pipe_does_not_hang(tmp_path, capfd):
    os.mkfifo(tmp_path / "pipe")
    assert run(["@cli", "-1", "-1", "ocirt", "trace", str(tmp_path / "pipe")]) == 1
    assert f"{tmp_path}/pipe: found a pipe, expected a file" in capfd.readouterr().err


def test_a_picture_does_not_replace_a_record(tmp_path, capfd):
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(WHOLE)
    (tmp_path / "link").symlink_to("one")
    for name in ("one", "two", "link"):
        assert run(["@cli", "-1", "-1", "ocirt", "trace", "--svg", str(tmp_path / name), str(tmp_path / "one")]) == 1
        said = capfd.readouterr()
        assert f"--svg {tmp_path}/{name}: found a record, expected another file" in said.err and said.out == ""
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == WHOLE


def test_an_empty_name_for_a_record_is_refused(capfd):
    assert run(["@cli", "-1", "-1", "ocirt", "--trace", "", "list"]) == 1
    assert "expected a file or a directory" in capfd.readouterr().err


@pytest.mark.parametrize("path, found", [("/dev/zero", "found something else"), ("/dev", "found a directory")])
def test_a_record_that_is_no_file(path, found, capfd):
    """A device may have no end."""
    assert run(["@cli", "-1", "-1", "ocirt", "trace", path]) == 1
    assert f"{path}: {found}, expected" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["/bin/\x1b[31mred", "/bin/\udcff", "/bin/\ufffe"])
def test_names_that_a_terminal_or_xml_cannot_have(name):
    """A hook's name and its output come from others."""
    commands = read(whole(program=name, output=f"done {name}\n"))
    assert ElementTree.fromstring(to_svg(commands)) is not None
    for text in (table.summary(commands), table.table(commands), to_svg(commands)):
        assert "/bin/\ufffd" in text and name not in text
        text.encode()
    assert "has printed: done /bin/\ufffd" in table.summary(commands)


def test_what_lies_before_a_damaged_event_is_read():
    at = WHOLE.index(event("X", INIT, BEGIN + 180_000, 220_000, "step", "Mount", "mounts[0]", "mount tmpfs at /a"))
    (command,) = read(WHOLE[:at] + b"\xff" * 8 + WHOLE[at + 8 :])
    assert "damaged: the record cannot be read from here on" in table.summary([command])
    assert [span.name for span in command.spans] == ["scan", "Spawn", "MakeCgroup", "Send", "Receive", "Commit"]


def test_what_a_killed_process_has_not_written_whole():
    """Room that it has reserved only, and an event without its texts."""
    reserved, half = b"\0" * 64, bytearray(line(INIT, "step", "Half", 5, None, phase="B"))
    half[4] = 0
    (command,) = read(
        part(line(INIT, "step", "A", 0, 1), reserved, bytes(half), line(RUNTIME, "step", "B", 2, 3), phase="B")
    )
    assert [span.name for span in command.spans] == ["A", "B"] and not command.notes
    # A part that it could not even begin.
    assert [len(command.spans) for command in read(WHOLE + b"\0" * 65536 + part(title="ocirt start c1"))] == [12, 0]


def test_a_record_without_room():
    """The processes ask for room that is not there any more."""
    data = bytearray(WHOLE)
    data[len(MAGIC) : HEAD] = struct.pack(PART, 8200, 8192, 77)
    (command,) = read(bytes(data))
    assert [level for level, _ in command.notes] == ["full"] and len(command.spans) == 12


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


def test_python_writes_events_of_the_same_form(tmp_path, monkeypatch):
    assert (len(MAGIC) + struct.calcsize(PART), struct.calcsize(EVENT)) == (HEAD, EVENT_HEAD)
    record = tmp_path / "record"
    record.write_bytes(WHOLE)
    started = BEGIN + 6_000_000
    monkeypatch.setattr(os, "getppid", lambda: 77)
    recorder = Recorder(str(record), started)
    for name in ("import", "compile", ""):
        recorder.begin(name)
    (command,) = read(record.read_bytes())
    own = [span for span in command.spans if span.thread == PYTHON]
    assert [span.name for span in own] == ["start", "import", "compile"] and all(span.ended for span in own)
    assert own[0].start == started and command.threads[PYTHON] == "python"
    assert record.stat().st_size % os.sysconf("SC_PAGE_SIZE") == 0


def test_python_goes_on_without_a_record_that_it_may_not_write(tmp_path):
    recorder = Recorder(str(tmp_path / "missing"), BEGIN)
    recorder.begin("import")
    recorder.begin("")


def test_numbers_of_processes_are_those_of_their_sections():
    assert [SECTIONS[number] for number in (RUNTIME, STAGE, INIT)] == ["host", "stage", "init"]
    assert max(map(SECTIONS.index, SECTIONS)) < NETWORK < PYTHON < 100
    assert {step.doing for step in STEPS} == {"step", "wait", "hook", "helper"}


def test_the_verb(tmp_path, capfd):
    record, picture = tmp_path / "record", tmp_path / "o.svg"
    record.write_bytes(WHOLE)
    for name, begins in {
        "summary": "ocirt create",
        "table": "ocirt create",
        "chrome": "{",
        "otlp": "{",
        "svg": "<svg",
    }.items():
        words = ["ocirt", "trace", "--svg", str(picture), "--format", name, str(record)]
        assert run(["@cli", "-1", "-1", *words]) == 0
        assert capfd.readouterr().out.startswith(begins) and picture.read_text().startswith("<svg")
    for data, said in {b"no": "expected a record that ocirt --trace has written", MAGIC: "found no span"}.items():
        record.write_bytes(data)
        assert run(["@cli", "-1", "-1", "ocirt", "trace", str(record)]) == 1
        assert said in capfd.readouterr().err
    assert run(["@cli", "-1", "-1", "ocirt", "trace", str(tmp_path / "none")]) == 1
    assert "no such file or directory" in capfd.readouterr().err
