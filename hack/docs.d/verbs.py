"""The page of the site on the verbs, from the one definition of the command line."""

import re

from ocirt.cli import help
from ocirt.cli.flags import GLOBAL, VERBS, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

TYPED = re.compile(r"\"(ocirt [^\"]*)\"|(?<![\w-])(--?[a-z][a-z-]*[a-z])\b")
"""What a reader types, in a text for a terminal: a quoted command line, or a flag."""
HEAD = """# Verbs
`ocirt [global options] VERB [options] [arguments...]`

{about}

This page has what `ocirt --help`, `ocirt VERB --help` and the manual pages have. One dash means the same as two, options
may follow the arguments, and `--flag=value` means the same as `--flag value`, as with runc.

| verb | what it does |
|---|---|
{verbs}

## Exit status
0: the verb has succeeded. 1: an error, of which standard error (or the file of `--log`) has one line. 3: the verb does
not exist. `run`, `exec`, `restore` and `wait` exit with the status of the program, or with 128 + N if signal N ended it.

## Global options
They stand before the verb.

{options}
"""
VERB = """
## {name}
`ocirt {name} [options] {arguments}`

{text}

{options}

{examples}
"""


def page() -> str:
    """Its Markdown."""
    rows = [f"| [{name}](#{name}) | {plain(verb.help)} |" for name, verb in VERBS.items()]
    options = table((*GLOBAL, help.HELP, help.VERSION))
    text = [HEAD.format(about=plain(help.ABOUT), verbs="\n".join(rows), options=options)]
    for name, verb in VERBS.items():
        examples = [f"{plain(what)}\n\n    {command}\n" for command, what in help.EXAMPLES[name]]
        described = plain(help.DESCRIPTIONS[name])
        options = table((*verb.flags, help.HELP))
        words = {"name": name, "arguments": verb.arguments, "text": described, "options": options}
        text.append(VERB.format(**words, examples="\n".join(examples)).replace(" `\n", "`\n"))
    return "".join(text)


def table(flags: "Iterable[Flag]") -> str:
    lines = ["| option | what it does |", "|---|---|"]
    for flag in flags:
        value = f" {flag.value}" if flag.takes_value else ""
        letter = f", `-{flag.letter}{value}`" if flag.letter else ""
        lines.append(f"| `--{flag.name}{value}`{letter} | {plain(flag.help)} |")
    return "\n".join(lines)


def plain(text: str) -> str:
    """A text for a terminal as Markdown."""
    text = re.sub(r"[*_<\[|]", r"\\\g<0>", text)
    return TYPED.sub(lambda match: f"`{(match[1] or match[2]).replace(chr(92), '')}`", text)
