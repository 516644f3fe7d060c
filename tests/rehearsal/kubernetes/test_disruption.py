"""The program's own servers when a node is drained, a zone is lost and GPUs run out, with the real Karpenter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pulumi_rehearsal.kubernetes.api import Api, Object
from pulumi_rehearsal.kubernetes.watch import seconds_until
from rehearsal.kubernetes import disruption, expectations
from rehearsal.kubernetes.disruption import all_back, drain, lose_zone
from rehearsal.kubernetes.shortage import NAMESPACE, run_out_of_gpus
from tests.rehearsal.kubernetes.scenes import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes]

STACK = "shaken"
REPLICAS = 3
FILE = """\
config:
  tandem:region: us-east-1
  tandem:platform: eks
  tandem:ephemeral: true
  tandem:network: {zones: [us-east-1a, us-east-1b, us-east-1c]}
  tandem:fleet:
    {instanceTypes: [g6e.12xlarge], maxHosts: 4, onDemandBase: 1, onDemandPercentage: 0, rollout: launchFirst}
  tandem:scaling: {minReplicas: 3, maxReplicas: 4}
  tandem:inference: {model: Qwen/Qwen3-8B, maxModelLen: 32768}
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A stack with three replicas, as `up` leaves it."""
    with scene_of(tmp_path_factory.mktemp(STACK), STACK, FILE) as scene:
        up = scene.workspace.up()
        assert up.succeeded, up.messages
        assert scene.cluster is not None
        assert seconds_until(lambda: all_back(scene.cluster.api), 60)
        with scene.cluster.groups_stay_as_they_are():
            yield scene.cluster.api


def deployments(api: Api) -> list[Object]:
    return disruption.deployments(api)


def pools(api: Api) -> list[Object]:
    return [pool["spec"] for pool in api.list("karpenter.sh/v1", "NodePool")]


def test_a_drain_keeps_within_the_budget(api: Api) -> None:
    found = drain(api)
    budgets = api.list("policy/v1", "PodDisruptionBudget")
    assert expectations.leave_within_the_budget(found, deployments(api), budgets).violations == ()
    assert len(found.refusals) == REPLICAS - 1
    assert all("would violate the pod's disruption budget" in words for words in found.refusals)
    assert not any(node["spec"].get("unschedulable") for node in api.list("v1", "Node"))


def test_a_lost_zone_takes_its_own_servers_only(api: Api) -> None:
    before = pools(api)
    loss = lose_zone(api, lambda: None)
    assert expectations.outlive_a_zone(loss, deployments(api)).violations == ()
    zones = {node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in api.list("v1", "Node")}
    assert loss.zone not in zones
    assert pools(api) == before


def test_gpus_run_out_for_batch_work_first(api: Api) -> None:
    nodes = {node["metadata"]["name"] for node in api.list("v1", "Node")}
    shortage = run_out_of_gpus(api)
    assert expectations.are_told_why(shortage).violations == ()
    assert expectations.come_first(shortage).violations == ()
    assert shortage.limits == {"gpu-base": 4, "gpu": 12}
    assert len(shortage.preempted) == 1
    assert api.get("v1", "Namespace", NAMESPACE) is None
    assert {node["metadata"]["name"] for node in api.list("v1", "Node")} <= nodes
    assert all_back(api)
