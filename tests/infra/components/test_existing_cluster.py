"""A cluster that is there: a node group, a namespace and roles of the stack's come, and nothing else of a cluster."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pulumi
import pytest

from infra.kubernetes.claim import Claim
from infra.kubernetes.shared import namespace
from tandem import pins
from tandem.errors import UserError
from tests.infra.declared import CLUSTER, CLUSTERS, NODE_GROUPS, OTHERS_CLUSTER, STACK_ID, Declared, declared_by
from tests.infra.test_stack_eks import amazon, kubernetes

pytestmark = pytest.mark.sweep

VPC = OTHERS_CLUSTER["vpcConfig"]["vpcId"]
SUBNETS = {"us-east-1a": f"subnet-{'2' * 17}", "us-east-1b": f"subnet-{'3' * 17}"}
DRIVER = "arn:aws:iam::123456789012:role/driver"
NEWER = f"1.{int(pins.load().kubernetes.version.partition('.')[2]) + 1}"
OURS = {"tags": {"tandem:project": "tandem"}}


def values(**existing: Any) -> dict[str, Any]:
    return {
        "region": "us-east-1",
        "platform": "eks",
        "network": {"existing": {"vpcId": VPC, "privateSubnetIds": SUBNETS}},
        "loadBalancer": {"scheme": "internal"},
        "nodePool": {"provisioner": "managed"},
        "fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 4},
        "scaling": {"prometheusUrl": "http://prometheus.observability.svc:9090"},
        "inference": {"model": "Qwen/Qwen3-32B", "quantization": "fp8", "maxModelLen": 32768},
        "cluster": {"existing": {"name": "platform"} | existing},
    }


def there(account: dict[str, dict[str, Any]] | None = None, **existing: Any) -> Declared:
    return declared_by(values(**existing), "prod", account={CLUSTERS: {"names": ["platform"]}} | (account or {}))


def test_of_a_cluster_only_nodes_and_what_lends_roles_are_made() -> None:
    found = amazon(there())
    of_clusters = ("Cluster", "Addon", "AccessEntry", "Key", "EventRule", "EventTarget", "Queue", "QueuePolicy")
    assert not {*of_clusters} & {*found}
    made = ("NodeGroup", "LaunchTemplate", "PodIdentityAssociation", "Role", "RolePolicy", "RolePolicyAttachment")
    assert [found[kind] for kind in made] == [1, 1, 1, 2, 4, 2]
    assert there().one("PodIdentityAssociation")["clusterName"] == "platform"


def test_exact_objects_of_kubernetes_without_a_release_or_a_definition() -> None:
    assert kubernetes(there()) == {
        "apps/v1:Deployment": 1,
        "core/v1:ConfigMap": 3,
        "core/v1:Namespace": 1,
        "core/v1:PersistentVolume": 1,
        "core/v1:PersistentVolumeClaim": 1,
        "core/v1:Service": 1,
        "core/v1:ServiceAccount": 1,
        "elbv2.k8s.aws/v1beta1:TargetGroupBinding": 1,
        "keda.sh/v1alpha1:ScaledObject": 1,
        "networking.k8s.io/v1:NetworkPolicy": 2,
        "policy/v1:PodDisruptionBudget": 1,
        "scheduling.k8s.io/v1:PriorityClass": 1,
    }


def test_what_a_cluster_has_once_says_whose_it_is_and_nothing_else_does() -> None:
    objects = [one.inputs for one in there().resources if one.type.startswith("kubernetes:")]
    labelled = {one["kind"] for one in objects if one["metadata"].get("labels", {}).get("tandem/stack") == "prod"}
    assert labelled == {one["kind"] for one in objects if "namespace" not in one["metadata"]}
    assert labelled == {"Namespace", "PersistentVolume", "PriorityClass"}


def test_nodes_are_the_clusters_and_in_the_group_that_balancer_and_cache_let_in() -> None:
    found = there()
    group = found.one("NodeGroup")
    assert (group["clusterName"], group["nodeGroupName"]) == ("platform", f"tandem-prod-gpu-{STACK_ID}")
    groups = found.one("LaunchTemplate")["vpcSecurityGroupIds"]
    assert groups == ["tandem-prod-hosts-SecurityGroup-id", "sg-others"]


def test_roles_are_for_pods_of_that_cluster() -> None:
    [role] = [one for name, one in there().of("Role").items() if name.endswith("-inference")]
    equal = json.loads(role["assumeRolePolicy"])["Statement"][0]["Condition"]["StringEquals"]
    assert equal["aws:RequestTag/eks-cluster-name"] == "platform"


@pytest.mark.parametrize(
    ("existing", "role"), [({}, ":Role/tandem-prod-gpu-group"), ({"fileSystemRoleArn": DRIVER}, ":role/driver")]
)
def test_the_cache_lets_in_whom_the_clusters_driver_mounts_as(existing: dict[str, Any], role: str) -> None:
    policy = json.loads(there(**existing).one("FileSystemPolicy")["policy"])
    assert policy["Statement"][0]["Principal"]["AWS"].endswith(role)


def test_its_schedule_sizes_the_group_there() -> None:
    found = declared_by(
        values() | {"costGuard": {"expiresAfter": "4h"}}, "prod", account={CLUSTERS: {"names": ["platform"]}}
    )
    policies = [one["policy"] for one in found.of("RolePolicy").values() if "UpdateNodegroupConfig" in one["policy"]]
    assert [":nodegroup/platform/tandem-prod-gpu-0123456789abcdef/*" in one for one in policies] == [True]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (OURS, "a stack of tandem has made"),
        ({"vpcConfig": OTHERS_CLUSTER["vpcConfig"] | {"vpcId": "vpc-1"}}, "is in vpc-1, where"),
        ({"version": "1.30"}, "runs Kubernetes 1.30"),
        ({"version": NEWER}, f"runs Kubernetes {NEWER}"),
        ({"status": "DELETING"}, "is DELETING"),
        ({"kubernetesNetworkConfigs": [{"ipFamily": "ipv6"}]}, "addresses of ipv6"),
    ],
)
def test_a_cluster_that_cannot_hold_the_stack_is_refused(answer: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        there({CLUSTER: OTHERS_CLUSTER | answer})


def test_a_stack_stays_in_a_cluster_that_its_owner_has_upgraded() -> None:
    groups = {NODE_GROUPS: {"names": ["theirs", "tandem-prod-gpu-" + "0" * 16]}}
    found = there({CLUSTER: OTHERS_CLUSTER | {"version": NEWER}, **groups})
    assert found.one("NodeGroup")["version"] == pins.load().kubernetes.version


def test_a_stack_stays_in_its_own_cluster() -> None:
    account = {CLUSTERS: {"names": ["platform", "tandem-prod"]}, CLUSTER: OTHERS_CLUSTER | OURS}
    with pytest.raises(UserError, match="the stack is in the cluster tandem-prod, and nothing of it can go"):
        there(account)


@pytest.mark.parametrize("existing", [{"name": "second"}, None], ids=["to another", "to one of its own"])
def test_a_stack_stays_in_a_cluster_that_was_there(existing: dict[str, str] | None) -> None:
    account = {CLUSTERS: {"names": ["platform", "second"]}, NODE_GROUPS: {"names": ["tandem-prod-gpu-0a1b"]}}
    wanted = values() | {"cluster": {"existing": existing} if existing else {}}
    with pytest.raises(UserError, match="the stack is in the cluster platform, and nothing of it can go"):
        declared_by(wanted, "prod", account=account)


@pytest.mark.parametrize("group", ["tandem-prod-gpu-ab-gpu-0a1b", "tandem-prod2-gpu-0a1b", "gpu", "tandem-prod-gpu"])
def test_another_stacks_nodes_are_no_reason_to_stay(group: str) -> None:
    account = {CLUSTERS: {"names": ["platform", "second"]}, NODE_GROUPS: {"names": [group]}}
    assert there(account).one("NodeGroup")["clusterName"] == "platform"


def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, labels: dict[str, str] | None) -> None:
    """What the hook of a namespace says where the cluster has one with these labels."""
    shown = "" if labels is None else json.dumps({"metadata": {"labels": labels}})
    (tmp_path / "kubectl").write_text(f"#!/bin/sh\necho '{shown}'\n")
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    claim = Claim("prod", "{}")
    [hook] = claim.hooks.before_create or []
    assert isinstance(hook, pulumi.ResourceHook)
    assert hook.opts is not None
    assert hook.opts.on_dry_run
    hook.callback(cast(pulumi.ResourceHookArgs, SimpleNamespace(new_inputs=claim.labelled(namespace()))))


@pytest.mark.parametrize(
    ("labels", "whose"), [({}, "not of a stack of tandem's"), ({"tandem/stack": "dev"}, "is the stack dev's")]
)
def test_a_name_that_somebody_has_is_not_taken_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, labels: dict[str, str], whose: str
) -> None:
    monkeypatch.setattr(pulumi, "ResourceHook", Hook)
    with pytest.raises(UserError, match=whose):
        asked(monkeypatch, tmp_path, labels)


@pytest.mark.parametrize("labels", [None, {"tandem/stack": "prod"}], ids=["free", "its own"])
def test_a_name_that_is_free_or_its_own_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, labels: dict[str, str] | None
) -> None:
    monkeypatch.setattr(pulumi, "ResourceHook", Hook)
    asked(monkeypatch, tmp_path, labels)


class Hook(pulumi.ResourceHook):
    """Of no engine."""

    def __init__(self, name: str, callback: Any, opts: pulumi.ResourceHookOptions | None = None) -> None:
        self.name, self.callback, self.opts = name, callback, opts
