"""The line on logs that go elsewhere: what CloudWatch Logs counts of the lines that it sent on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from tandem.ops.logs import groups
from tandem.ops.ready.visit import Seen, Unmet, Visit
from tandem.ops.status import Unknown

SENT, FAILED, HELD_UP = "ForwardedLogEvents", "DeliveryErrors", "DeliveryThrottling"
"""Of a log group, a filter and a kind of destination
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html). How kinds
are spelt that page does not say, so CloudWatch is asked which there are."""
DAY = timedelta(days=1)
"""So long CloudWatch Logs tries again what a destination was too busy for; what is refused is not tried again."""


def delivery(visit: Visit) -> Seen:
    """Lines arrive where logs.sendTo points, from each group of the stack's servers."""
    wanted = visit.settings.logs.send_to
    if not wanted:
        return "in CloudWatch alone: logs.sendTo names no other place"
    found = groups(visit.clients, visit.stack, visit.life)
    leads = {group: [one["filterName"] for one in _filters(visit, group, wanted)] for group in found}
    if cut := [group for group, names in leads.items() if not names]:
        return Unmet(f"nothing leads there from {', '.join(cut)}")
    counted = {metric: sum(_counted(visit, metric, leads)) for metric in (SENT, FAILED, HELD_UP)}
    if lost := {metric: lines for metric, lines in counted.items() if metric != SENT and lines}:
        said = ", ".join(f"{metric} {lines:,.0f}" for metric, lines in lost.items())
        return Unmet(f"of a day's lines: {said}", f"{wanted}: is it there, has it room, does it let this account in?")
    return (
        f"{counted[SENT]:,.0f} lines in a day to {wanted}"
        if counted[SENT]
        else Unknown("no line went in a day: did anybody ask? docs/logs.md says what a place needs")
    )


def _filters(visit: Visit, group: str, destination: str) -> list[dict[str, Any]]:
    found = visit.clients("logs").describe_subscription_filters(logGroupName=group)["subscriptionFilters"]
    return [one for one in found if one["destinationArn"] == destination]


def _counted(visit: Visit, metric: str, leads: dict[str, list[str]]) -> Iterator[float]:
    """Lines in the last day; nothing while none was counted."""
    watch = visit.clients("cloudwatch")
    for group, names in leads.items():
        of_group = [{"Name": "LogGroupName", "Value": group}]
        listed = watch.list_metrics(Namespace="AWS/Logs", MetricName=metric, Dimensions=of_group)["Metrics"]
        of_filters = [one for one in listed if {d["Value"] for d in one["Dimensions"]} & {*names}]
        for one in of_filters:
            query = {"Id": "m", "MetricStat": {"Metric": one, "Period": 300, "Stat": "Sum"}}
            answer = watch.get_metric_data(MetricDataQueries=[query], StartTime=visit.now - DAY, EndTime=visit.now)
            yield sum(answer["MetricDataResults"][0]["Values"])
