"""Build time: what a shell needs to complete ocirt's command line, by shtab, from the one definition of the command line.

    python3 -m man.completion bash|zsh|fish OUTPUT

Ids are those of ``ocirt list``, under the root directory that the command line names so far.
"""

import argparse
import re
import signal
import sys
from pathlib import Path

import shtab

from ocirt.cli.flags import GLOBAL, VERBS
from ocirt.cli.help import HELP, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocirt.cli.flags import Flag

SIGNALS = [each.name.removeprefix("SIG") for each in signal.Signals if not each.name.startswith("SIGRT")]
FILES = {"DIR": shtab.DIR, "FILE": shtab.FILE, "FILE|DIR": shtab.FILE, "SOCKET": shtab.FILE, "BUNDLE": shtab.DIR}
"""What completes the values and the arguments of these names."""
ID = {"bash": "_ocirt_ids", "zsh": "_ocirt_ids", "fish": "(_ocirt_ids)"}
IDS = {
    "bash": """\
_ocirt_ids() {
  local i words=("${COMP_WORDS[@]/#=*/}") root=()  # bash makes three words of --root=DIR
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ ${words[i]} != --root ]] || root=(--root "${words[i + 1]:-${words[i + 2]-}}")
  done
  root=("${root[@]//[\\"\\'\\\\]/}")  # bash gives the words as they were typed
  root=("${root[@]/#~\\//$HOME/}")
  compgen -W "$(ocirt "${root[@]}" list --quiet 2>/dev/null)" -- "$1"
}
""",
    "zsh": """\
_ocirt_ids() {
  local -a ids root
  # _arguments has taken the flags before the verb from $words.
  local -a before=(${(z)LBUFFER/ --root=/ --root })
  local at=${before[(I)--root]}
  (( at == 0 )) || root=(--root "${${(Q)before[at + 1]}/#\\~\\//$HOME/}")
  ids=(${(f)"$(ocirt $root list --quiet 2>/dev/null)"})
  _describe -t containers container ids
}
""",
    "fish": """\
function _ocirt_ids
  set -l words (commandline -opc | string replace -- --root= --root\\n)
  set -l root
  if set -l at (contains --index -- --root $words)
    set root --root (string replace --regex '^~/' "$HOME/" -- $words[(math $at + 1)])
  end
  ocirt $root list --quiet 2>/dev/null
end
""",
}
"""A function for each shell that prints the ids of the containers."""
ZSH_VALUE = re.compile(r"""^(  ["{]--[a-z-]+)(?=(?:,-\w\}")?\[.*\]:[^:]*:)""", re.MULTILINE)
"""A flag with a value, as shtab writes it for zsh: with a = behind it, its value may be a part of the same word."""


def add_flags(parser: argparse.ArgumentParser, flags: "Iterable[Flag]") -> None:
    for flag in flags:
        names = [f"--{flag.name}", *([f"-{flag.letter}"] if flag.letter else [])]
        if not flag.takes_value:
            parser.add_argument(*names, help=flag.help, action="store_true")
            continue
        action = parser.add_argument(*names, help=flag.help, metavar=flag.value, choices=flag.choices or None)
        if flag.value in FILES:
            action.complete = FILES[flag.value]  # type: ignore[attr-defined]  # shtab reads it


def add_arguments(parser: argparse.ArgumentParser, form: str) -> None:
    """Add the arguments of a verb: words to choose from, an id, a signal, a file and a directory complete.

    :param form: their form in the help.
    """
    words = re.findall(r"\b[a-z]+\b", form)
    if words:
        parser.add_argument("what", choices=words)
    for word in re.findall(r"\b(?:ID|SIGNAL|BUNDLE|FILE|DIR|IMAGE|NAME)\b", form):
        action = parser.add_argument(word, nargs="?", choices=SIGNALS if word == "SIGNAL" else None)
        if word == "ID" or word in FILES:
            action.complete = FILES.get(word, ID)  # type: ignore[attr-defined]  # shtab reads it


def parser() -> argparse.ArgumentParser:
    """The whole command line as one parser, which shtab reads. Nobody parses with it (:mod:`ocirt.cli.parser`)."""
    whole = argparse.ArgumentParser("ocirt", add_help=False)
    add_flags(whole, (*GLOBAL, HELP, VERSION))
    verbs = whole.add_subparsers()
    for name, verb in VERBS.items():
        each = verbs.add_parser(name, help=verb.help, add_help=False)
        add_flags(each, (*verb.flags, HELP))
        add_arguments(each, verb.arguments)
    return whole


if __name__ == "__main__":
    shell, output = sys.argv[1:]
    written = shtab.complete(parser(), shell, preamble=IDS)
    Path(output).write_text(ZSH_VALUE.sub(r"\1=", written) if shell == "zsh" else written)
