"""`tandem logs`: what became of a request, and six more questions to the logs."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import Annotated

import typer

from tandem.errors import UserError
from tandem.ops import logs as questions
from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.logs import Question, Row, answer, groups, of_client, of_request
from tandem.ops.options import AsJson, ProfileName, RegionName, StackName, print_json, stack_settings
from tandem.ops.screen import Screen, columns
from tandem.ops.whose import life_here


def _query(asked: dict[str, str | None]) -> str:
    """The one question of those that were asked.

    Raises:
        UserError: none was, or several.
    """
    given = [query for query in asked.values() if query]
    if len(given) != 1:
        raise UserError.of(
            key="logs",
            wrong="there is no question" if not given else "these are several questions",
            value=", ".join(option for option, query in asked.items() if query) or None,
            allowed=f"one of {', '.join(asked)}",
            fix="`tandem logs STACK --errors`, for one",
        )
    return given[0]


def logs(
    stack: StackName,
    request: Annotated[str | None, typer.Option(metavar="ID", help="All that edge and server said of it.")] = None,
    client: Annotated[str | None, typer.Option(metavar="NAME", help="What this client asked, newest first.")] = None,
    slow: Annotated[bool, typer.Option("--slow", help="The slowest answers.")] = False,
    errors: Annotated[bool, typer.Option("--errors", help="Answers from 500 on, and errors of servers.")] = False,
    refused: Annotated[bool, typer.Option("--refused", help="Who was refused how often: 401, 404, 413, 429.")] = False,
    by_client: Annotated[bool, typer.Option("--clients", help="Requests, refused, failed, seconds by client.")] = False,
    traffic: Annotated[bool, typer.Option("--traffic", help="Answers and their time, by five minutes.")] = False,
    hours: Annotated[
        float, typer.Option("--since", metavar="HOURS", min=0.01, max=8760, help="How far back to look.")
    ] = 1,
    rows: Annotated[int, typer.Option("--rows", min=1, max=10_000, help="Print this many rows at most.")] = 50,
    seconds: Annotated[float, typer.Option("--seconds", min=1, max=900, help="How long to wait for the answer.")] = 60,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Ask the logs of edge and servers what became of a request, what was slow, failed or refused, and by whom.

    CloudWatch Logs Insights answers, of all log groups of the stack, for $0.005 a GB that it reads; lines are there
    seconds after the request has ended. No line has a prompt, an answer or a key.

    Exit status: 0 with what was found, 1 nothing was found, 2 a mistake, or AWS does not answer.

    Examples: `tandem logs prod --request 4f1c...`, `tandem logs prod --slow --since 24`,
    `tandem logs prod --client batch --json`, `tandem logs prod --clients --since 24`.
    """
    query = _query(
        {
            "--request": of_request(request) if request is not None else None,
            "--client": of_client(client) if client is not None else None,
            "--slow": questions.SLOW if slow else None,
            "--errors": questions.ERRORS if errors else None,
            "--refused": questions.REFUSED if refused else None,
            "--clients": questions.CLIENTS if by_client else None,
            "--traffic": questions.TRAFFIC if traffic else None,
        }
    )
    if not math.isfinite(hours + seconds):
        raise UserError.of(key="--since", wrong="is no time", value=f"{hours:g}", allowed="hours, such as 24")
    settings = stack_settings(stack, region)
    clients = aws_clients(settings.region, profile)
    end = int(time.time())
    start = end - round(timedelta(hours=hours).total_seconds())
    with Screen(stderr=True).status("asking the logs"), user_errors("logs"):
        where = groups(clients, stack, life_here(stack))
        question = Question(query=query, groups=where, start=start, end=end, rows=rows)
        found = answer(clients("logs"), question, seconds)
    if as_json:
        print_json({"query": query, "groups": where, "rows": found})
    else:
        _print(found, hours, rows)
    raise typer.Exit(0 if found else 1)


def _print(found: list[Row], hours: float, rows: int) -> None:
    """A column for each field that any row has."""
    if not found:
        Screen().print(f"nothing in the last {hours:g} h; --since looks further back")
        return
    names = list(dict.fromkeys(name for row in found for name in row))
    table = columns(*names)
    for row in found:
        table.add_row(*(row.get(name, "") for name in names))
    Screen().print(table)
    if len(found) == rows:
        Screen(stderr=True).print(f"there may be more than these {rows}; --rows prints them")
