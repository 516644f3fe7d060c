"""No setting is silently ignored: on each platform a change changes what is declared, or is refused there by name."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest
from pydantic import BaseModel

from tandem import rules
from tandem.errors import Problem
from tandem.settings import Settings
from tests.infra.declared import declared_by

pytestmark = pytest.mark.sweep

ZONE = "Z0123456789ABC"
ALICE = {"sha256": ["5" * 64]}
SQL = {"model": "acme/sql", "rank": 16}
HEAD = {"method": "eagle3", "model": "acme/head"}
OTHER = {"hostName": "other.example.com", "inference": {"model": "Qwen/Qwen3-8B", "servedModelName": "further"}}
BASE: dict[str, Any] = {
    "region": "us-east-1",
    "ephemeral": True,
    "network": {"zones": ["us-east-1a", "us-east-1b"]},
    "loadBalancer": {"domainName": "api.example.com", "hostedZoneId": ZONE},
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 4, "maxHosts": 6},
    "inference": {"model": "Qwen/Qwen3-32B", "quantization": "fp8", "maxModelLen": 16384},
}
PLATFORMS: Mapping[str, dict[str, Any]] = {
    "ec2": {},
    "eks-karpenter": {"platform": "eks", "fleet.hosts": 1, "fleet.onDemandBase": 1, "fleet.onDemandPercentage": 0},
    "eks-managed": {"platform": "eks", "fleet.maxHosts": None, "nodePool.provisioner": "managed"},
}

GLOBAL = {"globalName.domainName": "llm.example.com", "globalName.hostedZoneId": ZONE}
BLOCK = {
    "fleet.capacityBlock.reservationId": f"cr-{'0' * 17}",
    "fleet.capacityBlock.zone": "us-east-1b",
    "fleet.capacityBlock.endsAt": "2026-12-24T18:00:00Z",
    "fleet.onDemandBase": 0,
    "fleet.onDemandPercentage": 100,
}
RESERVED = {
    "fleet.capacityReservations.byZone": {"us-east-1a": f"cr-{'0' * 17}"},
    "fleet.onDemandBase": 0,
    "fleet.onDemandPercentage": 100,
}


def subnets(*ids: str) -> dict[str, str]:
    return {zone: f"subnet-{id * 17}" for zone, id in zip(("us-east-1a", "us-east-1b"), ids, strict=True)}


THERE = {
    "network": {},
    "network.existing.vpcId": f"vpc-{'0' * 17}",
    "network.existing.privateSubnetIds": subnets("2", "3"),
    "network.existing.publicSubnetIds": subnets("4", "5"),
}
IN_ONE = {
    **THERE,
    "ephemeral": False,
    "cluster.existing.name": "platform",
    "scaling.prometheusUrl": "http://prometheus.observability.svc:9090",
}
HOURS = {"costGuard.businessHours.start": "07:00"}
WINDOW = {"nodePool.replacementWindow.start": "03:00"}
MAIL = {"costGuard.alertEmails": ["ops@example.com"]}
TRACES = {"tracing.endpoint": "http://collector.example.com:4318/v1/traces"}
WORKSPACE = "ws-01234567-89ab-cdef-0123-456789abcdef"
WATCHED = {**MAIL, "alarms.enabled": True}
JUDGE = {"canary.judge.url": "http://judge.example.com:8000", "canary.judge.model": "grader"}

TEAMS = {"gateway.hostName": "teams.example.com"}
KEY_OF = "arn:aws:secretsmanager:us-east-1:123456789012:secret:key"
USD = {"promptUsdPerMillion": 1, "answerUsdPerMillion": 4}
AWAY = {"url": "https://other.example.com", "keySecretArn": f"{KEY_OF}-AbCdEf", **USD}
LEFT = {"snapshot": "tandem-dev-gateway-1", "secretArn": f"{KEY_OF}-AbCdEf"}
PRICED = {**TEAMS, "inference.servedModelName": "other", "gateway.prices.NAME": USD}
CLOUD = {
    **TEAMS,
    "gateway.fallback": {"model": "openai/gpt", "keySecretArn": f"{KEY_OF}-AbCdEf", "maxUsdPerDay": 5, **USD},
}

MAIN: Mapping[str, Any] = {
    "region": ("eu-west-1", {"network.zones": []}),
    "ephemeral": False,
    "requirePins": True,
    "tags": {"team": "search"},
    "permissionsBoundary": "arn:aws:iam::123456789012:policy/boundary",
    "huggingFaceToken": f"hf_{'t' * 30}",
    "clients.NAME.sha256": ["7" * 64],
    "clients.NAME.requestsPerSecond": (10, {"clients.NAME.sha256": ["5" * 64]}),
    "clients.NAME.streams": (8, {"clients.NAME.sha256": ["5" * 64]}),
    "clients.NAME.models": (["Qwen/Qwen3-32B"], {"clients.NAME.sha256": ["5" * 64]}),
    "network.cidrBlock": "10.30.0.0/16",
    "network.zones": ["us-east-1a", "us-east-1c"],
    "network.egress": "singleNat",
    "network.interfaceEndpoints": ["sts"],
    "network.flowLogRetentionDays": 7,
    "network.existing.vpcId": (f"vpc-{'1' * 17}", THERE),
    "network.existing.privateSubnetIds": (subnets("8", "3"), THERE),
    "network.existing.publicSubnetIds": (subnets("8", "9"), THERE),
    "modelCache.provisionedMibps": 128,
    "modelCache.infrequentAccessAfterDays": 7,
    "modelCache.fileSystemId": f"fs-{'0' * 17}",
    "loadBalancer.domainName": "llm.example.com",
    "loadBalancer.hostedZoneId": "Z9876543210ABC",
    "loadBalancer.certificateArn": (
        f"arn:aws:acm:us-east-1:123456789012:certificate/{'0' * 8}-0000-0000-0000-{'0' * 12}",
        {"loadBalancer.hostedZoneId": None},
    ),
    "loadBalancer.scheme": "internal",
    "loadBalancer.clientCidrs": ["203.0.113.0/24"],
    "loadBalancer.redirectHttp": False,
    "loadBalancer.paths": ["/v1/chat/completions"],
    "loadBalancer.requestsPerMinutePerIp": 200,
    "loadBalancer.accessLogRetentionDays": 30,
    "loadBalancer.deletionProtection": True,
    "globalName.domainName": ("other.example.com", GLOBAL),
    "globalName.hostedZoneId": ("Z9876543210ABC", GLOBAL),
    "globalName.routing": ("weighted", GLOBAL),
    "globalName.weight": (50, {**GLOBAL, "globalName.routing": "weighted"}),
    "globalName.serving": (False, GLOBAL),
    "globalName.outsideCheck": (False, GLOBAL),
    "fleet.instanceTypes": ["g6e.48xlarge"],
    "fleet.hosts": 3,
    "fleet.spareHosts": 1,
    "fleet.maxHosts": 8,
    "fleet.followLoad": True,
    "fleet.onDemandBase": 2,
    "fleet.onDemandPercentage": (0, {"fleet.onDemandPercentage": 100, "fleet.onDemandBase": 0}),
    "fleet.capacityBlock.reservationId": (f"cr-{'1' * 17}", BLOCK),
    "fleet.capacityBlock.zone": ("us-east-1a", BLOCK),
    "fleet.capacityBlock.endsAt": ("2026-12-25T18:00:00Z", BLOCK),
    "fleet.capacityReservations.byZone": ({"us-east-1b": f"cr-{'1' * 17}"}, RESERVED),
    "fleet.capacityReservations.whenFull": ("wait", RESERVED),
    "fleet.rollout": "terminateFirst",
    "fleet.holdAfterFirstHost": "1h",
    "fleet.launchTimeoutSeconds": 7200,
    "fleet.rootVolumeGib": 300,
    "fleet.machineImageId": f"ami-{'0' * 17}",
    "fleet.registryMirror": "https://mirror.example.com",
    "fleet.registryLoginSecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:registry-AbCdEf",
    "fleet.logRetentionDays": 90,
    "inference.model": "Qwen/Qwen3-14B",
    "inference.servedModelName": "large",
    "inference.task": "embed",
    "inference.weights": "efs",
    "inference.weightsS3Uri": (
        "s3://weights/other",
        {"inference.weights": "s3", "inference.weightsS3Uri": "s3://weights/qwen"},
    ),
    "inference.modelConfigFile": "config.json",
    "inference.quantization": None,
    "inference.tensorParallelSize": 1,
    "inference.pipelineParallelSize": (2, {"scaling.maxReplicas": 2, "scaling.minReplicas": 1}),
    "inference.kvCacheDtype": "fp8",
    "inference.maxModelLen": 8192,
    "inference.gpuMemoryUtilization": 0.8,
    "inference.maxNumSeqs": 128,
    "inference.maxNumBatchedTokens": 8192,
    "inference.maxQueuedRequests": 100,
    "inference.speculation.method": ("eagle", {"inference.speculation": HEAD}),
    "inference.speculation.model": ("acme/legal", {"inference.speculation": HEAD}),
    "inference.speculation.tokens": 3,
    "inference.speculation.promptLookupMax": (4, {"inference.speculation": {}}),
    "inference.speculation.promptLookupMin": (4, {"inference.speculation": {}}),
    "inference.speculation.upToRequests": (16, {"inference.speculation": {}}),
    "inference.routing.by": ("session", {"inference.routing": {}}),
    "inference.routing.header": ("X-Chat", {"inference.routing": {"by": "session"}}),
    "inference.routing.upToRequests": (16, {"inference.routing": {}}),
    "inference.toolCallParser": "hermes",
    "inference.reasoningParser": "qwen3",
    "inference.adapters.NAME.model": ("acme/legal", {"inference.adapters.NAME": SQL}),
    "inference.adapters.NAME.rank": (32, {"inference.adapters.NAME": SQL}),
    "inference.adaptersAtOnce": (1, {"inference.adapters": {"sql": SQL, "legal": SQL}}),
    "inference.extraArguments": ["--enforce-eager"],
    "inference.mediaDomains": ["images.example.com"],
    "scaling.minReplicas": 3,
    "scaling.maxReplicas": 6,
    "scaling.waitingRequestsPerReplica": 9,
    "scaling.runningRequestsPerReplica": 64,
    "scaling.cooldownSeconds": 600,
    "scaling.fallbackReplicas": 3,
    "scaling.minAvailable": 1,
    "scaling.spread": ("zones", {"scaling.minReplicas": 3}),
    "scaling.prometheusUrl": "http://prometheus.observability.svc:9090",
    "scaling.prometheusNamespace": ("watching", {"scaling.prometheusUrl": "http://prometheus.observability.svc:9090"}),
    "models.NAME.hostName": ("third.example.com", {"models.NAME": OTHER}),
    "cluster.endpoint": "private",
    "cluster.endpointCidrs": ["203.0.113.0/24"],
    "cluster.admins": ["arn:aws:iam::123456789012:role/admin"],
    "cluster.systemInstanceType": "m6i.large",
    "cluster.systemNodes": 3,
    "cluster.existing.name": ("other", IN_ONE),
    "cluster.existing.fileSystemRoleArn": ("arn:aws:iam::123456789012:role/driver", IN_ONE),
    "nodePool.image": "bottlerocket",
    "nodePool.replacementWindow.start": ("04:00", WINDOW),
    "nodePool.replacementWindow.hours": (6, WINDOW),
    "nodePool.emptyMinutes": 20,
    "edge.requestsPerSecondPerClient": 40,
    "edge.connectionsPerClient": 32,
    "edge.maxBodyMib": 32,
    "edge.revokedStreams": "cut",
    "logs.requests": False,
    "logs.sendTo": "arn:aws:kinesis:us-east-1:123456789012:stream/lines",
    "objectives.firstTokenSeconds": (1.0, WATCHED),
    "objectives.betweenTokensSeconds": (0.2, WATCHED),
    "objectives.availabilityPercent": (99.9, WATCHED),
    "metrics.cloudwatch": False,
    "metrics.remoteWrite": f"https://aps-workspaces.us-east-1.amazonaws.com/workspaces/{WORKSPACE}/api/v1/remote_write",
    "metrics.managedPrometheus": True,
    "metrics.managedGrafana": (True, {"metrics.managedPrometheus": True}),
    "metrics.operatorLabels": (
        {"release": "prometheus"},
        {"scaling.prometheusUrl": "http://prometheus.observability.svc:9090", "metrics.operatorLabels": {}},
    ),
    "alarms.enabled": (False, WATCHED),
    "alarms.hooks": ["https://events.example.com/pager"],
    "canary.suite": ("tests/settings/suite.jsonl", {"canary.every": "1h"}),
    "canary.run": ("tests/settings/run.json", {"canary.every": "1h"}),
    "canary.every": "2h",
    "canary.gate": (False, {"canary.every": "1h"}),
    "canary.judge.url": ("http://other.example.com:9000", JUDGE),
    "canary.judge.model": ("other", JUDGE),
    "canary.judge.keySecretArn": ("arn:aws:secretsmanager:us-east-1:123456789012:secret:judge-AbCdEf", JUDGE),
    "tracing.endpoint": "http://collector.example.com:4318/v1/traces",
    "tracing.sampleRatio": (0.5, TRACES),
    "batch.maxHosts": (2, {"batch.maxUsd": 20}),
    "batch.spot": (False, {"batch.maxUsd": 20}),
    "gateway.hostName": ("others.example.com", TEAMS),
    "gateway.replicas": (3, TEAMS),
    "gateway.publicAdmin": (True, TEAMS),
    "gateway.keepPrompts": (True, TEAMS),
    "gateway.spendLogDays": (90, TEAMS),
    "gateway.databaseClass": ("db.m7g.large", TEAMS),
    "gateway.databaseMaxGib": (200, TEAMS),
    "gateway.databaseStandby": (True, TEAMS),
    "gateway.databaseBackupDays": (14, TEAMS),
    "gateway.restore.snapshot": ("tandem-dev-gateway-2", {**TEAMS, "gateway.restore": LEFT}),
    "gateway.restore.secretArn": (f"{KEY_OF}-GhIjKl", {**TEAMS, "gateway.restore": LEFT}),
    "gateway.expectedUsePercent": (30, TEAMS),
    "gateway.prices.NAME.promptUsdPerMillion": (2, PRICED),
    "gateway.prices.NAME.answerUsdPerMillion": (2, PRICED),
    "gateway.models.NAME.url": ("https://third.example.com", {**TEAMS, "gateway.models.NAME": AWAY}),
    "gateway.models.NAME.keySecretArn": (f"{KEY_OF}-GhIjKl", {**TEAMS, "gateway.models.NAME": AWAY}),
    "gateway.models.NAME.promptUsdPerMillion": (2, {**TEAMS, "gateway.models.NAME": AWAY}),
    "gateway.models.NAME.answerUsdPerMillion": (2, {**TEAMS, "gateway.models.NAME": AWAY}),
    "gateway.fallback.model": ("openai/other", CLOUD),
    "gateway.fallback.url": ("https://cloud.example.com", CLOUD),
    "gateway.fallback.keySecretArn": (f"{KEY_OF}-GhIjKl", CLOUD),
    "gateway.fallback.promptUsdPerMillion": (2, CLOUD),
    "gateway.fallback.answerUsdPerMillion": (2, CLOUD),
    "gateway.fallback.when": (["tagged"], CLOUD),
    "gateway.fallback.afterSeconds": (30, CLOUD),
    "gateway.fallback.maxUsdPerDay": (10, CLOUD),
    "timeouts.clientSeconds": 305,
    "timeouts.loadBalancerIdleSeconds": 315,
    "timeouts.edgeKeepaliveSeconds": 325,
    "timeouts.serverKeepaliveSeconds": 340,
    "timeouts.longestGenerationSeconds": 290,
    "timeouts.deregistrationDelaySeconds": 330,
    "timeouts.terminationGraceSeconds": 450,
    "costGuard.expiresAfter": ("8h", MAIL),
    "costGuard.expiresAt": ("2026-12-24T18:00:00Z", MAIL),
    "costGuard.idleAfter": ("2h", {**MAIL, "costGuard.expiresAfter": "8h"}),
    "costGuard.maxUsd": (5000, MAIL),
    "costGuard.monthlyBudgetUsd": (5000, MAIL),
    "costGuard.alertEmails": (["other@example.com"], {**MAIL, "costGuard.monthlyBudgetUsd": 100}),
    "costGuard.businessHours.start": ("09:00", HOURS),
    "costGuard.businessHours.stop": ("21:00", HOURS),
    "costGuard.businessHours.days": ("*", HOURS),
    "costGuard.businessHours.timeZone": ("Europe/Berlin", HOURS),
}
"""By setting another value than BASE has; where it means something only beside others, those with it."""

A_MODELS = ("inference.", "scaling.", "objectives.", "canary.")
"""Settings that each of the further models has, too."""
FLEET = "fleet."
"""Likewise, on platform ec2."""


def further(key: str, other: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The main model's change, made to a further one beside it."""
    value, beside = MAIN[key] if isinstance(MAIN[key], tuple) else (MAIN[key], {})
    own, model = (A_MODELS, OTHER) if key.startswith(A_MODELS) else (FLEET, OTHER | {"fleet": BASE["fleet"]})
    moved = {f"models.NAME.{one}" if one.startswith(own) else one: given for one, given in beside.items()}
    return other.get(key, value), {"models.NAME": model, **moved}


CHANGES: Mapping[str, Any] = {
    **MAIN,
    **{
        f"models.NAME.{key}": further(key, {"inference.quantization": "fp8", "scaling.maxReplicas": 3})
        for key in MAIN
        if key.startswith((*A_MODELS, FLEET))
    },
}

ELSEWHERE: Mapping[str, str] = {
    "platform": "the axis of this test",
    "nodePool.provisioner": "the same",
    "requirePins": "refuses to come up: tests/test_checks.py",
    "inference.modelConfigFile": "sizing reads it: tests/sizing/test_config_file.py",
    "models.NAME.inference.modelConfigFile": "the same",
    "inference.trustRemoteCode": "needs a pin: tests/settings/test_arguments.py; acts: tests/real/test_flags.py",
    "models.NAME.inference.trustRemoteCode": "the same",
    "models.NAME.fleet.logRetentionDays": "refused: tests/settings/test_wrong_settings.py",
    "inference.speculation.modelConfigFile": "sizing reads it: tests/test_checks.py",
    "models.NAME.inference.speculation.modelConfigFile": "the same",
    "batch.maxUsd": "`tandem batch` tells the machines: tests/ops/test_batch.py",
    "timeouts.clientSeconds": "clients are told, and rules hold the other timeouts against it",
}
"""Settings that act where the program declares nothing."""


def leaves(model: type[BaseModel], way: tuple[str, ...] = ()) -> Iterator[str]:
    """Every setting by its key."""
    for name, field in model.model_fields.items():
        parts = (field.annotation, *typing.get_args(field.annotation))
        below = next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None)
        key = (*way, field.alias or name)
        if below is None:
            yield ".".join(key)
        else:
            yield from leaves(below, (*key, "NAME") if typing.get_origin(field.annotation) is dict else key)


def with_(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Stack values with some set by their keys."""
    found: dict[str, Any] = deepcopy({**values})
    for key, value in changes.items():
        *way, last = key.replace("NAME", "other").split(".")
        place = found
        for part in way:
            place = place.setdefault(part, {})
        place[last] = deepcopy(value)
    return found


def refused(key: str, found: list[Problem]) -> bool:
    """One of them says by the setting's name, or by the axis's, that this platform does not have it."""
    named = key.replace("NAME", "other")
    return any(
        one.key == "nodePool.provisioner"
        or (
            f"{named}.".startswith(f"{one.key}.")
            and any(word in f"{one.wrong} {one.allowed}" for word in ("platform", "provisioner", "managed node group"))
        )
        for one in found
    )


def declares(values: dict[str, Any]) -> list[str]:
    """All resources with their inputs, in no order; not the outputs, which tell what a stack costs."""
    return sorted(repr((one.type, one.name, one.inputs)) for one in declared_by(values, "golden").resources)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_same_settings_declare_the_same(platform: str) -> None:
    """Else each change would seem to act."""
    values = with_(BASE, PLATFORMS[platform])
    assert declares(values) == declares(with_(values, {"logs": {}}))


def test_each_setting_has_a_change_here_or_says_where_it_acts() -> None:
    assert {*leaves(Settings)} == {*CHANGES, *ELSEWHERE}


@pytest.mark.long
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("key", [key for key in CHANGES if key not in ELSEWHERE])
def test_a_change_changes_what_is_declared_or_is_refused_by_name(platform: str, key: str) -> None:
    value, beside = CHANGES[key] if isinstance(CHANGES[key], tuple) else (CHANGES[key], {})
    before = with_(with_(BASE, PLATFORMS[platform]), beside)
    after = with_(before, {key: value})
    found = rules.problems(Settings.model_validate(after))
    if refused(key, found):
        return
    assert found == [], "the table's own change is wrong"
    assert declares(after) != declares(before), f"{key} does nothing on {platform}, and nothing says so"


@pytest.mark.parametrize("key", ["waitingRequestsPerReplica", "runningRequestsPerReplica", "cooldownSeconds"])
def test_what_hosts_follow_acts_on_hosts(key: str) -> None:
    """Refused on ec2 otherwise, which is what the table above sees."""
    follows = with_(BASE, {"fleet.followLoad": True})
    changed = with_(follows, {f"scaling.{key}": CHANGES[f"scaling.{key}"]})
    assert rules.problems(Settings.model_validate(changed)) == []
    assert declares(changed) != declares(follows)
