"""Seccomp filters by which the kernel refuses a call, as an older kernel or the profile of an outer container does."""

from ocirt.compile.libseccomp import Filter

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
MASKED_EQUAL = 7
"""SCMP_CMP_MASKED_EQ"""
WHOLE = 0xFFFFFFFF
"""The mask of an argument with 32 bits of which all count."""
LOAD = """
import ctypes
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]
code = {code!r}
assert ctypes.CDLL(None).prctl(22, 2, ctypes.byref(Program(len(code) // 8, code))) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
"""


def refusal(call, error, *conditions):
    """Python code. From then on the kernel refuses ``call`` with ``error`` to the process that runs it, and to its children.

    :param conditions: if there are any, the kernel refuses only calls of which one is true: the index of an argument, a mask,
        and what the argument has of the mask.
    """
    with Filter(ALLOW, 1) as made:
        for rule in [[(index, MASKED_EQUAL, mask, value)] for index, mask, value in conditions] or [[]]:
            made.add_rule("", ERRNO | error, made.number(0, call), rule)
        return LOAD.format(code=made.export())
