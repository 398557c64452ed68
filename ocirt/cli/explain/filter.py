"""Seccomp filters, which are programs of classic BPF: what a filter answers to a system call, and the filter that leaves
the refusals of another one to an agent.
"""

import struct

INSTRUCTION = struct.Struct("<HBBI")
"""struct sock_filter: code, two jump offsets, a value."""
LOAD, JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL, JUMP_SET, AND, RETURN = (
    *(0x20, 0x05, 0x15, 0x25, 0x35, 0x45),
    *(0x54, 0x06),
)
"""The instructions that libseccomp and this package write: linux/bpf_common.h."""
ACTION, DATA = 0xFFFF0000, 0xFFFF
"""The two parts of what a filter returns: SECCOMP_RET_ACTION_FULL and SECCOMP_RET_DATA."""
ALLOW, LOG, TRACE, NOTIFY, ERRNO, TRAP = 0x7FFF0000, 0x7FFC0000, 0x7FF00000, 0x7FC00000, 0x00050000, 0x00030000
"""SECCOMP_RET_* of linux/seccomp.h; what is left kills a thread or the process."""


def answer(program: bytes, data: bytes) -> int:
    """What the filter returns for a system call.

    :param data: the call, struct seccomp_data.
    :raises ValueError: the filter has an instruction that libseccomp does not write.
    """
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, value = INSTRUCTION.unpack_from(program, at)
        at += INSTRUCTION.size
        if code == RETURN:
            return int(value)
        if code == LOAD:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == AND:
            accumulator &= value
        elif code == JUMP:
            at += value * INSTRUCTION.size
        else:
            at += (if_true if _holds(code, accumulator, value) else if_false) * INSTRUCTION.size


def _holds(code: int, accumulator: int, value: int) -> bool:
    if code == JUMP_EQUAL:
        return accumulator == value
    if code == JUMP_GREATER:
        return accumulator > value
    if code == JUMP_GREATER_EQUAL:
        return accumulator >= value
    if code == JUMP_SET:
        return bool(accumulator & value)
    raise ValueError(f"the filter has the instruction {code:#x}, which this command does not know")


def refuses(returned: int) -> bool:
    """Does a filter that returns this refuse the call? SCMP_ACT_TRACE without a tracer does."""
    return returned & ACTION not in (ALLOW, LOG)


def notifies(program: bytes) -> bool:
    """Does the filter ask an agent?"""
    return any(code == RETURN and value & ACTION == NOTIFY for code, _, _, value in INSTRUCTION.iter_unpack(program))


def asking(program: bytes) -> bytes:
    """The same filter, except that it asks an agent about each call that it refuses."""
    return b"".join(
        INSTRUCTION.pack(code, if_true, if_false, NOTIFY if code == RETURN and refuses(value) else value)
        for code, if_true, if_false, value in INSTRUCTION.iter_unpack(program)
    )


EVERYTHING = INSTRUCTION.pack(RETURN, 0, 0, ALLOW)
"""A filter that refuses nothing."""
ASKING = INSTRUCTION.pack(RETURN, 0, 0, NOTIFY)
"""A filter that asks an agent about every call."""
