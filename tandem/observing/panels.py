"""The panels of a model's dashboards: one list, for CloudWatch and for Grafana. Pure.

What is asked of Prometheus is of the last five minutes, of CloudWatch of each minute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tandem.observing import queries
from tandem.observing.watched import Watched

Unit = Literal["s", "percent", "share", "requests", "tokens", "servers", "celsius", "usd"]
WINDOW, SECONDS = "5m", 300
GROUPS = ("What users feel", "What the engine does", "What the hardware does", "What it costs")
USERS, ENGINE, HARDWARE, COST = GROUPS


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a plot.

    Attributes:
        name: in its legend; `{{label}}` is a series' own in Grafana.
        figures: of CloudWatch, as metric and statistic; several have an id each, for `math`; none where it has none.
        math: of CloudWatch, over the ids; empty for the one figure as it is.
        query: of Prometheus; empty where no series has it.
    """

    name: str
    figures: Mapping[str, tuple[str, str]]
    math: str = ""
    query: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One plot.

    Attributes:
        group: of GROUPS.
        says: what it shows, for whoever looks for the first time.
        marks: horizontal lines, such as an objective, by name.
    """

    title: str
    group: str
    says: str
    unit: Unit
    lines: Sequence[Line]
    marks: Mapping[str, float] = field(default_factory=dict)


def panels(model: Watched) -> list[Panel]:
    """Of one model, in the order of GROUPS."""
    return [*_users(model), *_engine(model), *_hardware(model), *_cost(model)]


def _one(name: str, metric: str, statistic: str, query: str = "") -> Line:
    return Line(name=name, figures={"m": (metric, statistic)}, query=query)


def _latency(model: Watched, metric: str, title: str, says: str, promised: float) -> Panel:
    def query(share: int) -> str:
        return queries.percentile(metric, share / 100, WINDOW, model.labels)

    return Panel(
        title=title,
        group=USERS,
        says=says,
        unit="s",
        lines=[_one(f"{share} of 100", metric, f"p{share}", query(share)) for share in (50, 95, 99)],
        marks={"promised to 99 of 100": promised},
    )


def _users(model: Watched) -> list[Panel]:
    labels, promised = model.labels, model.promised
    first, between = promised.first_token_seconds, promised.between_tokens_seconds
    failed, asked = queries.failed(SECONDS, labels), queries.asked(SECONDS, labels)
    return [
        _latency(model, "FirstToken", "First token", "until an answer begins", first),
        *([_latency(model, "BetweenTokens", "Between tokens", "from one token to the next", between)] * model.tokens),
        Panel(
            title="Failed",
            group=USERS,
            says="share of requests that failed or were refused; what a client did wrong is not among them",
            unit="share",
            lines=[_one("failed", "Failed", "Average", f"{failed} / {asked}")],
            marks={"may fail": round(promised.error_budget, 6)},
        ),
        Panel(
            title="Requests a minute",
            group=USERS,
            says="that were answered, or failed",
            unit="requests",
            lines=[_one("requests", "Failed", "SampleCount", f"{asked} * 60")],
        ),
        Panel(
            title="Requests a minute by client",
            group=USERS,
            says="of whom has a key; in Prometheus alone, for in CloudWatch each client is paid for",
            unit="requests",
            lines=[Line(name="{{client}}", figures={}, query=f"{queries.by_client(WINDOW, labels)} * 60")],
        ),
        Panel(
            title="Refused a minute by client",
            group=USERS,
            says="and why: key (not known), model, rate, streams, full (every server); in Prometheus alone",
            unit="requests",
            lines=[
                Line(
                    name="{{client}} {{reason}}",
                    figures={},
                    query=f"{queries.refused_by_client(WINDOW, labels)} * 60",
                )
            ],
        ),
    ]


def _engine(model: Watched) -> list[Panel]:
    labels = model.labels
    load = f"({queries.running(labels)} + {queries.waiting(labels)})"
    waited = f"max(sum_over_time(({queries.waiting(labels)} > bool 0)[{WINDOW}:15s])) * 15"
    return [
        Panel(
            title="Requests at a server",
            group=ENGINE,
            says="that run and wait",
            unit="requests",
            lines=[
                _one("on average", "Load", "Average", f"avg({load})"),
                _one("at the busiest", "Load", "Maximum", f"max({load})"),
            ],
        ),
        Panel(
            title="Requests wait",
            group=ENGINE,
            says="for so many seconds, without a break; in Prometheus so many of the last five minutes",
            unit="s",
            lines=[_one("at the fullest server", "Queued", "Maximum", waited)],
        ),
        Panel(
            title="KV cache in use",
            group=ENGINE,
            says="of the fullest server",
            unit="percent",
            lines=[_one("in use", "KvCacheUsed", "Maximum", f"max({queries.cache_used(labels)}) * 100")],
            marks={"full": 95},
        ),
        Panel(
            title="Thrown out of the KV cache a minute",
            group=ENGINE,
            says="requests that are computed again",
            unit="requests",
            lines=[
                _one("thrown out", "Preemptions", "Sum", f"{queries.rate_of('num_preemptions', WINDOW, labels)} * 60")
            ],
        ),
        _tokens(model),
        *([] if model.guesses_pay_from is None else [_guesses(labels, model.guesses_pay_from)]),
    ]


def _tokens(model: Watched) -> Panel:
    """CloudWatch has no figure of those that are read."""
    title, unit = "Tokens a minute", "tokens"
    if model.tokens:
        made = f"{queries.rate_of('generation_tokens', WINDOW, model.labels)} * 60"
        lines, says = [_one("made", "TokensOut", "Sum", made)], "that were made, by all servers"
    else:
        read = f"{queries.rate_of('prompt_tokens', WINDOW, model.labels)} * 60"
        lines, says = [Line(name="read", figures={}, query=read)], "that were read, by all servers; in Prometheus alone"
    return Panel(title=title, group=ENGINE, says=says, unit=unit, lines=lines)


def _guesses(labels: str, pay_from: float) -> Panel:
    return Panel(
        title="Right guesses",
        group=ENGINE,
        says="share of the tokens that inference.speculation guessed; below the mark, as modelled, they cost more than "
        "they give. Guessing: share of the servers at work that do; others have too many requests, or too few right",
        unit="share",
        lines=[
            _one("right", "GuessesRight", "Average", queries.right_guesses(WINDOW, labels)),
            _one("guessing", "Guessing", "Average", queries.guessing(WINDOW, labels)),
        ],
        marks={"pay from": round(pay_from, 3)} if pay_from else {},
    )


def _hardware(model: Watched) -> list[Panel]:
    labels = model.labels
    found = [
        Panel(
            title="Servers",
            group=HARDWARE,
            says="that answer",
            unit="servers",
            lines=[_one("answer", "Servers", "Sum", queries.servers(labels))],
        ),
        Panel(
            title="Restarts",
            group=HARDWARE,
            says="of servers; in Prometheus in the last five minutes",
            unit="servers",
            lines=[_one("started anew", "Restarts", "Sum", queries.starts(WINDOW, labels))],
        ),
    ]
    return [*found, _starts(labels), *(_gpus(labels) if model.gpus else [])]


def _starts(labels: str) -> Panel:
    """Once a start in CloudWatch, where each hour of a figure is paid for."""
    stages = {"image": "StartImage", "weights": "StartWeights", "ready": "StartReady"}
    return Panel(
        title="Cold start",
        group=HARDWARE,
        says="of machines, when they have made their first token; in Prometheus of the slowest that are there",
        unit="s",
        lines=[
            _one("whole", "StartWhole", "Maximum", queries.start(labels)),
            *(_one(stage, figure, "Maximum", queries.stage(stage, labels)) for stage, figure in stages.items()),
        ],
    )


def _gpus(labels: str) -> list[Panel]:
    def most(name: str, metric: str, figure: str) -> Line:
        return _one(name, metric, "Maximum", queries.gpus(figure, labels))

    return [
        Panel(
            title="GPUs",
            group=HARDWARE,
            says="the busiest and the fullest of a host",
            unit="percent",
            lines=[most("busy", "GpuUse", "use_percent"), most("memory", "GpuMemory", "memory_percent")],
        ),
        Panel(
            title="GPU temperature",
            group=HARDWARE,
            says="the hottest",
            unit="celsius",
            lines=[most("hottest", "GpuTemperature", "temperature_celsius")],
        ),
    ]


def _cost(model: Watched) -> list[Panel]:
    """At list prices on demand, of the GPUs that serve: what stands idle beside them, `tandem cost` has."""
    labels, usd = model.labels, round(model.usd_per_server_hour, 4)
    counter = "generation_tokens" if model.tokens else "prompt_tokens"
    servers, tokens = queries.servers(labels), queries.rate_of(counter, WINDOW, labels)
    return [
        Panel(
            title="US dollars an hour",
            group=COST,
            says="of servers that answer, at list prices on demand",
            unit="usd",
            lines=[
                Line(
                    name="servers", figures={"s": ("Servers", "Sum")}, math=f"s * {usd:g}", query=f"{servers} * {usd:g}"
                )
            ],
        ),
        Panel(
            title="US dollars a million tokens",
            group=COST,
            says="made; none are made, none are shown" if model.tokens else "read; in Prometheus alone",
            unit="usd",
            lines=[
                Line(
                    name="servers",
                    figures={"s": ("Servers", "Sum"), "t": ("TokensOut", "Sum")} if model.tokens else {},
                    math=f"IF(t > 0, s * {usd:g} / (t * 60) * 1000000)",
                    query=f"{servers} * {usd:g} / (({tokens} > 0) * 3600) * 1000000",
                )
            ],
        ),
    ]
