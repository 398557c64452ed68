"""The command line as runc reads it, by argparse.

argparse handles values, choices and the number of arguments. It does not know Go's flags, so :func:`normalize` first
writes every flag as ``--name=value``, in whatever form the flag was given (one dash or two, by its letter, its value as
the next word, a switch with or without ``=true``).
"""

import argparse

from ..errors import RequestError
from ..log import Log
from . import help
from .flags import GLOBAL, ONCE, VERBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Never

    from .flags import Flag, Verb

_EXPECTED = {"root": "a directory", "trace": "a file or a directory"}
"""What may not be empty."""
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


class UsageError(RequestError):
    """The command line cannot be read; ``hint`` says which help explains it.

    :param verb: the verb with that help, empty for the general help.
    """

    def __init__(self, message: str, verb: str = "") -> None:
        super().__init__(message)
        self.hint = f"see {' '.join(['ocirt', *([verb] if verb else []), '--help'])}"


class UnknownVerb(UsageError):
    """The verb, or the help for it, does not exist: exit status 3, as in runc."""

    def __init__(self, verb: str) -> None:
        super().__init__(f"No help topic for '{verb}'" + _meant(verb, (*VERBS, "help")))


class _FlagError(Exception):
    """A flag is unknown, or has no value or a wrong one. The caller knows which help to show."""


class _UnknownFlag(_FlagError):
    """A flag that is unknown at this place; ``name`` is without its dashes."""

    def __init__(self, name: str) -> None:
        super().__init__(f"flag provided but not defined: -{name}")
        self.name = name


class CommandLine:
    """A parsed command line.

    :ivar verb: the verb; empty if the command line has none.
    :ivar options: argparse's namespace of the global flags and the verb's, names with ``_`` for ``-``.
    :ivar arguments: the arguments of the verb.
    :ivar wants_help: does the command line ask for help? For the verb's, or the general help if ``verb`` is empty.
    :ivar words: the command line in its plainest form: every flag as ``--name=value``.
    :ivar start: the words before the verb: the program's name and the global flags.
    :ivar executable: descriptor of the executable that has started Python, for :func:`ocirt.cli.create.execute`.
    """

    __slots__ = ("verb", "options", "arguments", "wants_help", "words", "start", "executable")

    def __init__(
        self,
        verb: str,
        options: argparse.Namespace,
        arguments: "Iterable[str]" = (),
        wants_help: bool = False,
        start: "Iterable[str]" = (),
        rest: "Iterable[str]" = (),
    ) -> None:
        self.verb, self.options, self.arguments = verb, options, list(arguments)
        self.wants_help, self.start, self.words = wants_help, list(start), [*start, *rest]
        self.executable = -1

    @property
    def log(self) -> Log:
        level = "debug" if self.options.debug else self.options.log_level or "warning"
        return Log(self.options.log or "", self.options.log_format or "text", level)


def parse(words: list[str]) -> CommandLine:
    """Read the command line ``words``, the program's name first.

    :raises UsageError: a flag or the number of arguments is wrong.
    :raises UnknownVerb: the verb does not exist.
    """
    program = words[0] if words else "ocirt"
    options = argparse.Namespace()
    try:
        plain, rest = _read((*GLOBAL, help.VERSION), words[1:], options, interspersed=False)
    except _FlagError as error:
        raise UsageError(_explained(error, (*GLOBAL, help.HELP, help.VERSION), words[1:])) from None
    if options.help or options.version or not rest:
        return CommandLine("", options, wants_help=not options.version)
    name, rest = rest[0], rest[1:]
    if name in ("help", "h"):
        topic = rest[0] if rest and rest[0] not in ("help", "h") else ""
        if topic and topic not in VERBS:
            raise UnknownVerb(topic)
        return CommandLine(topic, options, wants_help=True)
    if name not in VERBS:
        raise UnknownVerb(name)
    verb = VERBS[name]
    try:
        flags, arguments = _read(verb.flags, rest, options, interspersed=not (verb.command or verb.command_with))
        has_command = verb.command or bool(verb.command_with and getattr(options, verb.command_with))
        if verb.command_with and not has_command:
            flags, arguments = _read(verb.flags, rest, options)
    except _FlagError as error:
        raise UsageError(_explained(error, (*verb.flags, help.HELP), [name]), name) from None
    if not options.help:
        _check_count(program, name, verb, len(arguments), has_command)
    return CommandLine(
        name,
        options,
        arguments,
        options.help,
        [program, *plain],
        [name, *flags, *(["--", *arguments] if arguments else [])],
    )


def log_of(words: list[str]) -> Log:
    """The log that the command line ``words`` asks for, read as far as possible, to report errors in the rest of it."""
    for end in range(len(words), 0, -1):
        options = argparse.Namespace()
        try:
            _read((*GLOBAL, help.VERSION), words[1:end], options, interspersed=False)
        except _FlagError:
            continue
        return CommandLine("", options).log
    return Log()


def normalize(
    flags: "Iterable[Flag]", words: "Iterable[str]", interspersed: bool = True
) -> tuple[list[str], list[str]]:
    """Split ``words`` into flags, each written ``--name=value``, and arguments.

    :param interspersed: may flags follow arguments? If not, reading ends at the first argument.
    :raises _FlagError: a flag is wrong; the message is Go's.
    """
    names = {flag.name: flag for flag in flags} | {flag.letter: flag for flag in flags if flag.letter}
    written: list[str] = []
    arguments: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            arguments.append(word)
            if interspersed:
                continue
            break
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        flag = names.get(name)
        if flag is None:
            raise _UnknownFlag(name)
        if not equals and flag.takes_value:
            if not rest:
                raise _FlagError(f"flag needs an argument: -{name}")
            value = rest.pop(0)
        if not flag.takes_value:
            value = _truth(name, value if equals else "true")
        if flag.takes_value and not value and flag.repeats == ONCE:
            # As in runc, an empty value means that the flag is not given, and cancels an earlier value. An empty --root
            # or --trace is more likely a mistake.
            if flag.name in ("root", "trace"):
                raise _FlagError(f'--{flag.name}: found "", expected {_EXPECTED[flag.name]}')
            written = [each for each in written if not each.startswith(f"--{flag.name}=")]
            continue
        written.append(f"--{flag.name}={value}")
    return written, arguments + rest


def _truth(name: str, value: str) -> str:
    if value in _TRUE:
        return "true"
    if value in _FALSE:
        return "false"
    raise _FlagError(f'invalid boolean value "{value}" for -{name}: parse error')


def _read(
    flags: "Iterable[Flag]", words: "Iterable[str]", options: argparse.Namespace, interspersed: bool = True
) -> tuple[list[str], list[str]]:
    """Read ``words`` by ``flags`` into ``options``.

    :returns: what :func:`normalize` returns.
    """
    flags = (*flags, help.HELP)
    written, arguments = normalize(flags, words, interspersed)
    _parser(flags).parse_args(written, options)
    return written, arguments


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> "Never":
        raise _FlagError(message.removeprefix("argument "))


def _parser(flags: "Iterable[Flag]") -> _Parser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    for flag in flags:
        kind: Any = (
            _choice(flag)
            if flag.choices
            else _count
            if flag.value == "N"
            else str
            if flag.takes_value
            else "true".__eq__
        )
        parser.add_argument(
            f"--{flag.name}",
            type=kind,
            action="append" if flag.repeats else "store",
            default=None if flag.takes_value else False,
        )
    return parser


def _choice(flag: "Flag") -> "Callable[[str], str]":
    """A function that accepts a value of ``flag`` if it is one of its choices."""

    def choose(text: str) -> str:
        if text not in flag.choices:
            meant = ", ".join(flag.choices[:-1]) + " or " + flag.choices[-1]
            raise argparse.ArgumentTypeError(f'found "{text}", expected {meant}')
        return text

    return choose


def _meant(word: str, known: "Iterable[str]", dashes: str = "") -> str:
    """The end of a message about ``word``: which word of ``known`` the caller may have meant."""
    from ..nearest import nearest

    found = nearest(word, known)
    return f"; did you mean {dashes}{found}?" if found else ""


def _explained(error: _FlagError, flags: "Iterable[Flag]", words: list[str]) -> str:
    """What is wrong with a flag, and what the caller may have meant: another one of ``flags``, or one that belongs
    elsewhere.

    :param words: the command line from the place of the flag on; from the verb on if the flag follows a verb.
    """
    if not isinstance(error, _UnknownFlag):
        return str(error)
    name = error.name
    for verb in [word for word in words if word in VERBS]:
        if words[0] == verb:
            for each in GLOBAL:
                if name == each.name:
                    value = f" {each.value}" if each.takes_value else ""
                    return f"{error}; it is a global flag, which must precede the verb: ocirt --{name}{value} {verb}"
        elif name in [each.name for each in VERBS[verb].flags]:
            return f"{error}; it is a flag of {verb}, which must follow the verb: ocirt {verb} --{name}"
    return str(error) + _meant(name, [each.name for each in flags], "--")


def _count(text: str) -> int:
    """The number of a flag whose value is called N."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f'found "{text}", expected a number from 0 on')
    return int(text)


def _check_count(program: str, name: str, verb: "Verb", count: int, has_command: bool) -> None:
    low, high = verb.arguments_min, verb.arguments_max
    if low <= count and (count <= high or has_command):
        return
    is_exact = low == high and not has_command
    bound = f"exactly {low}" if is_exact else f"a minimum of {low}" if count < low else f"a maximum of {high}"
    message = f'{program}: "{name}" requires {bound} argument(s), found {count}'
    raise UsageError(message, name)
