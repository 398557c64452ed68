"""The help: runc's layout, our words."""

from .. import __version__
from .flags import GLOBAL, SPEC_VERSION, VERBS, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

HELP = Flag("help", "show help", letter="h")
VERSION = Flag("version", "print the version", letter="v")

ABOUT = """\
ocirt runs containers that are described as OCI bundles: a directory with a config.json and a root
file system. It compiles the bundle to a program of small steps and runs that program.

A user without root's rights needs a config.json with a user namespace: "ocirt spec --rootless" writes
one that runs as it stands, once there is a root file system in the directory rootfs."""

DESCRIPTIONS = {
    "create": """\
Makes the container of a bundle: namespaces, cgroups, root file system and everything else that
config.json asks for, up to the program itself. That waits for "ocirt start ID". ID is any name that no
other container under the root directory has.""",
    "run": """\
Creates the container of a bundle, starts it, waits for its end and deletes it. The exit status is the
program's own, 128 + N if signal N ended it. With --detach it returns once the program runs.
Signals that run gets, it passes on to the container's first process. The kernel drops those for which that
has no handler, SIGTERM too: with --init, or a "kill ID KILL", they end it. A terminal is made for the
program even if standard input is none; the end of the input is passed on as Ctrl-D.""",
    "start": """\
Lets the program of a created container run. A container can be started once.""",
    "state": """\
Prints what the OCI runtime specification calls the state of a container, as one JSON object.""",
    "kill": """\
Sends a signal, by name or number and with or without SIG, to the first process of a container that is
created or running. The kernel drops a signal for which a process that is the first of its pid namespace
has no handler: SIGTERM does not end a plain "sleep". SIGKILL ends every container, and one made with
--init is ended by SIGTERM, too.""",
    "delete": """\
Removes a stopped container and everything that create made for it on the host.""",
    "exec": """\
Runs a further process in a container that is created or running: in its namespaces and cgroups, under its
seccomp filter, with the rights of its process. The process is COMMAND, with config.json's process
otherwise, changed by the flags; or what the JSON in FILE says, and then the flags that change it do not
count. Flags stand before ID; a -- after it is passed over. The exit status is the process' own, 128 + N if
signal N ended it, 255 if it could not be run. With --detach exec returns once the process runs.""",
    "checkpoint": """\
Saves all processes of a container that is running or paused to image files, by criu, and deletes it. With
--leave-running it goes on. With --pre-dump only memory is saved, while it runs; a later checkpoint, told by
--parent-path where that is, saves what has changed since. "ocirt restore" makes it anew, here or elsewhere.
Streams that are pipes or come from within can be saved; a file of the host's cannot. What fails criu
tells in dump.log. Options of /etc/criu/ocirt.conf (or runc.conf, or the file that the annotation
org.criu.config names) count before these.""",
    "restore": """\
Makes a container from a bundle and the image files of a checkpoint of one like it: its processes go on where
they were, under the config's limits, with the streams of this command in place of pipes. Waits for its end
and deletes it, as run does, or with --detach returns once it runs. Of hooks prestart, createRuntime and
poststop are run. What fails criu tells in restore.log.""",
    "pause": """\
Freezes all processes of a container that is created or running, by its cgroup. Signals wait until it is
resumed, but for SIGKILL, which "ocirt kill" delivers at once.""",
    "resume": """\
Lets the processes of a paused container go on.""",
    "update": """\
Changes limits of a container that is created, running or paused; those that are not named stay as they
are, and so do device rules. All are changed, or none. FILE holds a JSON object like linux.resources of
config.json.""",
    "wait": """\
Waits for the end of a container that is created, running or paused, and exits with its program's exit
status, 128 + N if signal N ended it, as "ocirt run" in the foreground does. The status of a process of
others tells Linux 6.15 or newer; on an older one only while nobody has reaped it. Where nobody knows the
status any more, and for a container that had stopped before, the exit status is 255, with an error.""",
    "ps": """\
Lists the processes in the cgroups of a container: their pids on this host as a JSON array, or what ps(1)
says of them. PS OPTIONS, by default -ef, must make it print a column PID.""",
    "events": """\
Prints a JSON object a line: statistics of a container, every five seconds or as often as DURATION (500ms,
1m30s) says, and "oom" when it runs out of memory. It ends with the container.""",
    "list": """\
Lists the containers under the root directory, which --root before the verb changes.""",
    "spec": """\
Writes a config.json that runs "sh" in the directory rootfs of the bundle. It is meant to be edited; an
existing config.json is left alone. With --rootless the file suits a user without privileges.""",
    "plan": """\
Prints what create would do for a bundle, a line a step, with the place in config.json that asks for it
and the section of the specification behind it. Nothing is changed and no privileges are needed.""",
    "cache": """\
"list" shows each program that is kept, a line each: how much of its config it was compiled for (guards,
tests, observations of the host) and how much it binds anew (slots), how often create, run and exec were
bound to it (hits), when it was made and used (the file's access time), whether this build made it; and
each compiled filter of a linux.seccomp. "explain" takes a bundle and create's flags and says which
program create would use, or for each that it would not the first thing that differs. "clear" removes
all. The programs lie in /run/ocirt-cache, or without privileges in $XDG_RUNTIME_DIR/ocirt-cache; where that
cannot be had in /var/cache/ocirt, $XDG_CACHE_HOME/ocirt or ~/.cache/ocirt, never on a network file system. The
environment variable OCIRT_CACHE names another directory, or is "off". --debug before create says why it found none.""",
    "features": """\
Prints the features structure of the OCI runtime specification, for engines: hooks, mount options,
namespaces, seccomp and whatever else a config.json may ask for, as one JSON object.""",
    "validate": """\
Prints every error in config.json, a line each, sorted by their place: the JSON path, what was found and
what was expected, in the words of create, which stops at the first. Nothing is printed for a valid one.
What only the host lacks is no error here. After the errors stand warnings, for names that create ignores:
unknown properties (not annotations), unknown options of bind mounts, unknown capabilities. With --strict
they are errors. The exit status is 1 if there are errors.""",
}


def general() -> str:
    """The help of the whole command line."""
    width = max(map(len, VERBS))
    verbs = [f"{name:{width}}  {verb.help}" for name, verb in VERBS.items()]
    return _layout(
        ("NAME", ["ocirt - run OCI containers"]),
        ("", ABOUT.splitlines()),
        ("USAGE", ["ocirt [global options] VERB [options] [arguments...]"]),
        ("VERSION", [__version__, f"spec: {SPEC_VERSION}"]),
        ("COMMANDS", [*verbs, f"{'help':{width}}  show this, or the help of a verb"]),
        ("GLOBAL OPTIONS", _flags((*GLOBAL, HELP, VERSION))),
    )


def of_verb(name: str) -> str:
    """The help of the verb ``name``."""
    verb = VERBS[name]
    return _layout(
        ("NAME", [f"ocirt {name} - {verb.help}"]),
        ("USAGE", [f"ocirt {name} [options] {verb.arguments}".rstrip()]),
        ("DESCRIPTION", DESCRIPTIONS[name].splitlines()),
        ("OPTIONS", _flags((*verb.flags, HELP))),
    )


def _layout(*blocks: "tuple[str, Iterable[str]]") -> str:
    return "\n".join(
        [
            f"{title}:\n" + "".join([f"   {line}\n" for line in lines])
            if title
            else "".join([f"{line}\n" for line in lines])
            for title, lines in blocks
        ]
    )


def _flags(flags: "Iterable[Flag]") -> list[str]:
    """Lines of ``--name VALUE, -n VALUE  what it does``, aligned."""
    left = []
    for flag in flags:
        value = f" {flag.value}" if flag.takes_value else ""
        letter = f", -{flag.letter}{value}" if flag.letter else ""
        left.append(f"--{flag.name}{value}{letter}")
    width = max(map(len, left))
    return [f"{text:{width}}  {flag.help}" for text, flag in zip(left, flags)]
