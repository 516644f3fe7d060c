"""The panels as a dashboard of Grafana. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import GraphTresholdsStyleMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode

from tandem.observing.panels import GROUPS, Panel, panels
from tandem.observing.watched import Watched

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
"""Whichever Prometheus is chosen above the plots."""
UNITS = {"s": "s", "percent": "percent", "share": "percentunit", "celsius": "celsius", "usd": "currencyUSD"}
WIDTH, HEIGHT = 8, 8
"""A dashboard is 24 wide."""


def board(models: Sequence[Watched]) -> str:
    """As JSON, which Grafana's import takes, and its provisioning. What Prometheus has no series of is left out."""
    (stack,) = {model.stack for model in models}
    built = (
        dashboard.Dashboard(f"tandem: {stack}")
        .uid(f"tandem-{stack}"[:40])
        .tags(["tandem", "vllm"])
        .time("now-6h", "now")
        .refresh("1m")
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for model in models:
        for group in GROUPS:
            built = built.with_row(dashboard.Row(f"{model.name}: {group}"))
            for panel in panels(model):
                if panel.group == group and any(line.query for line in panel.lines):
                    built = built.with_panel(_plot(panel))
    return json.dumps(_without_nothing(json.loads(json.dumps(built.build(), cls=JSONEncoder))), indent=1)


def _plot(panel: Panel) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .title(panel.title)
        .description("\n\n".join([panel.says, *(f"{name}: {value:g}" for name, value in panel.marks.items())]))
        .unit(UNITS.get(panel.unit, "short"))
        .min(0)
        .datasource(SOURCE)
        .span(WIDTH)
        .height(HEIGHT)
    )
    for line in panel.lines:
        built = built.with_target(
            prometheus.Dataquery().expr(line.query).legend_format(line.name).range().datasource(SOURCE)
        )
    return _marked(built, panel.marks.values()) if panel.marks else built


def _marked(built: timeseries.Panel, marks: Iterable[float]) -> timeseries.Panel:
    """With a line at each mark."""
    steps = [Threshold(value=None, color="green"), *(Threshold(value=mark, color="red") for mark in marks)]
    config = dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
    style = common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
    return built.thresholds(config).thresholds_style(style)


def _without_nothing(value: Any) -> Any:
    """What is not said is not null; but of a threshold, whose first step has no bound."""
    if isinstance(value, dict):
        first_step = value.keys() == {"value", "color"}
        return {key: _without_nothing(one) for key, one in value.items() if one is not None or first_step}
    return [_without_nothing(one) for one in value] if isinstance(value, list) else value
