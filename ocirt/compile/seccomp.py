"""linux.seccomp: config-linux.md, "Seccomp". The compiler turns a profile into a BPF program, which is bytes in the
plan.

As in runc: rules with the default action are left out; syscalls that libseccomp does not know are ignored; several
conditions on one argument are alternatives; a syscall newer than all that the profile names gets ENOSYS if the default
action is a refusal (so that a libc falls back to an older syscall); and a profile without ``flags`` gets
SECCOMP_FILTER_FLAG_SPEC_ALLOW if the kernel has it.
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
KINDS = {dict: "an object", list: "an array", str: "a string", int: "a whole number"}
U64 = (1 << 64) - 1


class Seccomp:
    """The seccomp profile of a container: when it is loaded, and by which process.

    :param no_new_privileges: the value for the process that gets the profile.
    :param added: is that process one that exec adds?
    :ivar register: of the connection to the agent, or ``NONE``.
    :raises ConfigError: the specification does not allow something in the profile.
    :raises HostError: libseccomp is missing or refuses the profile, or the kernel lacks a feature that it asks for.
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
        self.at, self.at_path = AT, AT_PATH
        profile, data = _get(config.linux.value, "linux", "seccomp", dict, {}), crun.seccomp_data(config)
        if not profile and data is None:
            return
        if profile:
            # The program holds only for exactly this profile.
            config.trace.guards[AT] = profile
        receiver = crun.seccomp_receiver(config)
        if data is not None:
            self.at = crun.at(crun.SECCOMP_DATA)
            self._use(data, profile, receiver, host)
        else:
            self._read(profile, receiver, crun.fails_unknown_syscall(config), host, kept, config.trace)
        if self.path:
            self.register = plan.register()
            self.at_path = crun.at(crun.SECCOMP_RECEIVER) if self.path == receiver else AT_PATH

    def _read(
        self,
        profile: "Members",
        receiver: str,
        strict: bool,
        host: "Host",
        filters: "Filters | None",
        trace: "Trace",
    ) -> None:
        """Compile the profile, or take the filter that the cache keeps for it.

        :param receiver: the agent's socket if the profile names none.
        :param strict: is it an error if libseccomp does not know a system call? Only compiling can tell.
        """
        notifying = _notifying(profile)
        kept = filters.find(profile) if filters and not strict else None
        if kept is not None:
            host.seccomp_flags, self.filter = kept
        self.flags = _flags(profile, host, notifying is not None)
        self.path, self.metadata = _listener(profile, host, notifying, receiver, trace)
        if kept is None:
            self.filter = compiled(profile, strict)
            if filters:
                filters.made(profile, host.seccomp_flags, self.filter)

    def _use(self, data: bytes, profile: "Members", receiver: str, host: "Host") -> None:
        """Use ``data`` as the filter, as crun does: of the profile only the flags count."""
        if receiver and not NEW_LISTENER & host.seccomp_flags:
            raise HostError(
                crun.at(crun.SECCOMP_RECEIVER),
                "this kernel has no notification of system calls (SECCOMP_FILTER_FLAG_NEW_LISTENER)",
            )
        self.filter, self.path, self.metadata = data, receiver, ""
        self.flags = _flags(profile, host, bool(receiver))

    def open(self) -> "list[Step]":
        """Steps of the host, before it starts the child: they connect to the agent, whose path is one of the runtime's
        namespaces.
        """
        return [] if self.register == NONE else [OpenSocket(self.at_path, SPEC, fd=self.register, path=self.path)]

    def leave(self) -> "list[Step]":
        """Steps of the host, after it has started the child: the runtime closes its end, so that the connection ends
        with the child.
        """
        if self.register == NONE:
            return []
        steps: list[Step] = [Close(AT_PATH, SPEC, fd=self.register)]
        return [*steps, Send(AT_PATH, STATE, event=EVENTS.index("known"))]

    def wait(self) -> "list[Step]":
        """Steps of init, after it has entered its namespaces: it waits for its pid as the runtime sees it, because the
        agent gets that pid.
        """
        if self.register == NONE:
            return []
        return [Receive(AT_PATH, STATE, event=EVENTS.index("known"))]

    @property
    def lends(self) -> bool:
        """Does loading the filter need CAP_SYS_ADMIN? Execve takes the capability away again: the program gets no
        capability because of what this process is permitted, capabilities(7).
        """
        return self.filter is not None and not self.no_new_privileges

    @property
    def loads_at_create(self) -> bool:
        """Does create load the filter? It loads a filter that notifies, so that the agent hears of the container before
        ``start``.
        """
        return self.register != NONE and not self.added

    def for_hooks(self) -> "list[Step]":
        """The step that runs startContainer hooks under the filter. If create has loaded the filter, they run under it
        anyway.
        """
        if self.filter is None or self.loads_at_create:
            return []
        return [FilterHooks(AT, SPEC, filter=self.filter, flags=self.flags)]

    def load(self) -> "list[Step]":
        """The steps that load the profile, if the config has one."""
        if self.filter is None:
            return []
        if self.register == NONE:
            return [LoadSeccomp(self.at, SPEC, filter=self.filter, flags=self.flags)]
        status = "running" if self.added else "creating"
        return [
            LoadNotifyingSeccomp(
                self.at,
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
    """The JSON path of the first rule that notifies, or ``None``. If the default action notified, the agent would also
    have to answer for the runtime's own system calls: as in runc, that is an error.
    """
    if profile.get("defaultAction") == "SCMP_ACT_NOTIFY":
        raise ConfigError(
            f"{AT}.defaultAction", quote("SCMP_ACT_NOTIFY"), "another action, because only rules may notify"
        )
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
    # The process that loads the filter has one thread, so TSYNC has nothing to synchronize, and the kernel refuses
    # TSYNC together with a listener. Without a listener the kernel refuses WAIT_KILLABLE_RECV, which says how notified
    # syscalls wait.
    return flags & ~TSYNC if notifies else flags & ~(TSYNC | WAIT_KILLABLE_RECV)


def _listener(
    profile: "Members", host: "Host", notifying: str | None, receiver: str, trace: "Trace"
) -> tuple[str, str]:
    """``listenerPath`` (or ``receiver`` if it is empty) and ``listenerMetadata``. Both are empty if nothing
    notifies.
    """
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
        raise HostError(notifying, "this kernel has no notification of system calls (SECCOMP_FILTER_FLAG_NEW_LISTENER)")
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
    # A tracer may get any 16 bits; libseccomp accepts no errno above 4094.
    limit = 4094 if number == ERRNO else 0xFFFF
    if not 0 <= returned <= limit:
        raise ConfigError(f"{path}.{errno}", quote(returned), f"a number from 0 to {limit}")
    return name, number | returned


def compiled(profile: "Members", strict: bool = False) -> bytes:
    """The filter of a profile.

    :param strict: is it an error if libseccomp does not know a system call?
    :raises ConfigError: the specification does not allow something in the profile.
    :raises HostError: libseccomp is missing or refuses the profile.
    """
    from ..model.processor import ARCHITECTURES, is_private
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
            # An architecture that this libseccomp does not know cannot run on this host either.
            if number and number not in arches:
                made.add_arch(number)
                arches.append(number)
        named = [_add_rule(made, rule, f"{AT}.syscalls[{index}]", default, strict) for index, rule in enumerate(rules)]
        program = made.export()
        if name in PERMISSIVE or default == ERRNO | ENOSYS:
            return program
        names = {each for rule in named for each in rule}
        last: dict[int, int] = {}
        for arch in arches:
            numbers = [made.number(arch, each) for each in names]
            last[arch] = max([number for number in numbers if not is_private(arch, number)], default=-1)
        return _newer_are_enosys({arch: number for arch, number in last.items() if number >= 0}) + program


def _names(rule: "Json") -> list[str]:
    """The names of a rule that nothing has checked yet."""
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
    """Lists of conditions; the rule applies if all of one list hold. If two conditions look at one argument, each
    condition is a list of its own.
    """
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
    """BPF that runs before the program: on each architecture, a syscall newer than all that the profile names gets
    ENOSYS.

    :param last: architecture (AUDIT_ARCH_*; libseccomp's x32 is x86_64 with a bit in the number) -> the highest number
        that the profile names.
    """

    from ..model.processor import ARM_PRIVATE, AUDIT_ARM, AUDIT_X86_64, X32_BIT

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
            # Numbers with the bit belong to x32, and are greater than every number without it.
            checks += instruction(jump_greater, X32_BIT - 1, 0, 3)
            checks += instruction(jump_greater, x32, 0, 1) + answer + instruction(0x05, 2)
        elif arch == AUDIT_X86_64:
            # Without x32 in the profile such numbers belong to another architecture, which the program itself refuses.
            checks += instruction(jump_greater, X32_BIT - 1, 2, 0)
        elif arch == AUDIT_ARM:
            checks += instruction(jump_greater, ARM_PRIVATE - 1, 2, 0)
        checks += instruction(jump_greater, number, 0, 1) + answer
        checks += instruction(load, 4)
        program += instruction(jump_equal, arch, 0, len(checks) // 8) + checks
    return program
