"""The parts of the library that need no container."""

import asyncio
import errno
import json
import math
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import ocirt
from ocirt import errors, failures, result
from ocirt.compile import compile
from ocirt.library import arguments, eventloop, limits, report, submounts, waiting
from ocirt.library.children import _above
from ocirt.library.lifecycle import Bundle, contents, exec_flags
from ocirt.library.program import Program
from ocirt.library.report import Begin, End
from ocirt.library.runtime import Runtime, default_root, installed_executable
from ocirt.library.streams import DEVNULL, PIPE, STDOUT, Output, Streams
from ocirt.library.waiting import Wait, deadline_in, drive
from ocirt.model.config import parse
from ocirt.model.host import Host
from ocirt.model.request import Request
from ocirt.result import CommandFailed, Result
from ocirt.validate import validate

ROOT = Path(__file__).parents[2]


# ---- the package's names ----


def test_names_are_there_when_asked_for():
    assert {name for name in ocirt.__all__ if getattr(ocirt, name) is None} == set()
    assert ocirt.aio.Container is not ocirt.Container and ocirt.run is not ocirt.aio.run and callable(ocirt.sandbox)
    assert set(ocirt.__all__) <= set(dir(ocirt))
    with pytest.raises(AttributeError, match="nonsense"):
        ocirt.nonsense


def test_importing_the_package_imports_nothing_else():
    program = "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules); import ocirt; print(set(sys.modules) - before)"
    out = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, ROOT], capture_output=True, text=True, check=True, timeout=60
    )
    assert out.stdout == "{'ocirt'}\n"


def test_type_checkers_see_the_same_names():
    """What stands under TYPE_CHECKING, in __all__ and in _HOMES is one list."""
    source = (ROOT / "ocirt/__init__.py").read_text()
    imported = set(re.findall(r"^    from \S+ import \w+ as (\w+)$", source, re.M))
    homes = {name for names in ocirt._HOMES.values() for name in names}
    assert imported == homes == set(ocirt.__all__)


# ---- errors ----


def classes():
    return {
        each.__name__: each
        for module in (errors, failures, result)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, errors.OcirtError)
    }


def test_the_tree_that_is_drawn_is_the_tree():
    drawn, path = {}, []
    for line in errors.__doc__.splitlines():
        found = re.match(r"((?: │   | {5})*(?: [├└]── )?)([A-Z]\w+)( \*)? ", line)
        if found and (found[1] or found[2] == "OcirtError"):
            depth = len(found[1]) // 5
            path[depth:] = [found[2]]
            drawn[found[2]] = (path[depth - 1] if depth else None, bool(found[3]))
    assert drawn == {
        name: (
            each.__bases__[0].__name__ if each is not errors.OcirtError else None,
            each.__module__ in (failures.__name__, result.__name__),
        )
        for name, each in classes().items()
    }
    assert set(drawn) <= set(ocirt.__all__)


@pytest.mark.parametrize(
    "error",
    [
        errors.ConfigError("mounts[1].type", "3", "a string"),
        errors.HostError("linux.seccomp", "no"),
        errors.NoContainer("c"),
        failures.TimeoutExpired("x", 2.5, b"out", b"err"),
        CommandFailed(Result(("a", "b"), 3)),
        failures.StepError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_travel_between_processes(error):
    error.errno = errno.ENOENT
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is type(error) and str(other) == str(error) and other.__dict__ == error.__dict__


LINES = [
    ({"msg": "container does not exist: c"}, errors.NoContainer, {"id": "c"}),
    ({"msg": "container already exists: c"}, failures.ContainerExists, {"id": "c"}),
    ({"msg": "container not running: c is stopped"}, failures.WrongState, {"id": "c"}),
    ({"msg": "exec failed: cannot exec in a stopped container"}, failures.WrongState, {"id": "c"}),
    (
        {
            "msg": "config.json: a.b: found 3, expected x, expected y",
            "kind": "ConfigError",
            "phase": "compile",
            "path": "a.b",
        },
        errors.ConfigError,
        {"path": "a.b", "found": "3, expected x", "expected": "y", "phase": "compile"},
    ),
    (
        {"msg": "config.json: found [], expected an object", "kind": "ConfigError"},
        errors.ConfigError,
        {"path": "", "found": "[]", "expected": "an object"},
    ),
    ({"msg": "linux.x: not here", "kind": "HostError", "path": "linux.x"}, errors.HostError, {"message": "not here"}),
    (
        {"msg": "mounts[3]: bind", "phase": "init", "path": "mounts[3]", "errno": 2},
        failures.StepError,
        {"phase": "init", "path": "mounts[3]", "errno": 2},
    ),
    (
        {"msg": "exec failed: process.args: exec", "phase": "init", "path": "process.args", "errno": 13},
        failures.ProgramError,
        {"errno": 13},
    ),
    ({"msg": "--cwd: bad", "kind": "RequestError"}, errors.RequestError, {"phase": "request"}),
    (
        {"msg": "config.json: open /b/config.json: no such file or directory", "errno": 2},
        errors.ConfigError,
        {"path": "config.json", "found": "no such file or directory", "phase": "compile", "errno": 2},
    ),
    (
        {"msg": "root.path: bind /x: open_tree: not a directory", "phase": "host", "path": "root.path", "errno": 20},
        errors.ConfigError,
        {"path": "root.path", "found": "not a directory", "expected": "an existing directory", "phase": "host"},
    ),
    (
        {"msg": "root.path: bind /x: open_tree: permission denied", "phase": "host", "path": "root.path", "errno": 13},
        failures.StepError,
        {},
    ),
    ({"msg": "something else"}, errors.OcirtError, {"phase": None, "errno": None}),
    ({"msg": "new", "kind": "ofTheFuture"}, errors.OcirtError, {}),
]


def test_a_root_directory_is_the_librarys_argument():
    """What the executable says to do is for a command line."""
    hint = "; set XDG_RUNTIME_DIR to a directory of this user, or give --root another one"
    error = report.error_of({"level": "error", "msg": f"--root /a: permission denied{hint}", "errno": 13})
    assert type(error) is errors.HostError and (error.path, error.errno) == ("root", 13)
    assert str(error).startswith("Runtime(root='/a'): permission denied; pass Runtime(root=...)")
    assert "XDG" not in str(error)


@pytest.mark.parametrize("line, kind, members", LINES, ids=lambda value: str(value)[:40])
def test_what_the_executable_says_becomes_an_error(line, kind, members):
    error = report.error_of({"level": "error", **line}, "c")
    assert type(error) is kind and str(error) == line["msg"]
    assert {name: getattr(error, name) for name in members} == members


def test_texts_are_the_executables():
    """The beginnings by which errors are told apart stand in its sources."""
    sources = "".join(path.read_text() for path in (ROOT / "ocirt/core").rglob("*.c"))
    assert [text for text, _ in report.TEXTS if f'"{text}' not in sources] == []


def test_lines_of_all_kinds():
    data = b'{"level":"warning","msg":"w"}\n{"pid":7,"startTime":9}\nTraceback\n{"level":"error","msg":"\xff"}\n[1]\n{"signal":9,"oomKills":2}'
    lines = report.parse(data)
    assert [report.begin_of(line) for line in lines if report.begin_of(line)] == [Begin(7, 9)]
    assert [report.end_of(line) for line in lines if report.end_of(line)] == [End(137, 9, 2)]
    assert report.end_of({"exitCode": 3, "cpuMicroseconds": 2500, "memoryPeak": 7, "clock": 9}) == End(
        3, 0, 0, 0.0025, 7, 9
    )
    assert report.begin_of({"pid": 5, "startTime": 6, "clock": 8}) == Begin(5, 6, 8)
    assert report.end_of({"exitCode": 0}) == End(0) and str(report.error_in(lines)) == "[1]"
    assert str(report.error_in(lines[:4])) == "\ufffd" and report.error_in(lines[:2]) is None
    assert str(report.error_in(report.parse(b"Traceback\n"))) == "Traceback"


# ---- where the executable is ----


@pytest.mark.parametrize(
    "package, binary",
    [
        ("lib/python3.11/site-packages/ocirt", "bin"),
        ("lib/python3/dist-packages/ocirt", "bin"),
        ("ocirt", "bin"),
        ("ocirt", "build/bin"),
    ],
)
def test_the_executable_that_belongs_to_the_package(tmp_path, package, binary):
    (tmp_path / package).mkdir(parents=True)
    (tmp_path / binary).mkdir(parents=True)
    (tmp_path / binary / "ocirt").touch()
    with pytest.raises(failures.InstallationError, match="hack/build"):
        installed_executable(str(tmp_path / package))
    (tmp_path / binary / "ocirt-python").touch()
    assert installed_executable(str(tmp_path / package)) == str(tmp_path / binary / "ocirt")


def test_the_environment_is_not_consulted(monkeypatch):
    """Only cli reads it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/elsewhere")
    monkeypatch.setenv("OCIRT_CACHE", "/elsewhere")
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    runtime = Runtime(executable="/bin/true")
    assert runtime.root == default_root() == "/run/user/54321/ocirt" and "/elsewhere" not in str(runtime)
    for path in (ROOT / "ocirt/library").glob("*.py"):
        assert (
            "environ[" not in path.read_text()
            and "getenv" not in path.read_text()
            and "os.environ" not in path.read_text()
        )


def test_a_runtime_has_absolute_paths(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    runtime = Runtime(executable="x/ocirt", root="state")
    assert runtime.command("state", "c") == [
        f"{tmp_path}/x/ocirt",
        "--root",
        f"{tmp_path}/state",
        "--log-format",
        "json",
        "--cgroup-manager",
        "auto",
        "state",
        "c",
    ]


# ---- what is asked for ----


def test_a_bundle_in_memory(tmp_path):
    config = {"root": {"readonly": True, "path": "rootfs"}, "hostname": "x"}
    bundle = Bundle(None, config, tmp_path)
    assert json.loads(contents(bundle.config)) == {"root": {"readonly": True, "path": str(tmp_path)}, "hostname": "x"}
    assert bundle.directory == str(tmp_path) and config["root"]["path"] == "rootfs"
    bundle.close()
    assert Bundle(tmp_path, config, None).directory == str(tmp_path)  # relative to the bundle


def test_flags_of_exec():
    assert Program.of(["true"]).exec_flags == exec_flags((), (), False) == []
    assert Program.of(["true"], "/x", {"A": "b=c"}, 7).exec_flags == ["--cwd", "/x", "--env", "A=b=c", "--user", "7"]
    assert Program.of(["true"], user=(7, 8), terminal=True).exec_flags == ["--user", "7:8", "--tty"]
    assert exec_flags([8, 9], ["CAP_KILL"], True) == [
        "--no-new-privs",
        "--additional-gids",
        "8",
        "--additional-gids",
        "9",
        "--cap",
        "CAP_KILL",
    ]


def test_descriptors_are_moved_out_of_the_way():
    moved = []
    reading, writing = os.pipe()
    assert _above(reading, reading - 1, moved) == reading and moved == []
    copy = _above(reading, reading + 40, moved)
    assert copy > reading + 40 and [each.fileno() for each in moved] == [copy] and not os.get_inheritable(copy)
    for fd in (reading, writing):
        os.close(fd)


def test_streams(tmp_path):
    with open(tmp_path / "file", "wb") as file:
        streams = Streams.open(PIPE, file, STDOUT)
        assert streams.given[1:] == [file.fileno()] * 2 and set(streams.ours) == {0}
        theirs = streams.given[0]
        streams.given_away()
        with pytest.raises(OSError):
            os.fstat(theirs)
        with pytest.raises(BrokenPipeError):
            os.write(streams.ours[0].fileno(), b"x")
        streams.close()


@pytest.mark.parametrize("number, value", [(0, STDOUT), (0, 7), (1, sys.stderr), (1, STDOUT), (2, PIPE), (2, 2)])
def test_a_terminal_leaves_no_stream_to_choose(number, value):
    """The process has the terminal three times; a stream that the caller chooses would be ignored."""
    name, wanted = ("stdin", "stdout", "stderr")[number], [None, DEVNULL, DEVNULL]
    wanted[number] = value
    with pytest.raises(errors.RequestError, match=f"^{name}: found .*, expected nothing but terminal=") as caught:
        Streams.of_exec((24, 80), *wanted)
    assert caught.value.path == name


@pytest.mark.parametrize("wanted", [(DEVNULL,) * 3, (None,) * 3, (PIPE, PIPE, STDOUT)])
def test_streams_that_are_a_terminals(wanted):
    streams = Streams.of_exec((24, 80), *wanted)
    assert all(os.isatty(fd) for fd in streams.given) and set(streams.ours) == {0, 1}
    streams.given_away()
    streams.close()


def test_output_is_limited():
    output = Output(5)
    output.add(1, b"abc")
    assert not output.truncated
    output.add(2, b"de")
    assert not output.truncated  # exactly as much
    output.add(1, b"f")
    assert output.truncated and (output.of(1), output.of(2)) == (b"abc", b"de")


# ---- what is asked for wrongly ----


async def asynchronous(line):
    raise AssertionError(line)


WRONG = [
    (
        lambda: ocirt.sandbox("ls -l"),
        "args: found 'ls -l', expected a list of the program and its arguments: ['ls', '-l']",
    ),
    (lambda: ocirt.sandbox(b"ls"), "args: found b'ls', expected a list of the program and its arguments: ['ls']"),
    (lambda: ocirt.sandbox("echo 'x"), """args: found "echo 'x", expected a list .*: ['sh', '-c', "echo 'x"]"""),
    (lambda: ocirt.sandbox(None), "args: found None, expected a list of the program and its arguments"),
    (lambda: ocirt.sandbox([]), "args: found [], expected a list of the program and its arguments"),
    (lambda: ocirt.sandbox(["sleep", 5]), "args[1]: found 5, expected text"),
    (lambda: ocirt.sandbox(["a\0b"]), "args[0]: found 'a\\x00b', expected text without a NUL"),
    (
        lambda: ocirt.sandbox(["ls"], memory="64 apples"),
        "memory: found '64 apples', expected a number of bytes like 512m or 1.5g",
    ),
    (lambda: ocirt.sandbox(["ls"], memory=-1), "memory: found -1, expected a number of bytes"),
    (lambda: ocirt.sandbox(["ls"], memory=1e9), "memory: found 1000000000.0, expected a number of bytes"),
    (lambda: ocirt.sandbox(["ls"], scratch=True), "scratch: found True, expected a number of bytes"),
    (lambda: ocirt.sandbox(["ls"], cpus="1"), "cpus: found '1', expected a number above 0"),
    (lambda: ocirt.sandbox(["ls"], cpus=0), "cpus: found 0, expected a number above 0"),
    (lambda: ocirt.sandbox(["ls"], memory=0), "memory: found 0, expected 1 byte or more"),
    (lambda: ocirt.sandbox(["ls"], memory="0m"), "memory: found '0m', expected 1 byte or more"),
    (lambda: ocirt.sandbox(["ls"], memory="9999999999g"), "memory: found '9999999999g', expected at most 4611686018"),
    (lambda: ocirt.sandbox(["ls"], scratch=0), "scratch: found 0, expected 1 byte or more"),
    (lambda: ocirt.sandbox(["ls"], processes=0), "processes: found 0, expected 1 or more"),
    (lambda: ocirt.sandbox(["ls"], cpus=math.inf), "cpus: found inf, expected at most 1048576; None sets no limit"),
    (lambda: ocirt.sandbox(["ls"], cpus=1e9), "cpus: found 1000000000.0, expected at most 1048576"),
    (lambda: ocirt.sandbox(["ls"], cpus=math.nan), "cpus: found nan, expected a number above 0"),
    (lambda: ocirt.sandbox(["ls"], cgroup=""), "cgroup: found '', expected the path of a cgroup"),
    (lambda: ocirt.sandbox(["ls"], cgroup=5), "cgroup: found 5, expected the path of a cgroup"),
    (
        lambda: ocirt.sandbox(["ls"], landlock="read:/"),
        "landlock: found 'read:/', expected a list of words: ['read:/']",
    ),
    (lambda: ocirt.Sandbox(""), "rootfs: found '', expected an ocirt.Image, or a directory"),
    (lambda: ocirt.Sandbox("/", memory=0), "memory: found 0, expected 1 byte or more"),
    (lambda: ocirt.Sandbox("/", disk=0), "disk: found 0, expected 1 byte or more"),
    (lambda: ocirt.Sandbox("/", cgroup=""), "cgroup: found '', expected the path of a cgroup"),
    (
        lambda: ocirt.Sandbox("/", files={"/a": "\udcff"}),
        "files['/a']: found '\\udcff', expected text of whole Unicode characters, or bytes",
    ),
    (lambda: ocirt.Sandbox("/", files={"/": ocirt.Bind("/")}), "files['/']: found '/', expected the path of a file"),
    (lambda: ocirt.Sandbox("/", files={"/a/..": "x"}), "files['/a/..']: found '/a/..', expected the path of a file"),
    (lambda: ocirt.Sandbox("/", files={"/a/": "x"}), "files['/a/']: found '/a/', expected the path of a file"),
    (lambda: ocirt.run(""), "bundle: found '', expected a directory"),
    (lambda: ocirt.run(config={}, rootfs=""), "rootfs: found '', expected a directory"),
    (lambda: ocirt.run(config={}, rootfs="/", input=5), "input: found 5, expected bytes or text"),
    (
        lambda: ocirt.run(config={}, rootfs="/", input="\udcff"),
        "input: found '\\udcff', expected text of whole Unicode characters, or bytes",
    ),
    (
        lambda: ocirt.run(config={}, rootfs="/", timeout="5"),
        "timeout: found '5', expected a number of seconds",
    ),
    (
        lambda: ocirt.run(config={}, rootfs="/", timeout=math.nan),
        "timeout: found nan, expected a number of seconds",
    ),
    (
        lambda: ocirt.Sandbox("/").run(["ls"], on_output=asynchronous),
        "on_output: found <function .*, expected a function that is not async",
    ),
    (lambda: ocirt.Sandbox("/").run(["ls"], on_output=5), "on_output: found 5, expected a function"),
    (lambda: ocirt.sandbox(["ls"], processes="9"), "processes: found '9', expected a whole number"),
    (lambda: ocirt.sandbox(["ls"], files=1.5), "files: found 1.5, expected a whole number"),
    (lambda: ocirt.sandbox(["ls"], env=["A=b"]), "env: found ['A=b'], expected a dict"),
    (lambda: ocirt.sandbox(["ls"], binds=["/a"]), "binds: found ['/a'], expected a dict"),
    (
        lambda: ocirt.sandbox(["ls"], binds={"data": "/a"}),
        "binds['data']: found 'data', expected an absolute path in the container",
    ),
    (
        lambda: ocirt.sandbox(["ls"], binds={"/a": ""}),
        "binds['/a']: found '', expected a file or directory of the host",
    ),
    (lambda: ocirt.sandbox(["ls"], binds={"/a": 5}), "binds['/a']: found 5, expected a file or directory of the host"),
    (lambda: ocirt.sandbox(["ls"], env={"A": 1}), "env['A']: found 1, expected names and values that are text"),
    (
        lambda: ocirt.run(["ls"]),
        "bundle: found ['ls'], expected a directory (a command is run by config=ocirt.sandbox([...])",
    ),
    (lambda: ocirt.run(config="sh", rootfs="/"), "config: found 'sh', expected a dict, as ocirt.sandbox makes it"),
    (
        lambda: ocirt.run(config={}, rootfs="/", max_output="much"),
        "max_output: found 'much', expected a number of bytes",
    ),
    (
        lambda: ocirt.run(config={}, rootfs="/", limits="none"),
        "limits: found 'none', expected 'required' or 'best-effort'",
    ),
    (lambda: arguments.words("args", "ls"), "args: found 'ls', expected a list"),
    (lambda: arguments.resources([]), "resources: found [], expected a dict like linux.resources"),
    (
        lambda: arguments.resources({"memory": {"limit": "x"}}),
        "resources.memory.limit: found 'x', expected a number of bytes",
    ),
]


@pytest.mark.parametrize("call, message", WRONG, ids=[message.partition(",")[0] for _, message in WRONG])
def test_a_wrong_argument_is_refused_in_a_sentence(call, message, monkeypatch):
    monkeypatch.setattr(Runtime, "__post_init__", lambda self: None)
    with pytest.raises(errors.RequestError) as failure:
        call()
    assert re.match(re.escape(message).replace(re.escape(".*"), ".*"), str(failure.value)), failure.value
    assert failure.value.phase == "request" and message.startswith(failure.value.path)


def test_sizes_may_be_text():
    """As on the command line: one parser for both."""
    config = ocirt.sandbox(["ls"], memory="64m", scratch="1.5 MiB")
    if os.geteuid() == 0:
        assert config["linux"]["resources"]["memory"] == {"limit": 64 << 20, "swap": 64 << 20}
    assert "size=1572864" in config["mounts"][2]["options"]
    given = {"memory": {"limit": "1g", "swap": -1, "swappiness": 5}, "pids": {"limit": 3}}
    assert arguments.resources(given) == {
        "memory": {"limit": 1 << 30, "swap": -1, "swappiness": 5},
        "pids": {"limit": 3},
    }
    assert given["memory"]["limit"] == "1g"


# ---- waiting ----


def test_an_operation_is_driven():
    reading, writing = os.pipe()

    def operation():
        assert (yield Wait({reading: 1}, deadline_in(0.01))) == {}
        os.write(writing, b"x")
        assert (yield Wait({reading: 1}, deadline_in(10))) == {reading: 1}
        return "value"

    begin = time.monotonic()
    assert drive(operation()) == "value" and time.monotonic() - begin >= 0.01
    os.close(reading), os.close(writing)


@pytest.mark.parametrize("seconds", [3e6, 1e12, math.inf])
@pytest.mark.parametrize("driver", [drive, lambda operation: asyncio.run(eventloop.drive(operation))])
def test_a_wait_may_last_longer_than_poll_can(driver, seconds, monkeypatch):
    """The kernel counts milliseconds in an int."""
    monkeypatch.setattr(waiting, "POLL_SECONDS_MAX", 0.01)
    reading, writing = os.pipe()

    def operation():
        ready = yield Wait({reading: 1}, deadline_in(seconds))
        return ready

    threading.Timer(0.1, os.write, (writing, b"x")).start()
    assert driver(operation()) == {reading: 1}
    os.close(reading), os.close(writing)


def test_what_interrupts_a_wait_is_thrown_into_the_operation(monkeypatch):
    """Which may wait for its cleaning up."""
    seen = []

    def operation():
        try:
            yield Wait({-1: 1})  # no descriptor: the wait itself fails
        except ValueError:
            seen.append("interrupted")
            yield Wait({}, deadline_in(0))
            seen.append("clean")
            raise

    with pytest.raises(ValueError):
        drive(operation())
    assert seen == ["interrupted", "clean"]


# ---- sandbox ----


def test_a_sandbox_is_a_valid_config():
    for given in (
        {},
        {"memory": None, "processes": None, "cpus": None},
        {"binds": {"/x": "/etc"}, "env": {"A": "b"}, "cgroup": "/x"},
    ):
        config = ocirt.sandbox(["sh"], **given)
        assert validate(json.dumps(config).encode()) == []


def test_a_users_sandbox_has_a_user_namespace(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    config = ocirt.sandbox(["sh"], uid=5)
    assert {"type": "user"} in config["linux"]["namespaces"]
    assert set(config["linux"]["resources"]) == {"memory", "pids", "cpu"}  # devices are no user's to make
    assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": 54321, "size": 1}]
    assert config["process"]["user"]["uid"] == 0


def test_mounts_below_a_root_file_system(monkeypatch, tmp_path):
    """The topmost ones, but for what the config covers; a neighbour with a longer name is none."""
    top = str(tmp_path)
    monkeypatch.setattr(
        submounts,
        "mount_points",
        lambda: {
            "/",
            top,
            f"{top}/usr",
            f"{top}/usr/lib",
            f"{top}/proc",
            f"{top}/proc/sys/x",
            f"{top}/process",
            f"{top}-other/x",
            "/elsewhere",
        },
    )
    found = submounts.readonly_binds(top, ["/proc/", "/dev"])
    assert [(each["destination"], each["source"]) for each in found] == [
        ("/process", f"{top}/process"),
        ("/usr", f"{top}/usr"),
    ]
    assert all("rro" in each["options"] for each in found)
    assert {"/elsewhere", top} <= {each["destination"] for each in submounts.readonly_binds("/", [])}


# ---- limits of a user ----

MEMORY = ["linux.resources.memory.limit"]


@pytest.fixture
def as_user(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    return Runtime(executable="/bin/true", root=tmp_path, environment={"XDG_RUNTIME_DIR": str(tmp_path)})


def test_only_who_says_so_goes_without_limits(as_user, monkeypatch):
    """Who makes the cgroup is the compiler's to decide (tests/unit/test_cgroups_v2.py): the library passes no manager of its own."""
    assert as_user.cgroup_manager == "auto"
    assert limits.options("required") == [] and limits.options("best-effort") == ["--rootless", "true"]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert limits.options("best-effort") == []


def test_a_limit_that_cannot_be_had_is_named(as_user):
    refused = errors.made_anew(
        failures.StepError, f"{MEMORY[0]}: write cgroup: permission denied", path=MEMORY[0], errno=13, phase="host"
    )
    told = limits.explained(refused)
    assert type(told) is errors.HostError and (told.path, told.errno, told.phase) == (MEMORY[0], 13, "host")
    assert all(way in str(told) for way in ("as root", "enable-linger", "None", 'limits="best-effort"', str(refused)))
    for path, number in (("mounts[1]", 13), (MEMORY[0], 22), (None, 13)):
        other = errors.made_anew(failures.StepError, "no", path=path, errno=number)
        assert limits.explained(other) is other


def test_modules_are_small():
    for path in [
        *(ROOT / "ocirt/library").glob("*.py"),
        ROOT / "ocirt/container.py",
        ROOT / "ocirt/pools.py",
        *(ROOT / "ocirt/aio").glob("*.py"),
        ROOT / "ocirt/result.py",
    ]:
        assert len(path.read_text().splitlines()) < 650, path


def compiled(config):
    words = {"id": "c", "bundle": "/b", "root": "/r", "verb": "create"}
    return compile(parse(json.dumps(config).encode()), Request(words), Host())


@pytest.mark.skipif(os.geteuid() != 0, reason="the container of root's sandbox is root's to make")
def test_a_sandbox_without_limits_writes_none():
    names = [
        type(step).__name__
        for step in compiled(ocirt.sandbox(["sh"], memory=None, processes=None, cpus=None)).sections["host"]
    ]
    assert names.count("WriteCgroup") < len(
        [1 for step in compiled(ocirt.sandbox(["sh"])).sections["host"] if type(step).__name__ == "WriteCgroup"]
    )
