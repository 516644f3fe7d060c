"""How far servers are, from what `kubectl` shows; tests/rehearsal/kubernetes/test_rollout.py asks a real cluster."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from tandem.kubernetes.history import keep, templates
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.rollouts import TEMPLATE, _of_pipelines, _troubles, stage
from tandem.rollout import Rollout
from tests.infra.kubernetes.samples import pod


def container(name: str, restarts: int = 0, **state: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "restartCount": restarts}


def ended(name: str, status: int, restarts: int = 0) -> dict[str, Any]:
    """As a kubelet shows it for as long as a back-off of up to a minute lasts: tests/real/test_kubelet.py."""
    return container(name, restarts, terminated={"exitCode": status, "reason": "Error" if status else "Completed"})


WAITS = container("vllm", waiting={"reason": "PodInitializing"})


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (pod(node=""), "waits for a node"),
        (pod(), "pulls its images"),
        (pod(initContainerStatuses=[container("prepare", running={})]), "has the model brought"),
        (pod(containerStatuses=[container("vllm", running={})]), "starts"),
        (pod(containerStatuses=[container("vllm", waiting={"reason": "CrashLoopBackOff"})]), "CrashLoopBackOff"),
        (pod(initContainerStatuses=[ended("prepare", 0, 2)], containerStatuses=[WAITS]), "starts"),
        (pod(initContainerStatuses=[ended("prepare", 1)], containerStatuses=[WAITS]), "has the model brought"),
        (pod(initContainerStatuses=[ended("prepare", 1, 1)], containerStatuses=[WAITS]), "CrashLoopBackOff"),
        (pod(initContainerStatuses=[ended("prepare", 0)], containerStatuses=[ended("vllm", 1)]), "starts"),
        (pod(initContainerStatuses=[ended("prepare", 0)], containerStatuses=[ended("vllm", 0, 1)]), "CrashLoopBackOff"),
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


def test_a_container_that_ends_again_and_again_has_given_up() -> None:
    found = pod(initContainerStatuses=[ended("prepare", 1, 1)], containerStatuses=[WAITS])
    assert list(_troubles(found)) == ["vllm-main-a: CrashLoopBackOff: Error, exit status 1"]
    assert list(_troubles(pod(initContainerStatuses=[ended("prepare", 1)]))) == [], "the next start may mend it"
    found["metadata"]["deletionTimestamp"] = "2026-11-29T00:00:00Z"
    assert list(_troubles(found)) == [], "it is gone soon"


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


def template(version: str) -> dict[str, Any]:
    pod = {"metadata": {"labels": {"tandem/version": version}}, "spec": {"containers": [{"image": f"vllm:{version}"}]}}
    return {"size": 2, "leaderTemplate": pod, "workerTemplate": pod}


def revision(number: int, version: str, *, copy: bool = False, made: str = "2026-11-29T00:00:00Z") -> dict[str, Any]:
    """As the controller makes one (tests/rehearsal/kubernetes/test_pipelines.py has it), or as `up` copies it."""
    owner = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": "vllm-main", "uid": "l"}
    return {
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"vllm-main-{version}-{number}" + ("-kept" if copy else ""),
            "labels": {"leaderworkerset.sigs.k8s.io/name": "vllm-main"},
            "creationTimestamp": made,
            "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
        },
        "revision": number,
        "data": {"spec": {"leaderWorkerTemplate": template(version) | {"$patch": "replace"}}},
    }


def pipelines(
    *pods: dict[str, Any],
    made: str = "new",
    wanted: str = "new",
    history: Sequence[str] = (),
    copies: Sequence[dict[str, Any]] = (),
) -> Rollout:
    """Args:
    made: version of the last `up`. wanted: of new pods. history: versions that the controller keeps, the oldest first.
    copies: what `up` has kept beside them.
    """
    metadata = {"name": "vllm-main", "labels": {"tandem/version": made}}
    revisions = [revision(number, version) for number, version in enumerate(history, 1 + len(copies))]
    spec = {"replicas": 2, "leaderWorkerTemplate": template(wanted)}
    return _of_pipelines({"metadata": metadata, "spec": spec}, pods, [*copies, *revisions])


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


def test_pipelines_go_back_to_what_their_controller_keeps() -> None:
    old = stages("old", "a")
    assert pipelines(*old, history=["old", "new"]).before == "old"
    assert pipelines(history=["old", "new"]).before == "old", "none of them may serve"
    assert pipelines(*old, wanted="old", history=["old", "new", "old"]).before == "old", "a way that was taken"
    assert pipelines(*stages("new", "a"), history=["new", "bad", "new"]).before is None, "it was gone back from"
    assert pipelines(*old, history=["new"]).before is None, "it is kept no more"


def test_pipelines_go_back_to_what_up_has_kept() -> None:
    """When all are of one version, and the controller has no other any more."""
    new = [*stages("new", "a"), *stages("new", "b")]
    old, bad = revision(1, "old", copy=True), revision(2, "bad", copy=True)
    done = pipelines(*new, copies=[old], history=["new"])
    assert (done.state, done.before, done.began) == ("done", "old", datetime(2026, 11, 29, tzinfo=UTC))
    assert pipelines(*new, copies=[revision(1, "new", copy=True), bad], history=["new"]).before is None, "it is back"
    assert pipelines(*new, copies=[old, bad], history=["old", "new"]).before == "old", "not the one gone back from"


def test_a_version_begins_when_its_controller_first_hears_of_it() -> None:
    """Not when its copy was made; one that was gone back to has served before."""
    new = stages("new", "a")
    copy = revision(1, "new", copy=True, made="2026-11-30T00:00:00Z")
    assert pipelines(*new, copies=[copy, revision(1, "new")]).began == datetime(2026, 11, 29, tzinfo=UTC)
    assert pipelines(*new, copies=[copy], history=["new"]).began is None


class Cluster:
    """`kubectl` with revisions; what it is told to do to them is done."""

    def __init__(self, *found: dict[str, Any]) -> None:
        self.found = {one["metadata"]["name"]: one for one in found}

    def read(self, kind: str) -> list[dict[str, Any]]:
        assert kind == "controllerrevisions"
        return [*self.found.values()]

    def create(self, manifest: dict[str, Any]) -> None:
        assert manifest["metadata"]["name"] not in self.found
        self.found[manifest["metadata"]["name"]] = json.loads(json.dumps(manifest))

    def run(self, *arguments: str) -> str:
        assert arguments[:2] == ("delete", "controllerrevisions")
        for name in arguments[2:]:
            del self.found[name]
        return ""


def test_what_up_keeps_is_nobodys_but_goes_with_its_pipelines() -> None:
    cluster = Cluster(revision(1, "old"), revision(2, "new"))
    keep(cast(Kubectl, cluster), "vllm-main")
    assert [*cluster.found] == ["vllm-main-old-1", "vllm-main-new-2", "vllm-main-old-1-kept", "vllm-main-new-2-kept"]
    own, copy = cluster.found["vllm-main-old-1"], cluster.found["vllm-main-old-1-kept"]
    owner = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": "vllm-main", "uid": "l"}
    assert copy["metadata"] == {"name": "vllm-main-old-1-kept", "ownerReferences": [owner]}
    assert (copy["revision"], copy["data"]) == (own["revision"], own["data"])
    before = {**cluster.found}
    keep(cast(Kubectl, cluster), "vllm-main")
    keep(cast(Kubectl, cluster), "vllm-embed")
    assert cluster.found == before, "once, and none of another model's"


def test_so_many_versions_are_kept_as_of_a_deployment() -> None:
    """With all their numbers, by which the first one of them is known."""
    copies = [revision(number, version, copy=True) for number, version in enumerate("abbcd", 1)]
    cluster = Cluster(*copies, revision(6, "b"), revision(7, "e"))
    keep(cast(Kubectl, cluster), "vllm-main")
    kept = [name for name in cluster.found if name.endswith("-kept")]
    assert [name.split("-")[2] for name in kept] == ["b", "b", "c", "d", "b", "e"]
    assert set(templates(cast(Kubectl, cluster), "vllm-main")) == {"b", "c", "d", "e"}
