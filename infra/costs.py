"""What a stack costs by the hour and when it must stop: pure arithmetic on settings and the catalog's prices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from infra.catalog import prices
from infra.catalog.prices import HOURS_PER_MONTH
from infra.kubernetes import capacity
from infra.settings.schema import Settings

MINUTE = timedelta(minutes=1)
SCHEDULE_PRECISION = MINUTE
"""EventBridge Scheduler calls within the minute: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html"""
CAPACITY_BLOCK_RECLAIM = timedelta(minutes=30)
"""AWS takes the hosts of a Capacity Block back half an hour before its end."""


@dataclass(frozen=True)
class CostItem:
    """One part of the hourly cost: what it is, how many of it, US dollars an hour for all of them."""

    name: str
    count: float
    usd_per_hour: float


def fixed_costs(settings: Settings) -> list[CostItem]:
    """What runs whether or not there are hosts. Traffic and storage are not in it: nobody knows them in advance."""
    zones, network, part = len(settings.zones), settings.network, prices.parts(settings.region)
    nats = {"natPerZone": zones, "singleNat": 1, "publicHosts": 0}[network.egress]
    endpoints = len(network.interface_endpoints) * zones
    items = [
        CostItem("load balancer", 1, part.load_balancer_hour),
        CostItem("load balancer addresses", zones, zones * part.public_ipv4_hour),
        CostItem("web ACL", 1, (part.web_acl_month + part.web_acl_rule_month) / HOURS_PER_MONTH),
        CostItem("NAT gateways with address", nats, nats * (part.nat_gateway_hour + part.public_ipv4_hour)),
        CostItem("interface endpoints", endpoints, endpoints * part.interface_endpoint_hour),
    ]
    if settings.global_name is not None and settings.global_name.outside_check:
        items.append(CostItem("health check from outside", 1, part.health_check_month / HOURS_PER_MONTH))
    if mibps := settings.model_cache.provisioned_mibps:
        usd = mibps * part.efs_provisioned_mibps_month / HOURS_PER_MONTH
        items.append(CostItem("model cache throughput", mibps, usd))
    if settings.platform == "eks":
        nodes = settings.cluster.system_nodes
        price = prices.on_demand(settings.cluster.system_instance_type, settings.region)
        items += [
            CostItem("EKS cluster", 1, part.eks_cluster_hour),
            CostItem("controllers' nodes", nodes, nodes * price),
        ]
    return [item for item in items if item.count]


def hosts_at_first(settings: Settings) -> int:
    """GPU hosts as the stack comes up: of the group, or as many nodes as the pods at their minimum need."""
    if settings.platform == "ec2" or settings.node_pool.provisioner == "managed":
        return settings.group_size
    return capacity.nodes_for(settings, capacity.replicas(settings, most=False))


def host_costs(settings: Settings, hosts: int, instance_type: str) -> list[CostItem]:
    """So many hosts of one type, on demand, with their root volumes and addresses."""
    addresses = hosts if settings.network.egress == "publicHosts" else 0
    part = prices.parts(settings.region)
    volume = settings.fleet.root_volume_gib * part.ebs_gp3_gib_month / HOURS_PER_MONTH
    usd = prices.on_demand(instance_type, settings.region)
    items = [
        CostItem(f"{instance_type} on demand", hosts, hosts * usd),
        CostItem("root volumes", hosts, hosts * volume),
        CostItem("host addresses", addresses, addresses * part.public_ipv4_hour),
    ]
    return [item for item in items if item.count]


def total(items: Iterable[CostItem]) -> float:
    """US dollars an hour."""
    return sum(item.usd_per_hour for item in items)


def usd_per_hour(settings: Settings) -> float:
    """Cost of the stack as it comes up: its hosts, all of the first instance type, on demand."""
    return total(
        fixed_costs(settings) + host_costs(settings, hosts_at_first(settings), settings.fleet.instance_types[0])
    )


def max_usd_per_hour(settings: Settings) -> float:
    """The most that the stack can cost: maxHosts of its dearest type, on demand. The spend cap counts with this."""
    dearest = max(settings.fleet.instance_types, key=lambda name: prices.on_demand(name, settings.region))
    return total(fixed_costs(settings) + host_costs(settings, settings.max_group_size, dearest))


def leaving_time(settings: Settings) -> timedelta:
    """What hosts still cost after the schedule's minute: its precision, and the time that they get to drain."""
    return SCHEDULE_PRECISION + timedelta(seconds=settings.timeouts.termination_grace_seconds)


def life_within_cap(settings: Settings) -> timedelta | None:
    """How long the stack may run before it could have spent costGuard.maxUsd, to the minute below; None uncapped.

    Counted as if maxHosts of the dearest type had run on demand from the first minute, and would take all of their
    time to leave: however the group is scaled within its bounds, it spends less.
    """
    cap = settings.cost_guard.max_usd
    if cap is None:
        return None
    all_of_it = timedelta(hours=cap / max_usd_per_hour(settings))
    return max(timedelta(), (all_of_it - leaving_time(settings)) // MINUTE * MINUTE)


def expires_at(settings: Settings, created: datetime) -> datetime | None:
    """When the fleet goes to 0: the soonest of expiry, spend cap and the end of a Capacity Block; None for never.

    Args:
        created: when the stack was first made (UTC); it does not move with later `up`s.
    """
    guard, block = settings.cost_guard, settings.fleet.capacity_block
    cap = life_within_cap(settings)
    limits = [
        guard.expires_at,
        created + guard.expires_after if guard.expires_after is not None else None,
        created + cap if cap is not None else None,
        block.ends_at - CAPACITY_BLOCK_RECLAIM if block is not None else None,
    ]
    soonest = min((limit for limit in limits if limit is not None), default=None)
    return None if soonest is None else soonest.astimezone(UTC).replace(second=0, microsecond=0)


def expires(settings: Settings) -> bool:
    """Whether anything stops this stack for good."""
    return expires_at(settings, datetime(2026, 1, 1, tzinfo=UTC)) is not None
