"""Changes of a stack's settings that would cost less, and what is given up for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tandem import lifetime, rules
from tandem.catalog import prices
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.costs import hosts_by_purchase
from tandem.ops.cost.parts import Prices, Use, parts
from tandem.settings import Settings
from tandem.settings.schema import BusinessHoursSettings

WORTH_USD = 1.0
"""A change that saves less in a month is not worth a line."""

WORKING_DAY = BusinessHoursSettings()


@dataclass(frozen=True)
class Saving:
    """A change of the settings that costs less, and what is given up for it."""

    change: str
    usd_per_month: float
    gives_up: str


def savings(settings: Settings, known: Prices, use: Use) -> tuple[Saving, ...]:
    """Those that are worth it, the largest first."""

    def month(of: Settings) -> float:
        return sum(part.usd_per_month for part in parts(of, known, use))

    now = month(settings)
    found = [
        Saving(change, now - month(other), gives_up)
        for change, gives_up, other in _alternatives(settings)
        if not rules.problems(other)
    ]
    worth = [saving for saving in found if saving.usd_per_month >= WORTH_USD]
    return tuple(sorted(worth, key=lambda saving: -saving.usd_per_month))


def _alternatives(settings: Settings) -> Iterator[tuple[str, str, Settings]]:
    """Changes that may cost less: the change, what is given up for it, the settings with it."""
    network, fleet, guard = settings.network, settings.fleet, settings.cost_guard
    if network.egress == "natPerZone":
        other = _with(settings, "network", egress="singleNat")
        yield "network.egress: singleNat", "a lost zone takes all hosts' way out with it", other
    if network.egress != "publicHosts":
        other = _with(settings, "network", egress="publicHosts")
        yield "network.egress: publicHosts", "hosts have public addresses, with no inbound rule", other
    if network.interface_endpoints:
        other = _with(settings, "network", interface_endpoints=())
        yield "network.interfaceEndpoints: []", "calls to AWS leave the VPC, still inside TLS", other
    if not fleet.reservation_ids and hosts_by_purchase(settings, settings.group_size)["on demand"] > 1:
        other = _with(settings, "fleet", on_demand_percentage=0, on_demand_base=1)
        yield "fleet.onDemandBase: 1, onDemandPercentage: 0", "all hosts but one go at two minutes' notice", other
    if settings.scaling.min_replicas > 1 and not fleet.reservation_ids:
        fewer = settings.scaling.min_replicas - 1
        other = _with(settings, "scaling", min_replicas=fewer)
        yield f"scaling.minReplicas: {fewer}", "quiet hours have a replica less to lose", other
    if fleet.spare_hosts and not fleet.reservation_ids:
        other = _with(settings, "fleet", spare_hosts=0)
        yield "fleet.spareHosts: 0", "a lost host takes capacity away until its successor serves", other
    if guard.business_hours is None and not fleet.reservation_ids and not lifetime.expires(settings):
        other = _with(settings, "cost_guard", business_hours=WORKING_DAY)
        hours = f"{WORKING_DAY.start} to {WORKING_DAY.stop}, {WORKING_DAY.days}"
        yield f"costGuard.businessHours ({hours})", "no hosts at other times", other
    if settings.model_cache.provisioned_mibps:
        other = _with(settings, "model_cache", provisioned_mibps=None)
        yield "modelCache.provisionedMibps: null", "Elastic throughput is paid by the GB read", other
    if len(fleet.instance_types) > 1:
        cheapest = min(fleet.instance_types, key=lambda name: _usd_per_gpu(name, settings.region))
        rest = tuple(name for name in fleet.instance_types if name != cheapest)
        if cheapest != fleet.instance_types[0]:
            other = _with(settings, "fleet", instance_types=(cheapest, *rest))
            yield f"fleet.instanceTypes: {cheapest} first", "the order of preference", other


def _usd_per_gpu(name: str, region: str) -> float:
    return prices.on_demand(name, region) / INSTANCE_TYPES[name].gpus


def _with(settings: Settings, section: str, **values: Any) -> Settings:
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})
