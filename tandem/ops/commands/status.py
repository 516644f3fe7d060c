"""`tandem status`: how a stack is, right now."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated

import typer

from tandem.ops import options
from tandem.ops.aws import aws_clients
from tandem.ops.endpoint import KEY_VARIABLE
from tandem.ops.options import DEFAULT_STACK, AsJson, ProfileName, RegionName, StackName, print_json, stack_settings
from tandem.ops.pulumi import Stack
from tandem.ops.screen import Screen, columns
from tandem.ops.status import Absent, Cluster, Fleet, Machine, Status, Unknown, look
from tandem.ops.whose import own


def status(
    stack: StackName = DEFAULT_STACK,
    probe: Annotated[bool, typer.Option(help="Ask the API for one token, or without a key for a refusal.")] = True,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Show replicas, hosts or nodes, gateway, versions, last token, load, expiry and cost so far of a stack.

    Read from the account by tags and from the API, and not from a cluster, whose own API may be private. Pulumi's state
    tells the id only; what has the stack's name and another id is named as another life's. What cannot be known from
    here is `unknown`, with the reason. With a key in TANDEM_API_KEY a token is asked for; without one, servers count as
    their own probes see them, which ask for tokens, and the edge must refuse a request without a key.
    Keys are shown by name.

    Exit status: 0 as much serves as should, a gateway too, and the API makes tokens, 1 otherwise or when that is
    unknown.

    Examples: `tandem status`, `tandem status prod --region eu-west-1`, `tandem status prod --no-probe --json`.
    """
    settings = stack_settings(stack, region)
    with Screen(stderr=True).status(f"looking at {stack}"):
        clients, mine = aws_clients(settings.region, profile), own(Stack(stack, options.PROJECT))
        found = look(
            clients, stack, settings, datetime.now(UTC), probe=probe, key=os.environ.get(KEY_VARIABLE, ""), own=mine
        )
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)
    raise typer.Exit(0 if found.well else 1)


def _print(found: Status) -> None:
    console = Screen()
    servers, running, now, spent = found.servers, found.running, found.usd_per_hour, found.cost_so_far
    teams = found.gateway
    lines = {
        "stack": f"{found.stack} in {found.region}",
        "url": found.url,
        "serving": servers if isinstance(servers, Unknown) else servers.summary,
        **({"stopped": found.stopped} if found.stopped else {}),
        "last token": found.last_token,
        **({"gateway": teams if isinstance(teams, Unknown) else teams.summary} if teams else {}),
        "clients": found.clients if isinstance(found.clients, Unknown) else ", ".join(found.clients) or "none yet",
        "requests": found.requests,
        "queue": found.queue,
        "cold start": found.start,
        "expires": found.expires_at,
        "cost now": now if isinstance(now, Unknown) else f"${now:,.2f} an hour, at list prices on demand",
        "cost so far": spent if isinstance(spent, Unknown) else f"${spent:,.2f} or more, at list prices",
    }
    lines |= {"runs": running} if isinstance(running, Unknown) else dict(running.items())
    told: set[str] = set()
    for name, value in lines.items():
        again = isinstance(value, Unknown) and value.why in told
        known = "none" if isinstance(value, Absent) else "unknown"
        _line(console, name, f"{known}: as above" if again else value)
        if isinstance(value, Unknown):
            told.add(value.why)
    for other in found.other_lives:
        _line(console, "another life", f"{other} has this name in the account, too, and is not this state's")
    if isinstance(servers, Fleet):
        for model, fleet in servers.each.items():
            _print_fleet(console, fleet, f"hosts of {model}" if servers.further else "hosts")
    elif not isinstance(servers, Unknown):
        _print_cluster(console, servers)


def _line(console: Screen, name: str, value: object) -> None:
    console.print(f"{name:<22} {value}")


def _print_fleet(console: Screen, fleet: Fleet, what: str) -> None:
    wanted = f"{fleet.desired} wanted, {fleet.minimum} to {fleet.maximum}"
    _line(console, what, f"{len(fleet.hosts)} of {fleet.name} ({wanted})")
    if fleet.scaled:
        _line(console, "last scaled", fleet.scaled)
    table = columns("host", "type", "zone", "purchase", "state", "target", "version", "since")
    for host in fleet.hosts:
        version = host.version if host.current else f"{host.version} (old)"
        style = "" if host.serves else "yellow"
        table.add_row(
            host.id, host.type, host.zone, host.purchase, host.state, host.target, version, _since(host), style=style
        )
    if fleet.hosts:
        console.print(table)


def _print_cluster(console: Screen, cluster: Cluster) -> None:
    _line(console, "cluster", f"{cluster.name}, Kubernetes {cluster.version}, {cluster.state}")
    _line(console, "kubectl", cluster.kubeconfig_command)
    for group in cluster.node_groups:
        size = f"{group.desired} wanted, {group.minimum} to {group.maximum}"
        _line(console, "node group", f"{group.name} ({size}), {group.state}")
    models = columns("model", "serving", "other pods", "minimum", "maximum")
    for model in cluster.models:
        others = ", ".join(f"{count} {state}" for state, count in model.targets.items() if state != "healthy")
        style = "" if model.serving >= model.minimum else "yellow"
        models.add_row(
            model.name, str(model.serving), others or "none", str(model.minimum), str(model.maximum), style=style
        )
    console.print(models)
    nodes = columns("GPU node", "type", "zone", "purchase", "state", "since")
    for node in cluster.nodes:
        nodes.add_row(node.id, node.type, node.zone, node.purchase, node.state, _since(node))
    if cluster.nodes:
        console.print(nodes)


def _since(machine: Machine) -> str:
    return f"{machine.since:%Y-%m-%d %H:%MZ}" if machine.since else "unknown"
