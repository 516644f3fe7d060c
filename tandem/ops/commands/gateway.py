"""`tandem gateway`: teams, keys, budgets and limits of a stack's gateway as code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from tandem.errors import UserError
from tandem.ops import options
from tandem.ops.aws import aws_clients
from tandem.ops.screen import Screen, continued
from tandem.ops.teams import file
from tandem.ops.teams.opening import opened, refuse_without
from tandem.ops.teams.plan import SHOWN, Change, Plan, shown

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Teams of the gateway, and what they may do.")

NAMED = ("team_id", "team_alias")
"""Of what is made, said already."""
FEW = 20
"""Of what was made elsewhere, named for people."""
SIGNS = {"create": "+", "change": "~", "remove": "-"}


@app.callback()
def _root() -> None:
    """Makes a group of it: Typer sees one command alone."""


@app.command()
def apply(
    stack: options.StackName,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="YAML with teams, as docs/gateway.md has it.")],
    yes: options.Yes = False,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 where LiteLLM differs.")] = False,
    url: options.GatewayUrl = options.GATEWAY_URL,
    region: options.RegionName = None,
    profile: options.ProfileName = None,
    as_json: options.AsJson = False,
) -> None:
    """Set teams, keys, budgets and limits of a stack's LiteLLM to what a file says.

    Shows what differs; with --yes it is done: first what leaves the file ends, keys blocked before they are deleted,
    then teams, then keys. A new key's value is a secret of AWS Secrets Manager, tandem-STACK-team-keys/TEAM/KEY, and is
    printed nowhere. What was made elsewhere is listed and never touched. It reads the master key from the stack's
    secret, and needs the way to the admin interface that the output gatewayAdminCommand opens. Can be run again,
    wherever it was interrupted.

    Exit status: 0 LiteLLM is as the file says, or was only looked at; 1 with --check it differs, or with --yes
    something was left, which is said; 2 a mistake, a step failed, or AWS refused.

    Examples: `tandem gateway apply prod teams.yaml`, `tandem gateway apply prod teams.yaml --yes`,
    `tandem gateway apply prod teams.yaml --check --json`.
    """
    if yes and check:
        raise UserError.of(key="--check", wrong="changes nothing, and --yes does", allowed="one of the two")
    settings = options.stack_settings(stack, region)
    console = Screen(stderr=as_json)
    refuse_without(stack, settings)
    wanted = file.read(path, settings)
    gateway = opened(aws_clients(settings.region, profile), stack, url)
    found = gateway.plan(wanted)
    _print(console, found)
    left = [*found.left]
    if yes:
        with continued(console, f"tandem gateway apply {stack} {path} --yes"):
            left = gateway.apply(found, console.print)
    elif found.changes and not check:
        console.print("Nothing was changed. To do it: the same command with --yes.")
    for one in left:
        console.print(f"left: {one}", style="yellow")
    if as_json:
        options.print_json(_as_json(found, left) | {"applied": yes})
    differs = bool(left) if yes else check and bool(found.changes or left)
    raise typer.Exit(1 if differs else 0)


def _print(console: Screen, found: Plan) -> None:
    if found.others:
        more = f" and {len(found.others) - FEW} more, all with --json" if len(found.others) > FEW else ""
        console.print(f"made elsewhere, left alone: {', '.join(found.others[:FEW])}{more}")
    for note in found.notes:
        console.print(f"note: {note}", style="yellow")
    for change in found.changes:
        console.print("\n".join([f"{SIGNS[change.do]} {_what(change)}", *_lines(change)]))
    if not found.changes:
        console.print("LiteLLM is as the file says." if not found.left else "Nothing more can be done.")


def _what(change: Change) -> str:
    return f"{'key' if change.key else 'team'} {change.name}"


def _lines(change: Change) -> Iterator[str]:
    if change.do == "create":
        told = ", ".join(
            f"{SHOWN[name]} {shown(value)}" for name, value in change.wanted.items() if value and name != "team_id"
        )
        yield f"    {told}" if told else "    no limit"
    for one in change.differences:
        yield f"    {SHOWN[one.field]}: {shown(one.has)} -> {shown(one.wanted)}"


def _as_json(found: Plan, left: list[str]) -> dict[str, Any]:
    return {
        "changes": [
            {
                "do": change.do,
                "team": change.team,
                "key": change.key or None,
                "differences": [
                    {"field": SHOWN[one.field], "has": one.has, "wanted": one.wanted} for one in change.differences
                ],
            }
            for change in found.changes
        ],
        "notes": found.notes,
        "left": left,
        "others": found.others,
    }
