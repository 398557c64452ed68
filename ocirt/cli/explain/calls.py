"""System calls as text: ``mkdirat(AT_FDCWD, "/tmp/x", 0777)``."""

import os

from ...compile.libseccomp import name_of
from ...model.text import quote

AT_FDCWD = -100
TEXT_MAX = 256
"""Bytes of a text argument that are shown."""
ARGUMENTS = {
    # A letter for each argument: d a descriptor or a signed number, o an octal mode, s a path or another text, anything
    # else a number in hexadecimal. A call that is not here shows six numbers.
    **dict.fromkeys(("getuid", "getpid", "gettid", "sync", "vhangup", "pause", "fork", "vfork"), ""),
    **dict.fromkeys(("acct", "chdir", "chroot", "rmdir", "swapoff", "unlink", "uselib"), "s"),
    **dict.fromkeys(("close", "dup", "fchdir", "fsync", "setuid", "setgid", "syncfs", "umask"), "d"),
    **dict.fromkeys(("access", "chmod", "creat", "mkdir"), "so"),
    **dict.fromkeys(("link", "pivot_root", "rename", "symlink"), "ss"),
    **dict.fromkeys(("setns", "kill", "listen", "unshare", "personality", "setpgid"), "dx"),
    **dict.fromkeys(("chown", "lchown"), "sdd"),
    **dict.fromkeys(("bind", "connect", "accept", "ptrace", "ioctl", "fcntl", "write", "read"), "dxx"),
    "mount": "sssxs",
    "umount2": "sx",
    "swapon": "sx",
    "mknod": "sox",
    "mknodat": "dsox",
    "mkdirat": "dso",
    "fchmodat": "dso",
    "fchownat": "dsddx",
    "openat": "dsxo",
    "openat2": "dsxx",
    "open": "sxo",
    "unlinkat": "dsx",
    "renameat2": "dsdsx",
    "renameat": "dsds",
    "linkat": "dsdsx",
    "symlinkat": "sds",
    "readlink": "sxx",
    "faccessat": "dso",
    "faccessat2": "dsox",
    "statx": "dsxxx",
    "newfstatat": "dsxx",
    "truncate": "sd",
    "execve": "sxx",
    "execveat": "dsxxx",
    "add_key": "ssxxx",
    "request_key": "ssxx",
    "keyctl": "dxxxx",
    "bpf": "dxx",
    "clone": "xxxxx",
    "clone3": "xx",
    "delete_module": "sx",
    "finit_module": "dsx",
    "init_module": "xxs",
    "fsopen": "sx",
    "fspick": "dsx",
    "fsmount": "dxx",
    "fsconfig": "dxsxx",
    "open_tree": "dsx",
    "move_mount": "dsdsx",
    "mount_setattr": "dsxxx",
    "name_to_handle_at": "dsxxx",
    "open_by_handle_at": "dxx",
    "perf_event_open": "xdddx",
    "process_vm_readv": "dxxxxx",
    "process_vm_writev": "dxxxxx",
    "reboot": "xxxx",
    "seccomp": "xxx",
    "prctl": "dxxxx",
    "sethostname": "sx",
    "setdomainname": "sx",
    "socket": "dxd",
    "socketpair": "dxdx",
    "syslog": "dxd",
    "userfaultfd": "x",
    "io_uring_setup": "dx",
}


def described(arch: int, number: int, arguments: "tuple[int, ...]", pid: int) -> str:
    """A call with its arguments. Texts are read from the memory of the caller, if that may be read.

    :param pid: of the caller, which waits for its call.
    """
    name = call_name(arch, number)
    kinds = ARGUMENTS.get(name, "xxxxxx")
    return f"{name}({', '.join([_argument(kind, value, pid) for kind, value in zip(kinds, arguments)])})"


def call_name(arch: int, number: int) -> str:
    """The name of a system call, or its number if libseccomp does not know it."""
    return name_of(arch, number) or f"syscall_{number:#x}"


def _argument(kind: str, value: int, pid: int) -> str:
    if kind == "d":
        signed = ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
        return "AT_FDCWD" if signed == AT_FDCWD else str(signed)
    if kind == "o":
        return f"{value & 0xFFFFFFFF:#05o}".replace("o", "")
    text = _text(pid, value) if kind == "s" and value else None
    return f"{value:#x}" if text is None else quote(text)


def _text(pid: int, address: int) -> str | None:
    """The text at an address of a process; ``None`` if it cannot be read."""
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    data = b""
    try:
        # The next page may be missing, so no read crosses the end of one.
        while b"\0" not in data and len(data) < TEXT_MAX:
            at = address + len(data)
            data += os.pread(memory, min(TEXT_MAX - len(data), 4096 - at % 4096), at)
    except (OSError, OverflowError):
        return None
    finally:
        os.close(memory)
    text, end, _ = data.partition(b"\0")
    return text.decode("utf-8", "replace") + ("" if end else "...")
