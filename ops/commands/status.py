"""`tandem status`: how a stack is, right now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.options import DEFAULT_STACK, AsJson, ProfileName, RegionName, StackName, print_json, stack_settings

if TYPE_CHECKING:
    from ops.status import Fleet, Status


def status(
    stack: StackName = DEFAULT_STACK,
    probe: Annotated[bool, typer.Option(help="Ask the API for one token, with the stack's key.")] = True,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Show replicas, hosts, versions, last token, load, expiry and cost so far of a stack.

    Read from the account by tags and from the API, not from Pulumi's state. What cannot be known from here is
    `unknown`, with the reason.

    Exit status: 0 as many hosts serve as should and the API makes tokens, 1 otherwise or when that is unknown.

    Examples: `tandem status`, `tandem status prod --region eu-west-1`, `tandem status prod --no-probe --json`.
    """
    from datetime import UTC, datetime

    from ops.aws import aws_clients
    from ops.status import look

    settings = stack_settings(stack, region)
    with Console(stderr=True).status(f"looking at {stack}"):
        found = look(aws_clients(settings.region, profile), stack, settings, datetime.now(UTC), probe=probe)
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)
    raise typer.Exit(0 if found.well else 1)


def _print(found: Status) -> None:
    from ops.status import Unknown

    console = Console(highlight=False, soft_wrap=True)
    fleet, running = found.fleet, found.running
    replicas = "unknown" if isinstance(fleet, Unknown) else f"{fleet.replicas_serving} serving"
    spent = found.cost_so_far
    lines = {
        "stack": f"{found.stack} in {found.region}",
        "url": found.url,
        "replicas": replicas,
        "last token": found.last_token,
        "requests": found.requests,
        "queue": found.queue,
        "expires": found.expires_at,
        "cost so far": spent if isinstance(spent, Unknown) else f"${spent:,.2f} or more, at list prices",
    }
    if isinstance(running, Unknown):
        lines["runs"] = running
    else:
        lines |= dict(running.items())
    for name, value in lines.items():
        console.print(f"{name:<22} {escape(str(value))}")
    if isinstance(fleet, Unknown):
        console.print(f"{'hosts':<22} {escape(str(fleet))}")
    else:
        _print_hosts(console, fleet)


def _print_hosts(console: Console, fleet: Fleet) -> None:
    wanted = f"{fleet.desired} wanted, {fleet.minimum} to {fleet.maximum}"
    console.print(f"{'hosts':<22} {len(fleet.hosts)} of {fleet.name} ({wanted})")
    if not fleet.hosts:
        return
    table = Table()
    for column in ("host", "type", "zone", "purchase", "state", "target", "version", "since"):
        table.add_column(column)
    for host in fleet.hosts:
        version = host.version if host.current else f"{host.version} (old)"
        since = f"{host.since:%Y-%m-%d %H:%MZ}" if host.since else "unknown"
        table.add_row(
            host.id,
            host.type,
            host.zone,
            host.purchase,
            host.state,
            host.target,
            version,
            since,
            style="" if host.serves else "yellow",
        )
    console.print(table)
