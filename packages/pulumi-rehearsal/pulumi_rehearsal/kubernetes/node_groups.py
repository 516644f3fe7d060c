"""Nodes of EKS node groups: as many join the control plane as the simulated account says that a group has.

Stands for: managed node groups of EKS, whose instances join.
Held by: nothing, nodes join as many as the simulated account says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pulumi_rehearsal.instance_types import Catalog, type_named
from pulumi_rehearsal.kubernetes.api import Api, ApiError, Object
from pulumi_rehearsal.kubernetes.nodes import gpu_node, wait_for_nodes
from pulumi_rehearsal.moto import Clients

GROUP_LABEL = "eks.amazonaws.com/nodegroup"

EFFECTS = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}
"""Effects of taints, in the words of EKS and of Kubernetes."""


def let_nodes_join(api: Api, clients: Clients, tags: Mapping[str, str], catalog: Catalog) -> None:
    """Makes the nodes of the stack's node groups, and removes those of groups that are smaller now, or gone.

    Args:
        tags: by which a node group is the stack's; all are where there are none.
    """
    nodes = (node for group in _groups(clients, tags) for node in _nodes(group, clients, catalog))
    wanted = {node["metadata"]["name"]: node for node in nodes}
    found = {node["metadata"]["name"]: node for node in api.list("v1", "Node", labelSelector=GROUP_LABEL)}
    for name in found.keys() - wanted.keys():
        api.delete(found[name])
    missing = wanted.keys() - found.keys()
    for name in missing:
        try:
            api.create(wanted[name])
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
    if missing:
        wait_for_nodes(api, missing)


def _groups(clients: Clients, tags: Mapping[str, str]) -> Iterator[Any]:
    eks = clients("eks")
    for cluster in eks.list_clusters()["clusters"]:
        for name in eks.list_nodegroups(clusterName=cluster)["nodegroups"]:
            group = eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
            if tags.items() <= group["tags"].items():
                yield group


def _nodes(group: Any, clients: Clients, catalog: Catalog) -> Iterator[Object]:
    """Spread over the group's zones, as EKS does with them."""
    subnets = clients("ec2").describe_subnets(SubnetIds=group["subnets"])["Subnets"]
    zones = sorted({subnet["AvailabilityZone"] for subnet in subnets})
    [first, *_] = group["instanceTypes"]
    taints = [
        {"key": taint["key"], "value": taint.get("value", ""), "effect": EFFECTS[taint["effect"]]}
        for taint in group.get("taints") or []
    ]
    for index in range(group["scalingConfig"]["desiredSize"]):
        yield gpu_node(
            f"{group['nodegroupName']}-{index}".lower(),
            type_named(first, catalog),
            zones[index % len(zones)],
            capacity_type=group["capacityType"].lower().replace("_", "-"),
            labels={**(group.get("labels") or {}), GROUP_LABEL: group["nodegroupName"]},
            taints=taints,
        )
