"""One model on Kubernetes: servers of two GPUs each, what may reach them, and what may disturb them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pulumi

from infra.kubernetes.names import (
    GIB,
    GPU,
    GPU_NODE,
    LEADER,
    MODEL_CACHE,
    NAMESPACE,
    PRIORITY_CLASS,
    SCRIPT,
    SERVICE_ACCOUNT,
    VERSION,
)
from infra.kubernetes.objects import Manifest, named
from infra.kubernetes.placement import beside_its_leader, spread
from infra.ports import SERVING_PORT
from infra.timing import DEREGISTRATION_SECONDS, STOP_MARGIN_SECONDS

WAIT_FOR, SKIP_AWAIT = "pulumi.com/waitFor", "pulumi.com/skipAwait"
"""https://www.pulumi.com/registry/packages/kubernetes/installation-configuration/#annotations"""
USER = 2000
"""The image's own unprivileged user; the model cache's access point has the same."""
PROBE_SECONDS = 10
LOOK_SECONDS = 30
"""For one look whether a server makes tokens, which takes `probe.SECONDS` (25) and the start of Python."""
HUNG_GRACE_SECONDS = DEREGISTRATION_SECONDS + 30
"""For a server that a probe gives up: it has no answer to end."""


@dataclass(frozen=True, kw_only=True)
class InferenceService:
    """What one model's servers need. Nothing in it is secret: secrets are files that their own driver mounts.

    Attributes:
        name: of the Deployment, and of all that belongs to it.
        image: by digest, or by tag while that is not pinned.
        arguments, environment: of `vllm serve`.
        model, revision, served_model_name, weights: as the settings have them; revision None is `main`.
        manifest: SHA-256 of the list of the model's files with their hashes; None is whatever the hub has.
        minimum_driver_branch: refuses nodes whose driver is older.
        gpus: of one pod, its tensor parallel size.
        nodes: pods of one replica, its pipeline parallel size.
        replicas: at first; the autoscaler moves it later.
        cpu, memory_gib: of one pod.
        target_group_arn: where the load balancer looks for it.
        api_keys_secret_arn, hugging_face_token_secret_arn: in Secrets Manager.
        launch_seconds: from start to first token, for download and start each.
        over_pcie: some GPUs reach each other over PCIe, where a start may hang; half of launch_seconds is for a first
            start then, and the next goes without.
        termination_grace_seconds: all that a leaving pod gets.
        launch_first: a change starts a new pod before an old one goes, which takes spare GPUs.
        min_available: replicas that drains leave alone; None lets them take one at a time.
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
    weights: Literal["efs", "nvme", "s3"]
    minimum_driver_branch: int
    gpus: int = 2
    nodes: int = 1
    replicas: int
    cpu: int
    memory_gib: int
    target_group_arn: pulumi.Input[str]
    api_keys_secret_arn: pulumi.Input[str]
    hugging_face_token_secret_arn: pulumi.Input[str] | None = None
    launch_seconds: int = 3600
    over_pcie: bool = False
    termination_grace_seconds: int = 420
    launch_first: bool = True
    min_available: int | None = None
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
        """Name of the Service. LeaderWorkerSet makes one with the model's name, by which stages find their leader."""
        return f"{self.name}-entry" if self.pipelined else self.name

    @property
    def entry_labels(self) -> dict[str, str]:
        """By which the pods that answer are found: all, or the leaders of pipelines."""
        return {**self.labels, **({LEADER: "0"} if self.pipelined else {})}

    @property
    def start_seconds(self) -> int:
        """For one start of the server."""
        return self.launch_seconds // 2 if self.over_pcie else self.launch_seconds

    @property
    def progress_seconds(self) -> int:
        """In which one more server makes a token: download and start each have their time, and a node some minutes."""
        return 2 * self.launch_seconds + 600


def surroundings(service: InferenceService) -> list[Manifest]:
    """What servers find when they come: keys, a name, a budget."""
    entry = named("Service", "v1", service.entry, NAMESPACE) | {
        "spec": {
            "selector": service.entry_labels,
            "ports": [{"name": "http", "port": SERVING_PORT, "targetPort": "http"}],
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
    return [_secrets(service), entry, budget, *([_peers(service)] if service.pipelined else [])]


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


def _secrets(service: InferenceService) -> Manifest:
    """Files that only the server reads: neither its arguments nor its environment, nor etcd, holds a secret."""
    objects: list[Manifest] = [
        {
            "objectName": service.api_keys_secret_arn,
            "objectType": "secretsmanager",
            # {"alice": "key"} becomes {"api-key": ["key"]}, which `vllm serve --config` reads.
            "jmesPath": [{"path": 'to_string({"api-key": values(@)})', "objectAlias": "vllm.yaml"}],
        }
    ]
    if service.hugging_face_token_secret_arn is not None:
        objects.append(
            {
                "objectName": service.hugging_face_token_secret_arn,
                "objectType": "secretsmanager",
                "objectAlias": "hub-token",
            }
        )
    return named("SecretProviderClass", "secrets-store.csi.x-k8s.io/v1", service.name, NAMESPACE) | {
        "spec": {
            "provider": "aws",
            "parameters": {"usePodIdentity": "true", "objects": pulumi.Output.json_dumps(objects)},
        }
    }


def _deployment(service: InferenceService) -> Manifest:
    surge, unavailable = (1, 0) if service.launch_first else (0, 1)
    return named("Deployment", "apps/v1", service.name, NAMESPACE) | {
        "spec": {
            "replicas": service.replicas,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": service.labels},
            "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
            "progressDeadlineSeconds": service.progress_seconds,
            "template": _pod(service, service.arguments),
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

    worker = _pod(service, arguments("$(LWS_WORKER_INDEX)", "--headless"), answers=False)
    return named("LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1", service.name, NAMESPACE) | {
        "spec": {
            "replicas": service.replicas,
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
                "leaderTemplate": _pod(service, arguments("0")),
                "workerTemplate": worker,
            },
        }
    }


def _pod(service: InferenceService, arguments: Sequence[str], *, answers: bool = True) -> Manifest:
    labels = {**service.labels, **({"tandem/pipeline": "true"} if service.pipelined else {})}
    scrape = {"prometheus.io/scrape": "true", "prometheus.io/port": str(SERVING_PORT), "prometheus.io/path": "/metrics"}
    return {
        "metadata": {"labels": labels, **({"annotations": scrape} if answers else {})},
        "spec": {
            "serviceAccountName": SERVICE_ACCOUNT,
            "automountServiceAccountToken": False,
            # A Service called vllm would set VLLM_PORT in every pod, and break the server.
            "enableServiceLinks": False,
            "priorityClassName": PRIORITY_CLASS,
            "terminationGracePeriodSeconds": service.termination_grace_seconds,
            "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
            # Without it nodes of the controllers would count as nodes over which to spread.
            "nodeSelector": {GPU_NODE: "true"},
            **({"topologySpreadConstraints": spread(service)} if answers else {"affinity": beside_its_leader(service)}),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": 0,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [_container(service, "prepare", ["python3", "/tandem/pod.py", "prepare"])],
            "containers": [_server(service, arguments, answers=answers)],
            "volumes": _volumes(service),
        },
    }


def _container(service: InferenceService, name: str, command: Sequence[str]) -> Manifest:
    """What every container of a pod has: the image, the files, no rights."""
    hub = "/local/hub" if service.weights == "nvme" else "/models/hub"
    alone = not service.pipelined
    pod = {
        "model": service.model,
        "revision": service.revision,
        "manifest": service.manifest,
        "served_model_name": service.served_model_name,
        "weights": service.weights,
        "minimum_driver_branch": service.minimum_driver_branch,
        "launch_seconds": service.launch_seconds,
        "start_seconds": service.start_seconds,
        "over_pcie": service.over_pcie,
        "port": SERVING_PORT,
    }
    values = {
        "TANDEM_POD": json.dumps(pod),
        "HOME": "/tmp",  # noqa: S108  a volume of the pod's own
        "HF_HUB_CACHE": hub,
        "HF_TOKEN_PATH": "/run/secrets/tandem/hub-token",
    }
    return {
        "name": name,
        "image": service.image,
        "command": list(command),
        # What `kubectl describe pod` shows of a pod that the hub refuses; a server's last words stay in its log.
        **({"terminationMessagePolicy": "FallbackToLogsOnError"} if name == "prepare" else {}),
        "env": [{"name": key, "value": value} for key, value in values.items()],
        "resources": {
            "requests": {"cpu": str(service.cpu), "memory": f"{service.memory_gib}{GIB}", GPU: str(service.gpus)},
            "limits": {"memory": f"{service.memory_gib}{GIB}", GPU: str(service.gpus)},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "script", "mountPath": "/tandem", "readOnly": True},
            {"name": "secrets", "mountPath": "/run/secrets/tandem", "readOnly": True},
            {"name": "models", "mountPath": "/models", "readOnly": name != "prepare"},
            {"name": "local", "mountPath": "/local"},
            # vLLM keys what it compiles by model, GPU and version; a restart, or a sibling, saves half a minute. Pods
            # of a pipeline start anew together, so that none could tell a damaged cache from itself: they share none.
            *([{"name": "models", "mountPath": "/cache", "subPath": f"compile/{service.name}"}] if alone else []),
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
        ],
    }


def _server(service: InferenceService, arguments: Sequence[str], *, answers: bool) -> Manifest:
    listen = ["--host", "0.0.0.0", "--port", str(SERVING_PORT), "--config", "/run/secrets/tandem/vllm.yaml"]  # noqa: S104
    through = [] if service.pipelined else ["python3", "/tandem/server.py", "serve"]
    container = _container(service, "vllm", [*through, "vllm", "serve", *arguments, *(listen if answers else [])])
    values = {
        **service.environment,
        "VLLM_CACHE_ROOT": "/local/cache",
        # Everything was fetched before; streaming from S3 needs no hub either.
        "HF_HUB_OFFLINE": "1",
    }
    container["env"] += [{"name": key, "value": value} for key, value in values.items()]
    if not answers:
        # It ends at once on SIGTERM, and the answers of its leader with it, which is told to go at the same moment.
        outlives = str(service.termination_grace_seconds - STOP_MARGIN_SECONDS)
        stays = {"exec": {"command": ["python3", "/tandem/server.py", "accompany", outlives]}}
        return container | {"lifecycle": {"preStop": stays}}
    token = {"exec": {"command": ["python3", "/tandem/server.py", "ready"]}, "timeoutSeconds": LOOK_SECONDS}
    hung = {"terminationGracePeriodSeconds": HUNG_GRACE_SECONDS}
    return container | {
        "ports": [{"name": "http", "containerPort": SERVING_PORT}],
        # A token, not an answer to /health: that stays 200 while an engine hangs.
        "startupProbe": token
        | {"periodSeconds": PROBE_SECONDS, "failureThreshold": -(-service.start_seconds // PROBE_SECONDS)}
        | hung,
        "readinessProbe": token | {"periodSeconds": PROBE_SECONDS, "failureThreshold": 3},
        "livenessProbe": token | {"periodSeconds": 3 * PROBE_SECONDS, "failureThreshold": 6} | hung,
        # The load balancer lets go of the pod, then SIGTERM comes, and running requests end within --shutdown-timeout.
        "lifecycle": {"preStop": {"sleep": {"seconds": DEREGISTRATION_SECONDS}}},
    }


def _volumes(service: InferenceService) -> list[Manifest]:
    """`local` is on the node's NVMe, which the node joins and gives to pods as ephemeral storage."""
    driver = {"driver": "secrets-store.csi.k8s.io", "readOnly": True}
    return [
        {"name": "script", "configMap": {"name": SCRIPT}},
        {"name": "secrets", "csi": driver | {"volumeAttributes": {"secretProviderClass": service.name}}},
        {"name": "models", "persistentVolumeClaim": {"claimName": MODEL_CACHE}},
        {"name": "local", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        # NCCL and vLLM's workers talk through it; the default of 64 MiB stops TP=2.
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"8{GIB}"}},
    ]
