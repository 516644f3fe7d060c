"""What teams have spent, as LiteLLM's sums by day tell: one answer for all teams, of one request."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from tandem.ops.teams.litellm import Admin
from tandem.ops.teams.plan import PERIOD_WORDS

ACTIVITY = "/team/daily/activity/aggregated"
_NONE = "Unassigned"
"""LiteLLM's word for no team."""


@dataclass(frozen=True, kw_only=True)
class Spending:
    """Of one team, in days that were asked for.

    Attributes:
        name: as people know it; its id where it has been removed.
        period_usd: since its budget's period began, which other days may be; None for a removed one.
        budget_usd: None for no budget.
        per: day, week, month, or empty for a budget that never begins anew.
    """

    name: str
    requests: int
    prompt_tokens: int
    answer_tokens: int
    usd: float
    period_usd: float | None = None
    budget_usd: float | None = None
    per: str = ""


@dataclass(frozen=True)
class Report:
    """Spend by team, dearest first.

    Attributes:
        since, until: days in UTC, both among them.
        fallback_usd: of all, what went to the cloud.
    """

    since: date
    until: date
    teams: Sequence[Spending]
    fallback_usd: float

    @property
    def usd(self) -> float:
        return sum(team.usd for team in self.teams)

    def share(self, team: Spending) -> float:
        return team.usd / self.usd if self.usd else 0.0


def report(admin: Admin, since: date, until: date, provider: str | None) -> Report:
    """Asks.

    Args:
        provider: of the fallback, as LiteLLM names it; None without one.

    Raises:
        UserError: LiteLLM does not tell.
    """
    days = admin.get(ACTIVITY, start_date=since.isoformat(), end_date=until.isoformat())["results"]
    rows = {row["team_id"]: row for row in admin.teams()}
    return summed(days, rows, since, until, provider)


def summed(
    days: Sequence[Mapping[str, Any]],
    rows: Mapping[str, Mapping[str, Any]],
    since: date,
    until: date,
    provider: str | None,
) -> Report:
    """The report of what LiteLLM lists. Teams that spent nothing are in it, too."""
    sums: dict[str, dict[str, float]] = {team: defaultdict(float) for team in rows}
    fallback = 0.0
    for day in days:
        found = day["breakdown"]
        fallback += found["providers"].get(provider, {}).get("metrics", {}).get("spend", 0.0) if provider else 0.0
        for team, one in found["entities"].items():
            into = sums.setdefault(team, defaultdict(float))
            for name in ("api_requests", "prompt_tokens", "completion_tokens", "spend"):
                into[name] += one["metrics"][name]
    teams = [_spending(team, one, rows.get(team)) for team, one in sums.items()]
    return Report(since, until, sorted(teams, key=lambda team: (-team.usd, team.name)), fallback)


def _spending(team: str, sums: Mapping[str, float], row: Mapping[str, Any] | None) -> Spending:
    known = row or {}
    return Spending(
        name="no team" if team == _NONE else known.get("team_alias") or team,
        requests=int(sums["api_requests"]),
        prompt_tokens=int(sums["prompt_tokens"]),
        answer_tokens=int(sums["completion_tokens"]),
        usd=sums["spend"],
        period_usd=known.get("spend"),
        budget_usd=known.get("max_budget"),
        per=PERIOD_WORDS.get(duration := known.get("budget_duration") or "", duration),
    )
