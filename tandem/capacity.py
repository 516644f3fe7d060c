"""What a pod gets of a node, and how many nodes pods need, on every instance type that the fleet lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tandem.catalog.instances import INSTANCE_TYPES, InstanceType
from tandem.settings.cluster import ScalingSettings
from tandem.settings.schema import Settings
from tandem.sizing.units import divide_up

SHARE = 0.85
"""Of a node's processors and memory; the rest is the kubelet's, the daemons' and the file cache's."""


EDGE_CPU, EDGE_MEMORY_GIB = 1, 1
"""Of each pod, for nginx and the agent beside its server: whole processors and GiB, within which both stay."""


@dataclass(frozen=True)
class Share:
    """What one server asks for: whole processors, GiB of memory."""

    cpu: int
    memory_gib: int


def node_types(settings: Settings) -> list[InstanceType]:
    """The fleet's instance types."""
    return [INSTANCE_TYPES[name] for name in settings.fleet.instance_types]


def servers_per_host(settings: Settings) -> list[int]:
    """On each type of platform ec2's fleet."""
    return [one.servers(settings.inference.tensor_parallel_size) for one in node_types(settings)]


def gpus_per_node(settings: Settings) -> int:
    """Of the largest type: limits count GPUs, and must let so many nodes of any type come."""
    return max(one.gpus for one in node_types(settings))


def smallest_types(settings: Settings) -> list[InstanceType]:
    """Those with the fewest GPUs: a pool's limit counts GPUs, and of types of one size so many nodes, too."""
    types = node_types(settings)
    fewest = min(one.gpus for one in types)
    return [one for one in types if one.gpus == fewest]


def most_nodes(settings: Settings) -> int:
    """Nodes with GPUs that there may ever be: a managed group stays as large as it was made."""
    return settings.group_size if settings.node_pool.provisioner == "managed" else settings.max_group_size


def share_of_node(settings: Settings, gpus: int) -> Share:
    """What a server of so many GPUs may ask for on every type when all GPUs are taken, beside each server's edge."""
    types = node_types(settings)
    return Share(
        cpu=min(int(one.vcpus * SHARE) // one.servers(gpus) for one in types) - EDGE_CPU,
        memory_gib=min(int(one.memory_gib * SHARE) // one.servers(gpus) for one in types) - EDGE_MEMORY_GIB,
    )


def nodes_for(settings: Settings, gpus: int) -> int:
    """Nodes that servers with so many GPUs in all fill, on the smallest type."""
    return divide_up(gpus, smallest_types(settings)[0].gpus)


def nodes_at_worst(settings: Settings) -> int:
    """Nodes that all replicas at their most need, wherever the scheduler puts them: it fills the emptiest node first
    (LeastAllocated, https://kubernetes.io/docs/reference/scheduling/config/), and one that has room for small servers
    only is none for a large one."""
    node, pods = smallest_types(settings)[0].gpus, Counter[int]()
    for inference, scaling in settings.scaled.values():
        pods[inference.tensor_parallel_size] += scaling.max_replicas * inference.pipeline_parallel_size

    def needed(size: int) -> int:
        theirs = sum(number * gpus for gpus, number in pods.items() if gpus >= size)
        spoiling = {gpus: divide_up(node - size + 1, gpus) for gpus in pods if gpus < size}
        return divide_up(theirs, node) + sum(pods[gpus] // each for gpus, each in spoiling.items())

    return max(map(needed, pods))


def spread_over(settings: Settings, scaling: ScalingSettings) -> int:
    """Nodes that have one of a model's replicas each before any has two; 1 lets them fill nodes as they come.

    Several models share nodes: one that is full of another would keep replicas waiting that need not.
    """
    wanted = scaling.min_replicas
    if scaling.spread == "prefer":
        wanted = min(wanted, 2, most_nodes(settings)) if len(settings.scaled) == 1 else 1
    return max(1, wanted)


def nodes_that_serve(settings: Settings, *, most: bool) -> int:
    """Nodes with a pod, when models have their fewest or their most replicas: filled, but for those kept apart."""
    apart = max(spread_over(settings, scaling) for _, scaling in settings.scaled.values())
    gpus = gpus_of(settings, most=most)
    return max(nodes_for(settings, gpus), apart) if gpus else 0


def gpus_of(settings: Settings, *, most: bool) -> int:
    """GPUs of all models' pods together, at least or at most."""
    return sum(
        (scaling.max_replicas if most else scaling.min_replicas) * inference.gpus
        for inference, scaling in settings.scaled.values()
    )


def node_subnets(settings: Settings, subnet_ids: Mapping[str, Any]) -> list[Any]:
    """Where nodes stand: everywhere, or in the zones of what is reserved."""
    return [subnet_ids[zone] for zone in settings.fleet.reserved_zones or subnet_ids]
