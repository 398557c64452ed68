"""The page of the site on errors: every message, found in the sources of the runtime."""

import ast
import re
from pathlib import Path

from ocirt import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = Path(__file__).resolve().parents[2]
HEAD = """# Errors
Every error is one line: the place in `config.json` or the flag, what was found, what was expected, and what to do. This
page lists the messages that a search of the sources finds; a word in capitals, or …, stands for a name or a number.
[Troubleshooting](troubleshooting.md) says more of those that people meet.

## Exit statuses
| status | when |
|---|---|
| 0 | the verb has succeeded |
| 1 | an error, of which standard error, or the file of `--log`, has one line |
| 3 | the verb does not exist |
| 255 | `exec`: the process could not be run; `wait`: nobody knows the status |
| that of the program, or 128 + N if signal N ended it | `run`, `exec`, `restore` and `wait` |

## Classes
`import ocirt` has them: [the library, name by name](api.md#errors).

    {tree}

"""
KINDS = {
    "ConfigError": (-1, "config.json: what was expected"),
    "HostError": (-1, "What the host lacks"),
    "RequestError": (0, "Flags and arguments"),
    "StateError": (-1, "States of containers"),
    "OcirtError": (0, "Others that Python finds"),
}
"""Classes whose messages the page lists -> which argument of theirs is the message, and the heading."""
CORE = re.compile(r"\b(?:fail|warn|failing_because)\((?:[^;\"]*, )?(\"(?:[^\"\\]|\\.)*\"(?:\s*\"(?:[^\"\\]|\\.)*\")*)")
"""A call that prints a message in C, with its literal."""
FORM = re.compile(r"%[a-z]")


def page() -> str:
    """Its Markdown."""
    tree = (errors.__doc__ or "").partition("OcirtError  ")[2].partition("\n\n")[0]
    text = [HEAD.format(tree="\n    ".join(("OcirtError  " + tree).splitlines()))]
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for path in sorted((TREE / "ocirt").rglob("*.py")):
        for kind, message in of_python(path.read_text()):
            found[kind].add(message)
    for kind, (_, heading) in KINDS.items():
        text.append(f"\n## {heading}\n`{kind}`\n\n" + listed(found[kind]))
    core = {message for path in sorted((TREE / "ocirt/core").rglob("*.c")) for message in of_c(path.read_text())}
    return "".join([*text, "\n## What the executable finds\n", listed(core)])


def listed(messages: set[str]) -> str:
    return "".join([f"- `` {message} ``\n" for message in sorted(messages, key=str.lower)])


def of_python(source: str) -> "Iterator[tuple[str, str]]":
    """Pairs of a class and a message, for each call that makes an error of KINDS from a text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
            said = spoken(node.args[KINDS[node.func.id][0]]) if node.args else ""
            if " " in said.strip():
                yield node.func.id, " ".join(said.split())


def spoken(node: ast.expr) -> str:
    """A text as a reader sees it, with the names of what is put into it in capitals."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join([spoken(each) for each in node.values])
    if isinstance(node, ast.FormattedValue):
        return name_of(node.value).upper()
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return spoken(node.left) + spoken(node.right)
    return "…"


def name_of(node: ast.expr) -> str:
    names = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
    attributes = [each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)]
    simple = isinstance(node, (ast.Name, ast.Attribute))
    return (attributes or names)[0] if simple else "…"


def of_c(source: str) -> "Iterator[str]":
    """The messages of a file of the core."""
    for match in CORE.finditer(source):
        text = re.sub(r"\"\s*\"", "", match[1])[1:-1].replace('\\"', '"')
        text = FORM.sub("…", text)
        if " " in text.strip("… "):
            yield text.strip()
