"""``ocirt trace``: what is no record, and a record that is cut or damaged."""

import struct
import xml.etree.ElementTree as ElementTree

import pytest

from ocirt.boot import run
from ocirt.cli.record import EVENT, HEAD, MAGIC, PART, event
from ocirt.cli.trace import FORMATS, table
from ocirt.cli.trace.spans import BROKEN as BROKEN_LEVELS
from ocirt.cli.trace.spans import INIT, RUNTIME, read
from ocirt.cli.trace.svg import to_svg
from tests.unit.tracing import BEGIN, WHOLE, line, part, whole


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
    most = event("B", 255, 2**64 - 1, 2**64 - 1, "step", "A", "p", "t", 4095)
    (tmp_path / "extreme").write_bytes(part(most, event("X", 7, 1, 0, "hook", "A", "", ""), pid=2**32 - 1))
    for name in ("summary", "table", "chrome", "otlp", "svg"):
        assert run(["@cli", "-1", "-1", "ocirt", "trace", "--format", name, str(tmp_path / "extreme")]) == 1
        assert "extreme: damaged: the times or the errors of its events cannot be right" in capfd.readouterr().err


def wiped(begin, size):
    """A whole record with zeros in its midst."""
    at = WHOLE.index(begin)
    return WHOLE[:at] + bytes(size) + WHOLE[at + size :]


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


def events_of(data):
    """Where the events of a record of one part begin."""
    used, at = struct.unpack_from(PART, data, len(MAGIC))[0], HEAD
    while at < used:
        yield at
        at += struct.unpack_from(EVENT, data, at)[0]


def is_noticed(data):
    commands = read(data)
    return not commands or any(level in BROKEN_LEVELS for command in commands for level, _ in command.notes)


@pytest.mark.parametrize("mask", [0xFF, 0x01, 0x80])
def test_no_damaged_byte_ends_the_reader(mask):
    """Whichever byte has another value, all formats can be written, or the file is no record."""
    used = struct.unpack_from(PART, WHOLE, len(MAGIC))[0]
    for at in range(used):
        data = bytearray(WHOLE)
        data[at] ^= mask
        try:
            commands = read(bytes(data))
        except ValueError:
            assert at < len(MAGIC)
            continue
        for form in FORMATS.values() if commands else ():
            assert form(commands)


@pytest.mark.parametrize("damage", [bytes(8), b"\xff" * 8, b"\x01" * 8])
def test_eight_damaged_bytes_of_an_events_head_are_noticed(damage):
    """In a text they are other letters, which no reader can know to be wrong."""
    assert not is_noticed(WHOLE)
    for begins in events_of(WHOLE):
        is_note = WHOLE[begins + 4 : begins + 5] == b"i"  # whose time nothing shows
        for at in (begins,) if is_note else (begins, begins + 8):
            assert is_noticed(WHOLE[:at] + damage + WHOLE[at + 8 :]), at
    # A duration may be any but one that makes a step a part of another one.
    at = WHOLE.index(b"step\0Spawn") - 8
    assert is_noticed(WHOLE[:at] + struct.pack("<Q", 5_000_000) + WHOLE[at + 8 :])
    assert is_noticed(WHOLE[:at] + b"\xff" * 8 + WHOLE[at + 8 :])
