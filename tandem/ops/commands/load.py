"""`tandem load`: how much a stack carries while it keeps what is promised."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from tandem import loads
from tandem.catalog.measurements import Measurement, added
from tandem.errors import UserError
from tandem.ops import options
from tandem.ops.commands.loaded import (
    ApiUrl,
    Begin,
    Into,
    RequestsFile,
    ShapeName,
    Stack,
    agree,
    ask,
    longest,
    look,
    minutes,
    of_url,
    takes,
)
from tandem.ops.commands.smoke import Authority, KeyFile, ModelName, key_of_caller, of_stack
from tandem.ops.load import generator, measuring, report
from tandem.ops.load.measuring import AT_ONCE
from tandem.ops.load.results import proposals, usd_per_million_tokens
from tandem.ops.load.sweep import Step, best, most_requests, next_rate, step
from tandem.ops.load.traffic import Model, Traffic, from_file
from tandem.ops.screen import Screen
from tandem.ops.smoke import Target
from tandem.ops.tasks import called

OWN_CLIENT = "tandem-load"
"""Whose name is in logs and metrics while it runs with a key of its own."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was asked for."""

    traffic: Traffic
    first: float
    rate: float | None
    steps: int
    seconds: int
    peak: float | None

    @property
    def longest(self) -> int:
        """Seconds of all steps, at most."""
        return self.steps * longest(self.seconds)


def load(
    stack: options.StackName = options.DEFAULT_STACK,
    url: ApiUrl = None,
    shape: ShapeName = "chat",
    file: RequestsFile = None,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Requests a second to carry; the exit status says whether it does.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=20, help="Rates to try at most; 1 tries --rate alone.")] = 7,
    seconds: Annotated[int, typer.Option(min=5, max=3600, help="Of each rate.")] = 60,
    peak: Annotated[float | None, typer.Option(min=0.01, help="Say how many servers this rate takes.")] = None,
    model: ModelName = None,
    first_token: Annotated[float | None, typer.Option(help="Promised seconds instead of the stack's.")] = None,
    between_tokens: Annotated[float | None, typer.Option(help="Likewise.")] = None,
    api_key_file: KeyFile = None,
    ca: Authority = None,
    into: Into = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Keep 1 to 256 requests running in each server instead, for `tandem size`."),
    ] = False,
    yes: Begin = False,
    region: options.RegionName = None,
    profile: options.ProfileName = None,
    as_json: options.AsJson = False,
) -> None:
    """Find the highest rate of requests at which a stack keeps its objectives, and say what follows from it.

    aiperf sends streamed requests at random moments: the rate doubles until first tokens, further ones or failures are
    worse than `objectives`, then steps lie in between. It says first what it takes at most and who else is served, and
    asks. Results go to loads/STACK.json, to which each run adds, and loads/STACK.html; also after Ctrl-C. --measure
    adds throughput to loads/measurements.json.

    Exit status: 0 the objectives held, at --rate where that is given, or all was measured; 1 not so; 2 a mistake, or no
    yes; 130 interrupted.

    Examples: `tandem load dev`, `tandem load prod --shape rag --rate 12 --peak 40`, `tandem load --url
    http://localhost:8000 --api-key-file key.txt --rate 2 --steps 1 --yes --json`.
    """
    traffic = Traffic(shape, from_file(file) if file else None)
    wanted = Wanted(traffic=traffic, first=rate or 1, rate=rate, steps=steps, seconds=seconds, peak=peak)
    said = {"first_token_seconds": first_token, "between_tokens_seconds": between_tokens}
    key, screen = key_of_caller(api_key_file), Screen(stderr=as_json)
    if url:
        about, way = of_url(url, key, ca, said)
    else:
        settings = options.stack_settings(stack, region)
        about, lasting = look(stack, settings, profile, model, said), timedelta(minutes=15, seconds=wanted.longest)
        way = of_stack(
            stack, settings.of(called(settings, model)), profile, key=key, ca=ca, client=OWN_CLIENT, lasting=lasting
        )
    with way as target:
        asked = ask(target, model)
        if measure:
            _measure(screen, about, target, asked, seconds, into, yes=yes, as_json=as_json)
        most = most_requests(wanted.first, seconds, steps)
        agree(screen, takes(traffic, about, asked, f"{steps} rates", most, wanted.longest), about, yes)
        found: list[Step] = []
        whole = _sweep(screen, wanted, about, target, asked, found)
    if not found:
        raise typer.Exit(130)
    kept = found[0].kept if rate else best(found) is not None
    document = _document(wanted, about, asked, found, kept=kept, whole=whole)
    _write(into or options.PROJECT / loads.DIRECTORY, about, document, found)
    screen.print(document["line"])
    if as_json:
        options.print_json(document)
    raise typer.Exit(130 if not whole else 0 if kept else 1)


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
        raise UserError.of(key="--measure", wrong=wrong, value=about.name, fix=fix)
    most = minutes(about, len(AT_ONCE) * (seconds + generator.STARTS_SECONDS))
    agree(screen, f"{about.name}: {len(AT_ONCE)} loads of {model.name}, {most}", about, yes)
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
        options.print_json({"measurements": [asdict(row) for row in rows]})
    raise typer.Exit(0 if len(rows) == len(AT_ONCE) else 1)


def _sweep(screen: Screen, wanted: Wanted, about: Stack, target: Target, model: Model, found: list[Step]) -> bool:
    """Adds a step for each rate; False where it was interrupted, with those that were whole."""
    try:
        with screen.status("installing aiperf, once") as shown:
            generator.environment()
            while len(found) < wanted.steps and (rate := next_rate(found, wanted.first)) is not None:
                bodies = wanted.traffic.bodies(model, len(found) + 1, math.ceil(rate * wanted.seconds))
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
    held, shape = best(found), wanted.traffic.name
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
    page = report.page(f"Load of {about.name}", document["line"], report.by_rate(found), about.promised, document)
    options.write_file(file.with_suffix(".html"), page, "--into")


def _add(file: Path, text: Callable[[Path], str]) -> None:
    """Writes a file with what was there and more.

    Raises:
        UserError: it cannot be written, or what is there is no such file.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        options.write_file(file, text(file), "--into")
    except (OSError, ValueError) as error:
        fix = "name another directory"
        raise UserError.of(key="--into", wrong=str(error), value=str(file), fix=fix) from None
