"""Why a pod has no node; tests/rehearsal/kubernetes/test_rollout.py asks a real cluster."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.waiting import NO_CAPACITY, WIDTH, explained, no_node_yet
from tests.infra.kubernetes.samples import pod

SCHEDULERS = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: none."


class Cluster:
    """`kubectl get events`, of those that Karpenter recorded."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self.events = events
        self.asked = 0

    read, one = Kubectl.read, Kubectl.one

    def run(self, *arguments: str) -> str:
        assert {"--all-namespaces", "source=karpenter"} <= {*arguments}, "a NodeClaim's are in another namespace"
        self.asked += 1
        return json.dumps({"items": self.events})


def waiting(uid: str) -> dict[str, Any]:
    found = pod(node="", conditions=[{"type": "PodScheduled", "status": "False", "message": SCHEDULERS}])
    found["metadata"]["uid"] = uid
    return found


def event(kind: str, uid: str, second: int, message: str, reason: str = "Nominated") -> dict[str, Any]:
    about = {"kind": kind, "uid": uid}
    time = f"2026-11-29T00:00:{second:02}Z"
    return {"involvedObject": about, "reason": reason, "message": message, "lastTimestamp": time}


NOMINATED = event("Pod", "a", 1, "Pod should schedule on: nodeclaim/gpu-1")
EMPTY = event("NodeClaim", "n", 2, "NodeClaim gpu-1 event: no spot", NO_CAPACITY)


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([], "0/3 nodes are available: 3 Insufficient nvidia.com/gpu"),
        ([NOMINATED], "Karpenter: Pod should schedule on: nodeclaim/gpu-1"),
        ([EMPTY, NOMINATED], "Karpenter: NodeClaim gpu-1 event: no spot"),
        ([event("Pod", "b", 3, "of another")], "0/3 nodes are available: 3 Insufficient nvidia.com/gpu"),
        (
            [event("NodeClaim", "n", 3, "of no concern", "Launched")],
            "0/3 nodes are available: 3 Insufficient nvidia.com/gpu",
        ),
    ],
)
def test_the_last_word_counts(events: list[dict[str, Any]], told: str) -> None:
    [found] = explained(cast(Kubectl, Cluster(*events)), [waiting("a")])
    assert no_node_yet(found) == told


def test_it_is_one_line_of_a_lines_length() -> None:
    [found] = explained(cast(Kubectl, Cluster(event("Pod", "a", 1, "words\n" * 99))), [waiting("a")])
    assert no_node_yet(found).startswith("Karpenter: words words")
    assert len(no_node_yet(found)) <= WIDTH


def test_nobody_is_asked_where_all_have_nodes() -> None:
    cluster = Cluster()
    assert explained(cast(Kubectl, cluster), [pod()]) == [pod()]
    assert not cluster.asked
