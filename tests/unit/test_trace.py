"""``ocirt trace``: the verb, and the records that Python writes."""

import os
import struct

import pytest

from ocirt.boot import run
from ocirt.cli.record import EVENT, EVENT_HEAD, HEAD, MAGIC, PART, Recorder
from ocirt.cli.trace.spans import INIT, NETWORK, PYTHON, RUNTIME, STAGE, read
from ocirt.plan.steps import SECTIONS, STEPS
from tests.unit.tracing import BEGIN, WHOLE


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
