"""Device rules as a BPF program of type BPF_PROG_TYPE_CGROUP_DEVICE, which is cgroup v2's device controller.

The kernel runs the program for each mknod and open of a device, with ``struct bpf_cgroup_dev_ctx``: ``access_type`` has
the kind of device and, in higher bits, the access; then come major and minor. The result 1 allows the access. For each
bit of the access the last rule that matches counts. So the program goes from the last rule to the first, keeps the bits
that are still undecided, and allows the access once no bit is left.
"""

from .devices import ALLOWED, BOTH, Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS = {"b": 1, "c": 2}
"""BPF_DEVCG_DEV_*."""
BITS = {"m": 1, "r": 2, "w": 4}
"""BPF_DEVCG_ACC_*."""
EVERY = sum(BITS.values())

RESULT, CONTEXT, KIND, ACCESS, MAJOR, MINOR = range(6)
"""Registers."""
LOAD_WORD, MOVE, MOVE_NUMBER, AND, SHIFT_RIGHT, JUMP_EQUAL, JUMP_UNEQUAL, EXIT = (
    0x61,
    0xBF,
    0xB7,
    0x57,
    0x77,
    0x15,
    0x55,
    0x95,
)
"""Operations on 64 bits; include/uapi/linux/bpf.h."""


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, number: int = 0) -> bytes:
    return (
        bytes((code, source << 4 | target))
        + offset.to_bytes(2, "little", signed=True)
        + number.to_bytes(4, "little", signed=True)
    )


def _return(result: int) -> list[bytes]:
    return [_instruction(MOVE_NUMBER, RESULT, number=result), _instruction(EXIT)]


def program(rules: "Iterable[Rule]") -> bytes:
    """The program for ``rules``: it denies everything except what they, and then
    :data:`~ocirt.cgroups.devices.ALLOWED`, allow.
    """
    parts = [
        _instruction(LOAD_WORD, KIND, CONTEXT, 0),
        _instruction(MOVE, ACCESS, KIND),
        _instruction(AND, KIND, number=0xFFFF),
        _instruction(SHIFT_RIGHT, ACCESS, number=16),
        _instruction(LOAD_WORD, MAJOR, CONTEXT, 4),
        _instruction(LOAD_WORD, MINOR, CONTEXT, 8),
    ]
    for rule in reversed([*rules, *map(_parsed, ALLOWED)]):
        parts += _rule(rule)
        if rule.is_whole:
            break  # the kernel refuses programs with unreachable instructions
    else:
        parts += _return(0)
    return b"".join(parts)


def _rule(rule: Rule) -> list[bytes]:
    """The instructions of one rule. If the rule decides nothing, they continue with the next rule."""
    bits = sum([BITS[letter] for letter in set(rule.access)])
    body = _return(int(rule.allow))
    if bits != EVERY and rule.allow:
        body = [
            _instruction(AND, ACCESS, number=EVERY & ~bits),
            _instruction(JUMP_UNEQUAL, ACCESS, offset=len(body), number=0),
            *body,
        ]
    elif bits != EVERY:
        body = [
            _instruction(MOVE, RESULT, ACCESS),
            _instruction(AND, RESULT, number=bits),
            _instruction(JUMP_EQUAL, RESULT, offset=len(body), number=0),
            *body,
        ]
    wanted = [(KIND, KINDS[rule.kinds[0]])] if rule.kinds != BOTH else []
    # The numbers are part of the program, so the plan holds only for these numbers.
    wanted += [
        (register, number if isinstance(number, int) else number.read())
        for register, number in ((MAJOR, rule.major), (MINOR, rule.minor))
        if number is not None
    ]
    for register, number in reversed(wanted):
        body.insert(0, _instruction(JUMP_UNEQUAL, register, offset=len(body), number=number))
    return body


def _parsed(text: str) -> Rule:
    """The rule for ``text``, an item of ALLOWED."""
    kind, numbers, access = text.split(" ")
    major, minor = [None if number == "*" else int(number) for number in numbers.split(":")]
    return Rule("default devices", True, (kind,), major, minor, access)
