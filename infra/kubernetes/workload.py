"""One model on Kubernetes: servers of two GPUs each by default, what may reach them, and what may disturb them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pulumi

from tandem.kubernetes.names import HISTORY, LEADER, NAMESPACE, VERSION
from tandem.ports import ROUTING_PORT, SERVING_PORT
from tandem.serving.engine import Adapter, Beside
from tandem.tasks import Task

from .edge import edge_files
from .objects import Manifest, named
from .pod import pod
from .shared import service_account

WAIT_FOR, SKIP_AWAIT = "pulumi.com/waitFor", "pulumi.com/skipAwait"
"""https://www.pulumi.com/registry/packages/kubernetes/installation-configuration/#annotations"""


@dataclass(frozen=True, kw_only=True)
class InferenceService:
    """What one model's servers need. Nothing in it is secret: who needs a secret reads it by the pods' role.

    Attributes:
        name: of the Deployment, and of all that belongs to it.
        image: by digest, or by tag while that is not pinned.
        arguments, environment: of `vllm serve`.
        model, task, revision, served_model_name, weights: as the settings have them; revision None is `main`.
        manifest: SHA-256 of the list of the model's files with their hashes; None is whatever the hub has.
        adapters: LoRA adapters of the model.
        draft: what guesses tokens for it; None for nothing of its own.
        minimum_driver_branch: refuses nodes whose driver is older.
        gpus: of one pod, its tensor parallel size.
        nodes: pods of one replica, its pipeline parallel size.
        replicas: at first; the autoscaler moves it later.
        cpu, memory_gib: of one server; what the edge beside it takes comes on top.
        edge_image, nginx: of the edge, by digest or tag, and its nginx.conf.
        service_account: by which its pods have their role.
        target_group_arn: where the load balancer looks for it.
        log_group_arn: where the edge's log goes; None keeps it in the pod.
        metrics: by which CloudWatch tells its figures from others'; None reports nothing.
        canary: what its pods ask their server; empty for nothing.
        keys_secret_arns: in Secrets Manager, with clients and digests of their keys, the issued ones first.
        hugging_face_token_secret_arn: in Secrets Manager.
        launch_seconds: from start to first token, for download and start each.
        over_pcie: some GPUs reach each other over PCIe, where a start may hang; half of launch_seconds is for a first
            start then, and the next goes without.
        termination_grace_seconds: all that a leaving pod gets.
        launch_first: a change starts a new pod before an old one goes, which takes spare GPUs.
        min_available: replicas that drains leave alone; None lets them take one at a time.
        routed: edges of its pods pass requests on to one another.
        spread_over: nodes that have a replica each before any has two; 1 lets them fill nodes as they come.
        spread_over_zones: zones that must be even, of so many at least; 1 keeps them even as far as GPUs allow.
    """

    name: str
    image: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    model: str
    revision: str | None
    manifest: str | None = None
    served_model_name: str
    task: Task = "generate"
    weights: Literal["efs", "nvme", "s3"]
    adapters: Sequence[Adapter] = ()
    draft: Beside | None = None
    minimum_driver_branch: int
    gpus: int
    nodes: int = 1
    replicas: int
    cpu: int
    memory_gib: int
    edge_image: str
    nginx: str
    service_account: str
    target_group_arn: pulumi.Input[str]
    keys_secret_arns: Sequence[pulumi.Input[str]]
    hugging_face_token_secret_arn: pulumi.Input[str] | None = None
    log_group_arn: pulumi.Input[str] | None = None
    metrics: Mapping[str, str] | None = None
    canary: str = ""
    launch_seconds: int = 3600
    over_pcie: bool = False
    termination_grace_seconds: int = 420
    launch_first: bool = True
    min_available: int | None = None
    routed: bool = False
    spread_over: int = 1
    spread_over_zones: int = 1

    @property
    def labels(self) -> dict[str, str]:
        """By which its pods are found."""
        return {"app.kubernetes.io/name": "vllm", "app.kubernetes.io/instance": self.name}

    @property
    def pipelined(self) -> bool:
        """A replica is several pods, which start and end together."""
        return self.nodes > 1

    @property
    def entry(self) -> str:
        """Name of the Service. A model that becomes pipelines, or stops being some, has both until `up` ends."""
        return f"{self.name}-entry" if self.pipelined else self.name

    @property
    def peers(self) -> str:
        """Name of the Service by which its edges know each other's pods."""
        return f"{self.name}-peers"

    @property
    def entry_labels(self) -> dict[str, str]:
        """By which the pods that answer are found: all, or the leaders of pipelines."""
        return {**self.labels, **({LEADER: "0"} if self.pipelined else {})}

    @property
    def kind(self) -> str:
        """Of what its servers compile, on one type of GPU."""
        decides = json.dumps([self.image, [*self.arguments], sorted(self.environment.items())])
        return hashlib.sha256(decides.encode()).hexdigest()[:12]

    @property
    def start_seconds(self) -> int:
        """For one start of the server."""
        return self.launch_seconds // 2 if self.over_pcie else self.launch_seconds

    @property
    def progress_seconds(self) -> int:
        """In which one more server makes a token: download and start each have their time, and a node some minutes."""
        return 2 * self.launch_seconds + 600


def surroundings(service: InferenceService) -> list[Manifest]:
    """What servers find when they come: an account, their edge's files, a name, a budget."""
    entry = named("Service", "v1", service.entry, NAMESPACE) | {
        "spec": {
            "selector": service.entry_labels,
            "ports": [{"name": "http", "port": SERVING_PORT, "targetPort": SERVING_PORT}],
        }
    }
    # It is there before the pods to which it leads.
    entry["metadata"]["annotations"] = {SKIP_AWAIT: "true"}
    budget = named("PodDisruptionBudget", "policy/v1", service.name, NAMESPACE) | {
        "spec": {
            "selector": {"matchLabels": service.labels},
            # A pod that is not ready serves nobody: it must not hold up a drain.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            **({"minAvailable": service.min_available} if service.min_available else {"maxUnavailable": 1}),
        }
    }
    # Models of the hub share an account, which is there already.
    own = [service_account(service.name)] if service.service_account == service.name else []
    return [*own, edge_files(service), entry, budget, *_among(service)]


def way_in(service: InferenceService) -> Manifest:
    """Pods that come after it count as ready only once the load balancer sends them requests."""
    manifest = named("TargetGroupBinding", "elbv2.k8s.aws/v1beta1", service.name, NAMESPACE) | {
        "spec": {
            "targetGroupARN": service.target_group_arn,
            "targetType": "ip",
            "serviceRef": {"name": service.entry, "port": SERVING_PORT},
        }
    }
    manifest["metadata"]["annotations"] = {WAIT_FOR: "jsonpath={.status.observedGeneration}"}
    return manifest


def servers(service: InferenceService) -> Manifest:
    """The Deployment, or the LeaderWorkerSet of pipelines. The provider does not wait for it: serving.py does."""
    manifest = _pipeline(service) if service.pipelined else _deployment(service)
    manifest["metadata"]["annotations"] = {WAIT_FOR: "jsonpath={.metadata.uid}"}
    version = hashlib.sha256(json.dumps(_templates(manifest), sort_keys=True).encode()).hexdigest()[:12]
    # Of the object a label, which no way back touches: where its template has another, somebody has gone back.
    manifest["metadata"]["labels"] = {VERSION: version}
    for template in _templates(manifest):
        template["metadata"]["labels"][VERSION] = version
    return manifest


def version_of(servers: Manifest) -> str:
    """By which pods of this version are told from others'."""
    return _templates(servers)[0]["metadata"]["labels"][VERSION]


def _templates(servers: Manifest) -> list[Manifest]:
    spec = servers["spec"]
    group = spec.get("leaderWorkerTemplate", {})
    return [group["leaderTemplate"], group["workerTemplate"]] if group else [spec["template"]]


def _among(service: InferenceService) -> list[Manifest]:
    """What pods of one model have of one another."""
    routed = [_routed(service), _addresses(service)] if service.routed else []
    return [*([_peers(service)] if service.pipelined else []), *routed]


def _addresses(service: InferenceService) -> Manifest:
    """A name for the addresses of all pods that serve."""
    ports = [{"name": "edge", "port": ROUTING_PORT, "targetPort": ROUTING_PORT}]
    manifest = named("Service", "v1", service.peers, NAMESPACE) | {
        "spec": {"clusterIP": "None", "selector": service.entry_labels, "ports": ports}
    }
    manifest["metadata"]["annotations"] = {SKIP_AWAIT: "true"}
    return manifest


def _routed(service: InferenceService) -> Manifest:
    """Edges of one model's pods reach each other's, and nobody else does."""
    way = {"ports": [{"port": ROUTING_PORT, "protocol": "TCP"}]}
    peers = [{"podSelector": {"matchLabels": service.labels}}]
    return named("NetworkPolicy", "networking.k8s.io/v1", f"{service.name}-routed", NAMESPACE) | {
        "spec": {
            "podSelector": {"matchLabels": service.labels},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [way | {"from": peers}],
            "egress": [way | {"to": peers}],
        }
    }


def _peers(service: InferenceService) -> Manifest:
    """Stages of one model's pipelines exchange what they compute, on any port; those of another model do not."""
    peers = [{"podSelector": {"matchLabels": service.labels}}]
    return named("NetworkPolicy", "networking.k8s.io/v1", f"{service.name}-peers", NAMESPACE) | {
        "spec": {
            "podSelector": {"matchLabels": service.labels},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peers}],
            "egress": [{"to": peers}],
        }
    }


def _deployment(service: InferenceService) -> Manifest:
    surge, unavailable = (1, 0) if service.launch_first else (0, 1)
    return named("Deployment", "apps/v1", service.name, NAMESPACE) | {
        "spec": {
            "replicas": service.replicas,
            "revisionHistoryLimit": HISTORY,
            "selector": {"matchLabels": service.labels},
            "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
            "progressDeadlineSeconds": service.progress_seconds,
            "template": pod(service, service.arguments),
        }
    }


def _pipeline(service: InferenceService) -> Manifest:
    """A replica over several nodes: a leader that answers, workers that hold the other layers; all start and end
    together."""

    def arguments(rank: str, *more: str) -> list[str]:
        leader = "$(LWS_LEADER_ADDRESS)"
        group = ["--nnodes", str(service.nodes), "--node-rank", rank, "--master-addr", leader]
        # So long stages wait for each other, not PyTorch's 10 minutes: a worker's node, image and weights may take more
        # time, and a leader that gives up takes the worker along, which would begin anew.
        return [*service.arguments, *group, "--distributed-timeout-seconds", str(service.start_seconds), *more]

    worker = pod(service, arguments("$(LWS_WORKER_INDEX)", "--headless"), answers=False)
    return named("LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1", service.name, NAMESPACE) | {
        "spec": {
            "replicas": service.replicas,
            # A Service for each pipeline: one with the model's name is a Deployment's, which may be there, too.
            "networkConfig": {"subdomainPolicy": "UniquePerReplica"},
            "rolloutStrategy": {
                "type": "RollingUpdate",
                "rollingUpdateConfiguration": {
                    "maxSurge": 1 if service.launch_first else 0,
                    "maxUnavailable": 0 if service.launch_first else 1,
                },
            },
            "leaderWorkerTemplate": {
                "size": service.nodes,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": pod(service, arguments("0")),
                "workerTemplate": worker,
            },
        }
    }
