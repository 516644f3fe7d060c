"""The edge of a pod: nginx before its server, and an agent that tells it who may enter.

Both are native sidecars: they start before the server and end after it, so an answer that is on its way when the pod
leaves ends whole. They run apart from it, without its files: the server has no way to what the edge knows, and the edge
none to a role of AWS's.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pulumi

from tandem.edge import EDGE_COMMAND
from tandem.kubernetes.names import NAMESPACE
from tandem.ports import EDGE_METRICS_PORT, ROUTING_PORT, SERVING_PORT
from tandem.scripts import edge_script

from .objects import Manifest, named

if TYPE_CHECKING:
    from .workload import InferenceService

AGENT, EDGE = "keys", "edge"
FILES, RUN = "/etc/tandem", "/run/tandem"
SECRETS, CANARY = "secrets.json", "canary.json"


def edge_files(service: InferenceService) -> Manifest:
    """nginx's configuration, where its log goes, where the secrets are: of them this is all that Kubernetes knows."""
    secrets = {
        "keys": list(service.keys_secret_arns),
        "hubToken": service.hugging_face_token_secret_arn,
        "log": service.log_group_arn,
    }
    return named("ConfigMap", "v1", f"{service.name}-edge", NAMESPACE) | {
        "data": {
            "nginx.conf": service.nginx,
            "edge.js": edge_script(),
            SECRETS: pulumi.Output.json_dumps(secrets),
            **({CANARY: service.canary} if service.canary else {}),
        }
    }


def edge_version(service: InferenceService) -> str:
    """Changes with what a pod reads only when it starts."""
    parts = (service.nginx, edge_script(), str(len(service.keys_secret_arns)), *filter(None, [service.canary]))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def canary_version(service: InferenceService) -> str:
    """Changes with all that makes the answers, and with what is asked: one that differs in nothing is proven already.
    It is the pod's own, since the document may become another one while the pod runs."""
    parts = (service.canary, service.image, service.manifest, [*service.arguments])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def secrets_variable(service: InferenceService) -> Manifest:
    """Tells a container where the secrets are that its role may read."""
    return {
        "name": "TANDEM_SECRETS",
        "valueFrom": {"configMapKeyRef": {"name": f"{service.name}-edge", "key": SECRETS}},
    }


def sidecars(service: InferenceService, agent: Manifest) -> list[Manifest]:
    """The agent, then the edge, which looks for keys where the agent keeps them.

    Args:
        agent: what each container of the server's image has.
    """
    files = {"name": "edge", "mountPath": FILES, "readOnly": True}
    version = [{"name": "TANDEM_VERSION", "value": canary_version(service)}] if service.canary else []
    keys = agent | {
        "env": [*agent["env"], *version],
        "restartPolicy": "Always",
        # What `kubectl describe pod` shows where the secrets cannot be read.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "startupProbe": {"exec": {"command": ["test", "-e", f"{RUN}/keys"]}, "periodSeconds": 1}
        | {"failureThreshold": 60},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [
            {"name": "script", "mountPath": "/tandem", "readOnly": True},
            {"name": "edge-run", "mountPath": RUN},
            *([files, _proven(service)] if service.canary else []),
        ],
        **({"readinessProbe": {"exec": {"command": ["test", "-e", f"{RUN}/canary.open"]}}} if service.canary else {}),
    }
    edge = {
        "name": EDGE,
        "image": service.edge_image,
        "restartPolicy": "Always",
        "command": list(EDGE_COMMAND),
        "ports": [
            {"name": "http", "containerPort": SERVING_PORT},
            {"name": "metrics", "containerPort": EDGE_METRICS_PORT},
            *([{"name": "peers", "containerPort": ROUTING_PORT}] if service.routed else []),
        ],
        # Through the edge to the server, as the load balancer asks: the pod is ready when both are.
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": SERVING_PORT}, "timeoutSeconds": 5},
        "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "704Mi"}},
        "securityContext": agent["securityContext"],
        "volumeMounts": [
            files,
            {"name": "edge-run", "mountPath": RUN},
            {"name": "edge-tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }
    return [keys, edge]


def _proven(service: InferenceService) -> Manifest:
    """Where pods of a model tell others that their version has passed its canary."""
    return {"name": "models", "mountPath": "/proven", "subPath": f"canary/{service.name}"}


def edge_volumes(service: InferenceService) -> list[Manifest]:
    """`edge-run` in memory: digests of keys, and no key. `edge-tmp` holds requests that are larger than a buffer."""
    return [
        {"name": "edge", "configMap": {"name": f"{service.name}-edge"}},
        {"name": "edge-run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        {"name": "edge-tmp", "emptyDir": {}},
    ]
