"""The command line: every flag of every verb, once.

The argparse parsers (:mod:`ocirt.cli.parser`) and the launcher's tables (``flags.h``, :mod:`ocirt.generate`) are made
from these tables. One dash or two, before or after the id, ``--flag value`` or ``--flag=value`` all mean the same, as
in runc.
"""

from ..model.peers import DIFFERENCES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SPEC_VERSION = "1.3.0"


ONCE, PATHS, VALUES = 0, 1, 2
"""What a repeated flag means: ONCE, its last value counts; PATHS, its values are paths, which become one value
(absolute, separated by colons, a backslash before colons and backslashes in them); VALUES, each value is
one by itself."""


KEY, BOUND, OTHER, PYTHONS = "key", "bound", "other", "python"
"""How a kept program depends on a flag, and the member of the request's document (:mod:`ocirt.boot`) that has the flag.
KEY: the program is for one value only. BOUND: the program is for any value, but depends on whether the flag is given.
OTHER: the program does not depend on the flag. PYTHONS: the launcher does not know the flag, and starts Python, which
replaces it by others."""

TEXT, VARIABLE, ID, USER, EITHER = range(5)
"""The form of a flag's value in that document: a string; a string of the form NAME=VALUE; a number, of a user or a
group; an object of such numbers, ``uid`` and ``gid``; and EITHER, for a switch that also has an effect if it is off, the
string ``1`` or ``0``. A value of another form is there as a string, and Python refuses it."""


class Flag:
    """A flag.

    :ivar value: the name of its value in the help, ``None`` for a switch.
    :ivar repeats: what the flag means if it is repeated.
    :ivar part: how a kept program depends on it.
    :ivar form: the form of its value in the request.
    """

    __slots__ = ("name", "letter", "value", "help", "choices", "repeats", "part", "form")

    def __init__(
        self,
        name: str,
        help: str,
        value: str | None = None,
        letter: str = "",
        choices: "Sequence[str]" = (),
        repeats: int = ONCE,
        part: str = KEY,
        form: int = TEXT,
    ) -> None:
        self.name, self.help, self.value, self.letter, self.choices = name, help, value, letter, choices
        self.repeats, self.part, self.form = repeats, part, form

    @property
    def takes_value(self) -> bool:
        return self.value is not None


class Verb:
    """A verb: its flags, and how many arguments it takes. ``arguments`` is their form in the help. With ``command`` a
    command line follows the first argument, and no word of that is a flag. ``command_with`` is a flag with which that
    is so.
    """

    __slots__ = ("arguments", "help", "flags", "arguments_min", "arguments_max", "command", "command_with")

    def __init__(
        self,
        arguments: str,
        help: str,
        *flags: Flag,
        min: int = 1,
        max: int = 1,
        command: bool = False,
        command_with: str = "",
    ) -> None:
        self.arguments, self.help, self.flags, self.command = arguments, help, flags, command
        self.arguments_min, self.arguments_max, self.command_with = min, max, command_with

    @property
    def launchers(self) -> "list[Flag]":
        """The flags that the launcher knows."""
        return [flag for flag in self.flags if flag.part != PYTHONS]


GLOBAL = (
    Flag(
        "root",
        "directory of the containers' states (default /run/ocirt, for users $XDG_RUNTIME_DIR/ocirt)",
        "DIR",
        part=BOUND,
    ),
    Flag("log", "write errors to FILE instead of standard error, or to journald:ID or syslog:ID", "FILE", part=OTHER),
    Flag("log-format", "text (default) or json", "FORMAT", choices=("text", "json"), part=OTHER),
    Flag("log-level", "error, warning (default) or debug", "LEVEL", choices=("error", "warning", "debug"), part=OTHER),
    Flag("debug", "log each action; the same as --log-level debug", part=OTHER),
    Flag(
        "trace",
        "record what the verb does to a container, and when, in FILE, or in DIR/ID.trace",
        "FILE|DIR",
        part=OTHER,
    ),
    Flag("systemd-cgroup", "let systemd make cgroups; cgroupsPath is slice:prefix:name"),
    Flag(
        "cgroup-manager",
        "auto (default: cgroupfs, or the user's own systemd), cgroupfs, systemd or disabled",
        "MANAGER",
        choices=("auto", "cgroupfs", "systemd", "disabled"),
    ),
    Flag(
        "rootless",
        "skip cgroups that the caller may not write: auto (default), true or false",
        "MODE",
        choices=("auto", "true", "false"),
    ),
    Flag(
        "as",
        "behave as runc or crun where they differ (default: the name by which ocirt is called)",
        "NAME",
        choices=("ocirt", *DIFFERENCES),
    ),
    Flag("criu", "the criu that checkpoint and restore use (default: the one on PATH)", "FILE"),
)

_BUNDLE = Flag("bundle", "the bundle's directory (default: the current directory)", "DIR", "b", part=BOUND)
_STATUS = Flag(
    "status-fd", "report start, failure and end on descriptor N; kill the container if nobody reads N", "N", part=OTHER
)
_REGEX = Flag(
    "regex", "ID is a regular expression (Python's re): act on all containers whose id matches it", letter="r"
)
_CREATE = (
    _BUNDLE,
    Flag("console-socket", "unix socket that receives the master of the terminal", "SOCKET", part=BOUND),
    Flag("pidfd-socket", "unix socket that receives a pidfd of the container's first process", "SOCKET", part=BOUND),
    Flag("pid-file", "write the pid of the container's first process to FILE", "FILE", part=BOUND),
    Flag("no-pivot", "move the root instead of calling pivot_root (for a rootfs on a ramdisk)"),
    Flag("no-new-keyring", "keep the caller's session keyring"),
    Flag("preserve-fds", "pass the open ones of N further descriptors, from 3 on, to the container", "N"),
    Flag("config", "read FILE (- is standard input) instead of the bundle's config.json", "FILE", "f", part=OTHER),
    Flag("init", "run a small init that starts the program, forwards signals to it and reaps orphans"),
    Flag("no-cache", "compile the bundle, and neither look for a kept program nor keep this one", part=OTHER),
    _STATUS,
    Flag(
        "layer",
        "a read-only directory of an overlay that becomes the rootfs; repeat it, topmost first",
        "DIR",
        repeats=PATHS,
    ),
    Flag("upper", "directory for changes to the overlay (without it the overlay is read-only)", "DIR", part=BOUND),
    Flag("work", "an empty directory on the file system of --upper", "DIR", part=BOUND),
    Flag("rootfs-annotations", "allow annotations (org.ocirt.rootfs.*) to choose directories of the host"),
    Flag("hardening-annotations", "let annotations (org.ocirt.landlock, org.ocirt.coresched) restrict the container"),
)

_LATE = Flag("late", "leave the command, its directory, variables and standard streams to start")
_RENEW = Flag("renew", "get the program over the socket --status-fd, then make the next container (with --late)")
_CWD = Flag("cwd", "the working directory of the process in the container", "DIR", part=BOUND)
_ENV = Flag(
    "env", "a further environment variable, NAME=VALUE", "VARIABLE", "e", repeats=VALUES, part=BOUND, form=VARIABLE
)
_STORE = Flag(
    "store",
    "the store's directory (default /var/lib/ocirt, for users $XDG_DATA_HOME/ocirt)",
    "DIR",
    part=PYTHONS,
)
_MAX_SIZE = Flag("max-size", "the most bytes of an unpacked layer (default 64g)", "SIZE")
_PLATFORM = Flag("platform", "OS/ARCHITECTURE[/VARIANT] to choose from an index (default: this host's)", "PLATFORM")

_CRIU = (
    Flag("image-path", "directory of criu's image files (default: checkpoint, in the current directory)", "DIR"),
    Flag("work-path", "directory for criu's log and statistics (default: --image-path)", "DIR"),
    Flag("tcp-established", "include open TCP connections"),
    Flag("ext-unix-sk", "allow unix sockets that are connected to sockets outside the container"),
    Flag("shell-job", "allow the container to be a job of a shell outside, and to use that shell's terminal"),
    Flag("file-locks", "include file locks"),
    Flag(
        "manage-cgroups-mode",
        "how criu treats cgroups in the container: soft (default), full, strict or ignore",
        "MODE",
    ),
    Flag("empty-ns", "a namespace to create empty: network (which always is)", "TYPE", repeats=VALUES),
    Flag("auto-dedup", "keep memory only in the newest of several images"),
    Flag("lazy-pages", "fetch memory from a page server when it is used (userfaultfd)"),
)

NATIVE = {
    "create": Verb(
        "ID",
        "create a container",
        *_CREATE,
        _LATE,
        Flag("remove", "delete the container when it ends (with --status-fd)", part=OTHER),
        _RENEW,
    ),
    "run": Verb(
        "ID [COMMAND ARGS...]",
        "create a container and start it",
        *_CREATE,
        Flag("image", "run COMMAND, or the image's own, in an image", "IMAGE", part=PYTHONS),
        _STORE,
        Flag(
            "env",
            "with --image: a further environment variable, NAME=VALUE",
            "VARIABLE",
            "e",
            repeats=VALUES,
            part=PYTHONS,
        ),
        Flag(
            "user",
            "with --image: the user, and optionally the group",
            "USER",
            part=PYTHONS,
        ),
        Flag("cwd", "with --image: the working directory in the container", "DIR", part=PYTHONS),
        Flag("detach", "do not wait for the container's end", letter="d"),
        Flag("keep", "do not delete the container when it ends", part=OTHER),
        Flag("no-subreaper", "leave orphaned processes to the host's init", part=OTHER),
        Flag("explain", "warn of each system call that the seccomp profile refuses, with its arguments", part=OTHER),
        Flag("record", "write the smallest seccomp profile that the program needs to FILE", "FILE", part=OTHER),
        command_with="image",
    ),
    "start": Verb(
        "ID [COMMAND ARGS...]",
        "run the program of a created container, or a command in one that create --late has made",
        _CWD,
        _ENV,
        command=True,
    ),
    "state": Verb("ID", "print a container's state as JSON"),
    "kill": Verb(
        "ID [SIGNAL]",
        "send a signal (default SIGTERM) to a container's first process",
        Flag("all", "send the signal to all processes of the container", letter="a"),
        _REGEX,
        max=2,
    ),
    "delete": Verb(
        "ID",
        "delete a stopped container",
        Flag("force", "kill the container first if it is running", letter="f"),
        Flag("why", "print why the container ended (see why)"),
        _REGEX,
    ),
    "exec": Verb(
        "ID [COMMAND ARGS...]",
        "run a further process in a container",
        Flag("process", "the process, as JSON (- is standard input): config.json's process", "FILE", "p", part=BOUND),
        Flag("tty", "give the process a terminal", letter="t"),
        Flag("console-socket", "unix socket that receives the master of the terminal", "SOCKET", part=BOUND),
        Flag("pidfd-socket", "unix socket that receives a pidfd of the process", "SOCKET", part=BOUND),
        Flag("pid-file", "write the pid of the process to FILE", "FILE", part=BOUND),
        Flag("detach", "do not wait for the end of the process", letter="d"),
        _CWD,
        _ENV,
        Flag("user", "the user, and optionally the group, of the process", "UID[:GID]", "u", part=BOUND, form=USER),
        Flag("additional-gids", "a further group", "GID", "g", repeats=VALUES, part=BOUND, form=ID),
        Flag("cap", "a further capability", "NAME", "c", repeats=VALUES, part=BOUND),
        Flag("preserve-fds", "pass the open ones of N further descriptors, from 3 on, to the process", "N"),
        Flag("no-new-privs", "set no_new_privs; =false leaves it out, whatever config.json says", form=EITHER),
        Flag("apparmor", "the AppArmor profile of the process", "PROFILE", part=BOUND),
        Flag("process-label", "the SELinux label of the process", "LABEL", part=BOUND),
        Flag(
            "cgroup",
            "join a cgroup beneath the container's; cgroup v1: CONTROLLER[,CONTROLLER...]:CGROUP",
            "CGROUP",
            repeats=VALUES,
        ),
        Flag("ignore-paused", "wait until a paused container is resumed, instead of failing"),
        Flag("no-cache", "compile the process, and neither look for a kept program nor keep this one", part=OTHER),
        _STATUS,
        command=True,
    ),
    "restore": Verb(
        "ID",
        "create a container from a checkpoint",
        _BUNDLE,
        *_CRIU,
        Flag("tcp-close", "close open TCP connections instead of restoring them"),
        Flag("detach", "do not wait for the container's end", letter="d"),
        Flag("pid-file", "write the pid of the container's first process to FILE", "FILE", part=BOUND),
        Flag("console-socket", "unix socket that receives the master of the terminal", "SOCKET", part=BOUND),
        Flag("no-subreaper", "leave orphaned processes to the host's init", part=OTHER),
        Flag("rootfs-annotations", "the same as for create"),
        Flag("no-pivot", "accepted without effect, because criu changes the root"),
        Flag("lsm-profile", "the security profile of the processes, TYPE:NAME", "PROFILE"),
        Flag("lsm-mount-context", "the SELinux context of the mounts", "CONTEXT"),
    ),
    "pause": Verb("ID", "freeze the processes of a container"),
    "resume": Verb("ID", "continue the processes of a paused container"),
    "list": Verb(
        "",
        "list the containers under the root directory",
        Flag("format", "table (default) or json", "FORMAT", "f", choices=("table", "json")),
        Flag("quiet", "print ids only", letter="q"),
        min=0,
        max=0,
    ),
}
"""Verbs whose command line the launcher reads itself. create, run and exec start Python if no kept program fits;
restore always does. The others start it only for ``--regex``, for a container that another build has created, and for
a command line that the launcher cannot read."""

_SIZE, _TIME = "BYTES", "MICROSECONDS"

PYTHON = {
    "update": Verb(
        "ID",
        "change the limits of a container",
        Flag(
            "resources",
            "read the limits from FILE (- is standard input); only the last two flags still count",
            "FILE",
            "r",
        ),
        Flag("memory", "memory, a number with or without a unit (512m, 1g); -1 is no limit", _SIZE),
        Flag("memory-swap", "memory and swap together; -1 is no limit", _SIZE),
        Flag("memory-reservation", "memory that the container keeps under memory pressure (the soft limit)", _SIZE),
        Flag("kernel-memory", "accepted without effect", _SIZE),
        Flag("kernel-memory-tcp", "accepted without effect", _SIZE),
        Flag("cpu-share", "CPU weight relative to other cgroups, 2 to 262144", "WEIGHT"),
        Flag("cpu-period", "CFS period", _TIME),
        Flag("cpu-quota", "CPU time in a period; -1 is no limit", _TIME),
        Flag("cpu-burst", "unused CPU time that a later period may add", _TIME),
        Flag("cpu-rt-period", "realtime period", _TIME),
        Flag("cpu-rt-runtime", "realtime CPU time in a period", _TIME),
        Flag("cpu-idle", "1: use only CPU time that other cgroups leave", "0|1"),
        Flag("cpuset-cpus", "CPUs to use, like 0-2,4", "LIST"),
        Flag("cpuset-mems", "memory nodes to use", "LIST"),
        Flag("blkio-weight", "relative weight of block I/O, 10 to 1000", "WEIGHT"),
        Flag("pids-limit", "largest number of processes and threads; -1 is no limit", "LIMIT"),
        Flag("l3-cache-schema", "line for the schemata of the container's resctrl group, L3:...", "LINE"),
        Flag("mem-bw-schema", "line for the schemata of the container's resctrl group, MB:...", "LINE"),
    ),
    "checkpoint": Verb(
        "ID",
        "save the processes of a container to files",
        *_CRIU,
        Flag("leave-running", "let the container continue afterwards"),
        Flag("pre-dump", "save memory only, and let the container continue; later ones save what has changed"),
        Flag("parent-path", "the images of the last --pre-dump, relative to --image-path", "DIR"),
        Flag("tcp-skip-in-flight", "leave out connections that are not yet accepted"),
        Flag("link-remap", "temporarily give deleted files that are still open a name again"),
        Flag("page-server", "send memory to a criu page-server", "ADDRESS:PORT"),
        Flag("status-fd", "write a NUL to descriptor N when memory can be fetched (--lazy-pages)", "N"),
    ),
    "wait": Verb("ID", "wait for the end of a container, and exit with its status"),
    "why": Verb(
        "ID",
        "print why a container ended",
        Flag("format", "text (default) or json", "FORMAT", "f", choices=("text", "json")),
    ),
    "ps": Verb(
        "ID [PS OPTIONS...]",
        "list the processes of a container",
        Flag("format", "table (default) or json", "FORMAT", "f", choices=("table", "json")),
        command=True,
    ),
    "events": Verb(
        "ID",
        "print what happens to a container, and its statistics",
        Flag("interval", "time between statistics (default 5s)", "DURATION"),
        Flag("stats", "print the statistics once"),
    ),
    "diff": Verb("ID", "print what a container has changed in its root", Flag("json", "print JSON")),
    "export": Verb(
        "ID",
        "write the whole root of a container as a tar archive",
        Flag("output", "write to FILE instead of standard output", "FILE", "o"),
    ),
    "spec": Verb(
        "",
        "write a config.json to start from",
        _BUNDLE,
        Flag("rootless", "write it for a user without root's rights"),
        min=0,
        max=0,
    ),
    "plan": Verb(
        "[BUNDLE]",
        "print the steps that a bundle is compiled to",
        Flag("slots", "print what the program was compiled from: slots, guards and tests"),
        Flag("config", "read FILE (- is standard input) instead of the bundle's config.json", "FILE", "f"),
        min=0,
        max=1,
    ),
    "validate": Verb(
        "[BUNDLE]",
        "print all errors of a bundle's config.json",
        Flag("config", "read FILE (- is standard input) instead of the bundle's config.json", "FILE", "f"),
        Flag("format", "text (default) or json", "FORMAT", choices=("text", "json")),
        Flag("strict", "treat warnings as errors"),
        min=0,
        max=1,
    ),
    "cache": Verb(
        "list | explain [BUNDLE] | clear",
        "list kept programs, explain why a bundle has none, or remove them all",
        *[flag for flag in _CREATE if flag.name not in ("bundle", "no-cache")],
        _LATE,
        _RENEW,
        Flag("run", "explain: look for the program as run would"),
        Flag("detach", "explain: with --run, look for it as run --detach would", letter="d"),
        Flag("format", "list: table (default) or json", "FORMAT", choices=("table", "json")),
        min=1,
        max=2,
    ),
    "doctor": Verb(
        "[BUNDLE]",
        "say what this host can do for a container, or what would fail for a bundle",
        Flag("config", "read FILE (- is standard input) instead of the bundle's config.json", "FILE", "f"),
        Flag("json", "print JSON"),
        min=0,
        max=1,
    ),
    "trace": Verb(
        "FILE",
        "say where the time of a recorded command went",
        Flag(
            "format",
            "summary (default: critical path and longest steps), table, chrome, otlp or svg",
            "FORMAT",
            "f",
            choices=("summary", "table", "chrome", "otlp", "svg"),
        ),
        Flag("svg", "draw the commands into FILE, too", "FILE"),
    ),
    "features": Verb("", "print what this build supports, as JSON", min=0, max=0),
    "pull": Verb(
        "IMAGE",
        "get an image from a registry",
        _STORE,
        _PLATFORM,
        Flag("mirror", "a registry to ask first; repeat it", "HOST", repeats=VALUES),
        Flag("insecure", "accept an unknown certificate, or HTTP"),
        Flag("auth-file", "credentials (default: those of podman login and docker login)", "FILE"),
        _MAX_SIZE,
        Flag("quiet", "show no progress", letter="q"),
    ),
    "push": Verb(
        "IMAGE [NAME]",
        "send an image to a registry",
        _STORE,
        Flag("insecure", "accept an unknown certificate, or HTTP"),
        Flag("auth-file", "credentials (default: those of podman login and docker login)", "FILE"),
        Flag("quiet", "show no progress", letter="q"),
        max=2,
    ),
    "commit": Verb(
        "ID IMAGE",
        "make an image of what a container has written",
        _STORE,
        Flag("message", "a comment in the image's history", "TEXT", "m"),
        Flag("author", "who has made the image", "TEXT", "a"),
        Flag("change", "an instruction of a Dockerfile for the image's config; repeat it", "LINE", "c", repeats=VALUES),
        Flag("compression", "gzip (default), zstd or none", "KIND", choices=("gzip", "zstd", "none")),
        Flag("timestamp", "the time of the image, and of all files that are newer (default: now)", "SECONDS"),
        Flag("no-pause", "do not freeze the container meanwhile"),
        _MAX_SIZE,
        min=2,
        max=2,
    ),
    "load": Verb(
        "FILE",
        "add an image from an OCI layout or archive, or one of docker save, to the store",
        _STORE,
        _PLATFORM,
        Flag("name", "the name that the image gets (default: that in the file)", "NAME"),
        Flag("reference", "the name or tag of the image in the file, if there are several", "NAME"),
        _MAX_SIZE,
    ),
    "images": Verb(
        "",
        "list the images of the store",
        _STORE,
        Flag("format", "table (default) or json", "FORMAT", "f", choices=("table", "json")),
        Flag("quiet", "print names only", letter="q"),
        min=0,
        max=0,
    ),
    "rmi": Verb("IMAGE...", "remove images from the store", _STORE, min=1, max=1000),
    "prune": Verb("", "remove what no image and no container uses from the store", _STORE, min=0, max=0),
    "bundle": Verb("IMAGE DIR", "make a bundle of an image, for any runtime", _STORE, _MAX_SIZE, min=2, max=2),
}

FLAGS = {flag.name: flag for flag in (*GLOBAL, *[flag for verb in NATIVE.values() for flag in verb.launchers])}
"""The flags that the executable reads, by name, in the order of ``flags.h``."""

HANDED_BACK = ("update",)
"""Verbs of Python with a program that the executable runs: it gets these verbs without flags."""

VERBS = {**NATIVE, **PYTHON}
