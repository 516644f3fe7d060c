"""When stacks end, as the account itself knows it: by the schedules that stop their fleets, found by tags."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from infra.tags import EPHEMERAL_TAG
from ops.aws import AwsError, is_gone
from ops.kinds import KINDS, types
from ops.kinds.kind import Clients, Found, Scope

_STOPS = (":autoscaling:updateAutoScalingGroup", ":eks:updateNodegroupConfig")
"""What stops the servers, by platform; the other schedules only tell people."""


@dataclass(frozen=True)
class Life:
    """What the schedules of one stack say.

    Attributes:
        group: of the schedules; it outlives everything else of a stack that is being removed.
        expires_at: when the fleet goes to 0 for good, UTC; None where no schedule says so (any more).
        ephemeral: all of it may go once it has expired.
    """

    stack: str
    group: Found
    expires_at: datetime | None
    ephemeral: bool

    def is_over(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


def lives(clients: Clients, stack: str | None = None) -> list[Life]:
    """Of all stacks of the project in one account and region, or of one.

    Raises:
        botocore's errors.
    """
    groups = KINDS[types.SCHEDULE_GROUP].find(Scope(clients, stack))
    return [
        Life(group.stack, group, _expires_at(clients, group), group.tags.get(EPHEMERAL_TAG) == "true")
        for group in groups
        if group.facts.get("State") != "DELETING"
    ]


def expires_at(clients: Clients, stack: str) -> datetime | None:
    """When a stack's fleet stops; None for never."""
    return max((life.expires_at for life in lives(clients, stack) if life.expires_at), default=None)


def _expires_at(clients: Clients, group: Found) -> datetime | None:
    """The latest of its moments: a stack whose expiry is being moved must not look expired in between."""
    return max(_moments(clients, group), default=None)


def _moments(clients: Clients, group: Found) -> Iterator[datetime]:
    """Of the schedule that stops the fleet, and of the one that keeps it stopped from then on."""
    for schedule in KINDS[types.SCHEDULE].find(Scope(clients, group.stack, group)):
        try:
            found = clients("scheduler").get_schedule(GroupName=group.id, Name=schedule.name)
        except AwsError as error:
            if is_gone(error):
                continue
            raise
        if not found["Target"]["Arn"].endswith(_STOPS):
            continue
        if moment := re.fullmatch(r"at\((.+)\)", found["ScheduleExpression"]):
            yield datetime.fromisoformat(moment[1]).replace(tzinfo=UTC)
        elif start := found.get("StartDate"):
            yield start.astimezone(UTC)
