"""Where Python begins: what ``ocirt-python`` calls with the words of the launcher.

    @compile key=value... -- ARGV...    create and run: compile config.json, give the program back
    @exec key=value... -- ARGV...       exec: compile the process, give the program back
    @restore key=value... -- ARGV...    restore: compile config.json and the request for criu, give the program back
    @recompile key=value... -- ARGV...  a later verb whose stored program is of another build
    @cli key=value... -- ARGV...        every other command line
    @helper name=NAME verb=VERB id=ID   what a RunHelper step runs

This module and what it imports for ``@compile`` are on the path of every create that misses the
cache: each branch imports what it needs and nothing else (tests/unit/test_import_budget.py).
"""

import gc
from _signal import SIG_DFL, SIGINT, SIGPIPE, default_int_handler, getsignal, signal
from posix import _exit

from .errors import OcirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .log import Log
    from .model.request import Words


def main(words: list[str]) -> None:
    """Run the branch that ``words`` ask for and end the process; it never returns.

    :param words: as in the module's text.
    """
    gc.disable()  # the process is over before garbage matters
    _restore_signals()
    _exit(run(words))  # everything is written unbuffered: there is nothing to tear down


def run(words: list[str]) -> int:
    """Run the branch that ``words`` ask for.

    An error is one line in the log, never a traceback, except for one nobody expected under ``--debug``.

    :returns: the exit status. The branches that hand a program over do not come back at all.
    """
    branch, rest = (words[0], words[1:]) if words else ("", words)
    pairs, arguments = split(rest)
    try:
        if branch == "@compile":
            from .cli.create import compile_and_execute

            return compile_and_execute(pairs, arguments)
        if branch == "@recompile":
            from .cli.recompile import compile_and_execute

            return compile_and_execute(pairs, arguments)
        if branch == "@exec":
            from .cli.exec import compile_and_execute

            return compile_and_execute(pairs, arguments)
        if branch == "@restore":
            from .cli.restore import compile_and_execute

            return compile_and_execute(pairs, arguments)
        if branch == "@cli":
            from .cli.main import main as command_line

            return command_line(pairs, arguments)
        if branch == "@helper":
            from .helpers import main as helper

            return helper(**pairs)
        raise OcirtError("this program is started by ocirt, not by hand")
    except OcirtError as error:
        _log(pairs, branch, arguments).error(_PREFIX.get(branch, "") + str(error), error)
    except MemoryError:
        _log(pairs, branch, arguments).error(
            "no memory: RLIMIT_DATA, RLIMIT_AS or the memory of the cgroup is too little for Python"
        )
    except Exception as error:
        _report(_log(pairs, branch, arguments), error)
    return 255 if branch == "@exec" else 1


_PREFIX = {"@exec": "exec failed: "}
"""As runc begins these errors, and the executable."""


def split(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The ``key=value`` words up to ``--`` as a dict, and the words after it."""
    pairs: dict[str, str] = {}
    for index, word in enumerate(words):
        if word == "--":
            return pairs, words[index + 1 :]
        key, _, value = word.partition("=")
        pairs[key] = value
    return pairs, []


def _restore_signals() -> None:
    """Undo what Python's start does to signals: a pipe without a reader ends a verb that prints, and Ctrl-C ends it without a
    traceback. SIGXFSZ stays ignored: a write beyond RLIMIT_FSIZE is an error."""
    signal(SIGPIPE, SIG_DFL)
    if getsignal(SIGINT) is default_int_handler:
        signal(SIGINT, SIG_DFL)


def _log(pairs: "Words", branch: str, arguments: list[str]) -> "Log":
    from .log import Log

    if branch == "@cli":  # the flags still stand among the arguments
        from .cli.parser import log_of

        return log_of(arguments)
    return Log.of(pairs)


def _report(log: "Log", error: Exception) -> None:
    """Log an exception that is a mistake of ours."""
    log.error(f"internal error: {type(error).__name__}: {' '.join(str(error).split())}")
    if log.is_debug:
        from traceback import print_exception

        print_exception(error)
