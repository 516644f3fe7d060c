"""Plays CloudWatch's alarms: figures as machines report them in, states out.

An alarm without figures that had some goes back to INSUFFICIENT_DATA, which calls as ALARM does. CloudWatch looks
further back where figures are missing, which is not played: there an alarm may call, and end, some periods later.

Stands for: how CloudWatch makes statistics of reported values, and evaluates alarms and alarms of alarms.
Held by: nothing, moto keeps alarms and evaluates none; the rules are those of
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tandem.alarms import Alarm, Both

Datum = Mapping[str, Any]
"""Of PutMetricData: MetricName, Values and Counts."""


class Figures:
    """What was reported, by metric and second."""

    def __init__(self) -> None:
        self._reported: defaultdict[str, list[tuple[float, float, float]]] = defaultdict(list)

    def put(self, now: float, data: Sequence[Datum]) -> None:
        """Takes a report; none is older than one before it."""
        for datum in data:
            pairs = zip(datum["Values"], datum["Counts"], strict=True)
            self._reported[datum["MetricName"]] += [(now, value, count) for value, count in pairs]

    def last(self, metric: str, end: float) -> float | None:
        """When it was last reported before then."""
        before = bisect_left(self._reported[metric], (end,))
        return self._reported[metric][before - 1][0] if before else None

    def statistic(self, metric: str, statistic: str, start: float, end: float) -> float | None:
        """Of what was reported from a second up to another; None where nothing was."""
        known = self._reported[metric]
        first, after = bisect_left(known, (start,)), bisect_left(known, (end,))
        found = sorted((value, count) for _, value, count in known[first:after])
        if not found:
            return None
        number = sum(count for _, count in found)
        if statistic.startswith("p"):
            rank, below = float(statistic[1:]) / 100 * number, 0.0
            for value, count in found:
                below += count
                if below >= rank:
                    return value
        total = sum(value * count for value, count in found)
        return {
            "Sum": total,
            "SampleCount": number,
            "Average": total / number,
            "Maximum": found[-1][0],
            "Minimum": found[0][0],
        }[statistic]


def fires(alarm: Alarm | Both, figures: Figures, now: float) -> bool:
    """Whether an alarm is in ALARM, once the period that ends now is over."""
    if isinstance(alarm, Both):
        return all(fires(one, figures, now) for one in alarm.of)
    breaching = sum(_breaches(alarm, figures, now - alarm.period * back) for back in range(alarm.periods))
    return breaching >= (alarm.enough or alarm.periods)


def _breaches(alarm: Alarm, figures: Figures, end: float) -> bool:
    found = figures.statistic(alarm.metric, alarm.statistic, end - alarm.period, end)
    if found is None and alarm.missing == "ignore":  # as it was
        last = figures.last(alarm.metric, end)
        return last is not None and _breaches(alarm, figures, last + 1)
    if found is None:
        return alarm.missing == "missing" and figures.statistic(alarm.metric, "Sum", 0, end) is not None
    return found < alarm.above if alarm.below else found > alarm.above
