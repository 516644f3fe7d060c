"""Secrets: digests of keys and the token, read by the servers' role only."""

from __future__ import annotations

import json
from typing import Any

import pulumi

from infra.components.host_role import HostRole
from infra.components.secrets import Secrets, SecretsArgs
from infra.platforms import context
from pulumi_rehearsal.policy_evaluator import ACCOUNT, Request, allowed
from tandem.settings.edge import ClientSettings
from tests.infra.declared import Declared, declared, secret


def secrets(**changes: Any) -> Declared:
    return declared(lambda: Secrets("s", SecretsArgs(reader_role_name="hosts", **changes)))


def test_issued_keys_have_a_secret_and_no_text_of_the_programs() -> None:
    assert secrets().of("SecretVersion").keys() == {"s-declared-keys"}
    assert secrets().counts() == {
        "tandem:index:Secrets": 1,
        "aws:secretsmanager/secret:Secret": 2,
        "aws:secretsmanager/secretVersion:SecretVersion": 1,
        "aws:iam/rolePolicy:RolePolicy": 1,
    }


def test_declared_clients_and_token_are_kept_as_they_are() -> None:
    client = {"keys": [{"sha256": "0" * 64}], "streams": 4}
    found = secrets(declared={"alice": client}, hugging_face_token=pulumi.Output.secret("hf_token"))
    values = {name: secret(version["secretString"]) for name, version in found.of("SecretVersion").items()}
    assert values.keys() == {"s-declared-keys", "s-hugging-face-token"}
    assert json.loads(values["s-declared-keys"]) == {"clients": {"alice": client}}
    assert values["s-hugging-face-token"] == "hf_token"


def test_a_client_of_the_settings_is_one_of_the_document() -> None:
    values = {"sha256": ["0" * 64, "1" * 64], "requestsPerSecond": 5, "streams": 4, "models": ["qwen"]}
    keys = [{"sha256": "0" * 64}, {"sha256": "1" * 64}]
    limits = {"requestsPerSecond": 5, "streams": 4, "models": ["qwen"]}
    assert context.declared(ClientSettings.model_validate(values)) == {"keys": keys, **limits}
    assert context.declared(ClientSettings.model_validate({"sha256": ["0" * 64]})) == {"keys": keys[:1]}


def test_the_role_reads_these_secrets_and_no_other() -> None:
    policy = secrets(hugging_face_token=pulumi.Output.secret("t"), declared={"a": {"keys": []}}).one("RolePolicy")
    assert policy["role"] == "hosts"
    (statement,) = json.loads(policy["policy"])["Statement"]
    assert statement["Action"] == ["secretsmanager:GetSecretValue"]
    assert [arn.split("/")[-1] for arn in statement["Resource"]] == [
        "s-issued-keys",
        "s-declared-keys",
        "s-hugging-face-token",
    ]


def test_the_role_reads_what_else_it_is_told_to() -> None:
    arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:registry-abcdef"
    (statement,) = json.loads(secrets(others=[arn]).one("RolePolicy")["policy"])["Statement"]
    assert statement["Resource"][2:] == [arn]


def test_recovery_by_setting() -> None:
    for days in (30, 0):
        found = secrets(recovery_window_days=days).of("Secret")
        assert {secret["recoveryWindowInDays"] for secret in found.values()} == {days}


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
