"""Plans, and what they were compiled from, in a form for people.

Each step is one line, by section: its number, its name, the JSON path, flag or rule that asked for it, its fields
(without those that have their default), and the section of the specification that it follows.
"""

from _json import encode_basestring, encode_basestring_ascii

from ..model.text import Table, bound
from .steps import EVENTS, NONE, REGISTER_KINDS, SECTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..model.text import Trace
    from . import Plan
    from .steps import Facts, Record, Step

RUNS = {
    "host": "the runtime, at create",
    "stage": "the child that joins namespaces",
    "init": "the container's first process, before start",
    "before_start": "start, before it sends the request to the first process",
    "exec_program": "the first process, at start",
    "after_start": "start, after the program has been executed",
    "signal": "kill --all",
    "pause": "pause",
    "resume": "resume, and kill with SIGKILL",
    "update": "update",
    "restore": "the undoing of a failed update",
    "delete": "delete, and the undoing of a failed create",
    "renew": "create --renew, after the end of the container, for the next one",
    "in_criu_netns": "restore, within the namespaces that criu has made",
    "in_restored_mntns": "restore, in the container's mount namespace",
}

MOUNT_ATTRIBUTES = {
    0x1: "RDONLY",
    0x2: "NOSUID",
    0x4: "NODEV",
    0x8: "NOEXEC",
    0x10: "NOATIME",
    0x20: "STRICTATIME",
    0x80: "NODIRATIME",
    0x100000: "IDMAP",
    0x200000: "NOSYMFOLLOW",
}
ATIME_MASK = 0x70
PROPAGATIONS = {1 << 14: "REC", 1 << 17: "UNBINDABLE", 1 << 18: "PRIVATE", 1 << 19: "SLAVE", 1 << 20: "SHARED"}
NAMESPACES = {
    0x80: "TIME",
    0x20000: "NS",
    0x02000000: "CGROUP",
    0x04000000: "UTS",
    0x08000000: "IPC",
    0x10000000: "USER",
    0x20000000: "PID",
    0x40000000: "NET",
}
SECCOMP_FLAGS = {1: "TSYNC", 2: "LOG", 4: "SPEC_ALLOW", 8: "NEW_LISTENER", 32: "WAIT_KILLABLE_RECV"}
NODES = {0o010000: "S_IFIFO", 0o020000: "S_IFCHR", 0o060000: "S_IFBLK"}
CAPABILITIES = {
    1 << number: name
    for number, name in enumerate(
        """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE""".split()
    )
}

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/@^+:=,%~*")
_FIELDS_WIDTH = 64
"""A longer field moves the specification's section only on its own line, not on every line."""


def text(value: str) -> str:
    """A string as one word: unchanged if that is clear, otherwise in quotes and, if necessary, as JSON."""
    if value and _PLAIN.issuperset(value):
        return value
    if '"' in value and value.isprintable() and "'" not in value and "\\" not in value:
        return f"'{value}'"  # JSON within JSON is hard to read
    return encode_basestring(value) if value.isprintable() else encode_basestring_ascii(value)


def flags(value: int, prefix: str, names: "Mapping[int, str]") -> str:
    """The set bits of ``value`` by name. Names with one prefix are written as in a shell: ``CLONE_NEW{PID,NET}``."""
    known = [name for bit, name in names.items() if value & bit]
    rest = value & ~sum(names)
    words = [prefix + (known[0] if len(known) == 1 else "{" + ",".join(known) + "}")] if known else []
    return "|".join(words + ([hex(rest)] if rest else [])) or "0"


def _attributes(value: int) -> str:
    names = MOUNT_ATTRIBUTES
    if value & ATIME_MASK == ATIME_MASK:  # the mask of access times gets one name
        names = {ATIME_MASK: "_ATIME"} | {bit: name for bit, name in names.items() if not bit & ATIME_MASK}
    return flags(value, "MOUNT_ATTR_", names)


def _propagation(value: int) -> str:
    return flags(value, "MS_", PROPAGATIONS)


def _namespaces(value: int) -> str:
    return flags(value, "CLONE_NEW", NAMESPACES)


def _capabilities(value: int) -> str:
    return flags(value, "CAP_", CAPABILITIES)


def _seccomp_flags(value: int) -> str:
    return flags(value, "SECCOMP_FILTER_FLAG_", SECCOMP_FLAGS)


def _event(value: int) -> str:
    return EVENTS[value]


def _node(value: int) -> str:
    return NODES.get(value, oct(value))


def _octal(value: int) -> str:
    return f"{value:04o}"


def _limit(value: int) -> str:
    return "unlimited" if value in (-1, (1 << 64) - 1) else str(value)


FORMATS: "dict[str, Callable[[int], str]]" = {
    "set": _attributes,
    "top": _attributes,
    "clear": _attributes,
    "recursive_set": _attributes,
    "recursive_clear": _attributes,
    "propagation": _propagation,
    "flags": _namespaces,
    "kind": _namespaces,
    "MakeNode.kind": _node,
    "mode": _octal,
    "mask": _octal,
    "soft": _limit,
    "hard": _limit,
    "event": _event,
    "keep": _capabilities,
    "LoadSeccomp.flags": _seccomp_flags,
    "LoadNotifyingSeccomp.flags": _seccomp_flags,
    "SetMemoryPolicy.mode": hex,
    "effective": _capabilities,
    "permitted": _capabilities,
    "inheritable": _capabilities,
    "ambient": _capabilities,
}
"""The format of a field's number, by the field's name, or by step and name."""


def field(step: "Record", name: str) -> str:
    """The value of a step's field as one word."""
    kind, value = step.fields[name], bound(getattr(step, name))
    if kind == "texts":
        # A list slot is a list by itself.
        return "[" + " ".join(map(text, value)) + "]"
    if kind == "text":
        return text(value)
    if kind in REGISTER_KINDS:
        return "none" if value == NONE else f"fd{value}"
    if kind == "section":
        return str(value)
    if kind == "bytes":
        return f"({len(value)} bytes)" if len(value) > 16 else value.hex() or '""'
    write = FORMATS.get(f"{type(step).__name__}.{name}") or FORMATS.get(name) or str
    return write(value)


def fields(step: "Step") -> str:
    """The fields of a step that differ from their defaults, as ``name=value`` words."""
    return " ".join([f"{name}={field(step, name)}" for name in step.fields if not _is_default(step, name)])


def _is_default(step: "Record", name: str) -> bool:
    if name not in step.defaults:
        return False
    value: object = bound(getattr(step, name))
    default = step.defaults[name]
    return value == (list(default) if isinstance(default, tuple) else default)


def plan_lines(plan: "Plan") -> list[str]:
    """The lines that show ``plan``."""
    steps = [step for section in plan.sections.values() for step in section]
    if not steps:
        return []
    names = max([len(type(step).__name__) for step in steps])
    widths = [len(fields(step)) for step in steps]
    width = max([each for each in widths if each <= _FIELDS_WIDTH] or [_FIELDS_WIDTH])
    at_width = max([len(step.at) for step in steps])
    lines: list[str] = []
    for section in SECTIONS:
        if not plan.sections[section]:
            continue
        lines += ([""] if lines else []) + [f"{section}: {RUNS[section]}"]
        for number, step in enumerate(plan.sections[section], 1):
            lines.append(
                f"{number:4}  {type(step).__name__:{names}}  {step.at:{at_width}}  {fields(step):{width}}  "
                f"{step.spec}".rstrip()
            )
    facts = _facts_lines(plan.facts)
    return lines + (["", "facts: what state prints and hooks get", *facts] if facts else [])


def _facts_lines(facts: "Facts") -> list[str]:
    rows = [(name, field(facts, name)) for name in facts.fields if not _is_default(facts, name)]
    return [f"      {name:{max([len(name) for name in facts.fields])}}  {value}" for name, value in rows]


def trace_lines(trace: "Trace") -> list[str]:
    """The lines that show what a plan was compiled from: a :class:`~ocirt.model.text.Trace`."""
    slots = [
        (
            path,
            " ".join([name if argument is True else f"{name}={_value(argument)}" for name, argument in checks.items()]),
        )
        for path, checks in trace.slots.items()
    ]
    guards = [(path, _value(value)) for path, value in trace.guards.items()]
    tests = [
        (path, predicate if argument is None else f"{predicate} {_value(argument)}", "yes" if answer else "no")
        for (path, predicate, argument), answer in trace.tests.items()
    ]
    return [
        *_table("slots: passed on; any other value that passes the checks makes the same plan", slots),
        "",
        *_table("guards: read; the plan is for these very values", guards),
        "",
        *_table("tests: asked; the plan is for every value with these answers", tests),
    ]


def _table(title: str, rows: "Sequence[tuple[str, ...]]") -> list[str]:
    if not rows:
        return [title, "  none"]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        title,
        *[("  " + "  ".join([f"{word:{width}}" for word, width in zip(row, widths)])).rstrip() for row in rows],
    ]


def _value(value: object) -> str:
    """A value of the config, or an argument of a check or predicate, as JSON."""
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    if isinstance(value, str):
        return encode_basestring(value) if value.isprintable() else encode_basestring_ascii(value)
    if isinstance(value, Table):
        return value.name
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join([f"{_value(key)}: {_value(item)}" for key, item in value.items()]) + "}"
    return str(value)
