"""Nodes become newer under load: one by one, after their successors, and not at all while there is no capacity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pulumi_rehearsal.kubernetes.cluster import Cluster
from pulumi_rehearsal.kubernetes.watch import lowest_available, seconds_until
from pulumi_rehearsal.meanwhile import meanwhile
from rehearsal.kubernetes.disruption import deployments, of_karpenter, servers
from tests.rehearsal.kubernetes.scenes import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes, pytest.mark.long]

STACK = "drifting"
FILE = """\
config:
  tandem:region: us-east-1
  tandem:platform: eks
  tandem:ephemeral: true
  tandem:fleet: {instanceTypes: [g6.12xlarge], maxHosts: 2}
  tandem:scaling: {minReplicas: 4, maxReplicas: 4}
  tandem:inference: {model: Qwen/Qwen3-8B, maxModelLen: 32768}
"""
REPLICAS = 4
REFUSAL_SECONDS, REPLACED_SECONDS = 240, 480
TYPE = "g6.12xlarge"


def claims(cluster: Cluster) -> dict[str, bool]:
    """Karpenter's nodes by name, and whether each is no longer what its pool says."""
    return {
        claim["metadata"]["name"]: any(
            one["type"] == "Drifted" and one["status"] == "True"
            for one in claim.get("status", {}).get("conditions", [])
        )
        for claim in of_karpenter(cluster.api, "NodeClaim")
    }


@contextmanager
def leaving(cluster: Cluster) -> Iterator[list[set[str]]]:
    """The nodes that are about to go and have servers, each time that it was looked."""
    seen: list[set[str]] = []

    def look() -> None:
        going = {
            node["metadata"]["name"]
            for node in cluster.api.list("v1", "Node")
            if any(taint["key"] == "karpenter.sh/disrupted" for taint in node["spec"].get("taints", []))
        }
        seen.append(going & {pod["spec"].get("nodeName") for pod in servers(cluster.api)})

    with meanwhile(look, 0.2):
        yield seen


def test_never_fewer_servers_than_promised(tmp_path: Path) -> None:
    with scene_of(tmp_path, STACK, FILE) as scene:
        workspace, cluster = scene.workspace, scene.cluster
        assert cluster is not None
        up = workspace.up()
        assert up.succeeded, up.messages
        before = claims(cluster)
        assert len(before) == 2, "four servers of two GPUs leave nothing free"
        account = cluster.asked["karpenter"]

        account.exhausted.add(TYPE)
        workspace.pulumi("config", "set", "--path", "tandem:tags.owner", "somebody-else")
        with lowest_available(cluster.api) as lowest:
            up = workspace.up()
            assert up.succeeded, up.messages
            refused = seconds_until(
                lambda: any(call.action == "ec2:CreateFleet" for call in account.asked), REFUSAL_SECONDS
            )
        assert refused is not None, "Karpenter has asked for a successor"
        assert all(claims(cluster)[name] for name in before), "both are to be replaced, and stay"
        assert lowest["vllm-main"] == REPLICAS

        account.exhausted.remove(TYPE)
        with lowest_available(cluster.api) as lowest, leaving(cluster) as gone:
            done = seconds_until(lambda: not {*before} & {*claims(cluster)}, REPLACED_SECONDS)
            back = seconds_until(lambda: _ready(cluster) == REPLICAS, 60)
        assert done is not None, claims(cluster)
        assert back is not None
        assert max(map(len, gone)) == 1, "one node at a time"
        assert lowest["vllm-main"] >= REPLICAS - 1, "one server at a time"
        assert len(claims(cluster)) == 2


def _ready(cluster: Cluster) -> int:
    [server] = [one for one in deployments(cluster.api) if one["metadata"]["name"] == "vllm-main"]
    return server["status"].get("readyReplicas", 0)
