"""Calls of AWS that were made, as the requests that IAM decides on: each with the resources that it is about, the tags
that these carry and those that it gives, and what AWS asks IAM for besides.

Which resources an action is about, and what their ARNs look like, says AWS's service authorization reference
(tests/evaluator.py); a call names them by id, by name or by ARN.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import pytest
from botocore.client import BaseClient

from ops.rights.actions import action_of
from tests.evaluator import ACCOUNT, Policy, Request, Takes, allowed, takes

REGION = "us-east-1"
READS = re.compile(r"(Describe|Get|List|Head|Simulate)(?!SecretValue|Object(?!s)|ConsoleOutput)")
"""What is allowed on all resources, or on none; secrets, objects and consoles are bound."""


@dataclass(frozen=True)
class Call:
    """A call that AWS answered.

    Attributes:
        service: boto3's name. operation: AWS's.
    """

    service: str
    operation: str
    params: Mapping[str, Any]
    answer: Mapping[str, Any]

    @property
    def action(self) -> str:
        return action_of(self.service, self.operation)


def bound(call: Call) -> bool:
    """Whether a right to it depends on the resource: all that changes something, and reading parameters."""
    return not READS.match(call.operation) or call.service == "ssm"


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Call]]:
    """All calls of boto3 in this process that succeed, in order."""
    calls: list[Call] = []
    call = BaseClient._make_api_call

    def noted(self: BaseClient, operation: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = call(self, operation, params)
        calls.append(Call(self.meta.service_model.service_name, operation, params, answer))
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", noted)
        yield calls


# -- what a call is about

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
    "autoscaling": (
        "autoscaling:{region}:{account}:autoScalingGroup:0:autoScalingGroupName/{AutoScalingGroupName}",
        "autoscaling:{region}:{account}:autoScalingGroup:0:autoScalingGroupName/{ResourceId}",
    ),
    "budgets": ("budgets::{account}:budget/{BudgetName}",),
    "cloudwatch": (
        "cloudwatch:{region}:{account}:alarm:{AlarmName}",
        "cloudwatch:{region}:{account}:alarm:{AlarmNames}",
    ),
    "efs": (
        "elasticfilesystem:{region}:{account}:file-system/{FileSystemId}",
        "elasticfilesystem:{region}:{account}:file-system/{ResourceId}",
        "elasticfilesystem:{region}:{account}:access-point/{AccessPointId}",
        "elasticfilesystem:{region}:{account}:access-point/{ResourceId}",
    ),
    "eks": (
        "eks:{region}:{account}:nodegroup/{clusterName}/{nodegroupName}/0",
        "eks:{region}:{account}:cluster/{clusterName}",
        "eks:{region}:{account}:cluster/{name}",
    ),
    "elbv2": (
        "elasticloadbalancing:{region}:{account}:loadbalancer/app/{Name}/0",
        "elasticloadbalancing:{region}:{account}:targetgroup/{Name}/0",
    ),
    "events": ("events:{region}:{account}:rule/{Name}", "events:{region}:{account}:rule/{Rule}"),
    "iam": ("iam::{account}:role/{RoleName}", "iam::{account}:instance-profile/{InstanceProfileName}"),
    "kms": ("kms:{region}:{account}:key/{KeyId}",),
    "logs": ("logs:{region}:{account}:log-group:{logGroupName}",),
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
    # EKS's answers name Auto Scaling's groups, too
    found = [*texts(call.params), *(one for one in told if call.service != "eks" or one[1].startswith("arn:"))]
    arns = {text for _, text in found if text.startswith("arn:aws:")}
    if call.service == "sns":  # of a subscription IAM asks about its topic
        arns = {":".join(arn.split(":")[:6]) for arn in arns}
    for _, text in found:
        if (match := re.fullmatch(r"([a-z]+)-[0-9a-f]{8,17}", text)) and match[1] in _IDS:
            owner = "" if match[1] in ("ami", "snap") else ACCOUNT
            arns.add(f"arn:aws:ec2:{REGION}:{owner}:{_IDS[match[1]]}/{text}")
    for pattern in _NAMED.get(call.service, ()):
        values: dict[str, list[str]] = {}
        for key, text in [one for one in found if not one[1].startswith("arn:")]:
            values.setdefault(key, []).append(text.rpartition("/")[2] if key in ("HostedZoneId", "QueueUrl") else text)
        keys = set(re.findall(r"{(\w+)}", pattern)) - {"region", "account"}
        if keys <= values.keys():
            arns.add(
                "arn:aws:" + pattern.format(region=REGION, account=ACCOUNT, **{key: values[key][0] for key in keys})
            )
    # EFS's ResourceId is of either kind
    return {arn for arn in arns if not re.search("file-system/fsap-|access-point/fs-", arn)}


def about(
    call: Call, action: str, known: Mapping[str, Sequence[Takes]], parts_of: Mapping[str, set[str]] | None = None
) -> list[str]:
    """ARNs that a call asks IAM about, for one of the actions that it takes.

    Args:
        parts_of: ids that are no resource of IAM's (a mount target) to ARNs of what they are a part of.

    Raises:
        LookupError: the action takes resources, none of which the call seems to name.
    """
    names, found = named(call), []
    for _, text in texts(call.params):
        names |= (parts_of or {}).get(text, set())
    if action == "ec2:CreateTags" and call.operation != "CreateTags":
        kinds = {one["ResourceType"] for one in call.params["TagSpecifications"]}
        names = {arn for arn in names - named(replace(call, answer={})) if _type_of(arn) in kinds}
    elif action == _TAGS_WITH_CREATION.get(call.action) and call.operation in _MADE:
        names = {arn for arn in names if _type_of(arn) == _MADE[call.operation]}
    for one in known[action]:
        if not one.resource:
            return ["*"]
        parts = [re.escape(part) for part in re.split(r"\$\{[^}]+\}", one.arn)]
        any_text = "[^/]+" if one.resource == "bucket" else ".+"
        found += [arn for arn in names if re.fullmatch(any_text.join(parts), arn)]
    if not found:
        raise LookupError(f"{call.service}:{call.operation} names nothing that {action} is about: {sorted(names)}")
    return sorted(set(found))


def _type_of(arn: str) -> str:
    return arn.split(":")[5].partition("/")[0]


# -- what it says of itself

_MADE = {
    "CreateAccessPoint": "access-point",
    "CreateCluster": "cluster",
    "CreateFileSystem": "file-system",
    "CreateListener": "listener",
    "CreateLoadBalancer": "loadbalancer",
    "CreateNodegroup": "nodegroup",
    "CreateRule": "listener-rule",
    "CreateTargetGroup": "targetgroup",
}
"""What is tagged by a call that names something else, too."""

_TAGS_WITH_CREATION: Mapping[str, str] = {
    "acm:ImportCertificate": "acm:AddTagsToCertificate",
    "autoscaling:CreateAutoScalingGroup": "autoscaling:CreateOrUpdateTags",
    "cloudwatch:PutMetricAlarm": "cloudwatch:TagResource",
    "eks:CreateCluster": "eks:TagResource",
    "eks:CreateNodegroup": "eks:TagResource",
    "elasticfilesystem:CreateAccessPoint": "elasticfilesystem:TagResource",
    "elasticfilesystem:CreateFileSystem": "elasticfilesystem:TagResource",
    "elasticloadbalancing:CreateListener": "elasticloadbalancing:AddTags",
    "elasticloadbalancing:CreateLoadBalancer": "elasticloadbalancing:AddTags",
    "elasticloadbalancing:CreateRule": "elasticloadbalancing:AddTags",
    "elasticloadbalancing:CreateTargetGroup": "elasticloadbalancing:AddTags",
    "events:PutRule": "events:TagResource",
    "iam:CreateInstanceProfile": "iam:TagInstanceProfile",
    "iam:CreateRole": "iam:TagRole",
    "kms:CreateKey": "kms:TagResource",
    "logs:CreateLogGroup": "logs:TagResource",
    "s3:CreateBucket": "s3:TagResource",
    "scheduler:CreateScheduleGroup": "scheduler:TagResource",
    "secretsmanager:CreateSecret": "secretsmanager:TagResource",
    "sns:CreateTopic": "sns:TagResource",
    "sqs:CreateQueue": "sqs:TagQueue",
    "ssm:PutParameter": "ssm:AddTagsToResource",
    "wafv2:CreateWebACL": "wafv2:TagResource",
}
"""What AWS asks IAM besides, of a call that creates with tags; EC2 asks for ec2:CreateTags
(https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html: dependent actions)."""

_PASSED: Mapping[tuple[str, str], str] = {
    ("scheduler", "RoleArn"): "scheduler",
    ("ec2", "DeliverLogsPermissionArn"): "vpc-flow-logs",
    ("eks", "roleArn"): "eks",
    ("eks", "nodeRole"): "eks",
    ("iam", "RoleName"): "ec2",
}
"""Where a call gives a role to a service (the last one: into an instance profile), and to which."""


def tags_given(params: Any) -> dict[str, str]:
    """Tags in a call's parameters, in any of the forms that AWS's services have."""
    found: dict[str, str] = {}
    if isinstance(params, Mapping):
        for key, value in params.items():
            if key.lower() in ("tags", "tagset", "resourcetags") and isinstance(value, Mapping):
                found |= value
            found |= tags_given(value)
        pair = {key.lower(): value for key, value in params.items()}
        name = pair.get("key", pair.get("tagkey"))
        value = pair.get("value", pair.get("tagvalue"))
        if len(pair) <= 5 and isinstance(name, str) and isinstance(value, str):
            found[name] = value
    elif isinstance(params, Sequence) and not isinstance(params, str | bytes):
        for one in params:
            found |= tags_given(one)
    return found


@dataclass
class Account:
    """What the calls so far have made of an account.

    Attributes:
        tags: of each resource, by ARN. boundaries: of each role.
        parts_of: ids of parts to ARNs of what they are a part of.
    """

    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    boundaries: dict[str, str] = field(default_factory=dict)
    parts_of: dict[str, set[str]] = field(default_factory=dict)

    def asks(self, call: Call, known: Mapping[str, Sequence[Takes]]) -> Iterator[tuple[str, str, dict[str, str]]]:
        """(action, ARN, context) of each question to IAM about a call."""
        given = {f"aws:RequestTag/{key}": value for key, value in tags_given(call.params).items()}
        said = {"aws:RequestedRegion": REGION, **given, **_further(call)}
        for action, more in asked_for(call):
            for arn in about(call, action, known, self.parts_of):
                tags = self.tags.get(arn.partition("/")[0] if arn.startswith("arn:aws:s3:") else arn, {})
                own = {f"{kind}/{key}": tags[key] for kind in ("aws:ResourceTag", "s3:BucketTag") for key in tags}
                bound = {"iam:PermissionsBoundary": self.boundaries[arn]} if arn in self.boundaries else {}
                yield action, arn, {**own, **bound, **said, **more}

    def note(self, call: Call) -> None:
        """A call was done."""
        arns, tags = named(call), tags_given(call.params)
        made = not re.match("(Delete|Terminate|Untag|Remove)", call.operation)
        for arn in arns if tags and made else ():
            if arn not in self.tags or "Tag" in call.operation:
                self.tags.setdefault(arn, {}).update(tags)
        for _, text in texts(call.answer):
            if text.startswith(("rtbassoc-", "fsmt-")):
                self.parts_of.setdefault(text, arns)
        if boundary := call.params.get("PermissionsBoundary"):
            self.boundaries |= {arn: boundary for arn in arns if ":role/" in arn}


def _further(call: Call) -> dict[str, str]:
    """Condition keys of a service's own."""
    found = {"iam:PermissionsBoundary": "PermissionsBoundary", "iam:PolicyARN": "PolicyArn"}
    own = {key: call.params[name] for key, name in found.items() if name in call.params}
    kinds = [text for key, text in texts(call.params) if key == "Type"]
    return own | (
        {"route53:ChangeResourceRecordSetsRecordTypes": kinds[0]} if call.service == "route53" and kinds else {}
    )


def asked_for(call: Call) -> Iterator[tuple[str, dict[str, str]]]:
    """The actions that IAM is asked for, with what AWS says of each."""
    yield call.action, {}
    tags, created = tags_given(call.params), call.operation
    if call.service == "ec2" and "TagSpecifications" in call.params:
        yield "ec2:CreateTags", {"ec2:CreateAction": created}
    elif tags and call.action in _TAGS_WITH_CREATION:
        action = _TAGS_WITH_CREATION[call.action]
        yield action, {f"{action.partition(':')[0]}:CreateAction": created}
    for key, text in texts(call.params):
        service = _PASSED.get((call.service, key))
        if service and (":role/" in text or call.operation == "AddRoleToInstanceProfile"):
            yield "iam:PassRole", {"iam:PassedToService": f"{service}.amazonaws.com"}


def unread(calls: Sequence[Call], identity: Sequence[Policy]) -> list[str]:
    """What policies do not allow to be looked at: these actions are allowed on all resources, or on none."""
    granted = [
        name
        for policy in identity
        for statement in policy["Statement"]
        for name in statement["Action"]
        if "*" in statement["Resource"]
    ]
    asked = {call.action for call in calls if not bound(call) and call.service != "sts"}
    return sorted(action for action in asked if not any(fnmatchcase(action, name) for name in granted))


Question = tuple[str, str, tuple[tuple[str, str], ...]]
"""Action, ARN and context of a request."""


def questions(
    calls: Sequence[Call], since: int = 0, tags: Mapping[str, Mapping[str, str]] | None = None
) -> list[Question]:
    """What IAM is asked about the calls that the resource decides, each question once.

    Args:
        since: what came before this call was done by somebody else.
        tags: of what no call tells, by ARN.
    """
    changing = [(number, call) for number, call in enumerate(calls) if bound(call)]
    known = takes(sorted({action for number, call in changing if number >= since for action, _ in asked_for(call)}))
    account, found = Account({arn: dict(own) for arn, own in (tags or {}).items()}), {}
    for number, call in changing:
        for action, arn, context in account.asks(call, known) if number >= since else ():
            found[action, arn, tuple(sorted(context.items()))] = None
        account.note(call)
    return list(found)


def decided(asked: Sequence[Question], identity: Sequence[Policy], decision: bool) -> list[str]:
    """Action and resource of the questions that policies decide so."""
    requests = [
        Request(
            action=action,
            resource=arn,
            context=dict(context),
            identity=identity,
            on_resource=OF_A_KEY if action.startswith("kms:") else None,
            bucket_abac=arn.startswith("arn:aws:s3:"),
        )
        for action, arn, context in asked
    ]
    decisions = zip(asked, allowed(requests), strict=True)
    return sorted({f"{action} on {arn}" for (action, arn, _), one in decisions if one is decision})


def refused(
    calls: Sequence[Call],
    identity: Sequence[Policy],
    since: int = 0,
    tags: Mapping[str, Mapping[str, str]] | None = None,
) -> list[str]:
    """What policies do not allow of the calls that the resource decides. Arguments: of `questions`."""
    return decided(questions(calls, since, tags), identity, False)


OF_A_KEY: Policy = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}
"""What a key has when nothing else is said: IAM decides, as for other resources."""
