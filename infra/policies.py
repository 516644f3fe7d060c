"""IAM policy documents: plain data, so that a reviewer and a test read the same thing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from tandem.alarms import NAMESPACE as METRICS_NAMESPACE
from tandem.catalog.iam import POLICY_VERSION

ECR_IMAGE = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)")
"""Account, region and repository of an image in a private registry of ECR."""

PROFILE = re.compile(r"(?:us|eu|apac|au|ca|jp|us-gov|global)\.(.+)")
"""An inference profile of Bedrock's own: where it may answer, and the model."""

REASONS: Mapping[str, str] = {
    "DescribeKnowsNoResources": "these actions know no resources; the region is bound",
    "GlobalReadKnowsNoResources": "these actions know no resources and no region of the stack's",
    "SessionManagerKnowsNoResources": "what Session Manager's agent calls for its own host; it reads no parameter",
    "OwnGroupByTag": "the group is made after the role that it names; name and tags bind it",
    "OwnGroupByName": "the group is made after the role that may size it; its name, which is its own, binds it",
    "FiguresOfOneNamespace": "this action knows no resources; the namespace is bound",
    "StreamsOfOneGroup": "the streams of one log group, which hosts name after themselves",
    "ObjectsUnderOnePath": "the objects below one path of one bucket",
    "ScriptsOfEachVersion": "a bucket that holds nothing but versions of the hosts' scripts",
    "RequestsAndAnswers": "a bucket that holds nothing but what `tandem batch` and its machines write",
    "AnswersOfEachBatch": "of a bucket of batches what machines write: nothing of what is asked for, or until when",
    "LogsOfOneAccount": "what load balancers of this account log; log delivery adds date and name",
    "OnlyTls": "a denial holds for everybody and everything",
    "OnBehalfOfThisAccount": "the source is named by AWS when it is made; account, region and name bind it",
    "WorkspacesOfThisAccount": "workspaces of this account and region, by ids that AWS makes; they may tell one topic",
    "OneModelInRegionsOfItsProfile": "one model, which an inference profile asks in any region that it has",
    "PublicParameters": "AWS's own parameters, which all the world may read",
    "LaunchInto": "where instances may stand and what they start from; what is made is bound by the next statements",
    "LaunchFromOwnTemplate": "launch templates that Karpenter made for this cluster, by tag",
    "MakeWithTags": "ids do not exist yet; each must carry this cluster's tags from the start",
    "TagOnlyWithCreation": "ids do not exist yet; tags are taken only from the call that creates",
    "NameOwnInstances": "instances that Karpenter made for this cluster, by tag, and three tag keys",
    "EndOwn": "instances and templates that Karpenter made for this cluster, by tag",
    "MakeProfileWithTags": "profiles that do not exist yet; each must carry this cluster's and region's tags",
    "TagOwnProfiles": "profiles that carry this cluster's and region's tags already, which they keep",
    "ChangeOwnProfiles": "profiles that Karpenter made for this cluster and region, by tag",
    "ReadProfiles": "Karpenter asks for names that it made up; a profile holds no secret",
    "TagInstancesForTheCluster": "EKS tags the cluster's own instances, with the cluster's own key",
}
"""Why a statement has a `*` in it, by its Sid. A test asks each such statement of each stack for one."""


def allow(
    actions: Sequence[str],
    resources: Sequence[pulumi.Input[str]],
    condition: Mapping[str, Any] | pulumi.Output[dict[str, Any]] | None = None,
    *,
    sid: str | None = None,
) -> dict[str, Any]:
    """One statement that allows these actions on these resources.

    Args:
        sid: key of REASONS; needed where there is a `*`.
    """
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    named = {"Sid": sid} if sid else {}
    return named | statement | ({"Condition": condition} if condition else {})


def in_region(region: str) -> dict[str, Any]:
    """The condition for actions that know no resources."""
    return {"StringEquals": {"aws:RequestedRegion": region}}


def on_behalf_of(account_id: pulumi.Input[str], *source_arns: pulumi.Input[str]) -> dict[str, Any]:
    """The condition that an AWS service acts for this account and for one of these sources, and for no other customer's
    (https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html)."""
    return {
        "StringEquals": {"aws:SourceAccount": account_id},
        "ArnLike": {"aws:SourceArn": source_arns[0] if len(source_arns) == 1 else list(source_arns)},
    }


def on_behalf_of_logs(region: str, account_id: str) -> dict[str, Any]:
    """The condition that CloudWatch Logs acts for this account, which it names in the ARN of the source alone
    (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html)."""
    return {"ArnLike": {"aws:SourceArn": f"arn:aws:logs:{region}:{account_id}:*"}}


def document(*statements: dict[str, Any]) -> pulumi.Output[str]:
    """A policy as the JSON text that AWS takes; outputs inside are resolved."""
    return pulumi.Output.json_dumps({"Version": POLICY_VERSION, "Statement": list(statements)})


def assumed_by(service: str, condition: Mapping[str, Any] | None = None) -> pulumi.Output[str]:
    """A trust policy for one AWS service.

    Args:
        condition: on whose behalf. None for EC2 alone, which names no source: it gives a role only to instances with a
            profile of the role's own account.
    """
    statement: dict[str, Any] = {
        "Sid": "OnBehalfOfThisAccount",
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    return document(statement | ({"Condition": condition} if condition else {}))


def only_tls(
    actions: str, resources: Sequence[pulumi.Input[str]], principal: str | dict[str, str] = "*"
) -> dict[str, Any]:
    """A statement of a resource's own policy that denies these actions to whoever comes without TLS."""
    return {
        "Sid": "OnlyTls",
        "Effect": "Deny",
        "Principal": principal,
        "Action": actions,
        "Resource": list(resources),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def read_weights(*s3_uris: str) -> list[dict[str, Any]]:
    """Statements that let servers stream their weights from each s3://bucket/path, and read nothing else."""
    places = [uri.removeprefix("s3://").rstrip("/") for uri in s3_uris]
    buckets = dict.fromkeys(f"arn:aws:s3:::{place.partition('/')[0]}" for place in places)
    objects = dict.fromkeys(f"arn:aws:s3:::{place}/*" for place in places)
    return (
        [
            allow(["s3:ListBucket"], [*buckets]),
            allow(["s3:GetObject"], [*objects], sid="ObjectsUnderOnePath"),
        ]
        if places
        else []
    )


def pull_from_ecr(image: str) -> list[dict[str, Any]]:
    """Statements that let a host pull one repository of ECR, also one that a pull-through cache makes at its first pull
    (https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache-iam.html); none for another registry.
    """
    found = ECR_IMAGE.fullmatch(image)
    if not found:
        return []
    account_id, region, repository = found.groups()
    actions = ["BatchGetImage", "GetDownloadUrlForLayer", "BatchImportUpstreamImage", "CreateRepository"]
    return [
        allow(["ecr:GetAuthorizationToken"], ["*"], in_region(region), sid="DescribeKnowsNoResources"),
        allow([f"ecr:{action}" for action in actions], [f"arn:aws:ecr:{region}:{account_id}:repository/{repository}"]),
    ]


def write_log(group_arn: pulumi.Input[str]) -> dict[str, Any]:
    """Lines into streams of one group, which is there already."""
    return allow(
        ["logs:CreateLogStream", "logs:PutLogEvents"], [pulumi.Output.concat(group_arn, ":*")], sid="StreamsOfOneGroup"
    )


def put_metrics() -> dict[str, Any]:
    """Figures of tandem's namespace; the action knows no resources
    (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html)."""
    own = {"StringEquals": {"cloudwatch:namespace": METRICS_NAMESPACE}}
    return allow(["cloudwatch:PutMetricData"], ["*"], own, sid="FiguresOfOneNamespace")


def session_channels() -> dict[str, Any]:
    """What a session into a task of ECS needs
    (https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-exec.html)."""
    return allow(_channels(), ["*"], sid="SessionManagerKnowsNoResources")


def ask_bedrock(region: str, account_id: pulumi.Input[str], models: Sequence[str]) -> dict[str, Any]:
    """Answers of models of Amazon Bedrock. One of an inference profile (`eu.amazon.nova-lite-v1:0`) answers from any
    region of it (https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html)."""
    arns: list[pulumi.Input[str]] = []
    for model in models:
        profile = PROFILE.fullmatch(model)
        arns.append(
            f"arn:aws:bedrock:{'*' if profile else region}::foundation-model/{profile[1] if profile else model}"
        )
        if profile:
            arns.append(pulumi.Output.concat(f"arn:aws:bedrock:{region}:", account_id, f":inference-profile/{model}"))
    return allow(
        ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"], arns, sid="OneModelInRegionsOfItsProfile"
    )


def _channels() -> list[str]:
    return [f"ssmmessages:{what}{which}Channel" for which in ("Control", "Data") for what in ("Create", "Open")]


def session_manager() -> dict[str, Any]:
    """What the agent of Session Manager needs. AWS's own policy for it (AmazonSSMManagedInstanceCore) would let a host
    read each parameter of the account
    (https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-create-iam-instance-profile.html)."""
    return allow(["ssm:UpdateInstanceInformation", *_channels()], ["*"], sid="SessionManagerKnowsNoResources")
