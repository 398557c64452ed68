"""What stands on a command line: as long, as many and of whatever bytes a caller may give."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from ocirt.cli import flags
from tests.integration.harness import LIMIT
from tests.processor import PAGE

ODD = b"\xff\xfe\x80"
"""Bytes that are no UTF-8."""


@pytest.mark.parametrize("size", [4000, 4095, 4096, 4199, 4200, 16_384, 46_199, 46_200, 46_201, 100_000])
def test_long_paths(ocirt, bundle, size):
    """Each ends in an error of the kernel's, or works: never in a signal, and nothing is cut."""
    long = "/" + "/".join(["x" * 200] * (size // 201 + 1))[: size - 1].rstrip("/")
    bundle.args("true").save()
    for words in (
        ["--root", long, "state", "c1"],
        ["--root", long, "run", "--bundle", bundle, "c1"],
        ["run", "--bundle", long, "c1"],
        ["run", "--bundle", bundle, "--pid-file", long, "c1"],
        ["create", "--bundle", bundle, "--console-socket", long, "c1"],
        ["run", "--config", long, "--bundle", bundle, "c1"],
        ["exec", "--process", long, "c1"],
        ["exec", "--cwd", long, "c1", "true"],
        ["run", "--bundle", bundle, "--layer", long, "c1"],
        ["delete", "--force", long.replace("/", "")],
        ["exec", "--console-socket", long, "--tty", "c1", "true"],
        ["list", "--format", long],
        [*["--root", long] * 3, "list"],
    ):
        result = ocirt(*words)
        assert result.status in (0, 1, 255), (words[:2], result)
        assert result.status == 0 or result.err.count("\n") >= 1
    if size > 4095:
        assert f"--pid-file: found a path of {len(long)} bytes, expected at most 4095" in ocirt.fails(
            "run", "--bundle", bundle, "--pid-file", long, "c1"
        )


@pytest.mark.parametrize(
    "word",
    [
        "@program=",
        "@program=99999999999999999999",
        "@program=4294967296",
        "@program=1,-5x",
        "@program=x",
        "@program=-1",
        "@program=7,99999999999999999999",
    ],
)
def test_a_descriptor_that_is_no_number(ocirt, word):
    """The word by which Python hands a program over."""
    done = subprocess.run(
        [ocirt.executable, word, "create", "c1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 1 and "found no descriptor, expected that of a program" in done.stderr, done


@pytest.fixture
def box(ocirt, bundle):
    """A container that runs."""
    bundle.args("sleep", "600").save()
    ocirt.ok("run", "--detach", "--bundle", bundle, "c1")


def test_many_words(ocirt, box):
    """No number of --env is too large, in the first exec of a shape or in the next."""
    flags = [word for number in range(5000) for word in ("--env", f"N{number}=v")]
    for _ in range(2):
        assert ocirt.ok("exec", *flags, "c1", "sh", "-c", "env | grep -c ^N").out == "5000\n"
        assert ocirt.ok("exec", "c1", "sh", "-c", "echo $#", "sh", *["a"] * 20_000).out == "20000\n"
        assert len(ocirt.ok("exec", "--env", f"A={'x' * 120_000}", "c1", "sh", "-c", 'echo "$A"').out) == 120_001


def test_many_layers(ocirt, bundle, tmp_path):
    """Their paths together have no limit of ours: the kernel has one."""
    bundle.args("true").save()
    layers = [word for number in range(PAGE // 20) for word in ("--layer", f"{tmp_path}/{'x' * 250}{number}")]
    assert f"longer than the {PAGE - 1} bytes that the kernel takes" in ocirt.fails(
        "run", *layers, "--bundle", bundle, "c1"
    )


def raw(ocirt, *words):
    """Run a command with words of bytes: status, output and the log as bytes."""
    command = [os.fsencode(word) for word in ocirt.command()] + [
        os.fsencode(str(word)) if not isinstance(word, bytes) else word for word in words
    ]
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):  # not pipes: a container keeps its streams open
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=LIMIT, env=ocirt.environment
        )
        out.seek(0), err.seek(0)
        return done.returncode, out.read(), err.read()


def test_bytes_that_are_no_utf8(ocirt, bundle, tmp_path):
    """runc takes them for what they are: arguments, variables, directories. In JSON each stands as U+FFFD."""
    os.mkdir(os.fsencode(bundle.rootfs) + b"/" + ODD, 0o755)
    folder = os.fsencode(tmp_path) + b"/" + ODD
    os.mkdir(folder)
    config = {**bundle.config, "root": {**bundle.config["root"], "path": str(bundle.rootfs)}}
    config["process"]["args"] = ["sleep", "600"]
    with open(folder + b"/config.json", "w") as file:
        json.dump(config, file)
    for name in ("c1", "c2"):
        config["linux"]["cgroupsPath"] += name
        with open(folder + b"/config.json", "w") as file:
            json.dump(config, file)
        assert raw(ocirt, "run", "--detach", "--bundle", folder, "--pid-file", folder + b"/" + ODD, name) == (
            0,
            b"",
            b"",
        )
        assert int(open(folder + b"/" + ODD).read()) == ocirt.state(name)["pid"]
        assert ocirt.state(name)["bundle"] == f"{tmp_path}/\ufffd\ufffd\ufffd"
        assert raw(
            ocirt, "exec", "--env", b"A=" + ODD, "--cwd", b"/" + ODD, name, "sh", "-c", 'echo "$A $1"; pwd', "sh", ODD
        ) == (0, ODD + b" " + ODD + b"\n/" + ODD + b"\n", b"")
        (row,) = [row for row in json.loads(ocirt.ok("list", "--format", "json").out) if row["id"] == name]
        assert row["status"] == "running"
    status, _, err = raw(ocirt, "--log-format", "json", "run", "--bundle", folder + b"x", "c3")
    assert status == 1 and "\ufffd" in json.loads(err.decode())["msg"]
    status, _, err = raw(ocirt, "exec", "c1", b"/" + ODD + b"/" + ODD)
    assert status == 255 and b"no such file or directory" in err


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_descriptors_with_holes(ocirt, bundle, tmp_path, verb):
    """--preserve-fds passes on those that are open, as with runc and crun: with 5 open and 3 and 4 not, 5 alone, whether a program
    is compiled or kept. None that the runtime opens itself comes to the container."""
    (tmp_path / "data").write_text("preserved\n")
    script = "ls /proc/self/fd | tr '\\n' ' '; cat <&5"
    if verb == "exec":
        bundle.args("sleep", "600").save()
        ocirt.ok("run", "--detach", "--bundle", bundle, "c1")
        command = ocirt.command("exec", "--preserve-fds", "5", "c1", "sh", "-c", script)
    else:
        bundle.shell(script).save()
        command = ocirt.command("run", "--preserve-fds", "5", "--bundle", bundle, "c1")
    seen = []
    for _ in range(3):
        done = subprocess.run(
            ["sh", "-c", 'exec 5<"$0" 7<"$0" 3<&- 4<&- 6<&-; exec "$@"', tmp_path / "data", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env=ocirt.environment,
        )
        assert done.returncode == 0, done
        seen.append(done.stdout)
    assert set(seen) == {"0 1 2 3 5 7 preserved\n"}, seen  # 3 is ls's own


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/proc/self/fd/0"])
def test_files_from_a_pipe(ocirt, bundle, name):
    """A config, a process and resources may come through a pipe."""

    def fed(text, *words):
        done = subprocess.run(
            ocirt.command(*words), input=text, capture_output=True, text=True, timeout=LIMIT, env=ocirt.environment
        )
        assert done.returncode == 0, done
        return done.stdout

    bundle.shell("echo from a pipe").save()
    config = (bundle.path / "config.json").read_text()
    (bundle.path / "config.json").unlink()
    assert fed(config, "run", "--config", name, "--bundle", bundle, "c1") == "from a pipe\n"
    bundle.args("sleep", "600").save()
    ocirt.ok("run", "--detach", "--bundle", bundle, "c1")
    process = {"cwd": "/", "args": ["echo", "process"], "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"]}
    assert fed(json.dumps(process), "exec", "--process", name, "c1") == "process\n"
    assert fed(json.dumps({"pids": {"limit": 77}}), "update", "--resources", name, "c1") == ""
    assert fed(config, "validate", "--config", name) == ""
    assert "Exec" in fed(config, "plan", "--config", name, bundle)


CHOICES = [(flag, [], ["list"]) for flag in flags.GLOBAL if flag.choices] + [
    (flag, [name], ["c1"] * verb.arguments_min)
    for name, verb in flags.NATIVE.items()
    for flag in verb.flags
    if flag.choices
]


@pytest.mark.parametrize("flag, before, after", CHOICES, ids=lambda each: getattr(each, "name", ""))
def test_a_value_that_is_none_of_the_choices(ocirt, flag, before, after):
    """The launcher, which reads these by itself, takes what Python takes and refuses what Python refuses, whatever the verb is."""
    Path(ocirt.root).mkdir()
    result = ocirt(*before, f"--{flag.name}", "maybe", *after)
    assert result.status == 1 and f'--{flag.name}: found \\"maybe\\", expected' in result.err, result
    for choice in flag.choices if before == [] else ():
        ocirt.ok(*before, f"--{flag.name}", choice, *after)
