"""Draws the encoder candidates as an SVG: CPU seconds to the right, a quality upwards. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, TypeAlias

_WIDTH: Final = 460
_HEIGHT: Final = 300
_LEFT: Final = 56
_TOP: Final = 44
_GAP: Final = 30
_LEGEND_LINE: Final = 17
_Box: TypeAlias = tuple[float, float, float, float]
_COLOURS: Final = {"": "#8a8f98", "Zou": "#c2410c", "Rushes": "#1d4ed8"}


@dataclass(frozen=True)
class Mark:
    """One candidate in one panel column.

    Attributes:
        panel: the column's title.
        label: the candidate; the legend gives it a number.
        emphasis: empty, or whose choice it is.
        cpu_seconds: for a second of movie.
        values: by the title of the row.
    """

    panel: str
    label: str
    emphasis: str
    cpu_seconds: float
    values: Mapping[str, float]


def draw(marks: Sequence[Mark]) -> str:
    """A column for each panel, a row for each value, and a legend of numbered candidates."""
    panels = list(dict.fromkeys(mark.panel for mark in marks))
    rows = list(marks[0].values)
    labels = list(dict.fromkeys(mark.label for mark in marks))
    body = []
    for column, panel in enumerate(panels):
        for row, value in enumerate(rows):
            shown = [mark for mark in marks if mark.panel == panel]
            body.append(_panel(f"{panel}: {value}", shown, value, labels, column * _WIDTH, row * _HEIGHT))
    legend_top = len(rows) * _HEIGHT + _GAP
    for number, label in enumerate(labels, 1):
        y = legend_top + (number - 1) * _LEGEND_LINE
        body.append(f'<text x="{_LEFT}" y="{y}" font-size="10">{number}  {escape(label)}</text>')
    width, height = len(panels) * _WIDTH + _GAP, legend_top + len(labels) * _LEGEND_LINE
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
            ' font-size="12" fill="#222">',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def _panel(title: str, marks: Sequence[Mark], value: str, labels: Sequence[str], left: int, top: int) -> str:
    x0, x1, y0, y1 = left + _LEFT, left + _WIDTH, top + _HEIGHT - _GAP, top + _TOP
    across = _ticks([0.0, *(mark.cpu_seconds for mark in marks)])
    upwards = _ticks([mark.values[value] for mark in marks])

    def x(seconds: float) -> float:
        return x0 + (seconds - across[0]) / (across[-1] - across[0]) * (x1 - x0)

    def y(number: float) -> float:
        return y0 - (number - upwards[0]) / (upwards[-1] - upwards[0]) * (y0 - y1)

    parts = [f'<text x="{x0}" y="{y1 - 16}" font-weight="bold">{escape(title)}</text>']
    parts += [f'<path d="M{x0} {y(at):.1f}H{x1}" stroke="#e5e7eb"/>' for at in upwards]
    parts += [f'<text x="{x0 - 6}" y="{y(at) + 4:.1f}" text-anchor="end">{at:g}</text>' for at in upwards]
    parts += [f'<text x="{x(at):.1f}" y="{y0 + 16}" text-anchor="middle">{at:g}</text>' for at in across]
    parts.append(f'<text x="{x1}" y="{y0 - 6}" text-anchor="end" fill="#666">CPU s for 1 s</text>')
    taken: list[_Box] = []
    for mark in sorted(marks, key=lambda mark: not mark.emphasis):  # the choices get the best places
        at_x, at_y, colour = x(mark.cpu_seconds), y(mark.values[value]), _COLOURS[mark.emphasis]
        name = f"{labels.index(mark.label) + 1} {mark.emphasis}".strip()
        parts.append(f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="4" fill="{colour}"/>')
        box = _free_box(at_x, at_y, name, taken)
        taken.append(box)
        parts.append(f'<text x="{box[0]:.1f}" y="{box[3]:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join(parts)


def _free_box(x: float, y: float, name: str, taken: Sequence[_Box]) -> _Box:
    """Left, top, right and bottom of a mark's name: the place around the mark that overlaps the others least."""
    width, height = 7.5 * len(name), 11
    places = [
        (left, bottom - height, left + width, bottom)
        for reach in (0, 14, 28)
        for bottom in (y - 5 - reach, y + 15 + reach)
        for left in (x + 6, x - 6 - width, x - width / 2)
    ]

    def overlap(box: _Box) -> float:
        return sum(
            max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
            * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
            for other in taken
        )

    return min(places, key=overlap)


def _ticks(numbers: Sequence[float]) -> list[float]:
    """Round numbers around all of these, four to eight of them."""
    low, high = min(numbers), max(numbers)
    rough = max(high - low, 1e-6) / 4
    power: float = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]
