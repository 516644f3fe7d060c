"""KV-cache tokens and price of each candidate side by side, as SVG without a library.

A few rectangles and texts need none: matplotlib would be the largest dependency of the project.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tandem.ops.plot import head

_ROW, _LABEL, _BAR, _VALUE = 24, 220, 260, 110
_PANEL = _BAR + _VALUE


def candidates_svg(title: str, rows: Sequence[tuple[str, float, float]]) -> str:
    """Two panels of bars.

    Args:
        rows: name, KV-cache tokens of a replica, US dollars for a million tokens of answers.
    """
    width, height = _LABEL + 2 * _PANEL, _ROW * (len(rows) + 3)
    parts = [
        *head(title, width, height),
        f'<text x="10" y="18" font-size="14" font-weight="bold">{escape(title)}</text>',
        f'<text x="{_LABEL}" y="{2 * _ROW - 6}">KV-cache tokens of a replica</text>',
        f'<text x="{_LABEL + _PANEL}" y="{2 * _ROW - 6}">$ per million tokens (measured or modelled)</text>',
    ]
    most_tokens = max((tokens for _, tokens, _ in rows), default=0) or 1
    most_price = max((price for _, _, price in rows), default=0) or 1
    for number, (name, tokens, price) in enumerate(rows, start=2):
        top = _ROW * number
        parts.append(f'<text x="{_LABEL - 8}" y="{top + 14}" text-anchor="end">{escape(name)}</text>')
        parts += _bar(_LABEL, top, tokens / most_tokens, f"{tokens:,.0f}", "#2f6fab")
        parts += _bar(_LABEL + _PANEL, top, price / most_price, f"${price:,.3f}", "#b5651d")
    return "\n".join([*parts, "</svg>", ""])


def _bar(left: int, top: int, share: float, text: str, colour: str) -> list[str]:
    length = _BAR * share
    return [
        f'<rect x="{left}" y="{top + 2}" width="{length:.1f}" height="{_ROW - 8}" fill="{colour}"/>',
        f'<text x="{left + length + 6:.1f}" y="{top + 14}">{escape(text)}</text>',
    ]
