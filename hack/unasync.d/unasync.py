"""Makes the library's modules for programs that block from those for asyncio (ocirt/container.py from
ocirt/aio/container.py), so that each signature and docstring exists once.

The code that differs is in two modules with the same names in them, ocirt/library/eventloop.py and blocking.py. All
other differences are words: those of :data:`EVERYWHERE`, and the texts of :data:`ONCE`, each of which a source must
have exactly as often as the table says. If a word of asyncio remains, that is an error.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

ONE_LOOP, ANY_THREAD = "The tasks of one event loop may use it.", "Any thread may use it, several at once."
AWAIT_OR_ENTER = "\n        Await it, or use it as the head of an ``async with`` block.\n"

DOCSTRINGS = {
    "container": "Containers, for programs that block: :class:`Container`, :class:`Process` and :func:`run`.",
    "pools": "Pools of containers, for programs that block: :class:`Pool`.",
    "sandboxes": "Sandboxes, for programs that block: :class:`Sandbox`, :class:`Live` and :class:`Snapshot`.",
}
"""The modules that are made, and the first sentences of their docstrings."""

DOCSTRING = '''"""{} :mod:`ocirt.aio` has the same
for asyncio.

hack/unasync has made this module from ocirt/aio/{}.py: change that one, and run hack/format.
"""
'''

ONCE = {
    "container": {
        "from ..library.eventloop import Coming, HasPipes, Pipes, coming, drive, read_line": (
            1,
            "from ..library.blocking import Communicating, HasPipes, Pipes, drive, read_line",
        ),
        '__all__ = ["Coming", "Container", "Process", "run"]': (1, '__all__ = ["Container", "Process", "run"]'),
        "class Process(Controls, HasPipes):": (1, "class Process(Controls, Communicating):"),
        ONE_LOOP: (2, ANY_THREAD),
        AWAIT_OR_ENTER: (2, ""),
        "    @coming\n": (2, ""),
    },
    "pools": {
        "from ..library.eventloop import drive": (1, "from ..library.blocking import drive"),
        ONE_LOOP: (1, ANY_THREAD),
    },
    "sandboxes": {
        "from ..library.eventloop import Coming, Pipes, coming, drive": (
            1,
            "from ..library.blocking import Pipes, drive",
        ),
        '__all__ = ["Bind", "Coming", ': (1, '__all__ = ["Bind", '),
        AWAIT_OR_ENTER: (1, ""),
        "\n        Await it, or use it as the head of an ``async with`` block, whose end removes the container.\n": (
            1,
            "\n        Use it as the head of a ``with`` block, whose end removes the container.\n",
        ),
        "    @coming\n": (2, ""),
    },
}
"""Module -> a text of its source -> how often the source has it, and the text that replaces it."""

EVERYWHERE = {
    r"(?m)^( *)from \.\.(?=\w)": r"\1from .",
    r"\basync (?=def |with\b|for\b)": "",
    r"\bawait ": "",
    r"\bAsyncIterator\b": "Iterator",
    r"\b__a(enter|exit)__\b": r"__\1__",
    r"\bocirt\.aio\.": "ocirt.",
}
LEFT = r"(?i)await|async|\baio\b|\bcoming\b|__a(enter|exit)__"


class LeftError(ValueError):
    """No rule turns a line into one for programs that block."""


def unasync(source: str, name: str) -> str:
    """The module ``name`` for programs that block, before it is formatted.

    :param source: the module for asyncio.
    :raises LeftError: a rule does not match, or words of asyncio remain.
    """
    at = f"ocirt/aio/{name}.py"
    _, begin, text = source.partition("from __future__ import annotations\n")
    for old, (count, new) in ONCE[name].items():
        if text.count(old) != count:
            raise LeftError(f"{at}: found {text.count(old)} times, expected {count}: {old.strip()}")
        text = text.replace(old, new)
    for pattern, new in EVERYWHERE.items():
        text = re.sub(pattern, new, text)
    for line in text.splitlines():
        if re.search(LEFT, line):
            raise LeftError(
                f"{at}: no rule of hack/unasync.d/unasync.py removes asyncio from this line: {line.strip()}"
            )
    return f"{DOCSTRING.format(DOCSTRINGS[name], name)}\n{begin}{text}"


def formatted(text: str, name: str) -> str:
    """The text in the project's format."""
    for words in (["check", "--select", "I", "--fix", "--exit-zero"], ["format"]):
        command = [sys.executable, "-m", "ruff", *words, "--quiet", "--stdin-filename", f"ocirt/{name}.py", "-"]
        text = subprocess.run(
            command, input=text, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        ).stdout
    return text


def made(name: str) -> str:
    """The content that ocirt/``name``.py must have."""
    return formatted(unasync((ROOT / f"ocirt/aio/{name}.py").read_text(), name), name)


def main(words: list[str]) -> int:
    for name in DOCSTRINGS:
        target = ROOT / f"ocirt/{name}.py"
        try:
            text = made(name)
        except LeftError as error:
            print(error, file=sys.stderr)
            return 1
        if target.exists() and target.read_text() == text:
            continue
        if words == ["--check"]:
            print(
                f"ocirt/{name}.py is not what hack/unasync makes of ocirt/aio/{name}.py: run hack/format",
                file=sys.stderr,
            )
            return 1
        target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
