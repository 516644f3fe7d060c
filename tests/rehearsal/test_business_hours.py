"""Business hours on the real engine: an `up` outside of them starts nothing, they change on any later day, and a fleet
follows them over weeks, on the clock of its zone, and over the day on which that is set forward."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from pulumi_rehearsal import providers
from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.operations import Operation
from pulumi_rehearsal.workspace import Workspace
from rehearsal import expectations, expiry, idle
from rehearsal.expiry import hours_kept
from tandem import lifetime
from tandem.ops import inventory
from tandem.settings.schema import BusinessHoursSettings
from tests.rehearsal.watched import REGION, Watched, done
from tests.rehearsal.watched import account as account
from tests.rehearsal.watched import watched as watched
from tests.rehearsal.watched import workspace as workspace

pytestmark = [pytest.mark.engine, pytest.mark.long]

BERLIN = ZoneInfo("Europe/Berlin")
SPRING = datetime(2027, 3, 24, 12, tzinfo=UTC)
"""A Wednesday; clocks are set forward in the night to Sunday the 28th."""
SCHEDULE = "aws:scheduler/schedule:Schedule"
FILE = """\
config:
  tandem:region: us-east-1
  tandem:ephemeral: true
  tandem:fleet: {instanceTypes: [g6.12xlarge], hosts: 1}
  tandem:costGuard: {businessHours: {timeZone: Europe/Berlin, days: '*', start: '%s', stop: '%s'}, expiresAfter: 90d}
"""


def half_a_day_off() -> tuple[str, str]:
    """Hours that do not hold now."""
    hour = (datetime.now(BERLIN).hour + 12) % 24
    return f"{hour:02}:00", f"{hour:02}:59"


def sizes(account: SimulatedAccount) -> list[tuple[int, int, int]]:
    found = account.client("autoscaling", REGION).describe_auto_scaling_groups()["AutoScalingGroups"]
    return [(group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) for group in found]


def changed(operation: Operation) -> set[tuple[str, str]]:
    return {(step.operation, step.type) for step in operation.changing()}


def pass_by(account: SimulatedAccount, schedule: str) -> None:
    """What a recurring schedule does when its time comes."""
    clients = lambda service: account.client(service, REGION)  # noqa: E731
    (call,) = [
        one
        for one in inventory.find(clients, "dev").resources
        if one.type == SCHEDULE and schedule in one.id.rpartition("/")[2]
    ]
    for one in expiry.calls(clients, [call]):
        one.invoke(clients)


def fall_idle(account: SimulatedAccount) -> None:
    """What the alarm does after so long without a request while a host is in service."""
    clients = lambda service: account.client(service, REGION)  # noqa: E731
    (alarm,) = idle.alarms(inventory.find(clients, "dev").resources)
    assert alarm.rings([idle.IDLE] * alarm.periods)
    alarm.act(clients)


@pytest.fixture(autouse=True)
def made_days_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `up` is one on the thirtieth day of the stack's life."""
    moment = providers._moment
    monkeypatch.setattr(providers, "_moment", lambda at: moment(at - timedelta(days=30)))


@pytest.mark.parametrize("workspace", [FILE % half_a_day_off()], indirect=True, ids=["closed"])
def test_hours_are_kept_and_change_on_any_later_day(
    workspace: Workspace, watched: Watched, account: SimulatedAccount
) -> None:
    up = done(workspace.up())
    assert any("it is outside the business hours" in message for message in up.messages)
    assert sizes(account) == [(0, 0, 0)]
    assert not any(moment.running for moment in watched.moments)

    workspace.stack_file.write_text(FILE % ("00:00", "23:59"))
    again = done(workspace.up())
    assert sizes(account) == [(1, 1, 1)]
    assert changed(again) == {("update", SCHEDULE), ("update", expectations.GROUP)}
    assert done(workspace.up()).changing() == []

    workspace.stack_file.write_text(FILE % ("08:00", "18:00"))
    done(workspace.up())
    clients = lambda service: account.client(service, REGION)  # noqa: E731
    calls = expiry.calls(clients, inventory.find(clients, "dev").resources)
    ever = [replace(call, until=None) for call in calls]
    hosts = lambda: [wanted for _, wanted, _ in sizes(account)]  # noqa: E731
    kept = list(hours_kept(ever, clients, SPRING, SPRING + timedelta(days=7), hosts))
    hours = BusinessHoursSettings.model_validate(
        {"timeZone": "Europe/Berlin", "days": "*", "start": "08:00", "stop": "18:00"}
    )
    assert expectations.follow_the_hours(kept, lambda moment: lifetime.is_open(hours, moment)).violations == ()
    opened = [moment for (_, before), (moment, after) in pairwise(kept) if after > before]
    assert [f"{moment:%a %H:%M}" for moment in opened] == [
        *(f"{day} 07:00" for day in ("Thu", "Fri", "Sat")),
        *(f"{day} 06:00" for day in ("Sun", "Mon", "Tue", "Wed")),
    ]
    assert watched.unguarded == []


IDLE_FILE = FILE.replace("expiresAfter: 90d", "expiresAfter: 90d, idleAfter: 1h")


@pytest.mark.parametrize("workspace", [IDLE_FILE % ("00:00", "23:59")], indirect=True, ids=["open"])
def test_a_stack_that_fell_idle_starts_at_the_next_opening_and_can_fall_idle_again(
    workspace: Workspace, account: SimulatedAccount
) -> None:
    done(workspace.up())
    assert sizes(account) == [(0, 1, 1)]
    for _day in range(2):
        fall_idle(account)
        assert sizes(account) == [(0, 0, 1)]
        assert done(workspace.up()).changing() == []
        assert sizes(account) == [(0, 0, 1)], "an `up` of the day does not undo it"
        pass_by(account, "-close")
        assert sizes(account) == [(0, 0, 0)]
        pass_by(account, "-open")
        assert sizes(account) == [(0, 1, 1)]
