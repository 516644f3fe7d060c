"""`tandem load`: how much a stack carries while it keeps what is promised."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn
from urllib.parse import urlsplit

import typer

from tandem import checks, costs, loads, pins
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.measurements import Measurement, added
from tandem.errors import Problem, UserError
from tandem.objectives import Objectives, objectives
from tandem.ops import figures, options
from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.commands.smoke import TIMEOUT_SECONDS, given, key_of_caller, of_stack
from tandem.ops.load import generator, measuring, report
from tandem.ops.load.measuring import AT_ONCE, Server, server_of
from tandem.ops.load.results import Measured, proposals, usd_per_million_tokens
from tandem.ops.load.sweep import Step, best, most_requests, next_rate, step
from tandem.ops.load.traffic import SHAPES, WORDS, Model, from_file, repeated, requests, sent
from tandem.ops.options import (
    DEFAULT_STACK,
    AsJson,
    ProfileName,
    RegionName,
    StackName,
    print_json,
    stack_settings,
    write_file,
)
from tandem.ops.screen import Screen
from tandem.ops.smoke import Surprise, Target, send
from tandem.platforms import platform_of
from tandem.settings import Settings
from tandem.settings.observing import ObjectiveSettings

OWN_CLIENT = "tandem-load"
"""Whose name is in logs and metrics while it runs with a key of its own."""
SAMPLE = 50
"""Requests from which tokens are estimated before any is sent."""
Shape = Literal["chat", "rag", "json", "code"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was asked for."""

    shape: Shape
    own: list[dict[str, Any]] | None
    first: float
    rate: float | None
    steps: int
    seconds: int
    peak: float | None

    def bodies(self, model: Model, number: int, count: int) -> list[dict[str, Any]]:
        """Requests of a step; no two steps have the same, as long as a file lasts."""
        if self.own is not None:
            return repeated(self.own, model, count, number * count)
        return list(islice(requests(SHAPES[self.shape], model, number), count))


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What is known of who is asked; of a URL nothing but what is promised."""

    name: str
    promised: Objectives
    measured: Measured
    facts: Mapping[str, Any]
    server: Server | None = None
    warnings: Sequence[str] = ()
    usd_per_hour: float | None = None


def load(
    stack: StackName = DEFAULT_STACK,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Load this API instead of the stack's.")] = None,
    shape: Annotated[
        Shape, typer.Option(help="Of prompts and answers; rag: a long beginning that all share.")
    ] = "chat",
    file: Annotated[
        Path | None,
        typer.Option("--requests", metavar="FILE", help="Chat completions of your own instead, one a line."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Requests a second that are wanted; the exit status tells of them.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=20, help="Rates to try at most; 1 tries --rate alone.")] = 7,
    seconds: Annotated[int, typer.Option(min=5, max=3600, help="Of each rate.")] = 60,
    peak: Annotated[float | None, typer.Option(min=0.01, help="Say how many servers so many requests/s take.")] = None,
    model: Annotated[str | None, typer.Option(help="Model to ask; the first that the API lists by default.")] = None,
    first_token: Annotated[float | None, typer.Option(help="Promised seconds instead of the stack's.")] = None,
    between_tokens: Annotated[float | None, typer.Option(help="Likewise.")] = None,
    api_key_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Holds a key; as for `smoke`.")] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE.pem", help="Trust this certificate authority, too.")] = None,
    into: Annotated[
        Path | None, typer.Option(metavar="DIRECTORY", help="Of results; the project's loads/ by default.")
    ] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Keep 1 to 256 requests running in each server instead, for `tandem size`."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Begin without asking, also while others are served.")] = False,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Find the highest rate of requests at which a stack keeps what is promised, and say what follows from it.

    aiperf sends streamed requests at random moments: the rate doubles until first tokens, further ones or failures are
    worse than `objectives`, then steps lie in between. It says first what it takes at most and who else is served, and
    asks. Results go to loads/STACK.json, to which each run adds, and loads/STACK.html; also after Ctrl-C. --measure
    adds throughput to loads/measurements.json.

    Exit status: 0 the objectives held, at --rate where that is given, or all was measured; 1 not so; 2 a mistake, or no
    yes; 130 interrupted.

    Examples: `tandem load dev`, `tandem load prod --shape rag --rate 12 --peak 40`, `tandem load --url
    http://localhost:8000 --api-key-file key.txt --rate 2 --steps 1 --yes --json`.
    """
    own = from_file(file) if file else None
    wanted = Wanted(shape=shape, own=own, first=rate or 1, rate=rate, steps=steps, seconds=seconds, peak=peak)
    said = {"first_token_seconds": first_token, "between_tokens_seconds": between_tokens}
    key, screen = key_of_caller(api_key_file), Screen(stderr=as_json)
    if url:
        about = Stack(
            name=urlsplit(url).hostname or "url",
            promised=_instead(objectives(ObjectiveSettings(), None), said),
            measured=Measured(servers=None, usd_per_server_hour=None),
            facts={"url": url},
        )
        way = nullcontext(given(url, key, ca, TIMEOUT_SECONDS))
    else:
        settings = stack_settings(stack, region)
        about = _look(stack, settings, profile, model, said)
        lasting = timedelta(minutes=15, seconds=steps * _longest(seconds))
        way = of_stack(stack, settings, profile, key=key, ca=ca, client=OWN_CLIENT, lasting=lasting)
    with way as target:
        asked = _ask(target, model)
        if measure:
            _measure(screen, about, target, asked, seconds, into, yes=yes, as_json=as_json)
        _agree(screen, _takes(wanted, about, asked), about, yes)
        found: list[Step] = []
        whole = _sweep(screen, wanted, about, target, asked, found)
    if not found:
        raise typer.Exit(130)
    kept = found[0].kept if rate else best(found) is not None
    document = _document(wanted, about, asked, found, kept=kept, whole=whole)
    _write(into or options.PROJECT / loads.DIRECTORY, about, document, found)
    screen.print(document["line"])
    if as_json:
        print_json(document)
    raise typer.Exit(130 if not whole else 0 if kept else 1)


def _longest(seconds: int) -> int:
    """What one step takes at most."""
    return 2 * seconds + generator.GRACE_SECONDS + generator.STARTS_SECONDS


def _instead(promised: Objectives, said: Mapping[str, float | None]) -> Objectives:
    return replace(promised, **{name: value for name, value in said.items() if value is not None})


def _look(
    stack: str, settings: Settings, profile: str | None, model: str | None, said: Mapping[str, float | None]
) -> Stack:
    """A stack's promises, costs, and whom it serves just now.

    Raises:
        UserError: AWS does not say.
    """
    models = figures.models(settings, stack)
    names = {name: inference.served_name for name, (inference, _) in settings.scaled.items()}
    one = next((one for one in models if names[one.name] == model), models[0])
    inference, scaling = settings.scaled[one.name]
    told: Mapping[str, Sequence[tuple[datetime, float]]] = {}
    if settings.metrics.cloudwatch:
        with user_errors(stack):
            told = figures.told(aws_clients(settings.region, profile), stack, one.name, datetime.now(UTC))
    now = {name: values[0][1] for name, values in told.items() if values}
    each = INSTANCE_TYPES[settings.fleet.instance_types[0]].replicas if settings.platform == "ec2" else None
    servers = round(now.get("servers", 0)) or platform_of(settings).servers(scaling) or None
    edge, known = settings.edge, pins.load()
    return Stack(
        name=options.stack_name(stack),
        promised=_instead(one.promised, said),
        measured=Measured(servers=servers, usd_per_server_hour=one.usd_per_server_hour, servers_per_host=each),
        server=server_of(settings, inference, checks.size_of(inference, settings), known),
        usd_per_hour=costs.max_usd_per_hour(settings),
        warnings=(
            _others(now),
            f"each edge lets one address send {edge.requests_per_second_per_client} requests/s, "
            f"{edge.connections_per_client} at once (edge.*PerClient): what is above is 429, and counts as failed",
        ),
        facts={
            "stack": stack,
            "servers": servers,
            "instanceTypes": list(settings.fleet.instance_types),
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


def _ask(target: Target, name: str | None) -> Model:
    """The model, how much it holds, and how many tokens a word is.

    Raises:
        UserError: the API does not answer, or has no such model.
    """
    try:
        listed = send(target, "GET", "/v1/models").expect(200).json()["data"]
        found = next((one for one in listed if name in (None, one["id"])), None)
        if found is None:
            allowed = ", ".join(one["id"] for one in listed)
            raise UserError(Problem(key="--model", wrong="the API has no such model", value=name, allowed=allowed))
        model = Model(name=found["id"], context=found.get("max_model_len") or 8192)
        words = min(len(WORDS), model.context // 8)
        body = {"messages": [{"role": "user", "content": " ".join(WORDS[:words])}], "max_tokens": 1}
        body = {**sent(body, model), "stream": False, "stream_options": None}
        tokens = send(target, "POST", "/v1/chat/completions", body).expect(200).json()["usage"]["prompt_tokens"]
    except (Surprise, KeyError, TypeError) as error:
        fix = "`tandem smoke` says what is wrong with it"
        raise UserError(Problem(key=target.url, wrong="does not answer", value=str(error), fix=fix)) from None
    return Model(name=model.name, context=model.context, tokens_a_word=max(1.0, tokens / words))


def _takes(wanted: Wanted, about: Stack, model: Model) -> str:
    """What a sweep takes at most, in words."""
    promised = about.promised
    sample = wanted.bodies(model, 0, SAMPLE)
    tokens = sum(len(str(one["messages"])) / 4 + (one.get("max_completion_tokens") or 500) for one in sample) / SAMPLE
    most = most_requests(wanted.first, wanted.seconds, wanted.steps)
    return (
        f"{about.name}: {wanted.shape if wanted.own is None else 'own requests'} to {model.name}\n"
        f"promised: first token {promised.first_token_seconds:g} s, between tokens {promised.between_tokens_seconds:g} "
        f"s at 99 %, {100 * promised.availability:g} % answered\n"
        f"at most: {wanted.steps} rates, {_minutes(about, wanted.steps * _longest(wanted.seconds))}, "
        f"{most:,} requests, about {most * tokens:,.0f} tokens"
    )


def _minutes(about: Stack, seconds: float) -> str:
    """A time with what the stack costs meanwhile."""
    if about.usd_per_hour is None:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 60:.0f} minutes (${about.usd_per_hour * seconds / 3600:,.2f} of the stack at its largest)"


def _agree(screen: Screen, takes: str, about: Stack, yes: bool) -> None:
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
        raise UserError(Problem(key="--yes", wrong="nobody is there who could say yes to that", fix=fix))
    if not typer.confirm("Begin?", err=True):
        raise typer.Exit(2)


def _measure(
    screen: Screen,
    about: Stack,
    target: Target,
    model: Model,
    seconds: int,
    into: Path | None,
    *,
    yes: bool,
    as_json: bool,
) -> NoReturn:
    """Keeps more and more requests running, and adds what was measured to the project's file.

    Raises:
        UserError: what serves is not known, or the file cannot be written.
        typer.Exit: always; status 1 where a load was not answered.
    """
    if about.server is None or not about.measured.servers:
        wrong, fix = "what serves is not known: several cards, or a URL", "measure a stack whose types have one card"
        raise UserError(Problem(key="--measure", wrong=wrong, value=about.name, fix=fix))
    longest = len(AT_ONCE) * (seconds + generator.STARTS_SECONDS)
    _agree(screen, f"{about.name}: {len(AT_ONCE)} loads of {model.name}, {_minutes(about, longest)}", about, yes)
    rows: list[Measurement] = []
    with screen.status("installing aiperf, once, and measuring"):
        for at_once, row in measuring.loads(about.server, about.measured.servers, target, model, seconds):
            if row is None:
                screen.print(f"{at_once} at once: too many were not answered; no more are tried")
            else:
                rows.append(row)
                screen.print(
                    f"{at_once} at once: {row.tokens_per_second:,.0f} tokens/s, first token at 99 % "
                    f"{report.seconds(row.first_token_p99)}"
                )
    _add((into or options.PROJECT / loads.DIRECTORY) / loads.MEASUREMENTS, lambda file: added(file, rows))
    if as_json:
        print_json({"measurements": [asdict(row) for row in rows]})
    raise typer.Exit(0 if len(rows) == len(AT_ONCE) else 1)


def _sweep(screen: Screen, wanted: Wanted, about: Stack, target: Target, model: Model, found: list[Step]) -> bool:
    """Adds a step for each rate; False where it was interrupted, with those that were whole."""
    try:
        with screen.status("installing aiperf, once") as shown:
            generator.environment()
            while len(found) < wanted.steps and (rate := next_rate(found, wanted.first)) is not None:
                bodies = wanted.bodies(model, len(found) + 1, math.ceil(rate * wanted.seconds))
                begun, text = time.monotonic(), f"{len(found) + 1} of {wanted.steps} at most: {rate:.3g} requests/s"
                sent, lasted = generator.send(
                    target,
                    model.name,
                    rate,
                    bodies,
                    wanted.seconds,
                    lambda begun=begun, text=text: shown.update(f"{text}, {time.monotonic() - begun:.0f} s"),
                )
                found.append(step(rate, lasted, sent, about.promised))
                screen.print(
                    f"{'kept' if found[-1].kept else 'late'}  {rate:.3g} requests/s: {report.figures(found[-1])}"
                )
    except (KeyboardInterrupt, SystemExit):
        screen.print("Interrupted; what was measured so far is kept.")
        return False
    except UserError as error:
        if not found:
            raise
        screen.print(f"{error}\nWhat was measured before is kept.")
        return False
    return True


def _document(
    wanted: Wanted, about: Stack, model: Model, found: Sequence[Step], *, kept: bool, whole: bool
) -> dict[str, Any]:
    held, shape = best(found), wanted.shape if wanted.own is None else "own requests"
    price = usd_per_million_tokens(held, about.measured) if held else None
    first_token = about.promised.first_token_seconds
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "kept": kept,
        "rate": held.rate if held else None,
        "wanted": wanted.rate,
        "whole": whole,
        "line": report.line(f"`tandem load {about.name}`: {model.name}, {shape}", found, wanted.rate, price),
        "model": model.name,
        "shape": shape,
        "promised": asdict(about.promised),
        "versions": {"aiperf": generator.version()},
        "proposals": dict(proposals(held, about.measured, first_token, wanted.peak)) if held else {},
        **about.facts,
        "steps": [asdict(one) for one in found],
    }


def _write(directory: Path, about: Stack, document: Mapping[str, Any], found: Sequence[Step]) -> None:
    """Raises UserError: it cannot be written, or what is there is no file of load tests."""
    file = directory / f"{about.name}.json"
    _add(file, lambda path: loads.added(path, options.camel(document)))
    page = report.page(f"Load of {about.name}", document["line"], found, about.promised, document)
    write_file(file.with_suffix(".html"), page, "--into")


def _add(file: Path, text: Callable[[Path], str]) -> None:
    """Writes a file with what was there and more.

    Raises:
        UserError: it cannot be written, or what is there is no such file.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, text(file), "--into")
    except (OSError, ValueError) as error:
        fix = "name another directory"
        raise UserError(Problem(key="--into", wrong=str(error), value=str(file), fix=fix)) from None
