"""Log lines: what runc's logrus writes, because engines read it."""

import json
import os
import re
from socket import AF_UNIX, SOCK_DGRAM, socket

import pytest

from ocirt.errors import HostError
from ocirt.log import BACKENDS, Log, go_quoted, json_quoted, sentence

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def test_text_line():
    line = Log().line("error", 'runc: "list" requires')
    assert re.fullmatch(rf'time="{TIME}" level=error msg="runc: \\"list\\" requires"', line)


def test_a_plain_word_is_not_quoted():
    assert Log().line("warning", "a-b._/@^+9").endswith(" level=warning msg=a-b._/@^+9")


def test_json_line():
    line = Log(format="json").line("error", 'a "b"\n')
    assert re.fullmatch(rf'{{"level":"error","msg":"a \\"b\\"\\n","time":"{TIME}"}}', line)


@pytest.mark.parametrize(
    "text, quoted",
    [
        ("a\nb", '"a\\nb"'),
        ("\a\b\f\r\t\v", '"\\a\\b\\f\\r\\t\\v"'),
        ("\x1b[0m", '"\\x1b[0m"'),
        ("\x7f", '"\\x7f"'),
        ("é", '"é"'),
        ("\u200b", '"\\u200b"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("\udcff", '"\\xff"'),
        ("\\", '"\\\\"'),
    ],
)
def test_quoting_of_go(text, quoted):
    assert go_quoted(text) == quoted


@pytest.mark.parametrize(
    "text, quoted",
    [
        ("<&>", '"\\u003c\\u0026\\u003e"'),
        ("\x1b\u2028", '"\\u001b\\u2028"'),
        ("\udcff", '"\\ufffd"'),
        ("é", '"é"'),
    ],
)
def test_quoting_of_json(text, quoted):
    assert json_quoted(text) == quoted


@pytest.mark.parametrize("text", ["plain", 'q"\\', "\0\x01\x1f\x7f", "\n\r\t", "<>&", "\u2028", "日本 \U0001f600"])
def test_json_can_be_read_again(text):
    assert json.loads(json_quoted(text)) == text


def test_without_a_file_the_line_goes_to_standard_error(capfd):
    Log(format="json").error("broken")
    out, err = capfd.readouterr()
    assert out == "" and json.loads(err)["msg"] == "broken" and err.count("\n") == 1


def test_with_a_file_the_message_goes_to_standard_error_as_it_is(tmp_path, capfd):
    path = tmp_path / "log"
    path.write_text("before\n")
    log = Log(str(path), "json")
    log.error("first")
    log.error("se\ncond")
    before, first, second = path.read_text().splitlines()
    assert before == "before"
    assert [json.loads(line)["msg"] for line in (first, second)] == ["first", "se\ncond"]
    assert capfd.readouterr().err == "first\nse\ncond\n"


def test_a_warning_goes_to_the_file_alone(tmp_path, capfd):
    log = Log(str(tmp_path / "log"))
    log.warning("careful now")
    assert 'level=warning msg="careful now"' in (tmp_path / "log").read_text()
    assert capfd.readouterr().err == ""


def test_debug_lines_only_with_debug(capfd):
    Log().debug("unseen")
    Log(level="debug").debug("seen")
    assert capfd.readouterr().err.endswith(" level=debug msg=seen\n")


def test_no_warnings_where_errors_are_asked_for(capfd):
    Log(level="error").warning("unseen")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "environment, colours",
    [
        ({}, False),
        ({"TERM": "xterm"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
    ],
)
def test_a_sentence_for_a_person(monkeypatch, environment, colours):
    """no-color.org: NO_COLOR counts where it is not empty."""
    monkeypatch.setattr("ocirt.log.environ", {name.encode(): value.encode() for name, value in environment.items()})
    error = HostError("--x", 'the "host"')
    error.hint = "try y"
    red, yellow, plain = ("\x1b[1;31m", "\x1b[1;33m", "\x1b[0m") if colours else ("", "", "")
    assert sentence("error", str(error), error) == f'{red}ocirt:{plain} --x: the "host"\n  try y\n'
    assert sentence("warning", "careful") == f"{yellow}ocirt:{plain} warning: careful\n"


def test_a_sentence_moves_no_cursor(monkeypatch):
    monkeypatch.setattr("ocirt.log.environ", {})
    assert sentence("error", "a\x1b[2J\x7f\x9b\r\n\té\udcff") == "ocirt: a\\x1b[2J\\x7f\\x9b\\x0d\n\té\ufffd\n"


@pytest.fixture
def backend(tmp_path, monkeypatch):
    """What a log of a name gets: its socket is one of the test's own."""
    with socket(AF_UNIX, SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.settimeout(10)
        monkeypatch.setattr("ocirt.log.BACKENDS", dict.fromkeys(BACKENDS, str(tmp_path / "socket")))
        yield listening


def test_syslog(backend, capfd):
    log = Log("syslog:me", "json")
    log.error("bröken\nthing")
    assert backend.recv(1000).decode() == f"<11>me[{os.getpid()}]: bröken\nthing"
    log.warning("careful")
    assert backend.recv(1000).startswith(b"<12>me[")
    assert capfd.readouterr().err == "bröken\nthing\n"


def test_journald(backend):
    """The journal's native protocol: a field of any lines has its length before it."""
    Log("journald:me").error("a\nb")
    assert backend.recv(1000) == b"PRIORITY=3\nSYSLOG_IDENTIFIER=me\nMESSAGE\n\3\0\0\0\0\0\0\0a\nb\n"


def test_a_backend_that_is_not_there(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("ocirt.log.BACKENDS", dict.fromkeys(BACKENDS, str(tmp_path / "none")))
    with pytest.raises(FileNotFoundError):
        Log("journald:me").check()
    Log("journald:me").error("broken")
    assert capfd.readouterr().err.endswith("level=error msg=broken\n")


def test_file_is_a_backend(tmp_path):
    Log(f"file:{tmp_path}/log").error("broken")
    assert (tmp_path / "log").read_text().endswith("msg=broken\n")


def test_a_file_that_cannot_be_written_does_not_swallow_the_message(tmp_path, capfd):
    Log(str(tmp_path / "missing" / "log")).error("broken thing")
    err = capfd.readouterr().err
    assert err.endswith(' level=error msg="broken thing"\n') and err.count("\n") == 1


def test_json_tells_what_an_error_is_about():
    """After the members that engines know; text lines say it in words only."""
    error = HostError("linux.x", "not here")
    error.errno = 2
    assert list(json.loads(Log(format="json").line("error", str(error), error)).items())[3:] == [
        ("kind", "HostError"),
        ("phase", "compile"),
        ("path", "linux.x"),
        ("errno", 2),
    ]
    assert "HostError" not in Log().line("error", str(error), error)


def test_with_a_reader_lines_go_there_and_not_to_standard_error(tmp_path, capfd):
    reading, writing = os.pipe()
    Log(reader=writing).error("first")
    Log(str(tmp_path / "log"), reader=writing).error("second")
    os.close(writing)
    with open(reading) as file:
        assert [json.loads(line)["msg"] for line in file] == ["first", "second"]
    assert capfd.readouterr().err == "" and (tmp_path / "log").read_text().endswith("level=error msg=second\n")


def test_words_of_the_launcher():
    log = Log.of({"log": "/f", "log-format": "json", "debug": "1"})
    assert (log.path, log.format, log.is_debug) == ("/f", "json", True)
    assert Log.of({"status-fd": "7"}).reader == 7
    log = Log.of({})
    assert (log.path, log.format, log.is_debug) == ("", "text", False)
