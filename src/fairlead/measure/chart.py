"""Panels of one picture over one axis of time, as SVG: bars, dots and steps. Pure; moments in seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

PANEL = 130
"""Height of a panel."""
DOTS_MAX = 3000
COLUMNS_MAX = 120
_WIDTH, _LEFT, _GAP, _TOP = 800, 60, 46, 62
_INSIDE = PANEL - 10


@dataclass(frozen=True, slots=True)
class Line:
    """Steps: from each moment on a value."""

    points: Sequence[tuple[float, float]]
    style: str
    """Attributes of its stroke."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture; what of ``bars``, ``dots`` and ``lines`` it has is drawn."""

    name: str
    most: str
    """What its upper border is called."""
    bars: Sequence[Mapping[str, float]] = ()
    """Columns over the whole time, each with its heights (0 to 1) by color, from below."""
    dots: Sequence[tuple[float, float, str]] = ()
    """Moment, height (0 to 1) and color."""
    lines: Sequence[Line] = ()
    """Their values are heights (0 to 1)."""
    marks: Sequence[tuple[float, str, str]] = ()
    """Moment, color and what is said where one points at it."""


def document(title: str, panels: Sequence[Panel], until_s: float) -> str:
    """Return the SVG of all ``panels``, one below the other."""
    height = _TOP + len(panels) * (PANEL + _GAP)
    said = escape(title)
    body = "".join(
        f'<g transform="translate({_LEFT},{_TOP + index * (PANEL + _GAP)})">{_panel(panel, until_s)}</g>'
        for index, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif"'
        f' font-size="11"><title>{said}</title><rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>'
        f'<text x="{_LEFT}" y="24" font-size="13" fill="#222222">{said}</text>{body}</svg>\n'
    )


def columns(until_s: float) -> int:
    """Return how many columns of bars so many seconds have."""
    return min(COLUMNS_MAX, max(1, math.ceil(until_s)))


def every(count: int) -> int:
    """Return of how many dots one is drawn, so that the picture stays small."""
    return math.ceil(count / DOTS_MAX) or 1


def _panel(panel: Panel, until_s: float) -> str:
    parts = [_head(panel.name, panel.most)]
    parts += [
        f'<line x1="{_x(at, until_s):.1f}" x2="{_x(at, until_s):.1f}" y1="0" y2="{PANEL}" stroke="{color}"'
        f' stroke-opacity="0.7"><title>{escape(said)}</title></line>'
        for at, color, said in panel.marks
    ]
    parts += _bars(panel, until_s)
    parts += [
        f'<circle cx="{_x(min(at, until_s), until_s):.1f}" cy="{_y(high):.1f}" r="1.6" fill="{color}"'
        f' fill-opacity="0.6"/>'
        for at, high, color in panel.dots
    ]
    parts += [_steps(line, until_s) for line in panel.lines]
    return "".join(parts) + _axis(until_s)


def _bars(panel: Panel, until_s: float) -> list[str]:
    if not panel.bars:
        return []
    wide = _x(until_s / len(panel.bars), until_s)
    parts = []
    for index, bar in enumerate(panel.bars):
        base = float(PANEL)
        for color, share in bar.items():
            high = _INSIDE * share
            base -= high
            if high:
                parts.append(
                    f'<rect x="{index * wide:.1f}" y="{base:.1f}" width="{max(0.8, wide - 0.6):.1f}"'
                    f' height="{high:.1f}" fill="{color}"/>'
                )
    return parts


def _steps(line: Line, until_s: float) -> str:
    points: list[tuple[float, float]] = []
    before = line.points[0][1] if line.points else 0.0
    for at, value in line.points:
        x = _x(at, until_s)
        points += [(x, before), (x, value)]
        before = value
    said = " ".join(f"{x:.1f},{_y(value):.1f}" for x, value in points)
    return f'<polyline fill="none" {line.style} points="{said}"/>'


def _x(at: float, until_s: float) -> float:
    return (_WIDTH - _LEFT - 20) * at / until_s


def _y(high: float) -> float:
    return PANEL - _INSIDE * high


def _axis(until_s: float) -> str:
    wide = _WIDTH - _LEFT - 20
    return (
        f'<line x1="0" x2="{wide}" y1="{PANEL}" y2="{PANEL}" stroke="#999999"/>'
        f'<text x="0" y="{PANEL + 14}" fill="#555555">0</text>'
        f'<text x="{wide}" y="{PANEL + 14}" text-anchor="end" fill="#555555">{until_s:.0f} s</text>'
    )


def _head(name: str, most: str) -> str:
    return (
        f'<text x="0" y="-8" fill="#222222">{escape(name)}</text>'
        f'<text x="-6" y="10" text-anchor="end" fill="#555555">{escape(most)}</text>'
        f'<text x="-6" y="{PANEL}" text-anchor="end" fill="#555555">0</text>'
    )
