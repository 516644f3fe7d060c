"""When an object counts as ready: what the real provider waits for, kind by kind.

Stands for: the waits of pulumi-resource-kubernetes.
Held by: nothing, they were written after the plugin's source; the plugin is known to wait otherwise for Deployments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rehearsal.kubernetes.api import Api, Object, countdown

SKIP = "pulumi.com/skipAwait"
TIMEOUT = "pulumi.com/timeoutSeconds"

READY_SECONDS = 60
"""The real provider waits ten minutes; pods that are played start in a second."""


def wait_until_ready(api: Api, object: Object) -> tuple[Object, list[str]]:
    """Waits for an object; returns it as it is then, and what still keeps it from being ready.

    Raises:
        ApiError: it cannot be read, or is gone.
    """
    annotations = object["metadata"].get("annotations") or {}
    check = CHECKS.get(object["kind"])
    if check is None or annotations.get(SKIP) == "true":
        return object, []
    reasons: list[str] = []
    for _ in countdown(float(annotations.get(TIMEOUT, READY_SECONDS))):
        object = api.request("GET", api.url_of(object))
        reasons = list(check(api, object))
        if not reasons:
            break
    return object, reasons


def _deployment(api: Api, object: Object) -> Iterator[str]:
    spec, status = object["spec"], object.get("status", {})
    wanted = spec.get("replicas", 1)
    if status.get("observedGeneration", 0) < object["metadata"]["generation"]:
        yield "the controller has not seen it yet"
        return
    counts = [status.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas")]
    if counts != [wanted] * 3:
        yield f"{counts[1]} of {wanted} replicas are available, {counts[0]} of them new"
        yield from _troubles(api, object)


def _stateful_set(api: Api, object: Object) -> Iterator[str]:
    status, wanted = object.get("status", {}), object["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < object["metadata"]["generation"]:
        yield "the controller has not seen it yet"
    elif status.get("readyReplicas", 0) != wanted or status.get("updatedReplicas", 0) != wanted:
        yield f"{status.get('readyReplicas', 0)} of {wanted} replicas are ready"
        yield from _troubles(api, object)


def _daemon_set(api: Api, object: Object) -> Iterator[str]:
    del api
    status = object.get("status", {})
    wanted = status.get("desiredNumberScheduled", 0)
    if status.get("observedGeneration", 0) < object["metadata"]["generation"]:
        yield "the controller has not seen it yet"
    elif status.get("numberReady", 0) != wanted or status.get("updatedNumberScheduled", 0) != wanted:
        yield f"{status.get('numberReady', 0)} of {wanted} pods are ready"


def _job(api: Api, object: Object) -> Iterator[str]:
    del api
    if not _condition(object, "Complete"):
        yield "the job is not complete"


def _pod(api: Api, object: Object) -> Iterator[str]:
    del api
    if object["status"].get("phase") != "Succeeded" and not _condition(object, "Ready"):
        yield from _pod_troubles(object) or ["the pod is not ready"]


def _claim(api: Api, object: Object) -> Iterator[str]:
    if object["status"].get("phase") != "Bound" and not _waits_for_consumer(
        api, object["spec"].get("storageClassName")
    ):
        yield f"the claim is {object['status'].get('phase', 'not bound')}"


def _waits_for_consumer(api: Api, name: str | None) -> bool:
    found = api.get("storage.k8s.io/v1", "StorageClass", name) if name else None
    return bool(found) and found.get("volumeBindingMode") == "WaitForFirstConsumer"


def _service(api: Api, object: Object) -> Iterator[str]:
    spec = object["spec"]
    if spec.get("type") == "LoadBalancer" and not object["status"].get("loadBalancer", {}).get("ingress"):
        yield "no load balancer was made for it"
    if not spec.get("selector") or spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None":
        return
    namespace, name = object["metadata"]["namespace"], object["metadata"]["name"]
    slices = api.list(
        "discovery.k8s.io/v1", "EndpointSlice", namespace, labelSelector=f"kubernetes.io/service-name={name}"
    )
    endpoints = [endpoint for slice in slices for endpoint in slice.get("endpoints") or []]
    if not any(endpoint.get("conditions", {}).get("ready") for endpoint in endpoints):
        yield (
            "Service does not target any Pods. Selected Pods may not be ready, or field '.spec.selector' may not match "
            "labels on any Pods"
        )


def _definition(api: Api, object: Object) -> Iterator[str]:
    del api
    if not _condition(object, "Established"):
        yield "the CRD is not established"


CHECKS: Mapping[str, Callable[[Api, Object], Iterator[str]]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "Job": _job,
    "Pod": _pod,
    "PersistentVolumeClaim": _claim,
    "Service": _service,
    "CustomResourceDefinition": _definition,
}
"""Yields what is missing, for kinds that the real provider waits for."""


def _condition(object: Object, type: str) -> bool:
    conditions = object.get("status", {}).get("conditions") or []
    return any(condition["type"] == type and condition["status"] == "True" for condition in conditions)


def _troubles(api: Api, object: Object) -> Iterator[str]:
    """Why an object's pods do not come: refused by admission or quota, or not scheduled."""
    for condition in object.get("status", {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            yield condition["message"]
    labels = object["spec"]["selector"].get("matchLabels", {})
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    for pod in api.list("v1", "Pod", object["metadata"]["namespace"], labelSelector=selector):
        yield from _pod_troubles(pod)


def _pod_troubles(pod: Mapping[str, Any]) -> list[str]:
    conditions = pod.get("status", {}).get("conditions") or []
    return [
        f"pod {pod['metadata']['name']}: {condition['message']}"
        for condition in conditions
        if condition["status"] == "False" and condition.get("message")
    ]
