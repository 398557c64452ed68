"""Write docs/steps.md, the page about the steps, from their definitions.

    python3 -m ocirt.plan.document [docs/steps.md]

Without a file the page goes to standard output. The page follows the classes of :mod:`ocirt.plan.steps`, their docstrings,
fields and sections, so that it is never edited by hand; ``hack/format`` writes it.
"""

import re
import sys
import textwrap
from pathlib import Path

from .printer import RUNS
from .steps import NONE, REGISTER_KINDS, SECTIONS, STEPS, Facts, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..model.text import Field

WIDTH = 100
KINDS = {
    "text": "a string",
    "texts": "a list of strings",
    "number": "a signed integer of 64 bits",
    "fd": "the number of a register, which an earlier step fills with a descriptor",
    "fills": "the number of a register that this step fills with a descriptor",
    "takes": "the number of a register that this step empties, because it uses the descriptor up",
    "section": "the name of a section",
    "event": "the number of an event (`EVENTS` in ocirt/plan/steps/base.py)",
    "bytes": "data of any length",
}
HEAD = """# Steps

`python3 -m ocirt.plan.document` writes this page from the classes of `ocirt.plan.steps`; do not edit it.
`ocirt plan BUNDLE` prints the steps of one bundle, each with the property of config.json that asked for it and the
section of the specification behind it. A step `MakeCgroup` is carried out by the C function `do_make_cgroup` of
ocirt/core; the build writes the function of a step for which a system call stands here. [architecture.md](architecture.md) explains programs, sections and registers."""


def page() -> str:
    """The whole page."""
    parts = [
        _paragraphs(HEAD),
        "## Sections",
        _table(("section", "run by"), [(f"`{name}`", RUNS[name]) for name in SECTIONS]),
        "## Kinds of fields",
        _table(("kind", "what it is"), [(f"`{kind}`", words) for kind, words in KINDS.items()]),
        "## All steps",
        _table(
            ("step", "sections"), [(f"[{each.__name__}](#{each.__name__.lower()})", _sections(each)) for each in STEPS]
        ),
        *[_step(each) for each in STEPS],
        "## Facts",
        _paragraphs(_markdown(Facts.__doc__ or "")),
        "\n".join([f"- `{name}`" for name in Facts.fields]),
    ]
    return "\n\n".join(parts) + "\n"


def _step(step: "type[Step]") -> str:
    """The part of the page about one step."""
    parts = [f"### {step.__name__}", _paragraphs(_markdown(step.__doc__ or "")), f"Sections: {_sections(step)}."]
    if step.call:
        parts.append(_filled(f"System call: `{step.call}`."))
    if step.fields:
        parts.append("\n".join([_field(step, name, kind) for name, kind in step.fields.items()]))
    return "\n\n".join(parts)


def _field(step: "type[Step]", name: str, kind: str) -> str:
    default = f", default {_shown(kind, step.defaults[name])}" if name in step.defaults else ""
    return f"- `{name}`: {kind}{default}"


def _shown(kind: str, value: "Field") -> str:
    """A default in a form for readers."""
    if kind in REGISTER_KINDS and value == NONE:
        return "none"
    if value in ("", (), b""):
        return "empty"
    return f"`{value}`" if isinstance(value, str) else f"`{value!r}`"


def _sections(step: "type[Step]") -> str:
    return ", ".join([f"`{name}`" for name in step.sections])


def _markdown(text: str) -> str:
    """A docstring's markup as Markdown."""
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text.replace("``", "`")).replace("*", "\\*")


def _paragraphs(text: str) -> str:
    """``text`` with its paragraphs filled."""
    return "\n\n".join([_filled(each) for each in text.split("\n\n")])


def _filled(text: str) -> str:
    """One paragraph in lines of the page's width; code between backticks is divided only if it is long."""
    whole = " ".join(text.split())
    for code in re.findall(r"`[^`]*`", whole):
        if len(code) < WIDTH * 2 // 3:
            whole = whole.replace(code, code.replace(" ", "\0"))
    return textwrap.fill(whole, WIDTH, break_long_words=False, break_on_hyphens=False).replace("\0", " ")


def _table(head: "Iterable[str]", rows: "Iterable[Iterable[str]]") -> str:
    lines = [list(head), *[list(row) for row in rows]]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines])


if __name__ == "__main__":
    if sys.argv[1:]:
        Path(sys.argv[1]).write_text(page())
    else:
        sys.stdout.write(page())
