"""What a stack costs: planned by part, what would save most, the difference to other settings, and the bill so far.

Pure but for `live_prices` and `spent`, which ask AWS. Hours come from infra/costs.py; what depends on use (storage,
traffic, logs) is counted from stated assumptions, and printed with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from infra import costs
from infra.catalog import prices
from infra.catalog.instances import INSTANCE_TYPES
from infra.catalog.prices import HOURS_PER_MONTH
from infra.settings import Settings, rules
from infra.settings.schema import BusinessHoursSettings
from ops import price_list
from ops.doctor.examination import Examination, hosts_by_purchase
from ops.doctor.price import spot_prices
from ops.kinds.kind import STACK_TAG, Clients

_DAYS = {"MON-FRI": 5, "MON-SAT": 6, "SUN-THU": 5, "*": 7}
WORTH_USD = 1.0
"""A change that saves less in a month is not worth a line."""

WORKING_DAY = BusinessHoursSettings()


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
    system = [settings.cluster.system_instance_type] if settings.platform == "eks" else []
    return [*settings.fleet.instance_types, *system]


@dataclass(frozen=True, kw_only=True)
class Use:
    """What nobody knows in advance, as assumed.

    Attributes:
        stored_gb: weights and compile caches on EFS.
        starts: cold starts of hosts a month; each reads the stored weights once.
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


@dataclass(frozen=True)
class Saving:
    """A change of the settings that costs less, and what is given up for it."""

    change: str
    usd_per_month: float
    gives_up: str


@dataclass(frozen=True)
class Plan:
    """What a stack costs at the size at which it comes up.

    Attributes:
        parts: dearest first.
        ends: the most that a stack which expires can spend in its life, US dollars; None where nothing ends it.
    """

    parts: tuple[Part, ...]
    source: str
    use: Use
    ends: float | None = None
    savings: tuple[Saving, ...] = field(default=())

    @property
    def usd_per_hour(self) -> float:
        return sum(part.usd_per_hour for part in self.parts)

    @property
    def usd_per_month(self) -> float:
        return sum(part.usd_per_month for part in self.parts)

    def share(self, part: Part) -> float:
        """Of the month, 0 to 1."""
        return part.usd_per_month / self.usd_per_month if self.usd_per_month else 0.0


def plan(settings: Settings, known: Prices | None = None, use: Use | None = None) -> Plan:
    """The stack's cost by part, and the changes that would save most.

    Args:
        known: the catalog's prices where none are given.
    """
    known, use = known or catalog(settings), use or Use()
    parts = _parts(settings, known, use)
    month = sum(part.usd_per_month for part in parts)
    savings = [
        Saving(change, month - sum(part.usd_per_month for part in _parts(other, known, use)), gives_up)
        for change, gives_up, other in _alternatives(settings)
        if not rules.problems(other)
    ]
    worth = [saving for saving in savings if saving.usd_per_month >= WORTH_USD]
    return Plan(
        parts=tuple(sorted(parts, key=lambda part: -part.usd_per_month)),
        source=known.source,
        use=use,
        ends=_ends(settings),
        savings=tuple(sorted(worth, key=lambda saving: -saving.usd_per_month)),
    )


def _parts(settings: Settings, known: Prices, use: Use) -> list[Part]:
    always = [
        Part(item.name, item.count, item.usd_per_hour, item.usd_per_hour * HOURS_PER_MONTH)
        for item in costs.fixed_costs(settings)
    ]
    month = HOURS_PER_MONTH * share_of_week(settings.cost_guard.business_hours)
    hosts = [Part(name, count, usd, usd * month) for name, count, usd in _hosts(settings, known) if count]
    return [*always, *hosts, *_used(settings, use)]


def _hosts(settings: Settings, known: Prices) -> Iterator[tuple[str, float, float]]:
    """Name, count and US dollars an hour of what comes and goes with the hosts."""
    first = settings.fleet.instance_types[0]
    hosts = costs.hosts_at_first(settings)
    split = hosts_by_purchase(settings, hosts)
    yield f"{first} on demand", split["on demand"], split["on demand"] * known.on_demand[first]
    yield f"{first} spot", split["spot"], split["spot"] * known.spot[first]
    for item in costs.host_costs(settings, hosts, first)[1:]:
        yield item.name, item.count, item.usd_per_hour


def _used(settings: Settings, use: Use) -> list[Part]:
    """What is paid by the GB."""
    part = prices.parts(settings.region)
    read = 0.0 if settings.model_cache.provisioned_mibps else use.stored_gb * use.starts * part.efs_read_gb
    nat = 0.0 if settings.network.egress == "publicHosts" else use.internet_gb * part.nat_gateway_gb
    month = {
        "model cache storage": use.stored_gb * part.efs_gb_month,
        "model cache reads": 0.0 if settings.inference.weights == "s3" else read,
        "NAT traffic": nat,
        "logs": use.logs_gb * part.logs_gb,
    }
    return [Part(name, 1, usd / HOURS_PER_MONTH, usd) for name, usd in month.items() if usd]


def share_of_week(hours: BusinessHoursSettings | None) -> float:
    """The share of all hours in which the fleet runs, 0 to 1."""
    if hours is None:
        return 1.0
    start, stop = (int(text[:2]) + int(text[3:]) / 60 for text in (hours.start, hours.stop))
    return (stop - start) * _DAYS[hours.days] / 168


def _ends(settings: Settings) -> float | None:
    """Life to the last host's leaving at the dearest price, for a stack whose life is known before it begins."""
    guard = settings.cost_guard
    lives = [life for life in (guard.expires_after, costs.life_within_cap(settings)) if life is not None]
    if not lives:
        return None
    return (min(lives) + costs.leaving_time(settings)) / timedelta(hours=1) * costs.max_usd_per_hour(settings)


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
    if fleet.capacity_block is None and hosts_by_purchase(settings, settings.group_size)["on demand"] > 1:
        other = _with(settings, "fleet", on_demand_percentage=0, on_demand_base=1)
        yield "fleet.onDemandBase: 1, onDemandPercentage: 0", "all hosts but one go at two minutes' notice", other
    if settings.platform == "eks" and settings.scaling.min_replicas > 1:
        fewer = settings.scaling.min_replicas - 1
        other = _with(settings, "scaling", min_replicas=fewer)
        yield f"scaling.minReplicas: {fewer}", "quiet hours have a replica less to lose", other
    if fleet.spare_hosts:
        other = _with(settings, "fleet", spare_hosts=0)
        yield "fleet.spareHosts: 0", "a lost host takes capacity away until its successor serves", other
    if guard.business_hours is None and not costs.expires(settings):
        other = _with(settings, "cost_guard", business_hours=WORKING_DAY)
        hours = f"{WORKING_DAY.start} to {WORKING_DAY.stop}, {WORKING_DAY.days}"
        yield f"costGuard.businessHours ({hours})", "no hosts at other times", other
    if settings.model_cache.provisioned_mibps:
        other = _with(settings, "model_cache", provisioned_mibps=None)
        yield "modelCache.provisionedMibps: null", "Elastic throughput is paid by the GB read", other
    if len(fleet.instance_types) > 1:
        cheapest = min(fleet.instance_types, key=lambda name: _usd_per_replica(name, settings.region))
        rest = tuple(name for name in fleet.instance_types if name != cheapest)
        if cheapest != fleet.instance_types[0]:
            other = _with(settings, "fleet", instance_types=(cheapest, *rest))
            yield f"fleet.instanceTypes: {cheapest} first", "the order of preference", other


def _usd_per_replica(name: str, region: str) -> float:
    return prices.on_demand(name, region) / INSTANCE_TYPES[name].replicas


def _with(settings: Settings, section: str, **values: Any) -> Settings:
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})


@dataclass(frozen=True)
class Change:
    """One part before and after, US dollars a month; 0 where it is not there."""

    name: str
    before: float
    after: float

    @property
    def difference(self) -> float:
        return self.after - self.before


def compare(before: Plan, after: Plan) -> list[Change]:
    """Parts whose month differs by a cent or more, the largest difference first."""
    old, new = ({part.name: part.usd_per_month for part in side.parts} for side in (before, after))
    changes = [Change(name, old.get(name, 0.0), new.get(name, 0.0)) for name in {**old, **new}]
    return sorted(
        (change for change in changes if abs(change.difference) >= 0.01), key=lambda change: -abs(change.difference)
    )


def comparison(names: tuple[str, str], before: Plan, after: Plan) -> str:
    """The difference as Markdown, for a comment on a pull request."""
    total = after.usd_per_month - before.usd_per_month
    if not (changes := compare(before, after)):
        return f"**Cost: {names[0]} and {names[1]} cost the same**, ${after.usd_per_month:,.2f} a month.\n"
    share = f" ({total / before.usd_per_month:+.1%})" if before.usd_per_month else ""
    lines = [
        f"**Cost: {_signed(total)} a month{share}**",
        "",
        f"| $ a month | {names[0]} | {names[1]} | difference |",
        "|---|---:|---:|---:|",
        *(
            f"| {change.name} | {change.before:,.2f} | {change.after:,.2f} | {change.difference:+,.2f} |"
            for change in changes
        ),
        f"| **all parts** | **{before.usd_per_month:,.2f}** | **{after.usd_per_month:,.2f}** | **{total:+,.2f}** |",
        f"| $ an hour | {before.usd_per_hour:,.2f} | {after.usd_per_hour:,.2f} "
        f"| {after.usd_per_hour - before.usd_per_hour:+,.2f} |",
        "",
        f"<sub>{after.source}. Assumed: {after.use}.</sub>",
    ]
    return "\n".join(lines) + "\n"


def _signed(usd: float) -> str:
    return f"{'-' if usd < 0 else '+'}${abs(usd):,.2f}"


def live_prices(examination: Examination) -> Prices:
    """What AWS asks in the stack's region now: on demand from its price list, spot from the cheapest of its zones.

    Raises:
        botocore's errors: not allowed, not reachable.
    """
    types = examination.settings.fleet.instance_types
    known, pricing = catalog(examination.settings), examination.home("pricing")
    on_demand = {
        name: price_list.on_demand(pricing, examination.region, name) or known.on_demand[name] for name in types
    }
    history = spot_prices(examination)
    zones = examination.settings.zones
    spot = {
        name: min((usd for zone, usd in history[name].items() if zone in zones), default=on_demand[name])
        for name in types
    }
    return Prices(
        on_demand={**known.on_demand, **on_demand},
        spot={**known.spot, **spot},
        source=f"AWS's prices in {examination.region} of {examination.now:%Y-%m-%d %H:%MZ}",
    )


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


ACTIVATE_TAG = (
    "`aws ce update-cost-allocation-tags-status --region us-east-1 --cost-allocation-tags-status "
    f"TagKey={STACK_TAG},Status=Active` (from the payer account; figures come a day later)"
)
"""What to do when Cost Explorer knows nothing of a stack that runs."""
