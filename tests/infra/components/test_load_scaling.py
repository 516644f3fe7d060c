"""Policies and alarms of hosts that follow the load, as AWS gets them."""

from __future__ import annotations

from typing import Any

import pytest

from rehearsal.metric_math import value
from rehearsal.played_scaling import _adjustment
from tandem.scaling import FAST_PERIOD_SECONDS, LEAVING_PERCENT, ROOM, WAKE_WARM_UP_SECONDS, WARM_UP_SECONDS
from tests.infra.declared import Declared, declared_by

FLEET = {"instanceTypes": ["g6e.12xlarge", "g6e.48xlarge"], "hosts": 2, "spareHosts": 1, "maxHosts": 6}


def stack(fleet: dict[str, Any] | None = None, **sections: Any) -> Declared:
    """A stack whose hosts follow the load, without other alarms."""
    inference = {"model": "Qwen/Qwen3-32B-FP8", "maxModelLen": 32768}
    followed = {**FLEET, "followLoad": True, **(fleet or {})}
    return declared_by(
        {"region": "us-east-1", "fleet": followed, "inference": inference, "alarms": {"enabled": False}, **sections}
    )


def metrics_of(alarm: dict[str, Any]) -> dict[str, tuple[str, str, float]]:
    """Name, statistic and period by id."""
    told = {query["id"]: query.get("metric") for query in alarm["metricQueries"]}
    return {id: (one["metricName"], one["stat"], one["period"]) for id, one in told.items() if one}


def test_two_policies_each_with_its_alarm() -> None:
    found = stack()
    assert (
        set(found.of("autoscaling/policy:Policy"))
        == set(found.of("metricAlarm:MetricAlarm"))
        == {"tandem-dev-out", "tandem-dev-in"}
    )
    for name, alarm in found.of("metricAlarm:MetricAlarm").items():
        assert alarm["alarmActions"] == [f"arn:aws:mock:us-east-1:123456789012:Policy/{name}"]
        assert alarm["treatMissingData"] == "notBreaching"
        ids = [query["id"] for query in alarm["metricQueries"]]
        assert [one for one in ids if not one[0].islower()] == [], "CloudWatch refuses them"


def test_out_looks_every_ten_seconds_at_what_hosts_tell_as_often() -> None:
    alarm = stack().of("metricAlarm:MetricAlarm")["tandem-dev-out"]
    assert metrics_of(alarm) == {
        "load": ("Load", "Average", FAST_PERIOD_SECONDS),
        "waiting": ("Waiting", "Average", FAST_PERIOD_SECONDS),
    }
    assert (alarm["evaluationPeriods"], alarm["datapointsToAlarm"], alarm["threshold"]) == (6, 5, 1)
    assert alarm["metricQueries"][1]["metric"]["dimensions"] == {"Stack": "dev", "Model": "main"}


def test_in_counts_what_the_largest_host_would_leave_behind() -> None:
    alarm = stack(scaling={"cooldownSeconds": 400}).of("metricAlarm:MetricAlarm")["tandem-dev-in"]
    assert metrics_of(alarm)["servers"] == ("Servers", "Sum", 60)
    assert "load * servers / (servers - 4) / 32" in alarm["metricQueries"][0]["expression"]
    assert alarm["evaluationPeriods"] == 7, "400 s, by whole minutes"
    policy = stack(scaling={"cooldownSeconds": 400}).of("autoscaling/policy:Policy")["tandem-dev-in"]
    assert (policy["policyType"], policy["adjustmentType"]) == ("SimpleScaling", "PercentChangeInCapacity")
    assert (policy["scalingAdjustment"], policy["minAdjustmentMagnitude"], policy["cooldown"]) == (-10, 1, 420)


def test_of_many_hosts_a_tenth_goes_and_of_two_types_the_larger() -> None:
    """A tenth of the hosts, if they were the large ones, has a fifth of the replicas."""
    alarm = stack({"maxHosts": 40}).of("metricAlarm:MetricAlarm")["tandem-dev-in"]
    left = "load * IF(servers > 20, 1.25, servers / (servers - 4))"
    assert f"IF(servers <= 4, 1, IF({left} / 32 > waiting / 5, {left} / 32, waiting / 5))" in str(
        alarm["metricQueries"]
    )


SLEEPS = {"hosts": 19, "spareHosts": 0, "maxHosts": 40}
GUARD = {"idleAfter": "2h", "expiresAfter": "8h"}


def emptiness(**changes: Any) -> str:
    return stack(**changes).of("metricAlarm:MetricAlarm")["tandem-dev-in"]["metricQueries"][0]["expression"]


@pytest.mark.parametrize("mute", [{"load", "waiting", "servers"}, {"load"}, {"waiting"}, {"servers"}, {"on"}])
@pytest.mark.parametrize("servers", [10, 100])
@pytest.mark.parametrize("guard", [{}, GUARD], ids=["", "sleeps"])
def test_where_no_figures_are_nothing_goes(mute: set[str], servers: float, guard: dict[str, Any]) -> None:
    told = {"load": 0.1, "waiting": 0.1, "servers": servers, "on": 40}
    expression = emptiness(fleet={"maxHosts": 40}, costGuard=guard)
    assert (value(expression, told) or 0) < ROOM
    without = value(expression, {name: one for name, one in told.items() if name not in mute})
    assert without is None or (mute == {"on"} and not guard), "no figure, and so no call"


def test_a_fleet_that_sleeps_is_left_with_its_least() -> None:
    """Of 20 hosts a tenth is two."""
    expression = emptiness(fleet=SLEEPS, costGuard=GUARD)
    told = {"load": 0.1, "waiting": 0.1, "servers": 80}
    leaving = [hosts for hosts in range(19, 60) if (value(expression, told | {"on": hosts}) or 0) < ROOM]
    assert leaving[0] == 21
    policy = {"AdjustmentType": "PercentChangeInCapacity"}
    assert min(hosts + _adjustment(policy, -LEAVING_PERCENT, hosts) for hosts in leaving) == 19


def test_the_group_keeps_its_bounds_and_says_when_a_host_counts() -> None:
    group = stack().one("Group")
    assert (group["minSize"], group["desiredCapacity"], group["maxSize"]) == (3, 3, 6)
    assert group["defaultInstanceWarmup"] == WARM_UP_SECONDS
    assert "defaultInstanceWarmup" not in stack({"followLoad": False}).one("Group")


def test_a_fleet_of_no_hosts_wakes_and_falls_asleep() -> None:
    found = stack({"hosts": 0, "spareHosts": 0})
    assert set(found.of("metricAlarm:MetricAlarm")) == {
        f"tandem-dev-{label}" for label in ("out", "in", "wake", "idle")
    }
    group = found.one("Group")
    assert (group["minSize"], group["desiredCapacity"], group["maxSize"]) == (0, 0, 6)
    assert group["enabledMetrics"] == ["GroupInServiceInstances"]
    assert metrics_of(found.of("metricAlarm:MetricAlarm")["tandem-dev-wake"])["refused"] == (
        "HTTPCode_ELB_503_Count",
        "Sum",
        60,
    )
    idle = found.of("metricAlarm:MetricAlarm")["tandem-dev-idle"]
    assert idle["evaluationPeriods"] == 65, "a cooldown and what a start may take"


def test_a_fleet_that_an_idle_stop_ends_comes_back_as_it_was() -> None:
    guard = {"idleAfter": "2h", "expiresAfter": "8h"}
    found = stack(costGuard=guard)
    wake = found.of("autoscaling/policy:Policy")["tandem-dev-wake"]
    assert {
        key: wake[key] for key in ("policyType", "adjustmentType", "estimatedInstanceWarmup", "stepAdjustments")
    } == {
        "policyType": "StepScaling",  # AWS takes steps and a warm-up with no other
        "adjustmentType": "ChangeInCapacity",
        "estimatedInstanceWarmup": WAKE_WARM_UP_SECONDS,
        "stepAdjustments": [{"scalingAdjustment": 3, "metricIntervalLowerBound": "0"}],
    }
    out = found.of("autoscaling/policy:Policy")["tandem-dev-out"]
    assert (out["policyType"], out["adjustmentType"]) == ("StepScaling", "PercentChangeInCapacity")
    assert "IF(on < 4, 1, " in found.of("metricAlarm:MetricAlarm")["tandem-dev-in"]["metricQueries"][0]["expression"]
    assert found.of("metricAlarm:MetricAlarm")["tandem-dev-idle"]["evaluationPeriods"] == 120


def test_without_it_nothing_is_made() -> None:
    found = stack({"followLoad": False})
    assert not found.of("autoscaling/policy:Policy")
    assert not found.of("metricAlarm:MetricAlarm")
