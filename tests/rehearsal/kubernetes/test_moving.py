"""A stack moves from hosts to Kubernetes and back, as docs/kubernetes.md says: its cache, name and keys stay."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pulumi_rehearsal.kubernetes.cluster import title
from rehearsal.kubernetes.disruption import deployments
from rehearsal.scene import Scene
from tandem.ops import inventory
from tests.rehearsal.kubernetes.scenes import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes, pytest.mark.long]

STACK = "moving"
FILE = """\
config:
  tandem:region: us-east-1
  tandem:platform: eks
  tandem:ephemeral: true
  tandem:fleet: {instanceTypes: [g6.12xlarge], hosts: 2}
  tandem:inference: {model: Qwen/Qwen3-8B, maxModelLen: 32768}
"""
KEPT = {
    "aws:acm/certificate:Certificate",
    "aws:ec2/subnet:Subnet",
    "aws:ec2/vpc:Vpc",
    "aws:efs/accessPoint:AccessPoint",
    "aws:efs/fileSystem:FileSystem",
    "aws:efs/mountTarget:MountTarget",
    "aws:lb/listener:Listener",
    "aws:lb/loadBalancer:LoadBalancer",
    "aws:secretsmanager/secret:Secret",
    "aws:wafv2/webAcl:WebAcl",
}
GROUP = "aws:autoscaling/group:Group"
CLUSTER = "aws:eks/cluster:Cluster"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene_of(tmp_path_factory.mktemp("moving"), STACK, FILE) as scene:
        yield scene


def moved_to(scene: Scene, platform: str) -> dict[str, list[str]]:
    """The ids of all resources by type after an `up` on the platform."""
    scene.workspace.pulumi("config", "set", "tandem:platform", platform)
    up = scene.workspace.up()
    assert up.succeeded, up.messages
    ids: dict[str, list[str]] = {}
    for resource in scene.workspace.resources():
        ids.setdefault(resource["type"], []).append(resource.get("id", ""))
    return {type: sorted(found) for type, found in ids.items()}


def test_a_load_balancer_becomes_internal_and_public_again(scene: Scene) -> None:
    """The new one leads to the pods that run before the old one goes; they stay the same."""
    assert scene.cluster is not None

    def pods() -> list[str]:
        found = scene.cluster.api.list("v1", "Pod", "inference") if scene.cluster else []
        return sorted(pod["metadata"]["uid"] for pod in found)

    moved_to(scene, "eks")
    before = pods()
    for scheme in ("internal", "internet-facing"):
        setting = scheme.replace("-f", "F")
        scene.workspace.pulumi("config", "set", "--path", "tandem:loadBalancer.scheme", setting)
        up = scene.workspace.up()
        assert up.succeeded, up.messages
        [balancer] = scene.clients("elbv2").describe_load_balancers()["LoadBalancers"]
        [group] = scene.clients("elbv2").describe_target_groups()["TargetGroups"]
        [binding] = scene.cluster.api.list("elbv2.k8s.aws/v1beta1", "TargetGroupBinding")
        assert (balancer["Scheme"], group["LoadBalancerArns"]) == (scheme, [balancer["LoadBalancerArn"]])
        assert binding["spec"]["targetGroupARN"] == group["TargetGroupArn"]
        assert pods() == before
        assert scene.workspace.up().changing() == []


def test_a_move_and_the_way_back_keep_the_cache_the_name_and_the_keys(scene: Scene) -> None:
    assert scene.cluster is not None
    on_hosts = moved_to(scene, "ec2")
    url, key = (scene.workspace.outputs()[name] for name in ("url", "keysCommand"))
    in_pods = moved_to(scene, "eks")
    assert {type: in_pods[type] for type in KEPT} == {type: on_hosts[type] for type in KEPT}
    assert (GROUP in in_pods, CLUSTER in in_pods) == (False, True)
    assert [deployment["status"]["readyReplicas"] for deployment in deployments(scene.cluster.api)] == [2]
    assert scene.clients("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []

    back = moved_to(scene, "ec2")

    assert {type: back[type] for type in KEPT} == {type: on_hosts[type] for type in KEPT}
    assert (GROUP in back, CLUSTER in back) == (True, False)
    assert [title(object) for object in scene.cluster.objects()] == []
    assert scene.clients("eks").list_clusters()["clusters"] == []
    assert tuple(scene.workspace.outputs()[name] for name in ("url", "keysCommand")) == (url, key)
    assert scene.workspace.up().changing() == []

    destroy = scene.workspace.destroy()
    assert destroy.succeeded, destroy.messages
    assert inventory.find(scene.clients, STACK).resources == []
