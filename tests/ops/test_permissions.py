"""The actions that `tandem doctor` simulates are those that bringing a stack up and down takes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest

from infra import pins, stack
from infra.settings import Settings
from ops.doctor.permissions import actions
from rehearsal.aws.row import Call
from rehearsal.aws.tables import TABLE
from tests.infra.declared import declared

EVERYTHING = {
    "region": "us-east-1",
    "network": {"interfaceEndpoints": ["ssm"], "flowLogRetentionDays": 7},
    "loadBalancer": {"domainName": "us.llm.example.com", "hostedZoneId": "Z0123456789ABC"},
    "globalName": {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"},
    "costGuard": {
        "expiresAfter": "4h",
        "monthlyBudgetUsd": 100,
        "alertEmails": ["a@example.com"],
        "businessHours": {},
    },
}
SELF_SIGNED = {"region": "us-east-1", "ephemeral": True}
KUBERNETES = {
    "region": "us-east-1",
    "platform": "eks",
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 2, "maxHosts": 4},
    "cluster": {"admins": ["arn:aws:iam::123456789012:role/platform"]},
}
MANAGED = KUBERNETES | {
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 2},
    "nodePool": {"provisioner": "managed"},
    "costGuard": {"expiresAfter": "4h"},
}

IAM_SERVICES = {"elbv2": "elasticloadbalancing", "efs": "elasticfilesystem"}
IAM_NAMES = {
    # operation of the API: action in IAM, where they differ
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "budgets:CreateBudget": "budgets:ModifyBudget",
    "budgets:DeleteBudget": "budgets:ModifyBudget",
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
        name = f"{IAM_SERVICES.get(service, service)}:{operations(service)[call.operation]}"
        yield IAM_NAMES.get(name, name)


@pytest.mark.parametrize(
    "values",
    [EVERYTHING, SELF_SIGNED, KUBERNETES, MANAGED],
    ids=["everything", "self-signed", "kubernetes", "managed nodes"],
)
def test_up_and_destroy_take_no_other_action(values: dict[str, Any]) -> None:
    settings = Settings.model_validate(values)
    found = declared(lambda: stack.build(settings, pins.load(), "dev"))
    kinds = {resource.type for resource in found.resources if resource.type in TABLE}
    assert len(kinds) > 30
    assert {action for kind in kinds for action in taken(kind)} - set(actions(settings.platform)) == set()


def test_no_platform_asks_for_what_only_the_other_needs() -> None:
    def services(platform: str) -> set[str]:
        return {action.partition(":")[0] for action in actions(platform)}

    assert services("ec2") - services("eks") == {"autoscaling"}
    assert services("eks") - services("ec2") == {"eks", "kms", "sqs", "events"}
