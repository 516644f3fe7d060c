"""No GPU without its guard, by what the program declares and not by luck: the engine makes nothing before what it
depends on, and destroys nothing before what depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pulumi
import pytest

from infra.platforms.context import times
from tandem.settings import Settings
from tests.infra.declared import GROUPS, Declared, declared, declared_by

pytestmark = pytest.mark.sweep

CREATED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GUARD = {"expiresAfter": "4h", "maxUsd": 200, "businessHours": {}}
HOSTS: dict[str, Any] = {"region": "us-east-1", "fleet": {"hosts": 1, "rollout": "terminateFirst"}}
NODES = HOSTS | {"platform": "eks", "nodePool": {"provisioner": "managed"}, "scaling": {"maxReplicas": 2}}
EITHER = pytest.mark.parametrize(
    ("settings", "fleet"), [(HOSTS, "autoscaling/group:Group"), (NODES, "eks/nodeGroup:NodeGroup")], ids=["ec2", "eks"]
)


def built(
    settings: dict[str, Any],
    now: datetime | None = None,
    account: Mapping[str, dict[str, Any]] | None = None,
    **guard: Any,
) -> Declared:
    return declared_by(settings | {"costGuard": guard or GUARD}, now=now, account=account)


def gpus(found: Declared, fleet: str) -> list[str]:
    """What starts GPUs: all groups of hosts, and of nodes those that are not the controllers'."""
    return [urn for urn in found.urns(fleet) if not urn.endswith("-system")]


@EITHER
def test_all_that_stops_a_fleet_is_there_before_it_and_goes_after_it(settings: dict[str, Any], fleet: str) -> None:
    found = built(settings)
    (group,) = gpus(found, fleet)
    schedules = found.urns("scheduler/schedule:Schedule")
    assert sorted(urn.rpartition("-")[2] for urn in schedules) == ["close", "open", "stop", "stopped", "warn"]
    caller = [urn for urn in found.urns("iam/role:Role", "iam/rolePolicy:RolePolicy") if urn.endswith("-expiry")]
    assert len(caller) == 2
    first = {*schedules, *caller, *found.urns("scheduler/scheduleGroup:ScheduleGroup")}
    assert first <= found.before(group)
    assert not [urn for urn in first if group in found.before(urn)]


@EITHER
def test_schedules_call_for_the_name_that_the_fleet_then_has(settings: dict[str, Any], fleet: str) -> None:
    found = built(settings)
    named = {"autoscaling/group:Group": ("name", "AutoScalingGroupName")}.get(fleet, ("nodeGroupName", "NodegroupName"))
    (name,) = [one[named[0]] for one in found.of(fleet.split(":")[1]).values() if named[0] in one]
    targets = [one["target"] for label, one in found.of("Schedule").items() if not label.endswith("-warn")]
    assert [f'"{named[1]}": "{name}"' in target["input"] for target in targets] == [True] * 4
    (policy,) = [one["policy"] for label, one in found.of("RolePolicy").items() if label.endswith("-expiry")]
    assert name in policy


@pytest.mark.parametrize(
    ("groups", "name"),
    [
        ([], "tandem-dev-0123456789abcdef"),
        (["tandem-dev-0123456789abcdef"], "tandem-dev-0123456789abcdef"),
        (["tandem-dev-1a2b3c4"], "tandem-dev-1a2b3c4"),
        (["tandem-dev-1a2b3c4d", "somebodys", "tandem-dev-eu-1a2b3c4"], "tandem-dev-0123456789abcdef"),
    ],
    ids=["none yet", "its own", "from before", "others"],
)
def test_a_group_from_before_keeps_its_name_which_its_guard_knows_first(groups: list[str], name: str) -> None:
    found = built(HOSTS, account={GROUPS: {"names": groups}})
    (group,) = gpus(found, "autoscaling/group:Group")
    assert found.one("autoscaling/group:Group")["name"] == name
    schedules = found.urns("scheduler/schedule:Schedule")
    assert {*schedules} <= found.before(group)
    targets = [one["target"]["input"] for label, one in found.of("Schedule").items() if not label.endswith("-warn")]
    assert [f'"AutoScalingGroupName": "{name}"' in text for text in targets] == [True] * 4


def test_karpenters_nodes_come_after_the_budget_which_is_all_that_there_is_before_them() -> None:
    budget = {"monthlyBudgetUsd": 100, "alertEmails": ["a@example.com"]}
    found = declared_by({"region": "us-east-1", "platform": "eks", "costGuard": budget})
    pools = found.urns("karpenter.sh/v1:NodePool")
    assert pools
    for pool in pools:
        assert {*found.urns("budgets/budget:Budget")} <= found.before(pool)


def sizes(found: Declared, fleet: str) -> tuple[int, int]:
    if fleet.endswith("group:Group"):
        group = found.one("Group")
        return group["minSize"], group["maxSize"]
    config = found.of("NodeGroup")["tandem-dev-gpu"]["scalingConfig"]
    return config["desiredSize"], config["maxSize"]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the program warns of."""
    texts: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda text, *_args, **_more: texts.append(text))
    return texts


def runs_at(now: datetime, **guard: Any) -> bool:
    """What every platform is told of its servers."""
    found: list[bool] = []

    def program() -> None:
        running = times(Settings.model_validate(HOSTS | {"costGuard": guard}), now).running
        pulumi.Output.from_input(running).apply(found.append)

    declared(program)
    return found[0]


@pytest.mark.parametrize(
    ("now", "runs"),
    [
        (CREATED, True),
        (CREATED + timedelta(hours=3, minutes=59), True),
        (CREATED + timedelta(hours=4), False),
        (CREATED + timedelta(days=90), False),
    ],
)
def test_after_its_end_a_stack_is_stopped_with_a_sentence(now: datetime, runs: bool, said: list[str]) -> None:
    assert runs_at(now, expiresAfter="4h") is runs
    assert any("ended at 2026-11-20 16:00Z" in text for text in said) is not runs


def test_a_moment_that_is_past_is_said_before_a_stack_is_made(said: list[str]) -> None:
    """By the first preview, too, which does not know when it will be made."""
    settings = Settings.model_validate(HOSTS | {"costGuard": {"expiresAt": "2026-11-20T11:00:00Z"}})
    assert declared(lambda: times(settings, CREATED).running).returned is False
    assert [text.partition(",")[0] for text in said] == ["the time of this stack ended at 2026-11-20 11:00Z"]


@pytest.mark.parametrize(("hour", "runs"), [(7, False), (8, True), (19, True), (20, False)])
def test_an_up_outside_the_hours_starts_nothing_and_says_so(hour: int, runs: bool, said: list[str]) -> None:
    now = datetime(2026, 11, 20, hour, 30 if hour == 7 else 0, tzinfo=UTC)
    assert runs_at(now, businessHours={}) is runs
    assert any("outside the business hours" in text for text in said) is not runs


@EITHER
@pytest.mark.parametrize(
    ("now", "guard", "runs"),
    [
        (CREATED, {"expiresAfter": "4h"}, True),
        (CREATED + timedelta(hours=4), {"expiresAfter": "4h"}, False),
        (datetime(2026, 11, 20, 20, tzinfo=UTC), {"businessHours": {}}, False),
    ],
    ids=["runs", "ended", "closed"],
)
def test_a_stopped_fleet_is_declared_at_0(
    settings: dict[str, Any], fleet: str, now: datetime, guard: dict[str, Any], runs: bool, said: list[str]
) -> None:
    stopped = (0, 0 if fleet.endswith("group:Group") else 1)
    assert sizes(built(settings, now, **guard), fleet) == ((1, 1) if runs else stopped)
    assert any("ended at" in text or "outside" in text for text in said) is not runs
