"""Line charts as SVG, which a page can hold without any other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 460, 260  # of a chart, in CSS pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 28, 34  # margins for the scales
_TICKS = 4  # on the vertical scale
_MOST_LABELS = 12  # on the horizontal one


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: for the legend.
        colour: as CSS.
        values: from left to right, one for each step.
    """

    name: str
    colour: str
    values: Sequence[float]


def line_chart(title: str, lines: Sequence[Line], border: int | None = None) -> str:
    """Draw curves over the epochs, counted from 1.

    Args:
        title: above the chart.
        lines: all of one length, at least 1.
        border: draw a dashed line behind this many epochs.

    Returns:
        an ``<svg>`` element.
    """
    count = len(lines[0].values)
    values = [value for line in lines for value in line.values]
    low, high = min(*values, 0.0), max(values)
    high = high if high > low else low + 1

    def x(step: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (step / max(count - 1, 1))

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (value - low) / (high - low)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(title)}">'
        f'<text x="{_LEFT}" y="16" class="title">{escape(title)}</text>'
    ]
    for tick in range(_TICKS + 1):
        value = low + (high - low) * tick / _TICKS
        parts.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'class="grid"/><text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" class="scale" '
            f'text-anchor="end">{value:.2f}</text>'
        )
    every = max(1, -(-count // _MOST_LABELS))
    parts += [
        f'<text x="{x(step):.1f}" y="{HEIGHT - 16}" class="scale" text-anchor="middle">'
        f"{step + 1}</text>"
        for step in range(0, count, every)
    ]
    if border is not None and 0 < border < count:
        at = (x(border - 1) + x(border)) / 2
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}" '
            'class="border"/>'
        )
    for place, line in enumerate(lines):
        points = " ".join(f"{x(i):.1f},{y(value):.1f}" for i, value in enumerate(line.values))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="2"/>'
            f'<text x="{_LEFT + 90 * place + 130}" y="16" class="scale"  '
            f'style="fill:{line.colour}">{escape(line.name)}</text>'
        )
        parts += [  # a run of one epoch has no line to see
            f'<circle cx="{x(i):.1f}" cy="{y(value):.1f}" r="2" fill="{line.colour}"/>'
            for i, value in enumerate(line.values)
        ]
    return "".join([*parts, "</svg>"])
