"""The name of the managed node group, known before the group is there, so that what guards it is there first."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_random as random
from pulumi_aws import eks

from tandem.settings.cluster import NodePoolSettings
from tandem.settings.schema import FleetSettings

from .fleet_name import ID_BYTES, chosen_by_engine

IMAGES = {"al2023": "AL2023_x86_64_NVIDIA", "bottlerocket": "BOTTLEROCKET_x86_64_NVIDIA"}
"""EKS's word for each image of a node pool."""


def node_group_name(
    name: str,
    pool: NodePoolSettings,
    fleet: FleetSettings,
    subnet_ids: Sequence[pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str] | None:
    """The name of a stack's managed node group; None with Karpenter.

    A change that replaces the group gives it another name, so that the new one can be there before the old one goes.
    A group from before its name was known beforehand keeps the one that the engine chose, until such a change.

    Args:
        name: of the cluster; the group's begins with it.
        opts: with the provider of the stack's region.
    """
    if pool.provisioner == "karpenter":
        return None
    subnets = pulumi.Output.all(*subnet_ids)
    replaces: dict[str, pulumi.Input[str]] = {
        "instance_types": ",".join(fleet.instance_types),
        "image": pool.image,
        "spot": str(fleet.on_demand_percentage < 100),
        "subnet_ids": subnets.apply(",".join),
    }
    id = random.RandomId(f"{name}-gpu", byte_length=ID_BYTES, keepers=replaces).hex
    own = id.apply(lambda id: f"{name}-gpu-{id}")
    former = _former(name, pulumi.InvokeOptions(provider=opts.provider))
    if not former or not _is_of(former, pool, fleet):
        return own
    kept = former.node_group_name
    return subnets.apply(lambda ids: kept if {*ids} == {*former.subnet_ids} else own)


def capacity_type(fleet: FleetSettings) -> str:
    """EKS's word for how nodes are bought."""
    return "SPOT" if fleet.on_demand_percentage < 100 else "ON_DEMAND"


def _former(cluster: str, opts: pulumi.InvokeOptions) -> eks.GetNodeGroupResult | None:
    """The group that the engine named, in a cluster that is there."""
    if cluster not in eks.get_clusters(opts=opts).names:
        return None
    names = eks.get_node_groups(cluster_name=cluster, opts=opts).names
    found = chosen_by_engine(f"{cluster}-gpu", names)
    return eks.get_node_group(cluster_name=cluster, node_group_name=found, opts=opts) if found else None


def _is_of(group: eks.GetNodeGroupResult, pool: NodePoolSettings, fleet: FleetSettings) -> bool:
    """Whether nothing but its subnets could replace it."""
    wanted = (list(fleet.instance_types), IMAGES[pool.image], capacity_type(fleet))
    return (group.instance_types, group.ami_type, group.capacity_type) == wanted
