"""`tandem cost`: what a stack costs, what would save most, and what it has cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from tandem.errors import Problem, UserError
from tandem.ops import options
from tandem.ops.cost.bill import Spent
from tandem.ops.cost.comparison import compare as changes_of
from tandem.ops.cost.comparison import comparison, too_much
from tandem.ops.cost.parts import Prices, Use, catalog
from tandem.ops.cost.plan import Plan
from tandem.ops.cost.plan import plan as plan_of
from tandem.ops.cost.purchases import Way, ways
from tandem.ops.plot import bars
from tandem.ops.screen import Screen, columns
from tandem.settings import Settings
from tandem.tags import ACTIVATE_TAG

if TYPE_CHECKING:
    from tandem.ops.doctor.examination import Examination


class By(StrEnum):
    """Whom a report is by."""

    TEAM = "team"


def _amount(help: str, **more: str) -> Any:
    """An option that takes a number from 0: one so large is a slip, and infinity no limit."""
    return typer.Option(min=0, max=1e9, help=help, **more)  # pyright: ignore[reportArgumentType]


def cost(
    stack: options.StackName = options.DEFAULT_STACK,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Print the difference to this stack file's settings, as Markdown."),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask AWS for the region's on-demand and spot prices.")] = False,
    actual: Annotated[
        bool, typer.Option("--actual", help="Add this month's bill from Cost Explorer (each call costs $0.01).")
    ] = False,
    by: Annotated[
        By | None,
        typer.Option("--by", help="Say what teams of the gateway have spent instead, of this month or --days."),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=400, help="With --by: the last N days, in UTC.")] = None,
    url: options.GatewayUrl = options.GATEWAY_URL,
    purchases: Annotated[
        bool, typer.Option("--purchases", help="Compare ways to pay for the hosts: spot, reserved, Savings Plans.")
    ] = False,
    fail_above: Annotated[
        float | None, _amount("Exit 1 when a month costs more; of FILE with --compare.", metavar="USD")
    ] = None,
    fail_above_change: Annotated[
        float | None, _amount("With --compare: exit 1 when a month costs more by this.", metavar="PERCENT")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw the parts of a month as SVG.")] = None,
    stored_gb: Annotated[float, _amount("Assumed: weights and caches in the model cache.")] = 100,
    starts: Annotated[float, _amount("Assumed: cold starts of hosts a month.")] = 30,
    internet_gb: Annotated[float, _amount("Assumed: traffic through NAT gateways a month.")] = 100,
    logs_gb: Annotated[float, _amount("Assumed: logs a month.")] = 20,
    region: options.RegionName = None,
    profile: options.ProfileName = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what a stack costs by hour and month, part by part, and which change would save most.

    From the settings and list prices alone, without AWS; `--live` and `--actual` ask AWS. With `--compare`, STACK is
    the side before and FILE the side after, ready to be posted to a pull request. What depends on use is assumed, and
    the assumptions are printed. A month as the stack comes up is what limits count; the most that it can cost, and a
    budget that lies below it, are said.

    `--by team` asks the stack's LiteLLM for spend, tokens, share and budget by team, and with --actual says how much of
    the bill they were charged; it needs the way that the output gatewayAdminCommand opens.

    Exit status: 0; 1 a limit is passed, or the bill that was asked for cannot be told; 2 a mistake, or AWS is silent.

    Examples: `tandem cost prod`, `tandem cost prod --live --actual --purchases`, `tandem cost prod --plot cost.svg`,
    `tandem cost prod --by team --actual`, `git show main:Pulumi.prod.yaml > before.yaml; tandem cost before.yaml
    --compare Pulumi.prod.yaml --fail-above 30000 --fail-above-change 10`.
    """
    _refuse(compare, fail_above_change, purchases=purchases, actual=actual)
    _refuse_beside(by, days, {"--compare": compare, "--live": live, "--purchases": purchases, "--plot": plot})
    if by:
        _by_team()(stack, region, profile, url, days, actual=actual, as_json=as_json)
        return
    use = Use(stored_gb=stored_gb, starts=starts, internet_gb=internet_gb, logs_gb=logs_gb)
    settings = options.stack_settings(stack, region)
    known, asked = _prices(settings, stack, profile, live=live)
    plan = plan_of(settings, known, use)
    passed: list[str]
    if compare:
        after = options.stack_settings(str(compare), region)
        other = plan_of(after, _prices(after, stack, profile, live=live)[0], use)
        _compare((stack, compare.name), plan, other, as_json)
        passed = too_much(plan, other, fail_above, fail_above_change)
    else:
        bill = _asking().bill(stack, profile) if actual else None
        found = _ways(settings, known, asked) if purchases else []
        _one(stack, settings, plan, bill, found, plot, as_json)
        passed = too_much(None, plan, fail_above, None)
        if isinstance(bill, Problem):
            passed.append("the bill could not be read")
    for line in passed:
        typer.echo(f"tandem: {line}", err=True)
    raise typer.Exit(1 if passed else 0)


def _refuse(compare: Path | None, fail_above_change: float | None, *, purchases: bool, actual: bool) -> None:
    if compare is None and fail_above_change is not None:
        raise UserError.of(
            key="--fail-above-change",
            wrong="there is nothing to compare with",
            value=fail_above_change,
            allowed="together with --compare FILE",
            fix="`git show main:Pulumi.prod.yaml > before.yaml`, then `tandem cost before.yaml --compare FILE`",
        )
    if compare is not None and (purchases or actual):
        raise UserError.of(
            key="--compare",
            wrong="says the difference of two stack files, and nothing of bills and purchases",
            allowed="without --actual and --purchases",
        )


def _refuse_beside(by: By | None, days: int | None, others: dict[str, object]) -> None:
    """What says nothing together."""
    if by is None and days is not None:
        raise UserError.of(key="--days", wrong="are those of --by team", allowed="together with --by team")
    for name, given in others.items():
        if by and given:
            raise UserError.of(key=name, wrong="says nothing of teams", allowed="without --by")


def _one(
    stack: str,
    settings: Settings,
    plan: Plan,
    bill: Spent | Problem | None,
    ways: list[Way],
    plot: Path | None,
    as_json: bool,
) -> None:
    if plot:
        title = f"{stack}: ${plan.usd_per_month:,.2f} a month"
        options.write_file(plot, bars(title, [(part.name, part.usd_per_month) for part in plan.parts]), "--plot")
    if as_json:
        report = _as_json(plan) | ({"actual": _bill_json(bill)} if bill else {})
        report |= {"mostPerBatch": settings.batch.max_usd} if settings.batch else {}
        options.print_json(report | ({"purchases": [asdict(way) for way in ways]} if ways else {}))
        return
    _print(stack, settings, plan, bill)
    if ways:
        for model, own in settings.groups.items():
            Screen().print(_ways_table(own, [way for way in ways if way.model == model]))


def _compare(names: tuple[str, str], before: Plan, after: Plan, as_json: bool) -> None:
    if as_json:
        changes = [{**asdict(change), "difference": change.difference} for change in changes_of(before, after)]
        options.print_json({"before": _as_json(before), "after": _as_json(after), "changes": changes})
    else:
        typer.echo(comparison(names, before, after), nl=False)


def _by_team() -> Callable[..., None]:
    """Likewise."""
    from tandem.ops.cost.by_team import by_team

    return by_team


def _asking() -> ModuleType:
    """What asks AWS. boto3's part of it takes longer to load than a plan from list prices takes in all."""
    from tandem.ops.cost import asking

    return asking


def _prices(settings: Settings, stack: str, profile: str | None, *, live: bool) -> tuple[Prices, Examination | None]:
    """The catalog's prices, or those of the moment and the account that was asked for them."""
    if not live:
        return catalog(settings), None
    from tandem.ops.doctor.examination import examination

    asked = examination(stack, settings, profile)
    return _asking().prices(asked), asked


def _ways(settings: Settings, known: Prices, asked: Examination | None) -> list[Way]:
    of = partial(_asking().purchases, asked=asked) if asked else ways
    return [replace(way, model=model) for model, own in settings.groups.items() for way in of(own, known)]


def _as_json(plan: Plan) -> dict[str, Any]:
    return {
        "usdPerHour": round(plan.usd_per_hour, 4),
        "usdPerMonth": round(plan.usd_per_month, 2),
        "mostPerMonth": round(plan.most_per_month, 2),
        "budget": None if plan.budget is None else {"usdPerMonth": plan.budget, "warning": plan.budget_warning},
        "mostUntilExpiry": None if plan.ends is None else round(plan.ends, 2),
        "parts": [{**asdict(part), "share": round(plan.share(part), 4)} for part in plan.parts],
        "savings": [asdict(saving) for saving in plan.savings],
        "prices": plan.source,
        "assumed": asdict(plan.use),
    }


def _bill_json(bill: Spent | Problem) -> dict[str, Any]:
    if isinstance(bill, Problem):
        return {"problem": bill.wrong, "value": bill.value, "fix": bill.fix}
    return {"since": bill.since, "usd": round(bill.usd, 2), "byService": dict(bill.by_service)}


def _print(stack: str, settings: Settings, plan: Plan, bill: Spent | Problem | None) -> None:
    console = Screen()
    title = f"{stack} in {settings.region}, as it comes up"
    table = columns("part", "count", "$/hour", "$/month", "share", title=title)
    for part in plan.parts:
        table.add_row(
            part.name,
            f"{part.count:g}",
            f"{part.usd_per_hour:,.3f}",
            f"{part.usd_per_month:,.2f}",
            f"{plan.share(part):.1%}",
        )
    table.add_section()
    table.add_row("all", "", f"{plan.usd_per_hour:,.3f}", f"{plan.usd_per_month:,.2f}", "100.0%", style="bold")
    console.print(table)
    console.print(f"Prices: {plan.source}. Assumed: {plan.use}.")
    console.print(f"At most: {_most(settings, plan)}")
    if reserved := [id for own in settings.groups.values() for id in own.fleet.reservation_ids]:
        console.print(
            f"Reserved ({', '.join(reserved)}): paid for whether hosts run in it or not; business hours, expiry and "
            "destroy save nothing of it. `tandem doctor` counts what nobody uses."
        )
    if settings.batch:
        console.print(f"Batches come on top, each up to ${settings.batch.max_usd:,.2f} (batch.maxUsd).")
    if plan.budget_warning:
        console.print(f"costGuard.monthlyBudgetUsd: the budget of ${plan.budget:,.2f} {plan.budget_warning}.")
    for number, saving in enumerate(plan.savings[:5]):
        head = "Would save most:" if number == 0 else "               "
        console.print(f"{head} ${saving.usd_per_month:,.2f} a month, {saving.change} ({saving.gives_up})")
    _print_bill(console, stack, bill)


def _most(settings: Settings, plan: Plan) -> str:
    most = " + ".join(str(own.max_group_size) for own in settings.groups.values())
    month = (
        f"${plan.most_per_month:,.2f} a month, at fleet.maxHosts ({most}) of the dearest type on "
        "demand, with the same use"
    )
    if plan.ends is None:
        return f"{month}."
    return f"${plan.ends:,.2f} by the hour until it ends by itself (it would be {month})."


def _ways_table(settings: Settings, ways: list[Way]) -> Table:
    title = f"The hosts ({settings.fleet.instance_types[0]}), bought otherwise"
    table = columns("way", "$/hour a host", "$/month", "commits for", "price", title=title)
    for way in ways:
        hour, month = (
            "unknown" if usd is None else f"{usd:,.{digits}f}"
            for usd, digits in ((way.usd_per_hour, 3), (way.usd_per_month, 2))
        )
        table.add_row(way.name, hour, month, way.commits or "nothing", way.source)
    return table


def _print_bill(console: Screen, stack: str, bill: Spent | Problem | None) -> None:
    if isinstance(bill, Problem):
        console.print(f"No bill: {bill}")
    elif bill is not None:
        console.print(f"Billed under the stack's tag since {bill.since}, about a day late: ${bill.usd:,.2f}")
        for name, usd in bill.by_service.items():
            console.print(f"  {name}: ${usd:,.2f}")
        if not bill.by_service:
            console.print(f"  Nothing is booked under {stack}. If it runs, activate the tag: {ACTIVATE_TAG}")
