"""Each expectation of a cluster is met by what it asks for, and names what breaks it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.nodes import ZONE, gpu_node
from pulumi_rehearsal.operations import Operation, Step
from rehearsal.kubernetes import expectations
from rehearsal.kubernetes.disruption import Drain, ZoneLoss
from rehearsal.kubernetes.shortage import Shortage
from simulated.plane import deployment
from tandem.catalog.instances import INSTANCE_TYPES

L4 = INSTANCE_TYPES["g6.12xlarge"]
NODES = [gpu_node("a", L4, "us-east-1a"), gpu_node("b", L4, "us-east-1b")]


def pod(name: str, node: str | None, gpus: int = 2, unsatisfiable: str = "DoNotSchedule") -> Object:
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}
    spread = {"topologyKey": ZONE, "whenUnsatisfiable": unsatisfiable, "maxSkew": 1}
    spec = {"containers": [{"resources": resources}], "topologySpreadConstraints": [spread]} | (
        {"nodeName": node} if node else {}
    )
    return {"metadata": {"name": name, "ownerReferences": [{"kind": "ReplicaSet", "name": "server"}]}, "spec": spec}


def state_of(ready: int, replicas: int = 2, **strategy: object) -> Object:
    more = {"strategy": {"rollingUpdate": strategy}} if strategy else {}
    return deployment("x", replicas=replicas, **more) | {
        "status": {"readyReplicas": ready, "updatedReplicas": replicas}
    }


def step(operation: str, type: str) -> Step:
    return Step(operation, type, f"urn:pulumi:dev::tandem::{type}::x")


def test_the_api_server_must_hold_what_the_state_records() -> None:
    assert expectations.are_held(["Pod a"], ["Pod a", "Pod b"]).met
    assert expectations.are_held(["Pod a", "Pod b"], ["Pod a"]).violations == ("not found: Pod b",)


def test_the_version_that_is_rehearsed_must_be_the_pinned_one() -> None:
    assert expectations.is_of_the_pinned_version("v1.35.4", "1.35").met
    for other in ("1.3", "1.36"):
        [said] = expectations.is_of_the_pinned_version("v1.35.4", other).violations
        assert said.startswith(f"1.35.4 is rehearsed, {other} is pinned: `{expectations.MOVE} {other}`")


def test_replicas_must_be_ready() -> None:
    assert expectations.have_their_replicas([state_of(2)]).met
    assert expectations.have_their_replicas([state_of(1)]).violations == ("server: 1 of 2 replicas are ready",)
    old = deployment("x") | {"status": {"readyReplicas": 2}}
    assert expectations.have_their_replicas([old]).violations == ("server: 0 of 2 replicas are of its last version",)


def test_replicas_must_stand_apart_and_on_the_base() -> None:
    base = gpu_node("base", L4, "us-east-1a", labels={"karpenter.sh/nodepool": "gpu-base"})
    nodes = [base, gpu_node("a", L4, "us-east-1a"), gpu_node("b", L4, "us-east-1b")]

    def replica(name: str, node: str) -> Object:
        found = pod(name, node)
        constraint = {"topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 3}
        found["spec"]["topologySpreadConstraints"] = [constraint]
        return found

    three = [replica("0", "base"), replica("1", "a"), replica("2", "b")]
    assert expectations.stand_apart(three, nodes).met
    assert expectations.stand_apart([*three, replica("3", "a")], nodes).met
    assert expectations.stand_apart([replica("0", "a"), replica("1", "a"), replica("2", "b")], nodes).violations == (
        "ReplicaSet server stands on a, b, and asks for 3 nodes",
        "base of the base has no server",
    )


def test_pods_must_wait_for_their_way_in() -> None:
    labels = {"app": "server"}
    place = {"namespace": "inference", "name": "server"}
    service = {"metadata": place, "spec": {"selector": labels}}
    binding = {"metadata": place, "spec": {"serviceRef": {"name": "server"}}}
    early = {"metadata": {"namespace": "inference", "name": "0", "labels": labels}, "spec": {}}
    gate = {"conditionType": "target-health.elbv2.k8s.aws/server"}

    def found(pod: Object, bindings: list[Object]) -> tuple[str, ...]:
        return expectations.wait_for_their_way_in([pod], [service], bindings).violations

    assert found({**early, "spec": {"readinessGates": [gate]}}, [binding]) == ()
    assert found(early, []) == ()
    assert found(early, [binding]) == ("0 has no readiness gate of the load balancer's",)


def test_roles_reach_pods_by_an_agent() -> None:
    assert expectations.reach_their_pods(["karpenter"], ["eks-pod-identity-agent", "coredns"]).met
    assert expectations.reach_their_pods([], []).met
    assert expectations.reach_their_pods(["karpenter"], ["coredns"]).violations == (
        "karpenter gets no credentials: the cluster has no add-on eks-pod-identity-agent",
    )


def test_a_managed_node_is_empty_within_ekss_quarter_of_an_hour() -> None:
    managed, other = (
        {"metadata": {"name": name, "labels": labels}}
        for name, labels in (("managed", {"eks.amazonaws.com/nodegroup": "gpu"}), ("karpenters", {}))
    )

    def found(grace: int, node: str = "managed", owner: str = "ReplicaSet") -> tuple[str, ...]:
        metadata = {"name": "server", "ownerReferences": [{"kind": owner, "name": "of"}]}
        pod = {"metadata": metadata, "spec": {"nodeName": node, "terminationGracePeriodSeconds": grace}}
        return expectations.can_be_emptied([pod], [managed, other]).violations

    assert found(899) == found(3600, node="karpenters") == found(3600, owner="DaemonSet") == ()
    assert found(900) == ("server may take 900 s to leave, EKS waits 900 s",)


def test_an_up_that_was_taken_back_must_say_so() -> None:
    serves = {"metadata": {"name": "vllm-main-serves"}}
    red = Operation("up", status=1, messages=["vllm-main: another version is rolled out meanwhile: somebody went back"])
    assert expectations.is_not_called_a_success(red, [serves]).met
    assert expectations.is_not_called_a_success(Operation("up"), []).met
    assert not expectations.is_not_called_a_success(Operation("up"), [serves]).met
    assert not expectations.is_not_called_a_success(replace(red, messages=["timed out"]), [serves]).met


@pytest.mark.parametrize(
    ("pods", "violations"),
    [
        pytest.param([pod("0", "a"), pod("1", "b")], (), id="one a zone"),
        pytest.param([pod("0", "a"), pod("1", "b"), pod("2", "a")], (), id="one more in a zone"),
        pytest.param([pod("0", "a"), pod("1", "b"), pod("2", None, gpus=0)], (), id="others may wait"),
        pytest.param([pod("0", None), pod("1", "b")], ("0 is on no node",), id="waits"),
        pytest.param(
            [pod("0", "a"), pod("1", "a")],
            ("ReplicaSet server is not spread: us-east-1a 2, us-east-1b 0",),
            id="both in one zone",
        ),
        pytest.param([pod(name, "a", unsatisfiable="ScheduleAnyway") for name in "01"], (), id="as far as it goes"),
        pytest.param(
            [pod("0", "a", gpus=4), pod("1", "b"), pod("2", "a")],
            ("a has 4 GPUs, its pods ask for 6",),
            id="more than there are",
        ),
    ],
)
def test_servers_must_not_share(pods: list[Object], violations: tuple[str, ...]) -> None:
    assert expectations.share_no_gpu(pods, NODES).violations == violations


@pytest.mark.parametrize(
    ("steps", "violations"),
    [
        pytest.param([step("update", expectations.SERVERS[0]), step("same", "aws:x:X")], (), id="as wanted"),
        pytest.param([step("same", "aws:x:X")], ("changed: nothing",), id="nothing"),
        pytest.param(
            [step("replace", expectations.SERVERS[0])],
            (f"changed: replace {expectations.SERVERS[0]}",),
            id="replaced",
        ),
        pytest.param(
            [step("update", expectations.SERVERS[0]), step("update", "aws:x:X")],
            (f"changed: update aws:x:X, update {expectations.SERVERS[0]}",),
            id="one too many",
        ),
    ],
)
def test_a_new_image_changes_the_servers(steps: list[Step], violations: tuple[str, ...]) -> None:
    assert expectations.changes_servers(Operation("up", steps), [running("new")], "new").violations == violations


def running(digest: str) -> Object:
    return deployment("inference") | {
        "spec": {"template": {"spec": {"containers": [{"image": "sidecar"}, {"image": f"server@{digest}"}]}}}
    }


def test_a_new_image_must_be_what_runs() -> None:
    steps = [step("update", expectations.SERVERS[0])]
    found = expectations.changes_servers(Operation("up", steps), [running("old")], "new")
    assert found.violations == ("server runs sidecar, server@old",)


@pytest.mark.parametrize(
    ("steps", "digest", "violations"),
    [
        ([], "new", ()),
        ([step("update", expectations.SERVERS[0])], "new", ()),
        ([step("replace", expectations.SERVERS[0])], "new", (f"changed: replace {expectations.SERVERS[0]}",)),
        ([], "bad", ("server runs sidecar, server@bad",)),
    ],
)
def test_the_way_back_ends_at_the_pin(steps: list[Step], digest: str, violations: tuple[str, ...]) -> None:
    assert expectations.are_back(Operation("up", steps), [running(digest)], "new").violations == violations


@pytest.mark.parametrize(
    ("strategy", "promised"),
    [({}, 3), ({"maxUnavailable": 0}, 4), ({"maxUnavailable": 1}, 3), ({"maxUnavailable": "50%"}, 2)],
)
def test_a_rollout_must_keep_its_promise(strategy: dict[str, object], promised: int) -> None:
    found = [state_of(4, replicas=4, **strategy)]
    assert expectations.keep_serving({"server": promised}, found).met
    assert expectations.keep_serving({"server": promised - 1}, found).violations == (
        f"server: {promised - 1} available for a while, {promised} promised",
    )


def budget(namespace: str = "x", **spec: object) -> Object:
    selector = {"matchLabels": {"app": "server"}}
    return {"metadata": {"name": "server", "namespace": namespace}, "spec": {"selector": selector, **spec}}


@pytest.mark.parametrize(
    ("budgets", "kept"),
    [
        ([budget(maxUnavailable=1)], 3),
        ([budget(maxUnavailable="30%")], 2),
        ([budget(minAvailable=2)], 2),
        ([budget(minAvailable="60%")], 3),
        ([budget(minAvailable=1), budget(maxUnavailable=1)], 3),
        ([budget(maxUnavailable=2), budget("elsewhere", minAvailable=4)], 2),
    ],
)
def test_a_drain_must_leave_what_the_budget_keeps(budgets: list[Object], kept: int) -> None:
    found = [state_of(4, replicas=4)]
    drained = Drain("a", lowest={"server": kept}, seconds=1.0)
    assert expectations.leave_within_the_budget(drained, found, budgets).met
    drained.lowest["server"] -= 1
    assert expectations.leave_within_the_budget(drained, found, budgets).violations == (
        f"server: {kept - 1} available for a while, {kept} kept by its budget",
    )


@pytest.mark.parametrize(
    ("drained", "violation"),
    [
        (Drain("a", beyond=["s-1"], seconds=1.0), "s-1 may be evicted although its budget is used up"),
        (Drain("a", left=["s-1"], seconds=1.0), "s-1 is still on a"),
        (Drain("a"), "not all replicas are ready 60 s after the drain of a"),
        (Drain("a", lowest={"server": 4}, seconds=1.0), "server has no PodDisruptionBudget"),
    ],
)
def test_a_drain_must_end_well(drained: Drain, violation: str) -> None:
    assert expectations.leave_within_the_budget(drained, [state_of(4)], []).violations == (violation,)


def test_a_lost_zone_may_take_its_own_servers_only() -> None:
    found = [state_of(3, replicas=3)]
    loss = ZoneLoss("us-east-1a", Counter(server=2), lowest={"server": 1}, seconds=5.0)
    assert expectations.outlive_a_zone(loss, found).met
    loss.lowest["server"] = 0
    loss.left, loss.waiting, loss.seconds = ["s-1"], ["s-2: 0/3 nodes are available"], None
    assert expectations.outlive_a_zone(loss, found).violations == (
        "server: 0 available for a while, 1 are outside us-east-1a",
        "s-1 still runs in us-east-1a",
        "not all replicas are ready 60 s after us-east-1a was lost",
        "s-2: 0/3 nodes are available",
    )


def shortage(**changes: Any) -> Shortage:
    said = [
        "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.",
        "types exceed limits for nodepool (NodePool=gpu)",
    ]
    good = Shortage(
        {"gpu": 8}, {"gpu": 8}, 4, {"batch-1": said}, "exceeded quota: gpus", preempted=["batch-0"], runs=True
    )
    return replace(good, **changes)


@pytest.mark.parametrize(
    ("changes", "violations"),
    [
        ({}, []),
        ({"gpus": {"gpu": 12}}, []),
        ({"gpus": {"gpu": 13}}, ["gpu has 13 GPUs, its limit is 8"]),
        ({"waiting": {}}, ["no pod had to wait"]),
        (
            {"waiting": {"batch-1": ["types exceed limits for nodepool"]}},
            ["batch-1 is not told by the scheduler that GPUs are lacking: ['types exceed limits for nodepool']"],
        ),
        (
            {"waiting": {"batch-1": ["1 Insufficient nvidia.com/gpu"]}},
            ["batch-1 is not told by Karpenter that limits are reached: ['1 Insufficient nvidia.com/gpu']"],
        ),
        ({"waiting": {"batch-1": ["1 Insufficient nvidia.com/gpu"]}, "limits": {}}, []),
        ({"over_quota": None}, ["a pod over the quota got: accepted"]),
        ({"over_quota": "no such namespace"}, ["a pod over the quota got: no such namespace"]),
    ],
)
def test_pods_without_gpus_must_be_told_why(changes: dict[str, Any], violations: list[str]) -> None:
    assert list(expectations.are_told_why(shortage(**changes)).violations) == violations


@pytest.mark.parametrize(
    ("changes", "violations"),
    [
        ({}, []),
        ({"runs": None, "preempted": []}, []),
        ({"displaced": ["s-1"]}, ["s-1 had to go for batch work"]),
        ({"runs": False}, ["a pod with the servers' priority got no GPU that batch work had"]),
        ({"preempted": []}, ["there was a GPU left, so that priority did not count"]),
    ],
)
def test_servers_must_come_first(changes: dict[str, Any], violations: list[str]) -> None:
    assert list(expectations.come_first(shortage(**changes)).violations) == violations


def test_nothing_may_be_left() -> None:
    assert expectations.is_empty([]).met
    assert expectations.is_empty(["Node b", "Node a"]).violations == ("left behind: Node a", "left behind: Node b")


def test_an_expired_stack_has_no_gpu() -> None:
    bare = gpu_node("c", L4, "us-east-1a")
    del bare["status"]["allocatable"]["nvidia.com/gpu"]
    assert expectations.have_no_gpu([bare]).met
    assert expectations.have_no_gpu([NODES[0], bare]).violations == ("still there: a",)


@pytest.mark.parametrize(
    ("resource", "title"),
    [
        ({"type": "kubernetes:apps/v1:Deployment", "id": "inference/model"}, "Deployment inference/model"),
        ({"type": "kubernetes:core/v1:Namespace", "id": "inference"}, "Namespace inference"),
        (
            {"type": "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinitionPatch", "id": "boats.example.com"},
            "CustomResourceDefinition boats.example.com",
        ),
        ({"type": "kubernetes:helm.sh/v3:Release", "id": "kube-system/keda"}, None),
        ({"type": "aws:eks/cluster:Cluster", "id": "x"}, None),
        ({"type": "pulumi:providers:kubernetes", "id": "x"}, None),
    ],
)
def test_the_state_names_objects_as_the_cluster_does(resource: Object, title: str | None) -> None:
    assert expectations.recorded_object(resource) == title
