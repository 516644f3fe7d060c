"""The panels as a dashboard of CloudWatch. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tandem.alarms import MINUTE, NAMESPACE, dimensions
from tandem.observing.panels import GROUPS, Line, Panel, panels
from tandem.observing.watched import Watched

COLUMNS, WIDTH, HEIGHT, HEADING = 3, 8, 6, 1
"""A dashboard is 24 wide."""
LABELS = {"s": "seconds", "percent": "%", "share": "share", "celsius": "°C", "usd": "US dollars"}
Widget = dict[str, Any]


GATEWAY: Sequence[tuple[str, str, str, Sequence[tuple[str, str]]]] = (
    ("requests", "targets", "AWS/ApplicationELB", (("RequestCount", "Sum"), ("HTTPCode_Target_5XX_Count", "Sum"))),
    (
        "seconds until an answer begins",
        "targets",
        "AWS/ApplicationELB",
        (("TargetResponseTime", "p50"), ("TargetResponseTime", "p99")),
    ),
    ("copies that are ready", "targets", "AWS/ApplicationELB", (("HealthyHostCount", "Minimum"),)),
    (
        "copies: busy, and memory, %",
        "copies",
        "AWS/ECS",
        (("CPUUtilization", "Average"), ("MemoryUtilization", "Maximum")),
    ),
    ("database: busy, %", "database", "AWS/RDS", (("CPUUtilization", "Average"),)),
    ("database: connections", "database", "AWS/RDS", (("DatabaseConnections", "Maximum"),)),
    ("database: bytes left", "database", "AWS/RDS", (("FreeStorageSpace", "Minimum"),)),
    (
        "cache: busy, and memory, %",
        "cache",
        "AWS/ElastiCache",
        (("EngineCPUUtilization", "Average"), ("DatabaseMemoryUsagePercentage", "Maximum")),
    ),
)
"""Of a gateway for teams: title, what it is of, namespace, and figures with their statistics. What teams spend
is in its database alone."""


def body(models: Sequence[Watched], region: str, gateway: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """As PutDashboard takes it
    (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html).

    Args:
        gateway: the dimensions of what a gateway has; None without one.
    """
    widgets: list[Widget] = []
    top = 0
    for model in models:
        for group in GROUPS:
            there = (panel for panel in panels(model) if any(line.figures for line in panel.lines))
            found = [panel for panel in there if panel.group == group]
            text = f"## {model.name}: {group}"
            widgets.append(_place("text", 0, top, 24, HEADING, {"markdown": text, "background": "transparent"}))
            top += HEADING
            for number, panel in enumerate(found):
                row, column = divmod(number, COLUMNS)
                at = (column * WIDTH, top + row * HEIGHT, WIDTH, HEIGHT)
                widgets.append(_place("metric", *at, _plot(panel, model, region)))
            top += -(-len(found) // COLUMNS) * HEIGHT
    if gateway:
        widgets += _gateway(gateway, region, top)
    return json.dumps({"widgets": widgets}, ensure_ascii=False)


def _gateway(figures: Mapping[str, Mapping[str, str]], region: str, top: int) -> Iterator[Widget]:
    yield _place("text", 0, top, 24, HEADING, {"markdown": "## gateway", "background": "transparent"})
    for number, (title, of, namespace, metrics) in enumerate(one for one in GATEWAY if one[1] in figures):
        row, column = divmod(number, COLUMNS)
        where = [item for pair in figures[of].items() for item in pair]
        properties = {
            "title": title,
            "region": region,
            "view": "timeSeries",
            "period": MINUTE,
            "metrics": [[namespace, metric, *where, {"stat": statistic}] for metric, statistic in metrics],
            "yAxis": {"left": {"min": 0, "showUnits": False}},
        }
        yield _place("metric", column * WIDTH, top + HEADING + row * HEIGHT, WIDTH, HEIGHT, properties)


def _place(kind: str, x: int, y: int, width: int, height: int, properties: Widget) -> Widget:
    return {"type": kind, "x": x, "y": y, "width": width, "height": height, "properties": properties}


def _plot(panel: Panel, model: Watched, region: str) -> Widget:
    marks = [{"label": name, "value": value} for name, value in panel.marks.items()]
    return {
        "title": panel.title,
        "region": region,
        "view": "timeSeries",
        "period": MINUTE,
        "metrics": [row for number, line in enumerate(panel.lines) for row in _rows(line, number, model)],
        "yAxis": {"left": {"min": 0, "label": LABELS.get(panel.unit, ""), "showUnits": False}},
        **({"annotations": {"horizontal": marks}} if marks else {}),
    }


def _rows(line: Line, number: int, model: Watched) -> Iterator[list[Any]]:
    """A figure as it is, or figures that are not shown and what is made of them."""
    where = [item for pair in dimensions(model.stack, model.name).items() for item in pair]
    for name, (metric, statistic) in line.figures.items():
        shown = {"id": name, "visible": False} if line.math else {"label": line.name}
        yield [NAMESPACE, metric, *where, {"stat": statistic, **shown}]
    if line.math:
        yield [{"expression": line.math, "label": line.name, "id": f"e{number}"}]
