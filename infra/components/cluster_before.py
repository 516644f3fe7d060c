"""What an EKS cluster keeps from its first day, read from the cluster that is there: who made it, and its zones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi_aws import ec2, eks

from tandem.errors import Problem, UserError
from tandem.tags import CREATOR_TAG, PROJECT, PROJECT_TAG


@dataclass(frozen=True)
class Creator:
    """The principal that made a cluster, or is about to: EKS lets it in, and refuses a second access entry for it.

    Attributes:
        account_id: that both are in.
        name: `role/NAME` or `user/NAME`, without a path: an account has a name once, whatever the path.
    """

    account_id: str
    name: str

    def others(self, arns: Iterable[str]) -> list[str]:
        """The principals that EKS does not let in by itself, as they were given."""
        return [arn for arn in arns if arn.split(":")[4] != self.account_id or principal(arn) != self.name]


@dataclass(frozen=True)
class ClusterBefore:
    """Of a cluster that is there, or is about to be made.

    Attributes:
        creator: by the cluster's tag; the caller where there is no cluster, or none with the tag. EKS tells nobody, and
            whoever runs a later `up` may be another.
        zones: of its control plane; none where there is no cluster.
    """

    creator: Creator
    zones: tuple[str, ...] = ()

    def control_plane_zones(self, zones: Sequence[str]) -> Sequence[str]:
        """Those of the stack's zones that the control plane is in: all of them at first, and later the same
        (https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html). Nodes go to any.

        Raises:
            UserError: the stack leaves one of them.
        """
        if gone := sorted({*self.zones} - {*zones}):
            raise UserError(
                Problem(
                    key="network.zones",
                    wrong=f"the cluster's control plane is in {', '.join(gone)}, and EKS moves none",
                    value=list(zones),
                    allowed=f"{', '.join(self.zones)}, and others beside them",
                    fix="put it back; to leave the zone bring up a second stack, see docs/kubernetes.md",
                )
            )
        return self.zones or zones


def cluster_before(cluster: str, opts: pulumi.ResourceOptions) -> ClusterBefore:
    """Asks AWS for the cluster of a stack; one that is not of this project is none.

    Args:
        cluster: its name.
        opts: with the provider of the stack's region.
    """
    here = pulumi.InvokeOptions(provider=opts.provider)
    caller = aws.get_caller_identity(opts=here)
    creator = Creator(caller.account_id, principal(caller.arn))
    there: Any = eks.get_cluster(name=cluster, opts=here) if cluster in eks.get_clusters(opts=here).names else None
    tags: Mapping[str, str] = there.tags if there else {}
    if tags.get(PROJECT_TAG) != PROJECT:
        return ClusterBefore(creator)
    subnets = (ec2.get_subnet(id=id, opts=here) for id in there.vpc_config.subnet_ids)
    zones = tuple(sorted({subnet.availability_zone for subnet in subnets}))
    return ClusterBefore(Creator(caller.account_id, tags.get(CREATOR_TAG, creator.name)), zones)


def principal(arn: str) -> str:
    """Whose an ARN is, without path and session: `arn:aws:sts::1:assumed-role/ci/run-7` and `arn:aws:iam::1:role/x/ci`
    are both `role/ci` (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html)."""
    kind, *path = arn.split(":", 5)[5].split("/")
    return f"role/{path[0]}" if kind == "assumed-role" else "/".join([kind, *path[-1:]])
