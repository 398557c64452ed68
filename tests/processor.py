"""What the tests know of the processor that they run on; no other test names one."""

import os
import platform

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
SYSCALLS = {"open_tree": 428} | (
    {"write": 1, "sendmsg": 46, "clone": 56, "execve": 59, "mkdir": 83, "mkdirat": 258, "bpf": 321}
    if MACHINE == "x86_64"
    else {"mkdirat": 34, "write": 64, "sendmsg": 211, "clone": 220, "execve": 221, "bpf": 280}
)
"""Numbers of system calls: from 424 on they are the same for all processors."""
MKDIR = SYSCALLS.get("mkdir", SYSCALLS["mkdirat"])
"""The call by which busybox makes a directory: the older processors alone have mkdir(2)."""
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}[MACHINE]
"""As the kernel tells a seccomp filter the architecture of a system call."""
OF_32_BITS = {"x86_64": "i686", "aarch64": "armv8l", "riscv64": "riscv32"}[MACHINE]
"""What uname(2) says in the execution domain LINUX32."""
ENGINES_NAME = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}[MACHINE]
"""As images name it."""
