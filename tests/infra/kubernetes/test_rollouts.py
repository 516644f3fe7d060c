"""How far servers are, from what `kubectl` shows; tests/rehearsal/kubernetes/test_rollout.py asks a real cluster."""

from __future__ import annotations

from typing import Any

import pytest

from infra.kubernetes.rollouts import TEMPLATE, _of_pipelines, stage
from infra.rollout import Rollout
from tests.infra.kubernetes.samples import pod


def container(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "state": state}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (pod(node=""), "waits for a node"),
        (pod(), "pulls its images"),
        (pod(initContainerStatuses=[container("prepare", running={})]), "has the model brought"),
        (pod(containerStatuses=[container("vllm", running={})]), "starts"),
        (pod(containerStatuses=[container("vllm", waiting={"reason": "CrashLoopBackOff"})]), "CrashLoopBackOff"),
        (pod("a", "ContainersReady"), "waits for the load balancer"),
        (pod("a", "ContainersReady", "Ready"), "serves"),
    ],
)
def test_how_far_a_pod_is(found: dict[str, Any], told: str) -> None:
    assert stage(found) == told


def test_a_pod_that_leaves_serves_no_more() -> None:
    found = pod("a", "Ready")
    found["metadata"]["deletionTimestamp"] = "2026-11-29T00:00:00Z"
    assert stage(found) == "leaves"


def stages(version: str, group: str, *, ready: bool = True) -> list[dict[str, Any]]:
    found = []
    for index in ("0", "1"):
        one = pod(f"vllm-main-{group}-{index}", *(["Ready"] if ready or index == "0" else []))
        one["metadata"]["labels"] |= {
            "leaderworkerset.sigs.k8s.io/name": "vllm-main",
            "leaderworkerset.sigs.k8s.io/group-key": group,
            "leaderworkerset.sigs.k8s.io/worker-index": index,
            "tandem/version": version,
        }
        one["spec"]["containers"] = [{"image": f"vllm:{version}"}]
        found.append(one)
    return found


def pipelines(*pods: dict[str, Any]) -> Rollout:
    template = {"metadata": {"labels": {"tandem/version": "new"}}, "spec": {"containers": [{"image": "vllm:new"}]}}
    group = {"size": 2, "leaderTemplate": template, "workerTemplate": template}
    spec = {"replicas": 2, "leaderWorkerTemplate": group}
    return _of_pipelines({"metadata": {"name": "vllm-main"}, "spec": spec}, pods)


def test_a_pipeline_serves_when_all_its_stages_do() -> None:
    done = pipelines(*stages("new", "a"), *stages("new", "b"))
    assert (done.state, done.size, done.wanted.serving, done.unit) == ("done", 2, 2, "pipelines")
    partly = pipelines(*stages("new", "a"), *stages("new", "b", ready=False))
    assert (partly.state, partly.wanted.serving, partly.wanted.moving) == ("running", 1, 1)
    half = pipelines(*stages("new", "a"), *stages("new", "b")[:1])
    assert (half.state, half.wanted.serving) == ("running", 1)


def test_pipelines_of_the_version_before_are_not_those_that_are_waited_for() -> None:
    """Right after an update the controller has not seen it, and its status tells of what was."""
    old = pipelines(*stages("old", "a"), *stages("old", "b"))
    assert (old.state, old.wanted.serving, old.wanted.runs[TEMPLATE]) == ("running", 0, "new")
    assert old.versions[1].serving == 2
