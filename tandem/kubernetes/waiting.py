"""Why a pod has no node: Karpenter's last word on it, else the scheduler's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

from tandem.kubernetes.kubectl import Kubectl

Object = Mapping[str, Any]
SCHEDULED = "PodScheduled"
NO_CAPACITY = "InsufficientCapacityError"
"""Reason of Karpenter's event on a NodeClaim that EC2 has no instance for, told of no pod:
https://github.com/kubernetes-sigs/karpenter/blob/v1.14.0/pkg/controllers/nodeclaim/lifecycle/events.go"""
WIDTH = 160


def explained(kubectl: Kubectl, pods: Sequence[Object]) -> list[Object]:
    """The pods; where one has no node, its condition says what Karpenter said last, if it said something.

    Raises:
        UserError: the cluster does not answer.
    """
    if all(pod["spec"].get("nodeName") for pod in pods):
        return [*pods]
    events = sorted(kubectl.read("events", "--all-namespaces", "--field-selector", "source=karpenter"), key=_time)
    return [pod if pod["spec"].get("nodeName") else _told(pod, events) for pod in pods]


def no_node_yet(pod: Object) -> str:
    """Why, in its first sentence; empty where nobody has looked for a node yet."""
    found = [one for one in pod.get("status", {}).get("conditions", ()) if one["type"] == SCHEDULED]
    said = found[0].get("message", "") if found else ""
    return shorten(said.partition(". ")[0], WIDTH, placeholder=" ...")


def _told(pod: Object, events: Sequence[Object]) -> Object:
    said = [one["message"] for one in events if one["reason"] == NO_CAPACITY or _is_about(one, pod)]
    if not said:
        return pod
    others = [one for one in pod["status"].get("conditions", ()) if one["type"] != SCHEDULED]
    own = {"type": SCHEDULED, "status": "False", "message": f"Karpenter: {said[-1]}"}
    return {**pod, "status": {**pod["status"], "conditions": [*others, own]}}


def _is_about(event: Object, pod: Object) -> bool:
    about, metadata = event["involvedObject"], pod["metadata"]
    return (about["kind"], about.get("uid")) == ("Pod", metadata.get("uid"))


def _time(event: Object) -> str:
    return event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
