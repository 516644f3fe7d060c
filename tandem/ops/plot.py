"""Bars as SVG, without a library: text that a browser, a wiki and a pull request show."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_ROW, _LABEL, _BAR, _VALUE = 26, 250, 420, 110


def head(title: str, width: int, height: int, font_size: int = 12, *defined: str) -> list[str]:
    """How a picture begins, on white; `</svg>` ends it.

    Args:
        defined: elements that others name, such as the tip of an arrow.
    """
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="{font_size}" role="img">',
        f"<title>{escape(title)}</title>",
        *defined,
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]


def bars(title: str, rows: Sequence[tuple[str, float]], unit: str = "$") -> str:
    """Horizontal bars, one a row, all on one scale; values are written out, so that no axis is needed."""
    most = max((value for _, value in rows), default=0) or 1
    width, height = _LABEL + _BAR + _VALUE, _ROW * (len(rows) + 2)
    lines = [
        *head(title, width, height, font_size=13),
        f'<text x="10" y="{_ROW * 0.8:.0f}" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (name, value) in enumerate(rows, start=1):
        top = _ROW * number + 8
        length = _BAR * value / most
        lines += [
            f'<text x="{_LABEL - 8}" y="{top + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LABEL}" y="{top + 2}" width="{length:.1f}" height="{_ROW - 10}" fill="#2f6fab"/>',
            f'<text x="{_LABEL + length + 6:.1f}" y="{top + 14}">{unit}{value:,.2f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
