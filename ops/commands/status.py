"""`tandem status`: how a stack is, right now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.options import DEFAULT_STACK, AsJson, ProfileName, RegionName, StackName, print_json, stack_settings

if TYPE_CHECKING:
    from ops.status import Cluster, Fleet, Machine, Status


def status(
    stack: StackName = DEFAULT_STACK,
    probe: Annotated[bool, typer.Option(help="Ask the API for one token, with the stack's key.")] = True,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Show replicas, hosts or nodes, versions, last token, load, expiry and cost so far of a stack.

    Read from the account by tags and from the API, not from Pulumi's state, and not from a cluster, whose own API may
    be private. What cannot be known from here is `unknown`, with the reason.

    Exit status: 0 as much serves as should and the API makes tokens, 1 otherwise or when that is unknown.

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
    from ops.status import Fleet, Unknown

    console = Console(highlight=False, soft_wrap=True)
    servers, running, spent = found.servers, found.running, found.cost_so_far
    lines = {
        "stack": f"{found.stack} in {found.region}",
        "url": found.url,
        "serving": servers if isinstance(servers, Unknown) else servers.summary,
        "last token": found.last_token,
        "requests": found.requests,
        "queue": found.queue,
        "expires": found.expires_at,
        "cost so far": spent if isinstance(spent, Unknown) else f"${spent:,.2f} or more, at list prices",
    }
    lines |= {"runs": running} if isinstance(running, Unknown) else dict(running.items())
    for name, value in lines.items():
        _line(console, name, value)
    if isinstance(servers, Fleet):
        _print_fleet(console, servers)
    elif not isinstance(servers, Unknown):
        _print_cluster(console, servers)


def _line(console: Console, name: str, value: object) -> None:
    console.print(f"{name:<22} {escape(str(value))}")


def _print_fleet(console: Console, fleet: Fleet) -> None:
    wanted = f"{fleet.desired} wanted, {fleet.minimum} to {fleet.maximum}"
    _line(console, "hosts", f"{len(fleet.hosts)} of {fleet.name} ({wanted})")
    table = Table("host", "type", "zone", "purchase", "state", "target", "version", "since")
    for host in fleet.hosts:
        version = host.version if host.current else f"{host.version} (old)"
        style = "" if host.serves else "yellow"
        table.add_row(
            host.id, host.type, host.zone, host.purchase, host.state, host.target, version, _since(host), style=style
        )
    if fleet.hosts:
        console.print(table)


def _print_cluster(console: Console, cluster: Cluster) -> None:
    _line(console, "cluster", f"{cluster.name}, Kubernetes {cluster.version}, {cluster.state}")
    _line(console, "kubectl", cluster.kubeconfig_command)
    for group in cluster.node_groups:
        size = f"{group.desired} wanted, {group.minimum} to {group.maximum}"
        _line(console, "node group", f"{group.name} ({size}), {group.state}")
    models = Table("model", "serving", "other pods", "minimum", "maximum")
    for model in cluster.models:
        others = ", ".join(f"{count} {state}" for state, count in model.targets.items() if state != "healthy")
        style = "" if model.serving >= model.minimum else "yellow"
        models.add_row(
            model.name, str(model.serving), others or "none", str(model.minimum), str(model.maximum), style=style
        )
    console.print(models)
    nodes = Table("GPU node", "type", "zone", "purchase", "state", "since")
    for node in cluster.nodes:
        nodes.add_row(node.id, node.type, node.zone, node.purchase, node.state, _since(node))
    if cluster.nodes:
        console.print(nodes)


def _since(machine: Machine) -> str:
    return f"{machine.since:%Y-%m-%d %H:%MZ}" if machine.since else "unknown"
