"""Nodes come for a batch and go: the program's stack by the real provider, the command's Job, the real Karpenter."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pulumi_rehearsal.kubernetes import build
from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.cluster import Cluster
from pulumi_rehearsal.kubernetes.watch import seconds_until
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import BATCH_POOL, NAMESPACE, NODE_POOL, OF_BATCH
from tandem.loading import load_stack_file
from tandem.ops.batches import store
from tandem.ops.batches.estimate import Plan
from tandem.ops.batches.machines import Jobs
from tests.rehearsal.kubernetes.scenes import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes, pytest.mark.long]

STACK = "batched"
FILE = """\
config:
  tandem:region: us-east-1
  tandem:platform: eks
  tandem:ephemeral: true
  tandem:fleet: {instanceTypes: [g6e.12xlarge], maxHosts: 1}
  tandem:scaling: {minReplicas: 1, maxReplicas: 2}
  tandem:inference: {model: Qwen/Qwen3-8B, maxModelLen: 32768}
  tandem:batch: {maxUsd: 80, maxHosts: 2}
"""
LINE = json.dumps({"custom_id": "r1", "method": "POST", "url": "/v1/chat/completions", "body": {}})
PLAN = Plan(hosts=2, usd_per_hour=21, max_usd=80, lasts=timedelta(hours=3), work=None)
COME, GO = 120, 300


def nodes(cluster: Cluster) -> list[Object]:
    return cluster.api.list("v1", "Node", labelSelector=f"{NODE_POOL}={BATCH_POOL}")


def test_nodes_come_for_a_batch_and_go(tmp_path: Path) -> None:
    with scene_of(tmp_path, STACK, FILE) as scene:
        up = scene.workspace.up()
        assert up.succeeded, up.messages
        cluster = scene.cluster
        assert cluster is not None
        assert nodes(cluster) == []
        settings = load_stack_file(scene.workspace.directory / f"Pulumi.{STACK}.yaml")
        found = store.find(scene.clients, STACK, None, datetime.now(UTC), settings)
        assert isinstance(found.machines, Jobs)
        assert found.machines.pods_per_host == 2
        kubectl = Kubectl(cluster.plane.kubeconfig, str(build.KUBECTL.command("kubectl")))
        found = replace(found, machines=replace(found.machines, cluster=lambda _: kubectl))

        begun = found.begin([LINE], PLAN)
        assert seconds_until(lambda: len(nodes(cluster)) == 2, COME) is not None
        bought = [node["metadata"]["labels"] for node in nodes(cluster)]
        assert {labels["karpenter.sh/capacity-type"] for labels in bought} == {"spot"}
        assert {labels["node.kubernetes.io/instance-type"] for labels in bought} == {"g6e.12xlarge"}
        own = f"{OF_BATCH}={begun.id}"
        stood = {node["metadata"]["name"] for node in nodes(cluster)}

        def worked() -> bool:
            """A pod of the Job that has a node is done at once here."""
            pods = cluster.api.list("v1", "Pod", NAMESPACE, labelSelector=own)
            return len(pods) == 4 and {pod["status"]["phase"] for pod in pods} == {"Succeeded"}

        assert seconds_until(worked, COME) is not None
        pods = cluster.api.list("v1", "Pod", NAMESPACE)
        on = {pod["metadata"]["name"]: pod["spec"].get("nodeName") for pod in pods}
        assert {node for name, node in on.items() if name.startswith(begun.id)} == stood
        assert not any(node in stood for name, node in on.items() if name.startswith("vllm-main"))
        assert scene.workspace.up().changing() == [], "an `up` while a batch's Job is there changes nothing"
        assert seconds_until(lambda: nodes(cluster) == [], GO) is not None
        found.cancel(begun)
        assert seconds_until(lambda: cluster.api.list("batch/v1", "Job", NAMESPACE) == [], COME) is not None

        gone = scene.workspace.destroy()
        assert gone.succeeded, gone.messages
        assert scene.clients("s3").list_buckets()["Buckets"] == []
