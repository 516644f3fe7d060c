"""`tandem canary`: whether a model answers what it should, and as it did before."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tandem import canary as suites
from tandem.ops import options
from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.commands.smoke import (
    TIMEOUT_SECONDS,
    Authority,
    KeyFile,
    ModelName,
    given,
    key_of_caller,
    listed,
    no_answer,
    of_stack,
)
from tandem.ops.screen import Screen
from tandem.ops.smoke import Surprise, Target, send
from tandem.ops.tasks import called, must_generate
from tandem.scripts import shared
from tandem.settings import Settings
from tandem.settings.inference import InferenceSettings
from tandem.settings.observing import CanarySettings, JudgeSettings

OWN_CLIENT = "tandem-canary"
"""Whose name is in logs and metrics while it asks with a key of its own."""
JUDGE_KEY = "TANDEM_JUDGE_KEY"
_COLOURS = {"passed": "green", "failed": "red", "skipped": "cyan"}
machine = shared("canary")
"""What machines run: the same questions, the same checks."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a model is asked.

    Attributes:
        out: cases that are left out, by name.
        stored: a run to compare with.
    """

    model: str
    suite: Sequence[Mapping[str, Any]]
    out: Sequence[str]
    stored: Mapping[str, Any] | None
    judge: Callable[[str, str, str], str] | None


def canary(
    stack: options.StackName = options.DEFAULT_STACK,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Ask this API instead of the stack's.")] = None,
    suite: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of questions, YAML or JSONL; else the settings', or ours.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A stored run to compare with; else the settings'.")
    ] = None,
    record: Annotated[Path | None, typer.Option(metavar="FILE", help="Store this run, if it passes.")] = None,
    times: Annotated[int, typer.Option(min=1, max=1000, help="Ask this many times; all must pass.")] = 1,
    model: ModelName = None,
    api_key_file: KeyFile = None,
    ca: Authority = None,
    region: options.RegionName = None,
    profile: options.ProfileName = None,
    as_json: options.AsJson = False,
) -> None:
    """Ask a model the questions of a suite, and say which answers are wrong, or differ from an earlier run.

    The suite has texts, JSON of a schema, tool calls, a long context, and greedy tokens that are compared with a stored
    run. Servers of a stack with `canary` in its settings ask themselves the same. What fails is asked twice. --record
    on a version that is good, then `canary.run` or --against on one that is new; --times 20 tells whether a suite of
    your own is one that a good version always passes.

    Exit status: 0 all passed, 1 something failed, 2 a mistake, or nobody answered.

    Examples: `tandem canary dev`, `tandem canary dev --record canary/run.json`, `tandem canary --url
    http://localhost:8000 --api-key-file key.txt --suite canary/suite.yaml --against canary/run.json --json`.
    """
    key, screen = key_of_caller(api_key_file), Screen(stderr=as_json)
    settings = None if url else options.stack_settings(stack, region)
    if url:
        way = nullcontext(given(url, key, ca, TIMEOUT_SECONDS))
    else:
        assert settings
        must_generate(settings, model, "a canary")
        way = of_stack(stack, settings.of(called(settings, model)), profile, key=key, ca=ca, client=OWN_CLIENT)
    with way as target:
        asked = _asked(target, model, settings, stack, profile, suite, against)
        runs = [_run(screen, target, asked, number, times) for number in range(1, times + 1)]
    failed = sorted({one.case for run in runs for one in run if one.outcome == "failed"})
    if record and not failed:
        options.write_file(record, _record(asked, runs[-1]), "--record")
        screen.print(f"stored in {record}: compare with `--against`, or `canary.run` of the settings")
    if as_json:
        found = [[{"case": one.case, "outcome": one.outcome, "detail": one.detail} for one in run] for run in runs]
        options.print_json({"model": asked.model, "failed": failed, "leftOut": list(asked.out), "runs": found})
    raise typer.Exit(1 if failed else 0)


def _asked(
    target: Target,
    model: str | None,
    settings: Settings | None,
    stack: str,
    profile: str | None,
    suite: Path | None,
    against: Path | None,
) -> Asked:
    """Files of the caller's before those of the settings, these before what is shipped."""
    served: str = listed(target, model)["id"]
    inference, canary = _of_settings(settings, served) if settings else (None, CanarySettings())
    requests, out = suites.asked(suites.read(suite, "--suite") if suite else suites.suite_of(canary), inference)
    stored = suites.read_run(against, "--against") if against else suites.run_of(canary)
    judge = _judge(canary.judge, settings, stack, profile) if settings and canary.judge else None
    return Asked(model=served, suite=requests, out=out, stored=stored, judge=judge)


def _of_settings(settings: Settings, served: str) -> tuple[InferenceSettings | None, CanarySettings]:
    """Of the model that is served by this name."""
    for name, (inference, _) in settings.scaled.items():
        if inference.served_name == served:
            return inference, settings.canaries[name] or CanarySettings()
    return None, CanarySettings()


def _judge(judge: JudgeSettings, settings: Settings, stack: str, profile: str | None) -> Callable[[str, str, str], str]:
    key = os.environ.get(JUDGE_KEY, "")
    if judge.key_secret_arn and not key:
        with user_errors(stack):
            secrets = aws_clients(settings.region, profile)("secretsmanager")
            key = secrets.get_secret_value(SecretId=judge.key_secret_arn)["SecretString"]
    return machine.judge_of(judge.model, _ask(Target(judge.url, key, timeout_seconds=TIMEOUT_SECONDS)))


def _ask(target: Target) -> Callable[[str, Mapping[str, Any]], tuple[int, str]]:
    def ask(path: str, body: Mapping[str, Any]) -> tuple[int, str]:
        try:
            answer = send(target, "POST", path, body)
        except Surprise as error:
            raise OSError(str(error)) from None
        return answer.status, answer.body.decode("utf-8", "replace")

    return ask


def _run(screen: Screen, target: Target, asked: Asked, number: int, times: int) -> Sequence[Any]:
    """Findings of one run. Raises UserError: nobody answers."""
    try:
        found = machine.run(asked.suite, asked.model, _ask(target), stored=asked.stored, judge=asked.judge)
    except machine.Unanswered as error:
        raise no_answer(target, error) from None
    which = f"{number} of {times}: " if times > 1 else ""
    for one in found:
        if times == 1 or one.outcome == "failed":
            screen.marked(f"{one.outcome:<8}", _COLOURS[one.outcome], f"{which}{one.case:<14} {one.detail}")
    for name in asked.out if number == 1 else ():
        screen.marked("skipped ", "cyan", f"{name:<14} inference.toolCallParser or maxModelLen says that it cannot")
    passed = sum(one.outcome == "passed" for one in found)
    screen.print(f"{which}{passed} of {len(found)} passed by {asked.model}")
    return found


def _record(asked: Asked, found: Sequence[Any]) -> str:
    made = datetime.now(UTC).isoformat(timespec="seconds")
    cases = {one.case: one.record for one in found if one.record}
    return json.dumps({"made": made, "model": asked.model, "cases": cases}, separators=(",", ":")) + "\n"
