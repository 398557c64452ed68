"""The log of the executable: where it goes, that its lines can be read, and what a person at a terminal sees."""

import json
import os
import pty
import re
import subprocess
from socket import AF_UNIX, SOCK_DGRAM, socket

import pytest

from tests.integration.harness import LIMIT

JSON = ("--log-format", "json")


def at_terminal(ocirt, *words, env=None):
    """Run a command with standard error on a terminal: its exit status, and what it has written there."""
    master, slave = pty.openpty()
    child = subprocess.Popen(
        ocirt.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave, env=env or {}
    )
    status = child.wait(LIMIT)
    os.close(slave)
    os.set_blocking(master, False)  # a container that runs keeps it open
    text = os.read(master, 65536)
    os.close(master)
    return status, text.decode().replace("\r\n", "\n")


def bytes_of(ocirt, *words):
    """The same with pipes, and standard error as bytes."""
    done = subprocess.run(ocirt.command(*words), stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT)
    return done.returncode, done.stderr


# ---- a person ----


@pytest.mark.parametrize(
    "words, expected",
    [
        (
            ("state", "c1"),
            "ocirt: container does not exist: c1\n"
            "  ocirt list shows the containers under the root directory, which --root names\n",
        ),
        (
            ("state", 'a"\\b'),
            'ocirt: container does not exist: a"\\b\n'
            "  ocirt list shows the containers under the root directory, which --root names\n",
        ),
        (
            ("exec", "c1", "true"),
            "ocirt: exec failed: container does not exist: c1\n"
            "  ocirt list shows the containers under the root directory, which --root names\n",
        ),
        (
            ("run", "--bundle", "/nosuch", "c1"),
            "ocirt: config.json: open /nosuch/config.json: no such file or directory\n"
            "  --bundle names the directory that holds it; ocirt spec writes one to start from\n",
        ),
        (("crate",), "ocirt: No help topic for 'crate'; did you mean create?\n  see ocirt --help\n"),
        (("list", "--x"), "ocirt: flag provided but not defined: -x\n  see ocirt list --help\n"),
    ],
)
def test_errors_at_a_terminal_are_sentences(ocirt, words, expected):
    status, text = at_terminal(ocirt, *words)
    assert status in (1, 3, 255) and text == expected


def test_a_program_that_is_not_there(ocirt, bundle):
    bundle.args("nosuch").save()
    status, text = at_terminal(ocirt, "run", "--bundle", bundle, "c1")
    assert (status, text) == (
        1,
        'ocirt: process.args: exec: "nosuch": executable file not found in $PATH\n'
        "  it is looked for in the root file system, a bare name in the directories of PATH in process.env\n",
    )


def test_warnings_at_a_terminal(ocirt, bundle):
    bundle.config["process"]["capabilities"]["bounding"] += ["CAP_NONSENSE"]
    bundle.save()
    status, text = at_terminal(ocirt, "create", "--bundle", bundle, "c1")
    assert (status, text) == (0, "ocirt: warning: process.capabilities: ignoring unknown capabilities: CAP_NONSENSE\n")


@pytest.mark.parametrize(
    "environment, colours",
    [
        ({"TERM": "xterm"}, True),
        ({}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
    ],
)
@pytest.mark.parametrize("words", [("state", "c1"), ("spec", "--bundle", "/nowhere")])
def test_colours(ocirt, environment, colours, words):
    """no-color.org; the executable and Python alike."""
    _, text = at_terminal(ocirt, *words, env=environment)
    assert text.startswith("\x1b[1;31mocirt:\x1b[0m " if colours else "ocirt: ")


def test_what_a_name_holds_moves_no_cursor(ocirt):
    _, text = at_terminal(ocirt, "state", "a\x1b[2J\x7f\u009b\r")
    assert text.startswith("ocirt: container does not exist: a\\x1b[2J\\x7f\\x9b\\x0d\n")


def test_json_that_was_asked_for_stays_json(ocirt):
    status, text = at_terminal(ocirt, *JSON, "state", "c1")
    assert status == 1 and json.loads(text)["msg"] == "container does not exist: c1"


def test_a_pipe_and_a_log_file_have_runcs_format(ocirt, tmp_path):
    assert re.fullmatch(r'time="[-0-9TZ:]+" level=error msg="container does not exist: c1"\n', ocirt("state", "c1").err)
    _, text = at_terminal(ocirt, "--log", str(tmp_path / "log"), "state", "c1")
    assert text.startswith("ocirt: container does not exist: c1\n")
    assert re.fullmatch(
        r'time="[-0-9TZ:]+" level=error msg="container does not exist: c1"\n', (tmp_path / "log").read_text()
    )


# ---- what can be read ----


def test_many_warnings_stand_in_the_errors_object(ocirt, bundle, tmp_path):
    """However long they are."""
    names = [f"CAP_NONSENSE_{number}" for number in range(2000)]
    bundle.config["process"]["capabilities"]["bounding"] += names
    bundle.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "no"}
    bundle.save()
    result = ocirt("create", "--bundle", bundle, "c1", options=("--log", tmp_path / "log", *JSON))
    entry = json.loads((tmp_path / "log").read_text())
    assert result.status == 1 and "net.ipv4.ip_forward" in entry["msg"]
    assert entry["warnings"] == ["process.capabilities: ignoring unknown capabilities: " + " ".join(names)]


def test_warnings_beyond_what_is_kept_are_lines(ocirt, bundle, tmp_path):
    """64 KiB wait for the verb's end; more are told at once, and nothing is lost."""
    names = [f"CAP_NONSENSE_{number}" for number in range(9000)]
    bundle.config["process"]["capabilities"]["bounding"] += names
    bundle.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "no"}
    bundle.save()
    ocirt("create", "--bundle", bundle, "c1", options=("--log", tmp_path / "log", *JSON))
    warning, error = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert warning["msg"].endswith(names[-1]) and error["level"] == "error"


def test_warnings_of_a_verb_that_succeeds_are_lines(ocirt, bundle, tmp_path):
    bundle.config["process"]["capabilities"]["bounding"] += ["CAP_NONSENSE"]
    bundle.save()
    for words in (("create", "--bundle", bundle, "c1"), ("run", "--detach", "--bundle", bundle, "c2")):
        (tmp_path / "log").write_text("")
        if words[0] == "run":
            ocirt.ok("delete", "--force", "c1")
        ocirt.ok(*words, options=("--log", tmp_path / "log", *JSON))
        assert [json.loads(line)["level"] for line in (tmp_path / "log").read_text().splitlines()] == ["warning"]
        (tmp_path / "log").write_text("")
    ocirt.ok("delete", "--force", "c2")
    ocirt.ok("create", "--bundle", bundle, "c1", options=("--log", tmp_path / "log", "--log-level", "error", *JSON))
    assert (tmp_path / "log").read_text() == ""


@pytest.mark.parametrize("options", [JSON, ()], ids=["json", "text"])
def test_bytes_that_are_no_text(ocirt, tmp_path, options):
    """As Go's encoder writes them: U+FFFD."""
    id = os.fsdecode(b"a\xffb\xc3")
    status, err = bytes_of(ocirt, "--log", str(tmp_path / "log"), *options, "state", id)
    assert status == 1 and b"a\xffb\xc3" in err
    text = (tmp_path / "log").read_bytes().decode()
    assert "a\ufffdb\ufffd" in text
    if options:
        assert json.loads(text)["msg"] == "container does not exist: a\ufffdb\ufffd"
    status, err = bytes_of(ocirt, *options, "state", id)
    assert status == 1 and "a\ufffdb\ufffd" in err.decode()


# ---- where it goes ----

VERBS = [
    ("list",),
    ("state", "c1"),
    ("kill", "c1"),
    ("features",),
    ("create", "c1"),
    ("exec", "c1", "true"),
    ("pause", "c1"),
    ("delete", "--force", "c1"),
]


@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
@pytest.mark.parametrize("log", ["/nowhere/log", "/dev/null/log", "journald:me", "syslog:me"])
def test_a_log_that_cannot_be_opened_is_an_error_at_once(ocirt, words, log):
    """Of verbs that have nothing to say, too."""
    if log.startswith(("journald", "syslog")) and (
        os.path.exists("/dev/log") or os.path.exists("/run/systemd/journal/socket")
    ):
        pytest.skip("this host has such a log")
    result = ocirt(*words, options=("--log", log))
    opened = {"journald:me": "connect to /run/systemd/journal/socket", "syslog:me": "connect to /dev/log"}
    assert result.status == (255 if words[0] == "exec" else 1) and result.out == ""
    assert f"--log {log}: {opened.get(log, 'open')}: no" in result.err
    assert result.err.count("\n") == 1 and "level=error" in result.err


@pytest.mark.parametrize("words", VERBS[:2])
def test_no_file_is_made_for_a_backend(ocirt, words, tmp_path):
    before = list(tmp_path.iterdir())
    ocirt(*words, options=("--log", "journald:me"), cwd=tmp_path)
    assert list(tmp_path.iterdir()) == before


def test_a_file_by_its_backend(ocirt, tmp_path):
    ocirt("state", "c1", options=("--log", "file:log"), cwd=tmp_path)
    assert "container does not exist: c1" in (tmp_path / "log").read_text()


def test_an_empty_value_means_not_given(ocirt, bundle, tmp_path):
    """As with runc, for a flag that stands alone or after another one of its kind."""
    empty = ("--pid-file", "", "--console-socket", "", "--pidfd-socket=", "--config", "", "--preserve-fds", "")
    pid = tmp_path / "pid"
    ocirt.ok(
        "create",
        "--bundle",
        bundle,
        "--pid-file",
        pid,
        *empty,
        "c1",
        options=("--log", "", "--log-format", "", "--criu="),
    )
    assert not pid.exists()
    assert "does not exist" in ocirt.fails("state", "c2", options=("--log", tmp_path / "log", "--log="))
    assert not (tmp_path / "log").exists()
    assert ocirt.ok("features", options=("--log", "")).err == ""
    assert 'found \\"\\", expected a directory' in ocirt("list", options=("--root", "")).err


@pytest.mark.parametrize(
    "log, place, expected",
    [
        ("syslog:me", "/dev/log", rb"<11>me\[\d+\]: container does not exist: c1"),
        (
            "journald:me",
            "/run/systemd/journal/socket",
            rb"PRIORITY=3\nSYSLOG_IDENTIFIER=me\nMESSAGE\n\x1c\0\0\0\0\0\0\0container does not exist: c1\n",
        ),
    ],
)
def test_backends(ocirt, tmp_path, log, place, expected):
    """crun's syntax, with a socket of the test's own where the host's daemon has it."""
    top = f"/{place.split('/')[1]}"
    script = (
        f"mount -t tmpfs none {top} && mkdir -p $(dirname {place}) && touch {place} && "
        f"mount --bind {tmp_path}/socket {place} && mknod -m 666 /dev/null c 1 3 2>/dev/null; "
        f"exec {' '.join(ocirt.command('state', 'c1', options=('--log', log)))}"
    )
    with socket(AF_UNIX, SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.settimeout(LIMIT)
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert (done.returncode, done.stderr) == (1, "container does not exist: c1\n")
        assert re.fullmatch(expected, listening.recv(1000))


# ---- errors that stay what they are ----


def limited(ocirt, descriptors, *words):
    """A command that may have so many descriptors, and no more by any way."""
    command = ["prlimit", f"--nofile={descriptors}:{descriptors}", *ocirt.command(*words)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)


@pytest.mark.parametrize("verb", [("state",), ("kill",), ("exec",), ("delete",), ("delete", "--force")], ids=" ".join)
def test_a_want_of_descriptors_is_no_missing_container(ocirt, bundle, verb):
    """An engine would take the container for gone."""
    bundle.args("sleep", "60").save()
    ocirt.ok("run", "--detach", "--bundle", bundle, "c1")
    done = limited(ocirt, 3, *verb, "c1", *(["true"] if verb == ("exec",) else []))
    assert done.returncode != 0 and "does not exist" not in done.stderr, done
    assert "no file descriptors available" in done.stderr or "too many open files" in done.stderr, done
    assert ocirt.status("c1") == "running"


def test_a_want_of_descriptors_is_told_as_such(ocirt, bundle):
    """Not as that of what was to be cleaned up for it; and nothing is left."""
    bundle.config["process"]["rlimits"] = []
    bundle.args("true").save()
    ocirt.ok("run", "--bundle", bundle, "c1")  # its program is kept
    for descriptors in range(4, 40, 2):
        done = limited(ocirt, descriptors, "run", "--bundle", bundle, "c1")
        if done.returncode == 0:
            break
        last = done.stderr.splitlines()[-1]
        assert "remove the state directory" not in last and re.search(
            "descriptors available|too many open files", last
        ), (descriptors, done)
        assert ocirt.ids() == [], descriptors
    assert done.returncode == 0 and descriptors > 10


def test_debug_shows_what_kill_does(ocirt, bundle):
    """Every verb says with --debug what it does; kill has no step of a program for a single process."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert "level=debug" not in ocirt.ok("kill", "c1", "CONT").err
    (line,) = ocirt.ok("kill", "c1", "CONT", options=["--debug"]).err.splitlines()
    assert "level=debug" in line and "kill: send the signal to the container's first process" in line
