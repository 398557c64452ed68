"""The help, in runc's layout."""

from .. import __version__
from .flags import GLOBAL, SPEC_VERSION, VERBS, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

HELP = Flag("help", "show help", letter="h")
VERSION = Flag("version", "print the version", letter="v")

WIDTH = 112
"""The most letters of a line of flags, which stands behind three spaces."""

ABOUT = """\
ocirt runs containers that are described as OCI bundles: a directory with a config.json and a root
file system. It compiles the bundle to a program of small steps and runs that program.

A user without root's rights needs a config.json with a user namespace: "ocirt spec --rootless" writes
one that you can run as soon as the directory rootfs holds a root file system."""

DESCRIPTIONS = {
    "create": """\
Creates the container of a bundle: namespaces, cgroups, root file system and everything else that
config.json asks for, except the program itself, which waits for "ocirt start ID". ID is any name that no
other container under the root directory has. With --late, start brings the command as well, and its
directory, further variables and standard streams: everything else is ready by then. Nothing else may run
in such a container before start.""",
    "run": """\
Creates the container of a bundle, starts it, waits for its end and deletes it. The exit status is that of
the program, or 128 + N if signal N ended it. With --detach run returns as soon as the program runs.
run forwards the signals that it receives to the container's first process. The kernel drops a signal for
which that process has no handler, even SIGTERM: to end such a container use --init, or "kill ID KILL". If
config.json asks for a terminal, the program gets one even if standard input is none; the end of the input
is sent as Ctrl-D.
With --explain run warns of each system call that linux.seccomp refuses, with its arguments and the rule, up
to 50 times for each name; a call that the profile answers with a signal ends the program by SIGKILL. With
--record run writes a profile to FILE that allows what the program has used and nothing else, so run it
until it has done all it ever does. Both make system calls slower, and cannot be combined with --detach or
--init.
With --image run takes an image of the store instead of a bundle, and pulls it if the store
does not have it. The container gets the config of "ocirt spec" with the image's command, environment, user
and directory, and a writable layer that is removed with it. Flags come before ID then.""",
    "start": """\
Runs the program of a created container. A container can be started once. If it was created with --late,
COMMAND replaces the args of config.json's process and --cwd its directory, --env adds to its variables, and
the standard streams are those of start.""",
    "state": """\
Prints the state of a container, as the OCI runtime specification defines it, as one JSON object.""",
    "kill": """\
Sends a signal to the first process of a container that is created or running. SIGNAL is a name, with or
without SIG, or a number. The kernel drops a signal for which the first process of a pid namespace has no
handler: SIGTERM does not end a plain "sleep". SIGKILL ends every container; SIGTERM also ends one that was
made with --init.""",
    "delete": """\
Removes a stopped container and everything that create made for it on the host. With --why it first prints
what "ocirt why" prints.""",
    "why": """\
Prints why a stopped container ended, as far as anybody knows: its exit status or signal (known if "run --keep",
"create --status-fd" or the library has waited for it, or if nobody has collected it yet), whether memory ran
out, how often the limit of processes has refused one, the system call that seccomp forbids (if the kernel's log
names it), and the error of a start that failed.""",
    "exec": """\
Runs a further process in a container that is created or running: in its namespaces and cgroups, under its
seccomp filter, with the rights of its process. The process is COMMAND, and otherwise like the process of
config.json, as the flags change it; or, with --process, what the JSON in FILE says, and then the flags that
would change it have no effect. Flags come before ID; a -- after ID is ignored. The exit status is that of
the process, 128 + N if signal N ended it, or 255 if it could not be run. With --detach exec returns as soon
as the process runs.""",
    "checkpoint": """\
Saves all processes of a container that is running or paused to image files, with criu, and deletes the
container. With --leave-running the container continues. With --pre-dump only memory is saved, while the
container runs; a later checkpoint whose --parent-path names these images saves what has changed since.
"ocirt restore" creates the container again, on this host or another. Streams that are pipes or come from
the container can be saved; a file of the host cannot. dump.log has criu's errors. Options of
/etc/criu/ocirt.conf (or runc.conf, or the file that the annotation org.criu.config names) take precedence
over these.""",
    "restore": """\
Creates a container from a bundle and from the image files of a checkpoint of a container like it. Its
processes continue where they were, under the config's limits, with the streams of this command instead of
pipes. restore waits for the container's end and deletes it, as run does, or with --detach returns as soon
as it runs. Only the hooks prestart, createRuntime and poststop run. restore.log has criu's errors.""",
    "pause": """\
Freezes all processes of a container that is created or running, by its cgroup. Signals arrive when the
container is resumed, except SIGKILL, which "ocirt kill" delivers at once.""",
    "resume": """\
Continues the processes of a paused container.""",
    "update": """\
Changes limits of a container that is created, running or paused. Limits that are not named do not change,
and neither do device rules. Either all changes are made or none. FILE holds a JSON object like
linux.resources of config.json.""",
    "wait": """\
Waits for the end of a container that is created, running or paused. The exit status is that of its program,
or 128 + N if signal N ended it, as with "ocirt run" in the foreground. Linux 6.15 and newer tell the exit
status of any process; an older kernel tells it only until the parent has reaped the process. If nobody
knows the status any more, the container had stopped before, or does not exist, wait prints an error and
exits with 255.""",
    "ps": """\
Lists the processes in the cgroups of a container: their pids on this host as a JSON array, or their lines in
the output of ps(1). PS OPTIONS, by default -ef, must make ps print a column PID.""",
    "events": """\
Prints JSON objects, one a line: the statistics of a container, every five seconds or as often as DURATION
(500ms, 1m30s) says, and "oom" when it runs out of memory. events ends with the container.""",
    "diff": """\
Prints the paths that a container has added (A), changed (C) and removed (D) in its root, one a line, in the
order of the paths, or as JSON: an array of objects with "path" and "kind". Of a removed directory only the
directory itself is printed. In a line a control character is shown as \\x and its number. It works for a
container whose root is an overlay that ocirt mounts (ocirt run --image, or the annotations
org.ocirt.rootfs.lower, upper and work), whether it runs, is paused or has stopped.""",
    "export": """\
Writes the whole root of a container as a tar archive, with owners as the container sees them. What is
mounted in the container (/proc, volumes) is not in it. It works whether the container runs, is paused or has
stopped; pause one that runs if its files must fit together. A file that is not complete never has the name
FILE. Sockets are left out with a warning, because an archive cannot have them.""",
    "list": """\
Lists the containers under the root directory, which --root before the verb changes.""",
    "spec": """\
Writes a config.json that runs "sh" in the directory rootfs of the bundle, for you to edit. It does not
overwrite an existing config.json. With --rootless the file works for a user without root's rights.""",
    "plan": """\
Prints what create would do for a bundle, one step a line, with the place in config.json that asks for the
step and the section of the specification behind it. It changes nothing and needs no privileges.""",
    "cache": """\
"list" shows each kept program on one line: how much of its config it was compiled for (guards, tests,
observations of the host), how much it takes from another config (slots), how often create, run and exec
have used it (hits), when it was made and last used (the file's access time), and whether this build made
it. It also shows each compiled filter of a linux.seccomp. "explain" takes a bundle and create's flags. It
names the program that create would use, or, for each program that create would not use, the first
difference. "clear" removes all programs. They lie in /run/ocirt-cache, or without root's rights in
$XDG_RUNTIME_DIR/ocirt-cache. If that directory is not usable, they lie in /var/cache/ocirt,
$XDG_CACHE_HOME/ocirt or ~/.cache/ocirt, but never on a network file system. The environment variable
OCIRT_CACHE names another directory, or is "off". With --debug, create says why it found no program. After a
create of a new shape, Python also compiles programs for other orders of the same bind mounts (podman's order
is random), in the background for at most a second, unless the environment variable OCIRT_AHEAD is "off".""",
    "doctor": """\
Prints what this host can and cannot do for a container of this user, one finding a line: "good"; "note",
which some containers or some features do without; or "fault", because of which containers fail or run
without limits that they ask for. A line ends with the command that mends it, if there is one. For a bundle
it prints what would fail here, without running it. It changes nothing. The exit status is 1 if there is a
fault.""",
    "trace": """\
Reads what --trace FILE or the environment variable OCIRT_TRACE had the verbs record that act on a
container, and prints where the time went: for each command its critical path, and the five steps
that took longest. The critical path is what would have to be faster for the command to be faster: where a
process waited for another, it goes on in the other. FILE may be the record of a command that is still at
work, or was killed: what has not ended is shown as such. "chrome" prints it for browsers (ui.perfetto.dev,
chrome://tracing), and "otlp" as OTLP/JSON for OpenTelemetry, in the trace that TRACEPARENT of the command's
environment named.""",
    "features": """\
Prints the features structure of the OCI runtime specification, for engines: hooks, mount options,
namespaces, seccomp and everything else that a config.json may ask for, as one JSON object.""",
    "validate": """\
Prints every error in config.json, one a line, sorted by place: the JSON path, what was found and what was
expected, in the words of create, which stops at the first error. For a valid config.json it prints nothing.
Something that only the host lacks is no error here. After the errors it prints warnings about names that
create ignores: unknown properties (not annotations), unknown options of bind mounts, unknown capabilities,
and unknown system calls.
With --strict these warnings are errors. The exit status is 1 if there are errors.""",
    "pull": """\
Gets an image from a registry and unpacks its layers, each in a container that sees nothing else. What the
store has is not fetched again. IMAGE is a name as for docker: "python:3.13-slim" is
docker.io/library/python:3.13-slim; a digest (@sha256:...) may follow. pull prints the digest of the image's
manifest. It needs the Python packages oras and, for layers compressed with zstd, zstandard: "pip install
ocirt[images]".""",
    "push": """\
Sends an image of the store to a registry, under its own name or NAME. Layers that the registry has are not
sent again, not even to another repository of it, and the manifest comes last: a push that is interrupted
leaves no image. It needs the Python package oras: "pip install ocirt[images]".""",
    "commit": """\
Makes an image of a container: the image from which "ocirt run --image" has made it, and a layer of what it
has written since. The layers below do not change, on disk and in every registry. The container is frozen
meanwhile, if it runs. LINE is an instruction of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL,
STOPSIGNAL, USER, VOLUME or WORKDIR. With --timestamp the same change always gives the same image. commit
prints the digest of the image's manifest. A container that "run" deletes at its end has to be committed
while it runs, or run with --keep.""",
    "load": """\
Adds an image to the store, and unpacks its layers. FILE is a directory or a tar archive with an OCI image
layout, or what "docker save" writes. load prints the image's name, or its digest if it has no name.""",
    "images": """\
Lists the images of the store that have a name: the first digits of the manifest's digest, when the image was
made, and the size of its compressed layers.""",
    "rmi": """\
Takes their names from images, and removes the layers that no other image and no container uses.""",
    "prune": """\
Removes blobs and layers that no image with a name and no container uses, and what killed processes have left.
It waits until no other process adds anything to the store.""",
    "bundle": """\
Makes the bundle DIR, a new or empty directory: a config.json like that of "ocirt spec" with the image's
command, environment, user and directory, and in rootfs a copy of the image's files. Every OCI runtime runs
it. IMAGE is a name, or a digest, of the store.""",
}

EXAMPLES = {
    "why": (("ocirt why job", "Print why the container job ended."),),
    "create": (
        ("ocirt create --bundle /srv/web web", "Create the container web from the bundle /srv/web."),
        (
            "ocirt create --layer /srv/changes --layer /srv/base web",
            "Create it with the topmost layer first as its root file system, read-only.",
        ),
        ("ocirt create --late --bundle /srv/job job", "Make a container that waits for its command."),
    ),
    "run": (
        ("ocirt run first", "Run the bundle in the current directory, at this terminal."),
        ("ocirt run --detach --bundle /srv/web web", "Run a service, and return as soon as it runs."),
        ("ocirt --trace web.trace run --bundle /srv/web web", "Record what run does, and when, for ocirt trace."),
        ("ocirt run --init -b /srv/job job", "Run a program that handles no signals, so that Ctrl-C ends it."),
        ("ocirt run --explain -b /srv/job job", "Run a program, and say what its seccomp profile refuses."),
        ("ocirt run --record job.json -b /srv/job job", "Write the seccomp profile that the program needs."),
        ("ocirt run --image python:3.13-slim py python3 -V", "Run a command in an image."),
    ),
    "start": (
        ("ocirt start web", "Run the program of the container web, which create has made."),
        ("ocirt start --cwd /tmp job -- sh -c 'echo hello'", "Run a command in job, which create --late has made."),
    ),
    "state": (("ocirt state web", "Print the state of the container web."),),
    "kill": (
        ("ocirt kill web", "Send SIGTERM to the first process of the container web."),
        ("ocirt kill --all web KILL", "Kill all its processes."),
        ("ocirt kill --regex '^job-[0-9]+$' HUP", "Send SIGHUP to every container whose id matches."),
    ),
    "delete": (
        ("ocirt delete web", "Delete the container web, which has stopped."),
        ("ocirt delete --force web", "Kill the container first if it runs."),
    ),
    "exec": (
        ("ocirt exec -t web sh", "Open a shell in the container web."),
        ("ocirt exec -e LANG=C -u 1000:1000 web id", "Run id as another user, with a further variable."),
        ("ocirt exec --process process.json web", "Run the process that a file describes."),
    ),
    "checkpoint": (
        ("ocirt checkpoint --image-path /srv/saved web", "Save the container web, and delete it."),
        ("ocirt checkpoint --leave-running --image-path /srv/saved web", "Save it, and let it continue."),
    ),
    "restore": (
        (
            "ocirt restore --detach --bundle /srv/web --image-path /srv/saved web",
            "Continue the container web where checkpoint has saved it.",
        ),
    ),
    "pause": (("ocirt pause web", "Freeze the container web."),),
    "resume": (("ocirt resume web", "Let the container web continue."),),
    "update": (
        ("ocirt update --memory 512m --pids-limit 200 web", "Change two limits of the container web."),
        ("ocirt update --resources limits.json web", "Change the limits that a file names."),
    ),
    "wait": (("ocirt wait web", "Wait for the end of the container web, and exit with its status."),),
    "ps": (
        ("ocirt ps web", "List the processes of the container web."),
        ("ocirt ps web -o pid,etime,args", "Choose the columns."),
        ("ocirt ps --format json web", "Print the pids as a JSON array."),
    ),
    "events": (
        ("ocirt events --stats web", "Print the statistics of the container web once."),
        ("ocirt events --interval 1s web", "Print what happens to it, and its statistics every second."),
    ),
    "diff": (
        ("ocirt diff web", "Print what the container web has changed."),
        ("ocirt diff --json web", "Print it for a script, with every path as it is."),
    ),
    "export": (
        ("ocirt export --output web.tar web", "Write the root of the container web to web.tar."),
        ("ocirt export web", "Write it to standard output, for a pipe."),
    ),
    "list": (
        ("ocirt list", "List the containers with their pids, states and bundles."),
        ("ocirt --root /run/user/1000/ocirt list --quiet", "Print the ids of another root directory."),
    ),
    "spec": (
        ("ocirt spec", "Write config.json into the current directory."),
        ("ocirt spec --rootless --bundle /home/me/bundle", "Write one that an ordinary user can run."),
    ),
    "plan": (
        ("ocirt plan /srv/web", "Print the steps that create would take for the bundle /srv/web."),
        ("ocirt plan --slots /srv/web", "Print which values the compiled program depends on, too."),
    ),
    "cache": (
        ("ocirt cache list", "List the programs that are kept."),
        ("ocirt cache explain /srv/web", "Say which kept program create would use for a bundle, or why none."),
        ("ocirt cache clear", "Remove all programs."),
    ),
    "doctor": (
        ("ocirt doctor", "Print what this host can do for your containers, and how to mend what it cannot."),
        ("ocirt doctor /srv/web", "Print what would fail here for the bundle /srv/web."),
    ),
    "trace": (
        ("ocirt trace web.trace", "Print where the time went."),
        ("ocirt trace --format chrome web.trace >web.json", "Convert the record for a browser."),
        ("ocirt trace --svg web.svg --format table web.trace", "Print every step, and draw them."),
    ),
    "features": (("ocirt features", "Print what this build supports."),),
    "validate": (
        ("ocirt validate /srv/web", "Print every error in /srv/web/config.json."),
        ("ocirt validate --strict --format json /srv/web", "Make warnings errors, and print JSON for a script."),
    ),
    "pull": (
        ("ocirt pull python:3.13-slim", "Get an image of docker's registry."),
        ("ocirt pull --insecure localhost:5000/tool", "Get one of a registry without a certificate."),
    ),
    "push": (
        ("ocirt push example.org/team/tool:2", "Send an image to the registry example.org."),
        ("ocirt push tool:2 --insecure localhost:5000/tool:2", "Send it to another one, by HTTP."),
    ),
    "commit": (
        ("ocirt commit web example.org/web:2", "Make an image of the container web."),
        (
            'ocirt commit -c \'CMD ["serve"]\' -m "with plugins" web example.org/web:2',
            "Change the image's command, too.",
        ),
    ),
    "load": (
        ("ocirt load tool.tar", "Add what podman save or docker save has written."),
        ("ocirt load --name example.org/tool:2 layout", "Add an OCI image layout, under a name."),
    ),
    "images": (("ocirt images", "List the images."),),
    "rmi": (("ocirt rmi python:3.13-slim", "Remove an image."),),
    "prune": (("ocirt prune", "Remove what nothing uses."),),
    "bundle": (("ocirt bundle python:3.13-slim /srv/python", "Make a bundle for any runtime."),),
}
"""For each verb, command lines and what they do. The help and the manual pages (man/pages.py) print them."""


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
        ("EXAMPLES", [line for command, what in EXAMPLES[name] for line in (f"# {what}", command)]),
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
    lines = []
    for text, flag in zip(left, flags):
        line = f"{text:{width}} "
        for word in flag.help.split(" "):
            if len(line) + 1 + len(word) > WIDTH:
                lines.append(line)
                line = " " * (width + 1)
            line += f" {word}"
        lines.append(line)
    return lines
