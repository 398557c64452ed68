"""Commands as an SVG: time from left to right, a row for each process, and a frame around what is on the critical path."""

from html import escape

from .critical import critical_path
from .spans import Command, Span

WIDTH, LEFT, ROW, GAP, HEAD = 1200, 90, 22, 6, 40
"""Pixels: the picture, the names of the rows, the height of a row, between rows, and above the first of a command."""
STYLE = """\
text { font: 12px sans-serif; fill: #222 }
.axis { stroke: #999; stroke-width: 1 } .step { fill: #7aa6da } .wait { fill: #ddd } .hook { fill: #e6994c }
.helper { fill: #c397d8 } .program { fill: #d9822b } .launch { fill: #9cc17a } .failed { fill: #d9534f }
.critical { stroke: #b00; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .wait { fill: #444 } }"""
"""The colours: by kind of span, and for the frame around the critical path."""


def to_svg(commands: list[Command]) -> str:
    parts, top = [], 0
    for command in commands:
        drawn, top = _draw(command, top)
        parts += drawn
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _draw(command: Command, top: int) -> tuple[list[str], int]:
    """The elements of a command, and where the next one begins."""
    whole = max(command.end - command.start, 1)
    scale = (WIDTH - LEFT - 10) / whole
    critical = {id(part.span) for part in critical_path(command)}
    head = f"{command.title} (pid {command.pid}): {command.lasted}"
    parts = [f'<text x="4" y="{top + 16}" font-weight="bold">{escape(head)}</text>']
    for tenth in range(0, 11, 2):
        x = LEFT + tenth / 10 * whole * scale
        parts.append(f'<line class="axis" x1="{x:.1f}" y1="{top + 32}" x2="{x:.1f}" y2="{top + HEAD}"/>')
        parts.append(f'<text x="{min(x, WIDTH - 70):.1f}" y="{top + 30}">{tenth / 10 * whole / 1e6:.2f} ms</text>')
    y = top + HEAD
    for thread, name in sorted(command.threads.items()):
        spans = [span for span in command.spans if span.thread == thread]
        if not spans:
            continue
        parts.append(f'<text x="4" y="{y + 15}">{escape(name)}</text>')
        for span in sorted(spans, key=lambda each: -each.duration):
            parts.append(_box(command, span, y, scale, id(span) in critical))
        y += ROW + GAP
    return parts, y + GAP


def _box(command: Command, span: Span, y: int, scale: float, is_critical: bool) -> str:
    """A rectangle; what lies within a longer one of its row is lower."""
    x, width = LEFT + (span.start - command.start) * scale, max(span.duration * scale, 0.5)
    inner = 4 * len([each for each in command.spans if each.holds(span)])
    kind = "failed" if span.error else span.kind
    names = f"{kind} critical" if is_critical else kind
    title = f"{span.title}\n{span.duration / 1e6:.3f} ms{command.reason(span)}"
    box = f'<rect class="{escape(names)}" x="{x:.1f}" y="{y + inner}" width="{width:.1f}" height="{ROW - inner}">'
    label = f'<text x="{x + 3:.1f}" y="{y + 15}">{escape(span.name)}</text>' if width > 8 * len(span.name) else ""
    return f"{box}<title>{escape(title)}</title></rect>{label}"
