"""Each wrong combination on platform `eks` is refused when the stack is planned, with its key and what to do."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from tandem import rules
from tandem.errors import Problem, UserError
from tandem.loading import load
from tandem.settings import Settings

SERVED = {"model": "Qwen/Qwen3-8B"}
DOMAIN = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"}
BLOCK = {"reservationId": "cr-" + "0" * 17, "zone": "us-east-1a", "endsAt": "2026-12-24T18:00:00Z"}
RESERVED = {"capacityReservations": {"byZone": {"us-east-1a": "cr-" + "0" * 17}}, "hosts": 4}
BLOCKED = {"instanceTypes": ["p5.48xlarge"], "capacityBlock": BLOCK, "hosts": 4}


class Wrong(NamedTuple):
    """A mistake on top of sound settings, and what must be said about it."""

    settings: dict[str, Any]
    key: str
    allowed: str
    fix: str


SOUND: dict[str, Any] = {"region": "us-east-1", "platform": "eks", "fleet": {"maxHosts": 4}}


def model(**changes: Any) -> dict[str, Any]:
    values = {"hostName": "small.example.com", "inference": SERVED, "scaling": {"maxReplicas": 2}} | changes
    return values | {"inference": {"servedModelName": values["hostName"].split(".")[0]} | values["inference"]}


LONG_NAME = "x" * 60 + "." + "x" * 57 + ".example.com"
IN_CHINA = "arn:aws-cn:iam::123456789012:role/ops"
A_USER = "arn:aws:iam::123456789012:user/joe"
OF_A_SERVICE = "arn:aws:iam::123456789012:role/aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS"
SET = "pulumi config set --path 'tandem:"
RM = "pulumi config rm --path 'tandem:"
WRITES = "http://prometheus.example.com:9090/api/v1/write"
JUDGE = {"url": "https://a.example.com", "model": "g"}
JUDGES_KEY = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:judge-AbCdEf"
ADMIN = "arn:aws:iam::123456789012:role/ops"
SUBNETS = {"us-east-1a": f"subnet-{'2' * 17}", "us-east-1b": f"subnet-{'3' * 17}"}
PLACE = {"existing": {"vpcId": f"vpc-{'0' * 17}", "privateSubnetIds": SUBNETS}}
THERE: dict[str, Any] = {
    "network": PLACE,
    "loadBalancer": {"scheme": "internal"},
    "nodePool": {"provisioner": "managed"},
    "fleet": {"hosts": 4},
    "scaling": {"prometheusUrl": "http://prometheus.observability.svc:9090"},
    "cluster": {"existing": {"name": "platform"}},
}
"""Sound settings of a stack in a cluster that is there."""


def in_cluster(**changes: Any) -> dict[str, Any]:
    return THERE | changes


def cluster(**more: Any) -> dict[str, Any]:
    return in_cluster(cluster=THERE["cluster"] | more)


UNSET = "unset with cluster.existing"
WRONG = [
    Wrong(cluster(endpoint="public"), "cluster.endpoint", UNSET, RM + "cluster.endpoint'"),
    Wrong(cluster(endpointCidrs=["203.0.113.0/24"]), "cluster.endpointCidrs", UNSET, RM + "cluster.endpointCidrs'"),
    Wrong(cluster(admins=[ADMIN]), "cluster.admins", UNSET, RM + "cluster.admins'"),
    Wrong(cluster(systemNodes=3), "cluster.systemNodes", UNSET, RM + "cluster.existing'"),
    Wrong(cluster(systemInstanceType="m6i.large"), "cluster.systemInstanceType", UNSET, RM + "cluster.existing'"),
    Wrong(
        in_cluster(network={}, loadBalancer={}),
        "network.existing",
        "the cluster's VPC, and subnets in it",
        "`aws eks describe-cluster --name platform",
    ),
    Wrong(
        in_cluster(nodePool={}, fleet={"maxHosts": 4}),
        "nodePool.provisioner",
        "managed with cluster.existing",
        SET + "nodePool.provisioner' managed",
    ),
    Wrong(in_cluster(ephemeral=True), "ephemeral", "false with cluster.existing", SET + "ephemeral' false"),
    Wrong(
        in_cluster(scaling={}), "scaling.prometheusUrl", "in the cluster that scrapes", SET + "scaling.prometheusUrl'"
    ),
    Wrong(
        in_cluster(scaling=THERE["scaling"] | {"minReplicas": 0}),
        "scaling.minReplicas",
        "1 or more with cluster.existing",
        SET + "scaling.minReplicas' 1",
    ),
    Wrong(
        in_cluster(loadBalancer=DOMAIN | THERE["loadBalancer"], models={"small": model()}),
        "models.small.scaling.prometheusUrl",
        "in the cluster that scrapes",
        SET + "models.small.scaling.prometheusUrl'",
    ),
    Wrong(
        in_cluster(cluster={"existing": {"name": "a cluster"}}),
        "cluster.existing.name",
        "the name of an EKS cluster",
        SET + "cluster.existing.name'",
    ),
    Wrong(in_cluster(cluster={"existing": {}}), "cluster.existing.name", "the name of", SET + "cluster.existing.name'"),
    Wrong(
        in_cluster(cluster={"existing": {"name": "platform", "fileSystemRoleArn": OF_A_SERVICE}}),
        "cluster.existing.fileSystemRoleArn",
        "not of a service-linked one",
        SET + "cluster.existing.fileSystemRoleArn'",
    ),
    Wrong(
        in_cluster(cluster={"existing": {"name": "platform", "fileSystemRoleArn": A_USER}}),
        "cluster.existing.fileSystemRoleArn",
        "not of a service-linked one",
        SET + "cluster.existing.fileSystemRoleArn'",
    ),
    Wrong(in_cluster(batch={"maxHosts": 1, "maxUsd": 5}), "batch", "nodePool.provisioner: karpenter", RM + "batch'"),
    Wrong(
        {"inference": {"routing": {}}, "scaling": {"minReplicas": 1, "maxReplicas": 1}},
        "inference.routing",
        "with scaling.maxReplicas of 2 or more",
        RM + "inference.routing'",
    ),
    Wrong(
        {"loadBalancer": DOMAIN, "models": {"small": model(inference=SERVED | {"routing": {"header": "X-Chat"}})}},
        "models.small.inference.routing.header",
        "with by: session",
        SET + "models.small.inference.routing.by' session",
    ),
    Wrong(
        {
            "loadBalancer": DOMAIN | {"paths": ["/v1/chat/completions"]},
            "models": {"small": model(inference=SERVED | {"task": "score"})},
        },
        "loadBalancer.paths",
        "with /v1/rerank or /v1/score",
        SET + "loadBalancer.paths[1]' /v1/score",
    ),
    Wrong(
        {"loadBalancer": DOMAIN, "models": {"small": model(inference=SERVED | {"task": "embed"}, canary={})}},
        "models.small.canary",
        "models.small.inference.task: generate",
        RM + "models.small.canary'",
    ),
    Wrong({"metrics": {"operatorLabels": {}}}, "metrics.operatorLabels", "scaling.prometheusUrl", SET),
    Wrong({"platform": "ec2", "metrics": {"operatorLabels": {}}}, "metrics.operatorLabels", "platform: eks", SET),
    Wrong({"metrics": {"operatorLabels": {"a": "b c"}}}, "metrics.operatorLabels.a", "a label's value", SET),
    Wrong({"metrics": {"remoteWrite": WRITES}}, "metrics.remoteWrite", "on platform ec2", RM + "metrics.remoteWrite'"),
    Wrong(
        {"metrics": {"managedPrometheus": True}},
        "metrics.managedPrometheus",
        "on platform ec2",
        RM + "metrics.managedPrometheus'",
    ),
    Wrong(
        {"metrics": {"managedGrafana": True}},
        "metrics.managedGrafana",
        "on platform ec2",
        RM + "metrics.managedGrafana'",
    ),
    # Limits of AWS
    Wrong(
        {"tags": {"karpenter.sh/nodepool": "a"}},
        "tags.karpenter.sh/nodepool",
        "other keys",
        RM + 'tags["karpenter.sh/nodepool"]\'',
    ),
    Wrong({"cluster": {"admins": [IN_CHINA]}}, "cluster.admins.0", "ARN of an IAM role", "pulumi config set"),
    Wrong({"cluster": {"admins": [OF_A_SERVICE]}}, "cluster.admins.0", "not of a service-linked", "pulumi config set"),
    Wrong({"cluster": {"admins": [ADMIN, ADMIN]}}, "cluster.admins", "each once", RM + "cluster.admins[1]'"),
    Wrong({"cluster": {"endpointCidrs": ["10.0.0.0/8"]}}, "cluster.endpointCidrs", "public ranges", "public address"),
    Wrong(
        {"loadBalancer": DOMAIN, "models": {"small": model(hostName=LONG_NAME)}},
        "models.small.hostName",
        "up to 128 characters",
        "a shorter name",
    ),
    # Bounds
    Wrong({"scaling": {"minReplicas": 3, "maxReplicas": 2}}, "scaling.maxReplicas", "3 or more", "lower minReplicas"),
    Wrong({"scaling": {"fallbackReplicas": 9}}, "scaling.fallbackReplicas", "2 to 4", RM + "scaling.fallbackReplicas'"),
    Wrong({"scaling": {"fallbackReplicas": 1}}, "scaling.fallbackReplicas", "2 to 4", "fall back to minReplicas"),
    Wrong({"scaling": {"minReplicas": -1}}, "scaling.minReplicas", "0 to 400", "pulumi config set"),
    Wrong({"scaling": {"waitingRequestsPerReplica": 0}}, "scaling.waitingRequestsPerReplica", "1 to 1000", "set"),
    Wrong({"scaling": {"runningRequestsPerReplica": 0}}, "scaling.runningRequestsPerReplica", "1 to 4096", "set"),
    Wrong({"scaling": {"cooldownSeconds": 5}}, "scaling.cooldownSeconds", "30 to 3600", "set"),
    Wrong({"scaling": {"prometheusUrl": "prometheus:9090"}}, "scaling.prometheusUrl", "http://host:port", "set"),
    Wrong({"scaling": {"spread": "evenly"}}, "scaling.spread", "prefer, nodes, zones", "set"),
    # Who scrapes
    Wrong(
        {"scaling": {"prometheusUrl": "https://metrics.eu.example.com"}},
        "scaling.prometheusNamespace",
        "NAME.NAMESPACE.svc",
        "whose pods scrape",
    ),
    Wrong(
        {"scaling": {"prometheusUrl": "http://10.0.0.7:9090"}},
        "scaling.prometheusNamespace",
        "NAME",
        SET + "scaling.prometheusNamespace' NAMESPACE",
    ),
    Wrong(
        {"scaling": {"prometheusNamespace": "obs"}},
        "scaling.prometheusNamespace",
        "of a Prometheus in obs",
        SET + "scaling.prometheusUrl' http://NAME.obs.svc:9090",
    ),
    Wrong({"scaling": {"prometheusNamespace": "Ops"}}, "scaling.prometheusNamespace", "lower case", "config set"),
    # What only a host's script can do
    Wrong({"fleet": {"hosts": 4, "registryMirror": "https://cache.example.com"}}, "fleet.registryMirror", "ec2", "ECR"),
    Wrong(
        {"batch": {"maxUsd": 20}, "nodePool": {"provisioner": "managed"}, "fleet": {"hosts": 4}},
        "batch",
        "nodePool.provisioner: karpenter",
        SET + "nodePool.provisioner' karpenter",
    ),
    Wrong(
        {
            "batch": {"maxUsd": 20},
            "inference": SERVED | {"pipelineParallelSize": 2},
            "scaling": {"minReplicas": 1, "maxReplicas": 1},
        },
        "batch",
        "inference.pipelineParallelSize 1",
        RM + "batch'",
    ),
    Wrong({"fleet": {"maxHosts": 4, "followLoad": True}}, "fleet.followLoad", "ec2", "config rm"),
    Wrong({"fleet": {"hosts": 4, "holdAfterFirstHost": "1h"}}, "fleet.holdAfterFirstHost", "ec2", "config rm"),
    Wrong({"costGuard": {"idleAfter": "1h"}}, "costGuard.idleAfter", "ec2", "scaling.minReplicas"),
    Wrong(
        {
            "fleet": {
                "hosts": 4,
                "registryLoginSecretArn": "arn:aws:secretsmanager:us-east-1:000000000000:secret:hub-AbCdEf",
            }
        },
        "fleet.registryLoginSecretArn",
        "ec2",
        "ECR",
    ),
    # Requests that are refused before they are counted
    Wrong(
        {"inference": SERVED | {"maxQueuedRequests": 5}},
        "inference.maxQueuedRequests",
        "more than 5",
        SET + "inference.maxQueuedRequests' 10",
    ),
    Wrong(
        {"loadBalancer": DOMAIN, "models": {"small": model(inference=SERVED | {"maxQueuedRequests": 4})}},
        "models.small.inference.maxQueuedRequests",
        "more than 5",
        SET + "models.small.inference.maxQueuedRequests' 10",
    ),
    Wrong(
        {"inference": SERVED | {"maxNumSeqs": 31}},
        "scaling.runningRequestsPerReplica",
        "1 to 31",
        "inference.maxNumSeqs",
    ),
    Wrong(
        {
            "scaling": {"runningRequestsPerReplica": 257},
            "fleet": {"instanceTypes": ["p5.48xlarge", "g6.12xlarge"], "hosts": 2},
        },
        "scaling.runningRequestsPerReplica",
        "1 to 256",
        "inference.maxNumSeqs",
    ),
    # Drains
    Wrong({"scaling": {"minAvailable": 2}}, "scaling.minAvailable", "below minReplicas (2)", "raise minReplicas"),
    Wrong(
        {"scaling": {"minReplicas": 0, "minAvailable": 1}},
        "scaling.minAvailable",
        "below",
        RM + "scaling.minAvailable'",
    ),
    # GPUs that nobody has
    Wrong({"scaling": {"maxReplicas": 9}}, "scaling.maxReplicas", "up to 8", SET + "fleet.maxHosts' 5"),
    Wrong(
        {"fleet": {"hosts": 1, "instanceTypes": ["g6.12xlarge", "g7e.12xlarge"]}},
        "scaling.maxReplicas",
        "up to 1",
        SET + "fleet.maxHosts' 4",
    ),
    Wrong(
        {"nodePool": {"provisioner": "managed"}, "fleet": {"hosts": 1}}, "scaling.maxReplicas", "up to 2", "fleet.hosts"
    ),
    Wrong(
        {"inference": SERVED | {"pipelineParallelSize": 2}, "fleet": {"hosts": 2}},
        "scaling.maxReplicas",
        "up to 2",
        SET + "fleet.maxHosts' 4",
    ),
    Wrong(
        {"inference": SERVED | {"tensorParallelSize": 4}, "fleet": {"hosts": 2}},
        "scaling.maxReplicas",
        "up to 2",
        SET + "fleet.maxHosts' 4",
    ),
    Wrong(
        {
            "models": {
                "small": model(
                    inference=SERVED | {"tensorParallelSize": 8}, scaling={"minReplicas": 1, "maxReplicas": 1}
                )
            },
            "loadBalancer": DOMAIN,
        },
        "fleet.instanceTypes",
        "a multiple of 8",
        SET + "models.small.inference.tensorParallelSize' 4",
    ),
    Wrong(  # one of one GPU on each node, and none is whole
        {
            "fleet": {"instanceTypes": ["p5.48xlarge"], "maxHosts": 2},
            "inference": SERVED | {"tensorParallelSize": 1},
            "scaling": {"maxReplicas": 2},
            "models": {
                "large": model(
                    inference=SERVED | {"tensorParallelSize": 8}, scaling={"minReplicas": 1, "maxReplicas": 1}
                )
            },
            "loadBalancer": DOMAIN,
        },
        "scaling.maxReplicas",
        "on 2 nodes",
        SET + "fleet.maxHosts' 3",
    ),
    Wrong({"inference": SERVED | {"pipelineParallelSize": 3}}, "inference.pipelineParallelSize", "1, 2", "set"),
    # Spread
    Wrong(
        {"scaling": {"spread": "zones"}, "fleet": BLOCKED},
        "scaling.spread",
        "prefer or nodes, with a Capacity Block",
        "nodes",
    ),
    Wrong(
        {"scaling": {"spread": "zones"}, "fleet": RESERVED},
        "scaling.spread",
        "or reservations in one zone",
        "nodes",
    ),
    Wrong(
        {"scaling": {"spread": "zones", "minReplicas": 1}, "fleet": {"instanceTypes": ["g6.48xlarge"], "hosts": 1}},
        "scaling.spread",
        "as many fleet.maxHosts",
        SET + "scaling.spread' prefer",
    ),
    Wrong(
        {"scaling": {"spread": "nodes", "minReplicas": 3}, "fleet": {"instanceTypes": ["g6.48xlarge"], "hosts": 1}},
        "scaling.spread",
        "as many fleet.maxHosts",
        SET + "scaling.spread' prefer",
    ),
    Wrong(
        {
            "scaling": {"spread": "nodes", "minReplicas": 3},
            "fleet": {"instanceTypes": ["g6.48xlarge"], "hosts": 2},
            "nodePool": {"provisioner": "managed"},
        },
        "scaling.spread",
        "as many fleet.hosts",
        SET + "scaling.spread' prefer",
    ),
    Wrong(
        {
            "scaling": {"minAvailable": 1, "maxReplicas": 2},
            "inference": SERVED | {"pipelineParallelSize": 2},
            "fleet": {"hosts": 4},
        },
        "scaling.minAvailable",
        "one pipeline at a time",
        RM + "scaling.minAvailable'",
    ),
    # Leaving
    Wrong(
        {"timeouts": {"terminationGraceSeconds": 330}},
        "timeouts.terminationGraceSeconds",
        "360 s or more",
        SET + "timeouts.terminationGraceSeconds' 360",
    ),
    # What stops it
    Wrong({"costGuard": {"expiresAfter": "4h"}}, "costGuard.expiresAfter", "managed", "monthlyBudgetUsd works"),
    Wrong({"costGuard": {"expiresAt": "2026-12-24T18:00:00Z"}}, "costGuard.expiresAt", "managed", "managed"),
    Wrong({"costGuard": {"maxUsd": 100}}, "costGuard.maxUsd", "or on platform ec2", "managed"),
    Wrong({"costGuard": {"businessHours": {}}}, "costGuard.businessHours", "ec2", RM + "costGuard.businessHours'"),
    # One purchase
    Wrong(
        {"nodePool": {"provisioner": "managed"}, "fleet": {"hosts": 2, "onDemandBase": 1, "onDemandPercentage": 0}},
        "fleet.onDemandBase",
        "onDemandBase 0",
        "karpenter",
    ),
    Wrong(
        {"nodePool": {"provisioner": "managed"}, "fleet": {"hosts": 2, "onDemandPercentage": 50}},
        "fleet.onDemandPercentage",
        "0 or 100",
        "one purchase",
    ),
    Wrong(
        {"fleet": {"maxHosts": 4, "onDemandPercentage": 50}},
        "fleet.onDemandPercentage",
        "0 or 100",
        "fleet.onDemandBase",
    ),
    Wrong(
        {"nodePool": {"provisioner": "managed"}, "fleet": RESERVED},
        "fleet.capacityReservations",
        "karpenter",
        "karpenter",
    ),
    Wrong({"nodePool": {"provisioner": "managed"}, "fleet": BLOCKED}, "fleet.capacityBlock", "karpenter", "karpenter"),
    Wrong(
        {"nodePool": {"provisioner": "managed"}, "fleet": {"hosts": 2, "machineImageId": "ami-" + "0" * 17}},
        "fleet.machineImageId",
        "karpenter",
        "kubernetes.releases",
    ),
    # Names
    Wrong(
        {"loadBalancer": DOMAIN, "models": {"small": model(canary={"judge": JUDGE | {"keySecretArn": JUDGES_KEY}})}},
        "models.small.canary.judge.keySecretArn",
        "a secret in us-east-1",
        SET + "models.small.canary.judge.keySecretArn' ARN",
    ),
    Wrong({"models": {"small": model()}}, "models.small.hostName", "with loadBalancer.domainName", "hostedZoneId"),
    Wrong(
        {"loadBalancer": DOMAIN, "models": {"small": model(hostName="llm.example.com")}},
        "models.small.hostName",
        "a host name of its own",
        SET + "models.small.hostName' NAME",
    ),
    Wrong(
        {"loadBalancer": DOMAIN, "models": {"a": model(), "b": model(inference=SERVED | {"servedModelName": "b"})}},
        "models.b.hostName",
        "a host name of its own",
        SET + "models.b.hostName' NAME",
    ),
    Wrong({"loadBalancer": DOMAIN, "models": {"Small": model()}}, "models.Small", "lower-case letters", "config"),
    Wrong(
        {"loadBalancer": DOMAIN, "models": {"small": model(inference=SERVED | {"weights": "s3"})}},
        "models.small.inference.weightsS3Uri",
        "s3://bucket/path",
        SET + "models.small.inference.weightsS3Uri' s3://BUCKET/PATH",
    ),
    Wrong(
        {"loadBalancer": DOMAIN, "models": {"small": model(scaling={"minReplicas": 3, "maxReplicas": 1})}},
        "models.small.scaling.maxReplicas",
        "3 or more",
        "lower minReplicas",
    ),
    Wrong({"models": {"small": {"inference": SERVED}}}, "models.small.hostName", "a host name", "set"),
    # The cluster
    Wrong(
        {"cluster": {"endpoint": "private", "endpointCidrs": ["203.0.113.0/24"]}},
        "cluster.endpointCidrs",
        "endpoint: public",
        RM + "cluster.endpointCidrs'",
    ),
    Wrong({"cluster": {"admins": ["alice"]}}, "cluster.admins.0", "ARN of an IAM role", "set"),
    Wrong({"cluster": {"systemNodes": 1}}, "cluster.systemNodes", "2 to 10", "set"),
    # What one provisioner has alone
    Wrong(
        {"nodePool": {"provisioner": "managed"}, "fleet": {"hosts": 2, "maxHosts": 4}},
        "fleet.maxHosts",
        "unset with nodePool.provisioner: managed",
        "config rm",
    ),
    Wrong(
        {"nodePool": {"provisioner": "managed", "emptyMinutes": 20}, "fleet": {"hosts": 2}},
        "nodePool.emptyMinutes",
        "karpenter",
        "config rm",
    ),
    Wrong({"fleet": {"spareHosts": 1, "maxHosts": 4}}, "fleet.spareHosts", "unset beside", "minReplicas"),
    Wrong({"fleet": {"hosts": 2, "maxHosts": 4}}, "fleet.hosts", "unset beside", "minReplicas"),
    # Nodes that are replaced
    Wrong({"nodePool": {"expireAfterDays": 14}}, "nodePool.expireAfterDays", "replacementWindow", "config rm"),
    Wrong(
        {"nodePool": {"replacementWindow": {"hours": 24}}}, "nodePool.replacementWindow.hours", "1 to 23", "config set"
    ),
    Wrong(
        {"nodePool": {"replacementWindow": {"start": "2am"}}}, "nodePool.replacementWindow.start", "HH:MM", "config set"
    ),
    Wrong(
        {"nodePool": {"provisioner": "managed", "replacementWindow": {}}, "fleet": {"hosts": 2}},
        "nodePool.replacementWindow",
        "karpenter",
        "`pulumi up` when",
    ),
    Wrong(
        {
            "nodePool": {"provisioner": "managed"},
            "fleet": {"hosts": 2},
            "timeouts": {"terminationGraceSeconds": 901},
        },
        "timeouts.terminationGraceSeconds",
        "up to 870 s",
        "karpenter",
    ),
    # On the other platform
    Wrong(
        {"platform": "ec2", "scaling": {"minReplicas": 1}},
        "scaling.minReplicas",
        "platform: eks",
        SET + "platform' eks",
    ),
    Wrong({"platform": "ec2", "cluster": {"systemNodes": 3}}, "cluster", "platform: eks", SET + "platform' eks"),
    Wrong(
        {"platform": "ec2", "nodePool": {"image": "bottlerocket"}}, "nodePool", "platform: eks", SET + "platform' eks"
    ),
    Wrong(
        {"loadBalancer": DOMAIN, "models": {"small": model(fleet={"hosts": 2})}},
        "models.small.fleet",
        "on platform ec2",
        RM + "models.small.fleet'",
    ),
    Wrong(
        {"platform": "ec2", "inference": SERVED | {"pipelineParallelSize": 2}},
        "inference.pipelineParallelSize",
        "1 on platform ec2",
        "larger GPUs",
    ),
]


def settings(**changes: Any) -> Settings:
    texts = {
        f"tandem:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in (SOUND | changes).items()
    }
    return load(texts)


def refused(changes: dict[str, Any]) -> list[Problem]:
    with pytest.raises(UserError) as caught:
        settings(**changes)
    return list(caught.value.problems)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.key}-{list(wrong.settings)[-1]}")
def test_a_wrong_combination_is_named_with_its_remedy(wrong: Wrong) -> None:
    (problem,) = refused(wrong.settings)
    assert problem.key == wrong.key
    assert wrong.allowed in problem.allowed
    assert wrong.fix in problem.fix


def test_there_are_thirty_or_more() -> None:
    assert len({json.dumps(wrong.settings) for wrong in WRONG}) >= 30


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "nodePool": {"provisioner": "managed"},
            "fleet": {"hosts": 2},
            "costGuard": {"expiresAfter": "4h", "maxUsd": 100},
        },
        {"loadBalancer": DOMAIN, "models": {"small": model()}},
        {"inference": SERVED | {"pipelineParallelSize": 2}, "scaling": {"maxReplicas": 4}},
        {"scaling": {"minReplicas": 0, "maxReplicas": 8}},
        {"fleet": BLOCKED},
        THERE,
    ],
    ids=["as it is", "managed, expiring", "two models", "pipeline", "to zero", "capacity block", "a cluster there"],
)
def test_sound_combinations_pass(changes: dict[str, Any]) -> None:
    assert settings(**changes).platform == "eks"


@pytest.mark.parametrize(
    ("scaling", "namespace"),
    [
        ({}, "monitoring"),
        ({"prometheusUrl": "http://prometheus.observability:9090"}, "observability"),
        ({"prometheusUrl": "http://prom-server.ops.svc"}, "ops"),
        ({"prometheusUrl": "https://prom.ops.svc.cluster.local:9090/prefix"}, "ops"),
        ({"prometheusUrl": "https://metrics.eu.example.com", "prometheusNamespace": "agents"}, "agents"),
        ({"prometheusUrl": "http://query.thanos.svc:9090", "prometheusNamespace": "agents"}, "agents"),
    ],
)
def test_who_scrapes_is_told_by_the_address_or_by_name(scaling: dict[str, str], namespace: str) -> None:
    assert settings(scaling=scaling).scaling.scraped_from == namespace


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scaling": {"minReplicas": 0}}, "clients get 503 until one has started"),
        ({"scaling": {"minReplicas": 1}}, "takes the model away"),
        ({"cluster": {"endpoint": "private"}}, "inside the VPC"),
        (
            {"fleet": {"maxHosts": 5, "onDemandPercentage": 0}},
            "timeouts.longestGenerationSeconds is 300 and spot gives 120 s",
        ),
        ({"cluster": {}}, "who may reach it in cluster.endpointCidrs"),
        ({"network": {"egress": "publicHosts"}}, "namespaces can reach the servers' port"),
        ({"scaling": {"maxReplicas": 8}}, "no GPU is left for one more pod"),
        ({"nodePool": {"provisioner": "managed"}, "fleet": {"hosts": 3}}, "PodEvictionFailure"),
    ],
)
def test_what_may_surprise_is_said(changes: dict[str, Any], words: str) -> None:
    closed = {"cluster": {"endpointCidrs": ["203.0.113.0/24"]}, "alarms": {"enabled": False}}
    assert [words in warning for warning in rules.warnings(settings(**(closed | changes)))] == [True]
