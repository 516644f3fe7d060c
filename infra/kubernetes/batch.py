"""What `tandem batch` makes its pods from: a template that nothing acts on until a Job names it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from tandem.kubernetes.names import BATCH, BATCH_POOL, GPU, NAMESPACE, NODE_POOL, OF_BATCH, SCRIPT
from tandem.scripts import shared, sources

from .objects import Manifest, named
from .pod import MOUNTS, UNPRIVILEGED, WORKER, container, preparation, volumes, with_vllm
from .shared import service_account, ways_out
from .workload import InferenceService

job = shared("job", "batch")
GRACE_SECONDS = 60
"""For the worker to keep what is answered, then for vLLM, which has nothing to end."""
LOOK_SECONDS = 30
LABELS = {"app.kubernetes.io/name": "vllm-batch"}
SOCKET = "/batch/batch.sock"


@dataclass(frozen=True, kw_only=True)
class BatchPods:
    """What the pods of batches need.

    Attributes:
        service: the model, and how its servers are told to run.
        url, region: of the bucket.
        ports: which pods reach anywhere, beside HTTPS.
    """

    service: InferenceService
    url: pulumi.Input[str]
    region: str
    ports: tuple[int, ...] = ()


def batch_objects(pods: BatchPods) -> list[Manifest]:
    """An account, scripts, a way out, and the template."""
    policy = named("NetworkPolicy", "networking.k8s.io/v1", BATCH, NAMESPACE) | {
        "spec": {
            "podSelector": {"matchLabels": LABELS},
            "policyTypes": ["Ingress", "Egress"],
            "egress": ways_out(pods.ports),
        }
    }
    scripts = named("ConfigMap", "v1", BATCH, NAMESPACE) | {"data": sources("batch")}
    template = named("PodTemplate", "v1", BATCH, NAMESPACE) | {"template": _pod(pods)}
    return [service_account(BATCH), scripts, policy, template]


def _pod(pods: BatchPods) -> Manifest:
    """The worker's end is the pod's: vLLM beside it is begun anew whatever ended it, and ends with the pod."""
    service = pods.service
    without = {"eks.amazonaws.com/skip-containers": "vllm"} if service.weights != "s3" else {}
    return {
        "metadata": {"labels": LABELS, "annotations": without},
        "spec": {
            "serviceAccountName": BATCH,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "tolerations": [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in (GPU, OF_BATCH)],
            "nodeSelector": {NODE_POOL: BATCH_POOL},
            "securityContext": UNPRIVILEGED,
            "initContainers": [preparation(service), _runner(service)],
            "containers": [_worker(pods)],
            "volumes": [_with_scripts(one) for one in volumes()] + [{"name": "batch", "emptyDir": {}}],
        },
    }


def _with_scripts(volume: Manifest) -> Manifest:
    """A pod has those of servers beside its own."""
    if volume["name"] != "script":
        return volume
    return {"name": "script", "projected": {"sources": [{"configMap": {"name": name}} for name in (SCRIPT, BATCH)]}}


def _runner(service: InferenceService) -> Manifest:
    """The worker says when it has come; one that does not is begun anew, over PCIe without peer-to-peer."""
    # With -P no module of ours is what vLLM means by a name.
    command = ["python3", "-P", "/tandem/runner.py", SOCKET, *job.for_batches(service.arguments)]
    runner = with_vllm(service, ["python3", "/tandem/server.py", "serve", *command])
    runner["volumeMounts"].append({"name": "batch", "mountPath": "/batch"})
    came = {"exec": {"command": ["test", "-e", "/local/opened"]}, "periodSeconds": LOOK_SECONDS}
    return runner | {
        "restartPolicy": "Always",
        "livenessProbe": came | {"failureThreshold": -(-service.start_seconds // LOOK_SECONDS)},
    }


def _worker(pods: BatchPods) -> Manifest:
    """In the room that servers' pods have for their edge (capacity.EDGE_MEMORY_GIB)."""
    worker = container(pods.service, WORKER, ["python3", "/tandem/in_pod.py"])
    told = {"url": pods.url, "region": pods.region, "at_once": job.at_once(pods.service.arguments)}
    worker["env"].append({"name": "TANDEM_BATCH", "value": pulumi.Output.json_dumps(told)})
    mounts = [MOUNTS["script"], MOUNTS["local"], {"name": "batch", "mountPath": "/batch"}]
    return worker | {
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
