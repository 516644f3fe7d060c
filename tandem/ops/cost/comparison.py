"""Two plans compared, for a comment on a pull request and for a pipeline that refuses what costs too much."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tandem.ops.cost.plan import Plan


@dataclass(frozen=True)
class Change:
    """One part before and after, US dollars a month; 0 where it is not there."""

    name: str
    before: float
    after: float

    @property
    def difference(self) -> float:
        return self.after - self.before


def compare(before: Plan, after: Plan) -> list[Change]:
    """Parts whose month differs by a cent or more, the largest difference first."""
    old, new = ({part.name: part.usd_per_month for part in side.parts} for side in (before, after))
    changes = [Change(name, old.get(name, 0.0), new.get(name, 0.0)) for name in {**old, **new}]
    return sorted(
        (change for change in changes if abs(change.difference) >= 0.01), key=lambda change: -abs(change.difference)
    )


def comparison(names: tuple[str, str], before: Plan, after: Plan) -> str:
    """The difference as Markdown, for a comment on a pull request."""
    total = after.usd_per_month - before.usd_per_month
    if not (changes := compare(before, after)):
        return f"**Cost: {names[0]} and {names[1]} cost the same**, ${after.usd_per_month:,.2f} a month.\n"
    share = f" ({total / before.usd_per_month:+.1%})" if before.usd_per_month else ""
    lines = [
        f"**Cost: {_signed(total)} a month{share}**",
        "",
        f"| $ a month | {names[0]} | {names[1]} | difference |",
        "|---|---:|---:|---:|",
        *(
            f"| {change.name} | {change.before:,.2f} | {change.after:,.2f} | {change.difference:+,.2f} |"
            for change in changes
        ),
        f"| **all parts** | **{before.usd_per_month:,.2f}** | **{after.usd_per_month:,.2f}** | **{total:+,.2f}** |",
        f"| $ an hour | {before.usd_per_hour:,.2f} | {after.usd_per_hour:,.2f} "
        f"| {after.usd_per_hour - before.usd_per_hour:+,.2f} |",
        "",
        f"<sub>{after.source}. Assumed: {after.use}.</sub>",
    ]
    return "\n".join(lines) + "\n"


def _signed(usd: float) -> str:
    return f"{'-' if usd < 0 else '+'}${abs(usd):,.2f}"


def too_much(before: Plan | None, after: Plan, above: float | None, above_change: float | None) -> list[str]:
    """Which limits of a pipeline the plan passes, in words; a month as the stack comes up counts.

    Args:
        above: US dollars a month.
        above_change: percent more than `before`.
    """
    month, found = after.usd_per_month, []
    if above is not None and month > above:
        found.append(f"${month:,.2f} a month is above --fail-above {above:g}")
    if above_change is not None and before is not None:
        old = before.usd_per_month
        change = (month / old - 1) * 100 if old else math.inf if month else 0.0
        if change > above_change:
            found.append(f"{change:+.1f} % is above --fail-above-change {above_change:g}")
    return found
