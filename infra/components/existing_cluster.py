"""An EKS cluster of somebody else's: the stack reads how it is reached, and makes nothing of the cluster itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import eks

from tandem.errors import Problem, UserError
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
    name: str, region: str, vpc_id: str, version: str, provider: pulumi.ProviderResource | None
) -> ExistingCluster:
    """Asks AWS for it.

    Args:
        vpc_id: in which the stack stands.
        version: of Kubernetes, for which node images are pinned.

    Raises:
        UserError: it is not there, or the stack cannot be in it.
    """
    try:
        found = eks.get_cluster(name=name, opts=pulumi.InvokeOptions(provider=provider))
    except Exception as error:  # the engine has no narrower one for a question that AWS did not answer
        raise UserError(
            _problem(
                f"AWS does not tell of this cluster: {str(error).splitlines()[0]}",
                name,
                f"a cluster that the account has in {region}",
                "`aws eks list-clusters`, and cluster.existing.name",
            )
        ) from None
    problems = []
    if (found.tags or {}).get(PROJECT_TAG) == PROJECT:
        problems.append(
            _problem(
                "is a cluster that a stack of tandem has made, and goes with that stack",
                name,
                "a cluster of somebody else's",
                "serve the model as a further one of that stack (`models`), or name another cluster",
            )
        )
    if found.vpc_config.vpc_id != vpc_id:
        problems.append(
            _problem(
                f"is in {found.vpc_config.vpc_id}, where network.existing.vpcId is {vpc_id}",
                name,
                "a cluster in the stack's VPC",
                f"`pulumi config set --path tandem:network.existing.vpcId {found.vpc_config.vpc_id}`, with its subnets",
            )
        )
    if found.version != version:
        problems.append(
            _problem(
                f"runs Kubernetes {found.version}, and node images are pinned for {version}: EKS refuses such nodes",
                name,
                f"a cluster of {version}",
                f"`tandem pin --kubernetes --to {found.version}`, or have its owner upgrade it",
            )
        )
    if problems:
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
        own = re.compile(rf"{re.escape(name)}-gpu-[0-9a-f]+")  # as node_group_name has it
        others = (cluster for cluster in clusters if cluster not in (name, existing))
        elsewhere = [
            cluster
            for cluster in others
            if any(map(own.fullmatch, eks.get_node_groups(cluster_name=cluster, opts=asks).names))
        ]
    if elsewhere:
        raise UserError(
            _problem(
                f"the stack is in the cluster {elsewhere[0]}, and nothing of it can go to another",
                existing,
                "what the stack was made with",
                f"put it back; to change clusters bring up a second stack, lead clients there, and destroy {stack} "
                "(docs/operations.md, in your own cluster)",
            )
        )


def _problem(wrong: str, value: str | None, allowed: str, fix: str) -> Problem:
    return Problem(key="cluster.existing", wrong=wrong, value=value, allowed=allowed, fix=fix)
