"""Draws the dashboard as Grafana lays it out, from what a Prometheus answers to its queries: for docs/alarms.md.

`make board` asks one that was fed for minutes by the real vLLM (tests/real/test_observed.py) and writes docs/board.svg.
No Grafana is in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tandem.observing.panels import GROUPS, Panel, Unit
from tandem.ops.plot import head

Points = Sequence[tuple[float, float]]
"""Of a series: seconds since the window's begin, and the value then."""
Ask = Callable[[str], Sequence[Points]]

ACROSS, WIDTH, HEIGHT, ROW, TOP = 3, 310, 150, 30, 48
POINTS = 40
"""Of a line."""
LEFT, RIGHT, ABOVE, BOTTOM = 48, 298, 22, 110
"""Of a plot in its panel."""
COLORS = ("#2f6fab", "#b5651d", "#3d8b40", "#7a4fa3")
MARK = "#c0392b"
UNITS: dict[Unit, str] = {
    "s": "s",
    "percent": "%",
    "share": "% of requests",
    "requests": "requests",
    "tokens": "tokens",
    "servers": "servers",
    "celsius": "°C",
    "usd": "US dollars",
}


def picture(panels: Sequence[Panel], ask: Ask, seconds: int, said: str) -> str:
    """The panels that have a query, in rows by group.

    Args:
        ask: what a query was answered over the window.
        seconds: of the window.
        said: where the answers are from.
    """
    parts, top = [], TOP
    for group in GROUPS:
        asked = [panel for panel in panels if panel.group == group and any(line.query for line in panel.lines)]
        parts.append(f'<text x="10" y="{top + 20}" font-size="14" font-weight="bold">{escape(group)}</text>')
        for number, panel in enumerate(asked):
            down, across = divmod(number, ACROSS)
            place = f"translate({WIDTH * across},{top + ROW + HEIGHT * down})"
            parts += [f'<g transform="{place}">', *_panel(panel, ask, seconds), "</g>"]
        top += ROW + HEIGHT * -(-len(asked) // ACROSS)
    first = f'<text x="10" y="20">{escape(said)}</text>'
    return "\n".join([*head("The dashboard's panels", WIDTH * ACROSS, top + 10, 11), first, *parts, "</svg>", ""])


@dataclass(frozen=True)
class _Plot:
    """The inside of a panel.

    Attributes:
        seconds, most: the ends of its axes, which begin with 0.
    """

    seconds: int
    most: float

    def at(self, second: float, value: float) -> tuple[int, int]:
        across, up = (RIGHT - LEFT) * second / self.seconds, (BOTTOM - ABOVE) * value / self.most
        return round(LEFT + across), round(BOTTOM - up)

    def axes(self) -> Iterator[str]:
        yield f'<path d="M{LEFT} {ABOVE}V{BOTTOM}H{RIGHT}" fill="none" stroke="#999"/>'
        for value in (0, self.most):
            yield f'<text x="{LEFT - 4}" y="{self.at(0, value)[1] + 4}" text-anchor="end">{value:g}</text>'
        yield f'<text x="{LEFT}" y="{BOTTOM + 13}" fill="#777">0</text>'
        yield f'<text x="{RIGHT}" y="{BOTTOM + 13}" text-anchor="end" fill="#777">{self.seconds // 60} min</text>'

    def line(self, series: Sequence[Points], color: str) -> str:
        """With nothing where nothing was answered."""
        gap = 2.5 * self.seconds / POINTS
        drawn = "".join(
            "{}{} {}".format("L" if before and now[0] - before[0] < gap else "M", *self.at(*now))
            for points in series
            for before, now in zip([None, *points], points, strict=False)
        )
        return f'<path d="{drawn}" fill="none" stroke="{color}" stroke-width="1.5"/>'

    def mark(self, value: float) -> str:
        return f'<path d="M{LEFT} {self.at(0, value)[1]}H{RIGHT}" stroke="{MARK}" stroke-dasharray="4 3"/>'


def _panel(panel: Panel, ask: Ask, seconds: int) -> Iterator[str]:
    share = 100 if panel.unit == "share" else 1
    lines = [[_finite(points, share) for points in ask(line.query)] for line in panel.lines]
    marks = {name: value * share for name, value in panel.marks.items()}
    plot = _Plot(seconds, _round_up(*(value for line in lines for one in line for _, value in one), *marks.values()))
    yield f'<text x="{LEFT}" y="14" font-weight="bold">{escape(panel.title)}</text>'
    yield from plot.axes()
    yield from (plot.line(line, color) for line, color in zip(lines, COLORS, strict=False))
    yield from map(plot.mark, marks.values())
    names = [*zip((line.name for line in panel.lines), COLORS, strict=False), *((name, MARK) for name in marks)]
    yield _legend(UNITS[panel.unit], names)


def _finite(points: Points, share: int) -> Points:
    return [(at, value * share) for at, value in points if math.isfinite(value)]


def _legend(unit: str, names: Sequence[tuple[str, str]]) -> str:
    spans = "".join(f'<tspan fill="{color}" dx="8">{escape(name)}</tspan>' for name, color in names)
    first = f'<tspan fill="#777">in {unit}:</tspan>'
    return f'<text x="10" y="{HEIGHT - 12}" font-size="10">{first}{spans}</text>'


def _round_up(*values: float) -> float:
    """The end of an axis: 1, 2 or 5 times a power of ten, above them all."""
    most = max(values, default=0)
    if most <= 0:
        return 1
    power = 10 ** math.floor(math.log10(most))
    return float(f"{next(step * power for step in (1, 2, 5, 10) if step * power >= most):g}")
