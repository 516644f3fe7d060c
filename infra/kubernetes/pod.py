"""A pod of a model: who runs in it, what each of its containers sees, and what it may."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tandem.kubernetes.names import (
    GIB,
    GPU,
    GPU_NODE,
    JUDGE,
    LOG_HANDLER,
    LOGGING,
    MODEL_CACHE,
    NAMESPACE,
    PRIORITY_CLASS,
    SCRIPT,
)
from tandem.ports import EDGE_AGENT_PORT, EDGE_METRICS_PORT, SERVER_PORT
from tandem.serving.engine import told
from tandem.tasks import probe
from tandem.timing import DEREGISTRATION_SECONDS, STOP_MARGIN_SECONDS

from .edge import AGENT, EDGE, edge_version, edge_volumes, secrets_variable, sidecars
from .objects import Manifest
from .placement import beside_its_leader, spread

if TYPE_CHECKING:
    from .workload import InferenceService

USER = 2000
"""The image's own unprivileged user; the model cache's access point has the same."""
UNPRIVILEGED = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": 0,
    "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
PROBE_SECONDS = 10
LOOK_SECONDS = 30
"""For one look whether a server makes tokens, which takes `probe.SECONDS` (25) and the start of Python."""
LOG = "/log"
"""Has what the server's lines need, what judges its guesses, and no module by whose name it could mean another."""
KEEPER, WORKER = "keeper", "worker"
HUNG_GRACE_SECONDS = DEREGISTRATION_SECONDS + 30
"""For a server that a probe gives up: it has no answer to end."""


def pod(service: InferenceService, arguments: Sequence[str], *, answers: bool = True) -> Manifest:
    labels = {**service.labels, **({"tandem/pipeline": "true"} if service.pipelined else {})}
    return {
        "metadata": {"labels": labels, "annotations": _annotations(service, answers=answers)},
        "spec": {
            "serviceAccountName": service.service_account,
            "automountServiceAccountToken": False,
            # A Service called vllm would set VLLM_PORT in every pod, and break the server.
            "enableServiceLinks": False,
            "priorityClassName": PRIORITY_CLASS,
            "terminationGracePeriodSeconds": service.termination_grace_seconds,
            "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
            # Without it nodes of the controllers would count as nodes over which to spread.
            "nodeSelector": {GPU_NODE: "true"},
            **({"topologySpreadConstraints": spread(service)} if answers else {"affinity": beside_its_leader(service)}),
            "securityContext": UNPRIVILEGED,
            # Who may enter is known before anything is downloaded.
            "initContainers": [
                *(sidecars(service, container(service, AGENT, ["python3", "/tandem/agent.py"])) if answers else []),
                *([] if service.pipelined else [_keeper(service)]),
                preparation(service),
            ],
            "containers": [_server(service, arguments, answers=answers)],
            "volumes": [*volumes(), *([_log_volume(), *edge_volumes(service)] if answers else [])],
        },
    }


def _annotations(service: InferenceService, *, answers: bool) -> Mapping[str, str]:
    """Who of the pod has no role: the server and its edge. Only to stream its weights a server needs one.
    https://github.com/aws/amazon-eks-pod-identity-webhook (`skip-containers`)"""
    without = [
        *(["vllm"] if service.weights != "s3" else []),
        *([EDGE] if answers else []),
        *([] if service.pipelined else [KEEPER]),
    ]
    scrape = {"scrape": "true", "port": str(EDGE_METRICS_PORT), "path": "/metrics"}
    return {
        **({"eks.amazonaws.com/skip-containers": ",".join(without)} if without else {}),
        **({"tandem/edge": edge_version(service)} if answers else {}),
        **({f"prometheus.io/{key}": value for key, value in scrape.items()} if answers else {}),
    }


def container(service: InferenceService, name: str, command: Sequence[str]) -> Manifest:
    """What every container of the server's image has: the settings, and no rights."""
    pod = {
        "model": service.model,
        "revision": service.revision,
        "manifest": service.manifest,
        "served_model_name": service.served_model_name,
        "probe": probe(service.task, service.served_model_name),
        "weights": service.weights,
        "minimum_driver_branch": service.minimum_driver_branch,
        "launch_seconds": service.launch_seconds,
        "start_seconds": service.start_seconds,
        "over_pcie": service.over_pcie,
        "kind": service.kind,
        "port": SERVER_PORT,
        "agent_port": EDGE_AGENT_PORT,
        "metrics": service.metrics,
        **told(service.adapters, service.draft),
        **({"peers": f"{service.peers}.{NAMESPACE}.svc"} if service.routed else {}),
    }
    variables = [{"name": "TANDEM_POD", "value": json.dumps(pod)}]
    return {
        "name": name,
        "image": service.image,
        "command": list(command),
        "env": variables if name in ("vllm", KEEPER, WORKER) else [*variables, secrets_variable(service)],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def with_gpus(service: InferenceService) -> Manifest:
    return {
        "resources": {
            "requests": {"cpu": str(service.cpu), "memory": f"{service.memory_gib}{GIB}", GPU: str(service.gpus)},
            "limits": {"memory": f"{service.memory_gib}{GIB}", GPU: str(service.gpus)},
        }
    }


def preparation(service: InferenceService) -> Manifest:
    """It alone writes the weights that models share, and has the hub's token."""
    made = container(service, "prepare", ["python3", "/tandem/pod.py", "prepare"])
    made["env"].append({"name": "HOME", "value": "/tmp"})  # noqa: S108  a volume of the pod's own
    # What `kubectl describe pod` shows of a pod that the hub refuses; a server's last words stay in its log.
    made["terminationMessagePolicy"] = "FallbackToLogsOnError"
    return made | with_gpus(service) | {"volumeMounts": [MOUNTS[name] for name in ("script", "models", "local", "tmp")]}


def _keeper(service: InferenceService) -> Manifest:
    """Beside a server, which reads what pods of its model kept: it alone writes there, and nobody sends it anything."""
    return container(service, KEEPER, ["python3", "/tandem/server.py", "attend"]) | {
        "restartPolicy": "Always",
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        "volumeMounts": [MOUNTS["script"], MOUNTS["local"] | {"readOnly": True}, _kept(service)],
    }


def _kept(service: InferenceService) -> Manifest:
    return {"name": "models", "mountPath": "/cache", "subPath": f"compile/{service.name}"}


MOUNTS: Mapping[str, Manifest] = {
    "script": {"name": "script", "mountPath": "/tandem", "readOnly": True},
    "models": {"name": "models", "mountPath": "/models"},
    "local": {"name": "local", "mountPath": "/local"},
    "tmp": {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
    "shm": {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
}


def _of_a_server(service: InferenceService) -> list[Manifest]:
    """Of the file system that models share it reads its own weights, where they are there, and what its pods kept."""
    beside = (*service.adapters, *([service.draft] if service.draft else []))
    models = dict.fromkeys([service.model, *(one.model for one in beside)])
    owns = [f"hub/models--{model.replace('/', '--')}" for model in models]
    weights = [{"name": "models", "mountPath": f"/models/{own}", "subPath": own, "readOnly": True} for own in owns]
    # Begun with what an earlier pod of its kind has kept, its own is compiled half a minute sooner. Pods of a pipeline
    # start anew together, so that none could tell a damaged cache from itself: they share none.
    return [
        *(MOUNTS[name] for name in ("script", "local", "tmp", "shm")),
        *(weights if service.weights == "efs" else []),
        *([] if service.pipelined else [_kept(service) | {"readOnly": True}]),
    ]


def hub(weights: str) -> str:
    """Hub cache in the container of a pod's server."""
    return "/models/hub" if weights == "efs" else "/local/hub"


def with_vllm(service: InferenceService, command: Sequence[str], more: Mapping[str, str] | None = None) -> Manifest:
    """A container that runs vLLM on the pod's GPUs, with what was prepared.

    Args:
        more: variables.
    """
    values = {
        "HOME": "/tmp",  # noqa: S108  a volume of the pod's own
        "HF_HUB_CACHE": hub(service.weights),
        # Everything was fetched before; streaming from S3 needs no hub either.
        "HF_HUB_OFFLINE": "1",
        **service.environment,
        "VLLM_CACHE_ROOT": "/local/cache",
        **(more or {}),
    }
    made = container(service, "vllm", command)
    made["env"] += [{"name": key, "value": value} for key, value in values.items()]
    return made | with_gpus(service) | {"volumeMounts": _of_a_server(service)}


def _server(service: InferenceService, arguments: Sequence[str], *, answers: bool) -> Manifest:
    listen = ["--host", "127.0.0.1", "--port", str(SERVER_PORT)]
    through = [] if service.pipelined else ["python3", "/tandem/server.py", "serve"]
    # The agent, which takes lines, is beside an edge.
    logging = {"VLLM_LOGGING_CONFIG_PATH": f"{LOG}/{LOGGING}", "PYTHONPATH": LOG} if answers else {}
    server = with_vllm(service, [*through, "vllm", "serve", *arguments, *(listen if answers else [])], logging)
    server["volumeMounts"] += [{"name": "log", "mountPath": LOG, "readOnly": True}] if answers else []
    if not answers:
        # It ends at once on SIGTERM, and the answers of its leader with it, which is told to go at the same moment.
        outlives = str(service.termination_grace_seconds - STOP_MARGIN_SECONDS)
        stays = {"exec": {"command": ["python3", "/tandem/server.py", "accompany", outlives]}}
        return server | {"lifecycle": {"preStop": stays}}
    token = {"exec": {"command": ["python3", "/tandem/server.py", "ready"]}, "timeoutSeconds": LOOK_SECONDS}
    hung = {"terminationGracePeriodSeconds": HUNG_GRACE_SECONDS}
    return server | {
        # A token, not an answer to /health: that stays 200 while an engine hangs.
        "startupProbe": token
        | {"periodSeconds": PROBE_SECONDS, "failureThreshold": -(-service.start_seconds // PROBE_SECONDS)}
        | hung,
        "readinessProbe": token | {"periodSeconds": PROBE_SECONDS, "failureThreshold": 3},
        "livenessProbe": token | {"periodSeconds": 3 * PROBE_SECONDS, "failureThreshold": 6} | hung,
        # The load balancer lets go of the pod, then SIGTERM comes, and running requests end within --shutdown-timeout.
        "lifecycle": {"preStop": {"sleep": {"seconds": DEREGISTRATION_SECONDS}}},
    }


def _log_volume() -> Manifest:
    items = [{"key": name, "path": name} for name in (LOGGING, LOG_HANDLER, JUDGE)]
    return {"name": "log", "configMap": {"name": SCRIPT, "items": items}}


def volumes() -> list[Manifest]:
    """`local` is on the node's NVMe, which the node joins and gives to pods as ephemeral storage."""
    return [
        {"name": "script", "configMap": {"name": SCRIPT}},
        {"name": "models", "persistentVolumeClaim": {"claimName": MODEL_CACHE}},
        {"name": "local", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        # NCCL and vLLM's workers talk through it; the default of 64 MiB stops TP=2.
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"8{GIB}"}},
    ]
