"""`tandem audit`: what a stack left behind in the account, and what that costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from tandem import type_tokens as types
from tandem.errors import Problem, merged
from tandem.ops import options, others_objects
from tandem.ops.audit import Audit, Leftover
from tandem.ops.audit import audit as look
from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.options import AsJson, ProfileName, RegionNames, named, print_json, regions_of
from tandem.ops.pulumi import Stack
from tandem.ops.screen import Screen, columns
from tandem.ops.whose import own


def audit(
    stack: Annotated[
        str | None, typer.Argument(help="Only this stack; all of the project by default.", callback=named)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List what costs nothing, too.")] = False,
    regions: RegionNames = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """List what is left of stacks in the account and what it costs a month. Looks only.

    Found by tags through each service and the tagging API, never by Pulumi's state: what carries our tags, what hangs
    on that without them (volumes, addresses, interfaces, snapshots, whatever stands in our networks), and log groups
    that only bear our name. What belongs to another life of the name, which holds it for another state, is named as
    such and does not count as left. Prices are list prices of us-east-1, at rest.

    Exit status: 0 nothing is left that costs, 1 something is or could not be looked at.

    Examples: `tandem audit dev`, `tandem audit`, `tandem audit eph-3f9a --region us-east-1 --region eu-west-1 --json`.
    """
    found: dict[str, Audit] = {}
    own = _own(stack)
    for region in regions_of(stack, regions):
        with Screen(stderr=True).status(f"looking at {region}"):
            found[region] = _without(look(aws_clients(region, profile), stack, datetime.now(UTC), own), found)
    in_cluster = {region: _in_cluster(region, profile, one, own) for region, one in found.items()}
    if as_json:
        told = {region: _as_json(one, in_cluster[region]) for region, one in found.items()}
        print_json({"stack": stack, "regions": told})
    else:
        for region, one in found.items():
            _print(region, one, everything)
            for problem in in_cluster[region]:
                Screen().print(f"{region}: in the cluster: {problem}")
    left = any(one.unreadable or any(item.costs for item in one.leftovers) for one in found.values())
    raise typer.Exit(1 if left else 0)


def _own(stack: str | None) -> dict[str, str]:
    """The ids that states here tell, by stack; without a stack whose state cannot be asked, or is from before ids."""
    names = [stack] if stack else options.stack_names()
    with ThreadPoolExecutor(4) as pool:
        told = zip(names, pool.map(lambda name: own(Stack(name, options.PROJECT)), names), strict=True)
    return {name: one.id for name, one in told if one is not None and not one.from_before}


def _without(audit: Audit, seen: dict[str, Audit]) -> Audit:
    """Roles and buckets are the account's: they are told once, not in every region."""
    known = {item.resource.key for one in seen.values() for item in (*one.leftovers, *one.others)}
    return replace(
        audit,
        leftovers=[item for item in audit.leftovers if item.resource.key not in known],
        others=[item for item in audit.others if item.resource.key not in known],
    )


def _in_cluster(region: str, profile: str | None, audit: Audit, own: Mapping[str, str]) -> list[Problem]:
    """What others have put into clusters of stacks that states here tell of."""
    mine = [item.resource for item in audit.leftovers if item.resource.type == types.CLUSTER]
    found: list[Problem] = []
    for cluster in mine:
        if cluster.stack_id and own.get(cluster.stack) == cluster.stack_id:
            with user_errors(cluster.stack):
                holds, rest = others_objects.look(aws_clients(region, profile), cluster.stack, cluster.stack_id)
            found += [*holds, *rest]
    return found


def _as_json(audit: Audit, in_cluster: Sequence[Problem]) -> dict[str, Any]:
    return {
        "usdPerMonth": round(audit.usd_per_month, 2),
        "stillRuns": audit.still_runs,
        "leftovers": [_item(item) for item in audit.leftovers],
        "ofOtherLives": [_item(item) for item in audit.others],
        "othersInTheCluster": [str(problem) for problem in in_cluster],
        "notLookedAt": [str(problem) for problem in merged(audit.unreadable)],
    }


def _item(item: Leftover) -> dict[str, Any]:
    return {
        "type": item.resource.type,
        "id": item.resource.id,
        "name": item.resource.name,
        "stack": item.resource.stack,
        "stackId": item.resource.stack_id,
        "why": item.why,
        "ours": item.ours,
        "costs": item.costs,
        "usdPerMonth": None if item.usd_per_month is None else round(item.usd_per_month, 2),
        "note": item.note,
    }


def _print(region: str, audit: Audit, everything: bool) -> None:
    console = Screen()
    shown = [item for item in audit.leftovers if everything or item.costs]
    if audit.still_runs:
        console.print(f"{region}: there is a fleet, so this is (also) a stack that was not destroyed.")
    if shown:
        console.print(_table(region, shown))
    free = Counter(item.resource.type.rpartition(":")[2] for item in audit.leftovers if item not in shown)
    if free:
        console.print(f"{region}: costs nothing: " + ", ".join(f"{count} {name}" for name, count in free.items()))
    unknown = sum(item.usd_per_month is None for item in shown)
    kept = "in use or left" if audit.still_runs else "left"
    also = f", and {unknown} whose price nobody can say" if unknown else ""
    console.print(f"{region}: {len(shown)} {kept} that cost ${audit.usd_per_month:,.2f} a month{also}.")
    for why, count in Counter(item.why for item in audit.others).items():
        console.print(f"{region}: {count} more: {why}, which holds it for another state; nothing of it is left over")
    for problem in merged(audit.unreadable):
        console.print(f"not looked at: {problem}")


def _table(region: str, shown: list[Leftover]) -> Table:
    table = columns("type", "id", "why", "note", "$/month", title=region)
    for item in shown:
        usd = "unknown" if item.usd_per_month is None else f"{item.usd_per_month:,.2f}"
        table.add_row(item.resource.type, item.resource.id, item.why, item.note, usd, style="" if item.ours else "cyan")
    return table
