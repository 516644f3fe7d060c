"""Calls of AWS and the ARNs of what they name: IAM's questions are about these."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi_rehearsal import aws_wire
from pulumi_rehearsal.policy_evaluator import ACCOUNT
from tandem.ops.rights.actions import action_of

READS = re.compile(r"(Describe|Get|List|Head|Simulate)(?!SecretValue|Object(?!s)|ConsoleOutput)")
"""What is allowed on all resources, or on none; secrets, objects and consoles are bound."""


@dataclass(frozen=True)
class Call:
    """A call of AWS.

    Attributes:
        service: boto3's name. operation: AWS's.
        done: False where it was refused, or only tried (`DryRun`); there is no answer then.
    """

    service: str
    operation: str
    params: Mapping[str, Any]
    answer: Mapping[str, Any]
    region: str = "us-east-1"
    done: bool = True

    @property
    def action(self) -> str:
        return action_of(self.service, self.operation)


def as_asked(call: aws_wire.Call, answer: aws_wire.Answer) -> Call:
    """A call on the wire as IAM's question needs it."""
    answered = {} if READS.match(call.operation) else aws_wire.said(call, answer)
    return Call(call.service, call.operation, call.params, answered, call.region, answer[0] < 300)


def bound(call: Call) -> bool:
    """Whether a right to it depends on the resource: all that changes something, and reading parameters."""
    return not READS.match(call.operation) or call.service == "ssm"


# -- what a call is about

NEW = "new"
"""Stands for the id of what was not made, or is told nowhere."""
_IDS = {
    "ami": "image",
    "cr": "capacity-reservation",
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
    "fl": "vpc-flow-log",
    "i": "instance",
    "igw": "internet-gateway",
    "lt": "launch-template",
    "nat": "natgateway",
    "rtb": "route-table",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "snap": "snapshot",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
}
"""Prefixes of EC2's ids."""

_NAMED: Mapping[str, Sequence[str]] = {
    "amp": (
        "aps:{region}:{account}:workspace/{workspaceId}",
        "aps:{region}:{account}:rulegroupsnamespace/{workspaceId}/{name}",
    ),
    "autoscaling": (
        "autoscaling:{region}:{account}:autoScalingGroup:0:autoScalingGroupName/{AutoScalingGroupName}",
        "autoscaling:{region}:{account}:autoScalingGroup:0:autoScalingGroupName/{ResourceId}",
    ),
    "budgets": ("budgets::{account}:budget/{BudgetName}",),
    "cloudwatch": (
        "cloudwatch:{region}:{account}:alarm:{AlarmName}",
        "cloudwatch:{region}:{account}:alarm:{AlarmNames}",
        "cloudwatch::{account}:dashboard/{DashboardName}",
        "cloudwatch::{account}:dashboard/{DashboardNames}",
    ),
    "ecs": (
        "ecs:{region}:{account}:cluster/{clusterName}",
        "ecs:{region}:{account}:service/{serviceName}/{serviceName}",
        "ecs:{region}:{account}:task-definition/{family}:1",
    ),
    "elasticache": (
        "elasticache:{region}:{account}:replicationgroup:{ReplicationGroupId}",
        "elasticache:{region}:{account}:subnetgroup:{CacheSubnetGroupName}",
    ),
    "efs": (
        "elasticfilesystem:{region}:{account}:file-system/{FileSystemId}",
        "elasticfilesystem:{region}:{account}:file-system/{ResourceId}",
        "elasticfilesystem:{region}:{account}:access-point/{AccessPointId}",
        "elasticfilesystem:{region}:{account}:access-point/{ResourceId}",
    ),
    "eks": (
        "eks:{region}:{account}:nodegroup/{clusterName}/{nodegroupName}/0",
        "eks:{region}:{account}:addon/{clusterName}/{addonName}/0",
        "eks:{region}:{account}:cluster/{clusterName}",
        "eks:{region}:{account}:cluster/{name}",
    ),
    "elbv2": (
        "elasticloadbalancing:{region}:{account}:loadbalancer/app/{Name}/0",
        "elasticloadbalancing:{region}:{account}:targetgroup/{Name}/0",
    ),
    "events": ("events:{region}:{account}:rule/{Name}", "events:{region}:{account}:rule/{Rule}"),
    "grafana": ("grafana:{region}:{account}:/workspaces/{workspaceId}", "grafana:{region}:{account}:/workspaces/{id}"),
    "iam": ("iam::{account}:role/{RoleName}", "iam::{account}:instance-profile/{InstanceProfileName}"),
    "kms": ("kms:{region}:{account}:key/{KeyId}",),
    "logs": ("logs:{region}:{account}:log-group:{logGroupName}",),
    "rds": (
        "rds:{region}:{account}:db:{DBInstanceIdentifier}",
        "rds:{region}:{account}:subgrp:{DBSubnetGroupName}",
        "rds:{region}:{account}:snapshot:{FinalDBSnapshotIdentifier}",
        "rds:{region}:{account}:snapshot:{DBSnapshotIdentifier}",
    ),
    "route53": ("route53:::hostedzone/{HostedZoneId}", "route53:::healthcheck/{HealthCheckId}"),
    "s3": ("s3:::{Bucket}", "s3:::{Bucket}/{Key}"),
    "scheduler": (
        "scheduler:{region}:{account}:schedule/{GroupName}/{Name}",
        "scheduler:{region}:{account}:schedule-group/{Name}",
    ),
    "secretsmanager": (
        "secretsmanager:{region}:{account}:secret:{Name}-AbCdEf",
        "secretsmanager:{region}:{account}:secret:{SecretId}-AbCdEf",
    ),
    "sns": ("sns:{region}:{account}:{Name}",),
    "sqs": ("sqs:{region}:{account}:{QueueName}", "sqs:{region}:{account}:{QueueUrl}"),
    "ssm": (
        "ssm:{region}:{account}:parameter{Name}",
        "ssm:{region}:{account}:parameter{ResourceId}",
        "ssm:{region}:{account}:parameter{Names}",
        "ssm:{region}:{account}:parameter{Path}",
    ),
    "wafv2": ("wafv2:{region}:{account}:regional/webacl/{Name}/{Id}",),
}
"""ARNs of what calls name, by boto3's name of the service."""


def texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each text in a call with the key that it stands under; what lists name stands under the list's key."""
    if isinstance(value, Mapping):
        for inner, one in value.items():
            yield from texts(one, inner)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for one in value:
            yield from texts(one, key)
    elif isinstance(value, str):
        yield key, value


def named(call: Call) -> set[str]:
    """ARNs of what a call names, in its parameters or in its answer."""
    told = texts({key: one for key, one in call.answer.items() if key != "ResponseMetadata"})
    # EKS's answers name Auto Scaling's groups, too, and RDS's of a database its subnets
    own = [one for one in told if call.service != "eks" or one[1].startswith("arn:")] if call.service != "rds" else []
    found = [*texts(call.params), *own]
    arns = {text for _, text in found if text.startswith("arn:aws:")}
    if call.service == "sns":  # of a subscription IAM asks about its topic
        arns = {":".join(arn.split(":")[:6]) for arn in arns}
    for _, text in found:
        if (match := re.fullmatch(r"([a-z]+)-[0-9a-f]{8,17}", text)) and match[1] in _IDS:
            owner = "" if match[1] in ("ami", "snap") else ACCOUNT
            arns.add(f"arn:aws:ec2:{call.region}:{owner}:{_IDS[match[1]]}/{text}")
    for pattern in _NAMED.get(call.service, ()):
        values: dict[str, list[str]] = {}
        for key, text in [one for one in found if not one[1].startswith("arn:")]:
            values.setdefault(key, []).append(text.rpartition("/")[2] if key in ("HostedZoneId", "QueueUrl") else text)
        keys = set(re.findall(r"{(\w+)}", pattern)) - {"region", "account"}
        if keys <= values.keys():
            arns.add(
                "arn:aws:"
                + pattern.format(region=call.region, account=ACCOUNT, **{key: values[key][0] for key in keys})
            )
    arns = {re.sub(r":\d+(?=:parameter/aws/)", ":", arn) for arn in arns}  # public ones are nobody's
    # EFS's ResourceId is of either kind
    return {arn for arn in arns if not re.search("file-system/fsap-|access-point/fs-", arn)}
