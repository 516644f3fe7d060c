"""Tells Prometheus of the pods, over HTTP, in the words of its own discovery: Debian builds it without Kubernetes.

Names and values are those of discovery/kubernetes/pod.go in Prometheus, those of containers left out.

Stands for: Prometheus' own discovery of pods.
Held by: nothing, its labels were written after discovery/kubernetes/pod.go, which Debian builds without.
"""

from __future__ import annotations

import re

from pulumi_rehearsal.kubernetes.api import Object

META = "__meta_kubernetes_"


def target_group(pod: Object) -> Object:
    """A pod with an address as Prometheus discovers it: a target for each port, and the labels to choose by."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod["status"]
    address = status["podIP"]
    labels = {
        "namespace": metadata["namespace"],
        "pod_name": metadata["name"],
        "pod_uid": metadata["uid"],
        "pod_ip": address,
        "pod_phase": status["phase"],
        "pod_node_name": spec.get("nodeName", ""),
        "pod_host_ip": status.get("hostIP", ""),
        **_named("pod_label", metadata.get("labels", {})),
        **_named("pod_annotation", metadata.get("annotations", {})),
    }
    ports = [f"{address}:{port}" for port in sorted(container_ports(pod))]
    return {"targets": ports or [address], "labels": {META + name: value for name, value in labels.items()}}


def container_ports(pod: Object) -> set[int]:
    """The ports that a pod's containers declare; discovery reads init containers too, where sidecars stand."""
    containers = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
    return {port["containerPort"] for container in containers for port in container.get("ports") or []}


def _named(kind: str, values: dict[str, str]) -> dict[str, str]:
    sanitized = {re.sub(r"[^a-zA-Z0-9_]", "_", name): value for name, value in values.items()}
    present = {f"{kind}present_{name}": "true" for name in sanitized}
    return {f"{kind}_{name}": value for name, value in sanitized.items()} | present
