"""The closed loop on the real Prometheus, KEDA and Karpenter: up under load, back after it, still in noise."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pulumi_rehearsal.kubernetes.api import Api, Object, countdown
from pulumi_rehearsal.kubernetes.keda import hastened
from pulumi_rehearsal.kubernetes.prometheus import Prometheus
from pulumi_rehearsal.kubernetes.watch import seconds_until
from rehearsal.kubernetes import expectations
from rehearsal.kubernetes.autoscaling import gpu_nodes, try_load
from rehearsal.kubernetes.disruption import all_back
from tandem.kubernetes.names import NAMESPACE
from tests.rehearsal.kubernetes.scenes import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes, pytest.mark.long]

MODEL = "vllm-main"
NOISE_SECONDS = 45
READY_SECONDS = 60
FALLBACK_SECONDS = 45
"""Twelve times in vain takes some fifteen."""

STACK = "loop"
FILE = """\
config:
  tandem:region: us-east-1
  tandem:platform: eks
  tandem:ephemeral: true
  tandem:fleet: {instanceTypes: [g6.12xlarge], maxHosts: 3}
  tandem:scaling: {minReplicas: 1, maxReplicas: 4, waitingRequestsPerReplica: 5, fallbackReplicas: 3}
  tandem:inference: {model: Qwen/Qwen3-8B, maxModelLen: 32768}
"""


@dataclass
class Loop:
    """Attributes:
    scaled: the program's own.
    """

    api: Api
    prometheus: Prometheus
    scaled: Object

    def hasten(self) -> None:
        """As while load is played."""
        self.api.patch(self.scaled, hastened(self.scaled))


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """One replica on the one node that Karpenter made for it, and KEDA that looks at the queue."""
    with scene_of(tmp_path_factory.mktemp(STACK), STACK, FILE) as scene:
        up = scene.workspace.up()
        assert up.succeeded, up.messages
        assert scene.cluster is not None
        api = scene.cluster.api
        assert seconds_until(lambda: all_back(api), READY_SECONDS)
        [scaled] = api.list("keda.sh/v1alpha1", "ScaledObject")
        yield Loop(api, scene.cluster.prometheus, scaled)


def test_load_brings_replicas_and_nodes_and_they_go_after_it(loop: Loop) -> None:
    answer = try_load(loop.api, loop.prometheus.servers, loop.scaled)
    assert expectations.follow_the_load(answer).violations == ()
    assert answer.nodes[1] >= 2  # two replicas of two GPUs a node
    assert answer.nodes[2] == 1
    assert answer.fall == [4, 3, 2, 1]


def test_a_noisy_queue_moves_nothing_back_and_forth(loop: Loop) -> None:
    """More than the 5 of one replica, less than would bring a third, and never so few that two are too many."""
    loop.hasten()
    noise = random.Random(7)  # the same noise each time
    seen, end = [], time.monotonic() + NOISE_SECONDS
    while time.monotonic() < end:
        loop.prometheus.servers.waiting[MODEL] = noise.uniform(5.2, 7.9)
        live = loop.api.get("apps/v1", "Deployment", MODEL, NAMESPACE)
        assert live is not None
        if not seen or seen[-1] != live["spec"]["replicas"]:
            seen.append(live["spec"]["replicas"])
        time.sleep(0.5)
    assert seen == [1, 2]
    assert gpu_nodes(loop.api) == 1  # both fit


def test_without_metrics_there_are_the_fallback_replicas(loop: Loop) -> None:
    def is_so(fallback: str, replicas: range) -> bool:
        scaled = loop.api.request("GET", loop.api.url_of(loop.scaled))
        server = loop.api.get("apps/v1", "Deployment", MODEL, NAMESPACE)
        conditions = {one["type"]: one["status"] for one in scaled.get("status", {}).get("conditions", [])}
        return bool(server) and conditions.get("Fallback") == fallback and server["spec"]["replicas"] in replicas

    loop.hasten()
    assert any(is_so("False", range(1, 3)) for _ in countdown(FALLBACK_SECONDS))
    loop.prometheus.end()
    assert any(is_so("True", range(3, 4)) for _ in countdown(FALLBACK_SECONDS))
