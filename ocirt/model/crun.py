"""Annotations that crun defines and that engines write for every runtime, as crun's manual (``crun.1``) describes them.

The names begin with ``run.oci.``. Each function here reads one. That an annotation was looked for is part of the program's
key, and so is a value that was read, so the cache never gives a container the answer of another one.
"""

from ..errors import ConfigError
from .json import member
from .text import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .config import Config
    from .text import Text

PREFIX = "run.oci."
KEEP_GROUPS = "run.oci.keep_original_groups"
MOUNT_CONTEXT = "run.oci.mount_context_type"
PIDFD_RECEIVER = "run.oci.pidfd_receiver"
FAIL_UNKNOWN_SYSCALL = "run.oci.seccomp_fail_unknown_syscall"
SECCOMP_DATA = "run.oci.seccomp_bpf_data"
SECCOMP_RECEIVER = "run.oci.seccomp.receiver"
TIME_OFFSET = "run.oci.timens_offset"
SUBGROUP, DELEGATE = "run.oci.systemd.subgroup", "run.oci.delegate-cgroup"
HOOKS_STDOUT, HOOKS_STDERR = "run.oci.hooks.stdout", "run.oci.hooks.stderr"
ANNOTATIONS = (
    HOOKS_STDOUT,
    HOOKS_STDERR,
    KEEP_GROUPS,
    MOUNT_CONTEXT,
    PIDFD_RECEIVER,
    FAIL_UNKNOWN_SYSCALL,
    SECCOMP_DATA,
    SECCOMP_RECEIVER,
    TIME_OFFSET,
    SUBGROUP,
    DELEGATE,
)
"""Those that ocirt applies."""

NAME_MAX = 255
"""Bytes of a file's name."""
CONTEXTS = ("context", "fscontext", "defcontext", "rootcontext")
"""The options of mount(8) that carry an SELinux label."""
YES, NO = ("1", "true"), ("0", "false", "")
CLOCKS = ("monotonic", "boottime", "1", "7")
"""What time_namespaces(7) takes as the first word of a line."""
INSTRUCTION, MOST_INSTRUCTIONS = 8, 4096
"""The size of a BPF instruction in bytes, and how many of them a seccomp filter may have (BPF_MAXINSNS)."""


def at(name: str) -> str:
    """The JSON path of the annotation ``name``."""
    return member("annotations", name)


def _given(config: "Config", name: str) -> "Text | None":
    """The annotation ``name``. One test of the program's key tells of all names with the prefix, and most configs have none."""
    return config.annotations_with(PREFIX).get(name.removeprefix(PREFIX))


def keeps_groups(config: "Config") -> bool:
    """Whether the process keeps the caller's supplementary groups, whatever ``additionalGids`` says."""
    return _is_on(config, KEEP_GROUPS)


def fails_unknown_syscall(config: "Config") -> bool:
    """Whether a system call in the seccomp profile that libseccomp does not know is an error."""
    return _is_on(config, FAIL_UNKNOWN_SYSCALL)


def mount_context(config: "Config") -> str:
    """The mount option that gives ``linux.mountLabel`` to a new file system: ``context`` unless the annotation says another.

    :raises ConfigError: the annotation is none of CONTEXTS.
    """
    text = _given(config, MOUNT_CONTEXT)
    value = "context" if text is None else text.read()
    if value not in CONTEXTS:
        raise ConfigError(at(MOUNT_CONTEXT), quote(value), f"one of {', '.join(CONTEXTS)}")
    return value


def hook_outputs(config: "Config") -> "list[Text | None]":
    """The files that what hooks print is appended to, stdout and stderr; ``None`` where an annotation is missing.

    :raises ConfigError: a path is not absolute.
    """
    found = [_given(config, name) for name in (HOOKS_STDOUT, HOOKS_STDERR)]
    return [None if text is None else text.checked(absolute=True) for text in found]


def pidfd_receiver(config: "Config") -> "Text | None":
    """The unix socket that gets init's pidfd, ``None`` without one.

    :raises ConfigError: the path is not absolute.
    """
    text = _given(config, PIDFD_RECEIVER)
    return None if text is None else text.checked(absolute=True)


def seccomp_receiver(config: "Config") -> str:
    """The unix socket that gets the descriptor of seccomp notifications; empty without one.

    :raises ConfigError: the path is not absolute.
    """
    text = _given(config, SECCOMP_RECEIVER)
    path = "" if text is None else text.read()
    if text is not None and not path.startswith("/"):
        raise ConfigError(at(SECCOMP_RECEIVER), quote(path), "an absolute path")
    return path


def seccomp_data(config: "Config") -> bytes | None:
    """The BPF program that takes the place of ``linux.seccomp``'s rules, ``None`` without one.

    :raises ConfigError: the annotation is not base64, or not whole instructions.
    """
    text = _given(config, SECCOMP_DATA)
    if text is None:
        return None
    from binascii import Error, a2b_base64  # rare

    encoded = "".join(text.read().split())  # base64(1) breaks lines
    expected = f"a BPF program of 1 to {MOST_INSTRUCTIONS} instructions, {INSTRUCTION} bytes each, in base64"
    try:
        program = a2b_base64(encoded.encode(), strict_mode=True)
    except (Error, UnicodeEncodeError) as error:
        raise ConfigError(at(SECCOMP_DATA), f"{quote(encoded[:64])} ({error})", expected) from None
    if not program or len(program) % INSTRUCTION or len(program) // INSTRUCTION > MOST_INSTRUCTIONS:
        raise ConfigError(at(SECCOMP_DATA), f"{len(program)} bytes", expected)
    return program


def time_offset(config: "Config") -> str:
    """A line for /proc/self/timens_offsets, ``CLOCK SECONDS NANOSECONDS``; empty without the annotation.

    :raises ConfigError: the annotation is no such line.
    """
    text = _given(config, TIME_OFFSET)
    if text is None:
        return ""
    words = text.read().split()
    if len(words) != 3 or words[0] not in CLOCKS or not _is_whole(words[1]) or not _is_below_a_second(words[2]):
        raise ConfigError(at(TIME_OFFSET), quote(text.read()), "a clock, seconds and nanoseconds, like monotonic 10 0")
    return " ".join(words) + "\n"


def subgroup(config: "Config") -> str:
    """The container's cgroup below systemd's scope; empty if it is the scope itself.

    :raises ConfigError: the annotation is no name of a cgroup.
    """
    return _cgroup_name(config, SUBGROUP)


def delegated(config: "Config") -> str:
    """The cgroup below the subgroup in which the container's process begins; empty if it begins in the subgroup itself.

    :raises ConfigError: the annotation is no name of a cgroup.
    """
    return _cgroup_name(config, DELEGATE)


def _cgroup_name(config: "Config", name: str) -> str:
    text = _given(config, name)
    value = "" if text is None else text.read()
    if "/" in value or value in (".", "..") or len(value.encode()) > NAME_MAX:
        raise ConfigError(at(name), quote(value), f"the name of one cgroup, without /, of at most {NAME_MAX} bytes")
    return value


def _is_on(config: "Config", name: str) -> bool:
    text = _given(config, name)
    value = "" if text is None else text.read()
    if value not in YES + NO:
        raise ConfigError(at(name), quote(value), "1 or 0")
    return value in YES


def _is_whole(word: str) -> bool:
    return word.removeprefix("-").isdecimal() and word.isascii()


def _is_below_a_second(nanoseconds: str) -> bool:
    return nanoseconds.isdecimal() and nanoseconds.isascii() and len(nanoseconds) <= 9
