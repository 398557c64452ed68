"""hack/vm itself: what comes back, and how it ends when the guest does not."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.vm.machine import DEFAULT, SUITE, TREE

pytestmark = pytest.mark.skipif(SUITE != DEFAULT, reason="hack/vm itself is the same with every suite")
LIMIT = 200


def vm(*words, **more):
    return subprocess.run(
        [TREE / "hack/vm", *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        **more,
    )


def test_script(tmp_path):
    """Arguments as they are, both streams, files of both directions, and the status, also of a user's death by a signal."""
    (tmp_path / "given").write_text("from the host\n")
    tmp_path.chmod(0o777)
    script = tmp_path / "script"
    script.write_text(
        '#!/bin/sh\ncat given; echo "$#: $1"; echo to stderr >&2; id -un >"$(pwd)/written"; echo "${XDG_RUNTIME_DIR}"; kill -9 $$\n'
    )
    script.chmod(0o755)
    done = vm("--timeout", 100, "--user", "somebody", "--share", tmp_path, script, "a  b'\"$x\n", "second")
    assert done.returncode == 137, done
    assert done.stdout == "from the host\n2: a  b'\"$x\n\n/run/user/1001\n" and "to stderr\n" in done.stderr
    assert (tmp_path / "written").read_text() == "somebody\n"


def test_status_and_tree():
    """Changes to /tree stay in the guest; `ocirt` is the tree's build."""
    done = vm("--timeout", 100, "--", "sh", "-c", "echo x >/tree/changed && ocirt --version && exit 41")
    assert done.returncode == 41 and done.stdout.startswith("ocirt version ") and not (TREE / "changed").exists(), done


@pytest.mark.parametrize("limit, where", [(2, "while the machine booted"), (45, "while the command ran")])
def test_time_limit(limit, where):
    began = time.monotonic()
    done = vm("--timeout", limit, "--", "sleep", "1000")
    assert done.returncode == 124 and f"the time limit of {limit} s ran out, {where}" in done.stderr.splitlines()[0], (
        done
    )
    assert time.monotonic() - began < limit + 10


def test_panic():
    done = vm("--timeout", 100, "--", "sh", "-c", "echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger")
    assert done.returncode == 125, done
    assert done.stderr.startswith(
        "hack/vm: Kernel panic - not syncing: sysrq triggered crash, while the command ran;"
    ), done


QEMU = """#!/bin/sh
for word; do
  case $word in
    file,id=kernel,path=*) console=${word##*path=} ;;
    local,id=run,path=*) run=${word#*path=} run=${run%%,*} ;;
  esac
done
echo boot >>"$0.boots"
if [ "$(wc -l <"$0.boots")" -gt "$PANICS" ]; then
  echo 0 >"$run/status"
else
  printf 'Oops: int3: 0000 [#1]\\nKernel panic - not syncing: Fatal exception\\n' >"$console"
fi
"""
"""A stand-in for QEMU: the kernel panics in so many boots as PANICS says, and then the command ends with status 0."""


@pytest.mark.parametrize("panics, status", [(1, 0), (2, 125)])
def test_a_breakpoint_that_is_not_there(panics, status, tmp_path):
    """A fault of the emulator: another boot, and the line that says so; not a third one."""
    fake = tmp_path / "qemu-system-x86_64"
    fake.write_text(QEMU)
    fake.chmod(0o755)
    done = vm("--", "true", env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PANICS": str(panics)})
    assert done.returncode == status and Path(f"{fake}.boots").read_text() == "boot\n" * 2, done
    lines = done.stderr.splitlines()
    assert "boots again" in lines[0]
    if status:
        assert "Fatal exception (int3: a fault of QEMU before 8.1), while the machine booted;" in lines[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_machine_outlives_it(number, tmp_path):
    """QEMU ends with hack/vm, and only SIGKILL leaves its temporary folder."""
    with subprocess.Popen(
        [TREE / "hack/vm", "--", "sleep", "1000"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as child:
        end = time.monotonic() + 30
        while not list(tmp_path.glob("*/console")):
            assert time.monotonic() < end
            time.sleep(0.1)
        child.send_signal(number)
        # The pipe ends when nobody holds it any more, QEMU included.
        child.communicate(timeout=30)
        assert child.returncode == (125 if number == signal.SIGTERM else -number)
    assert number == signal.SIGKILL or list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words, message",
    [
        ((), "nothing to run"),
        (("--timeout", "soon", "--", "true"), "expected a number"),
        (("--user", "A b", "--", "true"), "expected a user's name"),
        (("--what",), "unknown option"),
        (("/etc/passwd",), "expected an executable file"),
        (("--share", "/nowhere", "--", "true"), "expected a folder"),
        (("--suite", "buster", "--", "true"), "expected bookworm, trixie, forky or sid"),
        (("--python", "3", "--", "true"), "expected a version like 3.13"),
        (("--python", "3.9", "--", "true"), "the guest has 3."),
        (("--shell",), "needs a terminal"),
    ],
)
def test_bad_usage(words, message):
    done = vm(*words)
    assert done.returncode == 125 and done.stderr.count("\n") == 1 and message in done.stderr, done
