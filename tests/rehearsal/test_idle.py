"""The alarm of the idle stop on a played clock: its metric math, and alarms that are wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from infra.components.idle_stop import EXPRESSION, evaluation
from rehearsal.idle import EMPTY, IDLE, REFUSED, SERVED, Alarm, Period, wrong
from rehearsal.metric_math import value


def alarm(expression: str = EXPRESSION, periods: int = 60, threshold: float = 1) -> Alarm:
    metrics = [{"Id": "idle", "Expression": expression}, {"Id": "on", "MetricStat": {"Period": 60}}]
    facts: dict[str, Any] = {"Metrics": metrics, "EvaluationPeriods": periods, "Threshold": threshold}
    return Alarm(facts, {})


@pytest.mark.parametrize(
    ("period", "expected"), [(EMPTY, 1), ({}, 1), (IDLE, 0), (SERVED, 1), (REFUSED, 1), ({"on": 2, "served": 7}, 7)]
)
def test_requests_while_in_service(period: Period, expected: float) -> None:
    assert value(EXPRESSION, period) == expected


def test_if_is_what_awss_own_table_says() -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html, "Using IF expressions"."""
    nothing = None
    columns = zip([1, 1, 0, 0, nothing], [30, nothing, 0, 0, 30], [0, 0, 20, nothing, 20], strict=True)
    points = [{f"m{n}": one for n, one in enumerate(column, 1) if one is not None} for column in columns]
    assert [value("IF(m1, m2, m3)", point) for point in points] == [30, 0, 20, nothing, nothing]
    assert [value("IF(m1, 5, m3)", point) for point in points] == [5, 5, 20, nothing, nothing]
    assert [value("IF(m1, m2, 5)", point) for point in points] == [30, 0, 5, 5, nothing]


def test_it_rings_after_so_long_and_only_then() -> None:
    assert not list(wrong(alarm()))
    assert alarm().minutes == 60


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (alarm("FILL(served, 0) + FILL(refused, 0)"), "as while the first one boots: the alarm is on"),
        (alarm("IF(FILL(on, 0) > 0, FILL(served, 0), 1)"), "one request that found no server: the alarm is on"),
        (
            alarm("IF(FILL(on, 0) > 0, FILL(served, 0) + FILL(refused, 0), 0)"),
            "in service for so long: the alarm is on",
        ),
        (alarm(threshold=0), "no request while a host is in service: the alarm is silent"),
        (alarm(threshold=2), "one answer at the end: the alarm is on"),
    ],
)
def test_an_alarm_that_is_wrong_is_found(broken: Alarm, said: str) -> None:
    assert any(said in one for one in wrong(broken))


def test_math_that_the_rehearsal_does_not_know_is_refused() -> None:
    with pytest.raises(LookupError, match="does not know this metric math"):
        value("MAX(served)", SERVED)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (timedelta(minutes=10), (60, 10)),
        (timedelta(days=1), (60, 1440)),
        (timedelta(hours=25), (3600, 25)),
        (timedelta(days=7), (3600, 168)),
    ],
)
def test_periods_within_cloudwatchs_limits(after: timedelta, expected: tuple[int, int]) -> None:
    assert evaluation(after) == expected
    seconds, periods = expected
    assert seconds * periods <= (86_400 if seconds < 3600 else 604_800)


def test_one_period_more_than_none_is_needed() -> None:
    assert replace(alarm(), facts={**alarm().facts, "EvaluationPeriods": 1}).rings([IDLE])
