"""linux.seccomp: config-linux.md, "Seccomp". A profile becomes a BPF program, which is bytes in the plan.

As runc: rules that give the default action are left out, syscalls that libseccomp does not know are passed over,
several conditions on one argument are alternatives, syscalls newer than all that the profile names get ENOSYS
where the default would be a refusal (so that a libc finds its way back to an older one), and a profile without
``flags`` gets SECCOMP_FILTER_FLAG_SPEC_ALLOW where the kernel has it.
"""

from ..errors import ConfigError, HostError
from ..model import crun
from ..model.text import choose, quote
from ..plan.steps import EVENTS, NONE, Close, FilterHooks, LoadNotifyingSeccomp, LoadSeccomp, OpenSocket, Receive, Send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeVar

    from ..model.config import Config
    from ..model.host import Host
    from ..model.json import Json, Members
    from ..model.text import Trace
    from ..plan import Plan
    from ..plan.filters import Filters
    from ..plan.steps import Step
    from .libseccomp import Condition, Filter

    Kind = TypeVar("Kind")

SPEC = "config-linux.md#seccomp"
STATE = "config-linux.md#the-container-process-state"
AT, AT_PATH = "linux.seccomp", "linux.seccomp.listenerPath"
EPERM, ENOSYS = 1, 38
ERRNO, TRACE, NOTIFY = 0x00050000, 0x7FF00000, 0x7FC00000
ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_NOTIFY": NOTIFY,
}
PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
TSYNC, LOG, SPEC_ALLOW, NEW_LISTENER, WAIT_KILLABLE_RECV = 1, 2, 4, 8, 32
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": SPEC_ALLOW,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": WAIT_KILLABLE_RECV,
}
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
KINDS = {list: "an array", str: "a string", int: "a whole number"}
AUDIT_X86_64, X32_BIT = 0xC000003E, 0x40000000
U64 = (1 << 64) - 1


class Seccomp:
    """The profile of a container, and who loads it when.

    :param no_new_privileges: of the process that it is for.
    :param added: is that one that exec adds?
    :ivar register: that of the connection to the agent, or ``NONE``.
    :raises ConfigError: the profile has what the spec does not allow.
    :raises HostError: libseccomp is missing or refuses it, or the kernel lacks what it asks for.
    """

    def __init__(
        self,
        config: "Config",
        no_new_privileges: bool,
        host: "Host",
        plan: "Plan",
        kept: "Filters | None" = None,
        added: bool = False,
    ) -> None:
        self.filter: bytes | None = None
        self.register, self.no_new_privileges, self.added = NONE, no_new_privileges, added
        profile, data = config.linux.value.get("seccomp") or {}, crun.seccomp_data(config)
        if not profile and data is None:
            return
        if profile:
            # The program holds for this very profile.
            config.trace.guards[AT] = profile
        receiver = crun.seccomp_receiver(config)
        if data is not None:
            self._use(data, profile, receiver, host)
        else:
            self._read(profile, receiver, crun.fails_unknown_syscall(config), host, kept, config.trace)
        if self.path:
            self.register = plan.register()

    def _read(
        self,
        profile: "Members",
        receiver: str,
        strict: bool,
        host: "Host",
        filters: "Filters | None",
        trace: "Trace",
    ) -> None:
        """Compile the profile, or take the filter that the cache keeps of it.

        :param receiver: the agent's socket where the profile names none.
        :param strict: is a system call that libseccomp does not know an error? Only compiling can tell.
        """
        notifying = _notifying(profile)
        kept = filters.find(profile) if filters and not strict else None
        if kept is not None:
            host.seccomp_flags, self.filter = kept
        self.flags = _flags(profile, host, notifying is not None)
        self.path, self.metadata = _listener(profile, host, notifying, receiver, trace)
        if kept is None:
            self.filter = _compile(profile, strict)
            if filters:
                filters.made(profile, host.seccomp_flags, self.filter)

    def _use(self, data: bytes, profile: "Members", receiver: str, host: "Host") -> None:
        """Take ``data`` for the filter, as crun does: of the profile only the flags count."""
        if receiver and not NEW_LISTENER & host.seccomp_flags:
            raise HostError(crun.at(crun.SECCOMP_RECEIVER), "this kernel notifies nobody of syscalls")
        self.filter, self.path, self.metadata = data, receiver, ""
        self.flags = _flags(profile, host, bool(receiver))

    def open(self) -> "list[Step]":
        """Steps of the host, before the child: the connection to the agent, in the namespaces that its path is of."""
        return [] if self.register == NONE else [OpenSocket(AT_PATH, SPEC, fd=self.register, path=self.path)]

    def leave(self) -> "list[Step]":
        """Steps of the host, after the child: the connection is the child's alone, so that its end is the end."""
        if self.register == NONE:
            return []
        steps: list[Step] = [Close(AT_PATH, SPEC, fd=self.register)]
        return [*steps, Send(AT_PATH, STATE, event=EVENTS.index("known"))]

    def wait(self) -> "list[Step]":
        """Steps of init, after it has entered its namespaces: its pid as the runtime sees it, which the agent is told,
        is known by then."""
        if self.register == NONE:
            return []
        return [Receive(AT_PATH, STATE, event=EVENTS.index("known"))]

    @property
    def lends(self) -> bool:
        """Does loading the filter take CAP_SYS_ADMIN? execve ends the loan: no capability of a program comes from what this process
        is permitted, capabilities(7)."""
        return self.filter is not None and not self.no_new_privileges

    @property
    def loads_at_create(self) -> bool:
        """Does create load the filter? One that notifies: the agent hears of it then, and is not kept waiting for ``start``."""
        return self.register != NONE and not self.added

    def for_hooks(self) -> "list[Step]":
        """The step that has startContainer hooks run under the filter. Under one that create has loaded they run anyway."""
        if self.filter is None or self.loads_at_create:
            return []
        return [FilterHooks(AT, SPEC, filter=self.filter, flags=self.flags)]

    def load(self) -> "list[Step]":
        """The steps that load the profile; none where there is none."""
        if self.filter is None:
            return []
        if self.register == NONE:
            return [LoadSeccomp(AT, SPEC, filter=self.filter, flags=self.flags)]
        status = "running" if self.added else "creating"
        return [
            LoadNotifyingSeccomp(
                AT,
                SPEC,
                filter=self.filter,
                flags=self.flags | NEW_LISTENER,
                socket=self.register,
                metadata=self.metadata,
                status=status,
                ready=int(self.loads_at_create),
            )
        ]


def _notifying(profile: "Members") -> str | None:
    """JSON path of the first rule that notifies, or ``None``. All rules at once would have the agent asked about what
    the runtime has to do: as runc, that is an error."""
    if profile.get("defaultAction") == "SCMP_ACT_NOTIFY":
        raise ConfigError(f"{AT}.defaultAction", quote("SCMP_ACT_NOTIFY"), "another: it can be an action of rules only")
    for index, rule in enumerate(_get(profile, AT, "syscalls", list, [])):
        if type(rule) is dict and rule.get("action") == "SCMP_ACT_NOTIFY":
            return f"{AT}.syscalls[{index}].action"
    return None


def _flags(profile: "Members", host: "Host", notifies: bool) -> int:
    given = _get(profile, AT, "flags", list, [])
    if profile.get("flags") is None:
        return SPEC_ALLOW & host.seccomp_flags
    flags = 0
    for index, name in enumerate(given):
        flag = choose(FLAGS, name, f"{AT}.flags[{index}]")
        if not flag & host.seccomp_flags:
            raise HostError(f"{AT}.flags[{index}]", f"this kernel has no {name}")
        flags |= flag
    # The process that loads it has one thread, so there is nothing to synchronize; with a listener the kernel would
    # refuse it. How long notified syscalls wait is nothing without a listener, and would be refused then.
    return flags & ~TSYNC if notifies else flags & ~(TSYNC | WAIT_KILLABLE_RECV)


def _listener(
    profile: "Members", host: "Host", notifying: str | None, receiver: str, trace: "Trace"
) -> tuple[str, str]:
    """``listenerPath``, or else ``receiver``; empty where nothing notifies; and ``listenerMetadata``."""
    path = _get(profile, AT, "listenerPath", str, "") or receiver
    metadata = _get(profile, AT, "listenerMetadata", str, "")
    if notifying is None:
        if metadata and not path:
            trace.doubt(
                f"{AT}.listenerMetadata",
                quote(metadata),
                "nothing without linux.seccomp.listenerPath",
                "it is ignored: nothing notifies",
            )
        return "", ""
    if not path:
        raise ConfigError(notifying, quote("SCMP_ACT_NOTIFY"), "another action without linux.seccomp.listenerPath")
    if not NEW_LISTENER & host.seccomp_flags:
        raise HostError(notifying, "this kernel notifies nobody of syscalls")
    return path, metadata


def _get(value: "Members", path: str, name: str, kind: "type[Kind]", default: "Kind | None" = None) -> "Kind":
    found = value.get(name)
    if found is None:
        if default is None:
            raise ConfigError(f"{path}.{name}", "nothing", "a value")
        return default
    if type(found) is not kind:
        raise ConfigError(f"{path}.{name}", quote(found), KINDS[kind])
    return found


def _action(value: "Members", path: str, action: str = "action", errno: str = "errnoRet") -> tuple[str, int]:
    name = _get(value, path, action, str)
    number = choose(ACTIONS, name, f"{path}.{action}")
    if number not in (ERRNO, TRACE):
        if value.get(errno) is not None:
            raise ConfigError(f"{path}.{errno}", quote(value[errno]), f"nothing: {name} returns no errno")
        return name, number
    returned = _get(value, path, errno, int, EPERM)
    # What a tracer gets may be any 16 bits; libseccomp takes no errno beyond.
    limit = 4094 if number == ERRNO else 0xFFFF
    if not 0 <= returned <= limit:
        raise ConfigError(f"{path}.{errno}", quote(returned), f"a number from 0 to {limit}")
    return name, number | returned


def _compile(profile: "Members", strict: bool = False) -> bytes:
    from .libseccomp import Filter

    name, default = _action(profile, AT, "defaultAction", "defaultErrnoRet")
    rules = _get(profile, AT, "syscalls", list, [])
    with Filter(default, sum([len(_names(rule)) for rule in rules])) as made:
        arches = [made.native()]
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
        named = [_add_rule(made, rule, f"{AT}.syscalls[{index}]", default, strict) for index, rule in enumerate(rules)]
        program = made.export()
        if name in PERMISSIVE or default == ERRNO | ENOSYS:
            return program
        names = {each for rule in named for each in rule}
        last = {arch: max([made.number(arch, each) for each in names], default=-1) for arch in arches}
        return _newer_are_enosys({arch: number for arch, number in last.items() if number >= 0}) + program


def _names(rule: "Json") -> list[str]:
    """Of a rule that has not been looked at yet."""
    names = rule.get("names") if type(rule) is dict else None
    return names if type(names) is list else []


def _add_rule(made: "Filter", rule: "Json", path: str, default: int, strict: bool) -> list[str]:
    if type(rule) is not dict:
        raise ConfigError(path, quote(rule), "an object")
    names: list[str] = _get(rule, path, "names", list)
    if not names:
        raise ConfigError(f"{path}.names", "[]", "at least one name")
    for index, name in enumerate(names):
        if type(name) is not str:
            raise ConfigError(f"{path}.names[{index}]", quote(name), "a string")
        if strict and made.number(0, name) == -1:
            raise ConfigError(
                f"{path}.names[{index}]",
                quote(name),
                f"a system call that libseccomp knows, since {crun.FAIL_UNKNOWN_SYSCALL} is set",
            )
    _, action = _action(rule, path)
    alternatives = _conditions(rule, path)
    for name in names if action != default else ():
        number = made.number(0, name)
        if number == -1:
            continue
        for conditions in alternatives:
            made.add_rule(path, action, number, conditions)
    return names


def _conditions(rule: "Members", path: str) -> "list[list[Condition]]":
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
        found.append((place, choose(OPERATORS, arg.get("op"), f"{at}.op"), value, second))
    places = [condition[0] for condition in found]
    return [[condition] for condition in found] if len(set(places)) < len(places) else [found]


def _newer_are_enosys(last: "Mapping[int, int]") -> bytes:
    """BPF before the program: a syscall beyond the last that the profile names, on its architecture, gets ENOSYS.

    :param last: architecture (AUDIT_ARCH_*; libseccomp's x32 is x86_64 with a bit in the number) -> number.
    """

    def instruction(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
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
        elif arch == AUDIT_X86_64:
            # Without x32 they are another architecture's, which is the program's own to refuse.
            checks += instruction(jump_greater, X32_BIT - 1, 2, 0)
        checks += instruction(jump_greater, number, 0, 1) + answer
        checks += instruction(load, 4)
        program += instruction(jump_equal, arch, 0, len(checks) // 8) + checks
    return program
