"""`tandem batch`: a file of requests, answered by machines that come for it and go."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from tandem.errors import UserError
from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.batches import requests, store
from tandem.ops.batches.estimate import Plan, planned, refuse_too_little, shown, work_of
from tandem.ops.batches.store import Batch, Store
from tandem.ops.options import (
    AsJson,
    ProfileName,
    RegionName,
    StackName,
    Yes,
    print_json,
    stack_settings,
    writing,
)
from tandem.ops.screen import Screen, columns
from tandem.ops.whose import life_here
from tandem.scripts import shared
from tandem.settings import Settings
from tandem.settings.commands import set_to

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="A file of requests, answered by machines that start for it and stop after it.",
)
job = shared("job", "batch")

Id = Annotated[str | None, typer.Argument(metavar="ID", help="Of a batch; the one begun last by default.")]
MaxUsd = Annotated[
    float | None,
    typer.Option("--max-usd", min=0.01, metavar="USD", help="What it may cost in all; batch.maxUsd by default."),
]


@app.command()
def run(
    stack: StackName,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Of requests, one a line; or s3://BUCKET/KEY.")],
    max_usd: MaxUsd = None,
    yes: Yes = False,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Begin a batch: check its file, write it into the stack's bucket, and call machines for it.

    The file is that of OpenAI's batches: a JSON object a line with custom_id, method, url and body. All lines are
    checked first. Without --yes the plan is shown: how many machines of which price, how long the money lasts, and
    what is estimated. The machines end when all is answered, and in any case when the money could be spent.

    Exit status: 0 it is begun, 1 the plan was shown, 2 a mistake, another batch is running, or AWS refused.

    Examples: `tandem batch run dev requests.jsonl`, `tandem batch run prod-ec2 requests.jsonl --max-usd 40 --yes`.
    """
    settings = _settings(stack, region)
    most = _most(settings, max_usd)
    clients = aws_clients(settings.region, profile)
    served = settings.inference
    asked = requests.checked(requests.read(file, clients), file, [served.served_name], served.task)
    plan = planned(settings, len([*job.parts(asked.lines)]), work_of(settings, asked), most)
    refuse_too_little(plan)
    with user_errors(stack):
        found = store.find(clients, stack, life_here(stack), datetime.now(UTC), settings)
        current, _ = found.current()
        found.refuse_running(current)
        begun = found.begin(asked.lines, plan) if yes else None
    _say_plan(asked, plan, begun, stack, as_json)
    raise typer.Exit(0 if begun else 1)


@app.command()
def resume(
    stack: StackName,
    id: Id = None,
    max_usd: MaxUsd = None,
    yes: Yes = False,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a batch that was cancelled, or has spent its money: what is answered stays.

    --max-usd is for all of it, with what is spent: all machines that were called, for as long as they could run.

    Exit status: 0 it goes on, or is complete, 1 the plan was shown, 2 a mistake, it is running, or AWS refused.

    Examples: `tandem batch resume dev --max-usd 80 --yes`.
    """
    settings = _settings(stack, region)
    most = _most(settings, max_usd)
    with user_errors(stack):
        found = _store(stack, settings, profile)
        batch = _batch(found, id, stack)
        found.refuse_running(batch)
        left = most - batch.usd
        work = None if batch.seconds_left is None else timedelta(seconds=batch.seconds_left)
        plan = planned(settings, batch.parts - batch.done, work, left)
        if batch.state != "completed":
            refuse_too_little(plan)
            if yes:
                found.resume(batch, replace(plan, max_usd=most))
    done = yes or batch.state == "completed"
    screen = Screen(stderr=as_json)
    screen.print(
        f"{batch.id}: {batch.answered:,} of {batch.requests:,} requests answered, {batch.usd:.2f} USD spent at most"
    )
    if batch.state != "completed":
        screen.print(f"{plan.hosts} machines for {shown(plan.lasts)} at most, {most:.2f} USD in all")
    if not done:
        screen.print("Nothing was changed. To go on: the same command with --yes.")
    if as_json:
        print_json({"id": batch.id, "resumed": yes, "hosts": plan.hosts, "max_usd": most, "lasts": shown(plan.lasts)})
    raise typer.Exit(0 if done else 1)


@app.command()
def status(
    stack: StackName,
    id: Id = None,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Show how far a batch is, with its machines and what it has cost.

    Exit status: 0 it is complete, 1 it is not, 2 a mistake, or AWS refused.

    Examples: `tandem batch status dev`, `tandem batch status dev batch-20261130-120000-0a1b --json`.
    """
    settings = _settings(stack, region)
    with user_errors(stack):
        found = _store(stack, settings, profile)
        batch = _batch(found, id, stack)
    _show([batch], as_json)
    if batch.state == "running" and (told := found.machines.told(batch.id)):
        Screen(stderr=as_json).print(told)
    raise typer.Exit(0 if batch.state == "completed" else 1)


@app.command("list")
def listed(stack: StackName, region: RegionName = None, profile: ProfileName = None, as_json: AsJson = False) -> None:
    """Show the batches of the last 30 days.

    Exit status: 0, 2 a mistake, or AWS refused.

    Examples: `tandem batch list dev`.
    """
    settings = _settings(stack, region)
    with user_errors(stack):
        batches = _store(stack, settings, profile).batches()
    _show(batches, as_json)


@app.command()
def cancel(
    stack: StackName,
    id: Id = None,
    yes: Yes = False,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """End a batch and its machines; what is answered stays, and `resume` goes on from there.

    Exit status: 0 it is ended, or was, 1 it would be with --yes, 2 a mistake, or AWS refused.

    Examples: `tandem batch cancel dev --yes`.
    """
    settings = _settings(stack, region)
    with user_errors(stack):
        found = _store(stack, settings, profile)
        batch = _batch(found, id, stack)
        running = batch.state == "running"
        if running and yes:
            found.cancel(batch)
    said = f"{batch.id}: {batch.answered:,} of {batch.requests:,} requests answered"
    Screen(stderr=as_json).print(said if yes or not running else f"{said}. To end it: the same command with --yes.")
    if as_json:
        print_json({"id": batch.id, "cancelled": running and yes})
    raise typer.Exit(0 if yes or not running else 1)


@app.command()
def results(
    stack: StackName,
    id: Id = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Answers, one a line; ID.output.jsonl by default.")
    ] = None,
    errors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What was not answered; ID.errors.jsonl by default.")
    ] = None,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Write a batch's answers into two files, as OpenAI's: those that succeeded, and all others with the reason.

    Lines are in the order of the requests, one for each. Of a batch that is running, those parts that are whole.

    Exit status: 0 each request was answered, 1 some were not, or not yet, 2 a mistake, or AWS refused.

    Examples: `tandem batch results dev`, `tandem batch results dev --output answers.jsonl --errors errors.jsonl`.
    """
    settings = _settings(stack, region)
    with user_errors(stack):
        found = _store(stack, settings, profile)
        batch = _batch(found, id, stack)
        files = {True: output or Path(f"{batch.id}.output.jsonl"), False: errors or Path(f"{batch.id}.errors.jsonl")}
        counts = _written(found, batch, files)
    screen = Screen(stderr=as_json)
    screen.print(f"{counts[True]:,} answers in {files[True]}, {counts[False]:,} errors in {files[False]}")
    if (left := batch.requests - sum(counts.values())) > 0:
        screen.print(f"{left:,} requests are still worked at")
    if as_json:
        shown_files = {"output": files[True], "errors": files[False]}
        print_json({"id": batch.id, "answered": counts[True], "failed": counts[False], "left": left, **shown_files})
    raise typer.Exit(0 if counts[True] == batch.requests else 1)


def _written(found: Store, batch: Batch, files: dict[bool, Path]) -> dict[bool, int]:
    counts = {True: 0, False: 0}
    with ExitStack() as open_files:
        for path, option in ((files[True], "--output"), (files[False], "--errors")):
            open_files.enter_context(writing(path, option))
        out = {good: open_files.enter_context(path.open("w", encoding="utf-8")) for good, path in files.items()}
        for line in found.lines(batch):
            good = job.answered(line)
            out[good].write(job.written([line]))
            counts[good] += 1
    return counts


def _settings(stack: str, region: str | None) -> Settings:
    """
    Raises:
        UserError: the stack's settings have no `batch`.
    """
    settings = stack_settings(stack, region)
    if settings.batch is None:
        raise UserError.of(
            key="batch",
            wrong="the stack has no machines for batches",
            allowed="`batch` with maxUsd",
            fix=f"{set_to('batch.maxUsd', 20)}, then `pulumi up`: a bucket, and nothing that runs",
        )
    return settings


def _most(settings: Settings, max_usd: float | None) -> float:
    assert settings.batch
    if max_usd is not None and max_usd > settings.batch.max_usd:
        raise UserError.of(
            key="--max-usd",
            wrong="is more than the stack's settings let a batch cost",
            value=max_usd,
            allowed=f"up to {settings.batch.max_usd:g} USD (batch.maxUsd)",
            fix=set_to("batch.maxUsd", max_usd),
        )
    return max_usd or settings.batch.max_usd


def _store(stack: str, settings: Settings, profile: str | None) -> Store:
    return store.find(aws_clients(settings.region, profile), stack, life_here(stack), datetime.now(UTC), settings)


def _batch(found: Store, id: str | None, stack: str) -> Batch:
    batch = found.find(id) if id else found.current()[0]
    if batch is None:
        raise UserError.of(
            key=id or stack,
            wrong="there is no such batch" if id else "there is no batch yet",
            allowed="one of the last 30 days",
            fix=f"`tandem batch list {stack}` names them",
        )
    return batch


def _say_plan(asked: requests.Requests, plan: Plan, begun: Batch | None, stack: str, as_json: bool) -> None:
    screen = Screen(stderr=as_json, wrap=True)
    screen.print(
        f"{len(asked.lines):,} requests, about {asked.prompt_tokens:,} tokens each, answers of up to "
        f"{asked.answer_tokens:,}"
    )
    screen.print(
        f"{plan.hosts} machines, {plan.usd_per_hour:.2f} USD an hour on demand: {plan.max_usd:.2f} USD last "
        f"{shown(plan.lasts)}, then they end"
    )
    if plan.takes is not None:
        screen.print(f"as estimated it takes {shown(plan.takes)} and {plan.usd:.2f} USD, with half an hour to start")
    if begun:
        screen.print(f"{begun.id} is begun: `tandem batch status {stack}`, then `tandem batch results {stack}`")
    else:
        screen.print("Nothing was changed. To begin it: the same command with --yes.")
    if as_json:
        takes = None if plan.takes is None else round(plan.takes.total_seconds())
        print_json(
            {
                "id": begun.id if begun else None,
                "requests": len(asked.lines),
                "hosts": plan.hosts,
                "usd_per_hour": round(plan.usd_per_hour, 2),
                "max_usd": plan.max_usd,
                "lasts_seconds": round(plan.lasts.total_seconds()),
                "takes_seconds": takes,
            }
        )


def _show(batches: list[Batch], as_json: bool) -> None:
    if as_json:
        print_json([asdict(batch) for batch in batches])
        return
    table = columns("batch", "state", "answered", "machines", "$ so far", "$ at most", "ends")
    for one in batches:
        table.add_row(
            one.id,
            one.state,
            f"{one.answered:,} of {one.requests:,}",
            str(one.machines),
            f"{one.usd:.2f}",
            f"{one.max_usd:.2f}",
            f"{one.ends:%Y-%m-%d %H:%MZ}",
        )
    Screen().print(table)
