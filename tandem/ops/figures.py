"""What a stack's machines have told CloudWatch in the last half hour, of each model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tandem import checks
from tandem.alarms import NAMESPACE, dimensions
from tandem.objectives import Objectives
from tandem.observing.watched import Watched, watched
from tandem.ops.kinds.kind import Clients
from tandem.settings import Settings

WINDOW, WEEK = timedelta(minutes=30), timedelta(days=7)
NOW, LATELY, HOUR = 60, 300, 3600
"""Seconds of a value: gauges as they are told; sums and shares of five reports, so that a late one is little of it."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row of what is shown.

    Attributes:
        metric: in tandem's namespace.
        statistic: of CloudWatch, over all machines.
        period: seconds.
        each: divides the value; the period, where it is told by second.
        added: minutes of which the values are added up, whatever CloudWatch's own longer periods begin with.
    """

    name: str
    metric: str
    statistic: str
    period: int = NOW
    each: float = 1
    added: int = 0


FIGURES = (
    Figure(name="servers", metric="Servers", statistic="Sum", added=5, each=5),
    Figure(name="load", metric="Load", statistic="Average"),
    Figure(name="queued_seconds", metric="Queued", statistic="Maximum"),
    Figure(name="stalled_seconds", metric="Stalled", statistic="Maximum"),
    Figure(name="tokens_a_second", metric="TokensOut", statistic="Sum", added=5, each=5 * NOW),
    Figure(name="requests_a_minute", metric="Failed", statistic="SampleCount", added=5, each=5),
    Figure(name="failed_share", metric="Failed", statistic="Average", period=LATELY),
    Figure(name="first_token_p50", metric="FirstToken", statistic="p50", period=LATELY),
    Figure(name="first_token_p99", metric="FirstToken", statistic="p99", period=LATELY),
    Figure(name="between_tokens_p50", metric="BetweenTokens", statistic="p50", period=LATELY),
    Figure(name="between_tokens_p99", metric="BetweenTokens", statistic="p99", period=LATELY),
    Figure(name="kv_cache_percent", metric="KvCacheUsed", statistic="Average"),
    Figure(name="kv_cache_most_percent", metric="KvCacheUsed", statistic="Maximum"),
    Figure(name="preemptions", metric="Preemptions", statistic="Sum", period=LATELY),
    Figure(name="restarts", metric="Restarts", statistic="Sum", period=LATELY),
    Figure(name="gpu_use_percent", metric="GpuUse", statistic="Average"),
    Figure(name="gpu_memory_percent", metric="GpuMemory", statistic="Maximum"),
    Figure(name="gpu_celsius", metric="GpuTemperature", statistic="Maximum"),
    Figure(name="canary_failed", metric="CanaryFailed", statistic="Maximum", period=LATELY),
    Figure(name="gpu_errors", metric="GpuErrors", statistic="Maximum", period=LATELY),
)

STARTS = (
    Figure(name="start_seconds", metric="StartWhole", statistic="Maximum", period=HOUR),
    Figure(name="start_image_seconds", metric="StartImage", statistic="Maximum", period=HOUR),
    Figure(name="start_weights_seconds", metric="StartWeights", statistic="Maximum", period=HOUR),
    Figure(name="start_ready_seconds", metric="StartReady", statistic="Maximum", period=HOUR),
)
"""Told once a start, so that they are looked for in a week."""


@dataclass(frozen=True, kw_only=True)
class ModelFigures:
    """One model.

    Attributes:
        model: as the settings name it; the main one is main.
        promised: its objectives.
        values: by a figure's name, newest first, each with its time; none where nothing was told.
    """

    model: str
    promised: Objectives
    values: Mapping[str, Sequence[tuple[datetime, float]]]

    def now(self, name: str) -> float | None:
        """The newest value."""
        return next((value for _, value in self.values[name]), None)

    @property
    def told_at(self) -> datetime | None:
        """When a machine has last told how it is."""
        return next((moment for moment, _ in self.values["load"]), None)

    def as_json(self) -> dict[str, Any]:
        """The newest of each, with what is promised."""
        promised = {
            "first_token_seconds": self.promised.first_token_seconds,
            "between_tokens_seconds": self.promised.between_tokens_seconds,
            "failed_share": round(self.promised.error_budget, 6),
        }
        newest = {figure.name: self.now(figure.name) for figure in (*FIGURES, *STARTS)}
        return {"model": self.model, "told_at": self.told_at, "promised": promised, **newest}


def look(clients: Clients, stack: str, settings: Settings, now: datetime) -> list[ModelFigures]:
    """Of all models, the main one first.

    Raises:
        botocore's errors.
    """
    return [
        ModelFigures(
            model=one.name,
            promised=one.promised,
            values=told(clients, stack, one.name, now) | told(clients, stack, one.name, now, STARTS, WEEK),
        )
        for one in models(settings, stack)
    ]


def models(settings: Settings, stack: str) -> list[Watched]:
    """Of a stack, with the objectives that sizing allows where the settings have none."""
    return watched(settings, stack, checks.size)


def told(
    clients: Clients,
    stack: str,
    model: str,
    now: datetime,
    wanted: Sequence[Figure] = FIGURES,
    window: timedelta = WINDOW,
) -> dict[str, list[tuple[datetime, float]]]:
    """Values of the last half hour, or of another window, by a figure's name, newest first; empty where none were told.

    Raises:
        botocore's errors.
    """
    end = now.replace(second=0, microsecond=0)  # so that the newest value of several minutes is of the last ones
    found = clients("cloudwatch").get_metric_data(
        MetricDataQueries=[_query(figure, stack, model) for figure in wanted],
        StartTime=end - window,
        EndTime=end,
        ScanBy="TimestampDescending",
    )["MetricDataResults"]
    values = {one["Id"]: [*zip(one["Timestamps"], one["Values"], strict=True)] for one in found}
    return {one.name: list(_told(one, values.get(one.name, ()), end)) for one in wanted}


def cold_start(told: Mapping[str, Sequence[tuple[datetime, float]]]) -> str:
    """Of the last machine that came, the slowest of its hour, by stage; empty where none has.

    Args:
        told: values of STARTS, by name, newest first.
    """
    if not told["start_seconds"]:
        return ""
    hour, whole = told["start_seconds"][0]
    stages = {"image": "start_image_seconds", "weights": "start_weights_seconds", "server": "start_ready_seconds"}
    of_hour = ((stage, dict(told[name]).get(hour)) for stage, name in stages.items())
    parts = [f"{stage} {seconds:,.0f}" for stage, seconds in of_hour if seconds is not None]
    return f"{whole:,.0f} s{': ' * bool(parts)}{', '.join(parts)}"


def _told(figure: Figure, values: Sequence[tuple[datetime, float]], end: datetime) -> Iterator[tuple[datetime, float]]:
    if figure.added:
        lately = [value for moment, value in values if moment >= end - timedelta(minutes=figure.added)]
        values = [(values[0][0], sum(lately))] if lately else []
    for moment, value in values:
        yield moment, value / figure.each


def _query(figure: Figure, stack: str, model: str) -> dict[str, Any]:
    of = [{"Name": name, "Value": value} for name, value in dimensions(stack, model).items()]
    metric = {"Namespace": NAMESPACE, "MetricName": figure.metric, "Dimensions": of}
    return {"Id": figure.name, "MetricStat": {"Metric": metric, "Period": figure.period, "Stat": figure.statistic}}
