"""`tandem reap`: removes the stacks that have expired, whoever made them and wherever their state is."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import typer

from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.kinds.kind import Clients
from tandem.ops.options import AsJson, ProfileName, RegionNames, Yes, print_json, regions_of
from tandem.ops.reap import Plan, plan
from tandem.ops.reap import reap as reap_one
from tandem.ops.removal import Left, reporting
from tandem.ops.screen import Screen


def reap(
    yes: Yes = False,
    regions: RegionNames = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Remove every ephemeral stack that has expired, with all it has, found by tags alone.

    Without --yes the plan is shown: what would be removed, and what stays and why. What carries no tags of ours is
    never touched. Safe to interrupt, to run again and to run twice at once; made for cron and scheduled workflows
    (examples/reap.yml).

    Exit status: 0 nothing expired is left, 1 something is: it would be removed with --yes, or it could not be.

    Examples: `tandem reap`, `tandem reap --yes --region us-east-1 --region eu-west-1`.
    """
    console, left, report = Screen(), 0, {}
    for region in regions_of(None, regions):
        clients = aws_clients(region, profile)
        with user_errors(region), Screen(stderr=True).status(f"looking at {region}"):
            found = plan(clients, datetime.now(UTC))
        report[region] = _as_json(found)
        if not as_json:
            _print(console, region, found)
        if yes:
            with user_errors(region):
                remaining = _remove(Screen(stderr=True) if as_json else console, clients, found)
            report[region]["left"] = [{"what": item.resource.id, "why": item.reason} for item in remaining]
            left += len(remaining)
        else:
            left += len(found.expired)
    if as_json:
        print_json({"regions": report})
    elif left and not yes:
        console.print("Nothing was changed. To remove them: the same command with --yes.")
    raise typer.Exit(1 if left else 0)


def _remove(console: Screen, clients: Clients, found: Plan) -> list[Left]:
    left = []
    for expired in found.expired:
        left += reap_one(clients, expired, datetime.now(UTC), report=reporting(console.print))
    return left


def _print(console: Screen, region: str, found: Plan) -> None:
    if not found.expired:
        console.print(f"{region}: nothing has expired.")
    for expired in found.expired:
        kinds = Counter(resource.type.rpartition(":")[2] for resource in expired.resources)
        life = expired.life
        console.print(f"{region}: stack {life.stack} ({life.id}) expired at {life.expires_at:%Y-%m-%d %H:%MZ}:")
        console.print("  remove " + ", ".join(f"{count} {name}" for name, count in sorted(kinds.items())))
        for item in expired.untouched:
            console.print(f"  leave {item.what}: {item.why}")
    for item in found.untouched:
        console.print(f"{region}: leave {item.what}: {item.why}")


def _as_json(found: Plan) -> dict[str, Any]:
    return {
        "expired": [
            {
                "stack": expired.life.stack,
                "stackId": expired.life.id,
                "expiresAt": expired.life.expires_at,
                "resources": [{"type": item.type, "id": item.id} for item in expired.resources],
                "untouched": [{"what": item.what, "why": item.why} for item in expired.untouched],
            }
            for expired in found.expired
        ],
        "untouched": [{"what": item.what, "why": item.why} for item in found.untouched],
    }
