"""Secrets: generated where not given, read by the hosts' role only."""

from __future__ import annotations

import json
from typing import Any

import pulumi

from infra.components.host_role import HostRole
from infra.components.secrets import Secrets, SecretsArgs
from rehearsal.policy_evaluator import ACCOUNT, Request, allowed
from tests.infra.declared import Declared, declared, secret


def secrets(**changes: Any) -> Declared:
    return declared(lambda: Secrets("s", SecretsArgs(reader_role_name="hosts", **changes)))


def test_a_key_is_generated_where_none_is_given() -> None:
    found = secrets()
    assert found.counts() == {
        "tandem:index:Secrets": 1,
        "random:index/randomPassword:RandomPassword": 1,
        "aws:secretsmanager/secret:Secret": 1,
        "aws:secretsmanager/secretVersion:SecretVersion": 1,
        "aws:iam/rolePolicy:RolePolicy": 1,
    }
    assert found.one("RandomPassword") == {"length": 40, "special": False}
    assert json.loads(secret(found.one("SecretVersion")["secretString"])) == {"default": "generated-" + "k" * 30}


def test_given_keys_and_token_are_kept_as_they_are() -> None:
    found = secrets(
        api_keys={"alice": pulumi.Output.secret("a" * 20), "bob": pulumi.Output.secret("b" * 20)},
        hugging_face_token=pulumi.Output.secret("hf_token"),
    )
    assert "random:index/randomPassword:RandomPassword" not in found.counts()
    values = {name: secret(version["secretString"]) for name, version in found.of("SecretVersion").items()}
    assert json.loads(values["s-api-keys"]) == {"alice": "a" * 20, "bob": "b" * 20}
    assert values["s-hugging-face-token"] == "hf_token"


def test_the_role_reads_these_secrets_and_no_other() -> None:
    policy = secrets(hugging_face_token=pulumi.Output.secret("t")).one("RolePolicy")
    assert policy["role"] == "hosts"
    (statement,) = json.loads(policy["policy"])["Statement"]
    assert statement["Action"] == ["secretsmanager:GetSecretValue"]
    assert [arn.split("/")[-1] for arn in statement["Resource"]] == ["s-api-keys", "s-hugging-face-token"]


def test_the_role_reads_what_else_it_is_told_to() -> None:
    arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:registry-abcdef"
    (statement,) = json.loads(secrets(others=[arn]).one("RolePolicy")["policy"])["Statement"]
    assert statement["Resource"][1:] == [arn]


def test_recovery_by_setting() -> None:
    assert secrets().one("Secret")["recoveryWindowInDays"] == 30
    assert secrets(recovery_window_days=0).one("Secret")["recoveryWindowInDays"] == 0


def test_the_host_role_starts_with_session_manager_only() -> None:
    found = declared(lambda: HostRole("h", "docker.io/vllm/vllm-openai"))
    assert found.counts() == {
        "tandem:index:HostRole": 1,
        "aws:iam/role:Role": 1,
        "aws:iam/rolePolicy:RolePolicy": 1,
        "aws:iam/instanceProfile:InstanceProfile": 1,
    }
    (agent,) = json.loads(found.one("RolePolicy")["policy"])["Statement"]
    assert agent["Action"] == [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenDataChannel",
    ]
    (trust,) = json.loads(found.one("Role")["assumeRolePolicy"])["Statement"]
    assert trust["Principal"] == {"Service": "ec2.amazonaws.com"}


def test_an_image_in_ecr_may_be_pulled_and_no_other() -> None:
    registry = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
    found = declared(lambda: HostRole("h", f"{registry}/docker-hub/vllm/vllm-openai"))
    (policy,) = [json.loads(one["policy"]) for one in found.of("RolePolicy").values() if "ecr:" in one["policy"]]
    ours = f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/docker-hub/vllm/vllm-openai"

    def request(action: str, resource: str = ours, region: str = "eu-west-1") -> Request:
        context = {"aws:RequestedRegion": region}
        return Request(identity=[policy], action=action, resource=resource, context=context)

    pulled = ["BatchGetImage", "GetDownloadUrlForLayer", "BatchImportUpstreamImage", "CreateRepository"]
    own = [request("ecr:GetAuthorizationToken", "*"), *(request(f"ecr:{action}") for action in pulled)]
    foreign = [
        request("ecr:GetAuthorizationToken", "*", "us-east-1"),
        request("ecr:BatchGetImage", f"{ours}-theirs"),
        request("ecr:PutImage"),
    ]
    assert allowed([*own, *foreign]) == [True] * len(own) + [False] * len(foreign)
