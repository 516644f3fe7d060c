"""A load test as a page with plots, and as a line for a pull request. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from tandem.objectives import Objectives
from tandem.ops.load.sweep import Step, best
from tandem.ops.plot import bars

_HEAD = """<!doctype html><meta charset="utf-8"><title>{title}</title>
<style>body{{font-family:sans-serif;max-width:60em;margin:2em auto}}td,th{{padding:.2em .8em;text-align:right}}
tr.late{{color:#a00}}svg{{display:block;margin:1em 0}}</style>
"""


def figures(one: Step) -> str:
    """A step in words."""
    failed = sum(one.failed.values())
    reasons = f" ({', '.join(f'{count} {reason}' for reason, count in one.failed.items())})" if failed else ""
    return (
        f"first token {seconds(one.first_token_p99)}, between tokens {seconds(one.between_tokens_p99)} at 99 %, "
        f"{failed} of {one.requests:,} failed{reasons}, {one.tokens_a_second:,.0f} tokens/s"
    )


def seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g} s"


def line(title: str, steps: Sequence[Step], wanted: float | None, price: float | None) -> str:
    """For a pull request."""
    held = best(steps)
    if wanted is not None and steps and not steps[0].kept:
        return f"{title}: {wanted:g} requests/s not kept: {figures(steps[0])}"
    if held is None:
        return f"{title}: no rate kept, not even {min(one.rate for one in steps):.3g} requests/s"
    cost = f", ${price:.2f} a million tokens" if price is not None else ""
    return f"{title}: {held.rate:.3g} requests/s kept: {figures(held)}{cost}"


def page(
    title: str,
    said: str,
    rows: Sequence[tuple[str, Step]],
    promised: Objectives,
    document: Mapping[str, Any],
    first: str = "requests/s",
) -> str:
    """HTML that needs nothing else.

    Args:
        rows: each with what tells it from the others, and `first` says what that is.
    """

    def plot(kind: str, value: Callable[[Step], float], limit: float | None = None) -> str:
        pairs = [(f"{name} {first}", value(one)) for name, one in rows]
        return bars(kind, pairs if limit is None else [*pairs, ("promised", limit)], unit="")

    plots = (
        plot("First token at 99 %, seconds", lambda one: one.first_token_p99 or 0, promised.first_token_seconds),
        plot(
            "Between tokens at 99 %, ms",
            lambda one: 1000 * (one.between_tokens_p99 or 0),
            1000 * promised.between_tokens_seconds,
        ),
        plot(
            "Failed, percent",
            lambda one: 100 * sum(one.failed.values()) / max(one.requests, 1),
            100 * promised.error_budget,
        ),
        plot("Tokens a second", lambda one: one.tokens_a_second),
    )
    parts = [_HEAD.format(title=escape(title)), f"<h1>{escape(title)}</h1><p>{escape(said)}</p>"]
    return "\n".join([*parts, _table(rows, first), *plots, _facts(document), ""])


def by_rate(steps: Sequence[Step]) -> list[tuple[str, Step]]:
    """Rows of a page."""
    return [(f"{one.rate:.3g}", one) for one in sorted(steps, key=lambda one: one.rate)]


def _table(steps: Sequence[tuple[str, Step]], first: str) -> str:
    names = (
        first,
        "sent",
        "failed",
        "at once",
        "first token, mean",
        "99 %",
        "between, mean",
        "99 %",
        "tokens/s",
    )
    rows = ["".join(f"<th>{escape(name)}</th>" for name in names)]
    for name, one in steps:
        latencies = (one.first_token_mean, one.first_token_p99, one.between_tokens_mean, one.between_tokens_p99)
        cells = (
            name,
            one.requests,
            sum(one.failed.values()),
            f"{one.at_once:.1f}",
            *map(seconds, latencies),
        )
        rows.append("".join(f"<td>{cell}</td>" for cell in (*cells, f"{one.tokens_a_second:,.0f}")))
    marks = ["", *("" if one.kept else ' class="late"' for _, one in steps)]
    return f"<table>{''.join(f'<tr{mark}>{row}</tr>' for mark, row in zip(marks, rows, strict=True))}</table>"


def _facts(document: Mapping[str, Any]) -> str:
    """All else that the file of the project has."""
    rows = (
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in document.items() if name != "steps"
    )
    return f"<dl>{''.join(rows)}</dl>"
