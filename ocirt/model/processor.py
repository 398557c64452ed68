"""What differs by processor: all that Python knows of it. (The executable's part is core/base/arch.h, and libseccomp knows
the numbers of system calls.) It is needed only if a config has a seccomp profile, by doctor, and
by images.
"""

ARCHITECTURES = (
    "X86",
    "X86_64",
    "X32",
    "ARM",
    "AARCH64",
    "MIPS",
    "MIPS64",
    "MIPS64N32",
    "MIPSEL",
    "MIPSEL64",
    "MIPSEL64N32",
    "PPC",
    "PPC64",
    "PPC64LE",
    "S390",
    "S390X",
    "PARISC",
    "PARISC64",
    "RISCV64",
    "LOONGARCH64",
    "M68K",
    "SH",
    "SHEB",
)
"""The architectures of linux.seccomp, without SCMP_ARCH_."""
MOST_NAMES = "x86_64"
"""The processor with the most system calls, as libseccomp names it."""
AUDIT_X86_64, X32_BIT = 0xC000003E, 0x40000000
"""AUDIT_ARCH_X86_64 of the kernel, and the bit in the number of each system call of x32."""
AUDIT_ARM, ARM_PRIVATE = 0x40000028, 0x0F0000
"""32-bit ARM has system calls of its own, such as cacheflush, from the latter on: __ARM_NR_BASE of the kernel."""

GO_NAMES = {
    "aarch64": "arm64",
    "armv6l": "arm/v6",
    "armv7l": "arm/v7",
    "i386": "386",
    "i686": "386",
    "x86_64": "amd64",
}
"""The kernel's names of machines that the image specification, as Go, names otherwise."""


def is_private(arch: int, number: int) -> bool:
    """Is the system call one of ARM's own? The numbers of these do not tell how new a profile is."""
    return arch == AUDIT_ARM and number >= ARM_PRIVATE


def seccomp_number(machine: str) -> int:
    """The number of seccomp(2) on ``machine``, a name of uname(2): that of x86_64 (``i686`` if a personality hides the
    64 bits), or that of the table that all newer architectures share.
    """
    return 317 if machine == "x86_64" or machine.endswith("86") else 277


def has_old_numbers(machine: str) -> bool:
    """Have the system calls of before 2019 numbers of their own on ``machine``, instead of those that all newer
    architectures share?
    """
    return machine == "x86_64"
