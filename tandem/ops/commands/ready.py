"""`tandem ready`: whether a stack that is up may be called production."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from tandem import pins
from tandem.errors import UserError
from tandem.ops import options
from tandem.ops.aws import aws_clients
from tandem.ops.options import DEFAULT_STACK, AsJson, ProfileName, RegionName, StackName, print_json, stack_settings
from tandem.ops.pulumi import Stack
from tandem.ops.ready import LINES, Found, Visit, examine
from tandem.ops.screen import Screen
from tandem.ops.status import Absent, look
from tandem.ops.whose import own

_COLOURS = {"met": "green", "accepted": "yellow", "not known": "cyan", "not met": "red"}


def _lines(names: list[str] | None) -> list[str]:
    """Raises UserError for what is no line."""
    if wrong := [name for name in names or () if name not in LINES]:
        raise UserError.of(key="--accept", wrong="is no line", value=wrong[0], allowed=", ".join(LINES))
    return names or []


def ready(
    stack: StackName = DEFAULT_STACK,
    accept: Annotated[
        list[str] | None,
        typer.Option(metavar="LINE", help="A line for which you answer yourself; repeatable.", callback=_lines),
    ] = None,
    prometheus: Annotated[
        str, typer.Option(metavar="URL", help="A Prometheus that scrapes the servers, http://HOST:PORT.")
    ] = "",
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Hold a stack that is up against the checklist for production, and say how to meet each line.

    Measured in the account, not read from the settings, wherever it can be. What could not be measured is not known,
    which is not met. Looks only; figures of a week cost $0.0001 a model at CloudWatch.

    Exit status: 0 each line is met or accepted, 1 one is not met or not known, 2 a mistake, or the stack is not up.

    Examples: `tandem ready prod`, `tandem ready prod --accept "load test" --accept canary`, `tandem ready prod --json`.
    """
    with Screen(stderr=True).status(f"visiting {stack}"):
        found = examine(_visit(stack, region, profile, prometheus), accept or ())
    holds = all(one.holds for one in found)
    if as_json:
        print_json({"stack": stack, "ready": holds, "lines": [one.as_json() for one in found]})
    else:
        _print(found)
    raise typer.Exit(0 if holds else 1)


def _visit(stack: str, region: str | None, profile: str | None, prometheus: str) -> Visit:
    settings, now = stack_settings(stack, region), datetime.now(UTC)
    clients, mine = aws_clients(settings.region, profile), own(Stack(stack, options.PROJECT))
    status = look(clients, stack, settings, now, probe=False, own=mine)
    if isinstance(status.servers, Absent):
        wrong, allowed = f"there is nothing to measure: {status.servers.why}", "a stack that is up"
        raise UserError.of(key=stack, wrong=wrong, allowed=allowed, fix="`tandem doctor` looks before `pulumi up`")
    return Visit(
        stack=stack,
        settings=settings,
        pins=pins.load(),
        clients=clients,
        home=aws_clients("us-east-1", profile, ask=False),
        now=now,
        own=mine,
        status=status,
        project=options.PROJECT,
        prometheus=prometheus.rstrip("/"),
    )


def _print(found: Sequence[Found]) -> None:
    screen = Screen()
    for one in found:
        screen.marked(f"{one.state:<11}", _COLOURS[one.state], f"{one.line}: {one.value}")
        if not one.holds:
            screen.print(f"           needed: {one.wants}\n           fix:    {one.mends}")
    counts = Counter(one.state for one in found)
    screen.print("\n" + ", ".join(f"{counts[state]} {state}" for state in _COLOURS if counts[state]))
