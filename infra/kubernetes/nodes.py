"""GPU nodes by Karpenter: what they are (EC2NodeClass) and when they come and go (NodePool)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi

from tandem.kubernetes.names import BASE_POOL, BATCH_POOL, GPU, GPU_NODE, NODE_CLASS, OF_BATCH, POOL, RESERVED_POOL

from .node_disks import Image, volumes
from .objects import Manifest, named

FAMILIES = {"al2023": "AL2023", "bottlerocket": "Bottlerocket"}
BATCH_EMPTY_MINUTES = 2
"""That a node for batches stays without pods: one that ended is made anew within seconds at first."""


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """GPU nodes of one stack.

    Attributes:
        instance_types: that may be started; Karpenter takes the cheapest that is there.
        base_types: of these, such as the base may be: all with the same number of GPUs, so that its limit counts nodes.
        gpus_on_demand: GPUs of the base, which is on demand before any other; 0 for none.
        gpus: GPUs at most, all together.
        spot: whether those above the base may be spot.
        batch_gpus, batch_spot: of nodes beside these, for batches alone; 0 for none.
        image: family of the node image. image_id: one image; None takes the family's newest of the day.
        reservation_ids: of the Capacity Block, or of reservations on demand.
        in_block, reserved_only: nodes in the block, or in reservations, and no other.
        role_name: identity of the nodes.
        subnet_ids, security_group_ids: where they stand.
        public_address: only in public subnets.
        root_volume_gib: encrypted gp3.
        empty_minutes: a node without pods stays so long.
        drain_seconds: a drain may take so long, before pods go that a disruption budget holds.
        window: in which nodes are replaced, by hours of the day in UTC: (minute of the day, hours); None for always.
        tags: on instances and volumes.
    """

    instance_types: Sequence[str]
    base_types: Sequence[str]
    gpus_on_demand: int
    gpus: int
    spot: bool
    batch_gpus: int = 0
    batch_spot: bool = False
    image: Image
    image_id: str | None
    reservation_ids: Sequence[str] = ()
    in_block: bool = False
    reserved_only: bool = False
    role_name: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_ids: Sequence[pulumi.Input[str]]
    public_address: bool
    root_volume_gib: int
    empty_minutes: int
    drain_seconds: int
    window: tuple[int, int] | None = None
    tags: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)


def node_objects(nodes: Nodes) -> list[Manifest]:
    """The node class, and a pool for each kind of purchase, heaviest first; that of batches takes no other pods."""
    return [_node_class(nodes), *_serving_pools(nodes), *([_batch_pool(nodes)] if nodes.batch_gpus else [])]


def _serving_pools(nodes: Nodes) -> list[Manifest]:
    if nodes.in_block:
        return [_pool(nodes, RESERVED_POOL, ["reserved"], nodes.instance_types, nodes.gpus, 100)]
    pools = []
    if nodes.gpus_on_demand:
        pools.append(_pool(nodes, BASE_POOL, ["on-demand"], nodes.base_types, nodes.gpus_on_demand, 100))
    if rest := nodes.gpus - nodes.gpus_on_demand:
        # Of two kinds Karpenter takes spot as long as there is any, and on demand when there is none.
        purchases = ["spot", "on-demand"] if nodes.spot else ["on-demand"]
        if nodes.reservation_ids:  # the same pool: a node that is there stays until it drifts
            purchases = ["reserved"] if nodes.reserved_only else ["reserved", "on-demand"]
        pools.append(_pool(nodes, POOL, purchases, nodes.instance_types, rest, 50))
    return pools


def _batch_pool(nodes: Nodes) -> Manifest:
    """Servers do not stand here, and batches nowhere else: neither takes the other's room."""
    purchase = ["spot" if nodes.batch_spot else "on-demand"]
    pool = _pool(nodes, BATCH_POOL, purchase, nodes.instance_types, nodes.batch_gpus, 1)
    pool["spec"]["disruption"] |= {"consolidateAfter": f"{BATCH_EMPTY_MINUTES}m", "budgets": _budgets(None)}
    pool["spec"]["template"]["spec"]["taints"].append({"key": OF_BATCH, "value": "true", "effect": "NoSchedule"})
    return pool


def _node_class(nodes: Nodes) -> Manifest:
    alias = {"alias": f"{nodes.image}@latest"}
    image = {"id": nodes.image_id} if nodes.image_id else alias
    reserved = [{"id": id} for id in nodes.reservation_ids]
    return named("EC2NodeClass", "karpenter.k8s.aws/v1", NODE_CLASS) | {
        "spec": {
            "amiFamily": FAMILIES[nodes.image],
            "amiSelectorTerms": [image],
            "role": nodes.role_name,
            "subnetSelectorTerms": [{"id": subnet_id} for subnet_id in nodes.subnet_ids],
            "securityGroupSelectorTerms": [{"id": group_id} for group_id in nodes.security_group_ids],
            "associatePublicIPAddress": nodes.public_address,
            **({"capacityReservationSelectorTerms": reserved} if reserved else {}),
            # All NVMe drives as one, for images, weights and whatever pods write.
            "instanceStorePolicy": "RAID0",
            "blockDeviceMappings": [
                {
                    "deviceName": device,
                    "ebs": {
                        "volumeSize": f"{gib}Gi",
                        "volumeType": "gp3",
                        "encrypted": True,
                        "deleteOnTermination": True,
                    },
                }
                for device, gib in volumes(nodes.image, nodes.root_volume_gib).items()
            ],
            # One hop: a pod cannot reach the node's credentials.
            "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
            "tags": dict(nodes.tags),
        }
    }


def _pool(
    nodes: Nodes, name: str, capacity_types: Sequence[str], types: Sequence[str], gpus: int, weight: int
) -> Manifest:
    requirements = {
        "node.kubernetes.io/instance-type": list(types),
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
                "budgets": _budgets(nodes.window),
            },
            "template": {
                # By this label the device plugin knows where there are GPUs.
                "metadata": {"labels": {GPU_NODE: "true"}},
                "spec": {
                    "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": NODE_CLASS},
                    # An age ends nodes at once, without budget or successor; a newer image is drift, which has both.
                    "expireAfter": "Never",
                    # A drain that never ends would cost a node for as long; pods have had their grace by then.
                    "terminationGracePeriod": f"{-(-nodes.drain_seconds // 3600)}h",
                    "taints": [{"key": GPU, "value": "true", "effect": "NoSchedule"}],
                    "requirements": [
                        {"key": key, "operator": "In", "values": values} for key, values in requirements.items()
                    ],
                },
            },
        }
    }


def _budgets(window: tuple[int, int] | None) -> list[Manifest]:
    """One node by one where there are pods to move; empty nodes only cost, and go together.

    Of several budgets the smallest that is active counts, and their schedules know UTC only
    (`Budget.IsActive` in pkg/apis/v1/nodepool.go of sigs.k8s.io/karpenter v1.14.0).
    """
    always = {"nodes": "1", "reasons": ["Drifted", "Underutilized"]}
    if window is None:
        return [always]
    start, hours = window
    closes = (start + 60 * hours) % (24 * 60)
    shut = {"schedule": f"{closes % 60} {closes // 60} * * *", "duration": f"{24 - hours}h"}
    return [always, always | {"nodes": "0"} | shut]
