"""The executables of other processors under QEMU's emulation of a process, with pages of every size that a kernel of theirs has.

That emulation knows neither clone3(2) nor seccomp(2), so no container runs here. What does not need them does.
"""

import os
import subprocess

import pytest

from tests.vm.machine import TREE

LIMIT = 60 * int(os.environ.get("OCIRT_TEST_SLOWNESS", "1"))


def emulated(target, size, program, *words):
    """Debian's qemu-user has the emulator."""
    return told([f"qemu-{target}", "-p", str(size), program], *words)


def told(command, *words):
    done = subprocess.run([*command, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
    return done.returncode, done.stdout, done.stderr.partition("level=")[2]


@pytest.mark.parametrize("target, size", [("aarch64", 4096), ("aarch64", 16384), ("aarch64", 65536), ("riscv64", 4096)])
@pytest.mark.parametrize(
    "command, expected",
    [
        ("--version", 0),
        ("--root {root} list", 0),
        ("--root {root} list --format json", 0),
        ("--root {root} state nobody", 1),
        ("--root {root} kill nobody TERM", 1),
        ("--root {root} features", 0),
    ],
)
def test_a_command(target, size, command, expected, tmp_path):
    """It says what this machine's executable says. For `features` it starts Python, which is this machine's."""
    words = command.format(root=tmp_path).split()
    ours = told([TREE / "build/bin/ocirt"], *words)
    assert emulated(target, size, TREE / "build" / target / "bin/ocirt", *words) == ours and ours[0] == expected
