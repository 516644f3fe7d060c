"""What the stacks' roles may do, as a policy evaluator says: their own work, and nothing to what is not theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from moto.iam.aws_managed_policies import aws_managed_policies_data

from infra.components.cluster import NODE_POLICIES, POD_POLICIES
from infra.policies import REASONS
from pulumi_rehearsal.policy_evaluator import ACCOUNT, Request, allowed
from tandem.tags import STACK_ID_TAG, stack_tags
from tests.infra.declared import STACK_ID
from tests.infra.roles import FILES, MADE, WORKSPACE, documents, policy_of, roles

pytestmark = pytest.mark.sweep

ALL = (*FILES, *MADE)
HERE = {"aws:RequestedRegion": "us-east-1"}
AWS_MANAGED = {name: found["Document"] for name, found in json.loads(aws_managed_policies_data).items()}


def arn(service: str, end: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:{service}:{'' if service == 'iam' else 'us-east-1'}:{account}:{end}"


def group(name: str) -> str:
    return arn("autoscaling", f"autoScalingGroup:0:autoScalingGroupName/{name}")


def tags(kind: str, **values: str) -> dict[str, str]:
    return {f"aws:{kind}/{key}": value for key, value in values.items()}


def of_stack(stack: str, stack_id: str = STACK_ID) -> dict[str, str]:
    names = stack_tags(stack, "us-east-1", ephemeral=stack == "dev") | {STACK_ID_TAG: stack_id}
    return {f"aws:ResourceTag/{key}": value for key, value in names.items()}


def of_cluster(kind: str, cluster: str = "tandem-prod") -> dict[str, str]:
    values = {
        f"kubernetes.io/cluster/{cluster}": "owned",
        "eks:eks-cluster-name": cluster,
        "karpenter.sh/nodepool": "gpu",
        "karpenter.k8s.aws/ec2nodeclass": "gpu",
        "topology.kubernetes.io/region": "us-east-1",
    }
    return {f"aws:{kind}/{key}": value for key, value in values.items()}


INSTANCE, TEMPLATE = arn("ec2", "instance/i-0123456789abcdef0"), arn("ec2", "launch-template/lt-0123456789abcdef0")
PROFILE = arn("iam", "instance-profile/tandem-prod_1")
THEIR_GROUP, OUR_GROUP = group("theirs"), group("tandem-dev-0a1b2c3")
BUCKET = "arn:aws:s3:::theirs"
OUR_FILES = arn("elasticfilesystem", "file-system/fs-0123456789abcdef0")
WITH_LAUNCH = {"ec2:CreateAction": "RunInstances"}
PASSED = {"iam:PassedToService": "ec2.amazonaws.com"}

Case = tuple[str, str, str, str, Mapping[str, str]]
"""Stack, role without the stack's name before it, action, resource, context."""

NOVA = "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0"
OUR_GATEWAYS_KEYS = arn("secretsmanager", "secret:tandem-teams-gateway-AbCdEf")
OUR_CLIENTS = arn("secretsmanager", "secret:tandem-teams-issued-keys-AbCdEf")
FOREIGN: Sequence[Case] = [
    ("hosts", "host", "aps:RemoteWrite", arn("aps", f"workspace/{WORKSPACE[:-1]}0"), {}),
    ("hosts", "host", "aps:QueryMetrics", arn("aps", f"workspace/{WORKSPACE}"), {}),
    ("observed", "host", "aps:RemoteWrite", arn("aps", f"workspace/{WORKSPACE}"), {}),
    ("observed", "grafana", "aps:QueryMetrics", arn("aps", f"workspace/{WORKSPACE}"), {}),
    ("observed", "grafana", "aps:RemoteWrite", arn("aps", "workspace/tandem-observed"), {}),
    ("observed", "grafana", "cloudwatch:GetMetricData", "*", {"aws:RequestedRegion": "eu-west-1"}),
    ("teams", "gateway", "bedrock:InvokeModel", "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-pro-v1:0", {}),
    ("teams", "gateway", "secretsmanager:GetSecretValue", OUR_GATEWAYS_KEYS, {}),
    ("teams", "gateway-start", "bedrock:InvokeModel", NOVA, {}),
    ("teams", "gateway-start", "secretsmanager:GetSecretValue", OUR_CLIENTS, {}),
    ("dev", "host", "ssm:GetParameter", arn("ssm", "parameter/theirs"), {}),
    ("dev", "host", "secretsmanager:GetSecretValue", arn("secretsmanager", "secret:theirs-AbCdEf"), {}),
    (
        "dev",
        "host",
        "secretsmanager:GetSecretValue",
        arn("secretsmanager", "secret:tandem-prod-issued-keys-AbCdEf"),
        {},
    ),
    ("dev", "host", "autoscaling:SetInstanceHealth", THEIR_GROUP, {}),
    ("dev", "host", "autoscaling:CompleteLifecycleAction", group("tandem-prod-0a1b2c3"), of_stack("prod")),
    ("dev", "host", "autoscaling:SetInstanceHealth", OUR_GROUP, of_stack("prod")),
    ("dev", "host", "autoscaling:SetInstanceHealth", OUR_GROUP, of_stack("dev", "another-life")),
    ("dev", "host", "autoscaling:SetInstanceHealth", THEIR_GROUP, of_stack("dev")),
    ("dev", "host", "autoscaling:DescribeAutoScalingInstances", "*", {"aws:RequestedRegion": "eu-west-1"}),
    ("dev", "host", "elasticloadbalancing:DeregisterTargets", arn("elasticloadbalancing", "targetgroup/theirs/0"), {}),
    ("dev", "host", "logs:PutLogEvents", arn("logs", "log-group:/theirs:log-stream:x"), {}),
    ("dev", "host", "s3:GetObject", f"{BUCKET}/key", {}),
    ("dev", "host", "s3:GetObject", "arn:aws:s3:::tandem-prod-host-scripts/key", {}),
    ("dev", "host", "s3:PutObject", "arn:aws:s3:::tandem-dev-host-scripts/key", {}),
    ("dev", "host", "s3:ListBucket", "arn:aws:s3:::tandem-dev-host-scripts", {}),
    ("dev", "host", "ec2:TerminateInstances", INSTANCE, {}),
    ("hosts", "host", "s3:GetObject", "arn:aws:s3:::weights/other/model.safetensors", {}),
    ("hosts", "batch-host", "s3:GetObject", f"{BUCKET}/key", {}),
    ("hosts", "batch-host", "s3:PutObject", "arn:aws:s3:::tandem-hosts-host-scripts/key", {}),
    *(
        ("hosts", "batch-host", "s3:PutObject", f"arn:aws:s3:::tandem-hosts-batch/{key}", {})
        for key in ("current.json", "jobs/1/job.json", "jobs/1/stop.json", "jobs/1/input/00001.jsonl")
    ),
    ("hosts", "batch-host", "s3:DeleteObject", "arn:aws:s3:::tandem-hosts-batch/key", {}),
    ("hosts", "batch-host", "autoscaling:UpdateAutoScalingGroup", group("tandem-hosts-0a1b2c3"), of_stack("hosts")),
    (
        *("hosts", "batch-host", "autoscaling:UpdateAutoScalingGroup"),
        group("tandem-hosts-batch-0a1b2c3"),
        of_stack("hosts") | {"autoscaling:MaxSize": "2"},  # batch.maxHosts is 1
    ),
    ("hosts", "batch-host", "elasticloadbalancing:RegisterTargets", "*", {}),
    *(
        ("pods", "batch", "s3:PutObject", f"arn:aws:s3:::tandem-pods-batch/{key}", {})
        for key in ("current.json", "jobs/1/job.json", "jobs/1/stop.json", "jobs/1/input/00001.jsonl")
    ),
    ("pods", "batch", "s3:DeleteObject", "arn:aws:s3:::tandem-pods-batch/jobs/1/done/00001.jsonl", {}),
    ("pods", "batch", "secretsmanager:GetSecretValue", arn("secretsmanager", "secret:tandem-pods-issued-keys-1"), {}),
    ("pods", "inference", "s3:GetObject", "arn:aws:s3:::tandem-pods-batch/key", {}),
    ("hosts", "host", "s3:GetObject", "arn:aws:s3:::tandem-hosts-batch/key", {}),
    ("dev", "expiry", "autoscaling:UpdateAutoScalingGroup", THEIR_GROUP, {}),
    ("dev", "expiry", "sns:Publish", arn("sns", "theirs"), {}),
    ("managed", "expiry", "eks:UpdateNodegroupConfig", arn("eks", "nodegroup/theirs/theirs/0"), {}),
    ("prod", "flow-logs", "logs:PutLogEvents", arn("logs", "log-group:/theirs:log-stream:x"), {}),
    ("hosts", "logs", "kinesis:PutRecord", arn("kinesis", "stream/theirs"), {}),
    ("hosts", "logs", "kinesis:GetRecords", arn("kinesis", "stream/lines"), {}),
    ("pods", "logs", "firehose:PutRecord", arn("firehose", "deliverystream/theirs"), {}),
    ("prod", "karpenter", "ec2:TerminateInstances", INSTANCE, {}),
    ("prod", "karpenter", "ec2:TerminateInstances", INSTANCE, of_cluster("ResourceTag", "theirs")),
    ("prod", "karpenter", "ec2:CreateTags", INSTANCE, of_cluster("RequestTag")),
    ("prod", "karpenter", "ec2:CreateTags", INSTANCE, of_cluster("RequestTag", "theirs") | WITH_LAUNCH),
    ("prod", "karpenter", "ec2:RunInstances", INSTANCE, {}),
    ("prod", "karpenter", "ec2:RunInstances", TEMPLATE, {}),
    ("prod", "karpenter", "ec2:CreateLaunchTemplate", TEMPLATE, {}),
    ("prod", "karpenter", "ec2:DeleteLaunchTemplate", TEMPLATE, of_cluster("ResourceTag", "theirs")),
    ("prod", "karpenter", "iam:DeleteInstanceProfile", PROFILE, {}),
    ("prod", "karpenter", "iam:AddRoleToInstanceProfile", PROFILE, of_cluster("ResourceTag", "theirs")),
    ("prod", "karpenter", "iam:TagInstanceProfile", PROFILE, of_cluster("RequestTag")),
    ("prod", "karpenter", "iam:PassRole", arn("iam", "role/theirs"), PASSED),
    ("prod", "karpenter", "sqs:ReceiveMessage", arn("sqs", "theirs"), {}),
    ("prod", "karpenter", "eks:DescribeCluster", arn("eks", "cluster/theirs"), {}),
    ("prod", "karpenter", "ssm:GetParameter", arn("ssm", "parameter/theirs"), {}),
    ("prod", "karpenter", "ec2:DescribeInstances", "*", {"aws:RequestedRegion": "eu-west-1"}),
    (
        "prod",
        "load-balancer",
        "elasticloadbalancing:DeregisterTargets",
        arn("elasticloadbalancing", "targetgroup/theirs/0"),
        {},
    ),
    (
        "prod",
        "load-balancer",
        "elasticloadbalancing:DeleteLoadBalancer",
        arn("elasticloadbalancing", "loadbalancer/app/theirs/0"),
        {},
    ),
    ("prod", "inference", "secretsmanager:GetSecretValue", arn("secretsmanager", "secret:theirs-AbCdEf"), {}),
    ("prod", "file-system", "elasticfilesystem:DeleteFileSystem", OUR_FILES, {}),
    ("prod", "cluster", "ec2:CreateTags", INSTANCE, {"aws:TagKeys": "Name"}),
    ("prod", "cluster", "ec2:TerminateInstances", INSTANCE, {}),
    ("prod", "gpu-node", "ssm:GetParameter", arn("ssm", "parameter/theirs"), {}),
    ("prod", "gpu-node", "secretsmanager:GetSecretValue", arn("secretsmanager", "secret:theirs-AbCdEf"), {}),
    ("prod", "gpu-node", "ec2:AttachNetworkInterface", INSTANCE, {}),
    ("managed", "gpu-group", "ec2:AttachNetworkInterface", INSTANCE, {}),
    ("prod", "system-node", "ec2:AssignPrivateIpAddresses", arn("ec2", "network-interface/eni-1"), {}),
    ("prod", "system-node", "ec2:TerminateInstances", INSTANCE, {}),
    ("prod", "network", "ec2:TerminateInstances", INSTANCE, {}),
    ("pods", "keda", "cloudwatch:GetMetricData", "*", {"aws:RequestedRegion": "eu-west-1"}),
]

OUR_TARGETS = "targetgroup/{}/0123456789abcdef"
OWN: Sequence[Case] = [
    ("hosts", "host", "aps:RemoteWrite", arn("aps", f"workspace/{WORKSPACE}"), {}),
    ("observed", "host", "aps:RemoteWrite", arn("aps", "workspace/tandem-observed"), {}),
    *(
        ("observed", "grafana", f"aps:{name}", arn("aps", "workspace/tandem-observed"), {})
        for name in ("GetLabels", "GetMetricMetadata", "GetSeries", "QueryMetrics")
    ),
    ("teams", "gateway", "bedrock:InvokeModel", NOVA, {}),
    ("teams", "gateway", "bedrock:InvokeModelWithResponseStream", NOVA, {}),
    ("teams", "gateway", "ssmmessages:OpenDataChannel", "*", HERE),
    ("teams", "gateway-start", "secretsmanager:GetSecretValue", OUR_GATEWAYS_KEYS, {}),
    ("observed", "grafana", "cloudwatch:GetMetricData", "*", HERE),
    ("observed", "grafana", "cloudwatch:ListMetrics", "*", HERE),
    ("dev", "host", "secretsmanager:GetSecretValue", arn("secretsmanager", "secret:tandem-dev-issued-keys-AbCdEf"), {}),
    *(
        ("dev", "host", f"autoscaling:{name}", OUR_GROUP, of_stack("dev"))
        for name in ("CompleteLifecycleAction", "RecordLifecycleActionHeartbeat", "SetInstanceHealth")
    ),
    ("dev", "host", "autoscaling:DescribeAutoScalingInstances", "*", HERE),
    ("dev", "host", "elasticloadbalancing:DescribeTargetHealth", "*", HERE),
    *(
        (
            "dev",
            "host",
            f"elasticloadbalancing:{name}Targets",
            arn("elasticloadbalancing", OUR_TARGETS.format("dev")),
            {},
        )
        for name in ("Register", "Deregister")
    ),
    *(
        ("dev", "host", f"logs:{name}", arn("logs", "log-group:tandem-dev-hosts:log-stream:i-1"), {})
        for name in ("CreateLogStream", "PutLogEvents")
    ),
    ("dev", "host", "ssm:UpdateInstanceInformation", INSTANCE, {}),
    ("dev", "host", "ssmmessages:OpenDataChannel", "*", {}),
    ("dev", "host", "s3:GetObject", "arn:aws:s3:::tandem-dev-host-scripts/key", {}),
    ("hosts", "host", "s3:GetObject", "arn:aws:s3:::weights/qwen/model.safetensors", {}),
    ("hosts", "batch-host", "s3:GetObject", "arn:aws:s3:::weights/qwen/model.safetensors", {}),
    *(
        ("hosts", "batch-host", "s3:PutObject", f"arn:aws:s3:::tandem-hosts-batch/jobs/1/{kind}/00001.json", {})
        for kind in ("answers", "claims", "done", "machines")
    ),
    ("hosts", "batch-host", "s3:GetObject", "arn:aws:s3:::tandem-hosts-batch/jobs/1/job.json", {}),
    ("hosts", "batch-host", "s3:ListBucket", "arn:aws:s3:::tandem-hosts-batch", {}),
    *(
        ("pods", "batch", "s3:PutObject", f"arn:aws:s3:::tandem-pods-batch/jobs/1/{kind}/00001.json", {})
        for kind in ("answers", "claims", "done", "machines")
    ),
    ("pods", "batch", "s3:GetObject", "arn:aws:s3:::tandem-pods-batch/jobs/1/job.json", {}),
    ("pods", "batch", "s3:ListBucket", "arn:aws:s3:::tandem-pods-batch", {}),
    (
        *("hosts", "batch-host", "autoscaling:UpdateAutoScalingGroup"),
        group("tandem-hosts-batch-0a1b2c3"),
        of_stack("hosts") | {"autoscaling:MaxSize": "1"},
    ),
    ("dev", "expiry", "autoscaling:UpdateAutoScalingGroup", group(f"tandem-dev-{STACK_ID}"), {}),
    ("dev", "expiry", "sns:Publish", arn("sns", "tandem-dev-alerts"), {}),
    (
        "managed",
        "expiry",
        "eks:UpdateNodegroupConfig",
        arn("eks", f"nodegroup/tandem-managed/tandem-managed-gpu-{STACK_ID}/0"),
        {},
    ),
    ("prod", "flow-logs", "logs:PutLogEvents", arn("logs", "log-group:tandem-prod-flow-logs:log-stream:eni-1"), {}),
    ("prod", "flow-logs", "logs:DescribeLogStreams", arn("logs", "log-group:tandem-prod-flow-logs"), {}),
    ("hosts", "logs", "kinesis:PutRecord", arn("kinesis", "stream/lines"), {}),
    ("pods", "logs", "firehose:PutRecord", arn("firehose", "deliverystream/lines"), {}),
    ("prod", "karpenter", "ec2:TerminateInstances", INSTANCE, of_cluster("ResourceTag")),
    ("prod", "karpenter", "ec2:DeleteLaunchTemplate", TEMPLATE, of_cluster("ResourceTag")),
    ("prod", "karpenter", "ec2:CreateLaunchTemplate", TEMPLATE, of_cluster("RequestTag")),
    ("prod", "karpenter", "ec2:RunInstances", TEMPLATE, of_cluster("ResourceTag")),
    *(
        ("prod", "karpenter", "ec2:CreateFleet", arn("ec2", f"{kind}/x"), of_cluster("RequestTag"))
        for kind in ("fleet", "instance", "volume")
    ),
    ("prod", "karpenter", "ec2:CreateFleet", arn("ec2", "subnet/subnet-1"), {}),
    ("prod", "karpenter", "ec2:RunInstances", "arn:aws:ec2:us-east-1::image/ami-1", {}),
    ("prod", "karpenter", "ec2:RunInstances", arn("ec2", "network-interface/eni-1"), of_cluster("RequestTag")),
    ("prod", "karpenter", "ec2:CreateTags", INSTANCE, of_cluster("RequestTag") | WITH_LAUNCH),
    (
        "prod",
        "karpenter",
        "ec2:CreateTags",
        INSTANCE,
        of_cluster("ResourceTag") | {"aws:RequestTag/Name": "x", "aws:TagKeys": "Name"},
    ),
    ("prod", "karpenter", "iam:CreateInstanceProfile", PROFILE, of_cluster("RequestTag")),
    ("prod", "karpenter", "iam:TagInstanceProfile", PROFILE, of_cluster("RequestTag") | of_cluster("ResourceTag")),
    *(
        ("prod", "karpenter", f"iam:{name}InstanceProfile", PROFILE, of_cluster("ResourceTag"))
        for name in ("AddRoleTo", "RemoveRoleFrom", "Delete", "Get")
    ),
    ("prod", "karpenter", "iam:ListInstanceProfiles", "*", {}),
    ("prod", "karpenter", "iam:PassRole", arn("iam", "role/tandem-prod-gpu-node"), PASSED),
    ("prod", "karpenter", "sqs:ReceiveMessage", arn("sqs", "tandem-prod-interruptions"), {}),
    ("prod", "karpenter", "eks:DescribeCluster", arn("eks", "cluster/tandem-prod"), {}),
    # Not ssm:GetParameter: the evaluator knows no parameter without an account, which AWS's own are.
    ("prod", "karpenter", "ec2:DescribeInstanceStatus", "*", HERE),
    ("prod", "karpenter", "pricing:GetProducts", "*", {}),
    ("prod", "network", "ec2:AttachNetworkInterface", INSTANCE, {}),
    ("prod", "network", "ec2:AssignPrivateIpAddresses", arn("ec2", "network-interface/eni-1"), {}),
    (
        "prod",
        "load-balancer",
        "elasticloadbalancing:RegisterTargets",
        arn("elasticloadbalancing", OUR_TARGETS.format("prod")),
        {},
    ),
    ("prod", "load-balancer", "ec2:DescribeInstances", "*", HERE),
    (
        "prod",
        "inference",
        "secretsmanager:GetSecretValue",
        arn("secretsmanager", "secret:tandem-prod-issued-keys-AbCdEf"),
        {},
    ),
    ("prod", "file-system", "elasticfilesystem:DescribeMountTargets", OUR_FILES, HERE),
    ("prod", "cluster", "ec2:CreateTags", INSTANCE, {"aws:TagKeys": "kubernetes.io/cluster/tandem-prod"}),
    ("prod", "cluster", "ec2:DescribeInstances", "*", HERE),
    ("prod", "system-node", "ssmmessages:CreateControlChannel", "*", {}),
    ("prod", "gpu-node", "ec2:DescribeInstances", "*", HERE),
    ("managed", "gpu-group", "ec2:DescribeInstances", "*", HERE),
    ("pods", "keda", "cloudwatch:GetMetricData", "*", HERE),
]


def asked(case: Case) -> Request:
    stack, name, action, resource, context = case
    role = roles(stack)[f"tandem-{stack}-{name}"]
    managed = [AWS_MANAGED[policy.rpartition("/")[2]] for policy in role.managed]
    return Request(action=action, resource=resource, context=context, identity=[*role.policies, *managed])


def decided(cases: Sequence[Case], decision: bool) -> list[Case]:
    return [case for case, one in zip(cases, allowed([asked(case) for case in cases]), strict=True) if one is decision]


def test_no_role_may_touch_what_is_not_its_own() -> None:
    assert len(FOREIGN) >= 20
    assert decided(FOREIGN, True) == []


def test_each_role_may_do_its_own_work() -> None:
    assert {case[1] for case in OWN} >= {case[1] for case in FOREIGN}
    assert decided(OWN, False) == []


def test_each_role_is_asked() -> None:
    """A new role needs a line in both lists."""
    every = {name.removeprefix(f"tandem-{stack}-") for stack in ALL for name in roles(stack)}
    assert every == {case[1] for case in OWN} == {case[1] for case in FOREIGN}


@pytest.mark.parametrize("stack", ALL)
def test_a_service_takes_a_role_only_on_behalf_of_this_account(stack: str) -> None:
    for name, role in roles(stack).items():
        (statement,) = role.trust["Statement"]
        service = statement["Principal"]["Service"]
        condition = statement.get("Condition", {})
        own = {key: value for part in condition.values() for key, value in part.items()}
        own = {key: value[0] if isinstance(value, list) else value.replace("*", "x") for key, value in own.items()}
        foreign = {key: value.replace(ACCOUNT, "999999999999") for key, value in own.items()}
        requests = [
            Request(
                action="sts:AssumeRole",
                resource=arn("iam", f"role/{name}"),
                on_resource=role.trust,
                principal=service,
                context=context,
            )
            for context in (own, foreign, {})
        ]
        # EC2 names no source: it gives a role to instances of the role's own account alone.
        of_instances = service == "ec2.amazonaws.com"
        assert (name, allowed(requests)) == (name, [True, of_instances, of_instances])


SERVICES: Sequence[tuple[str, str, str, str, str, Mapping[str, str], bool]] = [
    # stack, type of what has the policy, service, action, resource, context
    *(
        ("hosts", "TopicPolicy", "budgets", "sns:Publish", arn("sns", "tandem-hosts-alerts"), context, decision)
        for context, decision in (
            ({"aws:SourceAccount": ACCOUNT, "aws:SourceArn": f"arn:aws:budgets::{ACCOUNT}:budget/x"}, True),
            ({"aws:SourceAccount": "999999999999", "aws:SourceArn": "arn:aws:budgets::999999999999:budget/x"}, False),
            ({}, False),
        )
    ),
    *(
        ("observed", "TopicPolicy", service, action, arn("sns", "tandem-observed-alerts"), context, decision)
        for service, action, source, decision in (
            ("aps", "sns:Publish", arn("aps", "workspace/tandem-observed"), True),
            ("aps", "sns:GetTopicAttributes", arn("aps", "workspace/tandem-observed"), True),
            ("aps", "sns:Publish", arn("aps", "workspace/ws-0", "999999999999"), False),
            ("aps", "sns:Subscribe", arn("aps", "workspace/tandem-observed"), False),
            ("cloudwatch", "sns:Publish", arn("cloudwatch", "alarm:x"), True),
        )
        for context in ({"aws:SourceAccount": source.split(":")[4], "aws:SourceArn": source},)
    ),
    *(
        ("prod", "QueuePolicy", "events", "sqs:SendMessage", arn("sqs", "tandem-prod-interruptions"), context, decision)
        for context, decision in (
            ({"aws:SourceArn": arn("events", "rule/tandem-prod-spot-interruption-0a1b2c3")}, True),
            ({"aws:SourceArn": arn("events", "rule/theirs")}, False),
            ({"aws:SourceArn": arn("events", "rule/tandem-prod-health-1", "999999999999")}, False),
        )
    ),
    *(
        (
            "dev",
            "BucketPolicy dev-access-logs",
            "logdelivery.elasticloadbalancing",
            "s3:PutObject",
            f"arn:aws:s3:::dev-access-logs/alb/AWSLogs/{account}/elasticloadbalancing/x",
            {},
            account == ACCOUNT,
        )
        for account in (ACCOUNT, "999999999999")
    ),
]


def test_services_write_to_topics_queues_and_buckets_only_on_behalf_of_this_account() -> None:
    requests = [
        Request(
            action=action,
            resource=resource,
            context={**context, "aws:SecureTransport": "true"},
            on_resource=policy_of(stack, kind),
            principal=f"{service}.amazonaws.com",
        )
        for stack, kind, service, action, resource, context, _ in SERVICES
    ]
    assert allowed(requests) == [decision for *_, decision in SERVICES]


def test_the_cache_is_open_to_its_mounting_role_through_its_access_point() -> None:
    """And to nobody who comes without TLS."""
    through = {
        "elasticfilesystem:AccessPointArn": arn("elasticfilesystem", "access-point/fsap-0123456789abcdef0"),
        "aws:SecureTransport": "true",
    }
    cases: Sequence[tuple[str, Mapping[str, str], bool]] = [
        ("tandem-prod-file-system", through, True),
        ("tandem-prod-file-system", {"aws:SecureTransport": "true"}, False),
        ("tandem-prod-file-system", through | {"aws:SecureTransport": "false"}, False),
        ("tandem-prod-inference", through, False),
        ("theirs", through, False),
    ]
    requests = [
        Request(
            action="elasticfilesystem:ClientMount",
            resource=OUR_FILES,
            on_resource=policy_of("prod", "FileSystemPolicy"),
            principal=arn("iam", f"role/{role}"),
            context=context,
        )
        for role, context, _ in cases
    ]
    assert allowed(requests) == [decision for *_, decision in cases]


def statements() -> list[tuple[str, dict[str, Any]]]:
    return [(what, one) for stack in ALL for what, policy in documents(stack) for one in policy["Statement"]]


def test_each_wildcard_has_its_reason() -> None:
    wild = [(what, one) for what, one in statements() if "*" in json.dumps(one)]
    assert wild
    assert [what for what, one in wild if one.get("Sid") not in REASONS] == []
    assert {one["Sid"] for _, one in wild} == set(REASONS)


def test_no_action_is_a_wildcard_but_in_a_denial() -> None:
    assert [
        what
        for what, one in statements()
        if one["Effect"] == "Allow" and "*" in json.dumps([one["Action"], one.get("Principal", "")])
    ] == []


def test_each_of_awss_own_policies_has_its_reason() -> None:
    attached = {policy.rpartition("/")[2] for stack in ALL for role in roles(stack).values() for policy in role.managed}
    assert attached == {*NODE_POLICIES, *POD_POLICIES}
