"""What load tests share: whom they ask, what is known of it, and the yes before they begin."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import typer

from tandem import checks, costs, pins
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.errors import UserError
from tandem.objectives import Objectives, objectives
from tandem.ops import figures, options
from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.commands.smoke import TIMEOUT_SECONDS, given, listed, no_answer
from tandem.ops.load import generator
from tandem.ops.load.measuring import Server, server_of
from tandem.ops.load.results import Measured
from tandem.ops.load.traffic import WORDS, Model, Traffic, sent
from tandem.ops.screen import Screen
from tandem.ops.smoke import Surprise, Target, send
from tandem.ops.tasks import must_generate
from tandem.platforms import platform_of
from tandem.settings import Settings
from tandem.settings.observing import ObjectiveSettings
from tandem.tags import MAIN_MODEL

SAMPLE = 50
"""Requests from which tokens are estimated before any is sent."""

Shape = Literal["chat", "rag", "json", "code"]

ApiUrl = Annotated[str | None, typer.Option(metavar="URL", help="Load this API instead of the stack's.")]
ShapeName = Annotated[Shape, typer.Option(help="Of prompts and answers; rag: a long beginning that all share.")]
RequestsFile = Annotated[
    Path | None,
    typer.Option("--requests", metavar="FILE", help="Chat completions of your own instead, one a line."),
]
Into = Annotated[Path | None, typer.Option(metavar="DIRECTORY", help="Of results; the project's loads/ by default.")]
Begin = Annotated[bool, typer.Option("--yes", help="Begin without asking, also while others are served.")]


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What is known of who is asked; of a URL nothing but what is promised.

    Attributes:
        model: its name in the settings.
    """

    name: str
    model: str = MAIN_MODEL
    promised: Objectives
    measured: Measured
    facts: Mapping[str, Any]
    server: Server | None = None
    warnings: Sequence[str] = ()
    usd_per_hour: float | None = None


def of_url(
    url: str, key: str, ca: Path | None, said: Mapping[str, float | None]
) -> tuple[Stack, AbstractContextManager[Target]]:
    """An API by its address: what is known of it, and the way in."""
    about = Stack(
        name=urlsplit(url).hostname or "url",
        promised=_instead(objectives(ObjectiveSettings(), None), said),
        measured=Measured(servers=None, usd_per_server_hour=None),
        facts={"url": url},
    )
    return about, nullcontext(given(url, key, ca, TIMEOUT_SECONDS))


def _instead(promised: Objectives, said: Mapping[str, float | None]) -> Objectives:
    return replace(promised, **{name: value for name, value in said.items() if value is not None})


def look(
    stack: str, settings: Settings, profile: str | None, model: str | None, said: Mapping[str, float | None]
) -> Stack:
    """A stack's promises, costs, and whom it serves just now.

    Raises:
        UserError: AWS does not say, or the model makes no tokens.
    """
    must_generate(settings, model, "a load test")
    models = figures.models(settings, stack)
    names = {name: inference.served_name for name, (inference, _) in settings.scaled.items()}
    one = next((one for one in models if names[one.name] == model), models[0])
    own = settings.of(one.name)
    inference = own.inference
    told: Mapping[str, Sequence[tuple[datetime, float]]] = {}
    if settings.metrics.cloudwatch:
        with user_errors(stack):
            told = figures.told(aws_clients(settings.region, profile), stack, one.name, datetime.now(UTC))
    now = {name: values[0][1] for name, values in told.items() if values}
    first = INSTANCE_TYPES[own.fleet.instance_types[0]]
    each = first.servers(inference.tensor_parallel_size) if settings.platform == "ec2" else None
    servers = round(now.get("servers", 0)) or platform_of(own).servers or None
    edge, known = settings.edge, pins.load()
    return Stack(
        name=options.stack_name(stack),
        model=one.name,
        promised=_instead(one.promised, said),
        measured=Measured(servers=servers, usd_per_server_hour=one.usd_per_server_hour, servers_per_host=each),
        server=server_of(own, inference, checks.size(own), known),
        usd_per_hour=costs.max_usd_per_hour(settings),
        warnings=(
            _others(now),
            f"each edge lets one address send {edge.requests_per_second_per_client} requests/s, "
            f"{edge.connections_per_client} at once (edge.*PerClient): what is above is 429, and counts as failed",
        ),
        facts={
            "stack": stack,
            "servers": servers,
            "instanceTypes": list(own.fleet.instance_types),
            "revision": known.model_revision(inference.model),
            "vllm": known.vllm.tag,
            "settings": inference.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        },
    )


def _others(now: Mapping[str, float]) -> str:
    if "requests_a_minute" not in now:
        return "whether it serves others is not known: its machines have told nothing in the last minutes"
    if now["requests_a_minute"] or now.get("load"):
        return (
            f"IT SERVES OTHERS: {now['requests_a_minute']:,.0f} requests a minute, who will wait longer or be refused"
        )
    return "nobody else has asked it in the last minutes"


def ask(target: Target, name: str | None) -> Model:
    """The model, how much it holds, and how many tokens a word is.

    Raises:
        UserError: the API does not answer, or has no such model.
    """
    found = listed(target, name)
    model = Model(name=found["id"], context=found.get("max_model_len") or 8192)
    words = min(len(WORDS), model.context // 8)
    try:
        body = {"messages": [{"role": "user", "content": " ".join(WORDS[:words])}], "max_tokens": 1}
        body = {**sent(body, model), "stream": False, "stream_options": None}
        tokens = send(target, "POST", "/v1/chat/completions", body).expect(200).json()["usage"]["prompt_tokens"]
    except (Surprise, KeyError, TypeError) as error:
        raise no_answer(target, error) from None
    return Model(name=model.name, context=model.context, tokens_a_word=max(1.0, tokens / words))


def longest(seconds: int) -> int:
    """What one step takes at most."""
    return 2 * seconds + generator.GRACE_SECONDS + generator.STARTS_SECONDS


def minutes(about: Stack, seconds: float) -> str:
    """A time with what the stack costs meanwhile."""
    if about.usd_per_hour is None:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 60:.0f} minutes (${about.usd_per_hour * seconds / 3600:,.2f} of the stack at its largest)"


def takes(traffic: Traffic, about: Stack, model: Model, what: str, requests: int, seconds: float) -> str:
    """What a test takes at most, in words.

    Args:
        what: it does, in a word or two.
    """
    promised, sample = about.promised, traffic.bodies(model, 0, SAMPLE)
    tokens = sum(len(str(one["messages"])) / 4 + (one.get("max_completion_tokens") or 500) for one in sample) / SAMPLE
    return (
        f"{about.name}: {traffic.name} to {model.name}\n"
        f"promised: first token {promised.first_token_seconds:g} s, between tokens {promised.between_tokens_seconds:g} "
        f"s at 99 %, {100 * promised.availability:g} % answered\n"
        f"at most: {what}, {minutes(about, seconds)}, {requests:,} requests, about {requests * tokens:,.0f} tokens"
    )


def agree(screen: Screen, takes: str, about: Stack, yes: bool) -> None:
    """Says what it takes at most, and has somebody say yes.

    Raises:
        UserError: nobody can be asked.
        typer.Exit: the answer was no; status 2.
    """
    for text in (takes, *about.warnings):
        screen.print(text)
    if yes:
        return
    if not sys.stdin.isatty():
        fix = "the same command with --yes"
        raise UserError.of(key="--yes", wrong="nobody is there who could say yes to that", fix=fix)
    if not typer.confirm("Begin?", err=True):
        raise typer.Exit(2)
