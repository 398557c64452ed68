"""The core compiles for every processor that base/arch.h knows, and no other file tells one from another."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ocirt.model.processor import seccomp_number

TREE = Path(__file__).resolve().parents[2]
PACKAGE = TREE / "ocirt"
CORE = PACKAGE / "core"
GENERATED = TREE / "build/meson/ocirt"
ZIG = TREE / "build/zig"

needs_zig = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="needs the wheel ziglang, which hack/test installs"
)


def zig(target, *arguments, cwd=None):
    """Run zig's C compiler for a processor; what it has compiled once lies in build/zig."""
    folders = ["-I", GENERATED, "-I", GENERATED / "core", "-I", CORE]
    sources = sorted([*CORE.rglob("*.c"), *(GENERATED / "core").glob("*.c")])
    return subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", "-target", f"{target}-linux-musl", "-std=gnu17", "-DOCIRT_FAULT"]
        + [*folders, *arguments, *sources],
        env=os.environ | {"ZIG_GLOBAL_CACHE_DIR": str(ZIG), "ZIG_LOCAL_CACHE_DIR": str(ZIG)},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
    )


@needs_zig
@pytest.mark.parametrize("target", ["aarch64", "riscv64"])
def test_the_core_compiles_without_a_warning(target, tmp_path):
    """Clang's warnings for another processor find what depends on one: sizes, registers, calls that it does not have."""
    done = zig(
        target,
        "-O0",
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-Wno-missing-field-initializers",
        "-Werror",
        "-c",
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs_zig
@pytest.mark.parametrize("target", ["aarch64", "riscv64"])
def test_it_runs_under_an_emulator(target, tmp_path):
    emulator = shutil.which(f"qemu-{target}-static") or shutil.which(f"qemu-{target}")
    if not emulator:
        pytest.skip(f"needs qemu-{target} (Debian's qemu-user-static)")
    done = zig(target, "-Os", "-static", "-o", tmp_path / "ocirt")
    assert done.returncode == 0, done.stderr
    told = subprocess.run([emulator, tmp_path / "ocirt", "--version"], capture_output=True, text=True, timeout=60)
    ours = subprocess.run([TREE / "build/bin/ocirt", "--version"], capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stdout) == (0, ours.stdout)


def test_only_arch_h_tells_processors_apart():
    tells = re.compile(r"__(x86_64|aarch64|riscv|ia32)|asm__|\bSYS_(poll|fork|vfork|renameat|open|stat|pipe|dup2)\b")
    found = {str(path.relative_to(CORE)) for path in CORE.rglob("*.[ch]") if tells.search(path.read_text())}
    # Of these two one names a symbol of the linker's, and one tells the processor that it waits, in arch.h's words.
    assert found == {"base/arch.h", "launch/detach.c", "process/seccomp.c"}


def test_only_one_module_of_python_tells_processors_apart():
    tells = re.compile(
        r'"(X86_64|AARCH64|x86_64|aarch64|i686|riscv64)"|0x(C00000|400000)[1-9A-F][0-9A-F]\b|platform\.machine', re.I
    )
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if tells.search(path.read_text())}
    assert found == {"model/processor.py"}


@pytest.mark.parametrize(
    "machine, number", [("x86_64", 317), ("i686", 317), ("aarch64", 277), ("riscv64", 277), ("loongarch64", 277)]
)
def test_the_number_of_seccomp(machine, number):
    """asm/unistd_64.h and asm-generic/unistd.h; a personality of 32 bits changes the name alone."""
    assert seccomp_number(machine) == number
