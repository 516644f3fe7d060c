"""Makes a stack expire: does what EventBridge Scheduler would do when the time of the stack's schedules has come.

Stands for: EventBridge Scheduler, when the time of a schedule has come.
Held by: nothing, no schedule of AWS's has been seen to fire.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore import xform_name

from pulumi_rehearsal import schedule_times
from pulumi_rehearsal.aws import universal_target
from tandem.ops.kinds.kind import Clients, Found

SCHEDULE = "aws:scheduler/schedule:Schedule"


@dataclass(frozen=True)
class Call:
    """A schedule's call of an AWS API.

    Attributes:
        when: the schedule's expression, such as `at(2026-12-24T18:00:00)`.
        service: boto3's name of the service.
        operation: in lower camel case, as the target's ARN has it.
        arguments: of the operation, in boto3's words.
        role: name of the role that the scheduler assumes for it.
        time_zone: whose clock the expression goes by.
        since, until: between which it calls; None for always.
        enabled: whether it calls at all.
    """

    when: str
    service: str
    operation: str
    arguments: Mapping[str, Any]
    role: str
    time_zone: str = "UTC"
    since: datetime | None = None
    until: datetime | None = None
    enabled: bool = True

    def moments(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """When it calls after `start` and no later than `end`; a one-time schedule knows no other bounds."""
        if not self.when.startswith("at("):
            start, end = max(start, self.since or start), min(end, self.until or end)
        return schedule_times.moments(self.when, self.time_zone, start, end) if self.enabled else iter(())

    @property
    def action(self) -> str:
        """As IAM policies name it."""
        return f"{self.service}:{self.operation[0].upper()}{self.operation[1:]}"

    def invoke(self, clients: Clients) -> None:
        """Calls the API with boto3."""
        method = xform_name(universal_target.operation(self.service, self.operation).name)
        getattr(clients(self.service), method)(**self.arguments)


def calls(clients: Clients, found: list[Found]) -> list[Call]:
    """What the found schedules will call, the earliest first."""
    schedules = [resource for resource in found if resource.type == SCHEDULE]
    return sorted((_call(clients, schedule) for schedule in schedules), key=lambda call: call.when)


def _call(clients: Clients, schedule: Found) -> Call:
    group, _, name = schedule.id.partition("/")
    description = clients("scheduler").get_schedule(GroupName=group, Name=name)
    target = description["Target"]
    universal = universal_target.TARGET.fullmatch(target["Arn"])
    if universal is None:
        raise LookupError(f"schedule {schedule.id} has a target that is no AWS API: {target['Arn']}")
    return Call(
        when=description["ScheduleExpression"],
        service=universal["service"],
        operation=universal["action"],
        arguments=universal_target.arguments(universal["service"], universal["action"], json.loads(target["Input"])),
        role=target["RoleArn"].rpartition("/")[2],
        time_zone=description.get("ScheduleExpressionTimezone") or "UTC",
        since=description.get("StartDate"),
        until=description.get("EndDate"),
        enabled=description.get("State", "ENABLED") == "ENABLED",
    )


def play(calls: Iterable[Call], start: datetime, end: datetime) -> Iterator[tuple[datetime, Call]]:
    """What is called when, in order, as time goes from `start` to `end`."""
    due = [(moment, call) for call in calls for moment in call.moments(start, end)]
    return iter(sorted(due, key=lambda one: one[0]))


def policies(clients: Clients, role: str) -> Iterator[str]:
    """The role's inline policies, as JSON text."""
    iam = clients("iam")
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        # boto3 has decoded the document already
        yield json.dumps(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])


def hours_kept(
    calls: Iterable[Call], clients: Clients, start: datetime, end: datetime, hosts: Callable[[], list[int]]
) -> Iterator[tuple[datetime, list[int]]]:
    """Plays the schedules of business hours; yields each moment at which one calls, and what it makes of the groups."""
    recurring = [call for call in calls if call.when.startswith("cron(")]
    for moment, call in play(recurring, start, end):
        call.invoke(clients)
        yield moment, hosts()
