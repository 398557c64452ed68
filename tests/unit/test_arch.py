"""The core compiles for every processor that base/arch.h knows, and no other file tells one from another."""

import importlib.util
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ocirt.model.processor import seccomp_number
from tests.processor import ZIG_CACHE

TREE = Path(__file__).resolve().parents[2]
PACKAGE = TREE / "ocirt"
CORE = PACKAGE / "core"
GENERATED = TREE / "build/meson/ocirt"

needs_zig = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="needs the wheel ziglang, which hack/test installs"
)


def zig(target, *arguments, cwd=None):
    """Run zig's C compiler for a processor; what it has compiled once lies in build/zig."""
    folders = ["-I", GENERATED, "-I", GENERATED / "core", "-I", CORE, "-I", TREE]
    sources = sorted([*CORE.rglob("*.c"), *(GENERATED / "core").glob("*.c"), TREE / "tests/fault/fault.c"])
    return subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", "-target", f"{target}-linux-musl", "-std=gnu17", "-DOCIRT_FAULT"]
        + [*folders, *arguments, *sources],
        env=os.environ | {"ZIG_GLOBAL_CACHE_DIR": ZIG_CACHE, "ZIG_LOCAL_CACHE_DIR": ZIG_CACHE},
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


def segments(executable):
    """The loaded segments of an ELF file of 64 bits: address and size, in memory."""
    data = executable.read_bytes()
    start, size, count = struct.unpack_from("<32xQ14xHH", data)
    for at in range(start, start + size * count, size):
        kind, _, _, address, _, _, in_memory, _ = struct.unpack_from("<IIQQQQQQ", data, at)
        if kind == 1:
            yield address, in_memory


@needs_zig
def test_no_page_is_of_two_segments(tmp_path):
    """Detaching replaces each segment by a private copy of its pages, of which the largest have 64 KiB."""
    executable = tmp_path / "ocirt"
    done = zig("aarch64", "-Os", "-static", "-Wl,-z,max-page-size=65536", "-o", executable)
    assert done.returncode == 0, done.stderr
    found = sorted(segments(executable))
    pages = [set(range(address // 65536, (address + size - 1) // 65536 + 1)) for address, size in found]
    assert len(found) > 1 and len(set.union(*pages)) == sum(map(len, pages))


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
