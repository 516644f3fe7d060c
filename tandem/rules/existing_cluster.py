"""What must hold of a cluster that is there, as far as it can be known without it."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.errors import Problem
from tandem.rules.cluster import models
from tandem.rules.network import of_what_is_made
from tandem.settings.commands import set_to
from tandem.settings.schema import Settings

EXISTING = "cluster.existing"


def existing_cluster_is_all(settings: Settings) -> Iterator[Problem]:
    """The other settings are of a cluster that the stack makes."""
    allowed = f"unset with {EXISTING}; who reaches and administers the cluster is for its owner to say"
    return of_what_is_made("cluster", settings.cluster, allowed)


def existing_cluster_has_a_place(settings: Settings) -> Iterator[Problem]:
    """The cluster's VPC, nodes of the stack's own, and a stack that its state, not its tags, takes away."""
    there = settings.cluster.existing
    if there is None:
        return
    if settings.network.existing is None:
        yield Problem(
            key="network.existing",
            wrong=f"is not set: nodes and load balancer stand in the VPC of the cluster {there.name}",
            value=None,
            allowed="the cluster's VPC, and subnets in it",
            fix=f"{set_to('network.existing.vpcId', 'VPC')} and its subnets: `aws eks describe-cluster --name "
            f"{there.name} --query cluster.resourcesVpcConfig` names it",
        )
    if settings.node_pool.provisioner != "managed":
        yield Problem(
            key="nodePool.provisioner",
            wrong="the cluster's Karpenter may give its nodes its own role alone, and a second Karpenter would end "
            "the nodes of the first",
            value=settings.node_pool.provisioner,
            allowed=f"managed with {EXISTING}: a node group of the stack's own in that cluster",
            fix=set_to("nodePool.provisioner", "managed"),
        )
    if settings.ephemeral:
        yield Problem(
            key="ephemeral",
            wrong="what ends ephemeral stacks removes by tags of AWS what they have, and objects in a cluster that "
            "stays have none",
            value=True,
            allowed=f"false with {EXISTING}",
            fix=f"{set_to('ephemeral', 'false')}; costGuard.expiresAfter sets the nodes to 0 nevertheless",
        )


def existing_controllers_can_be_asked(settings: Settings) -> Iterator[Problem]:
    """Of Prometheus an address must be said; of KEDA's role in AWS nothing is known."""
    if settings.cluster.existing is None:
        return
    for prefix, _, scaling in models(settings):
        if scaling.prometheus_url is None:
            key = f"{prefix}scaling.prometheusUrl"
            yield Problem(
                key=key,
                wrong=f"is not set, and with {EXISTING} the stack installs no Prometheus",
                value=None,
                allowed="the address of one in the cluster that scrapes pods by their annotations",
                fix=set_to(key, "http://NAME.NAMESPACE.svc:9090"),
            )
        if scaling.min_replicas == 0:
            key = f"{prefix}scaling.minReplicas"
            yield Problem(
                key=key,
                wrong="what wakes a model is a figure of CloudWatch's, which the cluster's own KEDA may not read",
                value=0,
                allowed=f"1 or more with {EXISTING}",
                fix=set_to(key, 1),
            )


RULES = (existing_cluster_is_all, existing_cluster_has_a_place, existing_controllers_can_be_asked)
