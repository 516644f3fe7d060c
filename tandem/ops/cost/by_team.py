"""What teams of the gateway were charged, beside what the stack cost."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import typer

from tandem.errors import Problem, UserError
from tandem.ops.aws import aws_clients
from tandem.ops.cost import asking
from tandem.ops.cost.bill import Spent
from tandem.ops.options import print_json, stack_settings
from tandem.ops.screen import Screen, columns
from tandem.ops.teams.opening import opened, refuse_without
from tandem.ops.teams.spend import Report, Spending, report
from tandem.settings import Settings


def by_team(
    stack: str, region: str | None, profile: str | None, url: str, days: int | None, *, actual: bool, as_json: bool
) -> None:
    """Prints it.

    Raises:
        UserError: there is no gateway, or it does not answer.
        typer.Exit: the bill that was asked for cannot be told.
    """
    settings = stack_settings(stack, region)
    refuse_without(stack, settings)
    today = datetime.now(UTC).date()
    since = today - timedelta(days=days - 1) if days else today.replace(day=1)
    if actual and days:
        raise UserError.of(
            key="--days", wrong="are not the bill's, which begins with the month", allowed="without --actual"
        )
    admin = opened(aws_clients(settings.region, profile), stack, url).admin
    found = report(admin, since, today, provider_of_fallback(settings))
    bill = asking.bill(stack, profile) if actual else None
    if as_json:
        print_json(_as_json(found, bill))
    else:
        _print(stack, found, bill)
    if isinstance(bill, Problem):
        typer.echo("tandem: the bill could not be read", err=True)
        raise typer.Exit(1)


def provider_of_fallback(settings: Settings) -> str | None:
    fallback = settings.gateway and settings.gateway.fallback
    return fallback.model.partition("/")[0] if fallback else None


def _as_json(found: Report, bill: Spent | Problem | None) -> dict[str, Any]:
    teams = [asdict(team) | {"share": round(found.share(team), 4)} for team in found.teams]
    told: dict[str, Any] = {"since": found.since, "until": found.until, "usd": found.usd, "teams": teams}
    told["fallbackUsd"] = found.fallback_usd
    if isinstance(bill, Problem):
        return told | {"billed": {"problem": bill.wrong, "value": bill.value, "fix": bill.fix}}
    return told | ({"billed": {"since": bill.since, "usd": round(bill.usd, 2)}} if bill else {})


def _print(stack: str, found: Report, bill: Spent | Problem | None) -> None:
    screen = Screen()
    title = f"{stack}, by team, {_day(found.since)} to {_day(found.until)} in UTC"
    table = columns("team", "requests", "tokens in", "tokens out", "$ spent", "share", "budget used", title=title)
    for team in found.teams:
        table.add_row(
            team.name,
            f"{team.requests:,}",
            f"{team.prompt_tokens:,}",
            f"{team.answer_tokens:,}",
            f"{team.usd:,.2f}",
            f"{found.share(team):.1%}",
            _budget(team),
        )
    table.add_section()
    table.add_row("all", "", "", "", f"{found.usd:,.2f}", "", "", style="bold")
    screen.print(table)
    screen.print(f"Of it on the fallback, which its provider bills: ${found.fallback_usd:,.2f}.")
    if bill is None:
        screen.print("--actual holds it against the stack's bill of the month.")
    elif isinstance(bill, Problem):
        screen.print(f"No bill: {bill}")
    else:
        screen.print(held_against(found.usd - found.fallback_usd, bill.usd))


def held_against(charged: float, billed: float) -> str:
    """What teams were charged for own models, of what the stack cost."""
    if not billed:
        return f"Charged for own models: ${charged:,.2f}. Nothing is booked under the stack's tag yet."
    rest = billed - charged
    end = (
        f"the other ${rest:,.2f} are capacity that no team used, and who asks directly"
        if rest >= 0
        else "more than it cost: servers were used more than gateway.expectedUsePercent, or the bill is late"
    )
    return f"Charged for own models: ${charged:,.2f} of ${billed:,.2f} billed ({charged / billed:.0%}); {end}."


def _budget(team: Spending) -> str:
    if team.budget_usd is None or team.period_usd is None:
        return "none" if team.period_usd is not None else "removed"
    per = f" a {team.per}" if team.per else ""
    used = f" ({team.period_usd / team.budget_usd:.0%})" if team.budget_usd else ""
    return f"${team.period_usd:,.2f} of ${team.budget_usd:,.2f}{per}{used}"


def _day(day: date) -> str:
    return day.isoformat()
