"""The command lines that the launcher does not read itself: Python's verbs, help, and everything that is wrong.

Each verb of Python is a module of its name in this package. Its ``run`` takes the
:class:`~ocirt.cli.parser.CommandLine` and returns the exit status, or nothing for 0.
"""

import os
import sys
from importlib import import_module

from ..errors import OcirtError, RequestError, reason
from . import help
from .create import execute
from .flags import PYTHON, PYTHONS, VERBS
from .output import write
from .parser import UnknownVerb, UsageError, log_of, parse

RECORDED = ("update",)
"""Verbs of Python after which the executable does the work, and records it."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Never

    from ..log import Log
    from ..model.request import Words
    from .parser import CommandLine


def main(words: "Words", arguments: list[str]) -> int:
    """Run the command line ``arguments``, the program's name first.

    :param words: the request's words (:func:`ocirt.boot.read_request`).
    :returns: the exit status: 1 for an error, 3 for an unknown verb, as in runc.
    """
    try:
        line = parse(arguments)
    except UsageError as error:
        _refuse(log_of(arguments), error)
        return 3 if isinstance(error, UnknownVerb) else 1
    if line.wants_help:
        write(help.of_verb(line.verb) if line.verb else help.general())
        return 0
    if line.options.version:
        _give_back(words, [arguments[0], "--version"], arguments)
    name = _module_of(line)
    if not name:
        _give_back(words, line.words, arguments)
    _check_log(line.log)
    if line.options.trace and line.verb in PYTHON and line.verb not in RECORDED:
        line.log.warning(f"--trace: {line.verb} is not recorded")
    line.executable = words.get("self", -1)
    module = import_module(f".{name}", __package__)
    _log_warnings(line.log)
    return module.run(line) or 0


def _module_of(line: "CommandLine") -> str:
    """The module that runs a command line; empty if the executable does."""
    if line.verb in PYTHON:
        return line.verb
    if getattr(line.options, "why", False):
        return "why"
    if getattr(line.options, "regex", False):
        return "several"
    if getattr(line.options, "image", None):
        return "run_image"
    _check_flags(line)
    return "explain" if getattr(line.options, "explain", False) or getattr(line.options, "record", None) else ""


def _log_warnings(log: "Log") -> None:
    """Let what the library warns of be lines of the log. A verb that has not imported this module warns of nothing."""
    warnings = sys.modules.get("warnings")
    if warnings is not None:
        warnings.showwarning = lambda message, *_: log.warning(str(message))  # type: ignore[attr-defined]


def _check_flags(line: "CommandLine") -> None:
    """Refuse flags that mean something only together with ``--image``.

    :raises RequestError: one of them is given.
    """
    for flag in VERBS[line.verb].flags:
        if flag.part == PYTHONS and getattr(line.options, flag.name.replace("-", "_")):
            raise RequestError(f"--{flag.name}: found it without --image, expected both")


def _give_back(words: "Words", plain: list[str], given: list[str]) -> "Never":
    """Become the executable again, with a command line of its own verbs in the form that it reads (a switch as ``=T``,
    ``--`` before the verb).

    :raises RequestError: the executable has already returned this very form.
    """
    if plain == given:
        raise RequestError(f"the executable does not read its own command line: {' '.join(given)}")
    execute(words["self"], plain)


def _refuse(log: "Log", error: UsageError) -> None:
    """Log what is wrong with the command line. At a terminal the log also says which help explains it. Otherwise that
    line goes to standard output, as runc's help does, because engines expect one line on standard error.
    """
    log.error(str(error), error)
    if not os.isatty(2):
        write(f"{error.hint}\n")


def _check_log(log: "Log") -> None:
    """Refuse a log that cannot be written, before anything else is done.

    :raises OcirtError: the file cannot be opened.
    """
    try:
        log.check()
    except OSError as error:
        raise OcirtError(f"--log {log.path}: {log.opened}: {reason(error)}") from None
