"""What others have put into a cluster, on a real control plane with the real `kubectl`."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import partial

import pytest

from pulumi_rehearsal.kubernetes import build
from pulumi_rehearsal.kubernetes.api import Api, NoSuchKind, Object
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane
from pulumi_rehearsal.kubernetes.watch import seconds_until
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import NAMESPACE
from tandem.ops import others_objects
from tests.infra.kubernetes.samples import manifests

KINDS = {"NodePool", "EC2NodeClass", "ScaledObject", "LeaderWorkerSet", "TargetGroupBinding"}
CHARTS = ("karpenter", "keda", "lws", "aws-load-balancer-controller")
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@pytest.fixture
def definitions(api: Api) -> Iterator[None]:
    """Those of the charts, which take anything: ids of samples are made up."""
    wanted = [one for chart in CHARTS for one in build.custom_resource_definitions(chart)]
    wanted = [one for one in wanted if one["spec"]["names"]["kind"] in KINDS]
    for version in (version for one in wanted for version in one["spec"]["versions"]):
        version["schema"] = {"openAPIV3Schema": ANYTHING}
    made = [api.create(one) for one in wanted]
    api.forget_kinds()
    assert seconds_until(lambda: all(map(partial(served, api), wanted)), 60) is not None
    yield
    for one in made:
        api.delete(one)
    api.forget_kinds()


def served(api: Api, definition: Object) -> bool:
    """A definition is answered before its kind is."""
    spec = definition["spec"]
    try:
        api.kind(f"{spec['group']}/{spec['versions'][0]['name']}", spec["names"]["kind"])
    except NoSuchKind:
        return False
    return True


@pytest.fixture
def own(api: Api, definitions: None) -> Iterator[list[Object]]:
    """What the program declares of these kinds."""
    declared = [one for sample in ("pipeline", "karpenter", "batch") for one in manifests(sample)]
    found = [one for one in declared if one["kind"] in KINDS]
    home = api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for one in found:
        api.apply(one, "test")
    yield found
    for one in found:
        if api.get(one["apiVersion"], one["kind"], one["metadata"]["name"], one["metadata"].get("namespace", "")):
            api.delete(one)
    api.delete(home)
    # While their definitions are there, and before the next test makes it anew.
    assert seconds_until(lambda: api.get("v1", "Namespace", NAMESPACE) is None, 60) is not None


@pytest.fixture
def kubectl(kubernetes: ControlPlane) -> Kubectl:
    return Kubectl(kubernetes.kubeconfig, str(build.KUBECTL.command("kubectl")))


def test_a_cluster_without_these_kinds_holds_nothing(kubectl: Kubectl) -> None:
    assert others_objects.in_cluster(kubectl) == ([], [])


def test_what_is_not_the_stacks_is_named_with_what_to_do(
    api: Api, namespace: str, own: list[Object], kubectl: Kubectl
) -> None:
    assert {one["kind"] for one in own} == KINDS
    assert others_objects.in_cluster(kubectl) == ([], [])
    theirs = [theirs_like(next(one for one in own if one["kind"] == kind), namespace) for kind in sorted(KINDS)]
    for one in theirs:
        api.create(one)
    holds, goes = others_objects.in_cluster(kubectl)
    for one in theirs:
        api.delete(one)
    assert [one.key for one in holds] == ["NodePool theirs", "EC2NodeClass theirs", f"ScaledObject {namespace}/theirs"]
    assert [one.key for one in goes] == [
        f"LeaderWorkerSet {namespace}/theirs",
        f"TargetGroupBinding {namespace}/theirs",
    ]
    assert "its nodes end only while Karpenter runs" in holds[0].wrong
    assert "`kubectl delete nodepools.karpenter.sh theirs`" in holds[0].fix
    assert f"`kubectl delete scaledobjects.keda.sh theirs --namespace {namespace}`" in holds[2].fix


def theirs_like(one: Object, namespace: str) -> Object:
    found = deepcopy(one)
    found["metadata"] = {"name": "theirs"} | ({"namespace": namespace} if "namespace" in one["metadata"] else {})
    return found
