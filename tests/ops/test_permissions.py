"""The actions that `tandem doctor` simulates are those that bringing a stack up and down takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from infra import pins, stack
from infra.settings import Settings
from ops.doctor.permissions import ACTIONS
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


def actions(type_: str) -> Iterator[str]:
    """What creating and deleting one resource of a type asks IAM for."""
    row = TABLE[type_]
    for call in calls((row.create, row.after_create, row.delete)):
        if call.operation.startswith(READS):
            continue
        service = call.service or row.service
        client = boto3.client(service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        operation = client.meta.method_to_api_mapping[call.operation]
        name = f"{IAM_SERVICES.get(service, service)}:{operation}"
        yield IAM_NAMES.get(name, name)


@pytest.mark.parametrize("settings", [EVERYTHING, SELF_SIGNED], ids=["everything", "self-signed"])
def test_up_and_destroy_take_no_other_action(settings: dict[str, Any]) -> None:
    found = declared(lambda: stack.build(Settings.model_validate(settings), pins.load(), "dev"))
    kinds = {resource.type for resource in found.resources if resource.type in TABLE}
    assert len(kinds) > 30
    assert {action for kind in kinds for action in actions(kind)} - set(ACTIONS) == set()
