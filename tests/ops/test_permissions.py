"""The actions that `tandem doctor` simulates are those that bringing a stack up and down takes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest

from pulumi_rehearsal.aws.row import Call
from pulumi_rehearsal.aws.tables import TABLE
from tandem.ops.doctor.permissions import actions
from tandem.ops.rights.actions import action_of
from tandem.settings import Settings
from tests.infra.declared import declared_by

pytestmark = pytest.mark.sweep

EVERYTHING = {
    "region": "us-east-1",
    "clients": {"alice": {"sha256": ["0" * 64]}},
    "network": {"interfaceEndpoints": ["ssm"], "flowLogRetentionDays": 7},
    "metrics": {"managedPrometheus": True, "managedGrafana": True},
    "batch": {"maxUsd": 20},
    "gateway": {
        "hostName": "teams.llm.example.com",
        "fallback": {
            "model": "bedrock/nova",
            "maxUsdPerDay": 5,
            "promptUsdPerMillion": 1,
            "answerUsdPerMillion": 4,
        },
    },
    "logs": {"sendTo": "arn:aws:kinesis:us-east-1:123456789012:stream/lines"},
    "loadBalancer": {"domainName": "us.llm.example.com", "hostedZoneId": "Z0123456789ABC"},
    "globalName": {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"},
    "costGuard": {
        "expiresAfter": "4h",
        "monthlyBudgetUsd": 100,
        "alertEmails": ["a@example.com"],
        "businessHours": {},
        "idleAfter": "2h",
    },
}
SELF_SIGNED = {"region": "us-east-1", "ephemeral": True}
KUBERNETES = {
    "region": "us-east-1",
    "platform": "eks",
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "maxHosts": 4},
    "cluster": {"admins": ["arn:aws:iam::123456789012:role/platform"]},
}
MANAGED = KUBERNETES | {
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 2},
    "nodePool": {"provisioner": "managed"},
    "costGuard": {"expiresAfter": "4h"},
}

READS = ("describe_", "get_", "list_", "head_")


def calls(part: Any) -> Iterator[Call]:
    """All boto3 calls in a part of a row."""
    if isinstance(part, Call):
        yield part
    elif dataclasses.is_dataclass(part):
        for item in dataclasses.fields(part):
            yield from calls(getattr(part, item.name))
    elif isinstance(part, (list, tuple)):
        for item in part:
            yield from calls(item)


@functools.cache
def operations(service: str) -> Mapping[str, str]:
    """boto3's name of each operation to AWS's."""
    client = boto3.client(service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    return client.meta.method_to_api_mapping


def taken(type_: str) -> Iterator[str]:
    """What creating and deleting one resource of a type asks IAM for."""
    row = TABLE[type_]
    for call in calls((row.create, row.after_create, row.delete)):
        if call.operation.startswith(READS):
            continue
        service = call.service or row.service
        yield action_of(service, operations(service)[call.operation])


NOT_PLAYED = {
    # `tandem logs`
    "logs:GetQueryResults logs:StartQuery logs:StopQuery",
    # AWS asks it of who calls something else
    "ec2:CreateNetworkInterface ec2:DeleteNetworkInterface ec2:RunInstances elasticloadbalancing:SetWebAcl "
    "rds:CreateDBSnapshot iam:CreateServiceLinkedRole iam:PassRole kms:CreateGrant",
    # `tandem recover` removes what a killed `up` left
    "ec2:DeleteSnapshot ec2:DeleteVolume ec2:DeregisterImage ec2:TerminateInstances rds:DeleteDBSnapshot",
    # moto has none of it, so that it is only recorded
    "eks:UpdateNodegroupVersion elasticache:ModifyCacheSubnetGroup s3:PutBucketAbac s3:TagResource s3:UntagResource",
    # a row calls it in a function of its own, or reads with it; the last, `tandem rollout --back`
    "autoscaling:CancelInstanceRefresh autoscaling:StartInstanceRefresh autoscaling:CompleteLifecycleAction "
    "route53:ChangeResourceRecordSets s3:DeleteObjectVersion s3:GetObject s3:GetObjectTagging s3:ListBucketVersions "
    "s3:PutObject secretsmanager:GetSecretValue rds:RestoreDBInstanceFromDBSnapshot",
    # `tandem batch`
    "autoscaling:PutScheduledUpdateGroupAction",
    # the real provider's way of changing in place
    "ec2:ReplaceRouteTableAssociation elasticfilesystem:DeleteFileSystemPolicy elasticfilesystem:UpdateFileSystem "
    "autoscaling:DisableMetricsCollection autoscaling:SetDesiredCapacity elasticloadbalancing:ModifyListenerAttributes "
    "iam:UpdateRoleDescription secretsmanager:UpdateSecretVersionStage",
}
"""What who deploys may do and no row of the rehearsal calls, by why."""


def changed(type_: str) -> Iterator[str]:
    """What anything at all about one resource of a type asks IAM for."""
    row = TABLE[type_]
    for call in calls(row):
        if not call.operation.startswith(READS):
            service = call.service or row.service
            yield action_of(service, operations(service)[call.operation])


def test_who_deploys_has_nothing_that_no_stack_calls() -> None:
    found: set[str] = set()
    for values in (EVERYTHING, SELF_SIGNED, KUBERNETES, MANAGED):
        kinds = {one.type for one in declared_by(values).resources}
        found |= {action for kind in kinds & set(TABLE) for action in changed(kind)}
    granted = {*actions("ec2"), *actions("eks")}
    assert granted - found == {action for names in NOT_PLAYED for action in names.split()}


@pytest.mark.parametrize(
    "values",
    [EVERYTHING, SELF_SIGNED, KUBERNETES, MANAGED],
    ids=["everything", "self-signed", "kubernetes", "managed nodes"],
)
def test_up_and_destroy_take_no_other_action(values: dict[str, Any]) -> None:
    kinds = {resource.type for resource in declared_by(values).resources if resource.type in TABLE}
    assert len(kinds) > 30
    allowed = set(actions(Settings.model_validate(values).platform))
    stays = {"ecs:DeregisterTaskDefinition"} if values is EVERYTHING else set()  # the gateway's says so: skipDestroy
    assert {action for kind in kinds for action in taken(kind)} - allowed == stays


def test_no_platform_asks_for_what_only_the_other_needs() -> None:
    def services(platform: str) -> set[str]:
        return {action.partition(":")[0] for action in actions(platform)}

    assert services("ec2") - services("eks") == {"autoscaling", "aps", "grafana"}
    assert services("eks") - services("ec2") == {"eks", "kms", "sqs", "events"}
