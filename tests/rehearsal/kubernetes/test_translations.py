"""What changes in an object on its way to the API server, and that nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

from infra.catalog.instances import INSTANCE_TYPES
from rehearsal.kubernetes.api import Object
from rehearsal.kubernetes.karpenter import for_kwok, instance_type_of_karpenter
from rehearsal.kubernetes.keda import for_rehearsal
from rehearsal.kubernetes.nodes import node_resources

NODE_CLASS = {"spec": {"subnetSelectorTerms": [{"id": "subnet-1"}, {"id": "subnet-2"}]}}


class OneNodeClass:
    """An API server that has one EC2NodeClass."""

    def get(self, *_: Any) -> Object:
        return NODE_CLASS


class TwoSubnets:
    """EC2 with a subnet in each of two zones."""

    def describe_subnets(self, SubnetIds: list[str]) -> Any:
        assert SubnetIds == ["subnet-1", "subnet-2"]
        return {"Subnets": [{"AvailabilityZone": zone} for zone in ("us-east-1b", "us-east-1a")]}


def pool(**disruption: str) -> Object:
    reference = {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "gpu"}
    spec = {"nodeClassRef": reference, "requirements": [{"key": "a", "operator": "In", "values": ["b"]}]}
    return {"kind": "NodePool", "spec": {"weight": 5, "disruption": disruption, "template": {"spec": spec}}}


def translated(object: Object) -> Object:
    api: Any = OneNodeClass()
    return for_kwok(object, api, lambda _: TwoSubnets())


def test_a_node_pool_gets_the_node_class_of_kwok_and_the_zones_of_its_subnets() -> None:
    found = translated(pool())
    assert found["spec"]["weight"] == 5
    assert found["spec"]["template"]["spec"] == {
        "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
        "requirements": [
            {"key": "a", "operator": "In", "values": ["b"]},
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1a", "us-east-1b"]},
        ],
    }


@pytest.mark.parametrize(("given", "sent"), [("10m", "5s"), ("Never", "Never")])
def test_empty_nodes_go_sooner_if_they_go_at_all(given: str, sent: str) -> None:
    assert translated(pool(consolidateAfter=given))["spec"]["disruption"]["consolidateAfter"] == sent


def test_what_a_pool_does_not_say_is_left_to_its_defaults() -> None:
    silent = pool()
    del silent["spec"]["disruption"]
    assert "disruption" not in translated(silent)["spec"]


def test_other_objects_are_sent_as_they_are() -> None:
    other = {"kind": "Deployment", "spec": {}}
    assert translated(other) is other
    assert for_rehearsal(other, "http://x") is other


def test_an_instance_type_is_offered_in_every_zone_with_spot_below_its_price() -> None:
    kind = INSTANCE_TYPES["g6.12xlarge"]
    found = instance_type_of_karpenter(kind, ["us-east-1a", "us-east-1b"])
    assert found["resources"] == node_resources(kind)
    assert found["resources"]["nvidia.com/gpu"] == "4"
    assert [offering["Price"] for offering in found["offerings"]] == [4.6016, 2.3008, 4.6016, 2.3008]


def test_a_scaled_object_asks_the_prometheus_of_the_rehearsal_and_is_faster() -> None:
    policies = [{"type": "Pods", "value": 1, "periodSeconds": 60}]
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 300, "policies": policies}}
    trigger = {"type": "prometheus", "metadata": {"serverAddress": "http://theirs", "threshold": "5"}}
    other = {"type": "cron", "metadata": {}}
    given = {
        "kind": "ScaledObject",
        "spec": {
            "cooldownPeriod": 300,
            "pollingInterval": 15,
            "maxReplicaCount": 4,
            "fallback": {"failureThreshold": 3, "replicas": 2},
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
            "triggers": [trigger, other],
        },
    }
    faster = [{"type": "Pods", "value": 1, "periodSeconds": 3}]
    assert for_rehearsal(given, "http://ours")["spec"] == {
        "cooldownPeriod": 15,
        "pollingInterval": 2,
        "maxReplicaCount": 4,
        "fallback": {"failureThreshold": 12, "replicas": 2},
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 15, "policies": faster}}
            }
        },
        "triggers": [{"type": "prometheus", "metadata": {"serverAddress": "http://ours", "threshold": "5"}}, other],
    }
