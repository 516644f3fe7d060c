"""What is faster while load is played, and that it is taken back."""

from __future__ import annotations

import pytest

from pulumi_rehearsal.kubernetes.api import Api, Object
from pulumi_rehearsal.kubernetes.keda import hastened
from pulumi_rehearsal.kubernetes.nodes import node_resources
from rehearsal.kubernetes.autoscaling import before
from tandem.catalog.instances import INSTANCE_TYPES

pytestmark = pytest.mark.kubernetes


def scaled() -> Object:
    policies = [{"type": "Pods", "value": 1, "periodSeconds": 60}]
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 300, "policies": policies}}
    return {
        "spec": {
            "cooldownPeriod": 300,
            "pollingInterval": 15,
            "maxReplicaCount": 4,
            "fallback": {"failureThreshold": 3, "replicas": 2},
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
        },
    }


def test_a_scaled_object_is_faster() -> None:
    faster = [{"type": "Pods", "value": 1, "periodSeconds": 1}]
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 5, "policies": faster}}
    assert hastened(scaled()) == {
        "spec": {
            "cooldownPeriod": 5,
            "pollingInterval": 2,
            "fallback": {"failureThreshold": 12, "replicas": 2},
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
        }
    }


def test_a_patch_that_is_taken_back_leaves_nothing(api: Api, namespace: str) -> None:
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace}}
    made = api.create({**head, "data": {"kept": "1", "changed": "2"}})
    change = {"data": {"changed": "3", "new": "4"}, "metadata": {"labels": {"a": "b"}}}
    undo = before(made, change)
    assert api.patch(made, change)["data"] == {"kept": "1", "changed": "3", "new": "4"}
    back = api.patch(made, undo)
    assert back["data"] == made["data"]
    assert "labels" not in back["metadata"]


@pytest.mark.parametrize(("name", "cpu"), [("g6.12xlarge", "47810m"), ("p5.48xlarge", "191450m")])
def test_a_node_keeps_of_its_processors_what_eks_keeps(name: str, cpu: str) -> None:
    assert node_resources(INSTANCE_TYPES[name])["cpu"] == cpu
