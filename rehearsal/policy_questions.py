"""Calls of AWS that were made, as the requests that IAM decides on: each with the resources that it is about, the tags
that these carry and those that it gives, and what AWS asks IAM for besides.

Which resources an action is about, and what their ARNs look like, says AWS's service authorization reference
(policy_evaluator.py); a call names them by id, by name or by ARN.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pulumi_rehearsal.policy_evaluator import ACCOUNT, Policy, Request, Takes, allowed, takes
from rehearsal.policy_calls import NEW, Call, bound, named, texts


def about(
    call: Call, action: str, known: Mapping[str, Sequence[Takes]], parts_of: Mapping[str, set[str]] | None = None
) -> list[str]:
    """ARNs that a call asks IAM about, for one of the actions that it takes.

    Args:
        parts_of: ids that are no resource of IAM's (a mount target) to ARNs of what they are a part of.

    Raises:
        LookupError: the action takes resources, none of which the call seems to name.
    """
    names, found = named(call) | _yet_to_be_named(call), []
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
        any_text = {"bucket": "[^/]+", "parameter": ".*"}.get(one.resource, ".+")
        found += [arn for arn in names if re.fullmatch(any_text.join(parts), arn)]
    if not found and not any(one.required for one in known[action]):
        return ["*"]
    if not found:
        raise LookupError(f"{call.service}:{call.operation} names nothing that {action} is about: {sorted(names)}")
    return sorted(set(found))


def _yet_to_be_named(call: Call) -> set[str]:
    """What EC2 makes with tags and no answer names: of a call that was refused or only tried, and some of others."""
    if call.service != "ec2":
        return set()
    there = {_type_of(arn) for arn in named(call) - named(replace(call, answer={}))}
    kinds = {one["ResourceType"] for one in call.params.get("TagSpecifications", ())} - there
    return {f"arn:aws:ec2:{call.region}:{ACCOUNT}:{kind}/{NEW}" for kind in kinds}


def _type_of(arn: str) -> str:
    return arn.split(":")[5].partition("/")[0]


# -- what it says of itself

_MADE = {
    "CreateAccessEntry": "access-entry",
    "CreateAccessPoint": "access-point",
    "CreateAddon": "addon",
    "CreateCluster": "cluster",
    "CreateFileSystem": "file-system",
    "CreateListener": "listener",
    "CreateLoadBalancer": "loadbalancer",
    "CreateNodegroup": "nodegroup",
    "CreatePodIdentityAssociation": "podidentityassociation",
    "CreateRule": "listener-rule",
    "CreateTargetGroup": "targetgroup",
}
"""What is tagged by a call that names something else, too."""

_TAGS_WITH_CREATION: Mapping[str, str] = {
    "acm:ImportCertificate": "acm:AddTagsToCertificate",
    "autoscaling:CreateAutoScalingGroup": "autoscaling:CreateOrUpdateTags",
    "cloudwatch:PutCompositeAlarm": "cloudwatch:TagResource",
    "cloudwatch:PutMetricAlarm": "cloudwatch:TagResource",
    "eks:CreateAccessEntry": "eks:TagResource",
    "eks:CreateAddon": "eks:TagResource",
    "eks:CreateCluster": "eks:TagResource",
    "eks:CreateNodegroup": "eks:TagResource",
    "eks:CreatePodIdentityAssociation": "eks:TagResource",
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

_TAGGED_AT_ONCE = {"iam:TagInstanceProfile"}
"""Of these what is being made counts as tagged. Karpenter makes profiles with a policy that asks for their tags:
AllowScopedInstanceProfileTagActions in https://karpenter.sh/v1.14/reference/cloudformation/."""

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
        parts_of: ids of parts to ARNs of what they are a part of, and names to what is named.
    """

    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    boundaries: dict[str, str] = field(default_factory=dict)
    parts_of: dict[str, set[str]] = field(default_factory=dict)

    def asks(self, call: Call, known: Mapping[str, Sequence[Takes]]) -> Iterator[tuple[str, str, dict[str, str]]]:
        """(action, ARN, context) of each question to IAM about a call."""
        given = {f"aws:RequestTag/{key}": value for key, value in tags_given(call.params).items()}
        said = {"aws:RequestedRegion": call.region, **given, **_further(call)}
        for action, more in asked_for(call):
            for arn in about(call, action, known, self.parts_of):
                tags = self.tags.get(arn.partition("/")[0] if arn.startswith("arn:aws:s3:") else arn, {})
                if action in _TAGGED_AT_ONCE and action != call.action:
                    tags = tags_given(call.params)
                own = {f"{kind}/{key}": tags[key] for kind in ("aws:ResourceTag", "s3:BucketTag") for key in tags}
                bound = {"iam:PermissionsBoundary": self.boundaries[arn]} if arn in self.boundaries else {}
                yield action, arn, {**own, **bound, **said, **more}

    def note(self, call: Call) -> None:
        """A call was done."""
        arns, tags = named(call), tags_given(call.params)
        made = not re.match("(Delete|Terminate|Untag|Remove)", call.operation)
        # EC2's tags are of what a call makes, not of what it names
        tagged = arns - named(replace(call, answer={})) if _tags_what_it_makes(call) else arns
        for arn in tagged if tags and made else ():
            if arn not in self.tags or "Tag" in call.operation:
                self.tags.setdefault(arn, {}).update(tags)
        if call.action in _LATER_BY:
            kind, name = _LATER_BY[call.action]
            named_so = [text for key, text in texts(call.answer) if key == name]
            self.parts_of |= {text: {arn for arn in arns if f":{kind}/" in arn} for text in named_so}
        for _, text in texts(call.answer):
            if text.startswith(("rtbassoc-", "fsmt-")):
                self.parts_of.setdefault(text, arns)
        if boundary := call.params.get("PermissionsBoundary"):
            self.boundaries |= {arn: boundary for arn in arns if ":role/" in arn}


_LATER_BY = {
    "ec2:CreateLaunchTemplate": ("launch-template", "LaunchTemplateName"),
    "eks:CreateAccessEntry": ("access-entry", "principalArn"),
    "eks:CreatePodIdentityAssociation": ("podidentityassociation", "associationId"),
}
"""By what later calls name that which a call makes: kind in its ARN, and the member of the answer."""


def _tags_what_it_makes(call: Call) -> bool:
    return call.service == "ec2" and "TagSpecifications" in call.params


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
        if service and call.operation.endswith("PodIdentityAssociation"):
            service = "pods.eks"
        if service and (":role/" in text or call.operation == "AddRoleToInstanceProfile"):
            yield "iam:PassRole", {"iam:PassedToService": f"{service}.amazonaws.com"}


Question = tuple[str, str, tuple[tuple[str, str], ...]]
"""Action, ARN and context of a request."""


def questions(
    calls: Sequence[Call],
    since: int = 0,
    tags: Mapping[str, Mapping[str, str]] | None = None,
    of: Callable[[Call], bool] = bound,
) -> list[Question]:
    """What IAM is asked about calls, each question once.

    Args:
        since: what came before this call was done by somebody else.
        tags: of what no call tells, by ARN.
        of: about which calls; those that the resource decides.
    """
    changing = [(number, call) for number, call in enumerate(calls) if of(call)]
    known = takes(sorted({action for number, call in changing if number >= since for action, _ in asked_for(call)}))
    account, found = Account({arn: dict(own) for arn, own in (tags or {}).items()}), {}
    for number, call in changing:
        for action, arn, context in account.asks(call, known) if number >= since else ():
            found[action, arn, tuple(sorted(context.items()))] = None
        if call.done:
            account.note(call)
    return list(found)


def decided(
    asked: Sequence[Question], identity: Sequence[Policy], decision: bool, boundary: Sequence[Policy] | None = None
) -> list[str]:
    """Action and resource of the questions that policies decide so."""
    requests = [
        Request(
            action=action,
            resource=arn,
            context=dict(context),
            identity=identity,
            boundary=boundary,
            on_resource=OF_A_KEY if action.startswith("kms:") else None,
            bucket_abac=arn.startswith("arn:aws:s3:"),
        )
        for action, arn, context in asked
    ]
    decisions = zip(asked, allowed(requests), strict=True)
    return sorted({f"{action} on {arn}" for (action, arn, _), one in decisions if one is decision})


_ROOT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
OF_A_KEY: Policy = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": _ROOT, "Action": "kms:*", "Resource": "*"}],
}
"""What a key has when nothing else is said: IAM decides, as for other resources."""
