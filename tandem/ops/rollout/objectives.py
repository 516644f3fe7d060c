"""Objectives as the gate of a rollout: what is promised, and is kept no more since a version began to be rolled out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tandem.alarms import OBJECTIVES, name_of_both
from tandem.ops.kinds.kind import Clients
from tandem.rollout import Rollout


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Gate:
    """The alarms of a stack's objectives. One that rang before does not hold a version: it may be the mend.

    Attributes:
        stack_id: of the life that is rolled out.
        recent: a rollout that began longer ago and is over is no news any more.
    """

    clients: Clients
    stack: str
    stack_id: str
    recent: timedelta

    def begun(self, one: Rollout) -> list[str]:
        """What the alarms say that call and have begun since this rollout did, each with its page; none where it leads
        back, or there is no way back.

        Raises:
            botocore's errors.
        """
        began = one.began
        if began is None or one.before is None or one.goes_back:
            return []
        if one.state == "done" and _now() - began > self.recent:
            return []
        names = [name_of_both(self.stack, one.model, alarm, self.stack_id) for alarm in OBJECTIVES]
        found = self.clients("cloudwatch").describe_alarms(AlarmNames=names, AlarmTypes=["CompositeAlarm"])
        return [
            alarm["AlarmDescription"]
            for alarm in found["CompositeAlarms"]
            if alarm["StateValue"] == "ALARM" and alarm["StateTransitionedTimestamp"] >= began
        ]
