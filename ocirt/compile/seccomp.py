"""linux.seccomp: config-linux.md, "Seccomp". A profile becomes a BPF program, which is bytes in the plan.

As runc: rules that give the default action are left out, syscalls that libseccomp does not know are passed over,
several conditions on one argument are alternatives, and syscalls newer than all that the profile names get ENOSYS
where the default would be a refusal (so that a libc finds its way back to an older one).
"""

from ..errors import ConfigError
from ..model.text import quote
from ..plan.steps import LoadSeccomp

SPEC = "config-linux.md#seccomp"
AT = "linux.seccomp"
EPERM, ENOSYS = 1, 38
ERRNO, TRACE = 0x00050000, 0x7FF00000
ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000, "SCMP_ACT_KILL_THREAD": 0x00000000, "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000, "SCMP_ACT_ERRNO": ERRNO, "SCMP_ACT_TRACE": TRACE, "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_LOG": 0x7FFC0000,
}
PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
OPERATORS = {"SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4, "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6,
             "SCMP_CMP_MASKED_EQ": 7}
FLAGS = {"SECCOMP_FILTER_FLAG_TSYNC": 1, "SECCOMP_FILTER_FLAG_LOG": 2, "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4}
ARCHITECTURES = ("X86", "X86_64", "X32", "ARM", "AARCH64", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64",
                 "MIPSEL64N32", "PPC", "PPC64", "PPC64LE", "S390", "S390X", "PARISC", "PARISC64", "RISCV64",
                 "LOONGARCH64", "M68K", "SH", "SHEB")
KINDS = {list: "an array", str: "a string", int: "a whole number"}
AUDIT_X86_64, X32_BIT = 0xC000003E, 0x40000000
U64 = (1 << 64) - 1


def load(config):
    """The steps that load the profile; none where there is none.

    :raises ConfigError: the profile has what the spec does not allow.
    :raises HostError: libseccomp is missing or refuses it.
    """
    profile = config.linux.value.get("seccomp")
    if not profile:
        return []
    # The program holds for this very profile.
    config.trace.guards[AT] = profile
    flags = 0
    for index, name in enumerate(_get(profile, AT, "flags", list, [])):
        flags |= _choose(FLAGS, name, f"{AT}.flags[{index}]")
    return [LoadSeccomp(AT, SPEC, filter=_compile(profile), flags=flags)]


def _get(value, path, name, kind, default=None):
    found = value.get(name)
    if found is None:
        if default is None:
            raise ConfigError(f"{path}.{name}", "nothing", "a value")
        return default
    if type(found) is not kind:
        raise ConfigError(f"{path}.{name}", quote(found), KINDS[kind])
    return found


def _choose(table, name, path):
    if not isinstance(name, str) or name not in table:
        raise ConfigError(path, quote(name), f"one of {', '.join(table)}")
    return table[name]


def _action(value, path, action="action", errno="errnoRet"):
    name = _get(value, path, action, str)
    number = _choose(ACTIONS, name, f"{path}.{action}")
    if number not in (ERRNO, TRACE):
        if value.get(errno) is not None:
            raise ConfigError(f"{path}.{errno}", quote(value[errno]), f"nothing: {name} returns no errno")
        return name, number
    returned = _get(value, path, errno, int, EPERM)
    if not 0 <= returned <= 0xFFFF:
        raise ConfigError(f"{path}.{errno}", quote(returned), "an errno from 0 to 65535")
    return name, number | returned


def _compile(profile):
    from .libseccomp import Filter
    name, default = _action(profile, AT, "defaultAction", "defaultErrnoRet")
    with Filter(default) as made:
        arches = [made.arch("x86_64")]
        for index, arch in enumerate(_get(profile, AT, "architectures", list, [])):
            path = f"{AT}.architectures[{index}]"
            bare = arch.removeprefix("SCMP_ARCH_") if isinstance(arch, str) and arch.startswith("SCMP_ARCH_") else ""
            if bare not in ARCHITECTURES:
                raise ConfigError(path, quote(arch), "an architecture such as SCMP_ARCH_X86_64")
            number = made.arch(bare.lower())
            # One that this libseccomp does not know cannot run here either.
            if number and number not in arches:
                made.add_arch(number)
                arches.append(number)
        named = [_add_rule(made, rule, f"{AT}.syscalls[{index}]", default)
                 for index, rule in enumerate(_get(profile, AT, "syscalls", list, []))]
        program = made.export()
        if name in PERMISSIVE or default == ERRNO | ENOSYS:
            return program
        names = {each for rule in named for each in rule}
        last = {arch: max([made.number(arch, each) for each in names], default=-1) for arch in arches}
        return _newer_are_enosys({arch: number for arch, number in last.items() if number >= 0}) + program


def _add_rule(made, rule, path, default):
    if type(rule) is not dict:
        raise ConfigError(path, quote(rule), "an object")
    names = _get(rule, path, "names", list)
    if not names:
        raise ConfigError(f"{path}.names", "[]", "at least one name")
    for index, name in enumerate(names):
        if type(name) is not str:
            raise ConfigError(f"{path}.names[{index}]", quote(name), "a string")
    _, action = _action(rule, path)
    alternatives = _conditions(rule, path)
    for name in names if action != default else ():
        number = made.number(0, name)
        if number == -1:
            continue
        for conditions in alternatives:
            made.add_rule(path, action, number, conditions)
    return names


def _conditions(rule, path):
    """Lists of conditions, any of which will do: one with all of them, or one each where two look at one argument."""
    found = []
    for index, arg in enumerate(_get(rule, path, "args", list, [])):
        at = f"{path}.args[{index}]"
        if type(arg) is not dict:
            raise ConfigError(at, quote(arg), "an object")
        place, value = _get(arg, at, "index", int), _get(arg, at, "value", int)
        second = _get(arg, at, "valueTwo", int, 0)
        if not 0 <= place <= 5:
            raise ConfigError(f"{at}.index", quote(place), "an argument from 0 to 5")
        for name, number in (("value", value), ("valueTwo", second)):
            if not 0 <= number <= U64:
                raise ConfigError(f"{at}.{name}", quote(number), "a number of 64 bits")
        found.append((place, _choose(OPERATORS, arg.get("op"), f"{at}.op"), value, second))
    places = [condition[0] for condition in found]
    return [[condition] for condition in found] if len(set(places)) < len(places) else [found]


def _newer_are_enosys(last):
    """BPF before the program: a syscall beyond the last that the profile names, on its architecture, gets ENOSYS.

    :param last: architecture (AUDIT_ARCH_*; libseccomp's x32 is x86_64 with a bit in the number) -> number.
    """
    def instruction(code, value, true=0, false=0):
        return code.to_bytes(2, "little") + bytes((true, false)) + value.to_bytes(4, "little")

    load, jump_equal, jump_greater, give_back = 0x20, 0x15, 0x25, 0x06
    answer = instruction(give_back, ERRNO | ENOSYS)
    plain = {arch: number for arch, number in last.items() if number < X32_BIT and arch & 0xFFFFFFFF == arch}
    program = instruction(load, 4)  # the architecture
    for arch, number in plain.items():
        x32 = max([each for each in last.values() if each >= X32_BIT], default=None) if arch == AUDIT_X86_64 else None
        checks = instruction(load, 0)
        if x32 is not None:
            # Numbers with the bit are x32's, and greater than every plain one.
            checks += instruction(jump_greater, X32_BIT - 1, 0, 3)
            checks += instruction(jump_greater, x32, 0, 1) + answer + instruction(0x05, 2)
        checks += instruction(jump_greater, number, 0, 1) + answer
        checks += instruction(load, 4)
        program += instruction(jump_equal, arch, 0, len(checks) // 8) + checks
    return program
