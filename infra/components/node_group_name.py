"""The name of the managed node group, known before the group is there, so that what guards it is there first."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_random as random

from tandem.settings.cluster import NodePoolSettings
from tandem.settings.fleet import FleetSettings

from .fleet_name import ID_BYTES

IMAGES = {"al2023": "AL2023_x86_64_NVIDIA", "bottlerocket": "BOTTLEROCKET_x86_64_NVIDIA"}
"""EKS's word for each image of a node pool."""


def node_group_name(
    name: str,
    pool: NodePoolSettings,
    fleet: FleetSettings,
    subnet_ids: Sequence[pulumi.Input[str]],
) -> pulumi.Output[str] | None:
    """The name of a stack's managed node group; None with Karpenter.

    A change that replaces the group gives it another name, so that the new one can be there before the old one goes.

    Args:
        name: of the cluster; the group's begins with it.
    """
    if pool.provisioner == "karpenter":
        return None
    replaces: dict[str, pulumi.Input[str]] = {
        "role": group_role(name),
        "instance_types": ",".join(fleet.instance_types),
        "image": pool.image,
        "spot": str(fleet.on_demand_percentage < 100),
        "subnet_ids": pulumi.Output.all(*subnet_ids).apply(",".join),
    }
    id = random.RandomId(f"{name}-gpu", byte_length=ID_BYTES, keepers=replaces).hex
    return id.apply(lambda id: f"{name}-gpu-{id}")


def group_role(name: str) -> str:
    """What the program calls the role of a managed group's nodes."""
    return f"{name}-gpu-group"


def capacity_type(fleet: FleetSettings) -> str:
    """EKS's word for how nodes are bought."""
    return "SPOT" if fleet.on_demand_percentage < 100 else "ON_DEMAND"
