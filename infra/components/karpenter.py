"""Karpenter: the controller that adds and removes GPU nodes, and all that AWS must let it do and tell it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import cloudwatch, sqs

from tandem.pins import Chart

from .. import policies
from .helm_chart import HelmChart, HelmChartArgs
from .pod_role import PodRole, Pods

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
        region, account_id: of the stack.
        cluster_name: that the nodes join.
        node_role_arn: the only role that it may give to an instance.
        charts: pinned, by name: its own, and that of its CRDs at the same version.
    """

    region: str
    account_id: pulumi.Input[str]
    cluster_name: pulumi.Input[str]
    node_role_arn: pulumi.Input[str]
    charts: Mapping[str, Chart]


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
        queue = self._interruptions(args)
        pods = Pods(account_id=args.account_id, cluster=name, namespace=NAMESPACE, service_accounts=[SERVICE_ACCOUNT])
        role = PodRole(f"{name}-karpenter", "Karpenter: starts and ends GPU nodes", pods, self._child)
        role.grant("nodes", *_statements(name, args, queue.arn))
        role.lend(args.cluster_name)
        definitions = HelmChart(
            f"{name}-karpenter-crd",
            HelmChartArgs(name="karpenter-crd", chart=args.charts["karpenter-crd"], namespace=NAMESPACE),
            kubernetes,
            self._child,
        )
        self.release = HelmChart(
            f"{name}-karpenter",
            HelmChartArgs(
                name="karpenter",
                chart=args.charts["karpenter"],
                namespace=NAMESPACE,
                values={
                    "serviceAccount": {"name": SERVICE_ACCOUNT},
                    "settings": {
                        "clusterName": args.cluster_name,
                        "interruptionQueue": queue.name,
                        # Ends nodes that EKS's monitoring agent, or the kubelet's silence, calls broken.
                        "featureGates": {"nodeRepair": True},
                    },
                },
                definitions_apart=True,
                after=[role, definitions],
            ),
            kubernetes,
            self._child,
        )
        self.register_outputs({"queue_name": queue.name})

    def _interruptions(self, args: KarpenterArgs) -> sqs.Queue:
        """Two minutes' notice of spot, and what else ends instances, as messages that Karpenter reads."""
        queue = sqs.Queue(
            f"{self._name}-interruptions",
            message_retention_seconds=MESSAGE_SECONDS,
            sqs_managed_sse_enabled=True,
            opts=self._child,
        )
        rules = pulumi.Output.concat(f"arn:aws:events:{args.region}:", args.account_id, f":rule/{self._name}-*")
        sqs.QueuePolicy(
            f"{self._name}-interruptions",
            queue_url=queue.url,
            policy=policies.document(
                policies.allow(
                    ["sqs:SendMessage"],
                    [queue.arn],
                    # Which EventBridge names alone, with the account in it.
                    {"ArnLike": {"aws:SourceArn": rules}},
                    sid="OnBehalfOfThisAccount",
                )
                | {"Principal": {"Service": "events.amazonaws.com"}},
                policies.only_tls("sqs:*", [queue.arn]),
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


def _statements(name: str, args: KarpenterArgs, queue_arn: pulumi.Input[str]) -> list[dict[str, Any]]:
    """Karpenter's own reference for v1.14, less what only zonal shift asks for, which is off:
    https://karpenter.sh/v1.14/reference/cloudformation/."""
    return [
        *_launches(args.region, name),
        *_instance_profiles(args, name),
        *_looks(args, name),
        policies.allow(["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"], [queue_arn]),
        policies.allow(
            ["iam:PassRole"], [args.node_role_arn], {"StringEquals": {"iam:PassedToService": ["ec2.amazonaws.com"]}}
        ),
    ]


def _cluster(cluster: str, kind: str) -> dict[str, str]:
    """Tags that tell this cluster's from others: of the request, with a second name of the same."""
    tags = {f"aws:{kind}/kubernetes.io/cluster/{cluster}": "owned"}
    return tags | ({f"aws:{kind}/eks:eks-cluster-name": cluster} if kind == "RequestTag" else {})


def _launches(region: str, cluster: str) -> list[dict[str, Any]]:
    """What it makes carries the cluster's tags from the start, and only what carries them may be named or ended."""
    ec2 = f"arn:aws:ec2:{region}:*"
    made = [
        f"{ec2}:{kind}/*"
        for kind in ("fleet", "instance", "volume", "network-interface", "launch-template", "spot-instances-request")
    ]
    launch = ["ec2:RunInstances", "ec2:CreateFleet"]
    owned = {
        "StringEquals": _cluster(cluster, "ResourceTag"),
        "StringLike": {"aws:ResourceTag/karpenter.sh/nodepool": "*"},
    }
    named, pool = _cluster(cluster, "RequestTag"), {"StringLike": {"aws:RequestTag/karpenter.sh/nodepool": "*"}}
    creation = {"ec2:CreateAction": ["RunInstances", "CreateFleet", "CreateLaunchTemplate"]}
    keys = ["eks:eks-cluster-name", "karpenter.sh/nodeclaim", "Name"]
    return [
        policies.allow(
            launch,
            [
                *(f"arn:aws:ec2:{region}::{kind}/*" for kind in ("image", "snapshot")),
                *(f"{ec2}:{kind}/*" for kind in ("security-group", "subnet", "capacity-reservation")),
                f"{ec2}:placement-group/*",
            ],
            sid="LaunchInto",
        ),
        policies.allow(launch, [f"{ec2}:launch-template/*"], owned, sid="LaunchFromOwnTemplate"),
        policies.allow([*launch, "ec2:CreateLaunchTemplate"], made, {"StringEquals": named} | pool, sid="MakeWithTags"),
        policies.allow(["ec2:CreateTags"], made, {"StringEquals": named | creation} | pool, sid="TagOnlyWithCreation"),
        policies.allow(
            ["ec2:CreateTags"],
            [f"{ec2}:instance/*"],
            owned
            | {
                "StringEqualsIfExists": {"aws:RequestTag/eks:eks-cluster-name": cluster},
                "ForAllValues:StringEquals": {"aws:TagKeys": keys},
            },
            sid="NameOwnInstances",
        ),
        policies.allow(
            ["ec2:TerminateInstances", "ec2:DeleteLaunchTemplate"],
            [f"{ec2}:instance/*", f"{ec2}:launch-template/*"],
            owned,
            sid="EndOwn",
        ),
    ]


def _instance_profiles(args: KarpenterArgs, cluster: str) -> list[dict[str, Any]]:
    """Those that it makes for this cluster and region, told by their tags."""
    profiles = [pulumi.Output.concat("arn:aws:iam::", args.account_id, ":instance-profile/*")]

    def tagged(*kinds: str) -> dict[str, Any]:
        equal: dict[str, str] = {}
        for kind in kinds:
            equal |= _cluster(cluster, kind) | {f"aws:{kind}/topology.kubernetes.io/region": args.region}
        return {
            "StringEquals": equal,
            "StringLike": {f"aws:{kind}/karpenter.k8s.aws/ec2nodeclass": "*" for kind in kinds},
        }

    return [
        policies.allow(["iam:CreateInstanceProfile"], profiles, tagged("RequestTag"), sid="MakeProfileWithTags"),
        policies.allow(["iam:TagInstanceProfile"], profiles, tagged("ResourceTag", "RequestTag"), sid="TagOwnProfiles"),
        policies.allow(
            ["iam:AddRoleToInstanceProfile", "iam:RemoveRoleFromInstanceProfile", "iam:DeleteInstanceProfile"],
            profiles,
            tagged("ResourceTag"),
            sid="ChangeOwnProfiles",
        ),
        policies.allow(["iam:GetInstanceProfile"], profiles, sid="ReadProfiles"),
    ]


LOOKED_AT = (
    "CapacityReservations",
    "Images",
    "Instances",
    "InstanceStatus",
    "InstanceTypeOfferings",
    "InstanceTypes",
    "LaunchTemplates",
    "PlacementGroups",
    "SecurityGroups",
    "SpotPriceHistory",
    "Subnets",
)


def _looks(args: KarpenterArgs, cluster: str) -> list[dict[str, Any]]:
    return [
        policies.allow(
            [f"ec2:Describe{what}" for what in LOOKED_AT],
            ["*"],
            policies.in_region(args.region),
            sid="DescribeKnowsNoResources",
        ),
        # Prices are answered in one region for all, and IAM is nowhere.
        policies.allow(["pricing:GetProducts", "iam:ListInstanceProfiles"], ["*"], sid="GlobalReadKnowsNoResources"),
        policies.allow(
            ["ssm:GetParameter"],
            [f"arn:aws:ssm:{args.region}::parameter/aws/service/*"],
            sid="PublicParameters",
        ),
        policies.allow(
            ["eks:DescribeCluster"],
            [pulumi.Output.concat(f"arn:aws:eks:{args.region}:", args.account_id, f":cluster/{cluster}")],
        ),
    ]
