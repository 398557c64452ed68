"""A plot of medians as SVG: horizontal bars, a whisker to the 95th percentile."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .results import median, percentile

BAR, GAP, LEFT, WIDTH, TOP = 13, 14, 170, 880, 52
COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#7f7f7f")


def bars(title: str, groups: Sequence[tuple[str, Sequence[tuple[str, Sequence[float]]]]], unit: str = "ms") -> str:
    """The SVG text.

    :param groups: pairs of a label and pairs of a runtime and its samples, in ``unit``.
    """
    runtimes = list(dict.fromkeys(name for _, rows in groups for name, _ in rows))
    color = {name: COLORS[index % len(COLORS)] for index, name in enumerate(runtimes)}
    largest = max(percentile(samples, 95) for _, rows in groups for _, samples in rows)
    scale = (WIDTH - LEFT - 110) / largest
    y, body = TOP, []
    for label, rows in groups:
        middle = y + BAR * len(rows) / 2 + 4
        body.append(f'<text x="{LEFT - 8}" y="{middle:.1f}" text-anchor="end">{escape(label)}</text>')
        for name, samples in rows:
            middle, high = median(samples) * scale, percentile(samples, 95) * scale
            body.append(f'<rect x="{LEFT}" y="{y}" width="{middle:.1f}" height="{BAR - 2}" fill="{color[name]}"/>')
            body.append(
                f'<path d="M{LEFT + middle:.1f} {y + 5.5}H{LEFT + high:.1f}m0 -3v6" stroke="#555" fill="none"/>'
            )
            end = LEFT + max(high, middle) + 6
            body.append(f'<text x="{end:.1f}" y="{y + 9.5}" font-size="10">{median(samples):.1f} {unit}</text>')
            y += BAR
        y += GAP
    legend = "".join(
        [
            f'<rect x="{x}" y="30" width="10" height="10" fill="{color[name]}"/>'
            f'<text x="{x + 14}" y="39">{escape(name)}</text>'
            for x, name in zip(range(LEFT, WIDTH * 9, 110), runtimes)
        ]
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" font-family="sans-serif" font-size="12">'
    )
    white = '<rect width="100%" height="100%" fill="white"/>'
    title = f'<text x="{LEFT}" y="18" font-size="14">{escape(title)}</text>'
    return "\n".join([head, white, title, legend, *body, "</svg>\n"])
