"""The cost guard: what its schedules call, when, and what they may do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pulumi
import pytest

from infra.components.cost_guard import BusinessHours, CostGuard, CostGuardArgs, Resize, schedule_expression
from tandem.lifetime import Size
from tandem.settings.schema import BusinessHoursSettings
from tests.infra.declared import ACCOUNT, Declared, declared

EXPIRY = "2026-12-24T18:00:00Z"


def guard(expires: bool = True, **changes: Any) -> Declared:
    args: dict[str, Any] = {
        "stack": "dev",
        "region": "us-east-1",
        "account_id": ACCOUNT,
        "resizes": {"main": (Resize.of_group("group", "arn:group"), Size(1, 2, 1))},
    }

    def program() -> CostGuard:
        at = pulumi.Output.from_input(EXPIRY) if expires else None
        return CostGuard("g", CostGuardArgs(expires_at=at, **args | changes))

    return declared(program)


def test_exact_resources_of_an_expiring_stack() -> None:
    assert guard().counts() == {
        "tandem:index:CostGuard": 1,
        "aws:sns/topic:Topic": 1,
        "aws:iam/role:Role": 1,
        "aws:iam/rolePolicy:RolePolicy": 1,
        "aws:scheduler/scheduleGroup:ScheduleGroup": 1,
        "aws:scheduler/schedule:Schedule": 3,
    }


def test_exact_resources_of_a_budget() -> None:
    found = guard(expires=False, monthly_budget_usd=100, alert_emails=["a@example.com"])
    assert found.counts() == {
        "tandem:index:CostGuard": 1,
        "aws:sns/topic:Topic": 1,
        "aws:sns/topicPolicy:TopicPolicy": 1,
        "aws:sns/topicSubscription:TopicSubscription": 1,
        "aws:budgets/budget:Budget": 1,
    }
    budget = found.one("Budget")
    assert (budget["limitAmount"], budget["timeUnit"]) == ("100.00", "MONTHLY")
    assert budget["costFilters"] == [{"name": "TagKeyValue", "values": ["user:tandem:stack$dev"]}]
    assert [(n["notificationType"], n["threshold"]) for n in budget["notifications"]] == [
        ("ACTUAL", 80),
        ("ACTUAL", 100),
        ("FORECASTED", 100),
    ]


def test_at_expiry_the_group_is_set_to_nothing_for_good() -> None:
    stop = guard().of("Schedule")["g-stop"]
    assert stop["scheduleExpression"] == "at(2026-12-24T18:00:00)"
    assert stop["scheduleExpressionTimezone"] == "UTC"
    assert stop["target"]["arn"] == "arn:aws:scheduler:::aws-sdk:autoscaling:updateAutoScalingGroup"
    assert json.loads(stop["target"]["input"]) == {
        "AutoScalingGroupName": "group",
        "MinSize": 0,
        "MaxSize": 0,
        "DesiredCapacity": 0,
    }
    assert stop["target"]["retryPolicy"]["maximumEventAgeInSeconds"] == 3600


def test_a_fleet_brought_back_after_its_expiry_is_stopped_again_within_minutes() -> None:
    schedules = guard().of("Schedule")
    again = schedules["g-keep-stopped"]
    assert (again["scheduleExpression"], again["startDate"]) == ("rate(5 minutes)", EXPIRY)
    assert again["target"] == schedules["g-stop"]["target"]


def test_people_are_warned_half_an_hour_before() -> None:
    warn = guard().of("Schedule")["g-warn"]
    assert warn["scheduleExpression"] == "at(2026-12-24T17:30:00)"
    assert json.loads(warn["target"]["input"])["TopicArn"].endswith("Topic/g-alerts")


def test_the_schedules_may_stop_this_group_and_speak_and_no_more() -> None:
    statements = json.loads(guard().one("RolePolicy")["policy"])["Statement"]
    assert [(s["Action"], s["Resource"]) for s in statements] == [
        (["autoscaling:UpdateAutoScalingGroup"], ["arn:group"]),
        (["sns:Publish"], ["arn:aws:mock:us-east-1:123456789012:Topic/g-alerts"]),
    ]


BERLIN = BusinessHours.between(BusinessHoursSettings(start="08:30", stop="20:00", time_zone="Europe/Berlin"))


def test_business_hours_are_cron_on_their_own_clock_and_close_again_every_hour() -> None:
    schedules = guard(expires=False, business_hours=BERLIN).of("Schedule")
    assert sorted(schedules) == ["g-close", "g-open"]
    opens, closes = schedules["g-open"], schedules["g-close"]
    assert {one["scheduleExpressionTimezone"] for one in schedules.values()} == {"Europe/Berlin"}
    assert opens["scheduleExpression"] == "cron(30 8 ? * MON-FRI *)"
    assert closes["scheduleExpression"] == "cron(0 20-23 ? * MON-FRI *)"
    sizes = [json.loads(one["target"]["input"]) for one in (opens, closes)]
    assert [(one["MinSize"], one["DesiredCapacity"], one["MaxSize"]) for one in sizes] == [(1, 1, 2), (0, 0, 0)]
    assert "endDate" not in opens


def test_a_day_that_ends_before_midnight_closes_once() -> None:
    late = BusinessHours.between(BusinessHoursSettings(start="08:00", stop="23:30", days="*"))
    assert late.close_cron == "cron(30 23 ? * * *)"


def test_business_hours_end_with_the_stack() -> None:
    schedules = guard(business_hours=BERLIN).of("Schedule")
    assert [schedules[name]["endDate"] for name in ("g-open", "g-close")] == [EXPIRY, EXPIRY]
    assert [schedules[name]["state"] for name in ("g-open", "g-close")] == ["ENABLED", "ENABLED"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("now", ["2026-12-24T17:55:01", "2026-12-24T18:00:01", "2027-06-01T00:00:00"])
def test_a_moment_that_has_passed_is_not_scheduled_again(now: str) -> None:
    """AWS refuses it; the fleet is held at 0 from then on, and nothing opens it in the morning."""
    schedules = guard(now=at(now), business_hours=BERLIN).of("Schedule")
    for name in ("g-stop", "g-keep-stopped"):
        assert schedules[name]["scheduleExpression"] == "rate(5 minutes)"
        assert "startDate" not in schedules[name]
    for name in ("g-warn", "g-open", "g-close"):
        assert schedules[name]["state"] == "DISABLED"
        assert "endDate" not in schedules[name]
    assert not [one for one in schedules.values() if "at(" in one["scheduleExpression"]]


@pytest.mark.parametrize(("now", "state"), [("2026-12-24T17:20:00", "ENABLED"), ("2026-12-24T17:26:00", "DISABLED")])
def test_a_warning_never_lies_in_the_past(now: str, state: str) -> None:
    schedules = guard(now=at(now)).of("Schedule")
    assert schedules["g-warn"]["state"] == state
    assert schedules["g-stop"]["scheduleExpression"] == "at(2026-12-24T18:00:00)"


@pytest.mark.parametrize(
    ("moment", "before", "expected"),
    [
        ("2026-12-24T18:00:00Z", timedelta(), "at(2026-12-24T18:00:00)"),
        ("2026-12-24T18:00:00+01:00", timedelta(), "at(2026-12-24T17:00:00)"),
        ("2026-12-24T00:10:00Z", timedelta(minutes=30), "at(2026-12-23T23:40:00)"),
    ],
)
def test_schedule_expressions_are_in_utc(moment: str, before: timedelta, expected: str) -> None:
    assert schedule_expression(moment, before) == expected
