"""The identity of the GPU hosts. It starts with Session Manager only; each component grants it exactly its own part."""

from __future__ import annotations

import pulumi
from pulumi_aws import iam

from .. import policies


class HostRole(pulumi.ComponentResource):
    """IAM role and instance profile of the GPU hosts.

    Args:
        image: the server image; where it lies in ECR, hosts may pull it.
        workspace_arn: of Amazon Managed Prometheus, into which hosts may write their metrics; None for none.

    Attributes:
        role_name: for policies that other components attach.
        role_arn: for resource policies that name the hosts.
        instance_profile_arn: for the launch template.
    """

    def __init__(
        self,
        name: str,
        image: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        workspace_arn: pulumi.Input[str] | None = None,
    ) -> None:
        super().__init__("tandem:index:HostRole", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = iam.Role(
            f"{name}-host",
            description="GPU hosts of tandem",
            assume_role_policy=policies.assumed_by("ec2"),
            opts=child,
        )
        iam.RolePolicy(
            f"{name}-session-manager",
            role=role.name,
            policy=policies.document(policies.session_manager()),
            opts=child,
        )
        if pull := policies.pull_from_ecr(image):
            iam.RolePolicy(f"{name}-pull", role=role.name, policy=policies.document(*pull), opts=child)
        if workspace_arn is not None:
            write = policies.allow(["aps:RemoteWrite"], [workspace_arn])
            iam.RolePolicy(f"{name}-metrics", role=role.name, policy=policies.document(write), opts=child)
        profile = iam.InstanceProfile(f"{name}-host", role=role.name, opts=child)
        self.role_name = role.name
        self.role_arn = role.arn
        self.instance_profile_arn = profile.arn
        self.register_outputs({"role_arn": self.role_arn, "instance_profile_arn": self.instance_profile_arn})
