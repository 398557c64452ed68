"""The entry point: exit statuses, one line an error, never a traceback."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ocirt import boot
from ocirt.cli import create, output, spec
from ocirt.created_with import created_with
from ocirt.errors import ConfigError, OcirtError, StateError

ROOT = Path(__file__).parents[2]
START = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
try:
    import ocirt._build
except ImportError:  # a source tree without a build
    build = sys.modules["ocirt._build"] = type(sys)("ocirt._build")
    build.BUILD_ID = "0" * 32
from ocirt.boot import main
main(sys.argv[1:])
"""


def cli(*arguments):
    return boot.run(["@cli", "99", "-1", "/usr/bin/ocirt", *arguments])


def document(**words):
    """A descriptor of a request of these words."""
    fd = os.memfd_create("request", 0)
    os.write(fd, json.dumps({"key": {}, "bound": words, "other": {}}).encode())
    return fd


def process(*words, **options):
    """Run boot.main in an interpreter of its own, as the launcher does."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", START, *words],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        **options,
    )


def test_general_help(capfd):
    assert cli() == 0
    out, err = capfd.readouterr()
    assert out.startswith("NAME:\n   ocirt - ") and err == ""


def test_help_of_a_verb(capfd):
    assert cli("spec", "--help") == 0
    out, err = capfd.readouterr()
    assert out.startswith("NAME:\n   ocirt spec - ") and err == ""


def test_an_unknown_verb_is_status_3(capfd):
    assert cli("foo") == 3
    out, err = capfd.readouterr()
    assert out == "see ocirt --help\n" and err.endswith(" level=error msg=\"No help topic for 'foo'\"\n")


def test_a_usage_error_logs_the_reason_and_names_the_help(capfd):
    assert cli("list", "x") == 1
    out, err = capfd.readouterr()
    assert out == "see ocirt list --help\n"
    assert err.count("\n") == 1 and r'msg="/usr/bin/ocirt: \"list\" requires exactly 0 argument(s), found 1"' in err


@pytest.mark.parametrize(
    "words, status, message",
    [
        ("crate c", 3, "No help topic for 'crate'; did you mean create?"),
        ("help crate", 3, "No help topic for 'crate'; did you mean create?"),
        ("strat c", 3, "No help topic for 'strat'; did you mean start?"),
        ("halp", 3, "No help topic for 'halp'; did you mean help?"),
        ("kill --al c", 1, "flag provided but not defined: -al; did you mean --all?"),
        ("exec --evn=A=b c", 1, "flag provided but not defined: -evn; did you mean --env?"),
        ("--versoin", 1, "flag provided but not defined: -versoin; did you mean --version?"),
        ("list --zzz", 1, "flag provided but not defined: -zzz"),
        (
            "list --root /x",
            1,
            "flag provided but not defined: -root; it is a global flag, which must precede the verb: ocirt --root DIR list",
        ),
        (
            "state --systemd-cgroup c",
            1,
            "flag provided but not defined: -systemd-cgroup; it is a global flag, which must precede the verb: ocirt --systemd-cgroup state",
        ),
        (
            "--bundle x run c",
            1,
            "flag provided but not defined: -bundle; it is a flag of run, which must follow the verb: ocirt run --bundle",
        ),
        ("--log-level loud list", 1, '--log-level: found "loud", expected error, warning or debug'),
        ("--root= list", 1, '--root: found "", expected a directory'),
    ],
)
def test_what_was_meant(words, status, message, tmp_path, capfd):
    log = tmp_path / "log"
    assert cli("--log", str(log), "--log-format", "json", *words.split()) == status
    assert json.loads(log.read_text())["msg"] == message
    verb = words.split()[0] if status == 1 and not words.startswith("-") else ""
    assert capfd.readouterr() == (f"see ocirt {verb} --help\n".replace("  ", " "), message + "\n")


def test_a_usage_error_goes_to_the_log(tmp_path, capfd):
    log = tmp_path / "log"
    assert cli("--log", str(log), "--log-format", "json", "list", "--nope") == 1
    assert json.loads(log.read_text())["msg"] == "flag provided but not defined: -nope"
    assert capfd.readouterr().err == "flag provided but not defined: -nope\n"


def test_a_log_that_cannot_be_written_is_an_error(tmp_path, capfd):
    assert cli("--log", str(tmp_path / "no" / "log"), "features") == 1
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and "/no/log: open: no such file or directory" in err


def test_verbs_of_the_executable_go_back_to_it_in_plain_form(monkeypatch):
    seen = []
    monkeypatch.setattr("ocirt.cli.main.execute", lambda fd, words: seen.append((fd, words)))
    monkeypatch.setattr("ocirt.cli.main.import_module", lambda *_: type("Verb", (), {"run": lambda line: 0}))
    cli("delete", "-force=T", "c")
    assert seen == [(99, ["/usr/bin/ocirt", "delete", "--force=true", "--", "c"])]
    seen.clear()
    cli("--debug", "--version")
    assert seen[0] == (99, ["/usr/bin/ocirt", "--version"])


def test_a_form_that_has_been_given_back_is_not_given_back_again(capfd):
    assert cli("delete", "--force=true", "--", "c") == 1
    assert "does not read its own command line" in capfd.readouterr().err


@pytest.mark.parametrize("words", [[], ["@what"], ["create", "c"]])
def test_started_by_hand(words, capfd):
    assert boot.run(words) == 1
    assert capfd.readouterr().err.count("\n") == 1


def test_an_unexpected_exception_is_one_line(monkeypatch, capfd):
    def broken(*_):
        raise ZeroDivisionError("one\ntwo")

    monkeypatch.setattr("ocirt.cli.create.compile_and_give", broken)
    assert boot.run(["@compile", "9", str(document(id="c")), "ocirt"]) == 1
    assert capfd.readouterr().err.endswith(' level=error msg="internal error: ZeroDivisionError: one two"\n')
    assert boot.run(["@compile", "9", str(document(id="c", debug="1")), "ocirt"]) == 1
    assert "Traceback" in capfd.readouterr().err
    monkeypatch.setattr("ocirt.cli.features.run", broken)
    assert cli("--debug", "features") == 1
    assert "Traceback" in capfd.readouterr().err


def test_an_error_of_compile_goes_to_the_log_of_the_words(monkeypatch, tmp_path, capfd):
    def broken(*_):
        raise ConfigError("hostname", "7", "a string")

    monkeypatch.setattr("ocirt.cli.create.compile_and_give", broken)
    log = tmp_path / "log"
    fd = document(**{"log": str(log), "log-format": "json"})
    assert boot.run(["@compile", "9", str(fd), "ocirt", "create", "c"]) == 1
    assert json.loads(log.read_text())["msg"] == "config.json: hostname: found 7, expected a string"
    assert capfd.readouterr().err == "config.json: hostname: found 7, expected a string\n"


def test_a_request_of_any_bytes():
    """What is no UTF-8 is what it is in sys.argv; its descriptor is closed."""
    fd = os.memfd_create("request", 0)
    os.write(
        fd,
        b'{"key":{"verb":"exec"},"bound":{"id":"c","cwd":"/\xff\xed\xb2\x80\xc3\xa9\\n"},"other":{},"cache":"/\xfe","input":7}',
    )
    assert boot.read_request(fd) == {
        "verb": "exec",
        "id": "c",
        "cwd": os.fsdecode(b"/\xff\xed\xb2\x80\xc3\xa9\n"),
        "cache": os.fsdecode(b"/\xfe"),
        "input": 7,
        "cache-key": '{"verb":"exec"}',
        "cache-request": ({"verb": "exec"}, {"id": "c", "cwd": os.fsdecode(b"/\xff\xed\xb2\x80\xc3\xa9\n")}),
    }
    with pytest.raises(OSError):
        os.fstat(fd)
    assert boot.read_request(-1) == {}


def test_the_process_ends_with_the_status():
    done = process("@cli", "9", "-1", "ocirt", "foo")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "see ocirt --help\n", 1)
    assert process("@cli", "9", "-1", "ocirt", "--help").returncode == 0


def test_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", START, "@cli", "9", "-1", "ocirt", "help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr.endswith('msg="standard output: no space left on device"\n') and done.stderr.count("\n") == 1


def test_a_reader_that_is_gone_ends_it_as_a_program_in_c():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", START, "@cli", "9", "-1", "ocirt", "help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (-13, "")


def test_output_is_utf_8(capfdbinary):
    output.write("é\udcff\n")
    assert capfdbinary.readouterr().out == b"\xc3\xa9\xff\n"


def test_output_to_a_closed_descriptor(monkeypatch):
    def closed(*_):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(output.os, "write", closed)
    with pytest.raises(OcirtError, match="^standard output: bad file descriptor$"):
        output.write("x")


def test_reading_the_config_does_not_move_its_offset(tmp_path):
    (tmp_path / "config.json").write_bytes(b"{}" * 5000)
    fd = os.open(tmp_path / "config.json", os.O_RDONLY)
    os.lseek(fd, 7, os.SEEK_SET)
    assert create.read_all(fd) == b"{}" * 5000
    assert os.lseek(fd, 0, os.SEEK_CUR) == 7
    os.close(fd)


def test_the_program_is_sealed_and_inherited():
    fd = create.hand_over(b"program")
    assert os.get_inheritable(fd)
    assert os.pread(fd, 100, 0) == b"program"
    for change in (lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, 3), lambda: os.ftruncate(fd, 30)):
        with pytest.raises(PermissionError):
            change()
    os.close(fd)


@pytest.mark.parametrize(
    "given", [{}, {"A": "b"}, {"LC_CTYPE": "C"}, {"LC_CTYPE": "C.UTF-8", "PATH": ""}, {"LANG": "C.UTF-8"}]
)
def test_the_executable_gets_the_environment_that_python_got(given):
    """PEP 538: with LC_CTYPE=C Python's start changes the environment."""
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from ocirt.cli.create import execute\n"
        "import os; execute(os.open('/usr/bin/env', os.O_RDONLY), ['env'])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", program], env=given, capture_output=True, text=True, timeout=60
    )
    assert dict(line.split("=", 1) for line in done.stdout.splitlines()) == given


def test_the_executable_gets_the_signals_that_python_ignores():
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from ocirt import boot; boot._restore_signals()\n"
        "from ocirt.cli.create import execute\n"
        "import os; execute(os.open('/bin/cat', os.O_RDONLY), ['cat', '/proc/self/status'])"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", program], capture_output=True, text=True, timeout=60)
    status = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    ignored = int(status["SigIgn"], 16)
    assert not ignored >> signal.SIGPIPE - 1 & 1
    assert ignored >> signal.SIGXFSZ - 1 & 1, "the executable ignores it, too, and resets it for the container"


def test_what_cannot_be_executed_is_one_line(tmp_path):
    (tmp_path / "no").write_text("")
    fd = os.open(tmp_path / "no", os.O_RDONLY)
    with pytest.raises(OcirtError, match="^execute ocirt again: permission denied$"):
        create.execute(fd, ["x"])
    os.close(fd)


def stored_container(tmp_path, state):
    directory = tmp_path / "c"
    directory.mkdir()
    (directory / "state.json").write_text(state if isinstance(state, str) else json.dumps(state))
    (directory / "config.json").write_bytes(b'{"ociVersion": "1.3.0"}')
    return {"verb": "start", "id": "c", "root": str(tmp_path), "self": "5", "log": "/l"}


def test_a_container_of_another_build_is_compiled_from_what_create_stored(tmp_path):
    words = stored_container(tmp_path, {"bundle": "/b", "request": {"verb": "create", "no-pivot": "1"}})
    assert created_with(words) == (
        b'{"ociVersion": "1.3.0"}',
        {"verb": "create", "no-pivot": "1", "id": "c", "root": str(tmp_path), "bundle": "/b"},
        '{"verb": "create", "no-pivot": "1"}',
    )


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"bundle": "/b", "request": 7}'])
def test_a_state_json_of_nobody(tmp_path, state):
    with pytest.raises(StateError, match="state.json is not what create writes"):
        created_with(stored_container(tmp_path, state))


def test_a_missing_state_json(tmp_path):
    words = stored_container(tmp_path, "{}")
    (tmp_path / "c" / "state.json").unlink()
    with pytest.raises(StateError, match="container c: state.json: no such file or directory"):
        created_with(words)


CONFIG = spec.default() if os.geteuid() == 0 else spec.rootless(os.geteuid(), os.getegid())
"""One that whoever runs the tests may create."""


def start(branch, words, *arguments, input=None):
    """Run boot.main for the request of these words, as the executable does: the process, and what it has written to ``output``."""
    ours, output = os.pipe()
    fds, given = [output], {"output": output}
    if input is not None:
        fds.append(os.open(input, os.O_RDONLY))
        given["input"] = fds[-1]
    fds.append(document(**words, **given))
    try:
        done = process(branch, "9", str(fds[-1]), *arguments, pass_fds=fds)
    finally:
        for fd in fds:
            os.close(fd)
    with open(ours, "rb") as file:
        return done, file.read()


def test_create_gives_the_program_to_the_executable(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    words = {
        "verb": "create",
        "id": "c",
        "bundle": str(tmp_path),
        "root": f"{tmp_path}/root",
        "console-socket": "/s",
    }
    done, program = start("@compile", words, "ocirt", "create", "c", input=tmp_path / "config.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert program.startswith(b"ocirtprg") and int.from_bytes(program[12:16], "little") == len(program)


def test_a_create_that_cannot_be_compiled_gives_nothing(tmp_path):
    (tmp_path / "config.json").write_text('{"hostname": 7}')
    words = {"verb": "create", "id": "c", "bundle": str(tmp_path), "root": f"{tmp_path}/root"}
    done, program = start("@compile", words, "ocirt", "create", "c", input=tmp_path / "config.json")
    assert (done.returncode, program) == (1, b"") and "found" in done.stderr


def test_a_later_verb_gets_its_program(tmp_path):
    words = stored_container(tmp_path, {"bundle": "/b", "request": {"verb": "create", "console-socket": "/s"}})
    (tmp_path / "c" / "config.json").write_text(json.dumps(CONFIG))
    given = {"verb": "start", "id": "c", "root": words["root"]}
    done, program = start("@recompile", given, "ocirt", "start", "c")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert program.startswith(b"ocirtprg")
