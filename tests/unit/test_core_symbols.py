"""What the core may not call: after clone3 libc's idea of the thread is wrong (docs/architecture.md, The process)."""

import shutil
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
# Each of these takes libc's cached thread id, its locks, its heap or its name services.
FORBIDDEN = {
    "raise",
    "abort",
    "malloc",
    "calloc",
    "realloc",
    "free",
    "fork",
    "vfork",
    "system",
    "popen",
    "posix_spawn",
    "printf",
    "fprintf",
    "dprintf",
    "snprintf",
    "sprintf",
    "puts",
    "fopen",
    "fwrite",
    "fread",
    "exit",
    "atexit",
    "setuid",
    "setgid",
    "setresuid",
    "setresgid",
    "setgroups",
    "initgroups",
    "getpwnam",
    "getpwuid",
    "getgrnam",
    "getgrgid",
    "sleep",
    "opendir",
    "readdir",
    "signal",
    "sigaction",
    "mount",
    "umount2",
    "setns",
    "unshare",
    "clone",
    "open",
    "openat",
}


def test_core_calls_nothing_that_fails_after_clone3():
    objects = list((TREE / "build/meson/ocirt/core").glob("*.o"))
    if not objects or not shutil.which("nm"):
        pytest.fail("no objects of the core under build/meson: run hack/build")
    table = subprocess.run(
        ["nm", "--undefined-only", "--print-file-name", *objects],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    called = {line.split()[-1]: line.split(":")[0] for line in table.splitlines() if line.strip()}
    assert "strlen" in called, "the objects call nothing at all: are they the core's?"
    wrong = {
        name: Path(where).name
        for name, where in called.items()
        if name in FORBIDDEN or name.startswith(("pthread_", "std", "__f", "_IO_"))
    }
    assert not wrong
