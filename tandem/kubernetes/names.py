"""Names in a stack's cluster: of objects that all models share, and of the labels by which others are found."""

from __future__ import annotations

NAMESPACE = "inference"
SERVICE_ACCOUNT = "inference"
PRIORITY_CLASS = "tandem-inference"
MODEL_CACHE = "model-cache"
SCRIPT = "in-pod"
BATCH = "batch"
"""Of what batches have beside the servers: the template of their pods, its account, its scripts, its policy."""
LOGGING, LOG_HANDLER, JUDGE = "logging.json", "server_log.py", "guessing.py"
"""Files of it, by which a server's lines leave its pod, and by which it judges its guesses."""
SERVES = "-serves"
"""After the name of a model's servers: of the object that tells that they serve."""
GIB = "Gi"

OF_STACK = "tandem/stack"
"""Label of what a cluster of somebody else's has once and a stack has taken: the stack."""
NODE_CLASS = "gpu"
POOL, RESERVED_POOL = "gpu", "gpu-reserved"
BASE_POOL = "gpu-base"
"""Of nodes on demand, which come first."""
BATCH_POOL = "gpu-batch"
"""Of nodes for batches alone."""
OF_BATCH = "tandem/batch"
"""Taint of these nodes; label of a batch's Jobs and pods, with its id."""
NODE_POOL = "karpenter.sh/nodepool"
"""Label of Karpenter's nodes: their pool (https://karpenter.sh/docs/concepts/scheduling/#labels)."""
GPU = "nvidia.com/gpu"
GPU_NODE = "nvidia.com/gpu.present"
"""Label of GPU nodes, by which NVIDIA's device plugin knows them, too."""
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"

VERSION = "tandem/version"
"""Label of pods: what their template was."""
HISTORY = 3
"""Versions before the wanted one that the cluster keeps, to go back to."""
SET = "leaderworkerset.sigs.k8s.io/name"
"""Label of a pipeline's pods: their LeaderWorkerSet."""
LEADER = "leaderworkerset.sigs.k8s.io/worker-index"
"""0 on the pod of a pipeline that answers."""
GROUP = "leaderworkerset.sigs.k8s.io/group-key"
"""The same on all pods of one replica, and on no other's."""


def server_name(model: str) -> str:
    """Of a model's Deployment, Service and pods."""
    return f"vllm-{model}"


def model_of(server: str) -> str:
    """The model of a name that `server_name` made."""
    return server.removeprefix(server_name(""))
