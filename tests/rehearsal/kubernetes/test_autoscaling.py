"""The closed loop on the real Karpenter and the real KEDA: up under load, back after it, still in noise."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from rehearsal.kubernetes import build, charts, expectations
from rehearsal.kubernetes.api import Api, Object
from rehearsal.kubernetes.autoscaling import gpu_nodes, try_load
from rehearsal.kubernetes.control_plane import control_plane
from rehearsal.kubernetes.karpenter import for_kwok, karpenter
from rehearsal.kubernetes.keda import Prometheus, for_rehearsal, keda, prometheus
from rehearsal.kubernetes.readiness import wait_until_ready
from tests.rehearsal.kubernetes.conftest import ZONES, deployment

pytestmark = pytest.mark.long

NAMESPACE = "inference"
NOISE_SECONDS = 45

POOL = {
    "apiVersion": "karpenter.sh/v1",
    "kind": "NodePool",
    "metadata": {"name": "gpu"},
    "spec": {
        "limits": {"nvidia.com/gpu": "16"},
        "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "10m", "budgets": [{"nodes": "1"}]},
        "template": {
            "spec": {
                "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "gpu"},
                "requirements": [
                    {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["g6.12xlarge"]},
                    {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot", "on-demand"]},
                ],
            }
        },
    },
}
SCALED = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ScaledObject",
    "metadata": {"name": "server", "namespace": NAMESPACE},
    "spec": {
        "scaleTargetRef": {"name": "server"},
        "minReplicaCount": 1,
        "maxReplicaCount": 4,
        "cooldownPeriod": 300,
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {
                    "scaleUp": {"stabilizationWindowSeconds": 0},
                    "scaleDown": {
                        "stabilizationWindowSeconds": 300,
                        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
                    },
                }
            }
        },
        "triggers": [
            {
                "type": "prometheus",
                "metricType": "AverageValue",
                "metadata": {
                    "serverAddress": "http://prometheus",
                    "query": "sum(vllm:num_requests_waiting)",
                    "threshold": "5",
                },
            }
        ],
    },
}


@dataclass
class Loop:
    api: Api
    prometheus: Prometheus
    scaled: Object


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    """One replica on the one node that Karpenter made for it, and KEDA that looks at the queue."""
    build.ensure((*build.TOOLS_OF_THE_CONTROL_PLANE, *build.AUTOSCALERS), print)
    with control_plane() as plane, prometheus() as stand_in:
        for chart in ("karpenter", "keda"):
            charts.install_definitions(plane.api, chart)
        with karpenter(plane, ZONES), keda(plane):
            api = plane.api
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
            api.apply(for_kwok(POOL, api, lambda _: None), "test")
            _, reasons = wait_until_ready(api, api.apply(deployment(NAMESPACE, replicas=1), "test"))
            assert reasons == []
            stand_in.figures["waiting"] = 0
            yield Loop(api, stand_in, api.apply(for_rehearsal(SCALED, stand_in), "test"))


def test_load_brings_replicas_and_nodes_and_they_go_after_it(loop: Loop) -> None:
    answer = try_load(loop.api, loop.prometheus, loop.scaled)
    assert expectations.follow_the_load(answer).violations == ()
    assert answer.nodes[1] >= 2  # two replicas of two GPUs a node
    assert answer.nodes[2] == 1
    assert answer.fall == [4, 3, 2, 1]


def test_a_noisy_queue_moves_nothing_back_and_forth(loop: Loop) -> None:
    """Around what two replicas carry: 5 a replica, 7 to 10 in all."""
    noise = random.Random(7)  # the same noise each time
    seen, end = [], time.monotonic() + NOISE_SECONDS
    while time.monotonic() < end:
        loop.prometheus.figures["waiting"] = noise.uniform(6.0, 9.9)
        live = loop.api.get("apps/v1", "Deployment", "server", NAMESPACE)
        assert live is not None
        if not seen or seen[-1] != live["spec"]["replicas"]:
            seen.append(live["spec"]["replicas"])
        time.sleep(0.5)
    assert seen == [1, 2]
    assert gpu_nodes(loop.api) == 2
