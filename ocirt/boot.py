"""Where Python begins: ``ocirt-python`` passes the words that the executable gives it.

    @compile SELF REQUEST ARGV...    create and run: compile config.json, give the program to the executable
    @exec SELF REQUEST ARGV...       exec: compile the process, give the program to the executable
    @recompile SELF REQUEST ARGV...  a later verb, if the stored program comes from another build: the same
    @restore SELF REQUEST ARGV...    restore: compile config.json and the request to criu, execute the executable with
                                     the program
    @cli SELF -1 ARGV...             every other command line
    @helper NAME VERB ID             the program of a RunHelper step

SELF is a descriptor of the executable. REQUEST is a descriptor of the request (-1 for ``@cli``: Python reads the
command line itself), a JSON object with these members:

    key      what a kept program depends on: the verb, flags, listen-fds, runtime-dir, boot, and what exec's container
             was created with
    bound    what a kept program is bound to: the id, flags, notify-socket, exec's command and the bundle of its
             container
    other    the other flags
    input    the descriptor of config.json, or of exec's process file
    output   the descriptor of the pipe on which the executable waits for the program
    cache    the path at which to keep the program
    traced   with ``--trace``: when the runtime started this process (:mod:`ocirt.cli.record`)

:mod:`ocirt.cli.flags` says which member has which flag. Strings of the request are bytes, like those of a command line.
A byte that is not UTF-8 is in them unchanged, and is a lone surrogate in Python (``surrogateescape``), as in
``sys.argv``. (JSON has no escape for a byte, and a reader could not tell an invented escape from text.) The executable
writes the document once (core/launch/request_json.c), reads the first two members with its scanner of config.json, and
gives the document to Python only if it has found no kept program.

Every create that misses the cache imports this module and what ``@compile`` needs. So each branch imports what it needs
and nothing else (tests/unit/test_import_budget.py).
"""

import gc
from _signal import SIG_DFL, SIGINT, SIGPIPE, default_int_handler, getsignal, signal
from posix import _exit, close, getpid, getppid, pread

from .errors import OcirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .log import Log
    from .model.json import Json
    from .model.request import Words


def main(words: list[str]) -> None:
    """Run the branch that ``words`` ask for, and end the process.

    :param words: see the docstring of this module.
    """
    gc.disable()  # the process ends before garbage matters
    _restore_signals()
    _exit(run(words))  # all output is unbuffered, so nothing needs cleanup


def run(words: list[str]) -> int:
    """Run the branch that ``words`` ask for.

    An error is one line in the log. Only an unexpected one has a traceback, and only with ``--debug``.

    :returns: the exit status. ``@restore`` does not return.
    """
    branch, rest = (words[0], words[1:]) if words else ("", words)
    request: dict[str, Json] = {}
    arguments: list[str] = []
    try:
        if branch == "@helper":
            from .helpers import main as helper

            return helper(*rest)
        if branch not in ("@compile", "@recompile", "@exec", "@restore", "@cli") or len(rest) < 2:
            raise OcirtError("only ocirt starts this program")
        arguments = rest[2:]
        request = {"self": int(rest[0]), **read_request(int(rest[1]))}
        if branch == "@cli":
            from .cli.main import main as command_line

            return command_line(request, arguments)
        if branch == "@restore":
            from .cli.restore import compile_and_execute

            return compile_and_execute(request, arguments)
        if branch == "@compile":
            from .cli.create import compile_and_give
        elif branch == "@exec":
            from .cli.exec import compile_and_give
        else:
            from .cli.recompile import compile_and_give
        return compile_and_give(request)
    except OcirtError as error:
        message = _PREFIX.get(branch, "") + str(error)
        _log(request, branch, arguments).error(message, error)
        if "traced" in request:
            from .cli.record import note_error

            note_error(request["trace"], getpid() if branch == "@restore" else getppid(), message)
    except MemoryError:
        _log(request, branch, arguments).error(
            "no memory: RLIMIT_DATA, RLIMIT_AS or the memory of the cgroup is too little for Python"
        )
    except Exception as error:
        _report(_log(request, branch, arguments), error)
    return 255 if branch == "@exec" else 1


_PREFIX = {"@exec": "exec failed: "}
"""The beginning of these errors, as in runc and in the executable."""


def read_request(fd: int) -> "dict[str, Json]":
    """The request, read from the descriptor ``fd``, which is closed; empty for -1.

    The result is one flat dict: the members of ``key``, ``bound`` and ``other``, and beside them ``input``, ``output``
    and ``cache``. If the request has ``cache``, the dict also has ``cache-key``, the text of ``key``, and
    ``cache-request``, the objects ``key`` and ``bound``.
    """
    if fd < 0:
        return {}
    from .model.json import parse

    data = b""
    while part := pread(fd, 1 << 16, len(data)):
        data += part
    close(fd)
    members, texts = parse(data.decode("utf-8", "surrogateescape"))
    key, bound, other = members.pop("key"), members.pop("bound"), members.pop("other")
    if "cache" in members:
        members |= {"cache-key": texts["key"], "cache-request": (key, bound)}
    return {**key, **bound, **other, **members}


def _restore_signals() -> None:
    """Undo what Python's start does to signals, so that SIGPIPE ends a verb whose output has no reader, and Ctrl-C ends
    it without a traceback. SIGXFSZ stays ignored, so that a write beyond RLIMIT_FSIZE is an error.
    """
    signal(SIGPIPE, SIG_DFL)
    if getsignal(SIGINT) is default_int_handler:
        signal(SIGINT, SIG_DFL)


def _log(request: "Words", branch: str, arguments: list[str]) -> "Log":
    from .log import Log

    if branch == "@cli":  # the arguments still have the flags
        from .cli.parser import log_of

        return log_of(arguments)
    return Log.of(request)


def _report(log: "Log", error: Exception) -> None:
    """Log an exception that is a bug of ocirt."""
    log.error(f"internal error: {type(error).__name__}: {' '.join(str(error).split())}")
    if log.is_debug:
        from traceback import print_exception

        print_exception(error)
