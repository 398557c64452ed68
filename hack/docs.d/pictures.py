"""The pictures of the pages, drawn from text and from what hack/bench has measured:

    python3 hack/docs.d/pictures.py    writes docs/pictures/*.svg; hack/format does it

A picture has the colours of a dark page where the reader prefers one.
"""

import json
from html import escape
from pathlib import Path

import comparison

TREE = Path(__file__).resolve().parents[2]
FOLDER = TREE / "docs/pictures"
WIDTH = 760
STYLE = """<style>
text { font: 13px sans-serif; fill: #1f2328 }
.code { font-family: monospace; font-size: 12px }
.small { font-size: 11px; fill: #59636e }
.title { font-weight: bold }
.box { fill: #f6f8fa; stroke: #8c959f }
.line { stroke: #8c959f; fill: none }
.head { fill: #8c959f }
.a { fill: #4051b5 } .b { fill: #7a86d1 } .c { fill: #b4bbe6 } .d { fill: #e8a33d } .e { fill: #c0504d }
.floor { stroke: #c0504d; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .small { fill: #9198a1 }
  .box { fill: #21262d; stroke: #6e7681 }
  .line { stroke: #6e7681 }
  .head { fill: #6e7681 }
  .a { fill: #6f7fe0 } .b { fill: #4a57a8 } .c { fill: #333c72 }
}
</style>"""
PROPERTIES = (
    ('"hostname": "web"', ("SetHostname",)),
    ('"namespaces": [{"type": "pid"}, …]', ("Spawn", "Unshare")),
    ('"memory": {"limit": 67108864}', ("MakeCgroup", "WriteCgroup")),
    ('"mounts": [{"type": "proc"}, …]', ("Mount", "MaskPath")),
    ('"root": {"path": "rootfs"}', ("OpenRootfs", "PivotRoot")),
    ('"capabilities": {…}', ("SetCapabilities",)),
    ('"seccomp": {…}', ("LoadSeccomp",)),
    ('"args": ["sh"]', ("FindExecutable", "Exec")),
)
"""Properties of a config.json -> names of steps that they become."""
LANES = ("engine", "ocirt create", "init", "ocirt start", "ocirt delete")
SECTIONS = (
    # lane, first row, rows, what, and what happens there
    (0, 0, 1, "create", ""),
    (1, 0, 4, "host", "cgroups, hooks"),
    (2, 1, 3, "init", "mounts, rootfs, seccomp"),
    (2, 4, 2, "waits", "for start"),
    (0, 5, 1, "start", ""),
    (3, 5, 1, "before_start", "hooks"),
    (2, 6, 2, "exec_program", "the container's program"),
    (3, 7, 1, "after_start", "hooks"),
    (0, 8, 1, "delete", ""),
    (4, 8, 2, "delete", "undoes the journal"),
)
"""Who runs which section: columns, and rows from the first moment to the last."""
VERBS = ("create", "start", "state", "kill", "delete")


def picture(title: str, height: int, body: list[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
    return "\n".join([head, f"<title>{escape(title)}</title>", STYLE, *body, "</svg>\n"])


def words(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str = "box") -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" class="{kind}"/>'


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """From left to right."""
    tip = f'<path d="M{x2:g} {y2:g}l-7 -4v8z" class="head"/>'
    return f'<path d="M{x1:g} {y1:g}L{x2 - 5:g} {y2:g}" class="line"/>{tip}'


def program() -> str:
    """A bundle becomes a program."""
    top, row = 40, 26
    bottom = top + row * len(PROPERTIES)
    body = [
        words(10, 24, "config.json", "title"),
        words(345, 24, "program", "title"),
        words(600, 24, "run by", "title"),
    ]
    for index, (left, steps) in enumerate(PROPERTIES):
        y = top + row * index
        body += [box(10, y, 270, 20), words(18, y + 14, left, "code"), arrow(280, y + 10, 345, y + 10)]
        body += [box(345, y, 190, 20), words(353, y + 14, ", ".join(steps), "code")]
    middle = (top + bottom) / 2
    body += [words(312, bottom + 16, "Python compiles", "small", "middle")]
    body += [arrow(535, middle, 600, middle), box(600, middle - 40, 150, 80)]
    for offset, (text, kind) in enumerate(
        (("one static", ""), ("executable, in C", ""), ("without any policy", "small"))
    ):
        body.append(words(675, middle - 14 + 20 * offset, text, kind, "middle"))
    y = bottom + 34
    body += [box(345, y, 190, 42), words(440, y + 17, "kept as a template", "", "middle")]
    body += [words(440, y + 33, "paths, ids, numbers are slots", "small", "middle")]
    body += [f'<path d="M440 {bottom - 4}V{y - 6}" class="line"/><path d="M440 {y}l-4 -7h8z" class="head"/>']
    body += [
        words(10, y + 17, "the next config.json of this structure"),
        words(10, y + 33, "finds it: no Python, a few ms", "small"),
    ]
    body += [arrow(250, y + 21, 345, y + 21)]
    body += [f'<path d="M535 {y + 21}H675V{middle + 47:g}" class="line"/>']
    body += [f'<path d="M675 {middle + 41:g}l-4 7h8z" class="head"/>']
    return picture("A bundle becomes a program", y + 56, body)


def sections() -> str:
    """Who runs which section when."""
    left, top, row, lane = 10, 44, 32, 150
    bottom = top + row * (max(first + rows for _, first, rows, _, _ in SECTIONS))
    body = []
    for index, name in enumerate(LANES):
        x = left + lane * index + (lane - 10) / 2
        body += [
            words(x, 24, name, "title", "middle"),
            f'<path d="M{x:g} 34V{bottom:g}" class="line" stroke-dasharray="3 4"/>',
        ]
    for place, first, rows, name, what in SECTIONS:
        x, y = left + lane * place, top + row * first
        body.append(box(x, y + 2, lane - 10, row * rows - 4))
        middle = x + (lane - 10) / 2
        if what and rows == 1:
            body.append(words(middle, y + 20, f"{name}: {what}", "code" if len(name) < 9 else "small", "middle"))
        else:
            shift = 8 if what else 0
            body.append(words(middle, y + row * rows / 2 + 4 - shift, name, "code", "middle"))
            body += [words(middle, y + row * rows / 2 + 12, what, "small", "middle")] if what else []
    body.append(words(WIDTH - 4, bottom + 12, "time runs downwards", "small", "end"))
    return picture("Who runs which section when", bottom + 20, body)


def time(benchmark: "dict[str, object]") -> str:
    """The life of a container by verb.

    :param benchmark: docs/benchmark.json.
    """
    medians, facts = comparison.medians(benchmark), benchmark["facts"]
    assert isinstance(facts, dict)
    left, top, row, colours = 70, 48, 40, "abcde"
    longest = max(sum(medians[verb, each] for verb in VERBS) for each in comparison.RUNTIMES)
    scale = (WIDTH - left - 90) / longest
    body = []
    for index, verb in enumerate(VERBS):
        x = left + 90 * index
        body += [box(x, 14, 12, 12, colours[index]), words(x + 17, 24, verb)]
    for index, runtime in enumerate(comparison.RUNTIMES):
        at, y = float(left), top + row * index
        body.append(words(left - 8, y + 17, runtime, "", "end"))
        for verb, colour in zip(VERBS, colours):
            width = medians[verb, runtime] * scale
            body.append(f'<rect x="{at:.1f}" y="{y}" width="{width:.1f}" height="26" class="{colour}"/>')
            at += width
        body.append(words(round(at + 6, 1), y + 17, f"{sum(medians[verb, runtime] for verb in VERBS) / 1000:.1f} ms"))
    y = top + row * len(comparison.RUNTIMES)
    floor = left + medians["floor: create", "floor"] * scale
    body.append(f'<path d="M{floor:.1f} {top - 6}V{y - 6}" class="floor"/>')
    body.append(
        words(
            floor, y + 8, f"create, the kernel's own work: {medians['floor: create', 'floor'] / 1000:.1f} ms", "small"
        )
    )
    versions = ", ".join(" ".join(each.split(",")[0].split()) for each in facts["runtimes"].values())
    body.append(words(left, y + 28, f"medians of {facts['date']}; {versions}", "small"))
    return picture("The life of a container by verb, in milliseconds", y + 40, body)


def pictures() -> dict[str, str]:
    """Names of files -> the pictures."""
    benchmark = json.loads((TREE / "docs/benchmark.json").read_text())
    return {"program.svg": program(), "sections.svg": sections(), "time.svg": time(benchmark)}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pictures().items():
        (FOLDER / name).write_text(text)
