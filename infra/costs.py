"""What a stack costs by the hour: pure arithmetic on settings and the catalog's prices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from infra import capacity, draining
from infra.catalog import prices
from infra.catalog.prices import HOURS_PER_MONTH
from infra.catalog.quotas import Purchase
from infra.settings.schema import Settings
from infra.subnets import nat_zones


@dataclass(frozen=True)
class CostItem:
    """One part of the hourly cost: what it is, how many of it, US dollars an hour for all of them."""

    name: str
    count: float
    usd_per_hour: float


def fixed_costs(settings: Settings) -> list[CostItem]:
    """What runs whether or not there are hosts. Traffic and storage are not in it: nobody knows them in advance."""
    zones, network, part = len(settings.zones), settings.network, prices.parts(settings.region)
    nats = len(nat_zones(settings.zones, network.egress))
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
    if settings.cost_guard.idle_after is not None:
        items.append(CostItem("idle alarm's metrics", 3, 3 * part.alarm_metric_month / HOURS_PER_MONTH))
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
    return capacity.nodes_that_serve(settings, most=False)


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
    items = [
        *(CostItem(f"{instance_type} {how}", count, count * usd) for how, (count, usd) in bought.items()),
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
    """The most that the stack can cost: maxHosts and those that overlap, all of its dearest type, on demand. The spend
    cap counts with this."""
    hosts = settings.max_group_size + overlapping_hosts(settings)
    return total(fixed_costs(settings) + host_costs(settings, hosts, dearest_type(settings)))


def dearest_type(settings: Settings) -> str:
    """Of the fleet's instance types, by its price on demand."""
    return max(settings.fleet.instance_types, key=lambda name: prices.on_demand(name, settings.region))


def launched_ahead(settings: Settings) -> int:
    """Hosts that a rollout starts before those go that they replace: with fleet.rollout launchFirst one in a group of
    hosts, up to two a zone in a managed group
    (https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html). Karpenter starts a node first
    whatever fleet.rollout says, beside its limits."""
    if settings.platform == "eks" and settings.node_pool.provisioner == "karpenter":
        return draining.replaced_at_once(settings)
    if settings.fleet.rollout == "terminateFirst":
        return 0
    return 2 * len(settings.zones) if settings.platform == "eks" else 1


def overlapping_hosts(settings: Settings) -> int:
    """Hosts that may run beside maxHosts while others are replaced.

    Beside a rollout's there are those with which Auto Scaling balances a group over its zones, or replaces spot hosts
    at risk: a tenth of the maximum, one host at least. A group of hosts with terminateFirst does neither.
    """
    fleet, most = settings.fleet, settings.max_group_size
    managed = settings.platform == "eks" and settings.node_pool.provisioner == "managed"
    rebalances = managed or (settings.platform == "ec2" and fleet.rollout == "launchFirst")
    if rebalances and (most > 1 or fleet.on_demand_percentage < 100):
        return launched_ahead(settings) + -(-most // 10)
    return launched_ahead(settings)


def hosts_while_replaced(settings: Settings) -> dict[Purchase, int]:
    """The full group with those that a rollout starts ahead; a successor from Karpenter's base is on demand, too."""
    karpenter = settings.platform == "eks" and settings.node_pool.provisioner == "karpenter"
    of_base = int(karpenter and settings.fleet.on_demand_base > 0)
    hosts = hosts_by_purchase(settings, settings.max_group_size + launched_ahead(settings) - of_base)
    return {"on demand": hosts["on demand"] + of_base, "spot": hosts["spot"]}


def uses_spot(settings: Settings) -> bool:
    """Whether any host of the full group is spot."""
    return settings.fleet.capacity_block is None and hosts_by_purchase(settings, settings.max_group_size)["spot"] > 0
