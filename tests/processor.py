"""What the tests know of the processor that they run on; no other test names one."""

import ctypes
import functools
import os
import platform
import subprocess
import sys
from pathlib import Path

MACHINE = platform.machine()
"""As uname(2) names it."""
PAGE = os.sysconf("SC_PAGE_SIZE")
"""The kernel's, in bytes."""
MULTIARCH = f"{MACHINE}-linux-gnu"
"""The name of Debian's folders for it."""
KERNEL_HEADERS = ["-idirafter", "/usr/include", "-idirafter", f"/usr/include/{MULTIARCH}"]
"""For musl-gcc, which does not find the kernel's headers."""
LOADER = {
    "x86_64": "lib64/ld-linux-x86-64.so.2",
    "aarch64": "lib/ld-linux-aarch64.so.1",
    "riscv64": "lib/ld-linux-riscv64-lp64d.so.1",
}[MACHINE]
"""What executes a program of glibc."""
SCMP_ARCH = f"SCMP_ARCH_{MACHINE.upper()}"
"""As a seccomp profile names it."""
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}[MACHINE]
"""As the kernel tells a seccomp filter the architecture of a system call."""
OF_32_BITS = {"x86_64": "i686", "aarch64": "armv8l", "riscv64": "riscv32"}[MACHINE]
"""What uname(2) says in the execution domain LINUX32."""
SCMP_ARCH_OF_32_BITS = {"x86_64": "SCMP_ARCH_X86", "aarch64": "SCMP_ARCH_ARM"}.get(MACHINE)
"""As a seccomp profile names that of the programs of 32 bits that the processor runs beside its own, if Linux has such."""
COMPILERS_OF_32_BITS = {
    "x86_64": ("gcc", "-m32"),
    "aarch64": (sys.executable, "-m", "ziglang", "cc", "-target", "arm-linux-musleabi"),
}
"""By processor, a compiler for these programs. That of aarch64 is zig, since gcc has none for them there."""
ZIG_CACHE = str(Path(__file__).resolve().parents[1] / "build/zig")
"""What zig has compiled once."""
ENGINES_NAME = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}[MACHINE]
"""As images name it."""


@functools.cache
def syscall_number(name):
    """The number of a system call on this processor, as libseccomp knows it; negative if the processor does not have it."""
    return ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name(name.encode())


def first_syscall(*names):
    """The number of the first of these system calls that the processor has: a C library takes an older call, such as
    mkdir(2), where there is one, and elsewhere the newer one, mkdirat(2).
    """
    return next(number for number in map(syscall_number, names) if number >= 0)


def compile_for_32_bits(source, program, machine=MACHINE):
    """Compile a program that needs no library, for the 32 bits of ``machine``."""
    subprocess.run(
        [
            *COMPILERS_OF_32_BITS[machine],
            *("-O1", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-Wl,-s"),
            *("-Wall", "-Wextra", "-Werror", "-o", program, source),
        ],
        check=True,
        env=os.environ | {"ZIG_GLOBAL_CACHE_DIR": ZIG_CACHE, "ZIG_LOCAL_CACHE_DIR": ZIG_CACHE},
        timeout=120 * int(os.environ.get("OCIRT_TEST_SLOWNESS", "1")),
    )
