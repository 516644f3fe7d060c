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
from tandem.rules.cluster import prefix_of
from tandem.settings import Settings
from tandem.settings.schema import BusinessHoursSettings
from tandem.tags import MAIN_MODEL

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
    network, guard = settings.network, settings.cost_guard
    reserved = any(group.fleet.reservation_ids for group in settings.groups.values())
    if network.egress == "natPerZone":
        other = _with(settings, "network", egress="singleNat")
        yield "network.egress: singleNat", "a lost zone takes all hosts' way out with it", other
    if network.egress != "publicHosts":
        other = _with(settings, "network", egress="publicHosts")
        yield "network.egress: publicHosts", "hosts have public addresses, with no inbound rule", other
    if network.interface_endpoints:
        other = _with(settings, "network", interface_endpoints=())
        yield "network.interfaceEndpoints: []", "calls to AWS leave the VPC, still inside TLS", other
    if settings.scaling.min_replicas > 1 and not reserved:
        fewer = settings.scaling.min_replicas - 1
        other = _with(settings, "scaling", min_replicas=fewer)
        yield f"scaling.minReplicas: {fewer}", "quiet hours have a replica less to lose", other
    if guard.business_hours is None and not reserved and not lifetime.expires(settings):
        other = _with(settings, "cost_guard", business_hours=WORKING_DAY)
        hours = f"{WORKING_DAY.start} to {WORKING_DAY.stop}, {WORKING_DAY.days}"
        yield f"costGuard.businessHours ({hours})", "no hosts at other times", other
    if settings.model_cache.provisioned_mibps:
        other = _with(settings, "model_cache", provisioned_mibps=None)
        yield "modelCache.provisionedMibps: null", "Elastic throughput is paid by the GB read", other
    for name, group in settings.groups.items():
        if name == MAIN_MODEL or settings.models[name].fleet:
            for change, gives_up, fleet in _fleets(group):
                yield f"{prefix_of(name)}{change}", gives_up, _with_fleet(settings, name, fleet)


def _fleets(group: Settings) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Likewise of one group's hosts: what of `fleet` is changed."""
    fleet = group.fleet
    if not fleet.reservation_ids and hosts_by_purchase(group, group.group_size)["on demand"] > 1:
        other = {"on_demand_percentage": 0, "on_demand_base": 1}
        yield "fleet.onDemandBase: 1, onDemandPercentage: 0", "all hosts but one go at two minutes' notice", other
    if fleet.spare_hosts and not fleet.reservation_ids:
        yield "fleet.spareHosts: 0", "a lost host takes capacity away until its successor serves", {"spare_hosts": 0}
    cheapest = min(fleet.instance_types, key=lambda name: _usd_per_gpu(name, group.region))
    if cheapest != fleet.instance_types[0]:
        rest = tuple(name for name in fleet.instance_types if name != cheapest)
        yield f"fleet.instanceTypes: {cheapest} first", "the order of preference", {"instance_types": (cheapest, *rest)}


def _usd_per_gpu(name: str, region: str) -> float:
    return prices.on_demand(name, region) / INSTANCE_TYPES[name].gpus


def _with_fleet(settings: Settings, model: str, values: dict[str, Any]) -> Settings:
    if model == MAIN_MODEL:
        return _with(settings, "fleet", **values)
    one = settings.models[model]
    changed = one.model_copy(update={"fleet": one.fleet and one.fleet.model_copy(update=values)})
    return settings.model_copy(update={"models": {**settings.models, model: changed}})


def _with(settings: Settings, section: str, **values: Any) -> Settings:
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})
