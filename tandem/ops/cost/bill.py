"""What a stack has cost, as Cost Explorer has booked it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from tandem.tags import STACK_TAG

if TYPE_CHECKING:
    from tandem.ops.kinds.kind import Clients


@dataclass(frozen=True)
class Spent:
    """The bill of a stack since `since`: US dollars by service, dearest first. AWS's figures are a day late."""

    since: date
    by_service: Mapping[str, float]

    @property
    def usd(self) -> float:
        return sum(self.by_service.values())


def spent(clients: Clients, stack: str, today: date) -> Spent:
    """What Cost Explorer has booked this month under the stack's tag. Each call costs one cent.

    Args:
        clients: of us-east-1, where Cost Explorer is.

    Raises:
        botocore's errors: not allowed, or Cost Explorer is not enabled.
    """
    since = today.replace(day=1)
    answer = clients("ce").get_cost_and_usage(
        TimePeriod={"Start": since.isoformat(), "End": (today + timedelta(days=1)).isoformat()},
        Granularity="MONTHLY",
        Metrics=["UnblendedCost"],
        Filter={"Tags": {"Key": STACK_TAG, "Values": [stack]}},
        GroupBy=[{"Type": "DIMENSION", "Key": "SERVICE"}],
    )
    by_service: dict[str, float] = {}
    for period in answer["ResultsByTime"]:
        for group in period["Groups"]:
            name = group["Keys"][0]
            by_service[name] = by_service.get(name, 0.0) + float(group["Metrics"]["UnblendedCost"]["Amount"])
    return Spent(since, dict(sorted(by_service.items(), key=lambda item: -item[1])))
