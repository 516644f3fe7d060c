"""The identity of pods: an IAM role that EKS Pod Identity lends to one service account."""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi_aws import eks, iam

from infra import policies


class PodRole(pulumi.ComponentResource):
    """IAM role for pods. It starts with nothing; each component grants it exactly its own part.

    Attributes:
        role_name: for policies that other components attach.
        role_arn: for resource policies, and for add-ons that lend it themselves.
    """

    def __init__(self, name: str, description: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:PodRole", name, None, opts)
        self._name = name
        self._child = pulumi.ResourceOptions(parent=self)
        role = iam.Role(
            name,
            description=description,
            assume_role_policy=policies.document(
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "pods.eks.amazonaws.com"},
                    "Action": ["sts:AssumeRole", "sts:TagSession"],
                }
            ),
            opts=self._child,
        )
        self.role_name = role.name
        self.role_arn = role.arn
        self.register_outputs({"role_arn": self.role_arn})

    def grant(self, label: str, *statements: dict[str, Any]) -> None:
        """Allows what the statements say."""
        iam.RolePolicy(
            f"{self._name}-{label}", role=self.role_name, policy=policies.document(*statements), opts=self._child
        )

    def lend(self, cluster_name: pulumi.Input[str], namespace: str, service_account: str) -> None:
        """Gives the role to pods that run under a service account."""
        eks.PodIdentityAssociation(
            f"{self._name}-{service_account}",
            cluster_name=cluster_name,
            namespace=namespace,
            service_account=service_account,
            role_arn=self.role_arn,
            opts=self._child,
        )
