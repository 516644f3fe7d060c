"""Each wrong setting is refused with its key, its value, what is allowed and what to do."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NamedTuple

import pytest

from tandem import rules
from tandem.errors import UserError
from tandem.loading import load
from tandem.settings import Settings
from tandem.settings.inference import OTHER_METHODS

TOKEN = "hf_" + "x" * 30
KEY = "cr-" + "0" * 17


JUDGES_KEY = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:judge-AbCdEf"
OPENAIS_KEY = JUDGES_KEY.replace("eu-west-1", "us-east-1")
ELSEWHERE = "arn:aws:firehose:eu-west-1:123456789012:deliverystream/lines"


class Wrong(NamedTuple):
    """A mistake, and what must be said about it."""

    settings: dict[str, Any]
    key: str
    value: Any
    allowed: str
    fix: str


def block(**changes: Any) -> dict[str, Any]:
    return {"reservationId": KEY, "zone": "us-east-1a", "endsAt": "2026-12-24T18:00:00Z"} | changes


def reserved(**changes: Any) -> dict[str, Any]:
    return {"capacityReservations": {"byZone": {"us-east-1a": KEY}} | changes}


SMALL: dict[str, Any] = {
    "hostName": "small.example.com",
    "inference": {"model": "Qwen/Qwen3-8B", "servedModelName": "small"},
}


def with_fleet(**fleet: Any) -> dict[str, Any]:
    """A further model on hosts of its own."""
    return SMALL | {"fleet": fleet}


def other(name: str = "other") -> dict[str, Any]:
    """One more model, under this name."""
    return served(servedModelName=name) | {"hostName": f"{name}.example.com"}


def served(**inference: Any) -> dict[str, Any]:
    """A further model that is served so."""
    return SMALL | {"inference": SMALL["inference"] | inference}


def existing(**changes: Any) -> dict[str, Any]:
    """A network that is there, right but for the changes; None leaves a part out."""
    private = {"us-east-1a": SUBNET + "0", "us-east-1b": SUBNET + "1"}
    public = {"us-east-1a": SUBNET + "2", "us-east-1b": SUBNET + "3"}
    values = {"vpcId": "vpc-" + "0" * 17, "privateSubnetIds": private, "publicSubnetIds": public} | changes
    return {"existing": {key: value for key, value in values.items() if value is not None}}


SUBNET = "subnet-" + "0" * 16
EXISTING = "network.existing."
TAGS = {f"k{number}": "v" for number in range(6)}
OWN_NAME = {"domainName": "us.llm.example.com", "hostedZoneId": "Z0123456789"}
GLOBAL_NAME = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789"}
FOLLOWS: dict[str, Any] = {"fleet": {"followLoad": True, "maxHosts": 2}}
DECLARED = {"sha256": ["0" * 64]}
SQL = {"model": "acme/sql", "rank": 16}
MANY_CLIENTS = {
    f"c{number}": {"sha256": [f"{number}{key}".zfill(64) for key in range(1, 9)], "models": ["Qwen/Qwen3-8B"] * 6}
    for number in range(100)
}
LONG_PATH = "/v1/" + "x" * 125
LONG_NAME = "x" * 53 + ".example.com"
IN_CHINA = "arn:aws-cn:acm:us-east-1:123456789012:certificate/0a"
AWS_POLICY = "arn:aws:iam::aws:policy/PowerUserAccess"
GATEWAY: dict[str, Any] = {"hostName": "teams.example.com"}
CLOUD = {"model": "openai/gpt", "maxUsdPerDay": 5, "promptUsdPerMillion": 1, "answerUsdPerMillion": 4}
NOVA = CLOUD | {"model": "bedrock/eu.amazon.nova-lite-v1:0"}
AWAY = {"url": "https://other.example.com", "promptUsdPerMillion": 1, "answerUsdPerMillion": 4}


def gateway(**changes: Any) -> dict[str, Any]:
    return {"loadBalancer": OWN_NAME, "gateway": GATEWAY | changes}


SET = "pulumi config set --path 'tandem:"
RM = "pulumi config rm --path 'tandem:"
WRONG = [
    # The gateway for teams
    Wrong(
        {"gateway": GATEWAY},
        "gateway.hostName",
        "teams.example.com",
        "with loadBalancer.domainName",
        SET + "loadBalancer.hostedZoneId' ID",
    ),
    Wrong(
        gateway(hostName=OWN_NAME["domainName"]),
        "gateway.hostName",
        OWN_NAME["domainName"],
        "a host name of its own",
        SET + "gateway.hostName' NAME",
    ),
    Wrong(
        {
            "loadBalancer": OWN_NAME | {"clientCidrs": ["203.0.113.0/24"]},
            "network": {"egress": "publicHosts"},
            "gateway": GATEWAY,
        },
        "network.egress",
        "publicHosts",
        "natPerZone or singleNat",
        SET + "network.egress' singleNat",
    ),
    Wrong(
        gateway() | {"inference": {"model": "acme/unknown"}},
        "gateway.prices.acme/unknown",
        None,
        "promptUsdPerMillion and answerUsdPerMillion",
        "promptUsdPerMillion' USD",
    ),
    Wrong(
        gateway(prices={"qwen": {"promptUsdPerMillion": 1, "answerUsdPerMillion": 4}}),
        "gateway.prices.qwen",
        "qwen",
        "Qwen/Qwen3-8B",
        RM + "gateway.prices.qwen'",
    ),
    Wrong(
        gateway(fallback=CLOUD),
        "gateway.fallback.keySecretArn",
        None,
        "a model of bedrock/",
        SET + "gateway.fallback.keySecretArn' ARN",
    ),
    Wrong(
        gateway(restore={"snapshot": "tandem-dev-gateway-1"}),
        "gateway.restore.secretArn",
        None,
        "the whole ARN of a secret",
        SET + "gateway.restore.secretArn' VALUE",
    ),
    Wrong(
        gateway(fallback=NOVA | {"url": "https://cloud.example.com"}),
        "gateway.fallback.url",
        "https://cloud.example.com",
        "unset with a model of bedrock/",
        RM + "gateway.fallback.url'",
    ),
    Wrong(
        gateway(fallback=NOVA | {"model": "bedrock/nova"}) | {"inference": {"servedModelName": "bedrock/nova"}},
        "gateway.fallback.model",
        "bedrock/nova",
        "a model of a cloud provider",
        SET + "gateway.fallback.model' PROVIDER/MODEL",
    ),
    Wrong(
        gateway(models={"other": AWAY | {"keySecretArn": JUDGES_KEY}}),
        "gateway.models.other.keySecretArn",
        JUDGES_KEY,
        "a secret in us-east-1",
        SET + "gateway.models.other.keySecretArn' ARN",
    ),
    Wrong(
        gateway(fallback=NOVA | {"promptUsdPerMillion": 0, "answerUsdPerMillion": 0}),
        "gateway.fallback.answerUsdPerMillion",
        0,
        "above 0",
        SET + "gateway.fallback.answerUsdPerMillion' USD",
    ),
    Wrong(
        gateway(fallback=CLOUD | {"model": "hosted_vllm/large", "keySecretArn": OPENAIS_KEY}),
        "gateway.fallback.model",
        "hosted_vllm/large",
        "openai/NAME with gateway.fallback.url",
        SET + "gateway.fallback.model' PROVIDER/MODEL",
    ),
    Wrong(
        gateway(models={"other": AWAY | {"url": "https://teams.example.com", "keySecretArn": OPENAIS_KEY}}),
        "gateway.models.other.url",
        "https://teams.example.com",
        "of another stack",
        SET + "gateway.models.other.url' URL",
    ),
    Wrong(
        gateway(fallback=CLOUD | {"url": "https://us.llm.example.com:443/v1", "keySecretArn": OPENAIS_KEY}),
        "gateway.fallback.url",
        "https://us.llm.example.com:443/v1",
        "of another stack",
        SET + "gateway.fallback.url' URL",
    ),
    Wrong(
        gateway(models={"other": AWAY | {"url": "http://other.example.com", "keySecretArn": OPENAIS_KEY}}),
        "gateway.models.other.url",
        "http://other.example.com",
        "https://host",
        SET + "gateway.models.other.url' VALUE",
    ),
    Wrong(
        gateway(models={"other": AWAY | {"url": "https://other.example.com/v1", "keySecretArn": OPENAIS_KEY}}),
        "gateway.models.other.url",
        "https://other.example.com/v1",
        "https://host",
        SET + "gateway.models.other.url' VALUE",
    ),
    Wrong(
        gateway(fallback=CLOUD | {"url": "http://cloud.example.com/v1", "keySecretArn": OPENAIS_KEY}),
        "gateway.fallback.url",
        "http://cloud.example.com/v1",
        "https://host with what stands before /chat/completions",
        SET + "gateway.fallback.url' VALUE",
    ),
    # Several models on hosts
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": served(servedModelName=None)}},
        "models.small.inference.servedModelName",
        "Qwen/Qwen3-8B",
        "a name that nothing else of the stack has",
        SET + "models.small.inference.servedModelName' NAME",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": SMALL, "b": other("small") | {"hostName": "b.example.com"}}},
        "models.b.inference.servedModelName",
        "small",
        "a name that nothing else of the stack has",
        SET + "models.b.inference.servedModelName' NAME",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "globalName": GLOBAL_NAME, "models": {"small": other("llm")}},
        "models.small.hostName",
        "llm.example.com",
        "a host name of its own",
        SET + "models.small.hostName' NAME",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {f"m{number}": other(f"m{number}") for number in range(21)}},
        "models",
        "21 of them",
        "a mapping of up to 20; names",
        SET + "models' VALUE",
    ),
    Wrong(
        {"inference": {"routing": {"by": "session", "header": "Host"}}},
        "inference.routing.header",
        "Host",
        "a header that clients write for this, such as X-Session-Id",
        RM + "inference.routing.header'",
    ),
    Wrong(
        {"inference": {"maxNumSeqs": 16, "speculation": {"upToRequests": 64}}},
        "inference.speculation.upToRequests",
        64,
        "1 to 16, which is inference.maxNumSeqs",
        SET + "inference.speculation.upToRequests' 16",
    ),
    Wrong(
        {"fleet": {"capacityReservations": {"byZone": {"eu-west-1a": KEY}}}},
        "fleet.capacityReservations.byZone.eu-west-1a",
        "eu-west-1a",
        "us-east-1a, us-east-1b",
        SET + "fleet.capacityReservations.byZone.us-east-1a' ID",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"m12": SMALL, "m286": other()}},
        "models.m286",
        "m286",
        "another name",
        RM + "models.m286'`, and another name",
    ),
    Wrong(
        {"models": {"small": SMALL}},
        "models.small.hostName",
        "small.example.com",
        "with loadBalancer.domainName",
        SET + "loadBalancer.hostedZoneId' ID",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": SMALL | {"hostName": OWN_NAME["domainName"]}}},
        "models.small.hostName",
        OWN_NAME["domainName"],
        "a host name of its own",
        SET + "models.small.hostName' NAME",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": with_fleet(instanceTypes=["g6.13xlarge"])}},
        "models.small.fleet.instanceTypes",
        "g6.13xlarge",
        "g6.12xlarge",
        "use g6.16xlarge",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": with_fleet(hosts=3, maxHosts=2)}},
        "models.small.fleet.maxHosts",
        2,
        "3 to 120",
        RM + "models.small.fleet.maxHosts'",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": with_fleet(hosts=0, spareHosts=1)}},
        "models.small.fleet.spareHosts",
        1,
        "0 while models.small.fleet.hosts is 0",
        SET + "models.small.fleet.hosts' 1",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": with_fleet(onDemandBase=2)}},
        "models.small.fleet.onDemandBase",
        2,
        "0 to 1",
        "or raise models.small.fleet.maxHosts",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": with_fleet(instanceTypes=["p5e.48xlarge"])}},
        "models.small.fleet.instanceTypes",
        "p5e.48xlarge",
        "together with models.small.fleet.capacityBlock",
        SET + "models.small.fleet.capacityBlock.reservationId' ID",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": with_fleet(holdAfterFirstHost="1h")}},
        "models.small.fleet.holdAfterFirstHost",
        "60m",
        "two hosts or more",
        RM + "models.small.fleet.holdAfterFirstHost'",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": with_fleet(registryLoginSecretArn=JUDGES_KEY)}},
        "models.small.fleet.registryLoginSecretArn",
        JUDGES_KEY,
        "a secret in us-east-1",
        SET + "models.small.fleet.registryLoginSecretArn' ARN",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": with_fleet(logRetentionDays=7)}},
        "models.small.fleet.logRetentionDays",
        7,
        "fleet.logRetentionDays says it for all",
        RM + "models.small.fleet.logRetentionDays'",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": with_fleet(followLoad=True)}},
        "models.small.fleet.maxHosts",
        None,
        "2 or more with models.small.fleet.followLoad",
        SET + "models.small.fleet.maxHosts' 2",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": with_fleet(followLoad=True, hosts=0, maxHosts=2)}},
        "models.small.fleet.followLoad",
        True,
        "fleet.hosts from 1",
        SET + "models.small.fleet.hosts' 1",
    ),
    Wrong(
        {
            "loadBalancer": OWN_NAME,
            "fleet": {"followLoad": True, "maxHosts": 2},
            "costGuard": {"idleAfter": "1h", "expiresAfter": "8h"},
            "models": {"small": with_fleet()},
        },
        "fleet.followLoad",
        True,
        "without costGuard.idleAfter",
        RM + "costGuard.idleAfter'",
    ),
    Wrong(
        {
            "loadBalancer": OWN_NAME,
            "fleet": {"instanceTypes": ["p5.48xlarge"], "capacityBlock": block()},
            "models": {"small": with_fleet(instanceTypes=["p5.48xlarge"], capacityBlock=block())},
        },
        "models.small.fleet.capacityBlock.reservationId",
        KEY,
        "reservations of each model's own",
        SET + "models.small.fleet.capacityBlock.reservationId' ID",
    ),
    Wrong(
        {
            "loadBalancer": OWN_NAME,
            "fleet": {"instanceTypes": ["p5.48xlarge"], "capacityBlock": block()},
            "models": {"small": SMALL},
        },
        "fleet.capacityBlock.reservationId",
        KEY,
        "reservations of each model's own",
        SET + "models.small.fleet.capacityBlock.reservationId' ID",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": SMALL | {"scaling": {"maxReplicas": 3}}}},
        "models.small.scaling.maxReplicas",
        3,
        "with platform: eks",
        RM + "models.small.scaling.maxReplicas'",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": served(tensorParallelSize=8)}},
        "fleet.instanceTypes",
        "g6.12xlarge",
        "a multiple of 8",
        SET + "models.small.inference.tensorParallelSize' 4",
    ),
    Wrong(
        {
            "loadBalancer": OWN_NAME,
            "models": {"small": served(tensorParallelSize=4) | {"fleet": {"instanceTypes": ["g6.xlarge"]}}},
        },
        "models.small.fleet.instanceTypes",
        "g6.xlarge",
        "a multiple of 4",
        SET + "models.small.inference.tensorParallelSize' 1",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": served(pipelineParallelSize=2)}},
        "models.small.inference.pipelineParallelSize",
        2,
        "1 on platform ec2",
        RM + "models.small.inference.pipelineParallelSize'",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME, "models": {"small": served(extraArguments=["--seed=one"])}},
        "models.small.inference.extraArguments[0]",
        "one",
        "--seed=VALUE",
        SET + "models.small.inference.extraArguments[0]'",
    ),
    # Clients
    Wrong({"clients": {"A": DECLARED}}, "clients.A", "A", "the name of a client", RM + "clients.A'"),
    Wrong(
        {"clients": {"tandem-a": DECLARED}}, "clients.tandem-a", "tandem-a", "tandem's own", RM + "clients.tandem-a'"
    ),
    Wrong({"clients": {"a": DECLARED | {"key": "tdm_x"}}}, "clients.a.key", "[secret]", "sha256", "end it where"),
    Wrong({"clients": {"a": "hf_x"}}, "clients.a", "[secret]", "", SET + "clients.a'"),
    Wrong(
        {"loadBalancer": {"clientCidrs": ["10.0.0.0/8", "127.0.0.0/8"]}},
        "loadBalancer.clientCidrs",
        ["10.0.0.0/8", "127.0.0.0/8"],
        "203.0.113.0/24",
        SET + "loadBalancer.scheme' internal",
    ),
    Wrong(
        {"modelCache": {"fileSystemId": "fs-0123456789abcdef0", "provisionedMibps": 100}},
        "modelCache.provisionedMibps",
        100,
        "unset with modelCache.fileSystemId",
        RM + "modelCache.provisionedMibps'",
    ),
    Wrong(
        {"modelCache": {"fileSystemId": "fs-0123456789abcdef0", "infrequentAccessAfterDays": 7}},
        "modelCache.infrequentAccessAfterDays",
        7,
        "own throughput and classes stay",
        RM + "modelCache.infrequentAccessAfterDays'",
    ),
    Wrong({"clients": {"a": {"sha256": []}}}, "clients.a.sha256", "[secret]", "1 to 8", SET + "clients.a.sha256'"),
    Wrong({"clients": {"a": {}}}, "clients.a.sha256", None, "64 lower-case hex digits", SET + "clients.a.sha256'"),
    Wrong(
        {"clients": {"a": DECLARED | {"streams": 0}}},
        "clients.a.streams",
        0,
        "1, 2, 4, 8, 16, 32, 64",
        SET + "clients.a.streams'",
    ),
    Wrong(
        {"clients": {"a": DECLARED, "b": DECLARED}},
        "clients.b.sha256[0]",
        "00000000...",
        "each key once",
        RM + "clients.b.sha256[0]'",
    ),
    Wrong(
        {"clients": {"a": DECLARED | {"models": ["Qwen/Qwen3-8B", "gpt"]}}},
        "clients.a.models[1]",
        "gpt",
        "Qwen/Qwen3-8B",
        RM + "clients.a.models[1]'",
    ),
    Wrong({"clients": {"a": DECLARED | {"models": []}}}, "clients.a.models", [], "1 to 20", "clients.a.models'"),
    Wrong({"clients": MANY_CLIENTS}, "clients", "100 clients", "65536 bytes", "`tandem keys add`"),
    # One value that is not what it should be
    Wrong({"region": "Frankfurt"}, "region", "Frankfurt", "us-east-1", SET + "region'"),
    Wrong({"region": "us-east-1a"}, "region", "us-east-1a", "name of an AWS region", SET + "region'"),
    Wrong({"platform": "ecs"}, "platform", "ecs", "ec2", SET + "platform'"),
    Wrong({"ephemeral": "perhaps"}, "ephemeral", "perhaps", "true or false", SET + "ephemeral'"),
    Wrong({"requirePins": 3}, "requirePins", 3, "true or false", SET + "requirePins'"),
    Wrong({"tags": {"aws:team": "a"}}, "tags.aws:team", "aws:team", "do not begin with aws:", RM + "tags.aws:team'"),
    Wrong(
        {"tags": {"tandem:stack": "a"}}, "tags.tandem:stack", "tandem:stack", "or tandem:", RM + "tags.tandem:stack'"
    ),
    Wrong({"tags": {"cost-centre": 7}}, "tags.cost-centre", 7, "letters", "set --type string --path 'tandem:tags."),
    Wrong({"tags": {"a.b": "\n"}}, "tags.a.b", "\n", "letters", SET + 'tags["a.b"]\''),
    Wrong({"tags": {"team": "a\nb"}}, "tags.team", "a\nb", "1 to 256 letters", SET + "tags.team'"),
    Wrong({"tags": {"team": ""}}, "tags.team", "", "Scheduler takes no empty one", SET + "tags.team'"),
    Wrong({"tags": {"AWS:team": "a"}}, "tags.AWS:team", "AWS:team", "begin with aws:", RM + "tags.AWS:team'"),
    Wrong({"tags": {"k" * 129: "a"}}, f"tags.{'k' * 129}", "k" * 129, "1 to 128", RM),
    Wrong({"tags": {"team": "v" * 257}}, "tags.team", "v" * 257, "1 to 256", SET + "tags.team'"),
    Wrong({"tags": {"team": "a;b"}}, "tags.team", "a;b", "letters, digits", SET + "tags.team'"),
    Wrong({"tags": {"team": "a", "Team": "b"}}, "tags.Team", "Team", "more than capitals", RM + "tags.Team'"),
    Wrong(
        {"tags": TAGS, "loadBalancer": OWN_NAME, "globalName": GLOBAL_NAME},
        "tags",
        6,
        "up to 5 tags with globalName.outsideCheck",
        SET + "globalName.outsideCheck' false",
    ),
    Wrong({"network": {"cidrBlock": "127.0.0.0/16"}}, "network.cidrBlock", "127.0.0.0/16", "192.168.0.0/16", SET),
    Wrong({"network": {"cidrBlock": "169.254.0.0/16"}}, "network.cidrBlock", "169.254.0.0/16", "10.0.0.0/8", SET),
    Wrong({"network": {"cidrBlock": "8.8.0.0/16"}}, "network.cidrBlock", "8.8.0.0/16", "private IPv4", SET + "network"),
    Wrong({"network": {"cidrBlock": "10.0.0.0/28"}}, "network.cidrBlock", "10.0.0.0/28", "/16 to /22", SET + "network"),
    Wrong({"network": {"cidrBlock": "172.17.0.0/16"}}, "network.cidrBlock", "172.17.0.0/16", "outside", SET),
    Wrong({"network": {"cidrBlock": "10.0.0.1/16"}}, "network.cidrBlock", "10.0.0.1/16", "no host bits", SET),
    Wrong({"network": existing(vpcId="main")}, EXISTING + "vpcId", "main", "17 hex digits", SET + EXISTING + "vpcId'"),
    Wrong({"network": existing(vpcId=None)}, EXISTING + "vpcId", None, "the id of a VPC", SET + EXISTING + "vpcId'"),
    Wrong(
        {"network": existing(privateSubnetIds={"us-east-1a": "private-a", "us-east-1b": SUBNET + "1"})},
        EXISTING + "privateSubnetIds.us-east-1a",
        "private-a",
        "17 hex digits",
        SET + EXISTING + "privateSubnetIds.us-east-1a'",
    ),
    Wrong(
        {"network": existing(privateSubnetIds={"a": SUBNET + "0", "us-east-1b": SUBNET + "1"})},
        EXISTING + "privateSubnetIds.a",
        "a",
        "us-east-1a",
        RM + EXISTING + "privateSubnetIds.a'",
    ),
    Wrong(
        {
            "network": existing(privateSubnetIds={"us-east-1a": SUBNET + "0"}, publicSubnetIds=None),
            "loadBalancer": {"scheme": "internal"},
        },
        EXISTING + "privateSubnetIds",
        {"us-east-1a": SUBNET + "0"},
        "two to four zones",
        SET + EXISTING + "privateSubnetIds.us-east-1b' SUBNET",
    ),
    Wrong(
        {"network": existing(privateSubnetIds={"us-east-1a": SUBNET + "0", "us-east-1b": SUBNET + "0"})},
        EXISTING + "privateSubnetIds",
        SUBNET + "0",
        "each subnet once",
        SET + EXISTING + "privateSubnetIds.us-east-1b' SUBNET",
    ),
    Wrong(
        {"network": existing(publicSubnetIds={"us-east-1a": SUBNET + "0", "us-east-1b": SUBNET + "3"})},
        EXISTING + "publicSubnetIds",
        SUBNET + "0",
        "each subnet once",
        SET + EXISTING + "publicSubnetIds.us-east-1a' SUBNET",
    ),
    Wrong(
        {
            "network": existing(
                privateSubnetIds={"us-east-1a": SUBNET + "0", "eu-west-1b": SUBNET + "1"}, publicSubnetIds=None
            ),
            "loadBalancer": {"scheme": "internal"},
        },
        EXISTING + "privateSubnetIds",
        "eu-west-1b",
        "zones such as us-east-1a",
        "change tandem:region",
    ),
    Wrong(
        {"network": existing(publicSubnetIds=None)},
        EXISTING + "publicSubnetIds",
        None,
        "one in each of us-east-1a, us-east-1b",
        SET + "loadBalancer.scheme' internal",
    ),
    Wrong(
        {"network": existing(publicSubnetIds={"us-east-1a": SUBNET + "2", "us-east-1c": SUBNET + "3"})},
        EXISTING + "publicSubnetIds",
        {"us-east-1a": SUBNET + "2", "us-east-1c": SUBNET + "3"},
        "one in each of us-east-1a, us-east-1b",
        SET + EXISTING + "publicSubnetIds.us-east-1b' SUBNET",
    ),
    Wrong(
        {"network": existing(), "loadBalancer": {"scheme": "internal"}},
        EXISTING + "publicSubnetIds",
        {"us-east-1a": SUBNET + "2", "us-east-1b": SUBNET + "3"},
        "unset with loadBalancer.scheme: internal",
        RM + EXISTING + "publicSubnetIds'",
    ),
    Wrong(
        {"network": existing() | {"cidrBlock": "10.30.0.0/16"}},
        "network.cidrBlock",
        "10.30.0.0/16",
        "unset with network.existing",
        RM + "network.cidrBlock'",
    ),
    Wrong(
        {"network": existing() | {"egress": "natPerZone"}},
        "network.egress",
        "natPerZone",
        "unset with network.existing",
        RM + "network.egress'",
    ),
    Wrong(
        {"network": existing() | {"zones": ["us-east-1a", "us-east-1b"]}},
        "network.zones",
        ["us-east-1a", "us-east-1b"],
        "unset with network.existing",
        RM + "network.zones'",
    ),
    Wrong(
        {"network": existing() | {"interfaceEndpoints": ["ssm"]}},
        "network.interfaceEndpoints",
        ["ssm"],
        "for who owns the VPC to make",
        RM + "network.interfaceEndpoints'",
    ),
    Wrong(
        {"network": existing() | {"flowLogRetentionDays": 30}},
        "network.flowLogRetentionDays",
        30,
        "for who owns the VPC to make",
        RM + "network.flowLogRetentionDays'",
    ),
    Wrong(
        {
            "network": existing(),
            "fleet": {"instanceTypes": ["p5.48xlarge"], "capacityBlock": block(zone="us-east-1c")},
        },
        "fleet.capacityBlock.zone",
        "us-east-1c",
        "us-east-1a, us-east-1b",
        SET + EXISTING + "privateSubnetIds.us-east-1c' SUBNET",
    ),
    Wrong({"network": {"egress": "nat"}}, "network.egress", "nat", "natPerZone, singleNat, publicHosts", SET),
    Wrong({"network": {"zones": ["a", "us-east-1b"]}}, "network.zones.0", "a", "us-east-1a", SET + "network.zones[0]'"),
    Wrong({"network": {"interfaceEndpoints": ["s3"]}}, "network.interfaceEndpoints.0", "s3", "secretsmanager", SET),
    Wrong({"network": {"flowLogRetentionDays": 91}}, "network.flowLogRetentionDays", 91, "60, 90, 120", SET),
    Wrong({"modelCache": {"provisionedMibps": 0}}, "modelCache.provisionedMibps", 0, "1 to 3414", SET),
    Wrong({"modelCache": {"infrequentAccessAfterDays": 2}}, "modelCache.infrequentAccessAfterDays", 2, "1, 7, 14", SET),
    Wrong(
        {"loadBalancer": {"domainName": "LLM.example.com"}}, "loadBalancer.domainName", "LLM.example.com", "lower", SET
    ),
    Wrong(
        {"loadBalancer": {"domainName": "localhost"}}, "loadBalancer.domainName", "localhost", "llm.example.com", SET
    ),
    Wrong({"loadBalancer": {"hostedZoneId": "example.com"}}, "loadBalancer.hostedZoneId", "example.com", "Z012", SET),
    Wrong({"loadBalancer": {"certificateArn": "mine"}}, "loadBalancer.certificateArn", "mine", "ARN of an ACM", SET),
    Wrong({"loadBalancer": {"clientCidrs": ["everyone"]}}, "loadBalancer.clientCidrs.0", "everyone", "0.0.0.0/0", SET),
    Wrong({"loadBalancer": {"scheme": "private"}}, "loadBalancer.scheme", "private", "internetFacing, internal", SET),
    Wrong({"loadBalancer": {"clientCidrs": []}}, "loadBalancer.clientCidrs", [], "1 to 20", SET),
    Wrong({"inference": {"mediaDomains": ["*.a.com"]}}, "inference.mediaDomains.0", "*.a.com", "lower", SET),
    Wrong({"tracing": {"endpoint": "otel:4317"}}, "tracing.endpoint", "otel:4317", "OTLP over HTTP", SET),
    Wrong(
        {"tracing": {"sampleRatio": 0.01}},
        "tracing.sampleRatio",
        0.01,
        "no endpoint",
        SET + "tracing.endpoint' https://COLLECTOR:4318/v1/traces`, or `" + RM + "tracing.sampleRatio'",
    ),
    Wrong({"tracing": {"sampleRatio": 0}}, "tracing.sampleRatio", 0, "0.0001 to 1", SET),
    Wrong({"loadBalancer": {"paths": ["/invocations"]}}, "loadBalancer.paths.0", "/invocations", "under /v1/", SET),
    Wrong({"loadBalancer": {"paths": ["/v1/../metrics"]}}, "loadBalancer.paths.0", "/v1/../metrics", "/v1", SET),
    Wrong({"loadBalancer": {"paths": [LONG_PATH]}}, "loadBalancer.paths.0", LONG_PATH, "up to 128 characters", SET),
    Wrong(
        {"loadBalancer": OWN_NAME | {"domainName": LONG_NAME}},
        "loadBalancer.domainName",
        LONG_NAME,
        "up to 64 characters",
        "choose a shorter name",
    ),
    Wrong({"loadBalancer": {"requestsPerMinutePerIp": 5}}, "loadBalancer.requestsPerMinutePerIp", 5, "10 to", SET),
    Wrong({"loadBalancer": {"accessLogRetentionDays": 0}}, "loadBalancer.accessLogRetentionDays", 0, "1 to 3650", SET),
    Wrong({"fleet": {"instanceTypes": []}}, "fleet.instanceTypes", [], "1 to 10", SET),
    Wrong({"fleet": {"hosts": -1}}, "fleet.hosts", -1, "0 to 100", SET + "fleet.hosts'"),
    Wrong({"fleet": {"hosts": "two"}}, "fleet.hosts", "two", "a whole number 0 to 100", SET),
    Wrong({"fleet": {"onDemandPercentage": 101}}, "fleet.onDemandPercentage", 101, "0 to 100", SET),
    Wrong(
        {"fleet": {"followLoad": True, "hosts": 1, "maxHosts": 6, "rollout": "terminateFirst"}},
        "fleet.rollout",
        "terminateFirst",
        "launchFirst",
        SET,
    ),
    Wrong(
        {"fleet": {"followLoad": True, "hosts": 2, "maxHosts": 6, "rollout": "terminateFirst"}},
        "fleet.rollout",
        "terminateFirst",
        "launchFirst",
        SET,
    ),
    Wrong({"fleet": {"rollout": "blueGreen"}}, "fleet.rollout", "blueGreen", "launchFirst, terminateFirst", SET),
    Wrong({"fleet": {"launchTimeoutSeconds": 60}}, "fleet.launchTimeoutSeconds", 60, "600 to 7200", SET),
    Wrong({"fleet": {"rootVolumeGib": 8}}, "fleet.rootVolumeGib", 8, "100 to 16384", SET),
    Wrong({"fleet": {"machineImageId": "ubuntu"}}, "fleet.machineImageId", "ubuntu", "17 hex digits", SET),
    Wrong(
        {"fleet": {"capacityBlock": {"zone": "us-east-1a", "reservationId": KEY}}},
        "fleet.capacityBlock.endsAt",
        None,
        "moment with its time zone",
        SET + "fleet.capacityBlock.endsAt'",
    ),
    Wrong(
        {"fleet": {"capacityBlock": block(reservationId="cr-1")}},
        "fleet.capacityBlock.reservationId",
        "cr-1",
        "capacity reservation",
        SET,
    ),
    Wrong({"inference": {"model": "llama"}}, "inference.model", "llama", "organisation/name", SET),
    Wrong({"inference": {"servedModelName": "a b"}}, "inference.servedModelName", "a b", "letters, digits", SET),
    Wrong({"inference": {"quantization": "bitsandbytes"}}, "inference.quantization", "bitsandbytes", "fp8, awq", SET),
    Wrong({"inference": {"kvCacheDtype": "int8"}}, "inference.kvCacheDtype", "int8", "auto, fp8", SET),
    Wrong({"inference": {"maxModelLen": "32k"}}, "inference.maxModelLen", "32k", "128 to 10485760", SET),
    Wrong({"inference": {"gpuMemoryUtilization": 1.0}}, "inference.gpuMemoryUtilization", 1.0, "0.1 to 0.98", SET),
    Wrong({"inference": {"weights": "disk"}}, "inference.weights", "disk", "efs, nvme, s3", SET),
    Wrong({"inference": {"toolCallParser": "--x"}}, "inference.toolCallParser", "--x", "hermes", SET),
    Wrong({"edge": {"maxBodyMib": 0}}, "edge.maxBodyMib", 0, "1 to 512", SET),
    Wrong({"edge": {"requestsPerSecondPerClient": 0}}, "edge.requestsPerSecondPerClient", 0, "1 to 10000", SET),
    Wrong({"timeouts": {"loadBalancerIdleSeconds": 4001}}, "timeouts.loadBalancerIdleSeconds", 4001, "1 to 4000", SET),
    Wrong({"timeouts": {"deregistrationDelaySeconds": 3601}}, "timeouts.deregistrationDelaySeconds", 3601, "3600", SET),
    Wrong({"costGuard": {"expiresAfter": "4 hours"}}, "costGuard.expiresAfter", "4 hours", "90m, 4h or 3d", SET),
    Wrong({"costGuard": {"expiresAfter": "1m"}}, "costGuard.expiresAfter", "1m", "from 10m to 90d", SET),
    Wrong(
        {"costGuard": {"expiresAt": "2026-12-24T18:00:00"}},
        "costGuard.expiresAt",
        "2026-12-24T18:00:00",
        "with its time zone",
        SET,
    ),
    Wrong({"costGuard": {"maxUsd": 0}}, "costGuard.maxUsd", 0, "above 0", SET),
    Wrong({"batch": {"maxUsd": 1e300}}, "batch.maxUsd", 1e300, "up to 1000000", SET),
    Wrong({"batch": {"maxUsd": float("inf")}}, "batch.maxUsd", float("inf"), "up to 1000000", SET),
    Wrong(
        {"costGuard": {"alertEmails": ["on call@example.com"]}},
        "costGuard.alertEmails.0",
        "on call@example.com",
        "ASCII",
        SET,
    ),
    Wrong({"costGuard": {"alertEmails": ["a@b..com"]}}, "costGuard.alertEmails.0", "a@b..com", "an e-mail", SET),
    Wrong({"costGuard": {"monthlyBudgetUsd": 0.001}}, "costGuard.monthlyBudgetUsd", 0.001, "0.01 to", SET),
    Wrong({"costGuard": {"alertEmails": ["oncall"]}}, "costGuard.alertEmails.0", "oncall", "an e-mail address", SET),
    Wrong({"costGuard": {"businessHours": {"start": "8am"}}}, "costGuard.businessHours.start", "8am", "HH:MM", SET),
    Wrong(
        {"costGuard": {"businessHours": {"timeZone": "Berlin"}}},
        "costGuard.businessHours.timeZone",
        "Berlin",
        "Europe/Berlin",
        SET,
    ),
    Wrong(
        {"costGuard": {"businessHours": {"days": "weekdays"}}},
        "costGuard.businessHours.days",
        "weekdays",
        "MON-FRI",
        SET,
    ),
    Wrong(
        {"costGuard": {"businessHours": {"timeZone": "Factory"}}},
        "costGuard.businessHours.timeZone",
        "Factory",
        "an IANA time zone",
        SET,
    ),
    Wrong(
        {"costGuard": {"businessHours": {"timeZone": "localtime"}}},
        "costGuard.businessHours.timeZone",
        "localtime",
        "an IANA time zone",
        SET,
    ),
    # true, which is 1 to Python
    Wrong({"costGuard": {"maxUsd": True}}, "costGuard.maxUsd", True, "a number above 0", SET),
    Wrong({"costGuard": {"monthlyBudgetUsd": True}}, "costGuard.monthlyBudgetUsd", True, "a number 0.01", SET),
    Wrong({"fleet": {"hosts": True}}, "fleet.hosts", True, "a whole number 0 to 100", SET),
    Wrong({"fleet": {"maxHosts": True}}, "fleet.maxHosts", True, "1 to 120", SET),
    Wrong({"inference": {"pipelineParallelSize": True}}, "inference.pipelineParallelSize", True, "1, 2", SET),
    Wrong({"network": {"flowLogRetentionDays": True}}, "network.flowLogRetentionDays", True, "1, 3, 5", SET),
    Wrong({"scaling": {"minReplicas": False}}, "scaling.minReplicas", False, "a whole number", SET),
    # A key that does not exist, or a group that is not one
    Wrong({"flat": {}}, "flat", "{}", "fleet, inference", "`pulumi config rm 'tandem:flat'`"),
    Wrong(
        {"costGuard.maxUsd": "9"}, "costGuard.maxUsd", "9", "costGuard", "rm 'tandem:costGuard.maxUsd'`, then `pulumi"
    ),
    Wrong({"flet": {}}, "flet", "{}", "fleet, inference", "did you mean fleet?"),
    Wrong({"fleet": {"instanceType": "g6"}}, "fleet.instanceType", "g6", "instanceTypes, hosts", "instanceTypes?"),
    Wrong(
        {"inference": {"beams": 4}},
        "inference.beams",
        4,
        "model, servedModelName",
        "pulumi config rm --path 'tandem:inference.beams'",
    ),
    Wrong({"inference": {"tensorParallelSize": 3}}, "inference.tensorParallelSize", 3, "1, 2, 4, 8", SET),
    Wrong(
        {"inference": {"tensorParallelSize": 8}},
        "fleet.instanceTypes",
        "g6.12xlarge",
        "a multiple of 8",
        SET + "inference.tensorParallelSize' 4",
    ),
    Wrong({"fleet": "g6.12xlarge"}, "fleet", "g6.12xlarge", "a mapping", SET + "fleet.NAME'"),
    # Settings that do not go together
    Wrong(
        {"timeouts": {"clientSeconds": 310}},
        "timeouts.loadBalancerIdleSeconds",
        310,
        "more than 310",
        SET + "timeouts.loadBalancerIdleSeconds' 320",
    ),
    Wrong({"timeouts": {"edgeKeepaliveSeconds": 300}}, "timeouts.edgeKeepaliveSeconds", 300, "more than 310", "320"),
    Wrong({"timeouts": {"serverKeepaliveSeconds": 5}}, "timeouts.serverKeepaliveSeconds", 5, "more than 320", "330"),
    Wrong(
        {"timeouts": {"clientSeconds": 200}},
        "timeouts.clientSeconds",
        200,
        "300 to 3600",
        SET + "timeouts.clientSeconds' 300",
    ),
    Wrong(
        {"timeouts": {"deregistrationDelaySeconds": 120}},
        "timeouts.deregistrationDelaySeconds",
        120,
        "300 to 3600 s",
        SET + "timeouts.deregistrationDelaySeconds' 300",
    ),
    Wrong(
        {"timeouts": {"terminationGraceSeconds": 200}},
        "timeouts.terminationGraceSeconds",
        200,
        "300 to 7140 s",
        SET + "timeouts.terminationGraceSeconds' 360",
    ),
    Wrong(
        {"timeouts": {"terminationGraceSeconds": 7200}},
        "timeouts.terminationGraceSeconds",
        7200,
        "to 7140 s",
        SET + "timeouts.terminationGraceSeconds' 7140",
    ),
    Wrong(
        {"network": {"zones": ["us-east-1a"]}},
        "network.zones",
        ["us-east-1a"],
        "two to four",
        SET + "network.zones[1]' us-east-1b",
    ),
    Wrong(
        {"network": {"zones": ["us-east-1a", "us-east-1a"]}},
        "network.zones",
        ["us-east-1a", "us-east-1a"],
        "different zones",
        RM + "network.zones[1]'",
    ),
    Wrong(
        {"network": {"zones": ["us-east-1a", "eu-west-1a"]}},
        "network.zones",
        "eu-west-1a",
        "us-east-1a",
        "change tandem:region",
    ),
    Wrong(
        {"loadBalancer": {"domainName": "llm.example.com"}},
        "loadBalancer.domainName",
        "llm.example.com",
        "hostedZoneId",
        "list-hosted-zones",
    ),
    Wrong(
        {"loadBalancer": {"hostedZoneId": "Z0123456789"}},
        "loadBalancer.hostedZoneId",
        "Z0123456789",
        "with loadBalancer.domainName",
        RM + "loadBalancer.hostedZoneId'",
    ),
    Wrong(
        {
            "loadBalancer": {
                "domainName": "llm.example.com",
                "certificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/0a",
            }
        },
        "loadBalancer.certificateArn",
        "arn:aws:acm:eu-west-1:123456789012:certificate/0a",
        "a certificate in us-east-1",
        "import the certificate in us-east-1",
    ),
    Wrong(
        {"network": {"zones": ["us-east-1a", "us-east-1b", "us-east-1e"]}},
        "network.zones",
        ["us-east-1a", "us-east-1e"],
        "one of a and e",
        RM + "network.zones[2]'",
    ),
    Wrong({"fleet": {"holdAfterFirstHost": "3d"}}, "fleet.holdAfterFirstHost", "4320m", "10m to 2d", "2d or less"),
    Wrong(
        {"fleet": {"holdAfterFirstHost": "1h", "hosts": 1}},
        "fleet.holdAfterFirstHost",
        "60m",
        "two hosts",
        RM + "fleet.holdAfterFirstHost'",
    ),
    Wrong(
        {"loadBalancer": {"domainName": "a.example.com", "certificateArn": IN_CHINA}},
        "loadBalancer.certificateArn",
        IN_CHINA,
        "ARN of an ACM certificate",
        SET,
    ),
    Wrong(
        {"canary": {"judge": {"url": "https://a.example.com", "model": "g", "keySecretArn": JUDGES_KEY}}},
        "canary.judge.keySecretArn",
        JUDGES_KEY,
        "a secret in us-east-1",
        "replicate the secret",
    ),
    Wrong({"logs": {"sendTo": ELSEWHERE}}, "logs.sendTo", ELSEWHERE, "an ARN of us-east-1", SET + "logs.sendTo'"),
    *(
        Wrong({"logs": {"sendTo": arn}}, "logs.sendTo", arn, "a Kinesis data stream, a Firehose stream", SET)
        for arn in (
            "arn:aws:sqs:us-east-1:123456789012:lines",
            "arn:aws:logs:us-east-1:123456789012:log-group:lines",
            "arn:aws:kinesis:us-east-1:123456789012:lines",
            "lines",
        )
    ),
    Wrong({"canary": {"suite": "/etc/suite.yaml"}}, "canary.suite", "/etc/suite.yaml", "YAML or JSONL file", SET),
    Wrong({"canary": {"run": "canary/run.yaml"}}, "canary.run", "canary/run.yaml", "JSON file", SET),
    Wrong({"canary": {"every": "5m"}}, "canary.every", "5m", "from 10m", SET),
    Wrong({"canary": {"judge": {"url": "ftp://a", "model": "g"}}}, "canary.judge.url", "ftp://a", "https://host", SET),
    Wrong({"permissionsBoundary": AWS_POLICY}, "permissionsBoundary", AWS_POLICY, "policy of the account", SET),
    Wrong({"region": "cn-north-1"}, "region", "cn-north-1", "arn:aws:", "us-east-1"),
    Wrong({"region": "us-gov-west-1"}, "region", "us-gov-west-1", "arn:aws:", "us-east-1"),
    Wrong(
        {"fleet": {"registryLoginSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:login"}},
        "fleet.registryLoginSecretArn",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:login",
        "six characters at its end",
        SET,
    ),
    Wrong(
        {"fleet": {"registryLoginSecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:login-AbCdEf"}},
        "fleet.registryLoginSecretArn",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:login-AbCdEf",
        "a secret in us-east-1",
        SET + "fleet.registryLoginSecretArn' ARN",
    ),
    Wrong(
        {"loadBalancer": {"paths": ["/v1/models"]}},
        "loadBalancer.paths",
        ["/v1/models"],
        "with /v1/completions or /v1/chat/completions",
        SET + "loadBalancer.paths[1]' /v1/chat/completions",
    ),
    # Models that make no tokens
    Wrong({"inference": {"task": "rank"}}, "inference.task", "rank", "score", SET + "inference.task'"),
    Wrong(
        {"loadBalancer": {"paths": ["/v1/chat/completions", "/v1/embeddings"]}},
        "loadBalancer.paths[1]",
        "/v1/embeddings",
        "/v1/completions, /v1/chat/completions, /v1/models",
        RM + "loadBalancer.paths[1]'",
    ),
    Wrong(
        {"inference": {"task": "embed"}, "loadBalancer": {"paths": ["/v1/embeddings", "/v1/responses"]}},
        "loadBalancer.paths[1]",
        "/v1/responses",
        "/v1/embeddings, /v1/score, /v1/rerank, /v1/models",
        RM + "loadBalancer.paths[1]'",
    ),
    Wrong(
        {"inference": {"task": "embed"}, "loadBalancer": {"paths": ["/v1/rerank"]}},
        "loadBalancer.paths",
        ["/v1/rerank"],
        "with /v1/embeddings",
        SET + "loadBalancer.paths[1]' /v1/embeddings",
    ),
    Wrong(
        {"inference": {"task": "score"}, "loadBalancer": {"paths": ["/v1/models"]}},
        "loadBalancer.paths",
        ["/v1/models"],
        "with /v1/rerank or /v1/score",
        SET + "loadBalancer.paths[1]' /v1/score",
    ),
    *(
        Wrong(settings, key, value, "unset, or inference.task: generate", f"{RM}{key}'")
        for settings, key, value in (
            *(
                ({"inference": {"task": "embed", name: value}}, f"inference.{name}", value)
                for name, value in (
                    ("toolCallParser", "hermes"),
                    ("reasoningParser", "qwen3"),
                    ("kvCacheDtype", "fp8"),
                    ("speculation", {"tokens": 3}),
                    ("routing", {"by": "session"}),
                )
            ),
            *(
                ({"inference": {"task": "score", "extraArguments": [one]}}, "inference.extraArguments[0]", one)
                for one in (
                    "--no-enable-prefix-caching",
                    "--max-logprobs=5",
                    '--structured-outputs-config={"backend":"guidance"}',
                )
            ),
            (
                {"inference": {"task": "score"}, "objectives": {"betweenTokensSeconds": 0.1}},
                "objectives.betweenTokensSeconds",
                0.1,
            ),
            ({"inference": {"task": "embed"}, "canary": {}}, "canary", {}),
            (
                {"inference": {"task": "embed", "adapters": {"tuned": {"model": "acme/tuned", "rank": 8}}}},
                "inference.adapters",
                ["tuned"],
            ),
        )
    ),
    Wrong(
        {"loadBalancer": {"paths": ["/v1/completions", "/v1/completions"]}},
        "loadBalancer.paths",
        "/v1/completions",
        "each once",
        RM + "loadBalancer.paths[1]'",
    ),
    Wrong(
        {"fleet": {"instanceTypes": ["g6.12xlage"]}},
        "fleet.instanceTypes",
        "g6.12xlage",
        "p5en.48xlarge",
        "use g6.12xlarge",
    ),
    Wrong({"fleet": {"hosts": 3, "maxHosts": 2}}, "fleet.maxHosts", 2, "3 to 120", SET + "fleet.maxHosts' 3"),
    Wrong({"fleet": {"hosts": 0, "spareHosts": 1}}, "fleet.spareHosts", 1, "0 while fleet.hosts is 0", "fleet.hosts"),
    Wrong({"fleet": {"onDemandBase": 2}}, "fleet.onDemandBase", 2, "0 to 1", "raise fleet.maxHosts"),
    Wrong(
        {"fleet": {"capacityBlock": block(), "onDemandPercentage": 50}},
        "fleet.capacityBlock",
        KEY,
        "onDemandPercentage 100",
        SET + "fleet.onDemandBase' 0",
    ),
    Wrong(
        {"fleet": {"capacityBlock": block(), "instanceTypes": ["p5.48xlarge", "p5en.48xlarge"]}},
        "fleet.instanceTypes",
        ["p5.48xlarge", "p5en.48xlarge"],
        "one type",
        "keep only",
    ),
    Wrong(
        {"fleet": {"instanceTypes": ["p5e.48xlarge"]}},
        "fleet.instanceTypes",
        "p5e.48xlarge",
        "together with fleet.capacityBlock",
        SET + "fleet.capacityBlock.reservationId' ID",
    ),
    Wrong(
        {"fleet": {"capacityBlock": block(zone="us-east-1f")}},
        "fleet.capacityBlock.zone",
        "us-east-1f",
        "us-east-1a, us-east-1b",
        SET + "network.zones[0]' us-east-1a",
    ),
    # Capacity reservations
    Wrong(
        {"fleet": {"capacityReservations": {"byZone": {}}}},
        "fleet.capacityReservations.byZone",
        {},
        "1",
        SET,
    ),
    Wrong(
        {"fleet": {"capacityReservations": {"whenFull": "wait"}}},
        "fleet.capacityReservations.byZone",
        None,
        "a mapping",
        SET,
    ),
    Wrong(
        {"fleet": reserved(byZone={"us-east-1a": "cr-1"})},
        "fleet.capacityReservations.byZone.us-east-1a",
        "cr-1",
        "cr- and 17 hex digits",
        SET,
    ),
    Wrong(
        {"fleet": reserved(byZone={"a": KEY})},
        "fleet.capacityReservations.byZone.a",
        "a",
        "the name of a zone",
        RM,
    ),
    Wrong(
        {"fleet": reserved(whenFull="spot")},
        "fleet.capacityReservations.whenFull",
        "spot",
        "onDemand, wait",
        SET,
    ),
    Wrong(
        {"fleet": reserved(reservationId=KEY)},
        "fleet.capacityReservations.reservationId",
        KEY,
        "byZone",
        "config rm",
    ),
    Wrong(
        {"fleet": reserved() | {"onDemandPercentage": 50}},
        "fleet.capacityReservations",
        KEY,
        "onDemandPercentage 100",
        SET + "fleet.onDemandBase' 0",
    ),
    Wrong(
        {"fleet": reserved() | {"onDemandBase": 1}},
        "fleet.capacityReservations",
        KEY,
        "onDemandBase 0",
        SET + "fleet.onDemandBase' 0",
    ),
    Wrong(
        {"fleet": reserved() | {"instanceTypes": ["g6.12xlarge", "g6e.12xlarge"]}},
        "fleet.instanceTypes",
        ["g6.12xlarge", "g6e.12xlarge"],
        "one type",
        "keep only",
    ),
    Wrong(
        {"fleet": reserved(byZone={"us-east-1c": KEY})},
        "fleet.capacityReservations.byZone.us-east-1c",
        "us-east-1c",
        "us-east-1a, us-east-1b",
        SET + "network.zones[2]' us-east-1c",
    ),
    Wrong(
        {"fleet": reserved(byZone={"us-east-1a": KEY, "us-east-1b": KEY})},
        "fleet.capacityReservations.byZone.us-east-1b",
        KEY,
        "each zone's own",
        "config rm",
    ),
    Wrong(
        {"fleet": reserved() | {"instanceTypes": ["p5.48xlarge"], "capacityBlock": block()}},
        "fleet.capacityReservations",
        KEY,
        "one of fleet.capacityReservations and fleet.capacityBlock",
        "fleet.capacityBlock",
    ),
    Wrong(
        {"fleet": reserved(whenFull="wait") | {"followLoad": True, "maxHosts": 2}},
        "fleet.followLoad",
        True,
        "whenFull: onDemand",
        "config rm",
    ),
    Wrong({"fleet": {"warmHosts": 1}}, "fleet.warmHosts", 1, "spareHosts", RM),
    Wrong({"fleet": {"placementGroup": "close"}}, "fleet.placementGroup", "close", "capacityReservations", RM),
    Wrong({"inference": {"efa": True}}, "inference.efa", True, "pipelineParallelSize", RM),
    Wrong(
        {"fleet": reserved() | {"instanceTypes": ["p5e.48xlarge"]}},
        "fleet.instanceTypes",
        "p5e.48xlarge",
        "together with fleet.capacityBlock",
        SET + "fleet.capacityBlock.reservationId' ID",
    ),
    Wrong({"inference": {"weightsS3Uri": "s3://a..b/c"}}, "inference.weightsS3Uri", "s3://a..b/c", "s3://bucket", SET),
    Wrong(
        {"inference": {"weightsS3Uri": "s3://10.0.0.1/c"}}, "inference.weightsS3Uri", "s3://10.0.0.1/c", "s3://", SET
    ),
    Wrong(
        {"inference": {"weights": "s3"}},
        "inference.weightsS3Uri",
        None,
        "s3://",
        SET + "inference.weightsS3Uri' s3://BUCKET/PATH",
    ),
    Wrong(
        {"inference": {"weightsS3Uri": "s3://weights/qwen"}},
        "inference.weightsS3Uri",
        "s3://weights/qwen",
        "together with inference.weights: s3",
        SET + "inference.weights' s3",
    ),
    # LoRA adapters
    Wrong({"inference": {"adapters": {"a b": SQL}}}, "inference.adapters.a b", "a b", "letters, digits", RM),
    Wrong(
        {"inference": {"adapters": {"sql": {"model": "sql", "rank": 8}}}},
        "inference.adapters.sql.model",
        "sql",
        "organisation/name",
        SET + "inference.adapters.sql.model'",
    ),
    Wrong(
        {"inference": {"adapters": {"sql": {"model": "acme/sql"}}}},
        "inference.adapters.sql.rank",
        None,
        "a whole number 1 to 512",
        SET + "inference.adapters.sql.rank'",
    ),
    Wrong(
        {"inference": {"adapters": {"sql": {"model": "acme/sql", "rank": 1024}}}},
        "inference.adapters.sql.rank",
        1024,
        "a whole number 1 to 512",
        SET + "inference.adapters.sql.rank'",
    ),
    Wrong(
        {"inference": {"adapters": {"sql": SQL | {"path": "/models/sql"}}}},
        "inference.adapters.sql.path",
        "/models/sql",
        "model, rank",
        RM + "inference.adapters.sql.path'",
    ),
    Wrong(
        {"inference": {"adapters": {"Qwen/Qwen3-8B": SQL}}},
        "inference.adapters.Qwen/Qwen3-8B",
        "Qwen/Qwen3-8B",
        "a name that nothing else of the stack has",
        RM + "inference.adapters.Qwen/Qwen3-8B'",
    ),
    Wrong(
        {"inference": {"servedModelName": "qwen-3.8", "adapters": {"qwen-3.8": SQL}}},
        "inference.adapters.qwen-3.8",
        "qwen-3.8",
        "a name that nothing else of the stack has",
        RM + 'inference.adapters["qwen-3.8"]\'',
    ),
    Wrong(
        {"inference": {"adapters": {"big": {"model": "Qwen/Qwen3-32B", "rank": 8}}}},
        "inference.adapters.big.model",
        "Qwen/Qwen3-32B",
        "adapter_config.json",
        SET + "inference.adapters.big.model' ORGANISATION/ADAPTER",
    ),
    Wrong(
        {"inference": {"weights": "s3", "weightsS3Uri": "s3://weights/qwen", "adapters": {"sql": SQL}}},
        "inference.weights",
        "s3",
        "nvme or efs",
        SET + "inference.weights' nvme",
    ),
    Wrong(
        {"inference": {"adaptersAtOnce": 2, "adapters": {"sql": SQL}}},
        "inference.adaptersAtOnce",
        2,
        "1 to 1",
        RM + "inference.adaptersAtOnce'",
    ),
    Wrong(
        {"inference": {"adaptersAtOnce": 1}},
        "inference.adaptersAtOnce",
        1,
        "unset, without adapters",
        RM + "inference.adaptersAtOnce'",
    ),
    Wrong(
        {"inference": {"adapters": {"sql": SQL}}, "clients": {"a": DECLARED | {"models": ["sq1"]}}},
        "clients.a.models[0]",
        "sq1",
        "Qwen/Qwen3-8B, sql",
        RM + "clients.a.models[0]'",
    ),
    Wrong(
        {"inference": {"extraArguments": ["--enable-lora"]}},
        "inference.extraArguments[0]",
        "--enable-lora",
        "what no setting covers",
        RM + "inference.extraArguments[0]'",
    ),
    Wrong(
        {"inference": {"maxNumSeqs": 1024, "maxNumBatchedTokens": 512}},
        "inference.maxNumBatchedTokens",
        512,
        "1024 to 131072",
        SET + "inference.maxNumBatchedTokens' 2048",
    ),
    Wrong(
        {"inference": {"maxNumSeqs": 4096}},
        "inference.maxNumSeqs",
        4096,
        "1 to 2048, or more together",
        SET + "inference.maxNumBatchedTokens' 4096",
    ),
    Wrong(
        {"inference": {"speculation": {"method": "medusa"}}},
        "inference.speculation.method",
        "medusa",
        "ngram, draft, eagle, eagle3",
        SET + "inference.speculation.method' VALUE",
    ),
    *(
        Wrong(
            {"inference": {"speculation": {"method": method}}},
            "inference.speculation.model",
            None,
            "a repository on the hub, organisation/name",
            SET + "inference.speculation.model' ORGANISATION/NAME",
        )
        for method in ("draft", "eagle", "eagle3")
    ),
    *(
        Wrong(
            {"inference": {"speculation": {name: value}}},
            f"inference.speculation.{name}",
            value,
            "with draft, eagle or eagle3",
            RM + f"inference.speculation.{name}'",
        )
        for name, value in (("model", "acme/draft"), ("modelConfigFile", "draft/config.json"))
    ),
    *(
        Wrong(
            {"inference": {"speculation": {"method": "eagle3", "model": "acme/head", name: 2}}},
            f"inference.speculation.{name}",
            2,
            "with ngram",
            RM + f"inference.speculation.{name}'",
        )
        for name in ("promptLookupMax", "promptLookupMin")
    ),
    Wrong(
        {"inference": {"speculation": {"method": "draft", "model": "draft"}}},
        "inference.speculation.model",
        "draft",
        "organisation/name",
        SET + "inference.speculation.model'",
    ),
    *(
        Wrong(
            {"inference": {"speculation": {"method": method, "model": model}, "adapters": {"sql": SQL}}},
            "inference.speculation.model",
            model,
            "a smaller model with the same tokenizer" if method == "draft" else "a head for this model",
            SET + "inference.speculation.model' ORGANISATION/NAME",
        )
        for method, model in (
            ("draft", "Qwen/Qwen3-8B"),  # the model itself
            ("draft", SQL["model"]),  # an adapter
            ("draft", "acme/Qwen3-eagle-draft"),  # which vLLM takes for a head
            ("eagle3", "Qwen/Qwen3-32B"),  # a whole model
        )
    ),
    Wrong(
        {
            "inference": {
                "speculation": {"method": "draft", "model": "acme/draft"},
                "weights": "s3",
                "weightsS3Uri": "s3://weights/qwen",
            }
        },
        "inference.weights",
        "s3",
        "nvme or efs",
        SET + "inference.weights' nvme",
    ),
    Wrong(
        {"inference": {"speculation": {"tokens": 0}}},
        "inference.speculation.tokens",
        0,
        "1 to 64",
        SET + "inference.speculation.tokens'",
    ),
    Wrong(
        {"inference": {"speculation": {"promptLookupMin": 3, "promptLookupMax": 2}}},
        "inference.speculation.promptLookupMin",
        3,
        "1 to 2",
        SET + "inference.speculation.promptLookupMin' 2",
    ),
    Wrong(
        {"inference": {"speculation": {}, "extraArguments": ["--async-scheduling"]}},
        "inference.extraArguments[0]",
        "--async-scheduling",
        "without inference.speculation",
        RM + "inference.extraArguments[0]'",
    ),
    Wrong(
        {"inference": {"extraArguments": ["--per-request-spec-decode-metrics=summary"]}},
        "inference.extraArguments[0]",
        "--per-request-spec-decode-metrics=summary",
        "together with inference.speculation",
        SET + "inference.speculation.tokens' 4",
    ),
    Wrong(
        {"inference": {"routing": {"by": "cache"}}},
        "inference.routing.by",
        "cache",
        "prefix, session",
        SET + "inference.routing.by' VALUE",
    ),
    Wrong(
        {"inference": {"routing": {"by": "session", "header": "X Chat"}}},
        "inference.routing.header",
        "X Chat",
        "letters, digits and -",
        SET + "inference.routing.header' VALUE",
    ),
    Wrong(
        {"inference": {"routing": {"header": "X-Chat"}}},
        "inference.routing.header",
        "X-Chat",
        "with by: session",
        SET + "inference.routing.by' session",
    ),
    Wrong(
        {"inference": {"routing": {}, "maxNumSeqs": 16}},
        "inference.routing.upToRequests",
        32,
        "1 to 16, which is inference.maxNumSeqs",
        SET + "inference.routing.upToRequests' 16",
    ),
    Wrong(
        {"inference": {"routing": {}, "extraArguments": ["--no-enable-prefix-caching"]}},
        "inference.extraArguments[0]",
        "--no-enable-prefix-caching",
        "without inference.routing",
        RM + "inference.extraArguments[0]'",
    ),
    Wrong(
        {"inference": {"routing": {"upToRequests": 8}, "tensorParallelSize": 4}},
        "inference.routing",
        {"upToRequests": 8},
        "types with more than 4 GPUs",
        RM + "inference.routing'",
    ),
    Wrong(
        {"costGuard": {"expiresAfter": "4h", "expiresAt": "2026-12-24T18:00:00Z"}},
        "costGuard.expiresAt",
        "2026-12-24T18:00:00Z",
        "one of",
        RM + "costGuard.expiresAt'",
    ),
    Wrong(
        {"costGuard": {"expiresAt": "2025-12-24T18:00:00Z"}},
        "costGuard.expiresAt",
        "2025-12-24T18:00:00Z",
        "a moment to come",
        SET + "costGuard.expiresAt' MOMENT",
    ),
    Wrong({"costGuard": {"maxUsd": 1}}, "costGuard.maxUsd", 1.0, "from $10.01", SET + "costGuard.maxUsd' 11"),
    Wrong({"alarms": {"enabled": True}}, "alarms.enabled", True, "costGuard.alertEmails or alarms.hooks", SET),
    Wrong(
        {
            "alarms": {"enabled": True, "hooks": ["https://events.example.com/x"]},
            "metrics": {"cloudwatch": False},
        },
        "alarms.enabled",
        True,
        "with metrics.cloudwatch, or metrics.managedPrometheus",
        SET,
    ),
    Wrong({"alarms": {"hooks": ["http://a.example.com"]}}, "alarms.hooks.0", "http://a.example.com", "https://", SET),
    Wrong({"metrics": {"remoteWrite": "amp"}}, "metrics.remoteWrite", "amp", "remote_write", SET),
    Wrong(
        {"metrics": {"remoteWrite": "https://prometheus.example.com/write", "managedPrometheus": True}},
        "metrics.managedPrometheus",
        True,
        "one of the two",
        RM + "metrics.remoteWrite'",
    ),
    Wrong({"metrics": {"managedGrafana": True}}, "metrics.managedGrafana", True, "together", SET),
    Wrong(
        {"region": "eu-north-1", "metrics": {"managedPrometheus": True, "managedGrafana": True}},
        "metrics.managedGrafana",
        True,
        "eu-central-1",
        RM + "metrics.managedGrafana'",
    ),
    Wrong({"objectives": {"firstTokenSeconds": 3}}, "objectives.firstTokenSeconds", 3.0, "2.5, 5", SET),
    Wrong({"objectives": {"betweenTokensSeconds": 0.12}}, "objectives.betweenTokensSeconds", 0.12, "0.1, 0.15", SET),
    Wrong({"objectives": {"availabilityPercent": 90}}, "objectives.availabilityPercent", 90, "95", SET),
    Wrong({"objectives": {"availabilityPercent": 100}}, "objectives.availabilityPercent", 100, "99.99", SET),
    Wrong(
        FOLLOWS | {"fleet": {"followLoad": True}},
        "fleet.maxHosts",
        None,
        "2 or more with fleet.followLoad",
        "maxHosts' 2",
    ),
    Wrong(
        {"loadBalancer": OWN_NAME | {"scheme": "internal"}, "globalName": GLOBAL_NAME},
        "globalName.outsideCheck",
        True,
        "loadBalancer.scheme: internetFacing",
        SET + "globalName.outsideCheck' false",
    ),
    Wrong(FOLLOWS | {"metrics": {"cloudwatch": False}}, "fleet.followLoad", True, "with metrics.cloudwatch", SET),
    Wrong(
        {"fleet": {"followLoad": True, "maxHosts": 2, "capacityBlock": block()}},
        "fleet.followLoad",
        True,
        "without fleet.capacityBlock",
        RM + "fleet.followLoad'",
    ),
    Wrong(
        {"fleet": {"followLoad": True, "hosts": 0, "maxHosts": 2, "rollout": "terminateFirst"}},
        "fleet.rollout",
        "terminateFirst",
        "launchFirst with fleet.followLoad",
        SET + "fleet.rollout' launchFirst",
    ),
    Wrong(
        {"fleet": {"followLoad": True, "hosts": 0, "maxHosts": 2}, "loadBalancer": OWN_NAME, "globalName": GLOBAL_NAME},
        "fleet.followLoad",
        True,
        "without globalName.outsideCheck",
        SET + "globalName.outsideCheck' false",
    ),
    Wrong(
        FOLLOWS | {"inference": {"maxQueuedRequests": 5}},
        "inference.maxQueuedRequests",
        5,
        "more than 5",
        SET + "inference.maxQueuedRequests' 10",
    ),
    Wrong(
        FOLLOWS | {"scaling": {"runningRequestsPerReplica": 300}},
        "scaling.runningRequestsPerReplica",
        300,
        "1 to 256",
        SET + "scaling.runningRequestsPerReplica' 256",
    ),
    Wrong(FOLLOWS | {"scaling": {"minReplicas": 3}}, "scaling.minReplicas", 3, "fleet.hosts and fleet.spareHosts", RM),
    Wrong(FOLLOWS | {"scaling": {"spread": "zones"}}, "scaling.spread", "zones", "over the zones", RM),
    Wrong({"scaling": {"cooldownSeconds": 600}}, "scaling.cooldownSeconds", 600, "with fleet.followLoad", "followLoad"),
    Wrong({"costGuard": {"monthlyBudgetUsd": 100}}, "costGuard.monthlyBudgetUsd", 100.0, "alertEmails", "alertEmails"),
    Wrong(
        {"costGuard": {"businessHours": {"start": "20:00", "stop": "08:00"}}},
        "costGuard.businessHours.stop",
        "08:00",
        "after 20:00",
        SET + "costGuard.businessHours.start' 08:00",
    ),
]


def refused(settings: dict[str, Any], secret_keys: tuple[str, ...] = ()) -> UserError:
    config = {"region": "us-east-1"} | settings
    texts = {f"tandem:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    with pytest.raises(UserError) as caught:
        load(texts, secret_keys)
    return caught.value


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.key}={wrong.value}")
def test_a_wrong_setting_is_named_with_its_remedy(wrong: Wrong) -> None:
    problems = {problem.key: problem for problem in refused(wrong.settings).problems}
    assert list(problems) == [wrong.key]
    problem = problems[wrong.key]
    # A top-level value arrives as the text that Pulumi's configuration holds.
    assert problem.value in (wrong.value, str(wrong.value))
    assert wrong.allowed in problem.allowed
    assert wrong.fix in problem.fix
    assert problem.code


def test_there_are_sixty_or_more() -> None:
    assert len({(wrong.key, str(wrong.value)) for wrong in WRONG}) >= 60


def test_all_mistakes_are_reported_at_once() -> None:
    error = refused({"region": "moon", "fleet": {"hosts": -1, "host": 2}, "edge": {"maxBodyMib": 0}})
    assert [problem.key for problem in error.problems] == ["region", "fleet.hosts", "fleet.host", "edge.maxBodyMib"]


def test_the_region_has_no_default() -> None:
    with pytest.raises(UserError, match="region: must be set"):
        load({})


def test_a_secret_in_plain_text_is_refused_and_not_repeated() -> None:
    error = refused({"huggingFaceToken": TOKEN})
    assert [problem.key for problem in error.problems] == ["huggingFaceToken"]
    assert "pulumi config set --secret" in error.problems[0].fix
    assert TOKEN not in str(error)


def test_a_malformed_secret_is_not_repeated() -> None:
    error = refused({"huggingFaceToken": "short"}, ("tandem:huggingFaceToken",))
    assert [problem.key for problem in error.problems] == ["huggingFaceToken"]
    assert "'short'" not in str(error)


def test_a_key_in_the_place_of_its_digest_is_not_repeated() -> None:
    error = refused({"clients": json.dumps({"alice": {"sha256": [TOKEN]}})})
    assert [problem.key for problem in error.problems] == ["clients.alice.sha256.0"]
    assert "`tandem keys digest`" in str(error)
    assert TOKEN not in str(error)


@pytest.mark.parametrize("secret", [True, False])
def test_keys_of_a_former_version_are_not_repeated_and_lead_to_what_took_their_place(secret: bool) -> None:
    error = refused({"apiKeys": json.dumps({"alice": TOKEN})}, ("tandem:apiKeys",) if secret else ())
    assert [problem.key for problem in error.problems] == ["apiKeys"]
    assert "`tandem keys add STACK NAME`" in str(error)
    assert TOKEN not in str(error)


def test_the_providers_own_configuration_is_refused() -> None:
    with pytest.raises(UserError, match="aws:region: tandem makes its own AWS provider"):
        load({"tandem:region": "us-east-1", "aws:region": "eu-west-1"})


@pytest.mark.parametrize("fleet", [{}, {"onDemandPercentage": 0}, {"onDemandBase": 0}])
def test_a_base_of_hosts_that_are_all_on_demand_is_warned_of(fleet: dict[str, Any]) -> None:
    values = {"region": "us-east-1", "fleet": {"hosts": 2, "onDemandBase": 1} | fleet}
    found = [text for text in rules.warnings(Settings.model_validate(values)) if "onDemandBase" in text]
    assert len(found) == (not fleet)


def test_each_rule_is_asked_once() -> None:
    for platform, own in rules.ON.items():
        asked = Counter([*rules.RULES, *own])
        assert [rule.__name__ for rule, times in asked.items() if times > 1] == [], platform


@pytest.mark.parametrize(("method", "why"), OTHER_METHODS.items())
def test_a_way_of_guessing_that_is_not_there_is_refused_with_the_reason(method: str, why: str) -> None:
    with pytest.raises(UserError) as refused:
        load(
            {
                "tandem:region": "us-east-1",
                "tandem:inference": json.dumps({"model": "a/b", "speculation": {"method": method}}),
            }
        )
    assert [(one.key, one.wrong) for one in refused.value.problems] == [("inference.speculation.method", why)]
