"""What botocore's models allow is let pass, and nothing else, in AWS's words."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from pulumi_rehearsal.constraints import violations
from pulumi_rehearsal.moto import SimulatedAccount

SESSION = botocore.session.get_session()
NOWHERE = SimulatedAccount("http://127.0.0.1:1")
ROLE = {"RoleName": "hosts", "AssumeRolePolicyDocument": "{}"}
POOL = {"clusterName": "dev", "nodegroupName": "gpus", "subnets": ["subnet-1"], "nodeRole": "arn"}


def found(service: str, operation: str, params: dict[str, Any]) -> list[str]:
    return list(violations(SESSION.get_service_model(service).operation_model(operation).input_shape, params))


def many(count: int) -> list[dict[str, str]]:
    return [{"Key": f"k{number}", "Value": ""} for number in range(count)]


EACH = [
    # kind, service, operation, refused, words, the nearest that passes
    (
        "longest text",
        ("iam", "CreateRole"),
        ROLE | {"RoleName": "x" * 65},
        f"Value '{'x' * 65}' at 'roleName' failed to satisfy constraint: "
        "Member must have length less than or equal to 64",
        ROLE | {"RoleName": "x" * 64},
    ),
    (
        "shortest text",
        ("secretsmanager", "CreateSecret"),
        {"Name": ""},
        "Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1",
        {"Name": "a"},
    ),
    (
        "pattern",
        ("iam", "CreateRole"),
        ROLE | {"RoleName": "rölle"},
        r"Value 'rölle' at 'roleName' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [\w+=,.@-]+",
        ROLE | {"RoleName": "r+l=l,e.@-"},
    ),
    (
        "pattern with Java's classes",
        ("iam", "CreateRole"),
        ROLE | {"Tags": [{"Key": "größe", "Value": "a;b"}]},
        r"Value 'a;b' at 'tags.1.member.value' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]*",
        ROLE | {"Tags": [{"Key": "größe", "Value": "ä b"}]},
    ),
    (
        "pattern with Java's pairs",
        ("autoscaling", "DeleteTags"),
        {"Tags": [{"Key": "a", "ResourceId": "\x00"}]},
        "Value '\x00' at 'tags.1.member.resourceId' failed to satisfy constraint: Member must satisfy regular "
        r"expression pattern: [\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*",
        {"Tags": [{"Key": "a", "ResourceId": "\U0001f680"}]},
    ),
    (
        "words",
        ("acm", "RequestCertificate"),
        {"DomainName": "a.example.com", "ValidationMethod": "MAIL"},
        "Value 'MAIL' at 'validationMethod' failed to satisfy constraint: "
        "Member must satisfy enum value set: [EMAIL, DNS, HTTP]",
        {"DomainName": "a.example.com", "ValidationMethod": "DNS"},
    ),
    (
        "largest number",
        ("scheduler", "UpdateSchedule"),
        {"Name": "a", "Target": {"Arn": "a", "RoleArn": "arn:aws:iam::123456789012:role/a"}}
        | {"ScheduleExpression": "a", "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1441}},
        "Value '1441' at 'flexibleTimeWindow.maximumWindowInMinutes' failed to satisfy constraint: "
        "Member must have value less than or equal to 1440",
        {"Name": "a", "Target": {"Arn": "a", "RoleArn": "arn:aws:iam::123456789012:role/a"}}
        | {"ScheduleExpression": "a", "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 1440}},
    ),
    (
        "smallest number",
        ("eks", "CreateNodegroup"),
        POOL | {"scalingConfig": {"maxSize": 0}},
        "Value '0' at 'scalingConfig.maxSize' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1",
        POOL | {"scalingConfig": {"maxSize": 1}},
    ),
    (
        "longest list",
        ("iam", "CreateRole"),
        ROLE | {"Tags": many(51)},
        f"Value '{many(51)}' at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50",
        ROLE | {"Tags": many(50)},
    ),
    (
        "key of a map",
        ("eks", "CreateNodegroup"),
        POOL | {"tags": {"x" * 129: ""}},
        f"Value '{'x' * 129}' at 'tags.key' failed to satisfy constraint: "
        "Member must have length less than or equal to 128",
        POOL | {"tags": {"x" * 128: ""}},
    ),
    (
        "value of a map",
        ("eks", "CreateNodegroup"),
        POOL | {"tags": {"a": "x" * 257}},
        f"Value '{'x' * 257}' at 'tags.a.member' failed to satisfy constraint: "
        "Member must have length less than or equal to 256",
        POOL | {"tags": {"a": "x" * 256}},
    ),
    (
        "required member",
        ("iam", "CreateRole"),
        {"RoleName": "hosts"},
        "Value null at 'assumeRolePolicyDocument' failed to satisfy constraint: Member must not be null",
        ROLE,
    ),
    (
        "secret",
        ("secretsmanager", "CreateSecret"),
        {"Name": "a", "SecretString": "x" * 65537},
        "Value at 'secretString' failed to satisfy constraint: Member must have length less than or equal to 65536",
        {"Name": "a", "SecretString": "x" * 65536},
    ),
]


@pytest.mark.parametrize(("of", "refused", "words", "passes"), [each[1:] for each in EACH], ids=[e[0] for e in EACH])
def test_each_kind_is_refused_in_aws_s_words(
    of: tuple[str, str], refused: dict[str, Any], words: str, passes: dict[str, Any]
) -> None:
    assert found(*of, refused) == [words]
    assert found(*of, passes) == []


def test_every_pattern_of_the_services_that_we_call_is_read() -> None:
    """One that is written in a dialect unknown here would end a call with an error of ours."""
    for service in (
        "iam",
        "ec2",
        "autoscaling",
        "elbv2",
        "eks",
        "kms",
        "efs",
        "events",
        "scheduler",
        "wafv2",
        "budgets",
    ):
        model = SESSION.get_service_model(service)
        for name in model.shape_names:
            shape = model.shape_for(name)
            if "pattern" in shape.metadata:
                list(violations(shape, "text"))


@pytest.mark.parametrize(
    ("service", "operation", "params", "words"),
    [
        ("iam", "get_role", {"RoleName": "a b"}, "(ValidationError) when calling the GetRole operation: 1 validation"),
        ("scheduler", "get_schedule", {"Name": "a b"}, "(ValidationException) when calling the GetSchedule operation"),
        ("ec2", "run_instances", {"InstanceType": "g9"}, "3 validation errors detected: Value 'g9' at 'instanceType'"),
    ],
)
def test_a_call_ends_before_it_is_sent(service: str, operation: str, params: dict[str, Any], words: str) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(NOWHERE.client(service, "us-east-1"), operation)(**params)
    assert words in str(refused.value)


@pytest.mark.clock
def test_calls_of_other_processes_are_held_too() -> None:
    """By the environment that leads them to the account."""
    call = "import boto3; boto3.client('iam').get_role(RoleName='a b')"
    ran = subprocess.run(
        [sys.executable, "-c", call], env=NOWHERE.environment("us-east-1"), capture_output=True, text=True, check=False
    )
    assert "An error occurred (ValidationError) when calling the GetRole operation" in ran.stderr
