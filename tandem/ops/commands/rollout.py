"""`tandem rollout`: what runs where, how a new version gets there, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from time import sleep
from typing import Annotated

import typer

from tandem.errors import UserError
from tandem.ops import options
from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.commands.smoke import of_stack, show
from tandem.ops.pulumi import Stack
from tandem.ops.rollout import Gate, Platform, Rollout, cluster, follow
from tandem.ops.rollout.group import HostGroup
from tandem.ops.screen import Screen, columns
from tandem.ops.smoke import Smoke, run
from tandem.ops.whose import own
from tandem.settings import Settings

_COLOURS = {"failing": "red", "stopped": "yellow"}


def rollout(
    stack: options.StackName = options.DEFAULT_STACK,
    back: Annotated[bool, typer.Option("--back", help="Go back to the version before.")] = False,
    to: Annotated[str | None, typer.Option("--to", metavar="VERSION", help="Go to this version instead.")] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop replacing; what runs stays as it is.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="`tandem smoke` once a new one serves, objectives to the end; else, go back."),
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="Change this model's only; those that are not done by default.")
    ] = None,
    yes: options.Yes = False,
    wait: Annotated[bool, typer.Option(help="Follow what is under way to its end.")] = True,
    wait_minutes: Annotated[float, typer.Option(min=1, help="Minutes to follow at most.")] = 180,
    region: options.RegionName = None,
    profile: options.ProfileName = None,
    as_json: options.AsJson = False,
) -> None:
    """Show which versions run where, and follow a rollout, which `pulumi up` starts, to its end.

    --back stops what is under way, gives up new hosts that do not serve, and has those of the new version replaced, one
    at a time; the old ones serve meanwhile. Put the old pin back, too: the next `pulumi up` rolls out what is in the
    files. --check tries the API once a new one serves, ends a hold (fleet.holdAfterFirstHost) when all is well, and
    goes back on a surprise, or when an objective's alarm begins before all serve. On eks run it beside `pulumi up`,
    which waits there, or after it: what began in the last --wait-minutes is judged also when it is over.

    Exit status: 0 all serve the wanted version (or the plan was shown), 1 not yet, or a new one gave up, 2 refused.

    Examples: `pulumi up && tandem rollout prod --check`, `tandem rollout prod --no-wait --json`,
    `tandem rollout prod --back --yes`, `tandem rollout prod --cancel --yes`.
    """
    if sum((back or to is not None, cancel, check)) > 1:
        raise UserError.of(key="--back, --to, --cancel, --check", wrong="exclude each other", allowed="one")
    console, settings = Screen(stderr=as_json), options.stack_settings(stack, region)
    changes = back or to is not None or cancel
    seconds, well = 60 * wait_minutes if wait else 0, True
    with user_errors(stack), ExitStack() as up:
        platform = _platform(stack, settings, profile, up, changes=changes or check)
        if changes:
            for one in _meant(platform.look(), model):
                _change(console, platform, one, None if cancel else _before(one) if to is None else to, yes=yes)
            seconds = seconds if yes else 0
        elif check:
            begun = _gate(console, stack, settings, profile, timedelta(minutes=wait_minutes))
            well = _check(
                console, stack, platform, seconds, lambda one: _smoke(console, stack, settings, profile, one), begun
            )
        found = _follow(console, stack, platform, seconds)
    if as_json:
        options.print_json({"stack": stack, "rollouts": [one.as_json() for one in found]})
    shown_only = changes and not yes
    raise typer.Exit(0 if shown_only or (well and all(one.state == "done" for one in found)) else 1)


def _platform(stack: str, settings: Settings, profile: str | None, up: ExitStack, *, changes: bool) -> Platform:
    """Raises:
    UserError: something is to be changed, and no state here says that it is its own.
    """
    clients, mine = aws_clients(settings.region, profile), own(Stack(stack, options.PROJECT))
    if changes and not (mine and mine.id):
        wrong, allowed = "no state here tells that this stack is its own", "the state that `pulumi up` wrote"
        fix = f"`pulumi login` to where that state is; `pulumi stack --stack {stack}` shows whether it is there"
        raise UserError.of(key=stack, wrong=wrong, allowed=allowed, fix=fix)
    life = mine.life if mine else None
    platforms: dict[str, Callable[[], Platform]] = {
        "ec2": lambda: HostGroup(clients, stack, life, settings),
        "eks": lambda: cluster.of_stack(clients, stack, life, settings.region, up),
    }
    return platforms[settings.platform]()


def _meant(found: Sequence[Rollout], model: str | None) -> Sequence[Rollout]:
    """What is changed: the model's, or all that is not done; the only one, where there is only one.

    Raises:
        UserError: there is none of that name, or it is not clear which is meant.
    """
    names = ", ".join(dict.fromkeys(one.model for one in found))
    named = [one for one in found if not model or one.model == model]
    meant = [one for one in named if one.state != "done"] or (named if len(named) == 1 else [])
    if not meant:
        raise UserError.of(key="--model", wrong="does not say whose version is meant", value=model, allowed=names)
    return meant


def _before(one: Rollout) -> str:
    if one.before is None:
        wrong, fix = f"there is no version before {one.wanted.name}", "put the old pin back, and `pulumi up`"
        raise UserError.of(key=one.name, wrong=wrong, allowed="--to, with another one that is there", fix=fix)
    return one.before


def _change(console: Screen, platform: Platform, one: Rollout, version: str | None, *, yes: bool) -> None:
    """Args:
        version: to go to; None only stops.

    Raises:
        UserError: there is no such version; nothing was changed.
    """
    runs = platform.runs(one, version) if version is not None else {}
    if one.state == "done" and version == one.wanted.name:
        console.print(f"{one.name}: nothing to change: {version} is wanted, and all serve it; --to names another")
        return
    what = "stop replacing" if version is None else f"from {one.wanted.name} to {version}"
    if version == one.wanted.name:
        what = f"go on to {version}"
    what = f"{one.name}: {what}" + (f" ({runs['image']})" if "image" in runs else "")
    console.print(what if yes else f"{what}; nothing was changed, --yes does it")
    if yes and version is None:
        platform.cancel(one)
    elif yes and version is not None:
        platform.take(one, version)


def _follow(
    console: Screen,
    stack: str,
    platform: Platform,
    seconds: float,
    until: Callable[[Rollout], object] | None = None,
) -> Sequence[Rollout]:
    found: Sequence[Rollout] = ()
    for found in follow(platform, seconds, until, sleep):
        for one in found:
            _show(console, stack, one)
    return found


def _gate(
    console: Screen, stack: str, settings: Settings, profile: str | None, recent: timedelta
) -> Callable[[Rollout], Sequence[str]]:
    """Which of its objectives' alarms a rollout has rung; of a stack without alarms none."""
    mine = own(Stack(stack, options.PROJECT))
    if mine and settings.alarmed and settings.metrics.cloudwatch:
        return Gate(aws_clients(settings.region, profile), stack, mine.id, recent).begun
    console.print(
        "No objective has an alarm here (alarms.enabled, metrics.cloudwatch): what `tandem smoke` finds decides."
    )
    return lambda _one: ()


def _check(
    console: Screen,
    stack: str,
    platform: Platform,
    seconds: float,
    smoke: Callable[[str], bool],
    begun: Callable[[Rollout], Sequence[str]],
) -> bool:
    """Tries each model that changes, or all where none does, as soon as one of the new version serves, then looks at
    objectives until all do; goes back on a surprise, or when none ever serves, where that version is rolled out now,
    and on an alarm.

    Returns:
        Whether one serves, and there was neither.
    """
    looked = platform.look()
    under_way = {one.key: one.model for one in looked if one.state in ("running", "held")}
    models = dict.fromkeys(under_way.values() or (one.model for one in looked))
    found = _follow(console, stack, platform, seconds, lambda one: one.wanted.serving or begun(one))
    serves = any(one.wanted.serving for one in found)
    if not any(map(begun, found)) and not (serves and all(smoke(model) for model in models)):
        for one in found:
            if one.key in under_way and (serves or one.state == "failing"):
                _change(console, platform, one, _before(one), yes=True)
        return False
    return _keeps_objectives(console, stack, platform, seconds, begun)


def _keeps_objectives(
    console: Screen, stack: str, platform: Platform, seconds: float, begun: Callable[[Rollout], Sequence[str]]
) -> bool:
    """Ends holds and follows to the end; what has rung an alarm goes back, once, since the way back has no gate."""
    well = True
    while True:
        found = _follow(console, stack, platform, seconds, lambda one: one.state == "held" or begun(one))
        rung = {one.key: alarms for one in found if (alarms := begun(one))}
        held = [one for one in found if one.state == "held" and one.key not in rung]
        for one in found:
            for alarm in rung.get(one.key, ()):
                console.print(f"{one.name}: has begun since {one.wanted.name} is rolled out: {alarm}")
            if one.key in rung:
                _change(console, platform, one, _before(one), yes=True)
        for one in held:
            platform.go_on(one)
        well = well and not rung
        if not rung and not held:
            return well


def _smoke(console: Screen, stack: str, settings: Settings, profile: str | None, model: str) -> bool:
    well, own = True, settings.each.get(model, settings)
    with of_stack(stack, own, profile) as target:
        for result in run(Smoke(target, task=own.inference.task)):
            show(console, result)
            well &= result.outcome != "surprise"
    return well


def _show(console: Screen, stack: str, one: Rollout) -> None:
    console.marked(f"{one.state:<9}", _COLOURS.get(one.state, "green"), one.summary)
    table = columns("version", one.unit, "starting or leaving", "image", "model", "revision")
    for version in one.versions:
        runs = [version.runs.get(name, "unknown") for name in ("image", "model", "revision")]
        name = f"{version.name} (wanted)" if version.wanted else version.name
        table.add_row(name, str(version.serving), str(version.moving), *runs)
    console.print(table)
    for line in (one.reason, *one.failures):
        if line:
            console.print(line)
    if one.state in ("failing", "stopped", "held") and one.before:
        console.print(f"Back to {one.before}: `tandem rollout {stack} --back --yes`; put the old pin back, too.")
