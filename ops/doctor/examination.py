"""What a check may look at: the stack as it is meant to be, and the account as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from infra import costs
from infra.catalog.quotas import Purchase
from infra.pins import Pins
from infra.settings import Settings
from ops.doctor.finding import Finding
from ops.http import Http
from ops.kinds.kind import Clients
from ops.whose import Own


@dataclass(frozen=True, kw_only=True)
class Examination:
    """One examination of one stack.

    Attributes:
        clients: of the account in the stack's region.
        home: of the account in us-east-1, where every account can say who it is and prices are told.
        now: the moment, in UTC.
        own: what the state here tells of the stack; None where none can be asked.
        http: for what is not AWS: public DNS and the model hub.
    """

    stack: str
    settings: Settings
    pins: Pins
    clients: Clients
    home: Clients
    now: datetime
    own: Own | None = None
    http: Http = field(default_factory=lambda: Http(deadline_seconds=8, timeout_seconds=4))

    @property
    def region(self) -> str:
        return self.settings.region


Check = Callable[[Examination], Iterator[Finding]]


def hosts_by_purchase(settings: Settings, hosts: int) -> dict[Purchase, int]:
    """How Auto Scaling splits so many hosts: the base and its share above are on demand, rounded up."""
    fleet = settings.fleet
    base = min(hosts, fleet.on_demand_base)
    on_demand = base + math.ceil((hosts - base) * fleet.on_demand_percentage / 100)
    return {"on demand": on_demand, "spot": hosts - on_demand}


def hosts_while_replaced(settings: Settings) -> dict[Purchase, int]:
    """The full group with those that a rollout starts ahead; a successor from Karpenter's base is on demand, too."""
    karpenter = settings.platform == "eks" and settings.node_pool.provisioner == "karpenter"
    of_base = int(karpenter and settings.fleet.on_demand_base > 0)
    hosts = hosts_by_purchase(settings, settings.max_group_size + costs.launched_ahead(settings) - of_base)
    return {"on demand": hosts["on demand"] + of_base, "spot": hosts["spot"]}


def uses_spot(settings: Settings) -> bool:
    """Whether any host of the full group is spot."""
    return settings.fleet.capacity_block is None and hosts_by_purchase(settings, settings.max_group_size)["spot"] > 0
