"""`tandem top`: what users feel, what the engine does, what the GPUs do, what it costs; live."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from tandem.alarms import FULL_PERCENT, QUEUED_SECONDS, STALLED_SECONDS
from tandem.errors import UserError
from tandem.ops import figures, options
from tandem.ops.aws import AwsError, aws_clients, problem_of
from tandem.ops.figures import ModelFigures
from tandem.ops.kinds.kind import Clients
from tandem.ops.options import DEFAULT_STACK, AsJson, ProfileName, RegionName, StackName, print_json, stack_settings
from tandem.ops.pulumi import Stack
from tandem.ops.screen import Screen, columns
from tandem.ops.status import Serving, Unknown, serving
from tandem.ops.whose import Own, own
from tandem.settings import Settings

BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Frame:
    """What is shown at a time."""

    at: datetime
    where: str
    serving: Serving
    models: Sequence[ModelFigures]


def top(
    stack: StackName = DEFAULT_STACK,
    every: Annotated[int, typer.Option(min=10, max=600, help="Seconds between looks; machines tell each minute.")] = 30,
    once: Annotated[bool, typer.Option("--once", help="Look once; always so where this is no terminal.")] = False,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Show servers, load, latencies, tokens, KV cache, GPUs and cost of a stack, live, beside its objectives.

    From what machines tell CloudWatch each minute: latencies and shares of the last five minutes, the rest of the last
    one. What is worse than its objective is red. A look costs $0.0002 a model at CloudWatch. Ctrl-C ends it.

    Exit status: 0 machines tell how they are, 1 none does.

    Examples: `tandem top prod`, `tandem top --once`, `tandem top prod --json`.
    """
    settings = stack_settings(stack, region)
    if not settings.metrics.cloudwatch:
        raise UserError.of(
            key="metrics.cloudwatch",
            wrong="machines of this stack tell CloudWatch nothing, from which this is read",
            value=False,
            fix="ask the Prometheus that scrapes them, or set it to true and bring the stack up",
        )
    clients, mine, screen = aws_clients(settings.region, profile), own(Stack(stack, options.PROJECT)), Screen()

    def look() -> Frame:
        return _look(clients, stack, settings, mine)

    if as_json or once or not screen.is_terminal or screen.is_dumb_terminal:
        frame = look()
        if as_json:
            print_json({"stack": stack, "at": frame.at, "models": [one.as_json() for one in frame.models]})
        else:
            screen.print(shown(frame))
    else:
        frame = _follow(screen, look, every)
    raise typer.Exit(0 if any(one.told_at for one in frame.models) else 1)


def _look(clients: Clients, stack: str, settings: Settings, mine: Own | None) -> Frame:
    now = datetime.now(UTC)
    found = serving(clients, stack, settings, mine)
    try:
        return Frame(now, f"{stack} in {settings.region}", found, figures.look(clients, stack, settings, now))
    except AwsError as error:
        raise UserError(problem_of(error, stack)) from None


def _follow(screen: Screen, look: Callable[[], Frame], every: int) -> Frame:
    """Until Ctrl-C. A look that fails is told below the last one that did not."""
    frame = look()
    with Live(shown(frame), console=screen, auto_refresh=False, screen=True) as live:
        try:
            while True:
                time.sleep(every)
                try:
                    frame = look()
                    live.update(shown(frame), refresh=True)
                except UserError as error:
                    live.update(Group(shown(frame), Text(f"\n{error}", style="yellow")), refresh=True)
        except KeyboardInterrupt:
            pass
    screen.print(shown(frame))
    return frame


def shown(frame: Frame) -> Group:
    """A table with a column for each model."""
    table = columns("", *(one.model for one in frame.models))
    for cells in zip(*(tuple(rows(one)) for one in frame.models), strict=True):
        table.add_row(cells[0][0], *(Text(text, style="red" if bad else "") for _, text, bad in cells))
    return Group(_head(frame), table)


def _head(frame: Frame) -> Text:
    told = max((one.told_at for one in frame.models if one.told_at), default=None)
    servers, cost = frame.serving.servers, frame.serving.usd_per_hour
    parts = [
        f"{frame.where}, {frame.at:%H:%M:%SZ}",
        f"told {told:%H:%M}Z" if told else "no machine has told anything for half an hour",
        servers.summary if not isinstance(servers, Unknown) else f"servers {servers}",
        f"cost {cost}" if isinstance(cost, Unknown) else f"${cost:,.2f} an hour",
    ]
    return Text("   ".join(parts))


def rows(one: ModelFigures) -> Iterator[tuple[str, str, bool]]:
    """Of one model: what it is, the value with its unit, and whether that is worse than promised."""
    now, promised = one.now, one.promised
    yield "servers", _number(now("servers")), now("servers") == 0
    yield "load of a server", _number(now("load"), trend=[value for _, value in one.values["load"]]), False
    waiting = now("queued_seconds")
    yield "a queue for", _number(waiting, " s"), (waiting or 0) > QUEUED_SECONDS
    stalled = now("stalled_seconds")
    yield "no token for", _number(stalled, " s"), (stalled or 0) > STALLED_SECONDS
    yield "requests", _number(now("requests_a_minute"), " a minute"), False
    failed, budget = now("failed_share"), promised.error_budget
    share = None if failed is None else 100 * failed
    yield "failed", _number(share, f" % (promised {100 * budget:g} %)", digits=2), (failed or 0) > budget
    yield _latency("first token", now("first_token_p50"), now("first_token_p99"), promised.first_token_seconds)
    late = promised.between_tokens_seconds
    yield _latency("between tokens", now("between_tokens_p50"), now("between_tokens_p99"), late)
    yield "tokens", _number(now("tokens_a_second"), " a second"), False
    most = now("kv_cache_most_percent")
    yield "KV cache", _number(now("kv_cache_percent"), f" %, {most or 0:.0f} % at most"), (most or 0) > FULL_PERCENT
    yield "thrown out of it", _number(now("preemptions")), bool(now("preemptions"))
    yield "restarts", _number(now("restarts")), bool(now("restarts"))
    yield "cold start", figures.cold_start(one.values) or "none in a week", False
    wrong = now("canary_failed")
    yield "canary", "not told" if wrong is None else f"{wrong:.0f} failed" if wrong else "passed", bool(wrong)
    use, memory, heat = now("gpu_use_percent"), now("gpu_memory_percent"), now("gpu_celsius")
    gpus = "not told" if use is None else f"{use:.0f} % busy, {memory or 0:.0f} % of memory, {heat or 0:.0f} C at most"
    yield "GPUs", gpus, bool(now("gpu_errors"))


def _latency(name: str, median: float | None, worst: float | None, promised: float) -> tuple[str, str, bool]:
    if median is None or worst is None:
        return name, "none", False
    return name, f"{median:.3g} s, 99 %: {worst:.3g} s (promised {promised:g} s)", worst > promised


def _number(value: float | None, unit: str = "", *, digits: int = 1, trend: Sequence[float] = ()) -> str:
    """The value as people read it; with what it was before, newest first."""
    if value is None:
        return "not told"
    text = f"{value:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:,.0f}"
    top = max(trend, default=0)
    bars = "".join(BARS[round(one / top * (len(BARS) - 1))] for one in reversed(trend)) if top else ""
    return f"{text}{unit}{'  ' if bars else ''}{bars}"
