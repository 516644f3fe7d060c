"""GPU nodes by Karpenter: what they are (EC2NodeClass) and when they come and go (NodePool)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pulumi

from infra.kubernetes.objects import Manifest, named
from infra.kubernetes.workload import GPU

NODE_CLASS = "gpu"
FAMILIES = {"al2023": "AL2023", "bottlerocket": "Bottlerocket"}


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """GPU nodes of one stack.

    Attributes:
        instance_types: that may be started; Karpenter takes the cheapest that is there.
        gpus_on_demand: GPUs that are on demand before any other; 0 for none.
        gpus: GPUs at most, all together.
        spot: whether those above the base may be spot.
        image: family of the node image. image_id: one image; None takes the family's newest of the day.
        capacity_reservation_id: nodes in this Capacity Block only.
        role_name: identity of the nodes.
        subnet_ids, security_group_ids: where they stand.
        public_address: only in public subnets.
        root_volume_gib: encrypted gp3.
        expire_after_days: oldest age of a node; None for any.
        empty_minutes: a node without pods stays so long.
        tags: on instances and volumes.
    """

    instance_types: Sequence[str]
    gpus_on_demand: int
    gpus: int
    spot: bool
    image: Literal["al2023", "bottlerocket"]
    image_id: str | None
    capacity_reservation_id: str | None = None
    role_name: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_ids: Sequence[pulumi.Input[str]]
    public_address: bool
    root_volume_gib: int
    expire_after_days: int | None
    empty_minutes: int
    tags: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)


def node_objects(nodes: Nodes) -> list[Manifest]:
    """The node class, and a pool for each kind of purchase, heaviest first."""
    if nodes.capacity_reservation_id:
        return [_node_class(nodes), _pool(nodes, "gpu-reserved", ["reserved"], nodes.gpus, 100)]
    pools = []
    if nodes.gpus_on_demand:
        pools.append(_pool(nodes, "gpu-base", ["on-demand"], nodes.gpus_on_demand, 100))
    if rest := nodes.gpus - nodes.gpus_on_demand:
        # Of two kinds Karpenter takes spot as long as there is any, and on demand when there is none.
        pools.append(_pool(nodes, "gpu", ["spot", "on-demand"] if nodes.spot else ["on-demand"], rest, 50))
    return [_node_class(nodes), *pools]


def _node_class(nodes: Nodes) -> Manifest:
    alias = {"alias": f"{nodes.image}@latest"}
    image = {"id": nodes.image_id} if nodes.image_id else alias
    # Bottlerocket has its data on a second disk.
    data_device = "/dev/xvdb" if nodes.image == "bottlerocket" else "/dev/xvda"
    reservation = nodes.capacity_reservation_id
    return named("EC2NodeClass", "karpenter.k8s.aws/v1", NODE_CLASS) | {
        "spec": {
            "amiFamily": FAMILIES[nodes.image],
            "amiSelectorTerms": [image],
            "role": nodes.role_name,
            "subnetSelectorTerms": [{"id": subnet_id} for subnet_id in nodes.subnet_ids],
            "securityGroupSelectorTerms": [{"id": group_id} for group_id in nodes.security_group_ids],
            "associatePublicIPAddress": nodes.public_address,
            **({"capacityReservationSelectorTerms": [{"id": reservation}]} if reservation else {}),
            # All NVMe drives as one, for images, weights and whatever pods write.
            "instanceStorePolicy": "RAID0",
            "blockDeviceMappings": [
                {
                    "deviceName": data_device,
                    "ebs": {
                        "volumeSize": f"{nodes.root_volume_gib}Gi",
                        "volumeType": "gp3",
                        "encrypted": True,
                        "deleteOnTermination": True,
                    },
                }
            ],
            # One hop: a pod cannot reach the node's credentials.
            "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
            "tags": dict(nodes.tags),
        }
    }


def _pool(nodes: Nodes, name: str, capacity_types: Sequence[str], gpus: int, weight: int) -> Manifest:
    requirements = {
        "node.kubernetes.io/instance-type": list(nodes.instance_types),
        "karpenter.sh/capacity-type": list(capacity_types),
        "kubernetes.io/arch": ["amd64"],
        "kubernetes.io/os": ["linux"],
    }
    return named("NodePool", "karpenter.sh/v1", name) | {
        "spec": {
            "weight": weight,
            "limits": {GPU: str(gpus)},
            "disruption": {
                # A pod that makes tokens is never moved to save money; nodes without pods go.
                "consolidationPolicy": "WhenEmpty",
                "consolidateAfter": f"{nodes.empty_minutes}m",
                # One by one where there are pods to move; empty nodes only cost, and go together.
                "budgets": [{"nodes": "1", "reasons": ["Drifted", "Underutilized"]}],
            },
            "template": {
                # By this label the device plugin knows where there are GPUs.
                "metadata": {"labels": {"nvidia.com/gpu.present": "true"}},
                "spec": {
                    "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": NODE_CLASS},
                    "expireAfter": f"{24 * nodes.expire_after_days}h" if nodes.expire_after_days else "Never",
                    # A drain that never ends would cost a node for as long; pods have had their grace by then.
                    "terminationGracePeriod": "3h",
                    "taints": [{"key": GPU, "value": "true", "effect": "NoSchedule"}],
                    "requirements": [
                        {"key": key, "operator": "In", "values": values} for key, values in requirements.items()
                    ],
                },
            },
        }
    }
