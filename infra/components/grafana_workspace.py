"""A stack's own workspace of Amazon Managed Grafana."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_aws import grafana, iam

from .. import policies


@dataclass(frozen=True, kw_only=True)
class GrafanaWorkspaceArgs:
    """What a workspace needs.

    Attributes:
        region, account_id: of the stack.
        prometheus_arn: the workspace of Amazon Managed Prometheus that it may ask.
    """

    region: str
    account_id: pulumi.Input[str]
    prometheus_arn: pulumi.Input[str]


class GrafanaWorkspace(pulumi.ComponentResource):
    """People sign in by the organisation's IAM Identity Center; what it asks, it asks by a role of its own, not by
    AWS's, which may ask each workspace of the account. It goes with the stack: its dashboard is a file.

    Attributes:
        url: of its pages.
    """

    def __init__(self, name: str, args: GrafanaWorkspaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:GrafanaWorkspace", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        source = pulumi.Output.concat(f"arn:aws:grafana:{args.region}:", args.account_id, ":/workspaces/*")
        role = iam.Role(
            f"{name}-grafana",
            description="Lets a Grafana ask for the figures of a stack",
            assume_role_policy=policies.assumed_by("grafana", policies.on_behalf_of(args.account_id, source)),
            opts=child,
        )
        asks = ("GetLabels", "GetMetricMetadata", "GetSeries", "QueryMetrics")
        iam.RolePolicy(
            f"{name}-grafana",
            role=role.name,
            policy=policies.document(
                policies.allow([f"aps:{action}" for action in asks], [args.prometheus_arn]),
                policies.allow(
                    ["cloudwatch:GetMetricData", "cloudwatch:ListMetrics"],
                    ["*"],
                    policies.in_region(args.region),
                    sid="DescribeKnowsNoResources",
                ),
            ),
            opts=child,
        )
        workspace = grafana.Workspace(
            name,
            account_access_type="CURRENT_ACCOUNT",
            authentication_providers=["AWS_SSO"],
            permission_type="CUSTOMER_MANAGED",
            role_arn=role.arn,
            data_sources=["PROMETHEUS", "CLOUDWATCH"],
            opts=child,
        )
        self.url = pulumi.Output.concat("https://", workspace.endpoint)
        self.register_outputs({"url": self.url})
