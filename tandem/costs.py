"""What a stack costs by the hour: pure arithmetic on settings and the catalog's prices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import chain

from tandem import gateway_alarms, scaling
from tandem.alarms import CANARY_FIGURES, FIGURES, GPU_FIGURES, GUESS_FIGURES, Both, alarms
from tandem.catalog import prices
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.prices import HOURS_PER_MONTH
from tandem.catalog.quotas import Purchase
from tandem.objectives import Objectives
from tandem.platforms import CostItem, platform_of
from tandem.settings.schema import Settings

SOME = Objectives(first_token_seconds=1, between_tokens_seconds=1, availability=0.99)
"""There are as many alarms, whatever is promised."""

SERIES = 400
"""That a host tells of each of its servers, edge and GPUs with them, twice a minute (tests/observing/recorded)."""


COPY_VCPUS, COPY_GIB = 1, 4
"""Of each copy of the gateway for teams."""
CACHE_NODE = "cache.t4g.micro"
"""Half a GiB: counters of some thousand keys take a few MiB."""
FIRST_DATABASE_GIB = 20
"""Of its database, before that grows."""


def fixed_costs(settings: Settings) -> list[CostItem]:
    """What runs whether or not there are hosts. Traffic and storage are not in it: nobody knows them in advance."""
    zones, network, part = len(settings.zones), settings.network, prices.parts(settings.region)
    public = 0 if settings.load_balancer.internal else zones
    nats = len(settings.nat_zones)
    endpoints = len(network.interface_endpoints) * zones
    items = [
        CostItem("load balancer", 1, part.load_balancer_hour),
        CostItem("load balancer addresses", public, public * part.public_ipv4_hour),
        CostItem("web ACL", 1, (part.web_acl_month + part.web_acl_rule_month) / HOURS_PER_MONTH),
        CostItem("NAT gateways with address", nats, nats * (part.nat_gateway_hour + part.public_ipv4_hour)),
        CostItem("interface endpoints", endpoints, endpoints * part.interface_endpoint_hour),
    ]
    if settings.global_name is not None and settings.global_name.outside_check:
        items.append(CostItem("health check from outside", 1, part.health_check_month / HOURS_PER_MONTH))
    idle = 3 * sum(scaling.idle_after(group) is not None for group in settings.groups.values())
    items.append(CostItem("idle alarm's metrics", idle, idle * part.alarm_metric_month / HOURS_PER_MONTH))
    items += watching_costs(settings)
    if mibps := settings.model_cache.provisioned_mibps:
        usd = mibps * part.efs_provisioned_mibps_month / HOURS_PER_MONTH
        items.append(CostItem("model cache throughput", mibps, usd))
    items += gateway_costs(settings)
    items += platform_of(settings).other_costs
    return [item for item in items if item.count]


def watching_costs(settings: Settings) -> list[CostItem]:
    """Figures in CloudWatch, their dashboard and the alarms on them; what a machine's calls cost is the machine's."""
    part, gpus = prices.parts(settings.region), platform_of(settings).sees_gpus
    tried = sum(one is not None for one in settings.canaries.values())
    figures = (len(FIGURES) + gpus * len(GPU_FIGURES)) * len(settings.scaled) + tried * len(CANARY_FIGURES)
    figures += len(GUESS_FIGURES) * sum(inference.speculation is not None for inference, _ in settings.scaled.values())
    figures *= settings.metrics.cloudwatch
    boards, editors = int(settings.has_dashboard), int(settings.metrics.managed_grafana)
    single, both = settings.alarmed * (1 + settings.metrics.cloudwatch), 0  # the certificate's, and that of keys
    for own in settings.each.values() if settings.alarmed and settings.metrics.cloudwatch else ():
        always, servers = own.always_on, platform_of(own).servers
        canary, tokens = own.canary is not None, own.inference.makes_tokens
        for alarm in alarms(SOME, always_on=always, servers=servers, gpus=gpus, canary=canary, tokens=tokens):
            single += len(alarm.of) if isinstance(alarm, Both) else 1
            both += isinstance(alarm, Both)
    if settings.gateway and settings.alarmed:
        single += len(gateway_alarms.alarms(settings.gateway, ""))
        figures += settings.gateway.fallback is not None  # days that are spent
    follow = [group for group in settings.groups.values() if group.follows_load]
    figures += len(follow)  # requests that wait
    fast, slow = (sum(column) for column in zip((0, 0), *map(scaling.alarm_metrics, follow), strict=True))
    of_scaling = fast * part.fast_alarm_metric_month + slow * part.alarm_metric_month
    of_alarms = single * part.alarm_metric_month + both * part.composite_alarm_month
    return [
        CostItem("figures in CloudWatch", figures, figures * part.metric_month / HOURS_PER_MONTH),
        CostItem("dashboard", boards, boards * part.dashboard_month / HOURS_PER_MONTH),
        CostItem("alarms", single + both, of_alarms / HOURS_PER_MONTH),
        CostItem("Grafana editor", editors, editors * part.grafana_editor_month / HOURS_PER_MONTH),
        CostItem("scaling alarms' metrics", fast + slow, of_scaling / HOURS_PER_MONTH),
    ]


def database_hour(instance_class: str, part: prices.Parts) -> float | None:
    """US dollars an hour of one database; None for a class that no gateway has."""
    return {
        "db.t4g.small": part.database_small_hour,
        "db.t4g.medium": part.database_medium_hour,
        "db.m7g.large": part.database_large_hour,
    }.get(instance_class)


def gateway_costs(settings: Settings) -> list[CostItem]:
    """Of a gateway for teams: its copies, their database as small as it begins, their cache."""
    gateway, part = settings.gateway, prices.parts(settings.region)
    if gateway is None:
        return []
    copy = COPY_VCPUS * part.fargate_vcpu_hour + COPY_GIB * part.fargate_gib_hour
    size = database_hour(gateway.database_class, part)
    assert size is not None
    databases = 1 + gateway.database_standby
    database = size + FIRST_DATABASE_GIB * part.database_gib_month / HOURS_PER_MONTH
    addresses = gateway.replicas if settings.network.egress == "publicHosts" else 0
    return [
        CostItem("gateway's copies", gateway.replicas, gateway.replicas * copy),
        CostItem("gateway's addresses", addresses, addresses * part.public_ipv4_hour),
        CostItem("gateway's database", databases, databases * database),
        CostItem("gateway's cache", int(gateway.has_cache), gateway.has_cache * part.cache_hour),
    ]


def hosts_by_purchase(settings: Settings, hosts: int) -> dict[Purchase, int]:
    """How Auto Scaling splits so many hosts: the base and its share above are on demand, rounded up."""
    fleet = settings.fleet
    base = min(hosts, fleet.on_demand_base)
    on_demand = base + math.ceil((hosts - base) * fleet.on_demand_percentage / 100)
    return {"on demand": on_demand, "spot": hosts - on_demand}


def host_costs(
    settings: Settings, hosts: int, instance_type: str, bought: Mapping[Purchase, tuple[int, float]] | None = None
) -> list[CostItem]:
    """So many hosts of one type, with their root volumes and addresses.

    Args:
        bought: how many of them at which price an hour; None for all on demand at the list price.
    """
    addresses = hosts if settings.network.egress == "publicHosts" else 0
    part = prices.parts(settings.region)
    volume = settings.fleet.root_volume_gib * part.ebs_gp3_gib_month / HOURS_PER_MONTH
    bought = bought or {"on demand": (hosts, prices.on_demand(instance_type, settings.region))}
    reports = hosts * settings.metrics.cloudwatch * reports_per_minute(settings)
    servers = INSTANCE_TYPES[instance_type].servers(settings.inference.tensor_parallel_size)
    written = hosts * servers if settings.metrics.written_to_amazon else 0
    items = [
        *(CostItem(f"{instance_type} {how}", count, count * usd) for how, (count, usd) in bought.items()),
        CostItem("root volumes", hosts, hosts * volume),
        CostItem("reports to CloudWatch", reports, reports * 60 * part.metric_request),
        CostItem("servers' metrics in Prometheus", written, written * SERIES * 120 * part.prometheus_sample),
        CostItem("host addresses", addresses, addresses * part.public_ipv4_hour),
    ]
    return [item for item in items if item.count]


def reports_per_minute(settings: Settings) -> int:
    """Of one host: one of all its figures, and those of what it follows the load by."""
    return 1 + settings.follows_load * scaling.SLOW_PERIOD_SECONDS // scaling.FAST_PERIOD_SECONDS


def total(items: Iterable[CostItem]) -> float:
    """US dollars an hour."""
    return sum(item.usd_per_hour for item in items)


def usd_per_hour(settings: Settings) -> float:
    """Cost of the stack as it comes up: the hosts of each group, all of its first instance type, on demand."""
    groups = settings.groups.values()
    hosts = (host_costs(own, platform_of(own).hosts_at_first, own.fleet.instance_types[0]) for own in groups)
    return total(chain(fixed_costs(settings), *hosts))


def max_usd_per_hour(settings: Settings) -> float:
    """The most that the stack can cost: of each group maxHosts and those that overlap, all of its dearest type, on
    demand. The spend cap counts with this."""
    groups = settings.groups.values()
    return total(chain(fixed_costs(settings), *(dearest_hosts(own, overlapping_hosts(own)) for own in groups)))


def dearest_hosts(settings: Settings, beside: int = 0) -> list[CostItem]:
    """The full group, with so many hosts beside it, all of its dearest type."""
    return host_costs(settings, settings.max_group_size + beside, dearest_type(settings))


def dearest_type(settings: Settings) -> str:
    """Of the fleet's instance types, by its price on demand."""
    return max(settings.fleet.instance_types, key=lambda name: prices.on_demand(name, settings.region))


def overlapping_hosts(settings: Settings) -> int:
    """Hosts that may run beside maxHosts while others are replaced.

    Beside a rollout's there are those with which Auto Scaling balances a group over its zones, or replaces spot hosts
    at risk: a tenth of the maximum, one host at least. A group of hosts with terminateFirst does neither.
    """
    platform, most = platform_of(settings), settings.max_group_size
    balanced = platform.rebalances and (most > 1 or settings.fleet.on_demand_percentage < 100)
    return platform.launched_ahead + (-(-most // 10) if balanced else 0)


def hosts_while_replaced(settings: Settings) -> dict[Purchase, int]:
    """The full group with those that a rollout starts ahead."""
    platform = platform_of(settings)
    on_demand = platform.on_demand_ahead
    hosts = hosts_by_purchase(settings, settings.max_group_size + platform.launched_ahead - on_demand)
    return {"on demand": hosts["on demand"] + on_demand, "spot": hosts["spot"]}


def uses_spot(settings: Settings) -> bool:
    """Whether any host of the full group is spot."""
    return settings.fleet.capacity_block is None and hosts_by_purchase(settings, settings.max_group_size)["spot"] > 0
