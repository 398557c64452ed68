"""config-linux.md, Allowed Device list, as a BPF program: it is run here, on an interpreter of the few instructions it
has, against the rules' meaning said another way."""

import itertools
import random

import pytest

from ocirt.cgroups.devices import ALLOWED, BOTH, Rule
from ocirt.cgroups.filter import BITS, KINDS, program

MASK = (1 << 64) - 1


def run(code, kind, access, major, minor):
    """The program's answer; every jump leads forward and stays inside, as the kernel's verifier demands."""
    context = {0: KINDS[kind] | sum(BITS[letter] for letter in access) << 16, 4: major, 8: minor}
    registers, at = {1: "context"}, 0
    instructions = [code[start : start + 8] for start in range(0, len(code), 8)]
    while True:
        operation, both = instructions[at][:2]
        target, source = both & 15, both >> 4
        offset = int.from_bytes(instructions[at][2:4], "little", signed=True)
        number = int.from_bytes(instructions[at][4:], "little", signed=True)
        at += 1
        if operation == 0x61:
            assert registers[source] == "context"
            registers[target] = context[offset]
        elif operation == 0xBF:
            registers[target] = registers[source]
        elif operation == 0xB7:
            registers[target] = number & MASK
        elif operation == 0x57:
            registers[target] &= number & MASK
        elif operation == 0x77:
            registers[target] >>= number
        elif operation in (0x15, 0x55):
            assert offset >= 0
            at += offset if (registers[target] == number & MASK) == (operation == 0x15) else 0
        else:
            assert operation == 0x95
            return registers[0]


def reached(code):
    """Indices of the instructions that some path leads to."""
    seen, todo = set(), [0]
    while todo:
        at = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        operation = code[8 * at]
        if operation == 0x95:
            continue
        todo.append(at + 1)
        if operation in (0x15, 0x55):
            todo.append(at + 1 + int.from_bytes(code[8 * at + 2 : 8 * at + 4], "little", signed=True))
    return seen


def matches(rule, kind, letter, major, minor):
    return kind in rule.kinds and letter in rule.access and rule.major in (None, major) and rule.minor in (None, minor)


def defaults():
    for text in ALLOWED:
        kind, numbers, access = text.split()
        major, minor = (None if each == "*" else int(each) for each in numbers.split(":"))
        yield Rule("", True, (kind,), major, minor, access)


def means(rules, kind, access, major, minor):
    """Each letter by itself: the last rule that speaks of it decides; where none does, it is denied."""
    every = [Rule("", False, BOTH, None, None, "rwm"), *rules, *defaults()]
    return int(
        all([rule.allow for rule in every if matches(rule, kind, letter, major, minor)][-1] for letter in access)
    )


ACCESSES = ["".join(letters) for count in (1, 2, 3) for letters in itertools.combinations("rwm", count)]
KIND_SETS = [("b",), ("c",), BOTH]
NUMBERS = [None, 1, 11]
EVERY_RULE = [
    Rule("", allow, kinds, major, minor, access)
    for allow, kinds, major, minor, access in itertools.product((True, False), KIND_SETS, NUMBERS, NUMBERS, ACCESSES)
]
QUESTIONS = list(itertools.product("bc", ACCESSES, (1, 5, 11), (1, 3, 11)))


def check(rules):
    code = program(rules)
    assert reached(code) == set(range(len(code) // 8)), "the kernel refuses what is never reached"
    for question in QUESTIONS:
        assert run(code, *question) == means(rules, *question), ([vars_of(rule) for rule in rules], question)


def vars_of(rule):
    return [getattr(rule, name) for name in rule.__slots__]


def test_without_rules():
    code = program([])
    assert run(code, "c", "rw", 1, 3) == 1 and run(code, "c", "m", 9, 9) == 1 and run(code, "b", "m", 8, 0) == 1
    assert run(code, "c", "r", 10, 229) == 0 and run(code, "b", "r", 8, 0) == 0 and run(code, "c", "rm", 10, 229) == 0
    check([])


@pytest.mark.parametrize("chunk", range(9))
def test_every_rule(chunk):
    for rule in EVERY_RULE[chunk::9]:
        check([rule])


def test_many_rules_in_their_order():
    """Hundreds of lists of two to five rules, the same ones each time."""
    choose = random.Random(10)
    for _ in range(500):
        check(choose.choices(EVERY_RULE, k=choose.randint(2, 5)))


def test_parts_of_an_access_can_be_allowed_by_different_rules():
    read, write = (Rule("", True, ("c",), 11, 1, letter) for letter in "rw")
    assert run(program([read, write]), "c", "rw", 11, 1) == 1
    assert run(program([read]), "c", "rw", 11, 1) == 0


def test_a_part_that_is_denied_denies_the_whole():
    """v1 keeps what is left of the earlier rule, and so do we."""
    both, not_write = Rule("", True, ("c",), 11, 1, "rw"), Rule("", False, ("c",), 11, 1, "w")
    code = program([both, not_write])
    assert run(code, "c", "r", 11, 1) == 1 and run(code, "c", "w", 11, 1) == 0 and run(code, "c", "rw", 11, 1) == 0


def test_nothing_comes_before_a_rule_for_everything():
    everything = Rule("", True, BOTH, None, None, "rwm")
    assert program([Rule("", False, ("b",), 8, 0, "r"), everything]) == program([everything])
