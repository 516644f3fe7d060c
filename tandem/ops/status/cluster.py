"""What serves on platform eks, as far as AWS tells: cluster, GPU nodes, and pods as targets of the load balancer.

Pods themselves and their image are told by the Kubernetes API only, which may be private.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tandem import type_tokens as types
from tandem.catalog.prices import SYSTEM_NODE_VCPUS
from tandem.kubernetes.names import NAMESPACE
from tandem.ops.kinds import KINDS, cluster_of, ours, servers_targets
from tandem.ops.kinds.kind import Clients, Found, Scope
from tandem.ops.status.report import Absent, Cluster, Machine, Model, NodeGroup, Unknown
from tandem.settings import Settings
from tandem.tags import MODEL_TAG


def servers(clients: Clients, stack: str, settings: Settings, stack_id: str | None) -> Cluster | Unknown:
    """The cluster, its models and its nodes.

    Raises:
        botocore's errors.
    """
    cluster = cluster_of(clients, stack, stack_id)
    if cluster is None:
        return Absent("the stack has no EKS cluster in this account and region")
    groups = KINDS[types.NODE_GROUP].find(Scope(clients, stack, cluster))
    return Cluster(
        name=cluster.name,
        version=cluster.facts["version"],
        state=cluster.facts["status"],
        models=tuple(_models(clients, stack, settings, stack_id)),
        node_groups=tuple(_node_group(group) for group in groups),
        nodes=tuple(_node(found) for found in ours(clients, stack, types.INSTANCE, stack_id) if _has_gpus(found)),
        kubeconfig_command=f"aws eks update-kubeconfig --region {settings.region} --name {cluster.name}",
    )


def _models(clients: Clients, stack: str, settings: Settings, stack_id: str | None) -> Iterator[Model]:
    """Each model with what the load balancer says of its pods; one without a target group has none."""
    states = {
        group.tags.get(MODEL_TAG): Counter(
            target["TargetHealth"]["State"]
            for target in clients("elbv2").describe_target_health(TargetGroupArn=group.arn)["TargetHealthDescriptions"]
        )
        for group in servers_targets(clients, stack, stack_id)
    }
    for name, (_, scaling) in settings.scaled.items():
        yield Model(
            name=name,
            minimum=scaling.min_replicas,
            maximum=scaling.max_replicas,
            targets=states.get(name, Counter()),
        )


def _node_group(found: Found) -> NodeGroup:
    size = found.facts["scalingConfig"]
    return NodeGroup(
        name=found.name,
        state=found.facts["status"],
        minimum=size["minSize"],
        desired=size["desiredSize"],
        maximum=size["maxSize"],
    )


def _has_gpus(instance: Found) -> bool:
    """Not a node of the controllers."""
    return instance.facts["InstanceType"] not in SYSTEM_NODE_VCPUS


def _node(instance: Found) -> Machine:
    facts = instance.facts
    return Machine(
        id=instance.id,
        type=facts["InstanceType"],
        zone=facts["Placement"]["AvailabilityZone"],
        purchase=facts.get("InstanceLifecycle", "on demand"),
        since=facts.get("LaunchTime"),
        state=facts["State"]["Name"],
    )


def running(_clients: Clients, _stack: str, _stack_id: str | None) -> Unknown:
    """AWS does not know what pods run."""
    return Unknown(f"the cluster tells it: `kubectl --namespace {NAMESPACE} get deployments --output wide`")
