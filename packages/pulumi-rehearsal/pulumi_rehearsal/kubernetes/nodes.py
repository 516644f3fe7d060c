"""GPU nodes that kwok plays: what a kubelet and NVIDIA's device plugin would report of an instance type.

Stands for: the kubelet and NVIDIA's device plugin of a node.
Held by: tests/real/test_kubelet.py::test_pods_and_nodes_report_what_kwok_plays_of_them (a real kubelet; its GPUs are
    played ones).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pulumi_rehearsal.instance_types import InstanceType
from pulumi_rehearsal.kubernetes.api import Api, Object, countdown

GPU = "nvidia.com/gpu"
GPU_NODE = "nvidia.com/gpu.present"
"""Label of NVIDIA's for nodes that have one."""

ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
CAPACITY_TYPE = "karpenter.sh/capacity-type"

TAKEN_CPU = ((1, 60), (1, 10), (2, 5), (1024, 2.5))
"""Processors, and thousandths of each that EKS's nodes keep for the system, from the first on:
https://github.com/awslabs/amazon-eks-ami/blob/main/nodeadm/internal/kubelet/config.go"""

TAKEN_MEMORY = 0.06
"""Part of a node's memory that the system keeps; close to what EKS reserves on large hosts."""

PODS = 110


def gpu_node(
    name: str,
    instance_type: InstanceType,
    zone: str,
    *,
    capacity_type: str = "on-demand",
    labels: dict[str, str] | None = None,
    taints: Sequence[Object] = (),
) -> Object:
    """A Node object.

    Args:
        zone: such as `us-east-1a`.
        capacity_type: `on-demand`, `spot` or `reserved`.
        taints: besides none; a pool's own.
    """
    resources = node_resources(instance_type)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                INSTANCE_TYPE: instance_type.name,
                ZONE: zone,
                REGION: zone[:-1],
                CAPACITY_TYPE: capacity_type,
                **({GPU_NODE: "true"} if instance_type.gpus else {}),
                **(labels or {}),
            },
        },
        "spec": {"taints": list(taints)},
        "status": {"allocatable": resources, "capacity": resources},
    }


def node_resources(instance_type: InstanceType) -> dict[str, str]:
    """What pods can have of it."""
    return {
        "cpu": f"{instance_type.vcpus * 1000 - _taken_cpu(instance_type.vcpus)}m",
        "memory": f"{int(instance_type.memory_gib * (1 - TAKEN_MEMORY))}Gi",
        "ephemeral-storage": f"{instance_type.nvme_gb or 100}G",
        "pods": str(PODS),
        GPU: str(instance_type.gpus),
    }


def _taken_cpu(vcpus: int) -> int:
    """Thousandths of a processor that the system keeps."""
    taken, left = 0.0, vcpus
    for processors, each in TAKEN_CPU:
        taken += min(left, processors) * each
        left -= min(left, processors)
    return int(taken)


def add_nodes(
    api: Api, zones: Iterable[str], instance_type: InstanceType, per_zone: int = 1, taints: Sequence[Object] = ()
) -> list[str]:
    """Adds nodes of a type to each zone; returns their names once they are ready."""
    names = []
    for zone in zones:
        for index in range(per_zone):
            name = f"{instance_type.name.replace('.', '-')}-{zone}-{index}"
            api.create(gpu_node(name, instance_type, zone, taints=taints))
            names.append(name)
    wait_for_nodes(api, names)
    return names


def wait_for_nodes(api: Api, names: Iterable[str], seconds: float = 30) -> None:
    """Waits until kwok says that the nodes are ready.

    Raises:
        TimeoutError: one is not, in time.
    """
    missing = set(names)
    for _ in countdown(seconds):
        missing -= {node["metadata"]["name"] for node in api.list("v1", "Node") if is_ready(node)}
        if not missing:
            return
    raise TimeoutError(f"not ready after {seconds:.0f} s: {', '.join(sorted(missing))}")


def is_ready(object: Object) -> bool:
    """Whether its condition `Ready` is true; nodes and pods have one."""
    conditions = object.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def gpus_of(pod: Object) -> int:
    """GPUs that a pod takes from its node."""

    return max(servers_gpus(pod), *_limits(pod["spec"].get("initContainers") or []), 0)


def servers_gpus(pod: Object) -> int:
    """GPUs that its servers see, when what comes before them is over."""
    return sum(_limits(pod["spec"]["containers"]))


def _limits(containers: Iterable[Object]) -> list[int]:
    return [int(container.get("resources", {}).get("limits", {}).get(GPU, 0)) for container in containers]


def has_gpus(node: Object) -> bool:
    """Whether pods can have GPUs of it."""
    return int(node["status"].get("allocatable", {}).get(GPU, 0)) > 0
