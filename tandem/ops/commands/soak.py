"""`tandem soak`: hours of load, and whether anything leaks, gets slower, restarts or fails under it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from tandem import loads
from tandem.errors import UserError
from tandem.ops import figures, options
from tandem.ops.aws import aws_clients, user_errors
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
    of_url,
    takes,
)
from tandem.ops.commands.smoke import Authority, KeyFile, ModelName, key_of_caller, of_stack
from tandem.ops.load import generator, report
from tandem.ops.load.soak import (
    RESTARTS,
    TIMES,
    TOLD,
    Finding,
    Series,
    Window,
    findings,
    latencies,
    stretch,
    unwatched,
    windows,
)
from tandem.ops.load.traffic import Model, Traffic, from_file
from tandem.ops.load.trends import Points, trend
from tandem.ops.screen import Screen
from tandem.ops.smoke import Target
from tandem.ops.tasks import called
from tandem.settings import Settings

OWN_CLIENT = "tandem-soak"
"""Whose name is in logs and metrics while it runs with a key of its own."""
FIGURES = tuple(replace(one, period=figures.LATELY) for one in figures.FIGURES if one.name in {*TOLD, RESTARTS})
"""Of CloudWatch, each in five minutes: a week has 2,016 of them, which is enough to see a trend."""


def soak(
    peak: Annotated[
        float, typer.Option(min=0.01, help="Requests a second that are expected at most; twice as many come.")
    ],
    stack: options.StackName = options.DEFAULT_STACK,
    url: ApiUrl = None,
    hours: Annotated[float, typer.Option(min=0.5, max=168, help="How long; what leaks slowly takes many.")] = 12,
    metrics: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Metrics of a server or its machine, as Prometheus reads them; repeatable."),
    ] = None,
    shape: ShapeName = "chat",
    file: RequestsFile = None,
    model: ModelName = None,
    api_key_file: KeyFile = None,
    ca: Authority = None,
    into: Into = None,
    yes: Begin = False,
    region: options.RegionName = None,
    profile: options.ProfileName = None,
    as_json: options.AsJson = False,
) -> None:
    """Load a stack for hours at twice its expected peak, and say what leaks, gets slower, restarts or fails.

    The requests of `tandem load`, in stretches of a minute to ten; after each it looks at rest. Memory that still grows
    in the second half is a leak, a latency that grew by a fifth after the first quarter a drift, both by the median of
    all slopes and only where chance is not the reason. Restarts, GPU memory and KV cache of a stack are from
    CloudWatch; memory of processes and hosts takes --metrics. It says first what it takes at most and who else is
    served, and asks. Results go to loads/STACK.soak.json and loads/STACK.soak.html; also after Ctrl-C.

    Exit status: 0 nothing was found, 1 something was, 2 a mistake, or no yes; 130 interrupted.

    Examples: `tandem soak prod --peak 8 --hours 12`, `tandem soak --url http://localhost:8000 --peak 2 --hours 1 --json
    --metrics http://localhost:8000/metrics --api-key-file key.txt --yes`.
    """
    traffic, pages = Traffic(shape, from_file(file) if file else None), [_page(one) for one in metrics or ()]
    rate, seconds = TIMES * peak, stretch(hours)
    most, requests = hours * 3600 + longest(seconds), math.ceil(rate * (hours * 3600 + seconds))
    key, screen = key_of_caller(api_key_file), Screen(stderr=as_json)
    settings = None if url else options.stack_settings(stack, region)
    if settings is None:
        about, way = of_url(url or "", key, ca, {})
    else:
        about, lasting = look(stack, settings, profile, model, {}), timedelta(minutes=15, seconds=most)
        way = of_stack(
            stack, settings.of(called(settings, model)), profile, key=key, ca=ca, client=OWN_CLIENT, lasting=lasting
        )
    found: list[Window] = []
    with way as target:
        asked = ask(target, model)
        agree(screen, takes(traffic, about, asked, f"{rate:g} requests/s", requests, most), about, yes)
        whole = _follow(screen, found, target, asked, traffic, about, rate, hours, pages)
    if not found:
        raise typer.Exit(130)
    told = _told(screen, stack, settings, profile, about.model, found) if settings else {}
    document = _document(about, asked, traffic, rate, hours, found, told, whole=whole)
    _write(into or options.PROJECT / loads.DIRECTORY, about, document, found)
    for one in document["findings"]:
        screen.print(f"{one['kind']}: {one['said']}")
    screen.print(document["line"])
    if as_json:
        options.print_json(document)
    raise typer.Exit(130 if not whole else 0 if document["kept"] else 1)


def _page(url: str) -> str:
    """Raises UserError: it is no address."""
    if url.startswith(("http://", "https://")):
        return url
    allowed = "http://HOST:PORT/metrics, also through `kubectl port-forward`, or a Prometheus' /federate?match[]=..."
    raise UserError.of(key="--metrics", wrong="is not a URL", value=url, allowed=allowed)


def _follow(
    screen: Screen,
    found: list[Window],
    target: Target,
    model: Model,
    traffic: Traffic,
    about: Stack,
    rate: float,
    hours: float,
    pages: Sequence[str],
) -> bool:
    """Adds a window for each stretch; False where it was interrupted, with those that were whole."""
    begun = time.monotonic()
    try:
        with screen.status("installing aiperf, once") as shown:
            generator.environment()

            def waiting() -> None:
                shown.update(f"{(time.monotonic() - begun) / 60:.0f} of {60 * hours:.0f} minutes")

            for one in windows(
                target,
                model.name,
                rate,
                lambda number, count: traffic.bodies(model, number, count),
                about.promised,
                hours=hours,
                seconds=stretch(hours),
                pages=pages,
                waiting=waiting,
            ):
                found.append(one)
                screen.print(f"{60 * one.hours:5.0f} of {60 * hours:.0f} minutes: {report.figures(one.step)}")
                _any_answer(found)
    except (KeyboardInterrupt, SystemExit):
        screen.print("Interrupted; what was measured so far is kept.")
        return False
    except UserError as error:
        if len(found) < 2:
            raise
        screen.print(f"{error}\nWhat was measured before is kept.")
        return False
    return True


def _any_answer(found: Sequence[Window]) -> None:
    """Raises UserError: nothing was answered at first, and hours more of that tell nothing."""
    if len(found) == 1 and sum(found[0].step.failed.values()) == found[0].step.requests:
        fix = "`tandem smoke` says what is wrong with it"
        raise UserError.of(key="--peak", wrong="nothing was answered", value=str(found[0].step.failed), fix=fix)


def _told(
    screen: Screen,
    stack: str,
    settings: Settings,
    profile: str | None,
    name: str,
    found: Sequence[Window],
) -> Mapping[Series, Points]:
    """What machines told CloudWatch meanwhile. After hours credentials may have ended: then nothing, and it says so."""
    end, window = datetime.now(UTC), timedelta(hours=found[-1].hours)
    try:
        with user_errors(stack):
            clients = aws_clients(settings.region, profile)
            told = figures.told(clients, stack, name, end, FIGURES, window) if settings.metrics.cloudwatch else {}
    except UserError as error:
        screen.print(str(error))
        return {}
    begun = end - window
    return {
        (figure, "CloudWatch"): [((at - begun).total_seconds() / 3600, value) for at, value in reversed(values)]
        for figure, values in told.items()
        if values
    }


def _document(
    about: Stack,
    model: Model,
    traffic: Traffic,
    rate: float,
    hours: float,
    found: Sequence[Window],
    told: Mapping[Series, Points],
    *,
    whole: bool,
) -> dict[str, Any]:
    wrong, missed = findings(found, told, about.promised), unwatched(found, told)
    lines = {name: trend(points) for name, points in latencies(found).items()}
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "kept": not wrong,
        "rate": rate,
        "hours": round(found[-1].hours, 3),
        "wanted_hours": hours,
        "whole": whole,
        "line": f"`tandem soak {about.name}`: {model.name}, {traffic.name}, {rate:g} requests/s for "
        f"{found[-1].hours:.3g} h: {_summary(wrong, missed)}",
        "model": model.name,
        "shape": traffic.name,
        "findings": [asdict(one) for one in wrong],
        "unwatched": missed,
        "trends": {name: asdict(line) for name, line in lines.items() if line},
        "promised": asdict(about.promised),
        "versions": {"aiperf": generator.version()},
        **about.facts,
        "steps": [{"minutes": round(60 * one.hours, 1), **asdict(one.step)} for one in found],
    }


def _summary(wrong: Sequence[Finding], missed: Sequence[str]) -> str:
    kinds = ", ".join(dict.fromkeys(one.kind for one in wrong)) or "nothing found"
    return f"{kinds}; not watched: {', '.join(missed)}" if missed else kinds


def _write(directory: Path, about: Stack, document: Mapping[str, Any], found: Sequence[Window]) -> None:
    """Raises UserError: it cannot be written."""
    file = directory / f"{about.name}.soak.json"
    with options.writing(file, "--into", "a directory"):
        directory.mkdir(parents=True, exist_ok=True)
    options.write_file(file, json.dumps(options.camel(document), indent=1) + "\n", "--into")
    rows = [(f"{60 * one.hours:.0f}", one.step) for one in found]
    page = report.page(f"Soak of {about.name}", document["line"], rows, about.promised, document, "minutes")
    options.write_file(file.with_suffix(".html"), page, "--into")
