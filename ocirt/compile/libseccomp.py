"""A thin typed wrapper of libseccomp, seccomp_init(3) and related functions: it takes rules and returns BPF.

The compiler imports this module only if a config has a seccomp profile: ctypes takes longer than the rest of a
compilation.
"""

import ctypes
import os

from ..errors import HostError
from ..model.processor import ARCHITECTURES, MOST_NAMES
from ..wordings import words_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    Condition: TypeAlias = tuple[int, int, int, int]
    """index, op, value, second value."""

# enum scmp_filter_attr
ATTR_NNP, ATTR_OPTIMIZE = 3, 8
EEXIST = 17


class _Condition(ctypes.Structure):
    """struct scmp_arg_cmp"""

    _fields_ = [("index", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        raise HostError(
            "linux.seccomp", "the library libseccomp.so.2 is missing (Debian's package libseccomp2)"
        ) from None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_release.restype = None
    library.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_arch_native.restype = ctypes.c_uint32
    library.seccomp_arch_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Condition),
    ]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return library


class Filter:
    """A filter under construction; use it as a context manager.

    :param default: the action for system calls that match no rule, a SECCOMP_RET_* value.
    :param rules: about how many rules there will be.
    :raises HostError: libseccomp is missing, or does not know the action.
    """

    def __init__(self, default: int, rules: int) -> None:
        self._library = _load()
        self._context = self._library.seccomp_init(default)
        if not self._context:
            raise HostError("linux.seccomp.defaultAction", "libseccomp refuses it")
        # A step sets no_new_privs, if the config asks for it, so libseccomp must not.
        self._library.seccomp_attr_set(self._context, ATTR_NNP, 0)
        if rules > 32:
            # Ask for a binary tree over the syscall numbers. Versions before 2.5 ignore this, and up to 2.5.4 a tree
            # without rules is wrong.
            self._library.seccomp_attr_set(self._context, ATTR_OPTIMIZE, 2)

    def __enter__(self) -> "Filter":
        return self

    def __exit__(self, *_: object) -> None:
        self._library.seccomp_release(self._context)

    def native(self) -> int:
        """The number of this machine's architecture, which every filter includes."""
        return int(self._library.seccomp_arch_native())

    def arch(self, name: str) -> int:
        """The number of the architecture that libseccomp calls ``name`` (like x86_64), 0 if libseccomp does not know
        it.
        """
        return int(self._library.seccomp_arch_resolve_name(name.encode()))

    def add_arch(self, number: int) -> None:
        """Include the architecture in the filter."""
        error = self._library.seccomp_arch_add(self._context, number)
        if error not in (0, -EEXIST):
            raise HostError("linux.seccomp.architectures", words_of(-error))

    def number(self, arch: int, name: str) -> int:
        """The number of the syscall ``name`` on ``arch`` (0: this machine's); -1 if libseccomp does not know it, less
        than -1 if only other architectures have it.
        """
        return int(self._library.seccomp_syscall_resolve_name_arch(arch, name.encode()))

    def add_rule(self, path: str, action: int, syscall: int, conditions: "Sequence[Condition]" = ()) -> None:
        """Give ``action`` to the syscall, if all ``conditions`` (index, op, value, second value) hold.

        :param path: JSON path of the rule, for the error.
        :raises HostError: libseccomp refuses the rule.
        """
        array = (_Condition * len(conditions))(*[_Condition(*each) for each in conditions])
        error = self._library.seccomp_rule_add_array(self._context, action, syscall, len(conditions), array)
        if error and error != -EEXIST:
            raise HostError(path, f"libseccomp refuses the rule: {words_of(-error)}")

    def export(self) -> bytes:
        """The BPF program: struct sock_filter, 8 bytes each.

        :raises HostError: libseccomp cannot make the program.
        """
        fd = os.memfd_create("bpf")
        try:
            error = self._library.seccomp_export_bpf(self._context, fd)
            if error:
                raise HostError("linux.seccomp", f"libseccomp cannot make a program: {words_of(-error)}")
            size = os.fstat(fd).st_size
            return os.pread(fd, size, 0)
        finally:
            os.close(fd)


# ---- for `ocirt validate` and `ocirt run --explain` ----

UNKNOWN = -1
"""__NR_SCMP_ERROR: the number that libseccomp returns for a system call it does not know."""
MOST_SYSCALLS = 1024
"""All system calls have lower numbers on the processor that has the most of them."""


def is_syscall(name: str) -> bool:
    """Does libseccomp know the system call ``name`` on any architecture?

    :raises HostError: libseccomp is missing.
    """
    return "\0" not in name and bool(_load().seccomp_syscall_resolve_name(name.encode("utf-8", "replace")) != UNKNOWN)


def syscalls() -> list[str]:
    """The names of the system calls that libseccomp knows on the processor that has the most of them.

    :raises HostError: libseccomp is missing.
    """
    arch = _load().seccomp_arch_resolve_name(MOST_NAMES.encode())
    return [name for number in range(MOST_SYSCALLS) if (name := name_of(arch, number))]


def name_of(arch: int, number: int) -> str:
    """The name of the system call ``number`` on the architecture ``arch`` (AUDIT_ARCH_*), empty if libseccomp does not
    know it.

    :raises HostError: libseccomp is missing.
    """
    library = _load()
    resolve, free = library.seccomp_syscall_resolve_num_arch, ctypes.CDLL(None).free
    resolve.argtypes, resolve.restype = [ctypes.c_uint32, ctypes.c_int], ctypes.c_void_p
    free.argtypes, free.restype = [ctypes.c_void_p], None
    found = resolve(arch, number)
    if not found:
        return ""
    try:
        return ctypes.string_at(found).decode()
    finally:
        free(found)


def arch_name(arch: int) -> str:
    """The name of an architecture in linux.seccomp, without SCMP_ARCH_.

    :param arch: AUDIT_ARCH_*.
    :raises HostError: libseccomp is missing, or does not know the architecture.
    """
    for name in ARCHITECTURES:
        if _load().seccomp_arch_resolve_name(name.lower().encode()) == arch:
            return name
    raise HostError("linux.seccomp.architectures", f"libseccomp does not know the architecture {arch:#x}")


# ---- for `ocirt features` ----

SET_MODE_FILTER, NEW_LISTENER, WAIT_KILLABLE_RECV = 1, 8, 32
EFAULT = 14


class _Version(ctypes.Structure):
    """struct scmp_version"""

    _fields_ = [("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint)]


def version() -> str:
    """The version of libseccomp, like ``2.5.4``.

    :raises HostError: libseccomp is missing.
    """
    library = _load()
    library.seccomp_version.restype = ctypes.POINTER(_Version)
    found = library.seccomp_version().contents
    return f"{found.major}.{found.minor}.{found.micro}"


def kernel_takes(flag: int) -> bool:
    """Does the running kernel know the flag (SECCOMP_FILTER_FLAG_*)? The call passes no filter: the kernel refuses a
    flag that it does not know before it reads the filter.

    :raises HostError: libseccomp is missing, which knows the number of the system call.
    """
    number = _load().seccomp_syscall_resolve_name(b"seccomp")
    if flag == WAIT_KILLABLE_RECV:
        flag |= NEW_LISTENER  # the kernel accepts it only together with a listener
    library = ctypes.CDLL(None, use_errno=True)
    return library.syscall(number, SET_MODE_FILTER, flag, None) == -1 and ctypes.get_errno() == EFAULT
