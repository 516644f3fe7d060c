"""Lets time pass without a request: does what CloudWatch's alarm and its scaling policy would do then.

Stands for: CloudWatch, which evaluates an alarm.
Held by: nothing, no alarm of AWS's has been seen to act; its words are rehearsal/metric_math.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rehearsal.metric_math import value
from tandem import type_tokens as types
from tandem.ops.kinds.kind import Clients, Found

Period = Mapping[str, float]
"""What the metrics say in one period, by their ids in the alarm; what says nothing is not there."""
EMPTY: Period = {"on": 0}
IDLE: Period = {"on": 1}
SERVED: Period = {"on": 1, "served": 1}
REFUSED: Period = {"on": 1, "refused": 1}


@dataclass(frozen=True)
class Alarm:
    """An alarm on metric math, and the group that its policy sizes."""

    facts: Mapping[str, Any]
    policy: Mapping[str, Any]

    @property
    def periods(self) -> int:
        return self.facts["EvaluationPeriods"]

    @property
    def minutes(self) -> float:
        """How far it looks back."""
        seconds = next(query["MetricStat"]["Period"] for query in self.facts["Metrics"] if "MetricStat" in query)
        return seconds * self.periods / 60

    def rings(self, history: Sequence[Period]) -> bool:
        """Whether it is in alarm after these periods: all that it looks back on lie below its threshold."""
        expression = next(query["Expression"] for query in self.facts["Metrics"] if query.get("Expression"))
        seen = [value(expression, period) for period in history[-self.periods :]]
        return len(seen) == self.periods and all(one is not None and one < self.facts["Threshold"] for one in seen)

    def act(self, clients: Clients) -> None:
        """What Auto Scaling does when the alarm calls the policy."""
        clients("autoscaling").execute_policy(
            AutoScalingGroupName=self.policy["AutoScalingGroupName"],
            PolicyName=self.policy["PolicyName"],
            MetricValue=0.0,
            BreachThreshold=self.facts["Threshold"],
        )


def alarms(found: Iterable[Found]) -> list[Alarm]:
    """Of a stack's resources those that end all hosts, each with the policy that it calls."""
    found = list(found)
    policies = {
        one.arn: one.facts
        for one in found
        if one.type == types.POLICY and one.facts.get("AdjustmentType") == "ExactCapacity"
    }
    return [
        Alarm(one.facts, policies[arn])
        for one in found
        if one.type == types.ALARM
        for arn in one.facts["AlarmActions"]
        if arn in policies
    ]


def wrong(alarm: Alarm) -> Iterable[str]:
    """When the alarm would ring, or be silent, and should not."""
    last = alarm.periods - 1
    for said, history, rings in (
        ("no request while a host is in service", [IDLE] * alarm.periods, True),
        ("a host that has not been in service for so long", [EMPTY] + [IDLE] * last, False),
        ("no host in service, as while the first one boots", [EMPTY] * alarm.periods, False),
        ("one answer at the beginning", [SERVED] + [IDLE] * last, False),
        ("one answer at the end", [IDLE] * last + [SERVED], False),
        ("one request that found no server", [IDLE] * last + [REFUSED], False),
        ("metrics that have not begun", [], False),
    ):
        if alarm.rings(history) != rings:
            yield f"{said}: the alarm is {'silent' if rings else 'on'}"
