"""`tandem batch` on platform eks: the program's own objects and the command's Jobs on a real control plane, from the
first pod to the last. Nobody plays a worker: pods of a Job that have a node are done at once there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import AccountGaps
from pulumi_rehearsal.instance_types import type_named
from pulumi_rehearsal.kubernetes import build
from pulumi_rehearsal.kubernetes.api import Api, Object
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane
from pulumi_rehearsal.kubernetes.nodes import gpu_node, wait_for_nodes
from pulumi_rehearsal.kubernetes.watch import seconds_until
from tandem.kubernetes.jobs import job
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import BATCH, BATCH_POOL, GPU, NAMESPACE, NODE_POOL, OF_BATCH
from tandem.ops import options
from tandem.ops.aws import aws_clients
from tandem.ops.batches import machines
from tandem.ops.cli import app
from tandem.tags import PROJECT_TAG, STACK_TAG
from tests.infra.kubernetes.samples import SAMPLES, manifests
from tests.ops.conftest import aws_account as aws_account
from tests.ops.conftest import moto_server as moto_server

BUCKET = "tandem-dev-batch-0a1b2c3"
KINDS = ("ConfigMap", "NetworkPolicy", "PersistentVolume", "PersistentVolumeClaim", "PodTemplate", "ServiceAccount")
SECONDS = 180
"""In which pods that never had a node are collected, which the controller does every 20 s."""


@dataclass(frozen=True)
class Cluster:
    """With what the program declares for a stack with batches, but for its servers."""

    api: Api
    kubectl: Kubectl

    @property
    def jobs(self) -> list[Object]:
        return self.api.list("batch/v1", "Job", NAMESPACE)

    @property
    def pods(self) -> dict[str, Object]:
        """By name, without those that leave."""
        found = self.api.list("v1", "Pod", NAMESPACE)
        return {one["metadata"]["name"]: one for one in found if "deletionTimestamp" not in one["metadata"]}

    @property
    def template(self) -> Object:
        found = self.api.get("v1", "PodTemplate", BATCH, NAMESPACE)
        assert found
        return found

    @property
    def ended(self) -> dict[str, str]:
        """Of the only Job, what holds and why."""
        [one] = self.jobs
        told = one.get("status", {}).get("conditions", ())
        return {each["type"]: each.get("reason", "") for each in told if each["status"] == "True"}

    def begin(self) -> str:
        """A batch whose pods are there, and wait: servers' nodes are none of theirs."""
        begun = answered("run", "dev", "r.jsonl", "--yes")
        assert begun["hosts"] == 2
        until(lambda: len(self.pods) == 4)  # a node of four GPUs has room for two
        [found] = self.jobs
        assert found["metadata"]["labels"] == {OF_BATCH: begun["id"]}
        assert found["spec"]["activeDeadlineSeconds"] == pytest.approx(begun["lastsSeconds"], abs=2)
        assert not any(pod["spec"].get("nodeName") for pod in self.pods.values())
        return begun["id"]

    def change(self, **spec: int) -> None:
        [found] = self.jobs
        self.api.patch(found, {"spec": spec})


@pytest.fixture
def up(
    kubernetes: ControlPlane, aws_account: AccountGaps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    """And with a bucket, a file of requests, and the real kubectl."""
    values = {f"tandem:{key}": value for key, value in SAMPLES["batch"].items()}
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": values}))
    body = {"model": SAMPLES["batch"]["inference"]["model"], "messages": [], "max_tokens": 20_000}
    line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    (tmp_path / "r.jsonl").write_text("\n".join(json.dumps({"custom_id": f"r{n}", **line}) for n in range(350)))
    cluster = Cluster(kubernetes.api, Kubectl(kubernetes.kubeconfig, str(build.KUBECTL.command("kubectl"))))
    monkeypatch.setattr(options, "PROJECT", tmp_path)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machines, "kubectl", lambda *_: cluster.kubectl)
    s3 = aws_clients("us-east-1")("s3")
    s3.create_bucket(Bucket=BUCKET)
    tags = [{"Key": key, "Value": value} for key, value in ((PROJECT_TAG, "tandem"), (STACK_TAG, "dev"))]
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": tags})
    [home] = [one for one in manifests("batch") if one["kind"] == "Namespace"]
    own = [one for one in manifests("batch") if one["kind"] in KINDS]
    for one in (home, *own):
        cluster.api.apply(one, "tandem")
    yield cluster
    for one in (*(one for one in own if one["kind"] == "PersistentVolume"), home):
        cluster.api.delete(one)
    until(lambda: cluster.api.get("v1", "Namespace", NAMESPACE) is None)


def answered(*words: str, status: int = 0) -> Any:
    result = CliRunner().invoke(app, ["batch", *words, "--json"])
    assert result.exit_code == status, (result.output, result.exception)
    return json.loads(result.stdout)


def until(condition: Callable[[], object]) -> None:
    assert seconds_until(lambda: bool(condition()), SECONDS) is not None


def test_a_pod_that_goes_comes_again(up: Cluster) -> None:
    id = up.begin()
    first, *others = sorted(up.pods)
    up.kubectl.run("delete", "pod", first, "--wait=false")
    until(lambda: len(up.pods) == 4 and first not in up.pods)
    assert {*others} < {*up.pods}
    assert up.ended == {}

    up.api.create(job(up.template, "batch-of-others", 1, 1, 600) | {"metadata": OTHERS})
    until(lambda: len(up.pods) == 5)
    assert answered("cancel", "dev", id, "--yes")["cancelled"] is True
    until(lambda: [one["metadata"]["name"] for one in up.jobs] == ["others"])
    until(lambda: [pod["metadata"]["labels"][OF_BATCH] for pod in up.pods.values()] == ["batch-of-others"])

    assert answered("resume", "dev", "--yes")["resumed"] is True
    until(lambda: {f"{id}-2", "others"} == {one["metadata"]["name"] for one in up.jobs} and len(up.pods) == 5)


OTHERS = {"name": "others", "namespace": NAMESPACE, "labels": {OF_BATCH: "batch-of-others"}}


def test_a_pod_that_is_taken_away_does_not_count(up: Cluster) -> None:
    up.begin()
    before = {*up.pods}
    for name in before:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
        up.api.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction", eviction)
    until(lambda: len(up.pods) == 4 and not before & {*up.pods})
    [found] = up.jobs
    assert found["status"].get("failed", 0) == 0


def test_a_pod_with_an_error_counts_and_in_the_end_ends_all(up: Cluster) -> None:
    up.begin()
    up.change(backoffLimit=1)

    def fail() -> bool:
        """As a pod does whose image is wrong: the next one is no better."""
        for pod in up.pods.values():
            if pod["status"]["phase"] == "Pending":
                up.api.patch(pod, {"status": {"phase": "Failed"}}, "/status")
        return "Failed" in up.ended

    until(fail)
    assert up.ended["Failed"] == "BackoffLimitExceeded"
    status = CliRunner().invoke(app, ["batch", "status", "dev"])
    assert "Its pods gave up (BackoffLimitExceeded: " in status.output
    until(lambda: not any(pod["status"]["phase"] == "Pending" for pod in up.pods.values()))


def test_on_nodes_of_their_own_they_work_and_nothing_stays(up: Cluster) -> None:
    up.begin()
    taints = [{"key": key, "value": "true", "effect": "NoSchedule"} for key in (GPU, OF_BATCH)]
    type_ = type_named("g6e.12xlarge", {})
    nodes = [
        up.api.create(gpu_node(f"batch-{n}", type_, "us-east-1a", labels={NODE_POOL: BATCH_POOL}, taints=taints))
        for n in range(2)
    ]
    try:
        wait_for_nodes(up.api, [one["metadata"]["name"] for one in nodes])
        until(lambda: "Complete" in up.ended)
        stood = [pod["spec"]["nodeName"] for pod in up.pods.values()]
        assert sorted(stood) == ["batch-0", "batch-0", "batch-1", "batch-1"]
        up.change(ttlSecondsAfterFinished=1)
        until(lambda: not up.jobs and not up.pods)
    finally:
        for one in nodes:
            up.api.delete(one)


def test_when_the_money_could_be_spent_they_end(up: Cluster) -> None:
    up.begin()
    up.change(activeDeadlineSeconds=1)
    until(lambda: up.ended.get("Failed") == "DeadlineExceeded" and not up.pods)


def test_they_go_with_the_stack(up: Cluster) -> None:
    up.begin()
    up.api.delete(up.template)
    until(lambda: not up.jobs and not up.pods)
