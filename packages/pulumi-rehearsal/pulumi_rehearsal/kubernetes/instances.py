"""Instances that Karpenter starts join the control plane, as their kubelets would have them do.

Stands for: the kubelet of an instance, from its start to its Node.
Held by: nothing, an instance of the simulated account runs nothing.
"""

from __future__ import annotations

from typing import Any

from pulumi_rehearsal.instance_types import Catalog, type_named
from pulumi_rehearsal.kubernetes.api import Api, ApiError, Object
from pulumi_rehearsal.kubernetes.nodes import CAPACITY_TYPE, gpu_node
from pulumi_rehearsal.moto import Clients

POOL = "karpenter.sh/nodepool"
UNREGISTERED = {"key": "karpenter.sh/unregistered", "effect": "NoExecute"}
"""Taint that a node brings along, and Karpenter takes away once it has seen the node."""


def let_instances_join(api: Api, clients: Clients, catalog: Catalog) -> None:
    """Makes the Node of each instance that runs and has none."""
    there = {node["metadata"]["name"] for node in api.list("v1", "Node")}
    for instance in instances(clients):
        if instance["PrivateDnsName"] in there:
            continue
        try:
            api.create(_node(instance, catalog))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise


def instances(clients: Clients) -> list[Any]:
    """Those of Karpenter that run, in EC2's words."""
    filters = [{"Name": "tag-key", "Values": [POOL]}, {"Name": "instance-state-name", "Values": ["running"]}]
    found = clients("ec2").describe_instances(Filters=filters)["Reservations"]
    return [instance for reservation in found for instance in reservation["Instances"]]


def _node(instance: Any, catalog: Catalog) -> Object:
    zone = instance["Placement"]["AvailabilityZone"]
    kind = type_named(instance["InstanceType"], catalog)
    node = gpu_node(instance["PrivateDnsName"], kind, zone, taints=[UNREGISTERED])
    del node["metadata"]["labels"][CAPACITY_TYPE]  # Karpenter's to say
    node["spec"]["providerID"] = f"aws:///{zone}/{instance['InstanceId']}"
    return node
