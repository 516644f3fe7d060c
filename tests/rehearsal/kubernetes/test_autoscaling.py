"""The closed loop on the real Prometheus, KEDA and Karpenter: up under load, back after it, still in noise."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from infra.kubernetes.scaling import Scaling, scaling_objects
from infra.kubernetes.shared import NAMESPACE
from rehearsal.kubernetes import charts, cluster, expectations
from rehearsal.kubernetes.api import Api, Object, countdown
from rehearsal.kubernetes.autoscaling import gpu_nodes, try_load
from rehearsal.kubernetes.control_plane import control_plane
from rehearsal.kubernetes.karpenter import for_kwok, karpenter
from rehearsal.kubernetes.keda import for_rehearsal, keda
from rehearsal.kubernetes.played_servers import PlayedServers
from rehearsal.kubernetes.prometheus import prometheus
from rehearsal.kubernetes.readiness import wait_until_ready
from tests.rehearsal.kubernetes.conftest import ZONES, servers_of_the_program

pytestmark = pytest.mark.long

MODEL = "vllm-main"
NOISE_SECONDS = 45
FALLBACK_SECONDS = 45
"""Twelve times in vain takes some fifteen."""

BUDGETS = [{"nodes": "1", "reasons": ["Drifted", "Underutilized"]}]

POOL = {
    "apiVersion": "karpenter.sh/v1",
    "kind": "NodePool",
    "metadata": {"name": "gpu"},
    "spec": {
        "limits": {"nvidia.com/gpu": "16"},
        "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "10m", "budgets": BUDGETS},
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
SCALING = Scaling(
    service=MODEL,
    min_replicas=1,
    max_replicas=4,
    waiting_requests=5,
    running_requests=32,
    cooldown_seconds=300,
    fallback_replicas=3,
    prometheus_url="http://prometheus",
    launch_seconds=3600,
)


@dataclass
class Loop:
    """Attributes:
    stop_prometheus: ends it, while KEDA goes on.
    """

    api: Api
    servers: PlayedServers
    scaled: Object
    stop_prometheus: Callable[[], None]


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    """One replica on the one node that Karpenter made for it, and KEDA that looks at the queue."""
    cluster.ensure(print)
    with control_plane() as plane, ExitStack() as running:
        server = running.enter_context(prometheus(plane))
        for chart in ("karpenter", "keda"):
            charts.install_definitions(plane.api, chart)
        with karpenter(plane, ZONES), keda(plane):
            api = plane.api
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
            api.apply(for_kwok(POOL, api, lambda _: None), "test")
            _, reasons = wait_until_ready(api, api.apply(servers_of_the_program(replicas=1), "test"))
            assert reasons == []
            [scaled] = scaling_objects(SCALING)
            applied = api.apply(for_rehearsal(scaled, server.url), "test")
            yield Loop(api, server.servers, applied, running.close)


def test_load_brings_replicas_and_nodes_and_they_go_after_it(loop: Loop) -> None:
    answer = try_load(loop.api, loop.servers, loop.scaled)
    assert expectations.follow_the_load(answer).violations == ()
    assert answer.nodes[1] >= 2  # two replicas of two GPUs a node
    assert answer.nodes[2] == 1
    assert answer.fall == [4, 3, 2, 1]


def test_a_noisy_queue_moves_nothing_back_and_forth(loop: Loop) -> None:
    """Around what two replicas carry: 5 a replica, 7 to 10 in all."""
    noise = random.Random(7)  # the same noise each time
    seen, end = [], time.monotonic() + NOISE_SECONDS
    while time.monotonic() < end:
        loop.servers.waiting[MODEL] = noise.uniform(6.0, 9.9)
        live = loop.api.get("apps/v1", "Deployment", MODEL, NAMESPACE)
        assert live is not None
        if not seen or seen[-1] != live["spec"]["replicas"]:
            seen.append(live["spec"]["replicas"])
        time.sleep(0.5)
    assert seen == [1, 2]
    assert gpu_nodes(loop.api) == 2


def test_without_metrics_there_are_the_fallback_replicas(loop: Loop) -> None:
    def is_so(fallback: str, replicas: range) -> bool:
        scaled = loop.api.request("GET", loop.api.url_of(loop.scaled))
        server = loop.api.get("apps/v1", "Deployment", MODEL, NAMESPACE)
        conditions = {one["type"]: one["status"] for one in scaled.get("status", {}).get("conditions", [])}
        return bool(server) and conditions.get("Fallback") == fallback and server["spec"]["replicas"] in replicas

    assert any(is_so("False", range(1, 3)) for _ in countdown(FALLBACK_SECONDS))
    loop.stop_prometheus()
    assert any(is_so("True", range(3, 4)) for _ in countdown(FALLBACK_SECONDS))
