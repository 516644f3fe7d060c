"""An EKS cluster of somebody else's: the stack reads how it is reached, and makes nothing of the cluster itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import eks

from tandem.errors import UserError
from tandem.kubernetes.existing import Seen, absent, own_groups, problem, refusals
from tandem.kubernetes.kubeconfig import kubeconfig
from tandem.tags import PROJECT, PROJECT_TAG


@dataclass(frozen=True, kw_only=True)
class ExistingCluster:
    """What the stack's nodes and pods need of it; as `Cluster`, known before anything is made.

    Attributes:
        ready: nothing that the stack makes.
    """

    cluster_name: str
    security_group_id: str
    kubeconfig: str
    ready: Sequence[pulumi.Resource] = ()


def existing_cluster(
    name: str,
    stack_name: str,
    region: str,
    vpc_id: str,
    version: str,
    provider: pulumi.ProviderResource | None,
) -> ExistingCluster:
    """Asks AWS for it.

    Args:
        stack_name: `tandem-STACK`.
        vpc_id: in which the stack stands.
        version: of Kubernetes, for which node images are pinned.

    Raises:
        UserError: it is not there, or the stack cannot be in it.
    """
    asks = pulumi.InvokeOptions(provider=provider)
    try:
        found = eks.get_cluster(name=name, opts=asks)
    except Exception as error:  # the engine has no narrower one for a question that AWS did not answer
        raise UserError(absent(name, region, str(error).splitlines()[0])) from None
    seen = Seen(
        name=name,
        status=found.status,
        version=found.version,
        vpc_id=found.vpc_config.vpc_id,
        ip_family=found.kubernetes_network_configs[0].ip_family,
        tags=found.tags or {},
        node_groups=eks.get_node_groups(cluster_name=name, opts=asks).names,
    )
    if problems := [*refusals(seen, stack_name, vpc_id, version)]:
        raise UserError(*problems)
    return ExistingCluster(
        cluster_name=name,
        security_group_id=found.vpc_config.cluster_security_group_id,
        kubeconfig=kubeconfig(region, name, found.endpoint, found.certificate_authorities[0].data),
    )


def refuse_move(stack: str, name: str, existing: str | None, provider: pulumi.ProviderResource | None) -> None:
    """A stack stays in its cluster: pods, nodes and claims of one are nothing in another.

    Args:
        name: of the cluster that the stack makes, or would.
        existing: the one that is there, where the settings name one.

    Raises:
        UserError: the stack's own cluster or nodes of its own are in another one.
    """
    asks = pulumi.InvokeOptions(provider=provider)
    clusters = eks.get_clusters(opts=asks).names
    if name in clusters and (eks.get_cluster(name=name, opts=asks).tags or {}).get(PROJECT_TAG) == PROJECT:
        elsewhere = [name] if existing else []
    else:
        others = (cluster for cluster in clusters if cluster not in (name, existing))
        elsewhere = [
            cluster
            for cluster in others
            if own_groups(name, eks.get_node_groups(cluster_name=cluster, opts=asks).names)
        ]
    if elsewhere:
        raise UserError(
            problem(
                f"the stack is in the cluster {elsewhere[0]}, and nothing of it can go to another",
                existing,
                "what the stack was made with",
                f"put it back; to change clusters bring up a second stack, lead clients there, and destroy {stack} "
                "(docs/operations.md, in your own cluster)",
            )
        )
