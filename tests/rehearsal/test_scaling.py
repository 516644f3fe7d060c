"""Hosts that follow the load, on a played clock: AWS's rules, what the program declares, and policies gone wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rehearsal.expectations import follow_the_load, leaves_the_hosts
from rehearsal.played_scaling import MINUTE, Account, Alarm, Figures, Group, Host
from rehearsal.scaling import DAY, HOUR, SOON_SECONDS, Scene, day, play_day, told, wrong
from tandem.settings import Settings
from tests.rehearsal.declared_scaling import account_of, settings_of
from tools import scaling_day

pytestmark = pytest.mark.sweep

ROOT = Path(__file__).parents[2]
OUT = {
    "PolicyType": "StepScaling",
    "PolicyName": "out",
    "AdjustmentType": "PercentChangeInCapacity",
    "StepAdjustments": [
        {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 10.0, "ScalingAdjustment": 10},
        {"MetricIntervalLowerBound": 10.0, "ScalingAdjustment": 30},
    ],
}
IN = {
    "PolicyType": "SimpleScaling",
    "PolicyName": "in",
    "AdjustmentType": "ChangeInCapacity",
    "ScalingAdjustment": -1,
    "Cooldown": 300,
}


def group(hosts: int = 10, most: int = 20, warm_up: int = 300) -> Group:
    facts = {"MinSize": 0, "MaxSize": most, "DefaultInstanceWarmup": warm_up}
    return Group(facts, hosts=[Host(asked=-DAY, serves=-DAY) for _ in range(hosts)])


# -- AWS's rules, by the examples of its user guide


def test_hosts_that_warm_up_are_asked_for_once() -> None:
    """60, 62 while the new one warms up, then 70: ten hosts become eleven, stay eleven, become thirteen
    (https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html#as-step-scaling-warmup)."""
    found = group()
    sizes = []
    for now, metric in ((0, 60), (60, 62), (120, 70)):
        found.follow(OUT, 60, metric, now)
        sizes.append(found.desired)
    assert sizes == [11, 11, 13]


def test_a_percentage_is_rounded_towards_nothing_and_never_to_it() -> None:
    few, many = group(hosts=2), group(hosts=19, most=40)
    few.follow(OUT, 60, 60, 0)
    many.follow(OUT, 60, 75, 0)
    assert (few.desired, many.desired) == (3, 19 + 5)


def test_nothing_passes_the_bounds() -> None:
    full, empty = group(hosts=20), group(hosts=0)
    full.follow(OUT, 60, 90, 0)
    empty.follow(IN, 1, 0, 0)
    assert (full.desired, empty.desired) == (20, 0)


def test_a_simple_policy_waits_for_hooks_and_for_its_cooldown() -> None:
    found = group(hosts=4, warm_up=0)
    gone = []
    for now in range(0, 2 * HOUR, MINUTE):
        found.follow(IN, 1, 0, now)
        found.live(now, start_seconds=HOUR, drain_seconds=600)
        gone.append(found.desired)
    assert gone.index(3) == 0
    assert gone.index(2) * MINUTE == 600 + 300, "the drain, then the cooldown"
    found = group(hosts=2)
    found.follow(OUT, 60, 60, 0)
    found.follow(IN, 1, 0, MINUTE)
    assert found.desired == 3, "while one starts none goes"


def test_an_alarm_calls_once_a_minute_while_it_lasts() -> None:
    stat = {"Metric": {"Namespace": "tandem", "MetricName": "Load"}, "Period": 10, "Stat": "Average"}
    metrics = [{"Id": "load", "MetricStat": stat}, {"Id": "result", "Expression": "load / 2"}]
    facts = {"Metrics": metrics, "EvaluationPeriods": 3, "DatapointsToAlarm": 2, "Threshold": 1}
    alarm, figures = Alarm({**facts, "ComparisonOperator": "GreaterThanThreshold"}, "arn"), Figures()
    called = []
    for now in range(0, 300, 10):
        if 100 <= now < 200:
            figures.put(now, "tandem", "Load", 4)
        if alarm.look(figures, now) is not None:
            called.append(now)
    assert called == [130, 190], "two of three looks, one late; then a minute later"


# -- what the program declares


@pytest.mark.parametrize(
    ("fleet", "guard"),
    [
        ({}, {}),
        ({"maxHosts": 3}, {}),
        ({"hosts": 3, "spareHosts": 1, "maxHosts": 40}, {}),
        ({"instanceTypes": ["g6e.12xlarge", "g6e.48xlarge"]}, {}),
        ({"hosts": 0, "spareHosts": 0}, {}),
        ({}, {"idleAfter": "60m", "expiresAfter": "4h"}),
    ],
)
def test_hosts_follow_the_load_and_nothing_else(fleet: dict[str, Any], guard: dict[str, Any]) -> None:
    settings, account = account_of(settings_of(**fleet) | {"costGuard": guard})
    course = play_day(settings, account)
    assert follow_the_load(settings, account, course).violations == ()
    asked = [look.asked for look in course.looks]
    assert max(asked) == settings.max_group_size
    assert min(asked) == settings.group_size
    assert course.host_hours < 24 * settings.max_group_size


def test_a_day_is_cheaper_than_its_busiest_hour_all_day() -> None:
    settings, account = account_of(settings_of())
    course = play_day(settings, account)
    rush = [look for look in course.looks if look.waiting or look.refused]
    assert all(21 * HOUR < look.at < 21.75 * HOUR for look in rush), "but for what comes sooner than any host"
    assert told(settings, course).startswith("a played day: 2 to 6 hosts, 19 moves, 81 hours of hosts, where 6 all day")


def test_the_page_has_the_day_as_it_is_played() -> None:
    """`make docs` makes it anew."""
    settings, scene, found = scaling_day.lines()
    page = (ROOT / "docs" / "scaling.md").read_text()
    assert page.partition(scaling_day.BEGIN)[2].partition(scaling_day.END)[0] == scaling_day.table(settings, found)
    assert (ROOT / "docs" / "scaling-day.svg").read_text() == scaling_day.picture(settings, scene, found)


def test_a_jump_is_answered_by_as_many_hosts_again() -> None:
    """A hundred requests wait: no host more for each minute of the twenty that the first takes."""
    settings, account = account_of(settings_of())
    scene = Scene(settings, account, 2)
    scene.live(HOUR, lambda _now: scene.rate_of(1.5))
    scene.live(2 * HOUR, lambda _now: scene.rate_of(4.5))
    first, *others = scene.course.actions
    assert (first.before, first.after) == (2, 4)
    assert first.at - HOUR <= SOON_SECONDS
    assert [one.at - first.at > 20 * MINUTE for one in others] == [True] * len(others)


# -- policies that are wrong


def _changed(change: Callable[[dict[str, Any]], Any], label: str) -> tuple[Settings, Account]:
    """With the facts of an alarm, or of the group, changed."""
    settings, account = account_of(settings_of())
    if label == "group":
        facts = {**account.group.facts}
        change(facts)
        account.group = Group(facts)
        return settings, account
    alarms = []
    for alarm in account.alarms:
        facts = {**alarm.facts, "Metrics": [dict(query) for query in alarm.facts["Metrics"]]}
        if alarm.policy.endswith(f"-{label}"):
            change(facts)
        alarms.append(Alarm(facts, alarm.policy))
    account.alarms = alarms
    return settings, account


def _expression(text: str) -> Callable[[dict[str, Any]], None]:
    def change(facts: dict[str, Any]) -> None:
        facts["Metrics"][0]["Expression"] = text

    return change


@pytest.mark.parametrize(
    ("label", "change", "said"),
    [
        ("out", lambda facts: facts.update(ComparisonOperator="LessThanThreshold"), "asks for no host in ten minutes"),
        ("in", lambda facts: facts.update(ComparisonOperator="GreaterThanThreshold"), "a host goes"),
        ("group", lambda facts: facts.update(MaxSize=100), "and fleet.maxHosts allows 6"),
        ("in", _expression("waiting / 5"), "with nobody waiting, become 2"),
        ("in", _expression("load / 32"), "a host went at"),
        ("out", lambda facts: facts.update(EvaluationPeriods=2, DatapointsToAlarm=1), "comes and goes every half"),
        ("out", lambda facts: facts.update(EvaluationPeriods=18, DatapointsToAlarm=18), "after 200 s, not within 90 s"),
        ("in", lambda facts: facts.update(EvaluationPeriods=1), "and the cooldown is 300 s"),
        ("group", lambda facts: facts.update(MinSize=0), "hosts stay of a load of next to nothing"),
    ],
)
def test_a_policy_that_is_wrong_is_found(label: str, change: Callable[[dict[str, Any]], Any], said: str) -> None:
    settings, account = _changed(change, label)
    found = [*wrong(settings, account), *play_day(settings, account).restless]
    assert any(said in one for one in found), found


def test_no_policy_at_all_is_found() -> None:
    settings = Settings.model_validate(settings_of())
    assert follow_the_load(settings, None, None).violations == ("no alarm calls a policy of the group",)


def test_an_up_that_puts_the_number_back_is_found() -> None:
    was = [{"AutoScalingGroupName": "hosts", "DesiredCapacity": 4}]
    assert leaves_the_hosts(was, was).met
    assert leaves_the_hosts(was, [{**was[0], "DesiredCapacity": 3}]).violations == ("hosts: 4 wanted, then 3",)


def test_the_day_is_the_same_each_time() -> None:
    settings, _ = account_of(settings_of())
    one, other = day(settings, 12), day(settings, 12)
    assert [one(hour * HOUR) for hour in range(24)] == [other(hour * HOUR) for hour in range(24)]
