"""Settings at the edge of what is allowed: AWS, as far as it is played here, makes everything of their stacks."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime.rpc import _special_secret_sig, _special_sig_key

from infra import stack
from pulumi_rehearsal.aws import AwsProvider
from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.plugin import Provider, Subject
from pulumi_rehearsal.providers import tls_provider
from pulumi_rehearsal.wire import Secret
from rehearsal import placeholders
from tandem import pins
from tandem.errors import UserError
from tandem.loading import load
from tandem.settings import Settings
from tests.infra.declared import Recorder, declared

LONGEST_STACK = "s" * 24
WORDS = "Größe 1 .:/=+@-_"
LABEL = "x" * 63
ZONE = "Z0ZONE"
"""Stands for the id of the account's zone."""


class Maker(Recorder):
    """Makes what the program declares in a simulated account, by way of the rehearsal's providers."""

    def __init__(self, account: SimulatedAccount) -> None:
        super().__init__()
        self.providers: dict[str, Provider] = {"aws": AwsProvider(account), "tls": tls_provider()}
        self.config: dict[str, Any] = {}
        self.refused: list[str] = []

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.typ == "pulumi:providers:aws":
            self.config = dict(args.inputs)
        id, state = super().new_resource(args)
        provider = self.providers.get(args.typ.partition(":")[0])
        if not provider or self.refused:
            return id, state
        subject = Subject(args.typ, args.name, f"urn:pulumi:edge::tandem::{args.typ}::{args.name}", self.config)
        checked = provider.check(subject, plain(dict(args.inputs)), {}, args.name.encode())
        try:
            assert checked.failures == []
            id, made = provider.create(subject, checked.inputs)
        except Exception as refusal:
            self.refused.append(f"{args.typ} {args.name}: {refusal}")
            return id, state
        return id, {key: value.value if isinstance(value, Secret) else value for key, value in made.items()}


def plain(value: Any) -> Any:
    """Without the marks of secrets; whole numbers are whole, as the engine sends them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        if value.get(_special_sig_key) == _special_secret_sig:
            return plain(value["value"])
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def tags(count: int) -> dict[str, str]:
    """Keys and values as long as may be, of all characters that may be."""
    keys = [f"{number:02}{WORDS}".ljust(128, "k") for number in range(count)]
    return dict.fromkeys(keys, (WORDS * 16)[:256])


MOST_OF_HOSTS = {
    "tags": tags(5),
    "network": {
        "cidrBlock": "10.255.252.0/22",
        "zones": ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d"],
        "interfaceEndpoints": ["ec2", "ssm", "ssmmessages", "ec2messages", "secretsmanager", "logs", "sts"],
        "flowLogRetentionDays": 1827,
    },
    "loadBalancer": {
        "domainName": f"{'x' * 52}.example.com",
        "hostedZoneId": ZONE,
        "clientCidrs": ["0.0.0.0/0", *(f"203.0.113.{number}/32" for number in range(19))],
        "paths": ["/v1/chat/completions", *(f"/v1/{number:02}".ljust(128, "p") for number in range(49))],
        "accessLogRetentionDays": 3650,
        "requestsPerMinutePerIp": 1_000_000,
    },
    "globalName": {"domainName": f"{LABEL}.{LABEL}.example.com", "hostedZoneId": ZONE},
    "costGuard": {
        "monthlyBudgetUsd": 10_000_000,
        "alertEmails": [f"{'a' * 63}{number}@{LABEL}.example.com" for number in range(10)],
        "businessHours": {},
        "expiresAfter": "90d",
    },
    "fleet": {"hosts": 1, "maxHosts": 120, "logRetentionDays": 1827, "rootVolumeGib": 16384},
    "modelCache": {"provisionedMibps": 3414},
    "timeouts": {"loadBalancerIdleSeconds": 4000, "edgeKeepaliveSeconds": 4100, "serverKeepaliveSeconds": 4200},
}


LEAST_OF_HOSTS = {
    "tags": tags(40),
    "ephemeral": True,
    "network": {"cidrBlock": "172.16.0.0/16", "egress": "publicHosts"},
    "loadBalancer": {"requestsPerMinutePerIp": 10, "accessLogRetentionDays": 1},
    "costGuard": {"monthlyBudgetUsd": 0.01, "alertEmails": ["a@b.cd"], "expiresAfter": "10m", "idleAfter": "10m"},
    "fleet": {"hosts": 0, "logRetentionDays": 1},
    "modelCache": {"provisionedMibps": 1},
}


SCALING = {"minReplicas": 1, "maxReplicas": 2}
MODELS = {
    f"m{number:02}".ljust(20, "m"): {
        "hostName": f"{f'm{number:02}'.ljust(52, 'x')}.{LABEL}.example.com",
        "inference": {"model": "Qwen/Qwen3-8B", "servedModelName": f"m{number:02}"},
        "scaling": SCALING,
    }
    for number in range(9)  # more are warned of: a certificate has ten names, unless the quota was raised
}
MOST_OF_A_CLUSTER = {
    "platform": "eks",
    "tags": tags(40),
    "network": {"cidrBlock": "192.168.0.0/22", "egress": "publicHosts"},
    "loadBalancer": {"domainName": "llm.example.com", "hostedZoneId": ZONE},
    "models": MODELS,
    "scaling": SCALING,
    "cluster": {"endpointCidrs": [f"198.51.100.{number}/32" for number in range(40)], "systemNodes": 10},
    "nodePool": {"provisioner": "managed"},
    "fleet": {"hosts": 100, "onDemandPercentage": 0},
}


@pytest.mark.parametrize(
    "edge",
    [MOST_OF_HOSTS, LEAST_OF_HOSTS, MOST_OF_A_CLUSTER],
    ids=["most of hosts", "least of hosts", "most of a cluster"],
)
def test_what_is_allowed_is_made(edge: dict[str, Any], account: SimulatedAccount, tmp_path: Path) -> None:
    assert made(edge, account, tmp_path, check=allowed) == []


def made(
    given: dict[str, Any], account: SimulatedAccount, tmp_path: Path, check: Callable[[Any], Settings]
) -> list[str]:
    """What is refused of a stack of these settings, in an account that has their zone and nothing else."""
    account.reset()
    zone = account.client("route53", "us-east-1").create_hosted_zone(Name="example.com", CallerReference="edge")
    text = json.dumps({"region": "us-east-1"} | given).replace(ZONE, zone["HostedZone"]["Id"].rpartition("/")[2])
    settings = check(json.loads(text))
    file = tmp_path / "pins.toml"
    file.write_text((Path(pins.__file__).parents[1] / "images/pins.toml").read_text())
    placeholders.fill(file)
    played = Maker(account)

    def build() -> None:
        stack.build(settings, pins.load(file), LONGEST_STACK, datetime.now(UTC))

    declared(build, name=LONGEST_STACK, recorder=played)
    return played.refused


OWN = {"domainName": "us.llm.example.com", "hostedZoneId": ZONE}
BEYOND = {
    "tags": (
        {"tags": tags(6), "loadBalancer": OWN, "globalName": {"domainName": "llm.example.com", "hostedZoneId": ZONE}},
        "HealthCheck",
        "at 'addTags' failed to satisfy constraint: Member must have length less than or equal to 10",
    ),
    "tags.Team": ({"tags": {"team": "a", "Team": "b"}}, "iam/role:Role", "Tag keys are case insensitive"),
    "loadBalancer.domainName": (
        {"loadBalancer": OWN | {"domainName": f"{'x' * 53}.example.com"}},
        "acm/certificate:Certificate",
        "cannot exceed 64 octets",
    ),
    "cluster.endpointCidrs": (
        {"platform": "eks", "cluster": {"endpointCidrs": ["10.0.0.0/8"]}, "fleet": {"maxHosts": 4}},
        "eks/cluster:Cluster",
        "The following CIDRs are invalid in publicAccessCidrs: [10.0.0.0/8]",
    ),
    "models.small.hostName": (
        {
            "platform": "eks",
            "fleet": {"maxHosts": 4},
            "loadBalancer": OWN,
            "models": {
                "small": {
                    "hostName": f"{'x' * 54}.{LABEL}.example.com",
                    "inference": {"model": "Qwen/Qwen3-8B", "servedModelName": "small"},
                    "scaling": {"maxReplicas": 2},
                }
            },
        },
        "lb/listenerRule:ListenerRule",
        "Member must have length less than or equal to 128",
    ),
}


@pytest.mark.parametrize("key", BEYOND)
def test_one_beyond_is_refused_by_a_rule_and_would_be_by_aws(
    key: str, account: SimulatedAccount, tmp_path: Path
) -> None:
    given, type, words = BEYOND[key]
    with pytest.raises(UserError) as refused:
        allowed(given)
    assert [problem.key for problem in refused.value.problems] == [key]
    refusals = made(given, account, tmp_path, check=Settings.model_validate)
    assert any(type in one and words in one for one in refusals)


def allowed(settings: dict[str, Any]) -> Settings:
    config = {"region": "us-east-1"} | settings
    return load(
        {f"tandem:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    )
