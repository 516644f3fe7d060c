"""What the settings promise of servers and nodes, held against what the cluster was given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.nodes import servers_gpus
from rehearsal.expectations import expectation
from rehearsal.kubernetes.expectations import kept_by, least_nodes, promised_replicas
from tandem import capacity
from tandem.kubernetes.names import server_name
from tandem.settings import Settings

ACCESS_ENTRY = "aws:eks/accessEntry:AccessEntry"
CLUSTER = "aws:eks/cluster:Cluster"


@expectation("servers have the GPUs, the spread and the reserve that the settings promise")
def are_given_what_is_promised(
    settings: Settings, deployments: Sequence[Object], budgets: Sequence[Object], scaled: Sequence[Object]
) -> Iterable[str]:
    """Args:
    scaled: KEDA's objects, one for each model that follows the load.
    """
    for model, (inference, scaling) in settings.scaled.items():
        name = server_name(model)
        for deployment in (one for one in deployments if one["metadata"]["name"] == name):
            wanted = deployment["spec"]["replicas"]
            pod = deployment["spec"]["template"]
            if (gpus := servers_gpus(pod)) != (each := inference.tensor_parallel_size):
                yield f"{name}: a server has {gpus} GPUs, {each} are promised"
            if (nodes := least_nodes(pod)) != (apart := capacity.spread_over(settings, scaling)):
                yield f"{name}: asks for {nodes} nodes, scaling.spread promises {apart}"
            if settings.fleet.rollout == "launchFirst" and promised_replicas(deployment) < wanted:
                yield f"{name}: a rollout leaves {promised_replicas(deployment)} of {wanted}, launchFirst promises all"
            kept = max((kept_by(one, deployment) for one in budgets if one["metadata"]["name"] == name), default=0)
            if kept < (promised := scaling.min_available or wanted - 1):
                yield f"{name}: a drain may leave {kept} of {wanted}, {promised} are promised"
        for one in scaled:
            least = one["spec"]["minReplicaCount"]
            if one["metadata"]["name"] == name and least != scaling.min_replicas:
                yield f"{name}: KEDA keeps {least}, scaling.minReplicas promises {scaling.min_replicas}"


@expectation("each node may join: its role has an access entry, and it is in the cluster's security group")
def may_join(
    node_classes: Iterable[Object], instances: Iterable[Mapping[str, Any]], state: Sequence[Mapping[str, Any]]
) -> Iterable[str]:
    """As EKS has it for nodes that it does not start itself (its user guide: access entries of type EC2_LINUX; cluster
    security group). The rehearsal lets every instance join, and says here which could not.

    Args:
        node_classes: of Karpenter. instances: that it started, in EC2's words.
    """
    entries = [one["inputs"] for one in state if one["type"] == ACCESS_ENTRY]
    may = {one["principalArn"].rpartition("/")[2] for one in entries if one.get("type", "").startswith("EC2")}
    for one in node_classes:
        if (role := one["spec"]["role"]) not in may:
            yield f"{one['metadata']['name']}: {role} has no access entry of type EC2_LINUX"
    [cluster] = (one["outputs"]["vpcConfig"]["clusterSecurityGroupId"] for one in state if one["type"] == CLUSTER)
    for one in instances:
        if cluster not in [group["GroupId"] for group in one["SecurityGroups"]]:
            yield f"{one['PrivateDnsName']}: not in {cluster}, from where the control plane is reached"
