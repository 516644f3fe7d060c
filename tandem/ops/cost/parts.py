"""The parts of a stack's cost, priced: what always runs, what comes with the hosts, what is paid by the GB.

Hours come from tandem/costs.py; what depends on use is counted from stated assumptions, and printed with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tandem import costs
from tandem.alarms import START_FIGURES
from tandem.catalog import prices
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.prices import HOURS_PER_MONTH
from tandem.catalog.quotas import Purchase
from tandem.platforms import CostItem, platform_of
from tandem.settings import Settings
from tandem.settings.schema import BusinessHoursSettings

_DAYS = {"MON-FRI": 5, "MON-SAT": 6, "SUN-THU": 5, "*": 7}


@dataclass(frozen=True, kw_only=True)
class Prices:
    """US dollars an hour of each instance type.

    Attributes:
        spot: without an answer of AWS it is the on-demand price: an upper bound, not a guess.
        source: where they are from, for people.
    """

    on_demand: Mapping[str, float]
    spot: Mapping[str, float]
    source: str


def catalog(settings: Settings) -> Prices:
    """The catalog's prices in the stack's region."""
    usd = {name: prices.on_demand(name, settings.region) for name in INSTANCE_TYPES}
    source = prices.source(settings.region, counted_types(settings))
    return Prices(on_demand=usd, spot=usd, source=f"{source}; spot counted at the on-demand price")


def counted_types(settings: Settings) -> list[str]:
    """Instance types whose price a stack's cost depends on."""
    own = (name for group in settings.groups.values() for name in group.fleet.instance_types)
    return [*dict.fromkeys(own), *platform_of(settings).other_types]


@dataclass(frozen=True, kw_only=True)
class Use:
    """What nobody knows in advance, as assumed.

    Attributes:
        stored_gb: weights and compile caches on EFS.
        starts: cold starts of hosts a month; each reads the stored weights once, and tells how long it took.
        internet_gb: traffic through NAT gateways a month, beside the weights' one download.
        logs_gb: logs of all hosts a month.
    """

    stored_gb: float = 100
    starts: float = 30
    internet_gb: float = 100
    logs_gb: float = 20

    def __str__(self) -> str:
        return (
            f"{self.stored_gb:g} GB stored and read by {self.starts:g} starts, {self.internet_gb:g} GB through NAT, "
            f"{self.logs_gb:g} GB of logs a month"
        )


@dataclass(frozen=True)
class Part:
    """One part of the cost. `usd_per_hour` while it runs; the month knows of business hours."""

    name: str
    count: float
    usd_per_hour: float
    usd_per_month: float


def parts(settings: Settings, known: Prices, use: Use) -> list[Part]:
    """Of the stack at the size at which it comes up."""
    month = HOURS_PER_MONTH * share_of_week(settings.cost_guard.business_hours)
    always = [_running(item, HOURS_PER_MONTH) for item in costs.fixed_costs(settings)]
    groups = settings.groups
    hosts = [
        _running(replace(item, name=item.name + (f" of {model}" if len(groups) > 1 else "")), month)
        for model, group in groups.items()
        for item in _hosts(group, known)
    ]
    return [*always, *hosts, *used(settings, use)]


def _running(item: CostItem, hours: float) -> Part:
    """For so many hours of a month."""
    return Part(item.name, item.count, item.usd_per_hour, item.usd_per_hour * hours)


def _hosts(settings: Settings, known: Prices) -> list[CostItem]:
    """What comes and goes with the hosts."""
    first, hosts = settings.fleet.instance_types[0], platform_of(settings).hosts_at_first
    usd: dict[Purchase, float] = {"on demand": known.on_demand[first], "spot": known.spot[first]}
    split = costs.hosts_by_purchase(settings, hosts)
    return costs.host_costs(settings, hosts, first, {how: (count, usd[how]) for how, count in split.items()})


def used(settings: Settings, use: Use) -> list[Part]:
    """What is paid by the GB."""
    part = prices.parts(settings.region)
    read = 0.0 if settings.model_cache.provisioned_mibps else use.stored_gb * use.starts * part.efs_read_gb
    nat = use.internet_gb * part.nat_gateway_gb if settings.nat_zones else 0.0
    told = use.starts * len(START_FIGURES) * settings.metrics.cloudwatch
    month = {
        "model cache storage": use.stored_gb * part.efs_gb_month,
        "model cache reads": 0.0 if all(one.weights == "s3" for one, _ in settings.scaled.values()) else read,
        "NAT traffic": nat,
        "logs": use.logs_gb * part.logs_gb,
        # Each is paid for the hour in which it is told.
        "figures of cold starts": told * part.metric_month / HOURS_PER_MONTH,
    }
    return [Part(name, 1, usd / HOURS_PER_MONTH, usd) for name, usd in month.items() if usd]


def share_of_week(hours: BusinessHoursSettings | None) -> float:
    """The share of all hours in which the fleet runs, 0 to 1."""
    if hours is None:
        return 1.0
    start, stop = (int(text[:2]) + int(text[3:]) / 60 for text in (hours.start, hours.stop))
    return (stop - start) * _DAYS[hours.days] / 168
