"""Plays CloudWatch's alarms and Auto Scaling's policies, as an account keeps them, on a clock of its own.

What is played: alarms of M out of N periods on metric math, evaluated every ten seconds where their period is shorter
than a minute, else once a minute, on what has come in by then; while an alarm lasts it calls its policy once a minute.
Step scaling counts hosts that are warm, so that those on their way are asked for once; a simple policy waits while a
host starts or drains, and then for its cooldown. Neither passes the group's bounds. A period without figures is none
that breaches; that CloudWatch looks further back then is not played.

Stands for: CloudWatch's evaluation of alarms that call a policy, and Auto Scaling's step and simple policies.
Held by: nothing, no policy of AWS's has been seen to act. The rules are those of
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html,
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html,
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-scaling-cooldowns.html and
    https://repost.aws/knowledge-center/autoscaling-policy-cloudwatch-alarm (hooks, and a call a minute).
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rehearsal.metric_math import value
from tandem import type_tokens as types
from tandem.ops.kinds.kind import Found

TICK = 10
"""Seconds of a step of the clock."""
MINUTE = 60
LATE = {"tandem": TICK, "AWS/AutoScaling": 120, "AWS/ApplicationELB": 120}
"""Seconds until CloudWatch has what was reported, by namespace: one's own at once, AWS's within minutes."""
BREACHES = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass
class Bucket:
    """What was reported in one step of the clock."""

    total: float = 0.0
    count: float = 0.0
    least: float = float("inf")
    most: float = float("-inf")

    def add(self, number: float, count: float) -> None:
        self.total, self.count = self.total + number * count, self.count + count
        self.least, self.most = min(self.least, number), max(self.most, number)


def _count(found: Sequence[Bucket]) -> float:
    return sum(one.count for one in found)


def _total(found: Sequence[Bucket]) -> float:
    return sum(one.total for one in found)


STATISTICS: Mapping[str, Callable[[Sequence[Bucket]], float]] = {
    "Sum": _total,
    "SampleCount": _count,
    "Average": lambda found: _total(found) / _count(found),
    "Minimum": lambda found: min(one.least for one in found),
    "Maximum": lambda found: max(one.most for one in found),
}


class Figures:
    """What has been reported, by namespace and name."""

    def __init__(self) -> None:
        self._buckets: defaultdict[tuple[str, str], dict[int, Bucket]] = defaultdict(dict)

    def put(self, now: int, namespace: str, name: str, number: float, count: float = 1) -> None:
        """Takes a value that so many told."""
        self._buckets[namespace, name].setdefault(now // TICK, Bucket()).add(number, count)

    def statistic(self, namespace: str, name: str, statistic: str, start: int, end: int) -> float | None:
        """Of what was reported from a second up to another; None where nothing was."""
        known = self._buckets[namespace, name]
        found = [known[at] for at in range(start // TICK, end // TICK) if at in known]
        if not found:
            return None
        return STATISTICS[statistic](found)


@dataclass
class Alarm:
    """One that calls a policy, from what the account says of it.

    Attributes:
        facts: of DescribeAlarms.
        policy: ARN of what it calls.
    """

    facts: Mapping[str, Any]
    policy: str
    on: bool = field(default=False, init=False)
    called: int = field(default=0, init=False)
    _known: dict[int, float | None] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        queries = self.facts["Metrics"]
        self._expression = next(query["Expression"] for query in queries if query.get("Expression"))
        self._metrics = {query["Id"]: query["MetricStat"] for query in queries if query.get("MetricStat")}
        self.period = max(stat["Period"] for stat in self._metrics.values())
        self._late = max(LATE[stat["Metric"]["Namespace"]] for stat in self._metrics.values())
        self._breaches = BREACHES[self.facts["ComparisonOperator"]]
        self._of = self.facts["EvaluationPeriods"]
        self._needed = self.facts.get("DatapointsToAlarm") or self._of

    def look(self, figures: Figures, now: int) -> float | None:
        """The average of what it looks back on, when the policy is to be called now; None when it is not."""
        if now % min(self.period, MINUTE):
            return None
        end = (now - self._late) // self.period * self.period
        ends = range(end, end - self._of * self.period, -self.period)
        seen = [self._known[at] if at in self._known else self._value(figures, at) for at in ends]
        breaching = [one for one in seen if one is not None and self._breaches(one, self.facts["Threshold"])]
        was, self.on = self.on, len(breaching) >= self._needed
        if not self.on or (was and now - self.called < MINUTE):
            return None
        self.called = now
        told = [one for one in seen if one is not None]
        return sum(told) / len(told)

    def _value(self, figures: Figures, end: int) -> float | None:
        start = end - self.period
        seen = {
            id: figures.statistic(stat["Metric"]["Namespace"], stat["Metric"]["MetricName"], stat["Stat"], start, end)
            for id, stat in self._metrics.items()
        }
        self._known[end] = value(self._expression, {id: one for id, one in seen.items() if one is not None})
        return self._known[end]


@dataclass
class Host:
    """One host of the group: asked for, in service, leaving, gone; seconds, None while it is not so far."""

    asked: int
    serves: int | None = None
    leaves: int | None = None
    gone: int | None = None

    @property
    def in_service(self) -> bool:
        return self.serves is not None and self.leaves is None


@dataclass(frozen=True)
class Action:
    """A policy that was followed: when, which, from how many hosts to how many."""

    at: int
    policy: str
    before: int
    after: int


@dataclass
class Group:
    """An Auto Scaling group, from what the account says of it."""

    facts: Mapping[str, Any]
    hosts: list[Host] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    _cool: int = field(default=0, init=False)
    _waits: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.least, self.most = self.facts["MinSize"], self.facts["MaxSize"]
        self.warm_up = self.facts.get("DefaultInstanceWarmup") or 0

    @property
    def desired(self) -> int:
        return sum(host.leaves is None for host in self.hosts)

    @property
    def moving(self) -> bool:
        """Whether a host is in a lifecycle hook."""
        return any(not host.in_service for host in self.hosts if host.gone is None)

    def warm(self, now: int, seconds: int) -> int:
        """Hosts that have been in service for so long."""
        return sum(host.in_service and now - (host.serves or 0) >= seconds for host in self.hosts)

    def follow(self, policy: Mapping[str, Any], threshold: float, metric: float, now: int) -> None:
        """What Auto Scaling does when an alarm calls a policy."""
        simple = policy["PolicyType"] == "SimpleScaling"
        before = self.desired
        if simple:
            if self.moving or now < self._cool:
                return
            wanted = before + _adjustment(policy, policy["ScalingAdjustment"], before)
        else:
            wanted = self._stepped(policy, metric - threshold, now)
        wanted = max(self.least, min(self.most, wanted))
        if wanted < before and self.warm(now, 0) > self.warm(now, self.warm_up):
            return
        if wanted != before:
            self.resize(wanted, now)
            self.actions.append(Action(now, policy["PolicyName"], before, wanted))
            if simple:
                self._waits = policy.get("Cooldown", 0)
                self._cool = now + self._waits

    def _stepped(self, policy: Mapping[str, Any], breach: float, now: int) -> int:
        """The wanted number; hosts that are not warm count as none on the way up, and are asked for once."""
        adjustment = next(
            (step["ScalingAdjustment"] for step in policy["StepAdjustments"] if _within(step, breach)), None
        )
        if adjustment is None:
            return self.desired
        if policy["AdjustmentType"] == "ExactCapacity":
            return adjustment
        counted = self.warm(now, int(policy.get("EstimatedInstanceWarmup") or self.warm_up))
        adjustment = _adjustment(policy, adjustment, counted)
        if adjustment > 0:
            return max(self.desired, counted + adjustment)
        return min(self.desired, self.desired + adjustment)

    def resize(self, wanted: int, now: int) -> None:
        """Asks for hosts, or lets some go, those that have not come yet first."""
        for _ in range(wanted - self.desired):
            self.hosts.append(Host(asked=now))
        staying = sorted((host for host in self.hosts if host.leaves is None), key=lambda host: host.serves is not None)
        for host in staying[: len(staying) - wanted]:
            host.leaves = now
            if host.serves is None:
                host.serves = host.gone = now

    def live(self, now: int, start_seconds: int, drain_seconds: int) -> None:
        """Hosts come into service, and are gone, when their time has come; a cooldown begins once nothing moves."""
        moved = self.moving
        for host in self.hosts:
            if host.serves is None and now - host.asked >= start_seconds:
                host.serves = now
            if host.leaves is not None and host.gone is None and now - host.leaves >= drain_seconds:
                host.gone = now
        self.hosts = [host for host in self.hosts if host.gone is None]
        if moved and not self.moving:
            self._cool, self._waits = max(self._cool, now + self._waits), 0


def _within(step: Mapping[str, Any], breach: float) -> bool:
    """Lower bounds belong to steps above the threshold, upper ones to those below."""
    lower, upper = (
        float("inf") * sign if step.get(name) is None else float(step[name])
        for name, sign in (("MetricIntervalLowerBound", -1), ("MetricIntervalUpperBound", 1))
    )
    return lower <= breach < upper if breach >= 0 else lower < breach <= upper


def _adjustment(policy: Mapping[str, Any], adjustment: int, counted: int) -> int:
    """In hosts; percentages are rounded towards 0, but never to it:
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html"""
    if policy["AdjustmentType"] != "PercentChangeInCapacity":
        return adjustment
    hosts, least = int(abs(adjustment) * counted / 100), int(policy.get("MinAdjustmentMagnitude") or 1)
    return max(least, hosts) * (1 if adjustment > 0 else -1)


@dataclass
class Account:
    """The group of a stack with its policies and the alarms that call them."""

    group: Group
    policies: Mapping[str, Mapping[str, Any]]
    alarms: Sequence[Alarm]
    figures: Figures = field(default_factory=Figures)

    @classmethod
    def of(cls, found: Iterable[Found]) -> Account | None:
        """From a stack's resources; None where no policy sizes its hosts."""
        found = list(found)
        policies = {one.arn: one.facts for one in found if one.type == types.POLICY}
        groups = [one.facts for one in found if one.type == types.GROUP]
        alarms = [
            Alarm(one.facts, arn)
            for one in found
            if one.type == types.ALARM
            for arn in one.facts.get("AlarmActions", ())
            if arn in policies
        ]
        return cls(Group(groups[0]), policies, alarms) if groups and alarms else None

    def look(self, now: int) -> None:
        """Alarms are evaluated, and policies followed."""
        called = [(alarm, alarm.look(self.figures, now)) for alarm in self.alarms]
        for alarm, metric in called:
            if metric is not None:
                self.group.follow(self.policies[alarm.policy], alarm.facts["Threshold"], metric, now)
