"""What all models of a stack share on Kubernetes: namespace, priority, policies, model cache, the pods' script."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pulumi

from tandem.kubernetes.names import GIB, LOGGING, MODEL_CACHE, NAMESPACE, PRIORITY_CLASS, SCRIPT, SERVICE_ACCOUNT
from tandem.ports import EDGE_AGENT_PORT, EDGE_METRICS_PORT, SERVING_PORT
from tandem.scripts import sources
from tandem.serving.vllm import logging_configuration

from .objects import Manifest, named


def shared_objects(
    *,
    file_system_id: pulumi.Input[str],
    access_point_id: pulumi.Input[str],
    load_balancer_networks: Sequence[str],
    monitoring_namespaces: Sequence[str],
    ports: Sequence[int] = (),
) -> list[Manifest]:
    """Priority, default deny, model cache, and the script that pods run; the namespace itself comes before them.

    Args:
        ports: which servers reach anywhere, beside HTTPS.
    """
    return [
        named("PriorityClass", "scheduling.k8s.io/v1", PRIORITY_CLASS)
        | {"value": 1_000_000, "description": "Servers of tandem; batch work yields to them."},
        service_account(SERVICE_ACCOUNT),
        named("ConfigMap", "v1", SCRIPT, NAMESPACE) | {"data": _scripts()},
        *_model_cache(file_system_id, access_point_id),
        *_network_policies(load_balancer_networks, monitoring_namespaces, ports),
    ]


def _scripts() -> Mapping[str, str]:
    return {**sources("pod", "shared"), LOGGING: json.dumps(logging_configuration(EDGE_AGENT_PORT), indent=1)}


def namespace() -> Manifest:
    """The namespace, with the strictest admission, and pods that count as ready only once the load balancer agrees."""
    manifest = named("Namespace", "v1", NAMESPACE)
    manifest["metadata"]["labels"] = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "elbv2.k8s.aws/pod-readiness-gate-inject": "enabled",
    }
    return manifest


def service_account(name: str) -> Manifest:
    """By which pods have a role of AWS's; of Kubernetes they want nothing."""
    return named("ServiceAccount", "v1", name, NAMESPACE) | {"automountServiceAccountToken": False}


def _model_cache(file_system_id: pulumi.Input[str], access_point_id: pulumi.Input[str]) -> list[Manifest]:
    """A volume that is there already, so that no provisioner makes, or deletes, a file system."""
    handle = pulumi.Output.concat(file_system_id, "::", access_point_id)
    size = {"storage": f"1024{GIB}"}  # EFS has no size; Kubernetes wants one
    volume = named("PersistentVolume", "v1", MODEL_CACHE) | {
        "spec": {
            "capacity": size,
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "mountOptions": ["tls", "iam"],
            "csi": {"driver": "efs.csi.aws.com", "volumeHandle": handle},
            "claimRef": {"namespace": NAMESPACE, "name": MODEL_CACHE},
        }
    }
    claim = named("PersistentVolumeClaim", "v1", MODEL_CACHE, NAMESPACE) | {
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "volumeName": MODEL_CACHE,
            "resources": {"requests": size},
        }
    }
    return [volume, claim]


def _network_policies(
    load_balancer_networks: Sequence[str], monitoring_namespaces: Sequence[str], ports: Sequence[int]
) -> list[Manifest]:
    """Nothing in or out but what is listed. EFS is mounted by the node, not by the pod.

    The server itself listens where only its own pod is; requests come in by the edge, and metrics go out by it.
    """
    monitoring = [_namespace(name) for name in monitoring_namespaces]
    balancer = [{"ipBlock": {"cidr": network}} for network in load_balancer_networks]
    deny = named("NetworkPolicy", "networking.k8s.io/v1", "default-deny", NAMESPACE) | {
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    }
    allow = named("NetworkPolicy", "networking.k8s.io/v1", "servers", NAMESPACE) | {
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "vllm"}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": source, "ports": [{"port": port, "protocol": "TCP"}]}
                for source, port in ((balancer, SERVING_PORT), (monitoring, EDGE_METRICS_PORT))
                if source  # none would be everybody
            ],
            "egress": ways_out(ports),
        }
    }
    return [deny, allow]


def ways_out(ports: Sequence[int]) -> list[Manifest]:
    """Of a pod: names, the hub and AWS, and its own role.

    Args:
        ports: beside HTTPS.
    """
    out = [{"port": port, "protocol": "TCP"} for port in dict.fromkeys((443, *ports))]
    dns = [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    return [
        {"to": [_namespace("kube-system")], "ports": dns},
        # The hub and S3 have no fixed addresses; the metadata service is on port 80 and stays out of reach.
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": out},
        # The pod's own role.
        {"to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}], "ports": [{"port": 80, "protocol": "TCP"}]},
    ]


def _namespace(name: str) -> Manifest:
    """All pods of a namespace, as the end of a rule."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
