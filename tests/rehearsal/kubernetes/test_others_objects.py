"""What others have put into a cluster, on a real control plane with the real `kubectl`."""

from __future__ import annotations

from collections.abc import Iterator
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

LOOKED_AT = {*others_objects.HOLDS, *others_objects.GOES}
KINDS = {"NodePool", "EC2NodeClass", "ScaledObject", "TriggerAuthentication", "LeaderWorkerSet", "TargetGroupBinding"}
"""Of which the stack has some."""
NO_FINALIZER = {"nodeoverlays.karpenter.sh", "capacitybuffers.autoscaling.x-k8s.io"}
CHARTS = ("karpenter", "keda", "lws", "aws-load-balancer-controller")
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@pytest.fixture
def definitions(api: Api) -> Iterator[list[Object]]:
    """Those of the charts, which take anything: ids of samples are made up."""
    wanted = [one for chart in CHARTS for one in build.custom_resource_definitions(chart)]
    wanted = [one for one in wanted if one["metadata"]["name"] in LOOKED_AT]
    for version in (version for one in wanted for version in one["spec"]["versions"]):
        version["schema"] = {"openAPIV3Schema": ANYTHING}
    made = [api.create(one) for one in wanted]
    api.forget_kinds()
    assert seconds_until(lambda: all(map(partial(served, api), wanted)), 60) is not None
    yield wanted
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
def own(api: Api, definitions: list[Object]) -> Iterator[list[Object]]:
    """What the program declares of these kinds."""
    declared = [one for sample in ("pipeline", "karpenter", "batch", "sleeping") for one in manifests(sample)]
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
    api: Api, namespace: str, own: list[Object], definitions: list[Object], kubectl: Kubectl
) -> None:
    assert {one["kind"] for one in own} == KINDS
    assert others_objects.in_cluster(kubectl) == ([], [])
    theirs = [theirs_of(one, namespace) for one in definitions]
    made = [api.create(one) for one in theirs]
    [pool] = [one for one in made if one["kind"] == "NodePool"]
    owner = {"apiVersion": pool["apiVersion"], "kind": "NodePool", "name": "theirs", "uid": pool["metadata"]["uid"]}
    of_pool = theirs_of(next(one for one in definitions if one["spec"]["names"]["kind"] == "NodeClaim"), namespace)
    of_pool["metadata"] |= {"name": "theirs-abc", "ownerReferences": [owner]}
    made.append(api.create(of_pool))
    holds, goes = others_objects.in_cluster(kubectl)
    for one in made:
        api.delete(one)
    assert [one.key for one in holds] == [
        "NodePool theirs",
        "NodeClaim theirs",
        "EC2NodeClass theirs",
        f"ScaledObject {namespace}/theirs",
        f"ScaledJob {namespace}/theirs",
        f"TriggerAuthentication {namespace}/theirs",
        "ClusterTriggerAuthentication theirs",
        f"CloudEventSource {namespace}/theirs",
        "ClusterCloudEventSource theirs",
    ]
    assert [one.key for one in goes] == [
        f"LeaderWorkerSet {namespace}/theirs",
        f"TargetGroupBinding {namespace}/theirs",
    ]
    assert "its nodes end only while Karpenter runs" in holds[0].wrong
    assert "`kubectl delete nodepools.karpenter.sh theirs`" in holds[0].fix
    assert f"`kubectl delete scaledobjects.keda.sh theirs --namespace {namespace}`" in holds[3].fix
    assert "`kubectl delete clustertriggerauthentications.keda.sh theirs`" in holds[6].fix


def test_all_that_goes_with_a_release_and_gets_a_finalizer_is_looked_at() -> None:
    """The definitions of these charts are templates, which Helm takes along; of the others it leaves them."""
    defined = {one["metadata"]["name"] for chart in CHARTS[:2] for one in build.custom_resource_definitions(chart)}
    assert defined - NO_FINALIZER == {*others_objects.HOLDS}


def theirs_of(definition: Object, namespace: str) -> Object:
    spec = definition["spec"]
    place = {"namespace": namespace} if spec["scope"] == "Namespaced" else {}
    version = f"{spec['group']}/{spec['versions'][0]['name']}"
    return {"apiVersion": version, "kind": spec["names"]["kind"], "metadata": {"name": "theirs", **place}}
