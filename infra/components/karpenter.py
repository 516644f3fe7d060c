"""Karpenter: the controller that adds and removes GPU nodes, and all that AWS must let it do and tell it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import cloudwatch, sqs

from infra import policies
from infra.components.helm_chart import HelmChart, HelmChartArgs
from infra.components.pod_role import PodRole
from infra.pins import Chart

NAMESPACE = "kube-system"
SERVICE_ACCOUNT = "karpenter"
EVENTS = {
    "spot-interruption": ("aws.ec2", "EC2 Spot Instance Interruption Warning"),
    "rebalance": ("aws.ec2", "EC2 Instance Rebalance Recommendation"),
    "state-change": ("aws.ec2", "EC2 Instance State-change Notification"),
    "health": ("aws.health", "AWS Health Event"),
}
MESSAGE_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class KarpenterArgs:
    """What Karpenter needs.

    Attributes:
        region: of the stack.
        cluster_name: that the nodes join.
        node_role_arn: the only role that it may give to an instance.
        chart: pinned.
    """

    region: str
    cluster_name: pulumi.Input[str]
    node_role_arn: pulumi.Input[str]
    chart: Chart


class Karpenter(pulumi.ComponentResource):
    """Queue of interruptions, permissions, controller.

    Attributes:
        release: what its objects depend on: it must still be there when they go.
    """

    def __init__(
        self,
        name: str,
        args: KarpenterArgs,
        kubernetes: pulumi.ProviderResource,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tandem:index:Karpenter", name, None, opts)
        self._name = name
        self._child = pulumi.ResourceOptions(parent=self)
        queue = self._interruptions()
        role = PodRole(f"{name}-karpenter", "Karpenter: starts and ends GPU nodes", self._child)
        role.grant("nodes", *_statements(args, queue.arn))
        role.lend(args.cluster_name, NAMESPACE, SERVICE_ACCOUNT)
        self.release = HelmChart(
            f"{name}-karpenter",
            HelmChartArgs(
                name="karpenter",
                chart=args.chart,
                namespace=NAMESPACE,
                values={
                    "serviceAccount": {"name": SERVICE_ACCOUNT},
                    "settings": {"clusterName": args.cluster_name, "interruptionQueue": queue.name},
                },
            ),
            kubernetes,
            pulumi.ResourceOptions(parent=self, depends_on=[role]),
        )
        self.register_outputs({"queue_name": queue.name})

    def _interruptions(self) -> sqs.Queue:
        """Two minutes' notice of spot, and what else ends instances, as messages that Karpenter reads."""
        queue = sqs.Queue(
            f"{self._name}-interruptions",
            message_retention_seconds=MESSAGE_SECONDS,
            sqs_managed_sse_enabled=True,
            opts=self._child,
        )
        sqs.QueuePolicy(
            f"{self._name}-interruptions",
            queue_url=queue.url,
            policy=policies.document(
                policies.allow(["sqs:SendMessage"], [queue.arn])
                | {"Principal": {"Service": ["events.amazonaws.com", "sqs.amazonaws.com"]}},
                {
                    "Sid": "OnlyTls",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "sqs:*",
                    "Resource": [queue.arn],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                },
            ),
            opts=self._child,
        )
        for label, (source, kind) in EVENTS.items():
            rule = cloudwatch.EventRule(
                f"{self._name}-{label}",
                event_pattern=json.dumps({"source": [source], "detail-type": [kind]}),
                opts=self._child,
            )
            cloudwatch.EventTarget(f"{self._name}-{label}", rule=rule.name, arn=queue.arn, opts=self._child)
        return queue


def _statements(args: KarpenterArgs, queue_arn: pulumi.Input[str]) -> list[dict[str, Any]]:
    """The least that Karpenter's own reference asks for: what it makes carries the cluster's tag, and only what
    carries it may be changed or ended."""
    ec2 = f"arn:aws:ec2:{args.region}:*"
    tag = pulumi.Output.concat("kubernetes.io/cluster/", args.cluster_name)
    made = ("fleet", "instance", "volume", "network-interface", "launch-template", "spot-instances-request")

    def owned(kind: str) -> pulumi.Output[dict[str, Any]]:
        return tag.apply(lambda key: {"StringEquals": {f"aws:{kind}/{key}": "owned"}})

    account_id = pulumi.Output.from_input(args.node_role_arn).apply(lambda arn: arn.split(":")[4])
    profiles = pulumi.Output.concat("arn:aws:iam::", account_id, ":instance-profile/*")
    return [
        policies.allow(
            ["ec2:RunInstances", "ec2:CreateFleet"],
            [
                *(f"arn:aws:ec2:{args.region}::{kind}/*" for kind in ("image", "snapshot")),
                *(f"{ec2}:{kind}/*" for kind in ("security-group", "subnet", "capacity-reservation")),
            ],
        ),
        policies.allow(["ec2:RunInstances", "ec2:CreateFleet"], [f"{ec2}:launch-template/*"])
        | {"Condition": owned("ResourceTag")},
        policies.allow(
            ["ec2:RunInstances", "ec2:CreateFleet", "ec2:CreateLaunchTemplate", "ec2:CreateTags"],
            [f"{ec2}:{kind}/*" for kind in made],
        )
        | {"Condition": owned("RequestTag")},
        policies.allow(["ec2:CreateTags"], [f"{ec2}:instance/*"]) | {"Condition": owned("ResourceTag")},
        policies.allow(
            ["ec2:TerminateInstances", "ec2:DeleteLaunchTemplate"],
            [f"{ec2}:instance/*", f"{ec2}:launch-template/*"],
        )
        | {"Condition": owned("ResourceTag")},
        # Describe calls know no resources.
        policies.allow(
            [
                *(
                    f"ec2:Describe{what}"
                    for what in (
                        "CapacityReservations",
                        "Images",
                        "Instances",
                        "InstanceTypeOfferings",
                        "InstanceTypes",
                        "LaunchTemplates",
                        "SecurityGroups",
                        "SpotPriceHistory",
                        "Subnets",
                    )
                ),
                "pricing:GetProducts",
            ],
            ["*"],
        ),
        policies.allow(["ssm:GetParameter"], [f"arn:aws:ssm:{args.region}::parameter/aws/service/*"]),
        policies.allow(
            ["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"],
            [queue_arn],
        ),
        policies.allow(["iam:PassRole"], [args.node_role_arn])
        | {"Condition": {"StringEquals": {"iam:PassedToService": ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"]}}},
        policies.allow(["iam:CreateInstanceProfile", "iam:TagInstanceProfile"], [profiles])
        | {"Condition": owned("RequestTag")},
        policies.allow(
            ["iam:AddRoleToInstanceProfile", "iam:RemoveRoleFromInstanceProfile", "iam:DeleteInstanceProfile"],
            [profiles],
        )
        | {"Condition": owned("ResourceTag")},
        policies.allow(["iam:GetInstanceProfile"], [profiles]),
        policies.allow(["iam:ListInstanceProfiles"], ["*"]),
        policies.allow(
            ["eks:DescribeCluster"],
            [pulumi.Output.concat(f"arn:aws:eks:{args.region}:", account_id, ":cluster/", args.cluster_name)],
        ),
    ]
