"""The identity of pods: an IAM role that EKS Pod Identity lends to pods under certain service accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import eks, iam

from .. import policies


@dataclass(frozen=True, kw_only=True)
class Pods:
    """Which pods a role is for.

    Attributes:
        account_id, cluster: where they run; the cluster may be made later.
        namespace, service_accounts: under which they run.
    """

    account_id: pulumi.Input[str]
    cluster: str
    namespace: str
    service_accounts: Sequence[str]


class PodRole(pulumi.ComponentResource):
    """IAM role for pods. It starts with nothing; each component grants it exactly its own part.

    Attributes:
        role_name: for policies that other components attach.
        role_arn: for resource policies.
    """

    def __init__(self, name: str, description: str, pods: Pods, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:PodRole", name, None, opts)
        self._name = name
        self._pods = pods
        self._child = pulumi.ResourceOptions(parent=self)
        role = iam.Role(name, description=description, assume_role_policy=_trust(pods), opts=self._child)
        self.role_name = role.name
        self.role_arn = role.arn
        self.register_outputs({"role_arn": self.role_arn})

    def grant(self, label: str, *statements: dict[str, Any]) -> None:
        """Allows what the statements say."""
        iam.RolePolicy(
            f"{self._name}-{label}", role=self.role_name, policy=policies.document(*statements), opts=self._child
        )

    def attach(self, policy: str) -> pulumi.Resource:
        """Allows what a policy of AWS's own says, by its name."""
        return iam.RolePolicyAttachment(
            f"{self._name}-{policy}",
            role=self.role_name,
            policy_arn=f"arn:aws:iam::aws:policy/{policy}",
            opts=self._child,
        )

    def lend(self, cluster_name: pulumi.Input[str]) -> list[pulumi.Resource]:
        """Gives the role to its pods, once there is a cluster; those that start before get nothing."""
        return [
            eks.PodIdentityAssociation(
                f"{self._name}-{service_account}",
                cluster_name=cluster_name,
                namespace=self._pods.namespace,
                service_account=service_account,
                role_arn=self.role_arn,
                opts=self._child,
            )
            for service_account in self._pods.service_accounts
        ]


def _trust(pods: Pods) -> pulumi.Output[str]:
    """For these pods alone: EKS names them in the session's tags
    (https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html)."""
    named = {
        "aws:SourceAccount": pods.account_id,
        "aws:RequestTag/eks-cluster-name": pods.cluster,
        "aws:RequestTag/kubernetes-namespace": pods.namespace,
        "aws:RequestTag/kubernetes-service-account": list(pods.service_accounts),
    }
    return policies.document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {"StringEquals": named},
        }
    )
