"""``ocirt trace``: the critical path, and what a summary says of it."""

import os
import struct
import subprocess
import time

import pytest

from ocirt.cli.record import HEAD, MAGIC, PART
from ocirt.cli.trace import spans, table
from ocirt.cli.trace.critical import critical_path
from ocirt.cli.trace.otlp import to_otlp
from ocirt.cli.trace.spans import INIT, NETWORK, PYTHON, RUNTIME, STAGE, read
from ocirt.cli.trace.svg import to_svg
from tests.unit.tracing import BEGIN, HANGS, HOOK, WHOLE, failed, line, note, part, whole


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


def test_a_runtime_that_is_killed_between_two_steps():
    """No span is open, but nobody has recorded the end."""
    (command,) = read(part(line(RUNTIME, "step", "A", 0, 100), pid=2**22 - 1, phase="B"))
    assert command.is_cut_off
    assert table.summary([command]).startswith("ocirt create c1 (pid 4194303): was ended from outside, after 0.100 ms")


def test_why_a_command_has_failed_stands_beneath_its_head():
    text = table.summary(read(failed()))
    first, second = text.splitlines()[:2]
    assert first == "ocirt create c1 (pid 77): failed after 0.900 ms" and second == f"  error: {HOOK}"
    assert "has not ended" not in text and "Operation canceled" not in text and text.count("error:") == 1
    assert "run hook /bin/false (hooks.createRuntime[0]): exit status 1: no\n" in text
    assert shown_path(failed())[-1] == (RUNTIME, "RunHook", 700)


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
