"""`tandem cost`: what a stack costs, what would save most, and what it has cost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from infra.errors import Problem, UserError
from ops.options import DEFAULT_STACK, AsJson, ProfileName, RegionName, StackName, print_json, stack_settings

if TYPE_CHECKING:
    from infra.settings import Settings
    from ops.cost import Plan, Prices, Spent


def cost(
    stack: StackName = DEFAULT_STACK,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Print the difference to this stack file's settings, as Markdown."),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask AWS for the region's on-demand and spot prices.")] = False,
    actual: Annotated[
        bool, typer.Option("--actual", help="Add this month's bill from Cost Explorer (each call costs $0.01).")
    ] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw the parts of a month as SVG.")] = None,
    stored_gb: Annotated[float, typer.Option(min=0, help="Assumed: weights and caches in the model cache.")] = 100,
    starts: Annotated[float, typer.Option(min=0, help="Assumed: cold starts of hosts a month.")] = 30,
    internet_gb: Annotated[float, typer.Option(min=0, help="Assumed: traffic through NAT gateways a month.")] = 100,
    logs_gb: Annotated[float, typer.Option(min=0, help="Assumed: logs a month.")] = 20,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Say what a stack costs by hour and month, part by part, and which change would save most.

    From the settings and list prices alone, without AWS; `--live` and `--actual` ask AWS. With `--compare`, STACK is
    the side before and FILE the side after, ready to be posted to a pull request. What depends on use is assumed, and
    the assumptions are printed.

    Examples: `tandem cost prod`, `tandem cost prod --live --actual`, `tandem cost prod --plot cost.svg`,
    `git show main:Pulumi.prod.yaml > before.yaml; tandem cost before.yaml --compare Pulumi.prod.yaml`.
    """
    from ops import cost as costing
    from ops.plot import bars

    use = costing.Use(stored_gb=stored_gb, starts=starts, internet_gb=internet_gb, logs_gb=logs_gb)
    settings = stack_settings(stack, region)
    plan = costing.plan(settings, _prices(settings, stack, live, profile), use)
    if compare:
        after = stack_settings(str(compare), region)
        other = costing.plan(after, _prices(after, stack, live, profile), use)
        if as_json:
            changes = [{**asdict(change), "difference": change.difference} for change in costing.compare(plan, other)]
            print_json({"before": _as_json(plan), "after": _as_json(other), "changes": changes})
        else:
            typer.echo(costing.comparison((stack, compare.name), plan, other), nl=False)
        return
    if plot:
        title = f"{stack}: ${plan.usd_per_month:,.2f} a month"
        _write(plot, bars(title, [(part.name, part.usd_per_month) for part in plan.parts]))
    bill = _bill(stack, profile) if actual else None
    if as_json:
        print_json(_as_json(plan) | ({"actual": _bill_json(bill)} if bill else {}))
    else:
        _print(stack, settings, plan, bill)


def _prices(settings: Settings, stack: str, live: bool, profile: str | None) -> Prices:
    from datetime import UTC, datetime

    from infra import pins
    from ops.aws import aws_clients, user_errors
    from ops.cost import catalog, live_prices
    from ops.doctor.examination import Examination

    if not live:
        return catalog(settings)
    with user_errors("prices"):
        return live_prices(
            Examination(
                stack=stack,
                settings=settings,
                pins=pins.load(),
                clients=aws_clients(settings.region, profile),
                home=aws_clients("us-east-1", profile),
                now=datetime.now(UTC),
            )
        )


def _bill(stack: str, profile: str | None) -> Spent | Problem:
    """The bill, or why there is none: the plan is worth printing either way."""
    from datetime import UTC, datetime

    from ops.aws import AwsError, aws_clients, problem_of
    from ops.cost import spent

    try:
        return spent(aws_clients("us-east-1", profile), stack, datetime.now(UTC).date())
    except AwsError as error:
        return problem_of(error, "Cost Explorer")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            Problem(key="--plot", wrong=f"cannot be written ({error.strerror})", value=str(path), fix="another path")
        ) from None


def _as_json(plan: Plan) -> dict[str, Any]:
    return {
        "usdPerHour": round(plan.usd_per_hour, 4),
        "usdPerMonth": round(plan.usd_per_month, 2),
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
    console = Console(highlight=False)
    table = Table(title=f"{stack} in {settings.region}, as it comes up")
    table.add_column("part")
    for column in ("count", "$/hour", "$/month", "share"):
        table.add_column(column, justify="right")
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
    if plan.ends is not None:
        console.print(f"This stack ends by itself: it can spend ${plan.ends:,.2f} at most.")
    for number, saving in enumerate(plan.savings[:5]):
        head = "Would save most:" if number == 0 else "               "
        console.print(f"{head} ${saving.usd_per_month:,.2f} a month, {saving.change} ({saving.gives_up})")
    _print_bill(console, stack, bill)


def _print_bill(console: Console, stack: str, bill: Spent | Problem | None) -> None:
    from ops.cost import ACTIVATE_TAG

    if isinstance(bill, Problem):
        console.print(f"No bill: {bill}")
    elif bill is not None:
        console.print(f"Billed under the stack's tag since {bill.since}, about a day late: ${bill.usd:,.2f}")
        for name, usd in bill.by_service.items():
            console.print(f"  {name}: ${usd:,.2f}")
        if not bill.by_service:
            console.print(f"  Nothing is booked under {stack}. If it runs, activate the tag: {ACTIVATE_TAG}")
