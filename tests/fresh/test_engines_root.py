"""hack/engines-root: a root of another Debian's userland, how it is made, and commands in it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conformance import cells

TREE = Path(__file__).parents[2]
SCRIPT = TREE / "hack/engines-root"
LIMIT = 1500 * cells.SLOWNESS
FAKE = """\
#!/bin/bash
# Makes what mmdebstrap would make, as far as the script sees it. With the file "hang" beside it, it does not end.
folder=${0%/*}
for word; do [[ $word != "$XDG_CACHE_HOME"/* ]] || mkdir "$word"; done
echo made >>"$folder/log"
[[ ! -e $folder/hang ]] || exec sleep 2988
"""


def run(*words, **more):
    return subprocess.run(
        [SCRIPT, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, **more
    )


@pytest.fixture
def fake(tmp_path):
    """The environment in which another mmdebstrap, and an empty cache, are used."""
    program = tmp_path / "bin/mmdebstrap"
    program.parent.mkdir()
    program.write_text(FAKE)
    program.chmod(0o755)
    return os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "FAKE": str(program.parent),
    }


def kept(environment):
    return sorted(path.name for path in Path(environment["XDG_CACHE_HOME"], "ocirt-engines").glob("root-*"))


def made(environment):
    log = Path(environment["FAKE"], "log")
    return log.read_text().count("made") if log.exists() else 0


def until(condition, child=None):
    end = time.monotonic() + 30 * cells.SLOWNESS
    while not condition():
        assert time.monotonic() < end and (child is None or child.poll() is None)
        time.sleep(0.05)


def test_it_is_made_once_and_again_if_asked(fake):
    first = run("forky", env=fake)
    assert first.returncode == 0 and Path(first.stdout.strip()).name.startswith("root-forky-"), first
    assert run("forky", env=fake).stdout == first.stdout and made(fake) == 1
    assert run("--rebuild", "forky", env=fake).stdout == first.stdout and made(fake) == 2
    assert run("trixie", env=fake).stdout != first.stdout and len(kept(fake)) == 2


def test_a_killed_one_does_not_count(fake):
    hang = Path(fake["FAKE"], "hang")
    hang.touch()
    child = subprocess.Popen([SCRIPT, "forky"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=fake)
    until(lambda: made(fake), child)
    child.kill()
    child.wait()
    assert [name for name in kept(fake) if not name.endswith(".new")] == []
    hang.unlink()
    done = run("forky", env=fake)
    assert done.returncode == 0 and kept(fake) == [Path(done.stdout.strip()).name] and made(fake) == 2, done


@pytest.mark.parametrize("words, text", [(("lenny",), "lenny: expected bookworm"), ((), "expected a suite")])
def test_words_that_it_does_not_know(words, text):
    done = run(*words)
    assert done.returncode == 1 and text in done.stderr and done.stderr.count("\n") == 1, done


def test_a_command_and_its_status():
    """The command sees the tree at its own path, that Debian's programs, a build folder of its own, and this machine's
    cgroups. Its standard input is the script's, and no change of it is kept.
    """
    script = """
        . /etc/os-release; echo $VERSION_CODENAME; pwd; cat
        touch /usr/bin/x 2>/dev/null || echo read-only; touch /etc/changed; ls -A /tmp /mnt | wc -w
        stat -c %n hack/engines-root; echo here >build/mark; ls -d /sys/fs/cgroup; exit 41
    """
    done = subprocess.run(
        [SCRIPT, "forky", "--", "sh", "-c", script], input="typed\n", capture_output=True, text=True, timeout=LIMIT
    )
    root = Path(run("forky").stdout.strip())
    mark = TREE / "build/roots/forky/mark"
    try:
        assert (done.returncode, done.stderr) == (41, ""), done
        assert done.stdout.split("\n") == [
            *("forky", str(TREE), "typed", "read-only", "2"),
            *("hack/engines-root", "/sys/fs/cgroup", ""),
        ]
        assert mark.read_text() == "here\n" and not (root / "etc/changed").exists()
    finally:
        mark.unlink()


def test_a_tree_that_lies_in_tmp(tmp_path):
    """The command has an empty /tmp, but for the tree."""
    assert str(tmp_path).startswith("/tmp/")
    copy = tmp_path / "tree"
    copy.mkdir()
    for name in ("hack", "conformance", "pyproject.toml"):
        subprocess.run(["cp", "-a", TREE / name, copy], check=True, timeout=60)
    words = ["forky", "--", "sh", "-c", "pwd; test -x hack/engines-root; ls /tmp | wc -w"]
    done = subprocess.run(
        [copy / "hack/engines-root", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{copy}\n1\n", ""), done


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_it(number):
    child = subprocess.Popen(
        [SCRIPT, "forky", "--", "sh", "-c", "sleep 2989 & echo ready; wait"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "ready\n"
    child.send_signal(number)
    assert child.wait(60) == (-number if number == signal.SIGKILL else 128 + number)
    until(lambda: not any(b"sleep\x002989\0" in command_line(path) for path in Path("/proc").glob("[0-9]*")))
    child.stdout.close()


def command_line(process):
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
